//! Many nodes in one target: by list and range, by label, or all of them.
//!
//! ```text
//! selection   = "*" | "all" | list | selector
//! list        = (id | id "-" id) { "," … }            any of them
//! selector    = requirement { "," requirement }       all of them
//! requirement = key | "!" key | key ("=" | "==" | "!=") value
//!             | key ("in" | "notin" | "=" | "!=") "(" value { "," value } ")"
//! ```
//! White space may stand around every part where people write it; the wire form, which
//! [`Selection`]'s `Display` writes, has none. Which nodes there are is for others to know.

mod error;
mod labels;
mod read;

use std::fmt;
use std::sync::Arc;

pub use error::{SelectionError, SelectionProblem};
pub use labels::{InvalidLabel, LabelKey, LabelValue, Labels};

use crate::NodeId;

/// Which nodes a request is for, where it is not one. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Selection {
    /// `*`: every registered node.
    All,
    /// `4,7,10-20`: the nodes with these ids.
    Ids(Arc<[Span]>),
    /// `site=paris,role!=db`: nodes whose labels meet all of these.
    Labels(Arc<[Requirement]>),
}

/// Some ids in a row, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Span {
    first: NodeId,
    last: NodeId,
    /// Whether it was written as one id, and means just that node.
    single: bool,
}

/// What a node's labels must be like.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Requirement {
    key: LabelKey,
    condition: Condition,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Condition {
    /// The label has one of these values.
    In(Vec<LabelValue>),
    /// The label has none of these values, or the node has no such label.
    NotIn(Vec<LabelValue>),
    /// The node has such a label.
    Exists,
    /// It has none.
    Absent,
}

impl Selection {
    /// Longest text of a selection in bytes.
    pub const MAX_BYTES: usize = 4096;

    /// Reads a selection. One id alone is none: it is a [`crate::Target::Node`].
    ///
    /// # Errors
    /// Says what is wrong, and at which character.
    pub fn parse(text: &str) -> Result<Self, SelectionError> {
        read::selection(text)
    }

    /// The ids, written as a list that selects them.
    #[must_use]
    pub fn list(ids: impl IntoIterator<Item = NodeId>) -> String {
        let mut spans: Vec<(u64, u64)> = Vec::new();
        for id in ids {
            let id = id.get();
            match spans.last_mut() {
                Some((_, last)) if id == *last => {}
                Some((_, last)) if last.checked_add(1) == Some(id) => *last = id,
                _ => spans.push((id, id)),
            }
        }
        let spans: Vec<String> = spans
            .into_iter()
            .flat_map(|(first, last)| match last - first {
                0 => vec![first.to_string()],
                1 => vec![first.to_string(), last.to_string()],
                _ => vec![format!("{first}-{last}")],
            })
            .collect();
        spans.join(",")
    }
}

impl Span {
    /// The ids, both included.
    #[must_use]
    pub const fn range(&self) -> std::ops::RangeInclusive<NodeId> {
        self.first..=self.last
    }

    /// The id, where it was written as one: a node that must be there. Of a range those are meant
    /// that are there.
    #[must_use]
    pub const fn single(&self) -> Option<NodeId> {
        if self.single { Some(self.first) } else { None }
    }
}

impl Requirement {
    /// Whether a node with these labels meets it.
    #[must_use]
    pub fn is_met_by(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match &self.condition {
            Condition::In(values) => value.is_some_and(|value| values.contains(value)),
            Condition::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Condition::Exists => value.is_some(),
            Condition::Absent => value.is_none(),
        }
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Ids(spans) => joined(f, spans),
            Self::Labels(requirements) => joined(f, requirements),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.single {
            true => self.first.fmt(f),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        let (sign, values) = match &self.condition {
            Condition::Exists => return key.fmt(f),
            Condition::Absent => return write!(f, "!{key}"),
            Condition::In(values) => ("=", values),
            Condition::NotIn(values) => ("!=", values),
        };
        match values.as_slice() {
            [value] => write!(f, "{key}{sign}{value}"),
            values => {
                write!(f, "{key}{sign}(")?;
                joined(f, values)?;
                f.write_str(")")
            }
        }
    }
}

fn joined<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T]) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(",")?;
        }
        item.fmt(f)?;
    }
    Ok(())
}
