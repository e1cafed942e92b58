//! COMMAND: run one command, or several in order.
//!
//! ```text
//! {"command":"ls /"}
//! {"content":{"command":"ls /","timeout":5,"metadata":{…}}}
//! {"content":[{"command":"a"},{"argv":["b","c"]},{"template":"restart","args":{"name":"x"}}]}
//! ```
//! `timeout`, `env`, `cwd`, `user`, `continue_on_error` and `metadata` may stand beside a command;
//! beside `content` they are what its commands fall back on. Members that are not known are
//! left alone: `ttl` and `retries` belong to the delivery.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::{Data, DataError};

/// Most commands in one request.
pub const MAX_COMMANDS: usize = 1000;

/// Longest time that a command may ask for: a week.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(7 * 86_400);

/// What the commands of one request may take over from beside `content`, in bytes of JSON and
/// over all commands. Each has its own copy, in memory and in the history, so that a short
/// request could otherwise grow a thousandfold.
pub const MAX_SHARED: usize = 1024 * 1024;

/// The body of COMMAND: what to run, in this order. Never empty.
#[derive(Clone, PartialEq, Debug)]
pub struct CommandRequest {
    /// The commands.
    pub commands: Vec<Command>,
}

/// One command of a request.
#[derive(Clone, PartialEq, Debug)]
pub struct Command {
    /// What to run.
    pub run: Run,
    /// Variables added to its environment.
    pub env: BTreeMap<String, String>,
    /// The directory in which it starts.
    pub cwd: Option<String>,
    /// The user as whom it runs, by name or number.
    pub user: Option<String>,
    /// How long it may run; the runner's default where absent.
    pub timeout: Option<Duration>,
    /// Whether the commands after it run even if it fails, and its failure is none of the
    /// request's.
    pub continue_on_error: bool,
    /// Whatever the client wants to find again in the result.
    pub metadata: Option<Value>,
}

/// The three ways of saying what to run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Run {
    /// A command line for the shell.
    Line(String),
    /// A program and its arguments; no shell. Never empty.
    Argv(Vec<String>),
    /// A command that the runner's administrator defined under a name.
    Template {
        /// Its name.
        name: String,
        /// Values for its arguments, as text.
        args: BTreeMap<String, String>,
    },
}

/// A body that says no command. Every text names the command by its place (from 1) where there
/// are several.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Not the JSON that it should be.
    #[error(transparent)]
    Json(#[from] DataError),
    /// DATA is a number, an array or the like.
    #[error("DATA must be an object such as {{\"command\":\"ls /\"}}, it is {0}")]
    NotAnObject(&'static str),
    /// Neither `command` nor `argv` nor `template`, or more than one of them.
    #[error("{place}needs exactly one of 'command', 'argv' and 'template'")]
    WhatToRun {
        /// Which command.
        place: Place,
    },
    /// A member cannot be used.
    #[error("{place}'{member}' {problem}")]
    Member {
        /// Which command.
        place: Place,
        /// Which member.
        member: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// `content` is an empty list.
    #[error("'content' holds no command")]
    NoCommand,
    /// What stands beside `content` comes to more than [`MAX_SHARED`], once for each command.
    #[error(
        "what stands beside 'content' goes to each of its commands: {0} bytes in all, at most \
         {MAX_SHARED} are taken"
    )]
    Shared(usize),
    /// More than [`MAX_COMMANDS`].
    #[error("{0} commands in one request, at most {MAX_COMMANDS} are taken")]
    TooMany(usize),
}

/// Which command of the request an error is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// The only one.
    Only,
    /// The one with this number, from 1.
    Number(usize),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Only => Ok(()),
            Self::Number(number) => write!(f, "command {number}: "),
        }
    }
}

impl CommandRequest {
    /// Reads the body in any of its spellings.
    ///
    /// # Errors
    /// When it says no command, or one that no process could be started with.
    pub fn decode(data: &Data) -> Result<Self, CommandError> {
        let body = object(data.decode::<Value>()?).map_err(CommandError::NotAnObject)?;
        let commands = match body.get("content") {
            None | Some(Value::Null) => vec![Reader::new(&body, None, Place::Only).command()?],
            Some(Value::Object(one)) => {
                vec![Reader::new(one, Some(&body), Place::Only).command()?]
            }
            Some(Value::Array(list)) => {
                if list.is_empty() {
                    return Err(CommandError::NoCommand);
                }
                if list.len() > MAX_COMMANDS {
                    return Err(CommandError::TooMany(list.len()));
                }
                let shared = shared_bytes(&body).saturating_mul(list.len());
                if list.len() > 1 && shared > MAX_SHARED {
                    return Err(CommandError::Shared(shared));
                }
                list.iter()
                    .enumerate()
                    .map(|(index, one)| {
                        let place = Place::Number(index + 1);
                        let Value::Object(one) = one else {
                            return Err(CommandError::WhatToRun { place });
                        };
                        Reader::new(one, Some(&body), place).command()
                    })
                    .collect::<Result<_, _>>()?
            }
            Some(_) => {
                return Err(CommandError::Member {
                    place: Place::Only,
                    member: "content",
                    problem: "must be an object or a list of objects",
                });
            }
        };
        Ok(Self { commands })
    }

