//! What is wrong with a timespec.

use gorgone_protocol::near_miss;

use super::field::FieldName;

/// A text that is no timespec.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TimespecError {
    /// Nothing in it.
    #[error(
        "is empty; write minute, hour, day of month, month and day of week, such as '30 2 * * *'"
    )]
    Empty,
    /// Longer than any that is meant.
    #[error("is too long: {0} bytes")]
    TooLong(usize),
    /// Neither five fields nor six.
    #[error(
        "needs five fields (minute, hour, day of month, month, day of week), and may have the \
         seconds as a sixth; this is {0}"
    )]
    Fields(usize),
    /// A field cannot be read.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// `@reboot`.
    #[error(
        "'@reboot' is no time: several instances may run the jobs, and none of them starts with \
         the machine; use a unit of systemd"
    )]
    Reboot,
    /// Another word that begins with `@`.
    #[error("'{name}' is no nickname; did you mean '{near}'?")]
    Nickname {
        /// The word.
        name: String,
        /// One that exists.
        near: &'static str,
    },
    /// The calendar does not take it, though its fields are fine.
    #[error("cannot be followed: {0}")]
    Calendar(String),
}

/// A field that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field} '{text}' {reason}")]
pub struct FieldError {
    /// Which one.
    pub field: FieldName,
    /// What stands there between two commas.
    pub text: String,
    /// What is wrong, and the mend.
    pub reason: String,
}

impl TimespecError {
    pub(super) fn nickname(name: &str, known: impl Iterator<Item = &'static str>) -> Self {
        let near = near_miss(&name.to_ascii_lowercase(), known).unwrap_or("@daily");
        Self::Nickname {
            name: name.to_owned(),
            near,
        }
    }
}
