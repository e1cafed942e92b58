//! An instant is due: it gets a run, or a reason why it has none.

use std::time::Duration;

use gorgone_protocol::request::log::PutLog;
use gorgone_protocol::request::occasion::Occasion;
use gorgone_protocol::{Code, Data, Token};
use gorgone_schedule::{Definition, JobId, Overlap};
use serde_json::{Map, Value, json};

use super::changes::{Change, Then};
use super::due::{Due, LATE, due};
use super::job::{Job, Run, RunKey, Stage, instant_token, rfc3339};
use super::{Again, Leader};
use crate::stored::{RequestRecord, Skipped, Why, at_key, run_key, text};

/// Runs of a job that wait for the one before them.
const QUEUED: usize = 100;
/// Runs of a job under way.
const UNDERWAY: usize = 1_000;
/// Runs of all jobs.
const RUNS: usize = 100_000;
/// Missed instants of all jobs that are told one by one, when nobody was there for long.
const TOLD_AT_ONCE: usize = 10_000;

/// What becomes of an instant.
pub(super) enum Verdict {
    /// It has a run with this number; false: which waits.
    Run(u64, bool),
    /// It has none: the reason's word, and a sentence.
    None(&'static str, String),
}

impl Leader {
    /// Decides about all instants that are due.
    pub(super) fn fire(&mut self) {
        self.to_tell = TOLD_AT_ONCE;
        while !self.stopping
            && self.changes.takes(self.now.monotonic)
            && let Some((at, id)) = self.calendar.first().cloned()
            && at <= self.now.unix_ms
        {
            self.calendar.remove(&(at, id.clone()));
            self.decide(&id);
            self.plan(&id);
        }
    }

    fn decide(&mut self, id: &JobId) {
        let Some(job) = self.jobs.get_mut(id) else {
            return;
        };
        job.wake = None;
        let horizon = job.horizon(self.rules.node, self.now.unix_ms);
        let mut due = due(&job.definition, job.at.cursor, horizon);
        job.at.cursor = job.at.cursor.max(horizon);
        if due.missed.len() > self.to_tell {
            due.tell_together(horizon);
        }
        self.to_tell -= due.missed.len();
        let Due {
            older,
            missed,
            begin,
        } = due;
        let words = "it was due while nobody could begin it";
        if let Some((first, before)) = older {
            self.skip_all(id, (first, before), "missed", words);
        }
        for instant in missed {
            self.skip(id, instant, "missed", words);
        }
        for instant in begin {
            let late = horizon - instant;
            if let Verdict::None(reason, words) = self.instant(id, instant, late) {
                self.skip(id, instant, reason, &words);
            }
        }
    }

    fn instant(&mut self, id: &JobId, instant: i64, late: i64) -> Verdict {
        let deadline = self.definition(id).and_then(|job| job.start_deadline);
        if deadline.is_some_and(|deadline| late > seconds(deadline)) {
            let words = format!("it could begin {late} seconds late at the earliest");
            return Verdict::None("deadline", words);
        }
        self.run(id, instant, false)
    }

    /// Begins a run, unless one is under way and the job does not allow for two.
    pub(super) fn run(&mut self, id: &JobId, scheduled: i64, manual: bool) -> Verdict {
        let full = self.runs >= RUNS;
        let Some(job) = self.jobs.get_mut(id) else {
            return Verdict::None("missed", "the job is gone".to_owned());
        };
        if full || job.runs.len() >= UNDERWAY {
            let words = format!("{} runs have not ended", job.runs.len());
            return Verdict::None("busy", words);
        }
        let queued = job.queued().count();
        let mut stage = Stage::Written;
        match job.definition.overlap {
            Overlap::Allow => {}
            _ if !job.is_busy() => {}
            Overlap::Forbid => {
                let words = format!("{} has not ended", running(job));
                return Verdict::None("overlap", words);
            }
            Overlap::Queue if queued >= QUEUED => {
                return Verdict::None("overlap", format!("{QUEUED} runs wait already"));
            }
            Overlap::Queue | Overlap::Replace => stage = Stage::Queued,
        }
        let replaces = stage == Stage::Queued && job.definition.overlap == Overlap::Replace;
        job.at.count += 1;
        let number = job.at.count;
        job.runs.insert(number, Run::new(scheduled, manual, stage));
        self.runs += 1;
        let key = (id.clone(), number);
        if stage == Stage::Written {
            self.begin(&key);
            return Verdict::Run(number, true);
        }
        self.keep(&key, Vec::new());
        if replaces {
            self.replace(id, number);
        }
        self.next_in_line(id);
        let runs = self.jobs.get(id).map(|job| &job.runs);
        let run = runs.and_then(|runs| runs.get(&number));
        Verdict::Run(number, run.is_some_and(|run| run.stage != Stage::Queued))
    }