    /// A request for one command line, with nothing else said.
    #[must_use]
    pub fn line(command: &str) -> Self {
        Self {
            commands: vec![Command::new(Run::Line(command.to_owned()))],
        }
    }

    /// Writes the body: one command in the seed's spelling, several under `content`.
    #[must_use]
    pub fn encode(&self) -> Data {
        match self.commands.as_slice() {
            [one] => Data::from_value(&one.write()),
            several => {
                let content: Vec<Value> = several.iter().map(Command::write).collect();
                Data::from_value(&serde_json::json!({ "content": content }))
            }
        }
    }
}

impl Command {
    /// A command with nothing else said.
    #[must_use]
    pub const fn new(run: Run) -> Self {
        Self {
            run,
            env: BTreeMap::new(),
            cwd: None,
            user: None,
            timeout: None,
            continue_on_error: false,
            metadata: None,
        }
    }

    fn write(&self) -> Value {
        let mut body = Map::new();
        match &self.run {
            Run::Line(line) => {
                body.insert("command".into(), line.clone().into());
            }
            Run::Argv(argv) => {
                body.insert("argv".into(), argv.clone().into());
            }
            Run::Template { name, args } => {
                body.insert("template".into(), name.clone().into());
                body.insert("args".into(), serde_json::json!(args));
            }
        }
        if !self.env.is_empty() {
            body.insert("env".into(), serde_json::json!(self.env));
        }
        let optional = [
            ("cwd", self.cwd.clone().map(Value::from)),
            ("user", self.user.clone().map(Value::from)),
            ("timeout", self.timeout.map(seconds)),
            (
                "continue_on_error",
                self.continue_on_error.then_some(Value::Bool(true)),
            ),
            ("metadata", self.metadata.clone()),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                body.insert(name.into(), value);
            }
        }
        body.into()
    }
}

fn seconds(duration: Duration) -> Value {
    if duration.subsec_nanos() == 0 {
        duration.as_secs().into()
    } else {
        duration.as_secs_f64().into()
    }
}

/// The length of all that commands take over from around them.
fn shared_bytes(body: &Map<String, Value>) -> usize {
    ["env", "cwd", "user", "metadata"]
        .iter()
        .filter_map(|member| body.get(*member))
        .map(|value| value.to_string().len())
        .sum()
}

/// The members of an object, or what the value is instead.
pub(super) fn object(value: Value) -> Result<Map<String, Value>, &'static str> {
    match value {
        Value::Object(body) => Ok(body),
        Value::Null => Err("null"),
        Value::Bool(_) => Err("a truth value"),
        Value::Number(_) => Err("a number"),
        Value::String(_) => Err("a text"),
        Value::Array(_) => Err("a list"),
    }
}

/// Reads the members of one command, with those around `content` to fall back on.
struct Reader<'a> {
    own: &'a Map<String, Value>,
    around: Option<&'a Map<String, Value>>,
    place: Place,
}

impl<'a> Reader<'a> {
    const fn new(
        own: &'a Map<String, Value>,
        around: Option<&'a Map<String, Value>>,
        place: Place,
    ) -> Self {
        Self { own, around, place }
    }

    fn command(&self) -> Result<Command, CommandError> {
        Ok(Command {
            run: self.run()?,
            env: self.env()?,
            cwd: self.text("cwd")?,
            user: self.text("user")?,
            timeout: self.timeout()?,
            continue_on_error: self.flag("continue_on_error")?,
            metadata: self.get("metadata").cloned(),
        })
    }

