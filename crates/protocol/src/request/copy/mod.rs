//! Copies of files and directories between nodes: two tasks, and the questions with which they
//! are done.
//!
//! ```text
//! [REMOTECOPY]  [TOKEN] [4] {"source":"/a","destination":"/b"}     from here to node 4
//! [REMOTEFETCH] [TOKEN] [4] {"source":"/b","destination":"/a"}     from node 4 to here
//!
//!   action here ──[PROCESSCOPY] [t] [4] {"copy":TOKEN,"step":"begin",…}──▶ action of node 4
//!               ◀─[ACK] [t] {"code":0,"data":{"state":"taking","offset":N}}─
//!               ──[PROCESSCOPY] [t] [4] {"copy":TOKEN,"step":"data","offset":N,…}──▶  …
//!               ──[PROCESSCOPY] [t] [4] {"copy":TOKEN,"step":"end","offset":SIZE}──▶  done
//!
//!   action here ──[READCOPY] [t] [4] {"copy":TOKEN,"step":"open","source":"/b"}──▶ action of node 4
//!               ──[READCOPY] [t] [4] {"copy":TOKEN,"step":"read","offset":N,"length":L}──▶  …
//! ```
//! A task is run by the node that is asked, which is one end of the copy; its target is the other
//! end. Chunks are questions: none of them is written down, each may be said again or get lost,
//! and the answers tell how far the copy is. So whatever is killed or cut, the copy goes on from
//! there: the token of the task is the key of what the other end has.
//!
//! What travels is one stream of bytes of a size that is known from the beginning: the contents
//! of the file, or a tar of the directory ([`Kind`]), whose order is always the same. With the
//! chunk that ends the contents of a file comes the file's SHA-256 ([`Sum`]).

mod old;
mod read;
mod task;
mod write;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

pub use old::{OldKind, OldStep};
pub use read::{Opened, Read, ReadStep, Stretch};
pub use task::{CopyTask, TaskError};
pub use write::{Begin, ProcessCopy, State, Taken, Write, WriteStep};

use crate::{Action, Answer, Data, STOPPING, Status, Token};

/// The most that one chunk carries, in bytes before they are written as base64.
pub const MAX_CHUNK: usize = 1024 * 1024;
/// Longest path that is taken, in bytes.
pub const MAX_PATH: usize = 4096;

/// What the stream of a copy is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The contents of one file.
    File,
    /// A directory as tar (GNU's form, entries below `./`, ended by two empty blocks).
    Tar,
}

/// The permission bits of a file, without set-user-id and the like. Written as octal digits in a
/// text: `"0644"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mode(u32);

/// A text that is no mode.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0} is no mode; write the permission bits as octal digits in quotes, such as \"0644\"")]
pub struct BadMode(String);

impl Mode {
    /// The permission bits of these bits.
    #[must_use]
    pub const fn new(bits: u32) -> Self {
        Self(bits & 0o777)
    }

    /// Reads octal digits.
    ///
    /// # Errors
    /// When it is something else, or more than permission bits.
    pub fn parse(text: &str) -> Result<Self, BadMode> {
        let digits = text.trim();
        let octal = !digits.is_empty() && digits.bytes().all(|b| (b'0'..=b'7').contains(&b));
        match u32::from_str_radix(digits, 8) {
            Ok(bits) if octal && bits <= 0o777 => Ok(Self(bits)),
            _ => Err(BadMode(format!("'{text}'"))),
        }
    }

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The same for a directory: whoever may read it may also look into it.
    #[must_use]
    pub const fn for_directory(self) -> Self {
        Self(self.0 | ((self.0 & 0o444) >> 2))
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{:04o}", self.0))
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Self::parse(&text).map_err(D::Error::custom),
            other => Err(D::Error::custom(BadMode(other.to_string()))),
        }
    }
}

/// The SHA-256 of the contents of a file that end at this offset of the stream. It comes with the
/// chunk that ends there. A file of no bytes has none.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sum {
    /// Where the contents end, in bytes from the beginning of the stream.
    pub at: u64,
    /// Lower-case hex.
    pub sha256: String,
}

