//! The tasks of one node, from core's hand-over to the node's answer.
//!
//! ```text
//! waiting ──sent──▶ sent ──ACK──▶ accepted | refused | busy
//!    │               │
//!    │ lost          ├─ lost, and it recognises tasks: back to waiting when it is back
//!    ▼               ▼ lost, and it does not, or is away for too long
//!  unsent          unknown
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use gorgone_protocol::Errand;
use gorgone_protocol::request::carried::{Carried, Outcome};
use gorgone_protocol::{Answer, Moment, NodeId, Status, Token, encode};
use serde::Deserialize;

use super::carried;

/// How many may wait here; core hands over fewer.
const MOST_WAITING: usize = 1024;
/// Bytes that are under way without an answer; one task always may be.
const MOST_BYTES: usize = 8 * 1024 * 1024;
/// Longest message: what nodes take as one frame, less what encryption adds.
const MAX_TEXT: usize = 16 * 1024 * 1024 - 64;
/// How long a node that talks may take to answer a task.
const ANSWER: Duration = Duration::from_secs(60);
/// How long a sent task waits here for the node to come back.
const HOLD: Duration = Duration::from_secs(30);

struct Task {
    token: Token,
    attempt: u32,
    text: String,
    expires: Option<i64>,
    sent: Duration,
    /// It was on its way before: it may have arrived then.
    was_sent: bool,
}

/// See the module's doc.
pub(super) struct Carry {
    node: NodeId,
    waiting: VecDeque<Task>,
    sent: VecDeque<Task>,
    bytes: usize,
    /// The node is away since, with sent tasks that it would recognise.
    away: Option<Duration>,
    /// What could not be sent in time.
    late: Vec<Carried>,
}

impl Carry {
    pub(super) fn new(node: NodeId) -> Self {
        Self {
            node,
            waiting: VecDeque::new(),
            sent: VecDeque::new(),
            bytes: 0,
            away: None,
            late: Vec::new(),
        }
    }

    /// Takes a hand-over. One that is here already only gets its new number.
    pub(super) fn take(
        &mut self,
        errand: &Errand,
        attempt: u32,
    ) -> impl Iterator<Item = Carried> + use<> {
        let known = self.waiting.iter_mut().chain(&mut self.sent);
        for task in known {
            if task.token == errand.token {
                task.attempt = task.attempt.max(attempt);
                return None.into_iter();
            }
        }
        let refuse = |outcome, words: &str| {
            let back = carried(self.node, errand.token.clone(), attempt, outcome, words);
            Some(back).into_iter()
        };
        if self.waiting.len() >= MOST_WAITING {
            return refuse(Outcome::Busy, "too much waits for the node");
        }
        let text = encode(&errand.message);
        if text.len() > MAX_TEXT {
            return refuse(Outcome::Refused, "the request is too long to be sent");
        }
        self.waiting.push_back(Task {
            token: errand.token.clone(),
            attempt,
            text,
            expires: errand.expires,
            sent: Duration::ZERO,
            was_sent: false,
        });
        None.into_iter()
    }

    /// The next text to send, if the window has room for it.
    pub(super) fn next(&mut self, now: Moment, window: usize) -> Option<String> {
        while let Some(task) = self.waiting.front() {
            let room = self.sent.is_empty()
                || (self.sent.len() < window && self.bytes + task.text.len() <= MOST_BYTES);
            if !room {
                return None;
            }
            let mut task = self.waiting.pop_front()?;
            if task.expires.is_some_and(|at| at <= now.unix_ms) {
                let back = task.back(self.node, "its time to live is over");
                self.late.push(back);
                continue;
            }
            task.sent = now.monotonic;
            task.was_sent = true;
            self.bytes += task.text.len();
            let text = task.text.clone();
            self.sent.push_back(task);
            return Some(text);
        }
        None
    }

    /// What [`Carry::next`] passed over because it came too late.
    pub(super) fn expired(&mut self) -> impl Iterator<Item = Carried> + use<> {
        std::mem::take(&mut self.late).into_iter()
    }

    /// The node's answer, if it is one to a task.
    pub(super) fn answered(&mut self, answer: &Answer) -> Option<Carried> {
        let token = answer.token.as_ref()?;
        let place = self.sent.iter().position(|task| task.token == *token)?;
        let task = self.sent.remove(place)?;
        self.bytes -= task.text.len();
        let (outcome, words) = outcome(answer);
        Some(carried(
            self.node,
            task.token,
            task.attempt,
            outcome,
            &words,
        ))
    }

