//! What can go wrong, in words that say what to do about it.

use std::path::PathBuf;

/// Why nothing was written or read. A batch that got one of these left no trace.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// The queue before the writer, or the readers, are all taken: try again later.
    #[error("the database is busy")]
    Busy,
    /// The disk is full, or the database has reached the size it may have.
    #[error("no space is left for the database")]
    Full,
    /// Somebody else holds a lock on the database.
    #[error("the database is locked by another program")]
    Locked,
    /// The file cannot be read or written.
    #[error("the database cannot be read or written: {0}")]
    Io(String),
    /// The file's content makes no sense.
    #[error("the database is damaged: {0}")]
    Corrupt(String),
    /// The database takes everything else, but not this batch, or not this question.
    #[error("the database refused: {0}")]
    Refused(String),
    /// The store was closed.
    #[error("the database is closed")]
    Closed,
}

impl Error {
    /// Whether the cause may lie in one batch, or in one row that only it touches, so that
    /// others of the same group may succeed without it.
    pub(crate) const fn is_own_fault(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Corrupt(_))
    }

    /// Something in the file that this program would not have written.
    pub(crate) fn unreadable(what: &str, value: &str) -> Self {
        Self::Corrupt(format!("{what} '{value}' makes no sense"))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => {
                let code = error.code().and_then(|code| code.parse::<u32>().ok());
                let message = error.message().to_owned();
                // The low byte of SQLite's extended codes is the plain code.
                match code.map(|code| code & 0xff) {
                    Some(5 | 6) => Self::Locked,
                    Some(13) => Self::Full,
                    // perm, nomem, readonly, ioerr, cantopen
                    Some(3 | 7 | 8 | 10 | 14) => Self::Io(message),
                    Some(11 | 26) => Self::Corrupt(message),
                    _ => Self::Refused(message),
                }
            }
            sqlx::Error::Io(error) => Self::Io(error.to_string()),
            sqlx::Error::PoolTimedOut => Self::Busy,
            sqlx::Error::PoolClosed => Self::Closed,
            sqlx::Error::WorkerCrashed => Self::Io("its worker thread ended".to_owned()),
            error @ (sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) => {
                Self::Corrupt(error.to_string())
            }
            other => Self::Refused(other.to_string()),
        }
    }
}

/// Why a database could not be opened: what, where, and how to mend it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("database {}: {problem}", path.display())]
pub struct OpenError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: OpenProblem,
}

/// What is wrong with a database that could not be opened.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OpenProblem {
    /// The directory for it is not there.
    #[error("the directory '{0}' does not exist; create it, or choose another path")]
    DirectoryMissing(PathBuf),
    /// Its path is a directory, a socket, or the like.
    #[error("this is not a regular file; choose another path")]
    NotAFile,
    /// The file or its directory may not be written.
    #[error(
        "not writable ({0}); SQLite writes the file and its directory: give both to the user that runs gorgoned"
    )]
    NotWritable(String),
    /// The file is something else.
    #[error("this is not a SQLite database; choose another path, or move the file away")]
    NotADatabase,
    /// A SQLite database of some other program.
    #[error(
        "this is a database of another program (it has the table '{0}' and none of gorgone's); choose another path"
    )]
    Foreign(String),
    /// A newer gorgoned has changed the schema.
    #[error(
        "its schema has version {found}, this program knows versions up to {known}; run the newer gorgoned, or restore a copy from before the upgrade"
    )]
    Newer {
        /// The version in the file.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// Creating or changing the schema failed.
    #[error("bringing the schema to version {version} failed: {error}")]
    Migration {
        /// Which step.
        version: i64,
        /// What the database said.
        error: Error,
    },
    /// Anything else that the database says.
    #[error("{0}")]
    Database(#[from] Error),
}
