//! gorgoned: starts what the configuration enables as processes of this host, starts again
//! what dies, and stops everything in order.
//!
//! ```text
//! gorgoned ─┬─ gorgone-core       started first, stopped last
//!           ├─ gorgone-action     once core is ready
//!           └─ gorgone-httpserver
//! ```
//! It speaks no ZeroMQ and opens no database: in containers, where an orchestrator does its
//! work, nobody misses it.

mod backoff;
mod check;
mod keeper;
mod lock;
mod ports;
mod programs;
mod supervisor;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use gorgone_runtime::{Flags, Service, ask_health, run_with};

use crate::programs::Programs;

#[derive(Parser)]
#[command(
    name = "gorgoned",
    version,
    about = "Starts and keeps the services of gorgone that a configuration enables"
)]
struct CommandLine {
    #[command(flatten)]
    flags: Flags,
    /// Where the services' programs are; beside gorgoned, else in PATH
    #[arg(long, value_name = "DIR", env = "GORGONE_BIN_DIR")]
    bin_dir: Option<PathBuf>,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    /// Only checks the configuration: tells everything that is wrong, exits with 2
    Check,
    /// Asks the running gorgoned whether all of its services are ready: exits with 0 if so, with 1 and
    /// the reason if not
    Health,
}

fn main() -> ExitCode {
    let line = CommandLine::parse();
    if line.flags.check || matches!(line.verb, Some(Verb::Check)) {
        return check::check(&line.flags);
    }
    if matches!(line.verb, Some(Verb::Health)) {
        return ask_health(Service::SUPERVISOR, &line.flags);
    }
    let programs = Programs::new(line.bin_dir);
    run_with(Service::SUPERVISOR, line.flags, |context| {
        supervisor::supervise(context, programs)
    })
}
