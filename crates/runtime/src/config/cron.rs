//! The module `cron`: the jobs of this node, and how instances share them.
//!
//! A job that is wrong in itself is left out and told; the others are kept. So an
//! administrator who mistypes one timespec loses that job, not the node.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use figment::value::Value;
use gorgone_schedule::{Definition, JobId, Zones};
use serde_json::Map;

use super::monitor;
use super::section::{Reader, Section};
use crate::zones::machine_zones;

/// What gorgone-cron is told.
#[derive(Clone, PartialEq, Debug)]
pub struct CronConfig {
    /// Whether gorgoned starts it.
    pub enable: bool,
    /// The instance's name on the bus: unique among all modules, the same after a restart.
    pub instance: String,
    /// Where it tells how it is: `/healthz`, `/readyz`, `/metrics`.
    pub metrics: Option<SocketAddr>,
    /// How long after its last sign of life the instance that fires loses that office to
    /// another.
    pub lease_time: Duration,
    /// The time zones that jobs may name, and the one of those that name none.
    pub zones: Zones,
    /// The jobs that are written here, each with another id.
    pub jobs: Vec<Definition>,
}

/// The field whose scalars keep the types that YAML gives them.
const TYPED: &str = "parameters";

pub(super) fn read(section: Section<'_>) -> CronConfig {
    section.raw("name");
    section.raw("package");
    let enable = section.flag("enable", false);
    let zones = zones(&section, enable);
    let config = CronConfig {
        enable,
        instance: section.instance("gorgone-cron"),
        metrics: monitor::read(&section, 0),
        lease_time: section.seconds("lease_time", 15, 2..=600),
        jobs: jobs(&section, &zones),
        zones,
    };
    section.finish();
    config
}

/// The machine's time zones are only looked at where there is a job to plan.
fn zones(section: &Section<'_>, enable: bool) -> Zones {
    const KEY: &str = "timezone";
    if !section.is_written() {
        return Zones::bundled();
    }
    let zones = machine_zones().unwrap_or_else(|error| {
        if enable && !section.has(KEY) {
            section.problem(KEY, error.to_string());
        }
        Zones::bundled()
    });
    match section.parsed(KEY, |name| zones.find(name)) {
        Some(local) => zones.with_local(local),
        None => zones,
    }
}

fn jobs(section: &Section<'_>, zones: &Zones) -> Vec<Definition> {
    let reader = section.reader();
    let mut jobs = Vec::new();
    let mut paths: BTreeMap<JobId, String> = BTreeMap::new();
    for (path, item) in section.list("cron") {
        match Definition::parse(&json(reader, &path, false, &item), zones) {
            Ok(job) => {
                if let Some(first) = paths.get(&job.id) {
                    let place = reader.place(first);
                    let message = format!("'{}' is already the job at {place}", job.id);
                    reader.leave_out(&format!("{path}.id"), message);
                    continue;
                }
                paths.insert(job.id.clone(), path);
                jobs.push(job);
            }
            Err(error) => {
                for problem in error.problems {
                    let key = match problem.field.as_str() {
                        "" => path.clone(),
                        field => format!("{path}.{field}"),
                    };
                    reader.leave_out(&key, problem.reason);
                }
            }
        }
    }
    jobs
}

/// The value as JSON. Every scalar is a text, but within the parameters, where unquoted
/// numbers and truth values are what YAML takes them for: another module reads them.
fn json(reader: &Reader, path: &str, typed: bool, value: &Value) -> serde_json::Value {
    match value {
        Value::Dict(_, entries) => entries
            .iter()
            .map(|(key, value)| {
                let path = format!("{path}.{key}");
                let value = json(reader, &path, typed || key == TYPED, value);
                (key.clone(), value)
            })
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(_, items) => items
            .iter()
            .enumerate()
            .map(|(index, item)| json(reader, &format!("{path}[{index}]"), typed, item))
            .collect(),
        Value::String(_, text) if typed && reader.is_plain(path) => {
            serde_json::from_str(text).unwrap_or_else(|_| serde_json::Value::String(text.clone()))
        }
        Value::String(_, text) => text.clone().into(),
        // Our layers hold nothing else.
        other => other.clone().into_string().into(),
    }
}