    /// Ends all runs that stand before this one.
    fn replace(&mut self, id: &JobId, number: u64) {
        let Some(job) = self.jobs.get_mut(id) else {
            return;
        };
        let others: Vec<(u64, Stage)> = job
            .runs
            .range(..number)
            .map(|(number, run)| (*number, run.stage))
            .collect();
        for (other, stage) in others {
            match stage {
                // It has not begun: it never will.
                Stage::Queued | Stage::Again(_) => {
                    self.not_begun(
                        &(id.clone(), other),
                        "replaced",
                        "the next one took its place",
                    );
                }
                Stage::Written | Stage::Asked | Stage::Sought | Stage::Underway => {
                    self.end_early(&(id.clone(), other), Why::Replaced);
                }
            }
        }
    }

    /// A run is to end before its time: first it is written down why.
    pub(super) fn end_early(&mut self, key: &RunKey, why: Why) {
        let run = self
            .jobs
            .get_mut(&key.0)
            .and_then(|job| job.runs.get_mut(&key.1));
        if let Some(run) = run
            && run.cancel.is_none()
        {
            run.cancel = Some(why);
            self.keep(key, vec![Then::Cancel(key.clone())]);
        }
    }

    /// Has a run begin, as soon as it is written down that it does.
    pub(super) fn begin(&mut self, key: &RunKey) {
        let now_ms = self.now.unix_ms;
        let Some(job) = self.jobs.get_mut(&key.0) else {
            return;
        };
        let horizon = job.horizon(self.rules.node, now_ms);
        let definition = &job.definition;
        let Some(run) = job.runs.get_mut(&key.1) else {
            return;
        };
        if !run.manual && run.retry == 0 {
            let late = u64::try_from(horizon - run.scheduled).unwrap_or(0);
            self.counted.begun += 1;
            self.counted.late += Duration::from_secs(late);
        }
        run.stage = Stage::Written;
        run.since_ms = now_ms;
        run.began = None;
        run.accepted = false;
        run.overtime_at = None;
        run.request = Some(request(definition, run, horizon));
        self.keep(key, vec![Then::Ask(key.clone())]);
    }

    /// Writes down how far a run has come.
    pub(super) fn keep(&mut self, key: &RunKey, then: Vec<Then>) {
        let job = self.jobs.get(&key.0);
        if let Some(run) = job.and_then(|job| job.runs.get(&key.1)) {
            self.changes.push(Change {
                put: vec![(run_key(&key.0, key.1), text(&run.record()))],
                then,
                ..Change::default()
            });
        }
    }

    /// A run that waited does not begin.
    pub(super) fn not_begun(&mut self, key: &RunKey, reason: &'static str, words: &str) {
        let Some(job) = self.jobs.get_mut(&key.0) else {
            return;
        };
        let Some(run) = job.runs.remove(&key.1) else {
            return;
        };
        self.runs -= 1;
        let token = job.token(key.1, &run);
        self.changes.push(Change {
            drop: vec![run_key(&key.0, key.1)],
            ..Change::default()
        });
        let about = json!({ "scheduled": rfc3339(run.scheduled) });
        if let Some(token) = token {
            self.tell_skipped(&key.0, token.as_str(), run.scheduled, reason, words, about);
        }
    }

    /// The next run that waits may begin, if nothing is in its way any more.
    pub(super) fn next_in_line(&mut self, id: &JobId) {
        while let Some(job) = self.jobs.get(id)
            && job.runs.values().all(|run| run.stage == Stage::Queued)
            && let Some((&number, _)) = job.runs.first_key_value()
        {
            let key = (id.clone(), number);
            if self.is_too_late(&key) {
                let words = "the one before it took longer than it could wait";
                self.not_begun(&key, "deadline", words);
            } else {
                return self.begin(&key);
            }
        }
    }

    /// An instant has no run.
    pub(super) fn skip(&mut self, id: &JobId, instant: i64, reason: &'static str, words: &str) {
        let about = json!({ "scheduled": rfc3339(instant) });
        let token = instant_token(id, instant);
        self.tell_skipped(id, &token, instant, reason, words, about);
    }

