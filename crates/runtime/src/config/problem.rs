//! What is wrong in a configuration, and where.

use std::fmt;
use std::path::PathBuf;

/// Where a value was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// In a file; line and column count from 1, and are 0 where the whole file is meant.
    File {
        /// Which one.
        path: PathBuf,
        /// Its line.
        line: u64,
        /// Its column.
        column: u64,
    },
    /// In the environment, under this name.
    Environment(String),
    /// In a flag of the command line, as it was written.
    Flag(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: 0, .. } => write!(f, "{}", path.display()),
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(text) => write!(f, "flag {text}"),
        }
    }
}

/// One thing that is wrong, or worth knowing: place, key and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Where it was written.
    pub place: Place,
    /// The key path, such as `gorgonecore.timeout`; empty for the file as a whole.
    pub key: String,
    /// What is wrong, and the mend.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            write!(f, "{}: {}", self.place, self.message)
        } else {
            write!(f, "{}: {}: {}", self.place, self.key, self.message)
        }
    }
}

/// A configuration that cannot be used: everything that is wrong with it, at once.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}", lines(.problems))]
pub struct ConfigError {
    /// At least one, in the order of the file.
    pub problems: Vec<Problem>,
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}
