//! What is to be written down, in order, and what follows when it is.
//!
//! One message at a time, so that nothing is overtaken when one has to be said again; what
//! comes meanwhile goes into the next.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use gorgone_protocol::Token;
use gorgone_protocol::request::log::PutLog;
use gorgone_protocol::request::state::{Fence, PutState};
use serde_json::Value;

use super::job::RunKey;

/// Keys and rows in one message.
const ENTRIES: usize = 2_000;
/// Bytes in one message; a larger change goes alone.
const BYTES: usize = 2 << 20;
/// Changes that may wait before nothing more is begun.
const ROOM: usize = 50_000;

/// A message that takes longer to be written than this is stuck.
const STUCK: Duration = Duration::from_secs(5);

/// What belongs together.
#[derive(Debug, Default)]
pub(crate) struct Change {
    pub(crate) put: Vec<(String, String)>,
    pub(crate) drop: Vec<String>,
    pub(crate) rows: Vec<PutLog>,
    pub(crate) then: Vec<Then>,
}

/// What follows when a change is durable.
#[derive(Debug)]
pub(crate) enum Then {
    /// Core is asked for a run.
    Ask(RunKey),
    /// Core is asked to end a run.
    Cancel(RunKey),
    /// A request to cron has been fulfilled.
    Answer(Token, Value),
}

impl Change {
    fn entries(&self) -> usize {
        self.put.len() + self.drop.len() + self.rows.len()
    }

    fn bytes(&self) -> usize {
        let put = self.put.iter();
        let put = put.map(|(key, value)| key.len() + value.len());
        let drop = self.drop.iter().map(String::len);
        let rows = self.rows.iter().map(|row| row.data.len() + 256);
        put.chain(drop).chain(rows).sum()
    }
}

#[derive(Debug)]
pub(crate) struct Changes {
    fence: Fence,
    sequence: u64,
    waiting: VecDeque<Change>,
    under_way: Option<(PutState, Vec<Then>)>,
    /// Since when it is; monotonic.
    since: Duration,
}

impl Changes {
    pub(crate) const fn new(fence: Fence) -> Self {
        Self {
            fence,
            sequence: 0,
            waiting: VecDeque::new(),
            under_way: None,
            since: Duration::ZERO,
        }
    }

    pub(crate) fn push(&mut self, change: Change) {
        self.waiting.push_back(change);
    }

    /// Whether more may be begun: not while nothing can be written, since what is decided then
    /// would happen at any time.
    pub(crate) fn takes(&self, now: Duration) -> bool {
        let stuck = self.under_way.is_some() && self.since + STUCK <= now;
        self.waiting.len() < ROOM && !stuck
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_none()
    }

    /// The next message, if none is under way.
    pub(crate) fn next(&mut self, now: Duration) -> Option<&PutState> {
        if self.under_way.is_some() || self.waiting.is_empty() {
            return None;
        }
        let (mut put, mut drop) = (BTreeMap::new(), BTreeSet::new());
        let (mut rows, mut then) = (Vec::new(), Vec::new());
        let (mut entries, mut bytes) = (0, 0);
        while let Some(change) = self.waiting.front() {
            entries += change.entries();
            bytes += change.bytes();
            let first = put.is_empty() && drop.is_empty() && rows.is_empty();
            if !first && (entries > ENTRIES || bytes > BYTES) {
                break;
            }
            let Some(change) = self.waiting.pop_front() else {
                break;
            };
            // The later of two words about one key counts.
            for key in change.drop {
                put.remove(&key);
                drop.insert(key);
            }
            for (key, value) in change.put {
                drop.remove(&key);
                put.insert(key, value);
            }
            rows.extend(change.rows);
            then.extend(change.then);
        }
        self.sequence += 1;
        self.since = now;
        let message = PutState {
            fence: self.fence.clone(),
            sequence: Some(self.sequence),
            put,
            drop,
            rows,
        };
        Some(&self.under_way.insert((message, then)).0)
    }

    /// The message that is under way, to say it again.
    pub(crate) fn again(&self) -> Option<&PutState> {
        self.under_way.as_ref().map(|(message, _)| message)
    }

    /// The message that was under way is durable: what follows.
    pub(crate) fn written(&mut self) -> Vec<Then> {
        self.under_way
            .take()
            .map(|(_, then)| then)
            .unwrap_or_default()
    }

    /// Requests that wait for what was not written.
    pub(crate) fn unanswered(self) -> Vec<Token> {
        let under_way = self.under_way.into_iter().flat_map(|(_, then)| then);
        let waiting = self.waiting.into_iter().flat_map(|change| change.then);
        under_way
            .chain(waiting)
            .filter_map(|then| match then {
                Then::Answer(token, _) => Some(token),
                Then::Ask(_) | Then::Cancel(_) => None,
            })
            .collect()
    }
}
