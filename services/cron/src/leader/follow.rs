//! Core runs what is due: it is asked, and asked again until it has taken the run, and then what
//! became of it. Nothing is polled: a question about an end waits in core until there is one.

use std::time::Duration;

use gorgone_client::AskError;
use gorgone_protocol::request::cancel::Cancel;
use gorgone_protocol::request::lenient;
use gorgone_protocol::request::log::{GetLog, Page, PutLog, Row, WaitFor, decode_answer};
use gorgone_protocol::{
    Action, Answer, Code, Data, Dialect, Message, Reason, Status, Target, Token,
};
use gorgone_schedule::{Catchup, JobId};
use serde::Deserialize;

use super::changes::Change;
use super::fire::seconds;
use super::job::{Run, RunKey, Stage};
use super::{ASKED, Again, Asked, FOLLOWED_LATER, Leader, PATIENCE, PAUSE, said};
use crate::instance::Outbox;
use crate::stored::{Past, Why, at_key, past_key, run_key, text};

/// How long one question about an end waits in core.
const WAIT: Duration = Duration::from_secs(3600);
/// An answer that comes sooner than this has not waited.
const QUICK: Duration = Duration::from_secs(1);
/// How long a core that is full is asked for a run that has no deadline.
const FULL: Duration = Duration::from_secs(3600);
/// How long to wait before asking again to end a run.
const CANCEL_AGAIN: Duration = Duration::from_secs(10);
/// Rows that are larger are not repeated under the job's id.
const MIRRORED: usize = 1 << 20;
/// How much of a run's message is kept.
const MESSAGE: usize = 200;

/// What of a terminal row matters here.
#[derive(Deserialize, Default)]
struct End {
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default, deserialize_with = "lenient::integer")]
    start: Option<i64>,
}

impl Leader {
    fn run_of(&self, key: &RunKey) -> Option<&Run> {
        self.jobs.get(&key.0)?.runs.get(&key.1)
    }

    fn run_of_mut(&mut self, key: &RunKey) -> Option<&mut Run> {
        self.jobs.get_mut(&key.0)?.runs.get_mut(&key.1)
    }

    fn token_of(&self, key: &RunKey) -> Option<Token> {
        let job = self.jobs.get(&key.0)?;
        job.token(key.1, job.runs.get(&key.1)?)
    }

    /// It is written down that a run begins.
    pub(super) fn written(&mut self, key: RunKey) {
        if !self
            .run_of(&key)
            .is_some_and(|run| run.stage == Stage::Written)
        {
            return;
        }
        if self.is_too_late(&key) {
            let words = "it could not be written down in time that it begins";
            self.not_begun(&key, "deadline", words);
            self.next_in_line(&key.0);
        } else {
            self.line_up(key);
        }
    }

    pub(super) fn line_up(&mut self, key: RunKey) {
        let now = self.now.monotonic;
        let deadline = self.definition(&key.0).and_then(|job| job.start_deadline);
        if let Some(run) = self.run_of_mut(&key) {
            run.stage = Stage::Asked;
            let deadline = deadline.filter(|_| !run.manual && run.retry == 0);
            run.patience = now + deadline.unwrap_or(FULL);
            self.to_ask.push_back(key);
        }
    }

    pub(super) fn ask_for_runs(&mut self, out: &mut Outbox) {
        while self.asking < ASKED
            && let Some(key) = self.to_ask.pop_front()
        {
            let token = self.token_of(&key);
            let run = self.run_of(&key).filter(|run| run.stage == Stage::Asked);
            let Some(request) = run.and_then(|run| run.request.as_ref()) else {
                continue;
            };
            let message = Message {
                action: Action::parse(&request.action),
                token,
                target: Target::parse(&request.target),
                data: Data::parse(&request.data).unwrap_or_else(|_| Data::empty()),
            };
            let ask = out.send(message, PATIENCE);
            self.asks.insert(ask, Asked::Run(key));
            self.asking += 1;
        }
    }

    /// What is due begins first: where thousands of runs begin in one second, asking for the ends
    /// of some would make the others late.
    pub(super) fn follow_next(&mut self, out: &mut Outbox) {
        while (self.to_ask.is_empty() || self.to_follow.len() > FOLLOWED_LATER)
            && let Some(key) = self.to_follow.pop_front()
        {
            self.follow(&key, out);
        }
    }

