//! From JSON to a definition.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use gorgone_protocol::{Action, Selection, Target, near_miss};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{Backoff, Catchup, Definition, DefinitionError, FieldProblem, JobId, Overlap};
use crate::timespec::Timespec;
use crate::zone::Zones;

const DAY: u64 = 86_400;
const YEAR: u64 = 366 * DAY;

/// Longest text of a field, in bytes; the parameters are not counted.
const LONGEST: usize = 4096;
/// So many things are told about a definition at most.
const MOST_PROBLEMS: usize = 50;

/// How long ago what is caught up with may have been due where a job does not say.
pub(super) const CATCHUP_WINDOW: Duration = Duration::from_secs(DAY);
/// How many runs are kept where a job does not say.
pub(super) const KEEP_RUNS: u32 = 100;

/// The names of the values, as they are written.
pub(super) const OVERLAPS: [(&str, Overlap); 4] = [
    ("allow", Overlap::Allow),
    ("forbid", Overlap::Forbid),
    ("replace", Overlap::Replace),
    ("queue", Overlap::Queue),
];
pub(super) const CATCHUPS: [(&str, Catchup); 3] = [
    ("none", Catchup::None),
    ("latest", Catchup::Latest),
    ("all", Catchup::All),
];

pub(super) fn definition(value: &Value, zones: &Zones) -> Result<Definition, DefinitionError> {
    let Value::Object(members) = value else {
        let reason = "must be an object such as \
            {\"id\":\"date\",\"timespec\":\"* * * * *\",\"action\":\"COMMAND\",\"parameters\":{\"command\":\"date\"}}";
        return Err(DefinitionError {
            problems: vec![FieldProblem {
                field: String::new(),
                reason: reason.to_owned(),
            }],
        });
    };
    let problems = RefCell::default();
    let fields = Fields::new("", members, &problems);
    let read = all(&fields, zones);
    fields.finish();
    let problems = problems.into_inner();
    match read {
        Some(definition) if problems.is_empty() => Ok(definition),
        _ => Err(DefinitionError { problems }),
    }
}

/// Every field is read, also behind one that is wrong. `None` only where a problem is noted.
fn all(fields: &Fields<'_>, zones: &Zones) -> Option<Definition> {
    let id = fields.needed("id", JobId::parse);
    let timespec = fields.needed("timespec", Timespec::parse);
    let action = fields.needed("action", action);
    let target = fields.parsed("target", target);
    let zone = fields.parsed("timezone", |name| zones.find(name));
    let starts_at = fields.parsed("starts_at", instant);
    let expires_at = fields.parsed("expires_at", instant);
    if let (Some(start), Some(end)) = (starts_at, expires_at)
        && end <= start
    {
        fields.problem("expires_at", "is not after starts_at");
    }
    let seconds = |name, range| fields.number(name, range).map(Duration::from_secs);
    let definition = Definition {
        description: fields.text("description").unwrap_or_default(),
        timezone: zone.as_ref().map(|zone| zone.name().to_owned()),
        target: target.unwrap_or_default(),
        parameters: parameters(fields),
        keep_token: fields.flag("keep_token"),
        overlap: fields.one_of("overlap", &OVERLAPS),
        catchup: fields.one_of("catchup", &CATCHUPS),
        catchup_window: seconds("catchup_window", 1..=YEAR).unwrap_or(CATCHUP_WINDOW),
        start_deadline: seconds("start_deadline", 1..=YEAR),
        jitter: seconds("jitter", 0..=DAY).unwrap_or_default(),
        suspend: fields.flag("suspend"),
        starts_at,
        expires_at,
        retries: fields.count("retries", 0..=100).unwrap_or_default(),
        retry_backoff: backoff(fields),
        max_runtime: seconds("max_runtime", 1..=YEAR),
        keep_runs: fields.count("keep_runs", 1..=10_000).unwrap_or(KEEP_RUNS),
        zone: zone.unwrap_or_else(|| zones.local().clone()),
        id: id?,
        timespec: timespec?,
        action: action?,
    };
    Some(definition)
}

fn action(text: &str) -> Result<Action, &'static str> {
    if text.contains(']') || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("is no name of an action, such as COMMAND");
    }
    Ok(Action::parse(text))
}

fn target(text: &str) -> Result<Target, String> {
    match Target::parse(text) {
        Target::Unreadable(text) => Err(match Selection::parse(&text) {
            Err(error) => format!("{error}; leave it out for the node itself"),
            Ok(_) => format!("'{text}' cannot be read"),
        }),
        target => Ok(target),
    }
}

/// RFC 3339, or seconds since 1970; parts of a second are cut off.
fn instant(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = text.parse::<i64>() {
        return Timestamp::from_second(seconds)
            .map(|instant| instant.as_second())
            .map_err(|_| format!("'{text}' is too far away"));
    }
    text.parse::<Timestamp>()
        .map(|instant| instant.as_millisecond().div_euclid(1000))
        .map_err(|_| {
            format!("'{text}' is no time; write 2027-01-31T08:00:00+01:00, or seconds since 1970")
        })
}

