//! From a definition to JSON, and changes of it.

use std::time::Duration;

use gorgone_protocol::Target;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{Backoff, Catchup, Definition, DefinitionError, FieldProblem, Overlap, read};
use crate::zone::Zones;

pub(super) fn definition(job: &Definition) -> Map<String, Value> {
    let set = |flag: bool| flag.then_some(Value::Bool(true));
    let text = |text: &str| (!text.is_empty()).then(|| text.into());
    let seconds = |time: Option<Duration>| time.map(|time| time.as_secs().into());
    let other_than = |number: u32, default: u32| (number != default).then(|| number.into());
    let window = Some(job.catchup_window).filter(|window| *window != read::CATCHUP_WINDOW);
    let jitter = Some(job.jitter).filter(|jitter| !jitter.is_zero());
    let target = match &job.target {
        Target::Here => None,
        target => Some(target.to_string().into()),
    };
    [
        ("id", Some(job.id.as_str().into())),
        ("description", text(&job.description)),
        ("timespec", Some(job.timespec.as_str().into())),
        ("timezone", job.timezone.as_deref().and_then(text)),
        ("action", Some(job.action.name().into())),
        ("target", target),
        ("parameters", Some(job.parameters.clone())),
        ("keep_token", set(job.keep_token)),
        ("overlap", overlap(job.overlap)),
        ("catchup", catchup(job.catchup)),
        ("catchup_window", seconds(window)),
        ("start_deadline", seconds(job.start_deadline)),
        ("jitter", seconds(jitter)),
        ("suspend", set(job.suspend)),
        ("starts_at", job.starts_at.and_then(instant)),
        ("expires_at", job.expires_at.and_then(instant)),
        ("retries", other_than(job.retries, 0)),
        ("retry_backoff", backoff(job.retry_backoff)),
        ("max_runtime", seconds(job.max_runtime)),
        ("keep_runs", other_than(job.keep_runs, read::KEEP_RUNS)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
    .collect()
}

fn overlap(value: Overlap) -> Option<Value> {
    let (word, _) = read::OVERLAPS.iter().find(|(_, other)| *other == value)?;
    (value != Overlap::default()).then(|| (*word).into())
}

fn catchup(value: Catchup) -> Option<Value> {
    let (word, _) = read::CATCHUPS.iter().find(|(_, other)| *other == value)?;
    (value != Catchup::default()).then(|| (*word).into())
}

fn instant(seconds: i64) -> Option<Value> {
    let instant = Timestamp::from_second(seconds).ok()?;
    Some(instant.to_string().into())
}

fn backoff(value: Backoff) -> Option<Value> {
    (value != Backoff::DEFAULT).then(|| {
        serde_json::json!({
            "first": value.first.as_secs(),
            "factor": value.factor,
            "max": value.max.as_secs(),
        })
    })
}

pub(super) fn patched(
    job: &Definition,
    changes: &Map<String, Value>,
    zones: &Zones,
) -> Result<Definition, DefinitionError> {
    let mut members = job.to_json();
    for (name, value) in changes {
        members.insert(name.clone(), value.clone());
    }
    let changed = Definition::parse(&Value::Object(members), zones)?;
    if changed.id != job.id {
        return Err(DefinitionError {
            problems: vec![FieldProblem {
                field: "id".to_owned(),
                reason: "cannot be changed; delete the job and add another".to_owned(),
            }],
        });
    }
    Ok(changed)
}
