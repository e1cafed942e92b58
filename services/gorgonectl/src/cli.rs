//! The words of the command line, and what every verb is given.

use std::process::ExitCode;

use clap::{ColorChoice, Parser, ValueEnum};
use gorgone_protocol::{NodeId, Selection, Target, Token};

use crate::door::Door;
use crate::manual;
use crate::print::Screen;
use crate::settings::{Flags, Settings};
use crate::verb::Verb;

/// Talks to gorgone.
#[derive(Parser)]
#[command(
    name = "gorgonectl",
    version,
    about = "Talks to a gorgoned: runs commands, reads its history, asks how it is",
    long_about = None,
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs",
    after_help = "'gorgonectl help VERB' tells more about a verb; 'gorgonectl --help' lists all flags.",
    after_long_help = manual::after_help()
)]
pub(crate) struct Cli {
    /// Print JSON, one object a line
    #[arg(long, global = true, display_order = 900)]
    pub(crate) json: bool,
    /// Whether to use colour; by itself on terminals, unless NO_COLOR is set
    #[arg(
        long,
        global = true,
        display_order = 901,
        value_name = "WHEN",
        default_value = "auto",
        hide_short_help = true
    )]
    pub(crate) color: Color,
    #[command(flatten)]
    pub(crate) server: Flags,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// When to use colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Color {
    /// On terminals.
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

impl Color {
    /// What the command line says, looked for before it is parsed: help and usage errors have
    /// colour too.
    pub(crate) fn peek() -> ColorChoice {
        let mut chosen = ColorChoice::Auto;
        let mut words = std::env::args().skip(1).take_while(|word| word != "--");
        while let Some(word) = words.next() {
            let value = match word.strip_prefix("--color") {
                Some("") => words.next(),
                Some(value) => value.strip_prefix('=').map(str::to_owned),
                None => None,
            };
            chosen = match value.as_deref() {
                Some("always") => ColorChoice::Always,
                Some("never") => ColorChoice::Never,
                _ => chosen,
            };
        }
        chosen
    }

    /// The same for our own output.
    pub(crate) const fn choice(self) -> anstream::ColorChoice {
        match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        }
    }
}

/// What every verb is given.
pub(crate) struct Context {
    flags: Flags,
    pub(crate) screen: Screen,
}

impl Context {
    pub(crate) const fn new(flags: Flags, screen: Screen) -> Self {
        Self { flags, screen }
    }

    /// Whom to talk to, and as whom.
    ///
    /// # Errors
    /// When the profile file is wrong.
    pub(crate) fn settings(&self) -> anyhow::Result<Settings> {
        Settings::gather(&self.flags)
    }

    /// The way to the server.
    ///
    /// # Errors
    /// See [`Door::open`].
    pub(crate) async fn door(&self) -> anyhow::Result<Door> {
        Door::open(&self.settings()?).await
    }
}

/// Exit codes, as [`manual::EXIT_CODES`] tells them.
pub(crate) mod exit {
    use super::ExitCode;

    /// Something is wrong, or the request ended KO.
    pub(crate) const ERROR: u8 = 1;
    /// It ran too long, as `timeout` says it.
    pub(crate) const TIMEOUT: u8 = 124;
    /// A signal ended it: this and its number, as shells say it.
    pub(crate) const SIGNAL: u8 = 128;
    /// Ctrl-C.
    pub(crate) const INTERRUPTED: u8 = SIGNAL + 2;
    /// The reader of the output went away.
    pub(crate) const BROKEN_PIPE: u8 = SIGNAL + 13;

    /// Success, or else an error.
    pub(crate) fn ok_if(well: bool) -> ExitCode {
        if well {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(ERROR)
        }
    }
}

/// A node id on the command line.
#[derive(Clone, Copy)]
pub(crate) struct NodeIdArg(pub(crate) NodeId);

impl std::str::FromStr for NodeIdArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        NodeId::parse(text)
            .map(Self)
            .map_err(|error| error.to_string())
    }
}

/// A token on the command line.
#[derive(Clone)]
pub(crate) struct TokenArg(pub(crate) Token);

impl std::str::FromStr for TokenArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Token::parse(text)
            .map(Self)
            .map_err(|error| error.to_string())
    }
}

/// A node, or several, on the command line.
#[derive(Clone)]
pub(crate) struct TargetArg(pub(crate) Target);

impl std::str::FromStr for TargetArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match Target::parse(text) {
            Target::Here => Err("names no node; leave it out for the server itself".to_owned()),
            Target::Unreadable(text) => Err(match Selection::parse(&text) {
                Err(error) => error.to_string(),
                Ok(_) => "cannot be read".to_owned(),
            }),
            target => Ok(Self(target)),
        }
    }
}

/// Who is to do what is asked for.
#[derive(clap::Args)]
pub(crate) struct Whom {
    /// The node that does it; the server itself where it is not given
    #[arg(long, value_name = "NODE", visible_alias = "node")]
    target: Option<NodeIdArg>,
    /// Several nodes that do it: 4,7,10-20 or 'site=paris,role!=db' or '*' for all
    #[arg(long, value_name = "NODES", conflicts_with = "target")]
    on: Option<TargetArg>,
}

impl Whom {
    /// As the target of a message.
    pub(crate) fn target(&self) -> Target {
        match (&self.target, &self.on) {
            (Some(node), _) => Target::Node(node.0),
            (None, Some(nodes)) => nodes.0.clone(),
            (None, None) => Target::Here,
        }
    }
}
