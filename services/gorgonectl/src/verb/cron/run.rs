//! `gorgonectl cron run`: begins a job now.

use std::process::ExitCode;

use anyhow::anyhow;
use gorgone_protocol::{Action, Code, Target, Token};

use super::jobs::Jobs;
use crate::cli::{Context, exit};
use crate::rows::Rows;
use crate::watch::{Ended, Watch};

/// Run a job now, whatever its timespec says
///
/// Its overlap rule holds. The run has its own token.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gorgonectl cron run backup
  gorgonectl cron run backup --wait && echo done")]
pub(crate) struct Args {
    /// The job
    id: String,
    /// Wait until the run has ended, and show its rows; ends as it ended
    #[arg(short, long)]
    wait: bool,
}

pub(super) async fn run(context: &Context, jobs: &Jobs, args: Args) -> anyhow::Result<ExitCode> {
    let screen = &context.screen;
    let said = jobs.run(&args.id).await?;
    let token = said["token"].as_str();
    if !args.wait {
        match (screen.json(), token) {
            (true, _) => screen.object(&said)?,
            (false, Some(token)) => screen.line(token)?,
            (false, None) => screen.note(said["message"].as_str().unwrap_or("the run waits")),
        }
        return Ok(ExitCode::SUCCESS);
    }
    let token =
        token.ok_or_else(|| anyhow!("the run waits for the one before, and has no token yet"))?;
    let mut rows = Rows::new(screen, false);
    let of = (Action::RunCron, Target::Here);
    let watch = Watch::new(&jobs.door, screen, Token::parse(token)?, of);
    Ok(match watch.run(|row| rows.show(row)).await? {
        Ended::Row(row) => exit::ok_if(row.code == Code::Ok),
        Ended::Cancelled(row) if row.code == Code::Ok => ExitCode::SUCCESS,
        Ended::Cancelled(_) | Ended::Left => ExitCode::from(exit::INTERRUPTED),
    })
}
