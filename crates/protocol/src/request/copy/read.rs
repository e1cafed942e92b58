//! READCOPY: the node that is asked has the source.

use serde::{Deserialize, Serialize};

use super::task::absolute;
use super::{Kind, MAX_CHUNK, Mode, Problem, Sum, Trouble, answered, bytes};
use crate::{Answer, Data, Token};

/// One step of a copy, for the side that reads.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Read {
    /// The key of the copy: the token of its task.
    pub copy: Token,
    /// What to do.
    #[serde(flatten)]
    pub step: ReadStep,
}

/// The steps. Every one may be said again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "lowercase")]
pub enum ReadStep {
    /// What is to be read. The answer is [`Opened`].
    Open {
        /// The file or directory, absolute.
        source: String,
    },
    /// Bytes of the stream, from this offset on. The answer is a [`Stretch`]. What follows on what
    /// was read before costs least; any other offset is found by reading again.
    Read {
        /// From where.
        offset: u64,
        /// How many, at most [`MAX_CHUNK`].
        length: u32,
    },
    /// It is read, or given up.
    Close,
}

/// What there is to read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Opened {
    /// What the stream is.
    pub kind: Kind,
    /// The name of the source, without the directories before it.
    pub name: String,
    /// Bytes of the whole stream.
    pub size: u64,
    /// How many files are in it.
    pub files: u64,
    /// See [`super::Begin::print`].
    pub print: String,
    /// Permission bits of the source.
    pub mode: Mode,
    /// When it was changed last, seconds since 1970.
    pub mtime: i64,
}

/// Bytes of the stream.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Stretch {
    /// Where in the stream they belong.
    pub offset: u64,
    /// As many as were asked for, or less: never none before the end.
    #[serde(with = "bytes")]
    pub data: Vec<u8>,
    /// The sums of files that end among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sums: Vec<Sum>,
}

impl Read {
    /// Reads the body.
    ///
    /// # Errors
    /// When it is none, or a member cannot be used.
    pub fn decode(data: &Data) -> Result<Self, Problem> {
        let rejected = |words: String| Problem::new(Trouble::Rejected, words);
        let read: Self = data
            .decode()
            .map_err(|error| rejected(format!("READCOPY is wrong: {error}")))?;
        match &read.step {
            ReadStep::Open { source } => match absolute(source) {
                Ok(_) => Ok(read),
                Err(problem) => Err(rejected(format!("'source' {problem}"))),
            },
            ReadStep::Read { length, .. } if *length == 0 || *length as usize > MAX_CHUNK => Err(
                rejected(format!("'length' must be from 1 to {MAX_CHUNK} bytes")),
            ),
            ReadStep::Read { .. } | ReadStep::Close => Ok(read),
        }
    }

    /// Writes the body.
    #[must_use]
    pub fn encode(&self) -> Data {
        Data::from_value(self)
    }
}

impl Opened {
    /// What the answer to `open` says.
    ///
    /// # Errors
    /// When it was not done, or whoever answers does not know these words.
    pub fn decode(answer: &Answer) -> Result<Self, Problem> {
        answered(answer)
    }

    /// The answer that says so.
    #[must_use]
    pub fn answer(&self, token: Option<Token>) -> Answer {
        Answer::ok(token, Data::from_value(self))
    }
}

impl Stretch {
    /// What the answer to `read` says.
    ///
    /// # Errors
    /// See [`Opened::decode`].
    pub fn decode(answer: &Answer) -> Result<Self, Problem> {
        answered(answer)
    }

    /// The answer that says so.
    #[must_use]
    pub fn answer(&self, token: Option<Token>) -> Answer {
        Answer::ok(token, Data::from_value(self))
    }
}
