//! The program gorgone-httpserver.

use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use gorgone_runtime::{Flags, Service, ask_health, run_with};

#[derive(Parser)]
#[command(
    name = "gorgone-httpserver",
    version,
    about = "The HTTP API of gorgone"
)]
struct CommandLine {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    /// Reads a password from the standard input and prints its argon2 hash, for `password_hash`
    Hash,
    /// Asks the running server whether it can be used: exits with 0 if so, with 1 and the reason if not
    Health,
}

fn main() -> ExitCode {
    let line = CommandLine::parse();
    match line.verb {
        Some(Verb::Hash) => hash(),
        Some(Verb::Health) => ask_health(Service::HTTPSERVER, &line.flags),
        None => run_with(Service::HTTPSERVER, line.flags, gorgone_httpserver::run),
    }
}

fn hash() -> ExitCode {
    let mut errors = std::io::stderr();
    if std::io::stdin().is_terminal() {
        // Somebody who cannot read it types all the same.
        let _ = write!(errors, "password (it is shown while you type): ");
    }
    let mut password = String::new();
    let read = std::io::stdin().lock().read_line(&mut password);
    let password = password.trim_end_matches(['\r', '\n']);
    if read.is_err() || password.is_empty() {
        let _ = writeln!(errors, "no password on the standard input");
        return ExitCode::FAILURE;
    }
    let printed = match gorgone_httpserver::hash(password) {
        Ok(hash) => writeln!(std::io::stdout(), "{hash}"),
        Err(error) => {
            let _ = writeln!(errors, "cannot hash: {error}");
            return ExitCode::FAILURE;
        }
    };
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
