//! The name of a job.

use std::fmt;
use std::sync::Arc;

/// The name of a job: 1 to 255 bytes, in which nothing stands that would end it in a token or
/// in an address. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(Arc<str>);

/// A text that cannot name a job.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidJobId(&'static str);

impl JobId {
    /// Longest name in bytes.
    pub const MAX_BYTES: usize = 255;

    /// Takes a name as it is written.
    ///
    /// # Errors
    /// When it is empty, too long, or holds `]`, `/` or a control character.
    pub fn parse(text: &str) -> Result<Self, InvalidJobId> {
        let text = text.trim();
        let problem = if text.is_empty() {
            "is empty"
        } else if text.len() > Self::MAX_BYTES {
            "is longer than 255 bytes"
        } else if text.contains([']', '/']) {
            "contains ']' or '/', which cannot stand in a token or in an address"
        } else if text.chars().any(char::is_control) {
            "contains a control character"
        } else {
            return Ok(Self(text.into()));
        };
        Err(InvalidJobId(problem))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Maps keyed by names can be asked with a text.
impl std::borrow::Borrow<str> for JobId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobId({})", self.0)
    }
}