/// Bytes that are written as base64.
pub(super) mod bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        STANDARD
            .decode(String::deserialize(from)?)
            .map_err(|error| D::Error::custom(format!("'data' is no base64: {error}")))
    }
}

/// Why a step was not done, as far as whoever asked can do something about it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Trouble {
    /// It may not be done, or makes no sense: the copy ends KO `rejected`.
    Rejected,
    /// It cannot be done: the copy ends KO `failed`.
    Failed,
    /// The other end knows nothing of this copy (any more): begin, or open, again.
    Begin,
    /// Not now, or nobody answered: say it again later.
    Later,
}

/// A step that was not done.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{words}")]
pub struct Problem {
    /// What can be done about it.
    pub trouble: Trouble,
    /// What is wrong, for people.
    pub words: String,
}

impl Problem {
    /// A problem in words.
    #[must_use]
    pub fn new(trouble: Trouble, words: impl Into<String>) -> Self {
        let words = words.into();
        Self { trouble, words }
    }

    /// The answer that says so.
    #[must_use]
    pub fn answer(&self, token: Option<Token>) -> Answer {
        let error = match self.trouble {
            Trouble::Rejected => "copy_rejected",
            Trouble::Failed => "copy_failed",
            Trouble::Begin => "copy_begin",
            Trouble::Later => "busy",
        };
        Answer::refused_with(token, json!({ "message": self.words, "error": error }))
    }

    /// What a refusal says. One that comes from on the way, because a node is down or a core
    /// ends, is a reason to wait.
    #[must_use]
    pub fn of(answer: &Answer) -> Self {
        #[derive(Default, Deserialize)]
        struct Body {
            #[serde(default)]
            message: String,
            #[serde(default)]
            error: String,
        }
        let body: Body = answer.data.decode().unwrap_or_default();
        let trouble = match body.error.as_str() {
            "copy_failed" => Trouble::Failed,
            "copy_begin" => Trouble::Begin,
            "busy" | "unavailable" | "unreachable" | "timeout" | "stopping" => Trouble::Later,
            _ if body.message == STOPPING => Trouble::Later,
            _ => Trouble::Rejected,
        };
        Self::new(trouble, body.message)
    }
}

/// The body of an answer, or the problem that it tells.
fn answered<T: serde::de::DeserializeOwned>(answer: &Answer) -> Result<T, Problem> {
    if answer.status == Status::Nok {
        return Err(Problem::of(answer));
    }
    answer.data.decode().map_err(|_| {
        let words = "the other end does not know how this release copies; it is an older daemon";
        Problem::new(Trouble::Rejected, words)
    })
}

/// What of a body is about the kind of its step.
#[derive(Deserialize)]
struct Peek<'a> {
    #[serde(default, borrow)]
    step: Option<std::borrow::Cow<'a, str>>,
    #[serde(default, borrow)]
    content: Option<PeekOld<'a>>,
}

#[derive(Deserialize)]
struct PeekOld<'a> {
    #[serde(default, borrow)]
    status: Option<std::borrow::Cow<'a, str>>,
}

/// Whether a question is one of the many that carry a copy, between the one that begins it and
/// the one that ends it. The audit does not keep these.
#[must_use]
pub fn is_chunk(action: &Action, data: &Data) -> bool {
    if !action.is_asked_of_module() {
        return false;
    }
    let peek: Option<Peek<'_>> = serde_json::from_str(data.as_str()).ok();
    peek.is_some_and(|peek| {
        let status = peek.content.and_then(|content| content.status);
        matches!(peek.step.as_deref(), Some("data" | "read"))
            || status.as_deref() == Some("inprogress")
    })
}

/// A body without what it carries of a file: what may be kept of it for people to read.
#[must_use]
pub fn without_payload(data: &Data) -> Data {
    let Ok(Value::Object(mut body)) = data.decode::<Value>() else {
        return Data::empty();
    };
    body.remove("data");
    if let Some(Value::Object(content)) = body.get_mut("content") {
        content.remove("chunk");
    }
    Data::from_value(&body)
}
