//! The instance that fires: its jobs, which instants are due, and what becomes of their runs.
//!
//! - `due` decides which instants are begun and which were missed.
//! - `fire` begins a run, or says why there is none.
//! - `follow` has core run it, and learns of its end.
//! - `requests` changes and shows jobs.
//!
//! Everything is written down before it is done (`changes`), so that the next leader, which
//! starts with what is written (`load`), can say all of it again.

mod changes;
mod due;
mod fire;
mod follow;
mod job;
mod load;
mod requests;
mod show;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use gorgone_client::AskError;
use gorgone_protocol::request::state::{Fence, is_fenced};
use gorgone_protocol::{Action, Answer, Moment, Status, Token};
use gorgone_schedule::{Definition, JobId, Zones};
use serde_json::Value;

use crate::instance::{AskId, Outbox};
use changes::{Changes, Then};
use job::{Job, RunKey};

pub(crate) use load::Loaded;

/// How long core may take to answer before it is asked again.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait before asking again what core could not do.
const PAUSE: Duration = Duration::from_secs(1);
/// Runs that core is asked for at one time.
const ASKED: usize = 256;
/// Runs that are followed later, since others wait to begin.
const FOLLOWED_LATER: usize = 20_000;
/// Cursors further ahead of the clock than this, in seconds, are a clock that was put right.
const SET_BACK: i64 = 3 * 3600;

/// What a leader goes by.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) node: u64,
    pub(crate) zones: Zones,
    /// How long core remembers what it has accepted.
    pub(crate) memory: Duration,
}

/// See the module's doc.
#[derive(Debug)]
pub(crate) struct Leader {
    rules: Rules,
    now: Moment,
    jobs: BTreeMap<JobId, Job>,
    /// Jobs by when they are to be looked at next.
    calendar: BTreeSet<(i64, JobId)>,
    /// How many runs have not ended.
    runs: usize,
    changes: Changes,
    asks: HashMap<AskId, Asked>,
    /// What is done after a while; monotonic.
    pauses: BTreeMap<(Duration, u64), Again>,
    next_pause: u64,
    to_ask: VecDeque<RunKey>,
    /// How many runs core is being asked for.
    asking: usize,
    /// Runs whose end is asked for once nothing waits to begin.
    to_follow: VecDeque<RunKey>,
    /// Missed instants that may be told one by one yet.
    to_tell: usize,
    stopping: bool,
    fenced: bool,
    counted: Counted,
}

/// What was counted since this instance fires.
#[derive(Clone, Debug, Default)]
struct Counted {
    begun: u64,
    late: Duration,
    skipped: BTreeMap<&'static str, u64>,
}

/// How things stand with the jobs, for whoever watches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Figures {
    /// Jobs that there are.
    pub jobs: usize,
    /// Runs that have not ended.
    pub runs: usize,
    /// Scheduled runs that were begun since this instance fires.
    pub begun: u64,
    /// How long after their instants these were, together; whole seconds each.
    pub late: Duration,
    /// Instants that had no run since this instance fires, by reason.
    pub skipped: BTreeMap<&'static str, u64>,
}

/// What a question is about.
#[derive(Debug)]
enum Asked {
    Write,
    Run(RunKey),
    /// The first row of a run: since when it runs; asked at this time.
    First(RunKey, Duration),
    /// Its end, if it is good; asked at this time.
    Good(RunKey, Duration),
    /// Its end, if it is bad.
    Bad(RunKey),
    Cancel(RunKey),
    /// The past of a job, for somebody who is shown the rest, and how much of it.
    Past(Token, Value, usize),
}

/// What is done after a while.
#[derive(Clone, Debug)]
enum Again {
    Write,
    Ask(RunKey),
    Follow(RunKey),
    Cancel(RunKey),
    /// It was to be begun again by now.
    Retry(RunKey),
    /// It was to be over by now.
    Overtime(RunKey),
}

impl Leader {
    pub(crate) fn new(rules: Rules, fence: Fence, now: Moment) -> Self {
        Self {
            rules,
            now,
            jobs: BTreeMap::new(),
            calendar: BTreeSet::new(),
            runs: 0,
            changes: Changes::new(fence),
            asks: HashMap::new(),
            pauses: BTreeMap::new(),
            next_pause: 0,
            to_ask: VecDeque::new(),
            asking: 0,
            to_follow: VecDeque::new(),
            to_tell: 0,
            stopping: false,
            fenced: false,
            counted: Counted::default(),
        }
    }

    pub(crate) fn figures(&self) -> Figures {
        Figures {
            jobs: self.jobs.len(),
            runs: self.runs,
            begun: self.counted.begun,
            late: self.counted.late,
            skipped: self.counted.skipped.clone(),
        }
    }

    /// Does all that is due by now, and asks for what is wanted.
    pub(crate) fn work(&mut self, now: Moment, out: &mut Outbox) {
        self.now = now;
        while let Some((&(at, number), _)) = self.pauses.first_key_value()
            && at <= now.monotonic
        {
            if let Some(again) = self.pauses.remove(&(at, number)) {
                self.again(again, out);
            }
        }
        self.fire();
        self.ask_for_runs(out);
        self.follow_next(out);
        self.write(out);
    }

