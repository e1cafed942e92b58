//! PROCESSCOPY: the node that is asked has the destination.

use serde::{Deserialize, Serialize};

use super::old::OldStep;
use super::task::absolute;
use super::{Kind, MAX_CHUNK, Mode, Problem, Sum, Trouble, answered, bytes};
use crate::{Answer, Data, Token};

/// What PROCESSCOPY says.
#[derive(Clone, PartialEq, Debug)]
pub enum ProcessCopy {
    /// In the words of this release.
    Step(Write),
    /// In those of older daemons, where the token of the request is the key of the copy.
    Old(OldStep),
}

/// One step of a copy, for the side that writes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Write {
    /// The key of the copy: the token of its task.
    pub copy: Token,
    /// What to do.
    #[serde(flatten)]
    pub step: WriteStep,
}

/// The steps. Every one may be said again: what was done is not done twice.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "lowercase")]
pub enum WriteStep {
    /// What is to come, and where it goes. The answer tells how much of it is here already: all
    /// that has to be sent is what follows.
    Begin(Begin),
    /// Bytes of the stream. They are taken where they follow on what is here, and passed over
    /// where they are here already; the answer tells how far it is.
    Data {
        /// Where in the stream they belong.
        offset: u64,
        /// The bytes, at most [`MAX_CHUNK`].
        #[serde(with = "bytes")]
        data: Vec<u8>,
        /// The sums of files that end among them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        sums: Vec<Sum>,
    },
    /// Everything was sent. The answer is `done` once all is verified, durable and in its place;
    /// while that goes on it is `working`, and the step is to be said again.
    End,
    /// The copy is given up: what is here of it can go.
    Abort,
}

/// What is to come.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Begin {
    /// What the stream is.
    pub kind: Kind,
    /// The name of the source without the directories before it: what the copy is called in a
    /// destination that ends with `/`.
    pub name: String,
    /// Where it goes: an absolute path; with a `/` at its end, the directory into which.
    pub destination: String,
    /// Bytes of the whole stream.
    pub size: u64,
    /// How many files are in it.
    pub files: u64,
    /// What tells this state of the source from another: where it is not the one of before, what
    /// is here belongs to another stream and is thrown away.
    pub print: String,
    /// Permission bits of the source, file or directory.
    pub mode: Mode,
    /// When the source was changed last, seconds since 1970.
    pub mtime: i64,
    /// Permission bits that were asked for, in place of those of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_mode: Option<Mode>,
    /// To whom it is to belong, by name or number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// To which group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

/// How far the other end is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It takes what follows on `offset`.
    Taking,
    /// It is busy with what it has; ask again in a moment, with the same step.
    Working,
    /// The copy is in its place.
    Done,
}

/// The answer to a step that was done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Taken {
    /// How far it is.
    pub state: State,
    /// How many bytes of the stream are here.
    pub offset: u64,
    /// Where the copy is; told with `done`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

impl ProcessCopy {
    /// Reads the body in either of its forms.
    ///
    /// # Errors
    /// When it is neither, or a member cannot be used.
    pub fn decode(data: &Data) -> Result<Self, Problem> {
        if let Some(old) = OldStep::decode(data)? {
            return Ok(Self::Old(old));
        }
        let write: Write = data.decode().map_err(|error| {
            let words = format!("PROCESSCOPY is wrong: {error}");
            Problem::new(Trouble::Rejected, words)
        })?;
        write.check()?;
        Ok(Self::Step(write))
    }
}

impl Write {
    fn check(&self) -> Result<(), Problem> {
        let rejected = |words: String| Err(Problem::new(Trouble::Rejected, words));
        match &self.step {
            WriteStep::Begin(begin) => {
                if let Err(problem) = absolute(&begin.destination) {
                    return rejected(format!("'destination' {problem}"));
                }
                let nameless = matches!(begin.name.as_str(), "" | "." | "..");
                if nameless || begin.name.contains(['/', '\0']) || begin.name.len() > 255 {
                    return rejected(format!("'{}' is no name of a file", begin.name));
                }
                Ok(())
            }
            WriteStep::Data { data, .. } if data.len() > MAX_CHUNK => {
                rejected(format!("a chunk has more than {MAX_CHUNK} bytes"))
            }
            WriteStep::Data { .. } | WriteStep::End | WriteStep::Abort => Ok(()),
        }
    }

    /// Writes the body.
    #[must_use]
    pub fn encode(&self) -> Data {
        Data::from_value(self)
    }
}

impl Taken {
    /// What an answer to PROCESSCOPY says.
    ///
    /// # Errors
    /// When the step was not done, or whoever answers does not know these words.
    pub fn decode(answer: &Answer) -> Result<Self, Problem> {
        answered(answer)
    }

    /// The answer that says so.
    #[must_use]
    pub fn answer(&self, token: Option<Token>) -> Answer {
        Answer::ok(token, Data::from_value(self))
    }
}
