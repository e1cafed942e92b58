//! Which instants are due, and which of them were missed.
//!
//! ```text
//! cursor ·····older·····|··missed··|···begin···| horizon
//! ```
//! An instant that is dealt with a few seconds late is not missed; the latest one is not, either,
//! up to a minute: a change of the instance that fires takes that long. What was due before was
//! due while nobody could begin it, and `catchup` says what becomes of it.

use gorgone_schedule::{Catchup, Definition};

/// Each instant that is no more seconds late is begun.
pub(crate) const ON_TIME: i64 = 5;
/// The latest instant is begun up to so many seconds late.
pub(crate) const LATE: i64 = 60;
/// How many instants of a job are caught up with at once.
const MOST: usize = 1_000;
/// How many missed instants are told one by one; those before are told together.
const TOLD: usize = 100;

/// The instants that are due, dealt out; seconds since 1970.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Due {
    /// From the first of these up to before the second, none is begun or told by itself.
    pub(crate) older: Option<(i64, i64)>,
    /// Not to be begun.
    pub(crate) missed: Vec<i64>,
    /// To be begun, in this order.
    pub(crate) begin: Vec<i64>,
}

impl Due {
    /// Has all missed instants told together.
    pub(crate) fn tell_together(&mut self, horizon: i64) {
        let before = self.begin.first().copied().unwrap_or(horizon + 1);
        let first = self.older.map(|(first, _)| first);
        if let Some(first) = first.or(self.missed.first().copied()) {
            self.older = Some((first, before));
        }
        self.missed.clear();
    }
}

/// What is due behind `cursor`, up to and with `horizon`.
pub(crate) fn due(job: &Definition, cursor: i64, horizon: i64) -> Due {
    let mut due = Due::default();
    let Some(first) = job.next(cursor).filter(|first| *first <= horizon) else {
        return due;
    };
    let most = match job.catchup {
        Catchup::None | Catchup::Latest => TOLD,
        Catchup::All => MOST,
    };
    let found = latest(job, cursor, horizon, most);
    let newest = found.last().copied();
    let window = i64::try_from(job.catchup_window.as_secs()).unwrap_or(i64::MAX);
    for instant in found {
        let late = horizon - instant;
        let caught_up = match job.catchup {
            Catchup::None => false,
            Catchup::Latest => newest == Some(instant) && late <= window,
            Catchup::All => late <= window,
        };
        if caught_up || late <= ON_TIME || (newest == Some(instant) && late <= LATE) {
            due.begin.push(instant);
        } else {
            due.missed.push(instant);
        }
    }
    let told = due.missed.split_off(due.missed.len().saturating_sub(TOLD));
    due.missed = told;
    let by_itself = due.missed.first().or(due.begin.first());
    due.older = by_itself
        .filter(|by_itself| first < **by_itself)
        .map(|by_itself| (first, *by_itself));
    due
}

/// At most `most` of the last instants behind `after`, up to and with `to`. Looks back twice as
/// far each time, so that neither a job of every second nor one of every year takes long.
fn latest(job: &Definition, after: i64, to: i64, most: usize) -> Vec<i64> {
    let mut width = 64_i64;
    loop {
        let from = after.max(to.saturating_sub(width));
        let mut found: Vec<i64> = job.after(from).take_while(|at| *at <= to).collect();
        if from == after || found.len() >= most {
            return found.split_off(found.len().saturating_sub(most));
        }
        width = width.saturating_mul(2);
    }
}