    pub(super) fn run_answered(
        &mut self,
        key: &RunKey,
        answer: &Result<Answer, AskError>,
        out: &mut Outbox,
    ) {
        self.asking -= 1;
        let now = self.now.monotonic;
        let Some(run) = self.run_of_mut(key) else {
            return;
        };
        match answer {
            Ok(answer) if answer.status == Status::Ok => {
                run.accepted = true;
                self.is_underway(key, out);
                self.to_follow.push_back(key.clone());
            }
            Ok(answer) if !is_for_now(answer) => {
                let end = End {
                    reason: Some(Reason::Rejected.as_str().to_owned()),
                    ..answer.data.decode().unwrap_or_default()
                };
                self.ended(key, false, end, None);
            }
            Err(AskError::Closed) => {}
            other => {
                if run.patience <= now {
                    // Perhaps it has taken it once, and its answer was lost.
                    run.stage = Stage::Sought;
                    self.follow(key, out);
                } else {
                    tracing::debug!(job = %key.0, answer = said(other), "asked again");
                    self.pause(PAUSE, Again::Ask(key.clone()));
                }
            }
        }
    }

    fn is_underway(&mut self, key: &RunKey, out: &mut Outbox) {
        if let Some(run) = self.run_of_mut(key) {
            run.stage = Stage::Underway;
            if run.cancel.is_some() {
                self.cancel(key, out);
            }
        }
    }

    /// Asks for the end of a run, or first for its beginning where its time is limited.
    pub(super) fn follow(&mut self, key: &RunKey, out: &mut Outbox) {
        let Some(token) = self.token_of(key) else {
            return;
        };
        let limited = self
            .definition(&key.0)
            .is_some_and(|job| job.max_runtime.is_some());
        if limited && self.run_of(key).is_some_and(|run| run.began.is_none()) {
            let ask = ask_log(out, &token, None, Some(WaitFor::Row));
            let asked = Asked::First(key.clone(), self.now.monotonic);
            self.asks.insert(ask, asked);
        } else {
            let ask = ask_log(out, &token, Some(Code::Ok), Some(WaitFor::End));
            let asked = Asked::Good(key.clone(), self.now.monotonic);
            self.asks.insert(ask, asked);
        }
    }

    pub(super) fn first_answered(
        &mut self,
        key: &RunKey,
        asked_at: Duration,
        answer: &Result<Answer, AskError>,
        out: &mut Outbox,
    ) {
        let Some(page) = self.page(key, answer) else {
            return;
        };
        let limit = self.definition(&key.0).and_then(|job| job.max_runtime);
        match (page.rows.first(), limit) {
            (Some(row), Some(limit)) => {
                let passed = u64::try_from(self.now.unix() - row.etime).unwrap_or(0);
                let left = limit.saturating_sub(Duration::from_secs(passed));
                let overtime_at = self.now.monotonic + left;
                if let Some(run) = self.run_of_mut(key) {
                    run.began = Some(row.etime);
                    run.overtime_at = Some(overtime_at);
                }
                self.pause(left, Again::Overtime(key.clone()));
                self.is_underway(key, out);
                self.follow(key, out);
            }
            (Some(_), None) => self.follow(key, out),
            (None, _) if page.live == Some(true) => self.lives(key, asked_at, out),
            (None, _) => self.no_trace(key),
        }
    }

    pub(super) fn good_answered(
        &mut self,
        key: &RunKey,
        asked_at: Duration,
        answer: &Result<Answer, AskError>,
        out: &mut Outbox,
    ) {
        let Some(page) = self.page(key, answer) else {
            return;
        };
        if let Some(row) = page.rows.first() {
            self.ended_with(key, true, row);
        } else if page.live == Some(true) {
            self.lives(key, asked_at, out);
        } else if let Some(token) = self.token_of(key) {
            let ask = ask_log(out, &token, Some(Code::Ko), None);
            self.asks.insert(ask, Asked::Bad(key.clone()));
        }
    }