    /// None of the instants from one on and before another has a run.
    pub(super) fn skip_all(
        &mut self,
        id: &JobId,
        (first, before): (i64, i64),
        reason: &'static str,
        words: &str,
    ) {
        let about = json!({ "scheduled": rfc3339(first), "from": rfc3339(first),
            "before": rfc3339(before) });
        let token = instant_token(id, first);
        self.tell_skipped(id, &token, first, reason, words, about);
    }

    fn tell_skipped(
        &mut self,
        id: &JobId,
        token: &str,
        scheduled: i64,
        reason: &'static str,
        words: &str,
        mut about: Value,
    ) {
        let now = self.now.unix();
        let Some(job) = self.jobs.get_mut(id) else {
            return;
        };
        *self.counted.skipped.entry(reason).or_default() += 1;
        tracing::debug!(job = %id, scheduled = rfc3339(scheduled), reason, "did not run");
        job.at.skipped = Some(Skipped {
            scheduled,
            reason: reason.to_owned(),
        });
        about["message"] = format!("did not run: {words}").into();
        about["reason"] = reason.into();
        about["job"] = id.as_str().into();
        let row = PutLog {
            token: Some(token.to_owned()),
            code: Code::Ko,
            etime: Some(now),
            data: about.to_string(),
            sequence: None,
            attempt: None,
        };
        self.changes.push(Change {
            put: vec![(at_key(id), text(&job.at))],
            rows: vec![row],
            ..Change::default()
        });
    }

    /// Whether a run may not begin any more, since it was to begin by now.
    pub(super) fn is_too_late(&self, key: &RunKey) -> bool {
        let Some(job) = self.jobs.get(&key.0) else {
            return false;
        };
        let late = |run: &Run| job.horizon(self.rules.node, self.now.unix_ms) - run.scheduled;
        let instant = |run: &&Run| !run.manual && run.retry == 0;
        let run = job.runs.get(&key.1).filter(instant);
        run.zip(job.definition.start_deadline)
            .is_some_and(|(run, deadline)| late(run) > seconds(deadline))
    }

    /// It was to be begun again by now.
    pub(super) fn begin_again(&mut self, key: &RunKey) {
        let job = self.jobs.get(&key.0);
        if job
            .and_then(|job| job.runs.get(&key.1))
            .is_some_and(|run| matches!(run.stage, Stage::Again(_)))
        {
            self.begin(key);
        }
    }

    /// A run is to be begun again after a while.
    pub(super) fn wait_to_begin_again(&mut self, key: &RunKey, wait: Duration) {
        self.pause(wait, Again::Retry(key.clone()));
    }

    /// How late a run was decided about may be, after all.
    pub(super) fn is_late(&self, key: &RunKey) -> bool {
        self.jobs.get(&key.0).is_some_and(|job| {
            let late = |run: &Run| job.horizon(self.rules.node, self.now.unix_ms) - run.scheduled;
            job.runs.get(&key.1).is_some_and(|run| late(run) > LATE)
        })
    }
}

fn running(job: &Job) -> String {
    let first = job.runs.first_key_value();
    let token: Option<Token> = first.and_then(|(number, run)| job.token(*number, run));
    token.map_or_else(|| "a run".to_owned(), |token| token.to_string())
}

pub(super) fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// What core is asked for: the job's parameters, and which run of which job it is.
fn request(job: &Definition, run: &Run, horizon: i64) -> RequestRecord {
    let mut data = match &job.parameters {
        Value::Object(members) => members.clone(),
        list => Map::from_iter([("content".to_owned(), list.clone())]),
    };
    let occasion = Occasion {
        job: job.id.to_string(),
        scheduled: rfc3339(run.scheduled),
        retry: run.retry,
    };
    data.insert("cron".to_owned(), json!(occasion));
    // It must not begin later than it may, either, where it waits in core.
    if let Some(deadline) = job.start_deadline.filter(|_| !run.manual && run.retry == 0) {
        let left = (seconds(deadline) - (horizon - run.scheduled)).max(1);
        let own = data.get("ttl").and_then(Value::as_i64);
        let ttl = own.map_or(left, |own| own.min(left));
        data.insert("ttl".to_owned(), ttl.into());
    }
    RequestRecord {
        action: job.action.name().into_owned(),
        target: job.target.to_string(),
        data: Data::from_value(&data).as_str().to_owned(),
    }
}