fn parameters(fields: &Fields<'_>) -> Value {
    match fields.value("parameters") {
        None => Value::Object(Map::new()),
        Some(value @ (Value::Object(_) | Value::Array(_))) => value.clone(),
        Some(_) => {
            let mend = "must be an object such as {\"command\":\"date\"}, or a list of them";
            fields.problem("parameters", mend);
            Value::Null
        }
    }
}

fn backoff(fields: &Fields<'_>) -> Backoff {
    const NAME: &str = "retry_backoff";
    let default = Backoff::DEFAULT;
    let Some(Value::Object(members)) = fields.value(NAME) else {
        let first = fields
            .number(NAME, 0..=DAY)
            .map_or(default.first, Duration::from_secs);
        return Backoff {
            first,
            max: default.max.max(first),
            ..default
        };
    };
    let inner = Fields::new("retry_backoff.", members, fields.problems);
    let seconds = |name| inner.number(name, 0..=DAY).map(Duration::from_secs);
    let first = seconds("first").unwrap_or(default.first);
    let max = seconds("max");
    if max.is_some_and(|max| max < first) {
        inner.problem("max", "is shorter than the first wait");
    }
    let factor = inner.parsed("factor", |text| {
        text.parse::<f64>()
            .ok()
            .filter(|factor| (1.0..=100.0).contains(factor))
            .ok_or_else(|| format!("'{text}' is no number from 1 to 100"))
    });
    inner.finish();
    Backoff {
        first,
        factor: factor.unwrap_or(default.factor),
        max: max.unwrap_or_else(|| default.max.max(first)),
    }
}

/// The members of an object. Whatever nobody asked for by the time of [`Fields::finish`] is
/// unknown.
struct Fields<'a> {
    prefix: &'static str,
    members: &'a Map<String, Value>,
    known: RefCell<BTreeSet<&'static str>>,
    problems: &'a RefCell<Vec<FieldProblem>>,
}

impl<'a> Fields<'a> {
    fn new(
        prefix: &'static str,
        members: &'a Map<String, Value>,
        problems: &'a RefCell<Vec<FieldProblem>>,
    ) -> Self {
        Self {
            prefix,
            members,
            known: RefCell::default(),
            problems,
        }
    }

    fn problem(&self, name: &str, reason: impl Into<String>) {
        let mut problems = self.problems.borrow_mut();
        if problems.len() < MOST_PROBLEMS {
            let name: String = name.chars().take(64).collect();
            problems.push(FieldProblem {
                field: format!("{}{name}", self.prefix),
                reason: reason.into(),
            });
        }
    }

    /// The member; null and an empty text count as absent.
    fn value(&self, name: &'static str) -> Option<&'a Value> {
        self.known.borrow_mut().insert(name);
        self.members.get(name).filter(|value| match value {
            Value::Null => false,
            Value::String(text) => !text.trim().is_empty(),
            _ => true,
        })
    }

    /// A text, or a number or truth value as it is written.
    fn text(&self, name: &'static str) -> Option<String> {
        match self.value(name)? {
            Value::String(text) if text.len() > LONGEST => {
                self.problem(name, format!("is longer than {LONGEST} bytes"));
                None
            }
            Value::String(text) => Some(text.trim().to_owned()),
            value @ (Value::Number(_) | Value::Bool(_)) => Some(value.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                self.problem(name, "must be a single value");
                None
            }
        }
    }

    fn parsed<T, E: Display>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(name)?;
        parse(&text)
            .map_err(|error| self.problem(name, error.to_string()))
            .ok()
    }

    fn needed<T, E: Display>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        if self.value(name).is_none() {
            self.problem(name, "is missing");
        }
        self.parsed(name, parse)
    }

    fn flag(&self, name: &'static str) -> bool {
        self.parsed(name, |text| match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            _ => Err(format!("'{text}' is neither true nor false")),
        })
        .unwrap_or_default()
    }

    fn number(&self, name: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        self.parsed(name, |text| {
            text.parse::<u64>()
                .ok()
                .filter(|number| range.contains(number))
                .ok_or_else(|| {
                    let (low, high) = (range.start(), range.end());
                    format!("'{text}' is no whole number from {low} to {high}")
                })
        })
    }

    fn count(&self, name: &'static str, range: RangeInclusive<u64>) -> Option<u32> {
        u32::try_from(self.number(name, range)?).ok()
    }

    fn one_of<T: Copy + Default>(&self, name: &'static str, values: &[(&str, T)]) -> T {
        self.parsed(name, |text| {
            let lower = text.to_ascii_lowercase();
            values
                .iter()
                .find(|(word, _)| *word == lower)
                .map(|(_, value)| *value)
                .ok_or_else(|| {
                    let words: Vec<&str> = values.iter().map(|(word, _)| *word).collect();
                    format!("'{text}' is none of {}", words.join(", "))
                })
        })
        .unwrap_or_default()
    }

    fn finish(self) {
        let known = self.known.borrow();
        for name in self
            .members
            .keys()
            .filter(|name| !known.contains(name.as_str()))
        {
            let mend = near_miss(name, known.iter().copied()).map_or_else(
                || "remove it".to_owned(),
                |near| format!("did you mean '{near}'?"),
            );
            self.problem(name, format!("unknown field; {mend}"));
        }
    }
}
