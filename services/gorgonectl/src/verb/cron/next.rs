//! `gorgonectl cron next`: the next times of a job, or of a timespec that is none yet.

use std::process::ExitCode;

use anyhow::anyhow;
use gorgone_runtime::machine_zones;
use gorgone_schedule::{Timespec, Zone};
use jiff::Timestamp;
use serde_json::json;

use super::jobs::Jobs;
use super::list::point;
use crate::cli::Context;
use crate::print::table::{Cell, Table};
use crate::print::{FAINT, Screen};
use crate::time;

/// Show the next times of a job
///
/// With --timespec, those of a timespec instead, and no server is asked.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gorgonectl cron next backup -n 10
  gorgonectl cron next --timespec '30 2 1,15 * *' --timezone Europe/Paris")]
pub(crate) struct Args {
    /// The job
    #[arg(required_unless_present = "timespec", conflicts_with = "timespec")]
    id: Option<String>,
    /// How many
    #[arg(short = 'n', long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    count: u32,
    /// Of this timespec
    #[arg(long, value_name = "TIMESPEC")]
    timespec: Option<Timespec>,
    /// In this time zone; the machine's where it is not given
    #[arg(long, requires = "timespec")]
    timezone: Option<String>,
}

pub(super) async fn run(context: &Context, jobs: &Jobs, args: &Args) -> anyhow::Result<ExitCode> {
    let id = args.id.as_deref().unwrap_or_default();
    let said = jobs.next(id, args.count).await?;
    let screen = &context.screen;
    if screen.json() {
        screen.object(&said)?;
        return Ok(ExitCode::SUCCESS);
    }
    let times: Vec<i64> = said["next"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(point)
        .collect();
    if said["suspended"] == true {
        screen.note(&format!(
            "the job is paused; 'gorgonectl cron resume {id}' ends that"
        ));
    }
    // A zone that only the server knows is not worth an error.
    let zone = said["timezone"].as_str();
    let zone = zone.and_then(|name| machine_zones().ok()?.find(name).ok());
    show(screen, &times, zone.as_ref())?;
    Ok(ExitCode::SUCCESS)
}

/// The times of `--timespec`; nothing where a job is meant.
pub(super) fn without_server(context: &Context, args: &Args) -> Option<anyhow::Result<ExitCode>> {
    let spec = args.timespec.as_ref()?;
    Some(of_timespec(&context.screen, spec, args))
}

fn of_timespec(screen: &Screen, spec: &Timespec, args: &Args) -> anyhow::Result<ExitCode> {
    let zones = machine_zones().map_err(|error| anyhow!("{error}"))?;
    let zone = match &args.timezone {
        Some(name) => zones.find(name)?,
        None => zones.local().clone(),
    };
    let times: Vec<i64> = spec
        .after(time::now(), &zone)
        .take(args.count as usize)
        .collect();
    if screen.json() {
        let written = |time: &i64| {
            Timestamp::from_second(*time)
                .map(|time| time.to_string())
                .ok()
        };
        let next: Vec<String> = times.iter().filter_map(written).collect();
        screen.object(&json!({
            "timespec": spec.as_str(), "words": spec.words(), "timezone": zone.name(), "next": next,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    screen.line(&spec.words())?;
    if !times.is_empty() {
        show(screen, &times, Some(&zone))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Local times, beside those of the job's zone where its clock shows something else.
fn show(screen: &Screen, times: &[i64], zone: Option<&Zone>) -> anyhow::Result<()> {
    if times.is_empty() {
        screen.line(&screen.styled(FAINT, "never"))?;
    }
    let there = |time: i64| {
        let zone = zone?;
        let shown = Timestamp::from_second(time)
            .ok()?
            .to_zoned(zone.rules().clone());
        Some(shown.strftime("%Y-%m-%d %H:%M:%S").to_string())
    };
    let elsewhere = times
        .iter()
        .any(|time| there(*time).is_some_and(|shown| shown != time::local(*time)));
    let name = zone.map_or("", Zone::name).to_uppercase();
    let mut head = vec!["NEXT", "IN"];
    if elsewhere {
        head.push(&name);
    }
    let mut table = Table::new(&head);
    for time in times {
        let mut row = vec![
            Cell::new(time::local(*time)),
            Cell::new(time::length(time - time::now())),
        ];
        if elsewhere {
            row.push(Cell::new(there(*time).unwrap_or_default()));
        }
        table.row(row);
    }
    screen.table(&table)?;
    Ok(())
}
