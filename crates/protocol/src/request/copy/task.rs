//! REMOTECOPY and REMOTEFETCH: what is to be copied, and where to.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{BadMode, MAX_PATH, Mode};
use crate::request::command::object;
use crate::{Data, DataError};

/// The body of REMOTECOPY and of REMOTEFETCH.
///
/// ```text
/// {"source":"/etc/a.cfg","destination":"/etc/b.cfg","mode":"0640","owner":"root","group":"root"}
/// {"content":{"source":…,"destination":…,"cache_dir":…,"type":…,"owner":…,"group":…}}
/// ```
/// `ttl` beside it bounds the whole copy. `cache_dir` and `type`, which older daemons want, are
/// taken and not needed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CopyTask {
    /// The file or directory, absolute, on the node that has it.
    pub source: String,
    /// What it is to be called there, absolute; with a `/` at its end: the directory into which it
    /// goes under its own name.
    pub destination: String,
    /// The permission bits of the file, or of every file of the directory; those of the source
    /// where absent.
    pub mode: Option<Mode>,
    /// To whom it is to belong, by name or number; whoever writes it where absent.
    pub owner: Option<String>,
    /// The same for its group.
    pub group: Option<String>,
}

/// A body that names no copy.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// Not the JSON that it should be.
    #[error(transparent)]
    Json(#[from] DataError),
    /// DATA or `content` is a number, a list or the like.
    #[error("it must be an object such as {{\"source\":\"/a\",\"destination\":\"/b\"}}, it is {0}")]
    NotAnObject(&'static str),
    /// A path is missing, or no path that could be meant.
    #[error("'{member}' {problem}")]
    Path {
        /// Which.
        member: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The mode is none.
    #[error("'mode': {0}")]
    Mode(#[from] BadMode),
    /// An owner or a group is neither a name nor a number.
    #[error("'{0}' must be a name or a number")]
    Name(&'static str),
}

impl CopyTask {
    /// Reads the body in either of its spellings.
    ///
    /// # Errors
    /// When a path is missing or not absolute, or a member cannot be used.
    pub fn decode(data: &Data) -> Result<Self, TaskError> {
        let mut body = object(data.decode::<Value>()?).map_err(TaskError::NotAnObject)?;
        if let Some(content) = body.remove("content") {
            body = object(content).map_err(TaskError::NotAnObject)?;
        }
        let mode = match body.get("mode") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(Mode::parse(text)?),
            Some(other) => return Err(BadMode(other.to_string()).into()),
        };
        Ok(Self {
            source: path(&body, "source")?,
            destination: path(&body, "destination")?,
            mode,
            owner: name(&body, "owner")?,
            group: name(&body, "group")?,
        })
    }

    /// Writes the body, in the spelling that older daemons also read.
    #[must_use]
    pub fn encode(&self) -> Data {
        let mut content = Map::new();
        content.insert("source".into(), self.source.clone().into());
        content.insert("destination".into(), self.destination.clone().into());
        for (member, value) in [("owner", &self.owner), ("group", &self.group)] {
            if let Some(value) = value {
                content.insert(member.into(), value.clone().into());
            }
        }
        if let Some(mode) = self.mode {
            content.insert("mode".into(), serde_json::json!(mode));
        }
        Data::from_value(&serde_json::json!({ "content": content }))
    }
}

/// An absolute path.
fn path(body: &Map<String, Value>, member: &'static str) -> Result<String, TaskError> {
    let wrong = |problem| TaskError::Path { member, problem };
    match body.get(member) {
        None | Some(Value::Null) => Err(wrong("is missing")),
        Some(Value::String(text)) => absolute(text).map_err(wrong),
        Some(_) => Err(wrong("must be a text")),
    }
}

/// A path that starts at the root, is not too long and could be one at all.
pub(super) fn absolute(text: &str) -> Result<String, &'static str> {
    if !text.starts_with('/') {
        Err("must be an absolute path")
    } else if text.contains('\0') {
        Err("has a character that no path has")
    } else if text.len() > MAX_PATH {
        Err("is longer than a path can be")
    } else {
        Ok(text.to_owned())
    }
}

fn name(body: &Map<String, Value>, member: &'static str) -> Result<Option<String>, TaskError> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Name {
        Text(String),
        Number(u32),
    }
    match body.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match Name::deserialize(value) {
            Ok(Name::Text(text)) if text.is_empty() => Ok(None),
            Ok(Name::Text(text)) => Ok(Some(text)),
            Ok(Name::Number(number)) => Ok(Some(number.to_string())),
            Err(_) => Err(TaskError::Name(member)),
        },
    }
}
