//! `gorgonectl cron`: jobs that run at given times.

mod edit;
mod fields;
mod jobs;
mod list;
mod next;
mod run;

use std::process::ExitCode;

use clap::Subcommand;
use gorgone_schedule::Timespec;
use serde_json::{Value, json};

use crate::cli::Context;
use crate::print::Screen;
use jobs::Jobs;

#[derive(Subcommand)]
pub(crate) enum Verb {
    List(list::Args),
    Add(Box<edit::AddArgs>),
    Edit(Box<edit::EditArgs>),
    /// Remove jobs that were added; those of the configuration are removed there
    Rm {
        /// Their ids
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    Run(run::Args),
    /// Have jobs rest: nothing is begun until they are resumed, and nothing is caught up with
    Pause {
        /// Their ids
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// End the rest of jobs
    Resume {
        /// Their ids
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    Next(Box<next::Args>),
}

pub(super) async fn run(context: &Context, verb: Verb) -> anyhow::Result<ExitCode> {
    if let Verb::Next(args) = &verb
        && let Some(shown) = next::without_server(context, args)
    {
        return shown;
    }
    let jobs = Jobs::new(context.door().await?);
    let screen = &context.screen;
    match verb {
        Verb::List(args) => list::run(context, &jobs, &args).await,
        Verb::Add(args) => edit::add(context, &jobs, *args).await,
        Verb::Edit(args) => edit::edit(context, &jobs, *args).await,
        Verb::Run(args) => run::run(context, &jobs, args).await,
        Verb::Next(args) => next::run(context, &jobs, &args).await,
        Verb::Rm { ids } => {
            for id in ids {
                let said = jobs.remove(&id).await?;
                done(screen, &id, "removed", &said)?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Verb::Pause { ids } => rest(screen, &jobs, ids, true).await,
        Verb::Resume { ids } => rest(screen, &jobs, ids, false).await,
    }
}

async fn rest(
    screen: &Screen,
    jobs: &Jobs,
    ids: Vec<String>,
    suspend: bool,
) -> anyhow::Result<ExitCode> {
    let word = if suspend { "paused" } else { "resumed" };
    for id in ids {
        let said = jobs.change(&id, json!({ "suspend": suspend })).await?;
        done(screen, &id, word, &said)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What became of a job.
fn done(screen: &Screen, id: &str, word: &str, said: &Value) -> anyhow::Result<()> {
    match screen.json() {
        true => screen.object(said)?,
        false => screen.line(&format!("{}: {word}", crate::print::text::escape(id)))?,
    }
    Ok(())
}

/// When a job is due, in words: the server's, or our own for one that it has not told; the
/// timespec where only a newer server can read it.
fn words(definition: &Value) -> String {
    if let Some(words) = definition["words"].as_str() {
        return words.to_owned();
    }
    let text = definition["timespec"].as_str().unwrap_or_default();
    let words = Timespec::parse(text).map_or_else(|_| text.to_owned(), |spec| spec.words());
    match definition["timezone"].as_str() {
        Some(zone) => format!("{words} ({zone})"),
        None => words,
    }
}
