//! `gorgonectl engine`: external commands for the monitoring engine.

use std::io::Read;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::ValueHint;
use gorgone_protocol::request::engine::{EngineLine, EngineRequest};
use gorgone_protocol::{Action, Code, Target};
use serde_json::json;

use crate::cli::{Context, Whom, exit};
use crate::watch::{Ended, Watch};
use crate::{many, rows, time};

/// Submit external commands to the monitoring engine
///
/// They are written to the engine's pipe in the order in which they are given. A line without a time in brackets before it gets the present one.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gorgonectl engine 'ENABLE_HOST_CHECK;host1'
  gorgonectl engine --target 4 '[1417705150] DISABLE_HOST_CHECK;host1' 'ENABLE_HOST_CHECK;host2'
  gorgonectl engine --on 'role=poller' 'DISABLE_NOTIFICATIONS'
  gorgonectl engine --file commands.txt")]
pub(crate) struct Args {
    #[command(flatten)]
    whom: Whom,
    /// The engine's pipe, where it is not the configured one
    #[arg(long, value_name = "PATH")]
    pipe: Option<String>,
    /// A file with one external command a line; - reads standard input
    #[arg(short, long, value_name = "FILE", conflicts_with = "lines", value_hint = ValueHint::FilePath)]
    file: Option<String>,
    /// Do not wait: print the token and end
    #[arg(short, long)]
    detach: bool,
    /// External commands, such as 'ENABLE_HOST_CHECK;host1'
    #[arg(value_name = "LINE", required_unless_present = "file")]
    lines: Vec<String>,
}

pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let now = time::now();
    let pipe: Option<Arc<str>> = args.pipe.as_deref().map(Into::into);
    let lines: Vec<EngineLine> = lines(&args)?
        .into_iter()
        .map(|line| EngineLine {
            command: match line.starts_with('[') {
                true => line,
                false => format!("[{now}] {line}"),
            },
            pipe: pipe.clone(),
        })
        .collect();
    if lines.is_empty() {
        bail!("there is no external command to submit");
    }
    let data = EngineRequest { lines }.encode();
    let door = context.door().await?;
    let target = args.whom.target();
    let token = door
        .submit(Action::EngineCommand, target.clone(), data)
        .await?;
    let screen = &context.screen;
    if args.detach {
        match screen.json() {
            true => screen.object(&json!({ "token": token }))?,
            false => screen.line(token.as_str())?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    if matches!(target, Target::Many(_)) {
        return many::follow(&door, screen, token, (Action::EngineCommand, target)).await;
    }
    let watch = Watch::new(&door, screen, token, (Action::EngineCommand, target));
    let ended = watch.run(|row| match screen.json() {
        true => screen.object(&rows::json(row)),
        false => Ok(()),
    });
    let row = match ended.await? {
        Ended::Row(row) => row,
        Ended::Cancelled(row) if row.code == Code::Ok => row,
        Ended::Cancelled(_) | Ended::Left => return Ok(ExitCode::from(exit::INTERRUPTED)),
    };
    let well = row.code == Code::Ok;
    if !screen.json() {
        let data = rows::data(&row);
        let words = data["message"].as_str().unwrap_or("it is over");
        match well {
            true => screen.line(&crate::print::text::escape(words))?,
            false => screen.note(words),
        }
    }
    Ok(exit::ok_if(well))
}

/// The lines that are to be submitted; empty ones of a file are left out.
fn lines(args: &Args) -> anyhow::Result<Vec<String>> {
    let Some(file) = &args.file else {
        return Ok(args.lines.clone());
    };
    let text = if file == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("cannot read the standard input")?;
        text
    } else {
        std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?
    };
    let lines = text.lines().map(str::trim_end);
    Ok(lines
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect())
}