    /// Takes an answer. False where the question was not this leader's.
    pub(crate) fn answered(
        &mut self,
        ask: AskId,
        answer: &Result<Answer, AskError>,
        now: Moment,
        out: &mut Outbox,
    ) -> bool {
        self.now = now;
        let Some(asked) = self.asks.remove(&ask) else {
            return false;
        };
        match asked {
            Asked::Write => self.write_answered(answer, out),
            Asked::Run(key) => self.run_answered(&key, answer, out),
            Asked::First(key, at) => self.first_answered(&key, at, answer, out),
            Asked::Good(key, at) => self.good_answered(&key, at, answer, out),
            Asked::Bad(key) => self.bad_answered(&key, answer),
            Asked::Cancel(key) => self.cancel_answered(&key, answer),
            Asked::Past(token, about, most) => {
                show::past_answered(token, about, most, answer, out);
            }
        }
        true
    }

    /// When it is to work again: by the system's clock, and by the other one.
    pub(crate) fn wake(&self) -> (Option<i64>, Option<Duration>) {
        let fires = !self.stopping && self.changes.takes(self.now.monotonic);
        let wall = self.calendar.first().map(|(at, _)| *at);
        let monotonic = self.pauses.first_key_value().map(|((at, _), _)| *at);
        (wall.filter(|_| fires), monotonic)
    }

    /// Begins nothing more.
    pub(crate) fn stop(&mut self) {
        self.stopping = true;
    }

    /// Whether all that was decided is written down and asked for.
    pub(crate) fn is_settled(&self) -> bool {
        self.changes.is_empty() && self.to_ask.is_empty() && self.asking == 0
    }

    /// Whether somebody else fires by now.
    pub(crate) const fn is_fenced(&self) -> bool {
        self.fenced
    }

    /// Requests that will not be answered by this leader.
    pub(crate) fn unanswered(self) -> Vec<Token> {
        let past = self.asks.into_values().filter_map(|asked| match asked {
            Asked::Past(token, ..) => Some(token),
            _ => None,
        });
        let mut tokens: Vec<Token> = past.collect();
        tokens.extend(self.changes.unanswered());
        tokens
    }

    /// Looks at every job anew: the clock was set.
    pub(crate) fn clock_set(&mut self, now: Moment) {
        self.now = now;
        let ids: Vec<JobId> = self.jobs.keys().cloned().collect();
        for id in ids {
            self.mind_the_clock(&id);
            self.plan(&id);
        }
    }

    /// A job that has come further than the clock has its instants behind it. One that is far
    /// ahead went by a clock that was wrong.
    fn mind_the_clock(&mut self, id: &JobId) {
        let now = self.now.unix();
        if let Some(job) = self.jobs.get_mut(id)
            && job.at.cursor > now.saturating_add(SET_BACK)
        {
            tracing::warn!(job = %id, "had come further than the clock; goes by the clock again");
            job.at.cursor = now;
        }
    }

    /// Puts a job into its place in the calendar.
    fn plan(&mut self, id: &JobId) {
        let Some(job) = self.jobs.get_mut(id) else {
            return;
        };
        if let Some(old) = job.wake.take() {
            self.calendar.remove(&(old, id.clone()));
        }
        job.wake = job.next_wake(self.rules.node);
        if let Some(at) = job.wake {
            self.calendar.insert((at, id.clone()));
        }
    }

    fn pause(&mut self, after: Duration, again: Again) {
        self.next_pause += 1;
        let at = self.now.monotonic + after;
        self.pauses.insert((at, self.next_pause), again);
    }

    fn again(&mut self, again: Again, out: &mut Outbox) {
        match again {
            Again::Write => self.say_write(out),
            Again::Ask(key) => self.to_ask.push_back(key),
            Again::Follow(key) => self.follow(&key, out),
            Again::Cancel(key) => self.cancel(&key, out),
            Again::Retry(key) => self.begin_again(&key),
            Again::Overtime(key) => self.overtime(&key),
        }
    }

    fn write(&mut self, out: &mut Outbox) {
        if self.changes.next(self.now.monotonic).is_some() {
            self.say_write(out);
        }
    }

    fn say_write(&mut self, out: &mut Outbox) {
        if let Some(message) = self.changes.again() {
            let ask = out.ask(Action::PutState, message.encode(), PATIENCE);
            self.asks.insert(ask, Asked::Write);
        }
    }

    fn write_answered(&mut self, answer: &Result<Answer, AskError>, out: &mut Outbox) {
        match answer {
            Ok(answer) if answer.status == Status::Ok => {
                for then in self.changes.written() {
                    self.then(then, out);
                }
            }
            Ok(answer) if is_fenced(answer) => self.fenced = true,
            other => {
                tracing::warn!(
                    answer = said(other),
                    "nothing can be written down; tried again"
                );
                self.pause(PAUSE, Again::Write);
            }
        }
    }

    fn then(&mut self, then: Then, out: &mut Outbox) {
        match then {
            Then::Ask(key) => self.written(key),
            Then::Cancel(key) => self.cancel(&key, out),
            Then::Answer(token, data) => out.report(token, gorgone_protocol::Code::Ok, data),
        }
    }

    fn definition(&self, id: &JobId) -> Option<&Definition> {
        self.jobs.get(id).map(|job| &job.definition)
    }
}

/// What an answer that is none says, for the log.
fn said(answer: &Result<Answer, AskError>) -> String {
    match answer {
        Ok(answer) => answer.data.as_str().chars().take(300).collect(),
        Err(error) => error.to_string(),
    }
}
