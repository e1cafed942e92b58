//! How far a request has come, and why it failed. Numbers exist only here and in the codec.

use std::fmt;

use serde::Deserialize;

use crate::Dialect;

/// The code of a history row.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Code {
    /// The action proceeds: it was taken up, or gave some output.
    Proceed,
    /// The action finished well. Terminal.
    Ok,
    /// The action failed; the row's `reason` says why. Terminal.
    Ko,
    /// A code of a module's own, such as 100 for the result of one command among several.
    Module(i64),
}

impl Code {
    /// The result of one command among several in one request.
    pub const RESULT: Self = Self::Module(100);

    /// The number that stands for this code. The store and the seed's dialect share theirs.
    #[must_use]
    pub const fn number(self, dialect: Dialect) -> i64 {
        match (self, dialect) {
            (Self::Proceed, _) => 0,
            (Self::Ok, Dialect::Seed) | (Self::Ko, Dialect::Centreon) => 1,
            (Self::Ko, Dialect::Seed) | (Self::Ok, Dialect::Centreon) => 2,
            (Self::Module(number), _) => number,
        }
    }

    /// The code that a number stands for.
    #[must_use]
    pub const fn from_number(number: i64, dialect: Dialect) -> Self {
        match (number, dialect) {
            (0, _) => Self::Proceed,
            (1, Dialect::Seed) | (2, Dialect::Centreon) => Self::Ok,
            (2, Dialect::Seed) | (1, Dialect::Centreon) => Self::Ko,
            (number, _) => Self::Module(number),
        }
    }

    /// Whether a row with this code ends its token.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Ok | Self::Ko)
    }
}

/// Why a request ended KO: `data.reason` of its terminal row.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Reason {
    /// Not allowed, or its DATA made no sense to the module.
    Rejected,
    /// It ran and failed.
    Failed,
    /// It ran longer than it may.
    Timeout,
    /// Somebody cancelled it.
    Cancelled,
    /// Its time to live passed before it began.
    Expired,
    /// The node could not be reached.
    Unreachable,
    /// Whoever ran it died, and cannot say how far it came.
    Unknown,
}

impl Reason {
    const ALL: [Self; 7] = [
        Self::Rejected,
        Self::Failed,
        Self::Timeout,
        Self::Cancelled,
        Self::Expired,
        Self::Unreachable,
        Self::Unknown,
    ];

    /// The reason that a row of this code and data gives, in the words of this list: what a module
    /// has a word of its own for has failed. None for a row that is no KO.
    #[must_use]
    pub fn of_row(code: Code, data: &str) -> Option<Self> {
        if code != Code::Ko {
            return None;
        }
        let known = Self::parse(&reason_of(data).unwrap_or_default());
        Some(known.unwrap_or(Self::Failed))
    }

    /// The reason that a word stands for.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }

    /// The word in `data.reason`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Unreachable => "unreachable",
            Self::Unknown => "unknown",
        }
    }
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Verdict {
    /// Well.
    Ok,
    /// Not well, for this reason.
    Ko(Reason),
}

impl Verdict {
    /// What a terminal row says. A reason that is a module's own word counts as `failed`.
    #[must_use]
    pub fn of(code: Code, data: &str) -> Self {
        match code {
            Code::Ok => Self::Ok,
            _ => Self::Ko(Reason::of_row(Code::Ko, data).unwrap_or(Reason::Failed)),
        }
    }

    /// Why it did not end well, if it did not.
    #[must_use]
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Self::Ok => None,
            Self::Ko(reason) => Some(reason),
        }
    }

    /// `ok`, or the reason's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Ko(reason) => reason.as_str(),
        }
    }

    /// Reads what [`Verdict::as_str`] wrote.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "ok" => Some(Self::Ok),
            word => Reason::parse(word).map(Self::Ko),
        }
    }
}

/// What the data of a KO's row gives as its reason, also where it is a word of a module's own.
#[must_use]
pub fn reason_of(data: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Body {
        reason: Option<String>,
    }
    if !data.contains("\"reason\"") {
        return None;
    }
    let body: Body = serde_json::from_str(data).ok()?;
    body.reason
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
