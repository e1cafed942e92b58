//! `gorgonectl cron list`: all jobs in a table, or one with its past.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::jobs::Jobs;
use super::words;
use crate::cli::Context;
use crate::print::table::{Cell, Table};
use crate::print::{BAD, FAINT, GOOD, HEAD, ODD, Screen};
use crate::time;

/// List jobs: when they are due, how they did, where they were defined
///
/// With an id, everything about that job, with its last runs.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gorgonectl cron list
  gorgonectl cron list backup
  gorgonectl --json cron list | jq -r 'select(.suspend).id'")]
pub(crate) struct Args {
    /// Only this job
    id: Option<String>,
}

pub(super) async fn run(context: &Context, jobs: &Jobs, args: &Args) -> anyhow::Result<ExitCode> {
    match &args.id {
        Some(id) => one(&context.screen, jobs, id).await?,
        None => all(&context.screen, jobs).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn all(screen: &Screen, jobs: &Jobs) -> anyhow::Result<()> {
    let known = jobs.all().await?;
    if screen.json() {
        for job in &known {
            screen.object(job)?;
        }
        return Ok(());
    }
    if known.is_empty() {
        let mend = "there are no jobs; 'gorgonectl cron add' adds one";
        screen.line(&screen.styled(FAINT, mend))?;
    }
    let mut table = Table::new(&["ID", "NEXT", "LAST", "SOURCE", "ON", "WHEN"]);
    for job in &known {
        table.row(vec![
            Cell::styled(HEAD, job["id"].as_str().unwrap_or_default()),
            next(job),
            last(&job["last"]),
            Cell::new(job["source"].as_str().unwrap_or_default()),
            Cell::new(job["target"].as_str().unwrap_or("-")),
            Cell::new(words(job)),
        ]);
    }
    screen.table(&table)?;
    Ok(())
}

async fn one(screen: &Screen, jobs: &Jobs, id: &str) -> anyhow::Result<()> {
    let definition = jobs.one(id).await?;
    let status = jobs.status(id).await?;
    if screen.json() {
        return Ok(screen.object(&json!({
            "definition": definition, "status": status,
        }))?);
    }
    let mut about = Table::new(&["FIELD", "VALUE"]);
    about.row(vec![Cell::new("when"), Cell::new(words(&definition))]);
    about.row(vec![Cell::new("next"), next(&status)]);
    for (field, value) in definition.as_object().into_iter().flatten() {
        if !STATE.contains(&field.as_str()) {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            about.row(vec![Cell::new(field), Cell::new(value)]);
        }
    }
    screen.table(&about)?;
    let mut runs = Table::new(&["DUE", "OUTCOME", "TOOK", "TOKEN", "WHAT"]);
    let list = |name: &str| status[name].as_array().cloned().unwrap_or_default();
    for run in list("running").iter().chain(&list("runs")) {
        let took = match (point(&run["began"]), point(&run["ended"])) {
            (Some(began), Some(ended)) => time::length(ended - began),
            _ => String::new(),
        };
        runs.row(vec![
            Cell::new(local(&run["scheduled"])),
            outcome(run),
            Cell::new(took),
            Cell::new(run["token"].as_str().unwrap_or_default()),
            Cell::new(what(run)),
        ]);
    }
    screen.line("")?;
    screen.table(&runs)?;
    Ok(())
}

/// What GETCRON tells of a job beside its definition.
pub(super) const STATE: [&str; 4] = ["source", "words", "next", "last"];

fn next(job: &Value) -> Cell {
    let rests = job["suspend"].as_bool().or(job["suspended"].as_bool());
    match point(&job["next"]) {
        _ if rests == Some(true) => Cell::styled(ODD, "paused"),
        Some(next) => Cell::new(time::local(next)),
        None => Cell::styled(FAINT, "never"),
    }
}

fn last(run: &Value) -> Cell {
    match point(&run["scheduled"]) {
        None => Cell::styled(FAINT, "never"),
        Some(due) => {
            let outcome = run["outcome"].as_str().unwrap_or_default();
            let text = format!("{outcome} {}", time::local(due));
            Cell::styled(if outcome == "OK" { GOOD } else { BAD }, text)
        }
    }
}

fn outcome(run: &Value) -> Cell {
    match run["outcome"].as_str() {
        Some("OK") => Cell::styled(GOOD, "OK"),
        Some(outcome) => Cell::styled(BAD, outcome),
        None => Cell::styled(ODD, run["state"].as_str().unwrap_or("under way")),
    }
}

fn what(run: &Value) -> String {
    let words = |name: &str| run[name].as_str().unwrap_or_default();
    match words("reason") {
        "" => words("message").to_owned(),
        reason => format!("{reason}: {}", words("message")),
    }
}

fn local(value: &Value) -> String {
    point(value).map_or_else(String::new, time::local)
}

/// Seconds since 1970 of what the server wrote in RFC 3339.
pub(super) fn point(value: &Value) -> Option<i64> {
    let instant: jiff::Timestamp = value.as_str()?.parse().ok()?;
    Some(instant.as_second())
}
