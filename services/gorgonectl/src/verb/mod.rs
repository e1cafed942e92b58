//! The verbs, one file each. A new one is a file with its `Args` and `run`, and two lines here.

mod audit;
mod cancel;
mod command;
mod completion;
mod config;
mod cron;
mod engine;
mod keys;
mod log;
mod man;
mod nodes;
mod request;
mod status;
mod targets;

use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::Context;

/// What gorgonectl can do. The first line of each `Args` is its line in the help.
#[derive(Subcommand)]
pub(crate) enum Verb {
    Command(command::Args),
    Engine(engine::Args),
    Log(log::Args),
    Cancel(cancel::Args),
    Targets(targets::Args),
    /// How the server is: its modules, what it does, what it was asked
    Status,
    /// The nodes that the server knows, and whether they answer
    Nodes,
    Audit(audit::Args),
    /// Jobs that run at given times: list, add, change, run, pause
    #[command(subcommand)]
    Cron(Box<cron::Verb>),
    Request(request::Args),
    /// Make keys and look at them
    #[command(subcommand)]
    Keys(keys::Verb),
    /// Check a configuration of gorgoned; show the settings of gorgonectl
    #[command(subcommand)]
    Config(config::Verb),
    Completion(completion::Args),
    Man(man::Args),
}

impl Verb {
    /// Does it.
    ///
    /// # Errors
    /// One line that says what is wrong and what to do.
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        match self {
            Self::Command(args) => command::run(context, args).await,
            Self::Engine(args) => engine::run(context, args).await,
            Self::Log(args) => log::run(context, args).await,
            Self::Cancel(args) => cancel::run(context, args).await,
            Self::Targets(args) => targets::run(context, args).await,
            Self::Status => status::run(context).await,
            Self::Nodes => nodes::run(context).await,
            Self::Audit(args) => audit::run(context, args).await,
            Self::Cron(verb) => cron::run(context, *verb).await,
            Self::Request(args) => request::run(context, args).await,
            Self::Keys(verb) => keys::run(context, &verb),
            Self::Config(verb) => config::run(context, &verb),
            Self::Completion(args) => completion::run(context, &args),
            Self::Man(args) => man::run(context, &args),
        }
    }
}
