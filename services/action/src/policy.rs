//! What may run: the allow-list and the named commands. Decides, and runs nothing.
//!
//! With the allow-list on, a command line that a rule matches is split into words and run
//! without a shell, so that nothing rides along behind a pattern such as `.*`; only a rule that
//! says `shell: true` gives its lines to one.

use std::collections::BTreeMap;
use std::time::Duration;

use gorgone_protocol::request::command::{Command, Run};
use regex::Regex;

use crate::settings::{AllowedCommand, ArgType, CommandTemplate, Settings};
use crate::words::{self, NotWords};

/// A command that may run, and how.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Plan {
    pub(crate) program: Program,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) cwd: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) timeout: Duration,
}

/// With or without a shell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Program {
    Shell(String),
    Argv(Vec<String>),
}

/// A command that may not run.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// No rule of the allow-list matches.
    #[error("the command is not allowed: no rule of allowed_cmds matches it")]
    NotAllowed,
    /// A rule matches, and the line is more than words.
    #[error("the command is not allowed: {0}")]
    NotWords(#[from] NotWords),
    /// The allow-list does not let the request say this.
    #[error("'{0}' is not allowed with this command")]
    Member(&'static str),
    /// There is no such named command.
    #[error("there is no command named '{0}'")]
    NoTemplate(String),
    /// An argument of a named command is missing.
    #[error("argument '{0}' is missing")]
    Missing(String),
    /// A named command takes no such argument.
    #[error("there is no argument '{0}'")]
    NoArgument(String),
    /// An argument of a named command has a value that it may not have.
    #[error("argument '{name}' must be {expected}")]
    Argument {
        /// Which argument.
        name: String,
        /// What it may be.
        expected: String,
    },
}

/// A pattern of the configuration that is no regular expression.
#[derive(Debug, thiserror::Error)]
#[error("'{pattern}' is not a regular expression: {source}")]
pub struct BadPattern {
    pattern: String,
    source: regex::Error,
}

struct Rule {
    pattern: Regex,
    rule: AllowedCommand,
}

struct Template {
    definition: CommandTemplate,
    /// The patterns of its text arguments.
    patterns: BTreeMap<String, Regex>,
}

/// The compiled allow-list.
pub(crate) struct Policy {
    whitelist: bool,
    rules: Vec<Rule>,
    templates: BTreeMap<String, Template>,
    command_timeout: Duration,
    max_timeout: Duration,
}

impl Policy {
    pub(crate) fn new(settings: &Settings) -> Result<Self, BadPattern> {
        let rules = settings
            .allowed
            .iter()
            .map(|rule| {
                Ok(Rule {
                    pattern: whole(&rule.pattern)?,
                    rule: rule.clone(),
                })
            })
            .collect::<Result<_, _>>()?;
        let templates = settings
            .templates
            .iter()
            .map(|(name, definition)| {
                let mut patterns = BTreeMap::new();
                for (arg, kind) in &definition.args {
                    if let ArgType::Text { pattern } = kind {
                        patterns.insert(arg.clone(), whole(pattern)?);
                    }
                }
                let definition = definition.clone();
                let template = Template {
                    definition,
                    patterns,
                };
                Ok((name.clone(), template))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            whitelist: settings.whitelist,
            rules,
            templates,
            command_timeout: settings.command_timeout,
            max_timeout: settings.max_timeout,
        })
    }

    /// Whether and how a command may run.
    pub(crate) fn decide(&self, command: &Command) -> Result<Plan, Refused> {
        let mut timeout = self.command_timeout;
        let program = match &command.run {
            Run::Template { name, args } => {
                let template = self
                    .templates
                    .get(name)
                    .ok_or_else(|| Refused::NoTemplate(name.clone()))?;
                if self.whitelist {
                    allow_members(command, &[], &[], &[])?;
                }
                timeout = template.definition.timeout.unwrap_or(timeout);
                Program::Argv(template.fill(args)?)
            }
            Run::Line(line) if self.whitelist => {
                let line = line.trim();
                let rule = self.matching(line, command)?;
                if rule.shell {
                    Program::Shell(line.to_owned())
                } else {
                    Program::Argv(words::split(line)?)
                }
            }
            Run::Argv(argv) if self.whitelist => {
                self.matching(&words::join(argv), command)?;
                Program::Argv(argv.clone())
            }
            Run::Line(line) => Program::Shell(line.clone()),
            Run::Argv(argv) => Program::Argv(argv.clone()),
        };
        Ok(Plan {
            program,
            env: command.env.clone(),
            cwd: command.cwd.clone(),
            user: command.user.clone(),
            timeout: command.timeout.unwrap_or(timeout).min(self.max_timeout),
        })
    }

    /// Whether a pipe may be written to: with the allow-list on, only the configured one.
    pub(crate) const fn is_whitelisting(&self) -> bool {
        self.whitelist
    }

    /// The first rule that allows the line with all that the request says beside it; where
    /// several match the line alone, the error is about the first.
    fn matching(&self, line: &str, command: &Command) -> Result<&AllowedCommand, Refused> {
        let mut refused = Refused::NotAllowed;
        for Rule { pattern, rule } in &self.rules {
            if !pattern.is_match(line) {
                continue;
            }
            let words = match (&command.run, rule.shell) {
                (Run::Line(line), false) => words::split(line).map(drop).map_err(Into::into),
                _ => Ok(()),
            };
            match words.and_then(|()| allow_members(command, &rule.env, &rule.cwd, &rule.users)) {
                Ok(()) => return Ok(rule),
                Err(error) if refused == Refused::NotAllowed => refused = error,
                Err(_) => {}
            }
        }
        Err(refused)
    }
}

/// The pattern alone must be right too: `a)|(b` would otherwise escape from the anchors.
fn whole(pattern: &str) -> Result<Regex, BadPattern> {
    Regex::new(pattern)
        .and_then(|_| Regex::new(&format!(r"\A(?:{pattern})\z")))
        .map_err(|source| BadPattern {
            pattern: pattern.to_owned(),
            source,
        })
}

/// `env`, `cwd` and `user` decide what a command line does as much as its words: `PATH` and
/// `LD_PRELOAD` turn an allowed name into any program.
fn allow_members(
    command: &Command,
    env: &[String],
    cwd: &[String],
    users: &[String],
) -> Result<(), Refused> {
    if !command.env.keys().all(|name| env.contains(name)) {
        return Err(Refused::Member("env"));
    }
    if command.cwd.as_ref().is_some_and(|dir| !cwd.contains(dir)) {
        return Err(Refused::Member("cwd"));
    }
    if command.user.as_ref().is_some_and(|u| !users.contains(u)) {
        return Err(Refused::Member("user"));
    }
    Ok(())
}

impl Template {
    fn fill(&self, values: &BTreeMap<String, String>) -> Result<Vec<String>, Refused> {
        for (name, kind) in &self.definition.args {
            let value = values
                .get(name)
                .ok_or_else(|| Refused::Missing(name.clone()))?;
            self.check(name, kind, value)?;
        }
        if let Some(name) = values
            .keys()
            .find(|name| !self.definition.args.contains_key(*name))
        {
            return Err(Refused::NoArgument(name.clone()));
        }
        Ok(self
            .definition
            .argv
            .iter()
            .map(|word| fill_word(word, values))
            .collect())
    }

    fn check(&self, name: &str, kind: &ArgType, value: &str) -> Result<(), Refused> {
        let (fits, expected) = match kind {
            ArgType::Text { pattern } => (
                self.patterns
                    .get(name)
                    .is_some_and(|pattern| pattern.is_match(value)),
                format!("a text like {pattern}"),
            ),
            ArgType::Integer { min, max } => (
                value
                    .parse::<i64>()
                    .is_ok_and(|number| (*min..=*max).contains(&number)),
                format!("a whole number from {min} to {max}"),
            ),
            ArgType::Choice { values } => (
                values.iter().any(|one| one == value),
                format!("one of: {}", values.join(", ")),
            ),
        };
        if fits {
            return Ok(());
        }
        Err(Refused::Argument {
            name: name.to_owned(),
            expected,
        })
    }
}

/// Puts values for `{name}`. A value is never looked at again for names.
fn fill_word(word: &str, values: &BTreeMap<String, String>) -> String {
    let mut filled = String::with_capacity(word.len());
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let known = after
            .split_once('}')
            .and_then(|(name, behind)| Some((values.get(name)?, behind)));
        match known {
            Some((value, behind)) => {
                filled.push_str(value);
                rest = behind;
            }
            None => {
                filled.push('{');
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    filled
}
