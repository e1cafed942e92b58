//! The modules `action` and `engine`: running commands, and the engine's pipe.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::monitor;
use super::section::{Item, Section};

/// What gorgone-action is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ActionConfig {
    /// Whether gorgoned starts it.
    pub enable: bool,
    /// Where it tells how it is: `/healthz`, `/readyz`, `/metrics`.
    pub metrics: Option<SocketAddr>,
    /// The instance's name on the bus: unique among all modules, the same after a restart.
    pub instance: String,
    /// How long a command may run that does not say so itself.
    pub command_timeout: Duration,
    /// How long a command may run at most, whatever it says.
    pub max_timeout: Duration,
    /// From TERM to KILL when a command is ended.
    pub kill_delay: Duration,
    /// Whether only what `allowed_cmds` and `commands` allow may run.
    pub whitelist_cmds: bool,
    /// What command lines may be run.
    pub allowed_cmds: Vec<AllowedCommand>,
    /// Commands by name, run without a shell.
    pub commands: BTreeMap<String, CommandTemplate>,
    /// Commands that run at one time.
    pub max_parallel: usize,
    /// Requests that may wait for their turn.
    pub queue: usize,
    /// Bytes kept of each of stdout and stderr.
    pub max_output: usize,
    /// The engine's pipe where a request names none.
    pub engine_pipe: PathBuf,
    /// How long a write to the engine's pipe may take.
    pub engine_timeout: Duration,
}

/// A line of `allowed_cmds`: a regular expression, or a mapping that allows more.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AllowedCommand {
    /// A regular expression that must match the whole command. It compiles.
    pub pattern: String,
    /// Whether a matching line is given to a shell, with all that a shell understands.
    pub shell: bool,
    /// Variables that the request may set.
    pub env: Vec<String>,
    /// Directories in which the request may start it.
    pub cwd: Vec<String>,
    /// Users as whom the request may run it.
    pub users: Vec<String>,
}

/// A command that may be run by its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommandTemplate {
    /// The program and its arguments; `{name}` in one of them stands for an argument's value.
    /// The program itself holds none.
    pub argv: Vec<String>,
    /// What may be given. Every `{name}` in `argv` is here, and every one here is used.
    pub args: BTreeMap<String, ArgType>,
    /// How long it may run, instead of `command_timeout`.
    pub timeout: Option<Duration>,
}

/// What an argument of a [`CommandTemplate`] may be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ArgType {
    /// A text all of which the regular expression matches. It compiles.
    Text {
        /// The regular expression.
        pattern: String,
    },
    /// A whole number.
    Integer {
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
    },
    /// One of these.
    Choice {
        /// At least one.
        values: Vec<String>,
    },
}

const DEFAULT_PIPE: &str = "/var/lib/centreon-engine/rw/centengine.cmd";
const DAY: u64 = 86_400;
const MIB: usize = 1024 * 1024;

/// Reads the modules `action` and `engine`; the latter's `command_file` is the older name of
/// the former's `engine_pipe`.
pub(super) fn read(section: Section<'_>, engine: Section<'_>) -> ActionConfig {
    engine.raw("name");
    engine.raw("package");
    engine.flag("enable", false);
    let command_file = engine.file("command_file");
    engine.finish();

    section.raw("name");
    section.raw("package");
    let allowed_cmds = allowed(&section);
    let parallel = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) * 4;
    let config = ActionConfig {
        enable: section.flag("enable", false),
        metrics: monitor::read(&section, 0),
        instance: section.instance("gorgone-action"),
        command_timeout: section.seconds("command_timeout", 30, 1..=DAY),
        max_timeout: section.seconds("max_timeout", DAY, 1..=30 * DAY),
        kill_delay: section.seconds("kill_delay", 2, 0..=600),
        whitelist_cmds: section.flag("whitelist_cmds", false),
        allowed_cmds,
        commands: templates(&section),
        max_parallel: section.count("max_parallel", parallel, 1..=4096),
        queue: section.count("queue", 10_000, 1..=1_000_000),
        max_output: section.count("max_output", MIB, 1024..=3 * 1024 * 1024),
        engine_pipe: section
            .file("engine_pipe")
            .or(command_file)
            .unwrap_or_else(|| DEFAULT_PIPE.into()),
        engine_timeout: section.seconds("engine_timeout", 5, 1..=600),
    };
    if config.whitelist_cmds && config.allowed_cmds.is_empty() && config.commands.is_empty() {
        section.warn(
            "whitelist_cmds",
            "is true, and neither allowed_cmds nor commands allow anything: every command will be refused",
        );
    }
    section.finish();
    config
}

