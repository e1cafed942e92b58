//! gorgonectl: the command line of gorgone, for administrators.
//!
//! It is a client like any other: it speaks to core's external endpoint with keys of its own,
//! and knows nothing that the protocol does not say.

mod cli;
mod command;
mod connect;
mod keys;
mod log;
mod print;
mod request;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Verb};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let result = runtime.block_on(run(cli));
    runtime.shutdown_background();
    match result {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

/// One line that says what is wrong and what to do.
fn failed(error: &anyhow::Error) -> ExitCode {
    print::error(&format!("gorgonectl: {error:#}"));
    ExitCode::FAILURE
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.verb {
        Verb::Keys(verb) => keys::run(&verb),
        Verb::Command(args) => command::run(&cli.server, cli.json, args).await,
        Verb::Log(args) => log::run(&cli.server, cli.json, args).await,
        Verb::Status => request::status(&cli.server, cli.json).await,
        Verb::Cancel(args) => request::cancel(&cli.server, cli.json, args).await,
        Verb::Request(args) => request::run(&cli.server, cli.json, args).await,
    }
}
