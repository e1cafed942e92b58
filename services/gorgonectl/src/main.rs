//! gorgonectl: the command line of gorgone, for administrators.
//!
//! ```text
//! cli ─▶ verb/<name> ─▶ door ─▶ server        settings say which door, and as whom
//!            └────────▶ print ─▶ terminal
//! ```
//! It is a client like any other: it speaks to a server with credentials of its own, and knows
//! nothing that the protocol does not say.

mod cli;
mod door;
mod manual;
mod many;
mod print;
mod rows;
mod settings;
mod time;
mod verb;
mod watch;

use std::io;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use crate::cli::{Cli, Color, Context, exit};
use crate::print::Screen;

fn main() -> ExitCode {
    let matches = Cli::command().color(Color::peek()).get_matches();
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let context = Context::new(cli.server, Screen::new(cli.json, cli.color.choice()));
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return failed(&context.screen, &error.into()),
    };
    let result = runtime.block_on(cli.verb.run(&context));
    runtime.shutdown_background();
    match result {
        Ok(code) => code,
        Err(error) => failed(&context.screen, &error),
    }
}

/// One line that says what is wrong and what to do. A reader that went away, as in `| head`,
/// has seen enough.
fn failed(screen: &Screen, error: &anyhow::Error) -> ExitCode {
    let closed = error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
    if closed {
        return ExitCode::SUCCESS;
    }
    screen.note(&format!("{error:#}"));
    ExitCode::from(exit::ERROR)
}
