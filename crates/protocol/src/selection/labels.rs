//! Labels of nodes: keys and values as Kubernetes writes them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::shown;
use super::read::is_ids;

/// Longest name and value.
const NAME_BYTES: usize = 63;
/// Longest part before a key's slash.
const PREFIX_BYTES: usize = 253;
/// How many labels a node may have.
const MAX_LABELS: usize = 64;

/// A text that is no label.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidLabel {
    /// Not a key.
    #[error(
        "'{0}' is no key of a label: write up to 63 letters, digits, '-', '_' and '.', with a letter or a \
         digit at both ends, and perhaps a domain and a slash before it"
    )]
    Key(String),
    /// A key that a selection would read as something else.
    #[error("'{0}' cannot be the key of a label: in a selection it means nodes by their ids")]
    ReservedKey(String),
    /// Not a value.
    #[error(
        "'{0}' is no value of a label: write up to 63 letters, digits, '-', '_' and '.', with a letter or a \
         digit at both ends, or nothing"
    )]
    Value(String),
    /// Too many.
    #[error("a node cannot have more than {MAX_LABELS} labels")]
    TooMany,
}

/// The key of a label: `site`, `example.com/site`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LabelKey(Arc<str>);

/// The value of a label; may be empty. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LabelValue(Arc<str>);

impl LabelKey {
    /// Takes a key as it was written.
    ///
    /// # Errors
    /// When it has another form, or means something else in a selection.
    pub fn parse(text: &str) -> Result<Self, InvalidLabel> {
        let (prefix, name) = match text.split_once('/') {
            Some((prefix, name)) => (Some(prefix), name),
            None => (None, text),
        };
        let well = !name.is_empty() && is_name(name) && prefix.is_none_or(is_domain);
        if !well {
            return Err(InvalidLabel::Key(shown(text)));
        }
        if text == "all" || is_ids(text) {
            return Err(InvalidLabel::ReservedKey(shown(text)));
        }
        Ok(Self(text.into()))
    }
}

impl LabelValue {
    /// Takes a value as it was written.
    ///
    /// # Errors
    /// When it has another form.
    pub fn parse(text: &str) -> Result<Self, InvalidLabel> {
        if is_name(text) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidLabel::Value(shown(text)))
        }
    }
}

/// Also nothing is one.
fn is_name(text: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= NAME_BYTES
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

fn is_domain(text: &str) -> bool {
    let part = |part: &str| {
        let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = part.as_bytes();
        let usual = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
        ends(bytes.first()) && ends(bytes.last()) && bytes.iter().all(usual)
    };
    text.len() <= PREFIX_BYTES && text.split('.').all(part)
}

impl fmt::Display for LabelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for LabelValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The labels of a node.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Labels(BTreeMap<LabelKey, LabelValue>);

impl Labels {
    /// Takes labels as they were written.
    ///
    /// # Errors
    /// When one of them is none, or there are too many.
    pub fn parse<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, InvalidLabel> {
        let mut labels = Self::default();
        for (key, value) in pairs {
            labels.add(key, value)?;
        }
        Ok(labels)
    }

    fn add(&mut self, key: &str, value: &str) -> Result<(), InvalidLabel> {
        self.0
            .insert(LabelKey::parse(key)?, LabelValue::parse(value)?);
        if self.0.len() > MAX_LABELS {
            return Err(InvalidLabel::TooMany);
        }
        Ok(())
    }

    /// Adds those of others whose keys are not there.
    pub fn complete(&mut self, others: &Self) {
        for (key, value) in &others.0 {
            self.0.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a label.
    #[must_use]
    pub fn get(&self, key: &LabelKey) -> Option<&LabelValue> {
        self.0.get(key)
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (&*key.0, &*value.0)))
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ReadLabels)
    }
}

struct ReadLabels;

impl<'de> Visitor<'de> for ReadLabels {
    type Value = Labels;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("labels, such as {\"site\":\"paris\"}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
        let mut labels = Labels::default();
        while let Some((key, value)) = map.next_entry::<String, Written>()? {
            labels
                .add(&key, &value.text())
                .map_err(serde::de::Error::custom)?;
        }
        Ok(labels)
    }
}

/// A value as it is written: in YAML `rack: 12` and `spare: true` need no quotes.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "the value of a label is a text, a whole number, true or false"
)]
enum Written {
    Text(String),
    Number(i64),
    Flag(bool),
}

impl Written {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
        }
    }
}
