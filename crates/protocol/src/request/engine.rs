//! ENGINECOMMAND: external commands for the monitoring engine.
//!
//! ```text
//! {"command":"[1417705150] ENABLE_HOST_CHECK;host1","engine_pipe":"/…/centengine.cmd"}
//! {"content":{"command":…,"command_file":…}}      {"content":[{"command":…}, …]}
//! ```
//! `command` may be a list of lines. A line break inside a line is refused: it would smuggle
//! in a command of its own.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::command::object;
use crate::{Data, DataError};

/// Most lines in one request.
pub const MAX_LINES: usize = 100_000;

/// The body of ENGINECOMMAND: lines in the order in which they are written. Never empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EngineRequest {
    /// The lines.
    pub lines: Vec<EngineLine>,
}

/// One external command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EngineLine {
    /// The line, without a line break.
    pub command: String,
    /// The engine's pipe; the one of the configuration where absent.
    pub pipe: Option<Arc<str>>,
}

/// A body that holds nothing to write.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Not the JSON that it should be.
    #[error(transparent)]
    Json(#[from] DataError),
    /// DATA is a number, an array or the like.
    #[error("DATA must be an object such as {{\"command\":\"[1417705150] …\"}}, it is {0}")]
    NotAnObject(&'static str),
    /// A member cannot be used.
    #[error("'{member}' {problem}")]
    Member {
        /// Which member.
        member: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// There is no line.
    #[error("there is no 'command'")]
    NoCommand,
    /// More than [`MAX_LINES`].
    #[error("more than {MAX_LINES} lines in one request")]
    TooMany,
}

impl EngineRequest {
    /// Reads the body in any of its spellings.
    ///
    /// # Errors
    /// When it holds no line, or one that would be read as several.
    pub fn decode(data: &Data) -> Result<Self, EngineError> {
        let body = object(data.decode::<Value>()?).map_err(EngineError::NotAnObject)?;
        let around = pipe(&body)?;
        let mut lines = Vec::new();
        match body.get("content") {
            None | Some(Value::Null) => read(&body, None, &mut lines)?,
            Some(Value::Object(one)) => read(one, around.as_ref(), &mut lines)?,
            Some(Value::Array(list)) => {
                for one in list {
                    match one {
                        Value::Object(one) => read(one, around.as_ref(), &mut lines)?,
                        Value::String(text) => push(text, around.as_ref(), &mut lines)?,
                        _ => return Err(wrong("content", "must hold objects or texts")),
                    }
                }
            }
            Some(_) => return Err(wrong("content", "must be an object or a list")),
        }
        if lines.is_empty() {
            return Err(EngineError::NoCommand);
        }
        Ok(Self { lines })
    }

    /// Writes the body: lines for one pipe in the seed's spelling, others under `content`.
    #[must_use]
    pub fn encode(&self) -> Data {
        let object = |command: Value, pipe: Option<&Arc<str>>| {
            let mut body = Map::new();
            body.insert("command".into(), command);
            if let Some(pipe) = pipe {
                body.insert("engine_pipe".into(), pipe.as_ref().into());
            }
            Value::from(body)
        };
        let first = self.lines.first().and_then(|line| line.pipe.as_ref());
        if self.lines.iter().any(|line| line.pipe.as_ref() != first) {
            let content: Vec<Value> = self
                .lines
                .iter()
                .map(|line| object(line.command.clone().into(), line.pipe.as_ref()))
                .collect();
            return Data::from_value(&serde_json::json!({ "content": content }));
        }
        let command = match self.lines.as_slice() {
            [one] => one.command.clone().into(),
            several => several
                .iter()
                .map(|line| Value::from(line.command.clone()))
                .collect(),
        };
        Data::from_value(&object(command, first))
    }
}

fn read(
    body: &Map<String, Value>,
    around: Option<&Arc<str>>,
    lines: &mut Vec<EngineLine>,
) -> Result<(), EngineError> {
    let own = pipe(body)?;
    let pipe = own.as_ref().or(around);
    match body.get("command") {
        None | Some(Value::Null) => Err(EngineError::NoCommand),
        Some(Value::String(text)) => push(text, pipe, lines),
        Some(Value::Array(list)) => list.iter().try_for_each(|text| match text {
            Value::String(text) => push(text, pipe, lines),
            _ => Err(wrong("command", "must be a text or a list of texts")),
        }),
        Some(_) => Err(wrong("command", "must be a text or a list of texts")),
    }
}

fn push(
    text: &str,
    pipe: Option<&Arc<str>>,
    lines: &mut Vec<EngineLine>,
) -> Result<(), EngineError> {
    let line = text.trim_end_matches(['\n', '\r']);
    if line.trim().is_empty() {
        return Err(wrong("command", "is empty"));
    }
    if line.contains(['\n', '\r']) {
        return Err(wrong(
            "command",
            "contains a line break: give several commands as a list",
        ));
    }
    if line.contains('\0') {
        return Err(wrong("command", "contains a NUL byte"));
    }
    if lines.len() == MAX_LINES {
        return Err(EngineError::TooMany);
    }
    lines.push(EngineLine {
        command: line.to_owned(),
        pipe: pipe.cloned(),
    });
    Ok(())
}

/// `engine_pipe`, or `command_file` as newer clients call it.
fn pipe(body: &Map<String, Value>) -> Result<Option<Arc<str>>, EngineError> {
    for member in ["engine_pipe", "command_file"] {
        match body.get(member) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) if text.is_empty() => {}
            Some(Value::String(text)) if text.contains('\0') => {
                return Err(wrong(member, "contains a NUL byte"));
            }
            Some(Value::String(text)) => return Ok(Some(text.as_str().into())),
            Some(_) => return Err(wrong(member, "must be a text")),
        }
    }
    Ok(None)
}

const fn wrong(member: &'static str, problem: &'static str) -> EngineError {
    EngineError::Member { member, problem }
}
