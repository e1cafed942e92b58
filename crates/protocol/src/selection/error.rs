//! What can be wrong with a selection.

use std::fmt;

use super::InvalidLabel;

/// How much of a text an error repeats, in characters.
const SHOWN: usize = 100;

/// A text that selects no nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SelectionError {
    text: String,
    /// Which character, counted from 1.
    at: usize,
    problem: SelectionProblem,
}

/// What is wrong with a selection, and how to mend it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SelectionProblem {
    /// A comma with nothing before or behind it.
    #[error("there is nothing beside the comma; take it out")]
    EmptyItem,
    /// The text is longer than it may be.
    #[error("it goes on for more than {max} bytes; give the nodes a label and select that", max = super::Selection::MAX_BYTES)]
    TooLong,
    /// A range that ends before it begins.
    #[error("the range '{0}' ends before it begins; write the smaller id first")]
    BackwardRange(String),
    /// A number that is no id.
    #[error("'{0}' is too large for the id of a node")]
    LargeId(String),
    /// `*` beside others.
    #[error("'{0}' selects every node and must stand alone")]
    AllIsAlone(String),
    /// Ids beside labels.
    #[error(
        "'{0}' cannot stand beside what comes before it: a list has only ids and ranges \
         (4,7,10-20), a selector only labels (site=paris,role!=db)"
    )]
    Mixed(String),
    /// A key or a value that is none.
    #[error(transparent)]
    Label(#[from] InvalidLabel),
    /// Something that compares nothing.
    #[error("'{0}' compares nothing; write =, !=, in (…) or notin (…) behind the label's key")]
    Operator(String),
    /// `in` without what it takes.
    #[error("behind '{0}' come values in parentheses, such as {0} (a,b)")]
    NoValues(String),
    /// A parenthesis without the other one.
    #[error("the parenthesis '{0}' has no other half")]
    Parenthesis(char),
    /// A text behind the closing parenthesis.
    #[error("'{0}' stands behind the parenthesis; a comma separates requirements")]
    Behind(String),
}

impl SelectionError {
    /// `at` is a place in the text in bytes.
    pub(super) fn new(text: &str, at: usize, problem: SelectionProblem) -> Self {
        let before = text.get(..at).unwrap_or(text);
        Self {
            at: before.chars().count() + 1,
            text: shown(text),
            problem,
        }
    }

    /// What is wrong.
    #[must_use]
    pub const fn problem(&self) -> &SelectionProblem {
        &self.problem
    }
}

impl fmt::Display for SelectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, at, problem } = self;
        write!(
            f,
            "'{text}' is neither the id of a node nor a selection of nodes: character {at}: {problem}"
        )
    }
}

impl std::error::Error for SelectionError {}

/// The text, or the beginning of a long one.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