    fn run(&self) -> Result<Run, CommandError> {
        let given = |name| self.own.get(name).filter(|value| !value.is_null());
        match (given("command"), given("argv"), given("template")) {
            (Some(Value::String(line)), None, None) => {
                if line.trim().is_empty() {
                    return Err(self.wrong("command", "is empty"));
                }
                Ok(Run::Line(self.clean("command", line)?))
            }
            (Some(_), None, None) => Err(self.wrong("command", "must be a text")),
            (None, Some(Value::Array(words)), None) => {
                let argv: Vec<String> = words
                    .iter()
                    .map(|word| match word {
                        Value::String(word) => self.clean("argv", word),
                        Value::Number(number) => Ok(number.to_string()),
                        _ => Err(self.wrong("argv", "must be a list of texts")),
                    })
                    .collect::<Result<_, _>>()?;
                if argv.first().is_none_or(String::is_empty) {
                    return Err(self.wrong("argv", "names no program"));
                }
                Ok(Run::Argv(argv))
            }
            (None, Some(_), None) => Err(self.wrong("argv", "must be a list of texts")),
            (None, None, Some(Value::String(name))) => Ok(Run::Template {
                name: name.clone(),
                args: self.pairs("args", self.own.get("args"))?,
            }),
            (None, None, Some(_)) => Err(self.wrong("template", "must be a text")),
            _ => Err(CommandError::WhatToRun { place: self.place }),
        }
    }

    fn env(&self) -> Result<BTreeMap<String, String>, CommandError> {
        let env = self.pairs("env", self.get("env"))?;
        if env.keys().any(|name| name.is_empty() || name.contains('=')) {
            return Err(self.wrong("env", "has a name that is empty or contains '='"));
        }
        Ok(env)
    }

    /// Texts by name; numbers and truth values are taken as they are written.
    fn pairs(
        &self,
        member: &'static str,
        value: Option<&Value>,
    ) -> Result<BTreeMap<String, String>, CommandError> {
        match value {
            None | Some(Value::Null) => Ok(BTreeMap::new()),
            Some(Value::Object(pairs)) => pairs
                .iter()
                .map(|(name, value)| {
                    let value = match value {
                        Value::String(text) => self.clean(member, text)?,
                        Value::Number(_) | Value::Bool(_) => value.to_string(),
                        _ => return Err(self.wrong(member, "must hold texts")),
                    };
                    Ok((self.clean(member, name)?, value))
                })
                .collect(),
            Some(_) => Err(self.wrong(member, "must be an object of texts")),
        }
    }

    /// Seconds as a number or as digits; 0, null and empty mean the default.
    fn timeout(&self) -> Result<Option<Duration>, CommandError> {
        let seconds = match self.get("timeout") {
            None => return Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => return Ok(None),
            Some(Value::String(text)) => text.trim().parse::<f64>().ok(),
            Some(Value::Number(number)) => number.as_f64(),
            Some(_) => None,
        };
        match seconds {
            Some(0.0) => Ok(None),
            Some(seconds) if seconds.is_finite() && seconds > 0.0 => {
                let seconds = seconds.min(MAX_TIMEOUT.as_secs_f64());
                Ok(Some(Duration::from_secs_f64(seconds)))
            }
            _ => Err(self.wrong("timeout", "must be a number of seconds")),
        }
    }

    fn flag(&self, member: &'static str) -> Result<bool, CommandError> {
        match self.get(member) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::Number(number)) if number.as_i64() == Some(1) => Ok(true),
            Some(Value::Number(number)) if number.as_i64() == Some(0) => Ok(false),
            Some(Value::String(text)) => match text.as_str() {
                "1" | "true" | "yes" => Ok(true),
                "" | "0" | "false" | "no" => Ok(false),
                _ => Err(self.wrong(member, "must be true or false")),
            },
            Some(_) => Err(self.wrong(member, "must be true or false")),
        }
    }

    fn text(&self, member: &'static str) -> Result<Option<String>, CommandError> {
        match self.get(member) {
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => self.clean(member, text).map(Some),
            Some(Value::Number(number)) if number.is_u64() => Ok(Some(number.to_string())),
            Some(_) => Err(self.wrong(member, "must be a text")),
        }
    }

    /// The command's own member, or the one around `content`; null counts as absent.
    fn get(&self, member: &str) -> Option<&'a Value> {
        let from = |body: &'a Map<String, Value>| body.get(member).filter(|v| !v.is_null());
        from(self.own).or_else(|| self.around.and_then(from))
    }

    /// No argument of a process can hold a NUL byte.
    fn clean(&self, member: &'static str, text: &str) -> Result<String, CommandError> {
        if text.contains('\0') {
            return Err(self.wrong(member, "contains a NUL byte"));
        }
        Ok(text.to_owned())
    }

    const fn wrong(&self, member: &'static str, problem: &'static str) -> CommandError {
        CommandError::Member {
            place: self.place,
            member,
            problem,
        }
    }
}
