//! How many refused requests the audit has room for: nothing comes of them, and anybody with a
//! credential could fill the disk with them. The rest is counted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gorgone_protocol::request::audit::{Door, Outcome};
use gorgone_protocol::{Action, Moment, Target};

use crate::NewAudit;

/// Rows for each credential and outcome within [`WINDOW`].
const ROWS: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// Credentials that are counted apart; the others share one count.
const MAX_CREDENTIALS: usize = 1_000;
/// What those are called.
const OTHERS: &str = "others";

type Key = (Door, Arc<str>, Outcome);

/// What was refused since the window began, which is when something was refused first.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    ends: Option<Duration>,
    counts: BTreeMap<Key, Count>,
}

#[derive(Debug, Default)]
struct Count {
    written: u32,
    more: u64,
}

impl Refusals {
    /// Whether there is a row for one more.
    pub(crate) fn may_write(
        &mut self,
        door: Door,
        who: &Arc<str>,
        outcome: Outcome,
        now: Moment,
    ) -> bool {
        self.ends.get_or_insert(now.monotonic + WINDOW);
        let mut key = (door, Arc::clone(who), outcome);
        if self.counts.len() >= MAX_CREDENTIALS && !self.counts.contains_key(&key) {
            key.1 = OTHERS.into();
        }
        let count = self.counts.entry(key).or_default();
        let may = count.written < ROWS;
        if may {
            count.written += 1;
        } else {
            count.more += 1;
        }
        may
    }

    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.ends
    }

    /// Ends the window when its time is over, or with `now_or_never`, and says what had no row.
    pub(crate) fn summaries(&mut self, now: Moment, now_or_never: bool) -> Vec<NewAudit> {
        if !now_or_never && self.ends.is_none_or(|ends| ends > now.monotonic) {
            return Vec::new();
        }
        self.ends = None;
        let counts = std::mem::take(&mut self.counts);
        let unwritten = counts.into_iter().filter(|(_, count)| count.more > 0);
        unwritten
            .map(|((door, who, outcome), count)| NewAudit {
                time: now.unix(),
                door,
                who,
                from: None,
                action: Action::parse("*"),
                node: Target::Unreadable("*".to_owned()),
                token: None,
                request: "".into(),
                outcome,
                message: format!("{} more within {} seconds", count.more, WINDOW.as_secs()),
            })
            .collect()
    }
}