    /// The connection is lost. What was sent stays here for a node that recognises it.
    pub(super) fn lost(
        &mut self,
        dedups: bool,
        why: &str,
        now: Duration,
    ) -> impl Iterator<Item = Carried> + use<> {
        if !dedups {
            return self.give_up(why).collect::<Vec<_>>().into_iter();
        }
        if !self.sent.is_empty() || self.waiting.iter().any(|task| task.was_sent) {
            self.away.get_or_insert(now);
        }
        self.give_back_waiting(why).collect::<Vec<_>>().into_iter()
    }

    /// The node is back: what it has had and recognises is sent again, before all others.
    pub(super) fn back(&mut self, dedups: bool) -> impl Iterator<Item = Carried> + use<> {
        self.away = None;
        let why = "the connection was lost before the node answered";
        if !dedups {
            return self.give_back_sent(why).collect::<Vec<_>>().into_iter();
        }
        self.bytes = 0;
        while let Some(task) = self.sent.pop_back() {
            self.waiting.push_front(task);
        }
        Vec::new().into_iter()
    }

    /// Everything goes back.
    pub(super) fn give_up(&mut self, why: &str) -> impl Iterator<Item = Carried> + use<> {
        self.away = None;
        let mut back: Vec<_> = self.give_back_sent(why).collect();
        back.extend(self.give_back_waiting(why));
        back.into_iter()
    }

    fn give_back_sent(&mut self, why: &str) -> impl Iterator<Item = Carried> + use<> {
        self.bytes = 0;
        give_back(self.node, std::mem::take(&mut self.sent), why)
    }

    /// What has not left goes back to its place in core's queue.
    pub(super) fn give_back_waiting(&mut self, why: &str) -> impl Iterator<Item = Carried> + use<> {
        let (kept, back) = if self.away.is_some() {
            // Sent before: they wait like the others that were.
            std::mem::take(&mut self.waiting)
                .into_iter()
                .partition(|task| task.was_sent)
        } else {
            (VecDeque::new(), std::mem::take(&mut self.waiting))
        };
        self.waiting = kept;
        give_back(self.node, back, why)
    }

    /// What a node that is away did not come back for in time.
    pub(super) fn expire(&mut self, now: Moment) -> impl Iterator<Item = Carried> + use<> {
        match self.away {
            Some(since) if now.monotonic >= since + HOLD => self
                .give_up("the connection was lost before the node answered")
                .collect::<Vec<_>>()
                .into_iter(),
            _ => Vec::new().into_iter(),
        }
    }

    /// Whether a node that talks has left the oldest task without an answer for too long.
    pub(super) fn is_overdue(&self, now: Duration) -> bool {
        let oldest = self.sent.front();
        oldest.is_some_and(|task| now >= task.sent + ANSWER)
    }

    /// How many tasks have no answer yet.
    pub(super) fn len(&self) -> usize {
        self.sent.len() + self.waiting.len()
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        match self.away {
            Some(since) => Some(since + HOLD),
            None => self.sent.front().map(|task| task.sent + ANSWER),
        }
    }
}

impl Task {
    fn back(self, node: NodeId, why: &str) -> Carried {
        let outcome = if self.was_sent {
            Outcome::Unknown
        } else {
            Outcome::Unsent
        };
        carried(node, self.token, self.attempt, outcome, why)
    }
}

fn give_back(
    node: NodeId,
    tasks: VecDeque<Task>,
    why: &str,
) -> impl Iterator<Item = Carried> + use<> {
    let back = tasks.into_iter().map(|task| task.back(node, why));
    back.collect::<Vec<_>>().into_iter()
}

/// What a node's answer means for a task.
fn outcome(answer: &Answer) -> (Outcome, String) {
    #[derive(Deserialize, Default)]
    struct Body {
        #[serde(default)]
        message: String,
        #[serde(default)]
        error: Option<String>,
    }
    let body: Body = answer.data.decode().unwrap_or_default();
    let later = matches!(body.error.as_deref(), Some("busy" | "unavailable"))
        || body.message.contains("stopping/restarting");
    let outcome = match answer.status {
        Status::Ok => Outcome::Accepted,
        Status::Nok if later => Outcome::Busy,
        Status::Nok => Outcome::Refused,
    };
    (outcome, body.message)
}