    pub(super) fn bad_answered(&mut self, key: &RunKey, answer: &Result<Answer, AskError>) {
        let Some(page) = self.page(key, answer) else {
            return;
        };
        match page.rows.first() {
            Some(row) => self.ended_with(key, false, row),
            None => self.no_trace(key),
        }
    }

    /// A run has not ended, though the question has.
    fn lives(&mut self, key: &RunKey, asked_at: Duration, out: &mut Outbox) {
        let waited = asked_at + QUICK <= self.now.monotonic;
        if let Some(run) = self.run_of_mut(key) {
            run.accepted = true;
            self.is_underway(key, out);
        }
        if waited {
            self.follow(key, out);
        } else {
            // Too many wait in core.
            self.pause(PAUSE * 2, Again::Follow(key.clone()));
        }
    }

    /// Core was never asked for a run that was to begin, or has forgotten it.
    fn no_trace(&mut self, key: &RunKey) {
        let now = self.now;
        let Some(run) = self.run_of(key) else {
            return;
        };
        let gave_up = !run.patience.is_zero() && run.patience <= now.monotonic;
        let age = Duration::from_millis(u64::try_from(now.unix_ms - run.since_ms).unwrap_or(0));
        let instant = !run.manual && run.retry == 0;
        let late = now.unix() - run.scheduled;
        let catches_up = self
            .definition(&key.0)
            .is_some_and(|job| job.catchup != Catchup::None && late <= seconds(job.catchup_window));
        if gave_up && !run.accepted {
            self.not_begun(key, "busy", "core had no room for it");
            self.next_in_line(&key.0);
        } else if run.accepted || age >= self.rules.memory {
            let end = End {
                reason: Some(Reason::Unknown.as_str().to_owned()),
                message: Some("nobody remembers what became of it".to_owned()),
                start: None,
            };
            self.ended(key, false, end, None);
        } else if instant && self.is_late(key) && !catches_up {
            let words = "it was about to begin, and nobody was there to go on";
            self.not_begun(key, "missed", words);
            self.next_in_line(&key.0);
        } else {
            self.line_up(key.clone());
        }
    }

    /// The rows of an answer; where there is none, the run is followed again in a moment.
    fn page(&mut self, key: &RunKey, answer: &Result<Answer, AskError>) -> Option<Page> {
        match answer {
            Ok(answer) if answer.status == Status::Ok => {
                if let Ok(page) = decode_answer(answer, Dialect::Seed) {
                    return Some(page);
                }
            }
            Err(AskError::Closed) => return None,
            Ok(_) | Err(_) => {}
        }
        self.pause(PAUSE, Again::Follow(key.clone()));
        None
    }

    /// Has core end a run, again and again until it has ended.
    pub(super) fn cancel(&mut self, key: &RunKey, out: &mut Outbox) {
        let run = self.run_of(key).filter(|run| run.cancel.is_some());
        let known = run.is_some_and(|run| matches!(run.stage, Stage::Sought | Stage::Underway));
        if known && let Some(token) = self.token_of(key) {
            let body = Data::from_value(&Cancel { token });
            let ask = out.ask(Action::Cancel, body, PATIENCE);
            self.asks.insert(ask, Asked::Cancel(key.clone()));
        }
    }

    pub(super) fn cancel_answered(&mut self, key: &RunKey, answer: &Result<Answer, AskError>) {
        if self.run_of(key).is_some() {
            tracing::debug!(job = %key.0, answer = said(answer), "is to end early");
            self.pause(CANCEL_AGAIN, Again::Cancel(key.clone()));
        }
    }

    pub(super) fn overtime(&mut self, key: &RunKey) {
        let now = self.now.monotonic;
        let over = |run: &Run| run.overtime_at.is_some_and(|at| at <= now);
        if self
            .run_of(key)
            .is_some_and(|run| run.stage == Stage::Underway && over(run))
        {
            tracing::warn!(job = %key.0, "takes longer than it may; is cancelled");
            self.end_early(key, Why::MaxRuntime);
        }
    }

    fn ended_with(&mut self, key: &RunKey, good: bool, row: &Row) {
        let end: End = serde_json::from_str(&row.data).unwrap_or_default();
        self.ended(key, good, end, Some(row));
    }

