//! A job, how far it has come, and its runs.

use std::collections::BTreeMap;
use std::time::Duration;

use gorgone_protocol::Token;
use gorgone_schedule::{Definition, JobId};
use jiff::Timestamp;

use crate::stored::{At, RequestRecord, RunRecord, Setting, StageRecord, Why};

/// Where a job's definition stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// In the configuration, which it follows.
    File,
    /// It was added at run time.
    Added,
}

#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) definition: Definition,
    pub(crate) source: Source,
    pub(crate) setting: Option<Setting>,
    pub(crate) at: At,
    /// The runs that have not ended, by their numbers.
    pub(crate) runs: BTreeMap<u64, Run>,
    /// Its place in the calendar.
    pub(crate) wake: Option<i64>,
}

/// A run: a job and a number.
pub(crate) type RunKey = (JobId, u64);

/// A run that has not ended.
///
/// ```text
/// queued ─▶ written ─▶ asked ─▶ under way ─▶ (ended) ─▶ again ─▶ written …
///              new leader: looked for ─▶ asked, under way
/// ```
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) scheduled: i64,
    pub(crate) manual: bool,
    pub(crate) retry: u32,
    pub(crate) stage: Stage,
    pub(crate) since_ms: i64,
    pub(crate) cancel: Option<Why>,
    pub(crate) request: Option<RequestRecord>,
    /// When whoever runs it got it; seconds since 1970.
    pub(crate) began: Option<i64>,
    /// Whether core has said in this leader's time that it has it.
    pub(crate) accepted: bool,
    /// When it takes longer than it may; monotonic.
    pub(crate) overtime_at: Option<Duration>,
    /// Until when core's being busy is borne with; monotonic.
    pub(crate) patience: Duration,
}

/// How far a run has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// It waits for the one before it.
    Queued,
    /// It is to be begun again at this time; milliseconds since 1970.
    Again(i64),
    /// That it is to be begun is being written down.
    Written,
    /// Core is asked for it, or will be in a moment.
    Asked,
    /// A new leader asks what became of it.
    Sought,
    /// Core has it.
    Underway,
}

impl Job {
    /// The job with nothing behind it.
    pub(crate) fn new(definition: Definition, source: Source, now: i64) -> Self {
        let at = At {
            cursor: now,
            spec: spec(&definition),
            ..At::default()
        };
        Self {
            definition,
            source,
            setting: None,
            at,
            runs: BTreeMap::new(),
            wake: None,
        }
    }

    pub(crate) fn id(&self) -> &JobId {
        &self.definition.id
    }

    /// Whether it rests.
    pub(crate) fn rests(&self) -> bool {
        self.setting
            .map_or(self.definition.suspend, |setting| setting.suspend)
    }

    /// Up to where its instants are due; seconds since 1970.
    pub(crate) fn horizon(&self, node: u64, now_ms: i64) -> i64 {
        (now_ms - self.delay_ms(node)).div_euclid(1000)
    }

    fn delay_ms(&self, node: u64) -> i64 {
        i64::try_from(self.definition.delay(node).as_millis()).unwrap_or(i64::MAX)
    }

    /// When it is to be looked at next; milliseconds since 1970.
    pub(crate) fn next_wake(&self, node: u64) -> Option<i64> {
        if self.rests() {
            return None;
        }
        let next = self.definition.next(self.at.cursor)?;
        Some(
            next.saturating_mul(1000)
                .saturating_add(self.delay_ms(node)),
        )
    }

    /// The token of a run.
    pub(crate) fn token(&self, number: u64, run: &Run) -> Option<Token> {
        let mut text = instant_token(self.id(), run.scheduled);
        if run.manual {
            text.push_str(&format!(":manual-{number}"));
        }
        if run.retry > 0 {
            text.push_str(&format!(":retry-{}", run.retry));
        }
        Token::parse(&text).ok()
    }

    /// Whether a run is under way, or about to be.
    pub(crate) fn is_busy(&self) -> bool {
        !self.runs.is_empty()
    }

    pub(crate) fn queued(&self) -> impl Iterator<Item = (&u64, &Run)> {
        self.runs
            .iter()
            .filter(|(_, run)| run.stage == Stage::Queued)
    }
}

impl Run {
    pub(crate) const fn new(scheduled: i64, manual: bool, stage: Stage) -> Self {
        Self {
            scheduled,
            manual,
            retry: 0,
            stage,
            since_ms: 0,
            cancel: None,
            request: None,
            began: None,
            accepted: false,
            overtime_at: None,
            patience: Duration::ZERO,
        }
    }

    pub(crate) fn record(&self) -> RunRecord {
        RunRecord {
            scheduled: self.scheduled,
            stage: match self.stage {
                Stage::Queued => StageRecord::Queued,
                Stage::Again(until) => StageRecord::Again(until),
                Stage::Written | Stage::Asked | Stage::Sought | Stage::Underway => {
                    StageRecord::Asked
                }
            },
            since_ms: self.since_ms,
            manual: self.manual,
            retry: self.retry,
            cancel: self.cancel,
            request: self.request.clone(),
        }
    }

    pub(crate) fn from_record(record: RunRecord) -> Self {
        Self {
            retry: record.retry,
            since_ms: record.since_ms,
            cancel: record.cancel,
            request: record.request,
            ..Self::new(
                record.scheduled,
                record.manual,
                match record.stage {
                    StageRecord::Queued => Stage::Queued,
                    StageRecord::Again(until) => Stage::Again(until),
                    StageRecord::Asked => Stage::Sought,
                },
            )
        }
    }
}

/// What names a job's due instant.
pub(crate) fn instant_token(id: &JobId, scheduled: i64) -> String {
    format!("cron:{id}:{}", rfc3339(scheduled))
}

/// Seconds since 1970 as people read them.
pub(crate) fn rfc3339(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

/// When a job is due, as a text that changes when that does.
pub(crate) fn spec(definition: &Definition) -> String {
    format!("{} {}", definition.timespec, definition.zone().name())
}