fn allowed(section: &Section<'_>) -> Vec<AllowedCommand> {
    let mut allowed = Vec::new();
    for (path, item) in section.texts_or_sections("allowed_cmds") {
        match item {
            Item::Text(pattern) => match regex(&pattern) {
                Ok(()) => allowed.push(AllowedCommand {
                    pattern,
                    ..AllowedCommand::default()
                }),
                Err(message) => section.reader().problem(&path, message),
            },
            Item::Section(rule) => {
                if !rule.has("pattern") {
                    rule.problem(
                        "pattern",
                        "is missing: the regular expression of the command",
                    );
                }
                let texts = |key| rule.texts(key).into_iter().map(|(_, text)| text).collect();
                allowed.push(AllowedCommand {
                    pattern: rule
                        .parsed("pattern", |text| regex(text).map(|()| text.to_owned()))
                        .unwrap_or_default(),
                    shell: rule.flag("shell", false),
                    env: texts("env"),
                    cwd: texts("cwd"),
                    users: texts("users"),
                });
                rule.finish();
            }
        }
    }
    allowed
}

fn regex(text: &str) -> Result<(), String> {
    regex::Regex::new(&format!("^(?:{text})$"))
        .map(drop)
        .map_err(|error| not_an_expression(&error))
}

/// What is wrong with a text that should be a regular expression.
pub(super) fn not_an_expression(error: &regex::Error) -> String {
    // The library draws a picture over several lines; its last line says what is wrong.
    let text = error.to_string();
    let reason = text.lines().last().unwrap_or_default();
    let reason = reason.trim().trim_start_matches("error: ");
    format!(
        "is not a regular expression: {reason}; look-around and back-references do not exist here"
    )
}

fn templates(section: &Section<'_>) -> BTreeMap<String, CommandTemplate> {
    let Some(commands) = section.section("commands") else {
        return BTreeMap::new();
    };
    commands
        .keys()
        .into_iter()
        .filter_map(|name| Some((name.clone(), template(commands.section(&name)?))))
        .collect()
}

fn template(section: Section<'_>) -> CommandTemplate {
    let argv: Vec<String> = section
        .texts("argv")
        .into_iter()
        .map(|(_, text)| text)
        .collect();
    let mut args = BTreeMap::new();
    if let Some(list) = section.section("args") {
        for name in list.keys() {
            if let Some(arg) = list.section(&name).and_then(argument) {
                args.insert(name, arg);
            }
        }
    }
    if argv.is_empty() {
        section.problem(
            "argv",
            "is missing; write argv: [\"/path/to/program\", \"argument\"]",
        );
    } else if !argv[0].starts_with('/') || argv[0].contains('{') {
        section.problem("argv", "must begin with the full path of a program");
    }
    let used: BTreeSet<&str> = argv.iter().flat_map(|text| placeholders(text)).collect();
    let given: BTreeSet<&str> = args.keys().map(String::as_str).collect();
    for name in used.difference(&given) {
        section.problem(
            "argv",
            format!("'{{{name}}}' is not among args; describe it there"),
        );
    }
    for name in given.difference(&used) {
        section.problem(
            "args",
            format!("'{name}' does not occur in argv as '{{{name}}}'"),
        );
    }
    let timeout = section
        .has("timeout")
        .then(|| section.seconds("timeout", 30, 1..=DAY));
    section.finish();
    CommandTemplate {
        argv,
        args,
        timeout,
    }
}

fn argument(section: Section<'_>) -> Option<ArgType> {
    let kind = section.text("type");
    let arg = match kind.as_deref() {
        Some("string") => {
            let pattern = section.parsed("pattern", |text| regex(text).map(|()| text.to_owned()));
            if !section.has("pattern") {
                section.problem("pattern", "is missing: a string needs a regular expression");
            }
            pattern.map(|pattern| ArgType::Text { pattern })
        }
        Some("integer") => {
            let bound = |key, default| {
                section
                    .parsed(key, |text| {
                        text.parse::<i64>()
                            .map_err(|_| format!("'{text}' is not a whole number"))
                    })
                    .unwrap_or(default)
            };
            let (min, max) = (bound("min", i64::MIN), bound("max", i64::MAX));
            if min > max {
                section.problem("min", "is larger than max");
            }
            Some(ArgType::Integer { min, max })
        }
        Some("choice") => {
            let values: Vec<String> = section
                .texts("values")
                .into_iter()
                .map(|(_, text)| text)
                .collect();
            if values.is_empty() {
                section.problem("values", "is missing: a choice needs a list of values");
            }
            Some(ArgType::Choice { values })
        }
        _ => {
            section.problem("type", "must be string, integer or choice");
            return None;
        }
    };
    section.finish();
    arg
}

/// The names in braces: `{service}`.
fn placeholders(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('{') {
        let Some((name, behind)) = after.split_once('}') else {
            break;
        };
        if !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            names.push(name);
        }
        rest = behind;
    }
    names
}