    /// A run is over: it is written down, begun again, or makes room for the next one.
    fn ended(&mut self, key: &RunKey, good: bool, end: End, row: Option<&Row>) {
        let now = self.now;
        let token = self.token_of(key);
        let Some(job) = self.jobs.get_mut(&key.0) else {
            return;
        };
        let (retries, backoff) = (job.definition.retries, job.definition.retry_backoff);
        let mirror = job.definition.keep_token;
        let Some(run) = job.runs.get_mut(&key.1) else {
            return;
        };
        let cancelled = end.reason.as_deref() == Some(Reason::Cancelled.as_str());
        let reason = match run.cancel.filter(|_| cancelled && !good) {
            Some(Why::MaxRuntime) => Some("max_runtime".to_owned()),
            Some(Why::Replaced) => Some("replaced".to_owned()),
            None => end.reason.filter(|_| !good),
        };
        let past = Past {
            number: key.1,
            scheduled: run.scheduled,
            token: token.map_or_else(String::new, |token| token.to_string()),
            ok: good,
            message: end.message.map(|text| text.chars().take(MESSAGE).collect()),
            began: run.began.or(end.start),
            ended: row.map_or(now.unix(), |row| row.etime),
            retry: run.retry,
            reason,
        };
        let failed = !matches!(
            past.reason.as_deref(),
            Some("cancelled" | "rejected" | "replaced")
        );
        let again = (!good && failed && run.retry < retries).then(|| backoff.before(run.retry + 1));
        let mut change = Change::default();
        match again {
            Some(wait) => {
                let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
                run.retry += 1;
                run.stage = Stage::Again(now.unix_ms.saturating_add(wait_ms));
                run.since_ms = now.unix_ms;
                (run.cancel, run.request) = (None, None);
                let record = text(&run.record());
                change.put.push((run_key(&key.0, key.1), record));
            }
            None => {
                job.runs.remove(&key.1);
                change.drop.push(run_key(&key.0, key.1));
            }
        }
        let slots = u64::from(job.definition.keep_runs.max(1));
        job.at.slots = job.at.slots.max(job.definition.keep_runs);
        let slot = past_key(&key.0, key.1 % slots);
        change.put.push((slot, text(&past)));
        job.at.last = Some(past);
        change.put.push((at_key(&key.0), text(&job.at)));
        if mirror && let Some(row) = row {
            change.rows.push(mirrored(&key.0, row));
        }
        self.changes.push(change);
        match again {
            Some(wait) => self.wait_to_begin_again(key, wait),
            None => {
                self.runs -= 1;
                self.next_in_line(&key.0);
            }
        }
    }
}

/// Whether a refusal may be over in a moment.
fn is_for_now(answer: &Answer) -> bool {
    #[derive(Deserialize, Default)]
    struct Body {
        #[serde(default)]
        error: Option<String>,
    }
    let body: Body = answer.data.decode().unwrap_or_default();
    matches!(
        body.error.as_deref(),
        Some("busy" | "unavailable" | "stopping")
    )
}

fn ask_log(
    out: &mut Outbox,
    token: &Token,
    code: Option<Code>,
    wait: Option<WaitFor>,
) -> crate::instance::AskId {
    let filter = GetLog {
        token: Some(token.as_str().to_owned()),
        code,
        limit: Some(1),
        wait: wait.map(|_| WAIT),
        wait_for: wait.unwrap_or_default(),
        ..GetLog::default()
    };
    let patience = match wait {
        Some(_) => WAIT + PATIENCE,
        None => PATIENCE,
    };
    out.ask(Action::GetLog, filter.encode(Dialect::Seed), patience)
}

/// The row as those find it who look under the job's id.
fn mirrored(id: &JobId, row: &Row) -> PutLog {
    let data = if row.data.len() <= MIRRORED {
        row.data.clone()
    } else {
        let words = "the result is too long to stand here; it stands under the run's token";
        serde_json::json!({ "message": words, "token": row.token }).to_string()
    };
    PutLog {
        token: Some(id.as_str().to_owned()),
        code: row.code,
        etime: Some(row.etime),
        data,
        sequence: None,
        attempt: None,
    }
}
