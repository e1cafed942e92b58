//! What a module was handed and has not settled: the pure half of [`crate::module`].
//!
//! Rows of one token go to core one after another: the next one only when the one before is
//! durable, so that a row which core could not write is never overtaken by a later one.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use gorgone_protocol::request::log::PutLog;
use gorgone_protocol::{Action, Code, Dialect, Message, Token};

/// How many ended tokens are remembered to recognise one that is handed over again.
const REMEMBERED: usize = 65_536;
/// How long core may take to acknowledge a row before it is said again.
const PATIENCE: Duration = Duration::from_secs(10);

struct Row {
    code: Code,
    etime: i64,
    data: String,
    sequence: u64,
}

#[derive(Default)]
struct Held {
    attempt: u32,
    rows: VecDeque<Row>,
    next_sequence: u64,
    /// The message that carries the first row, and when to say it again.
    in_flight: Option<(Token, Duration)>,
}

/// See the module's doc.
pub(crate) struct Ledger {
    epoch: String,
    held: HashMap<Token, Held>,
    /// Which token a message in flight is about.
    messages: HashMap<Token, Token>,
    settled: HashMap<Token, u32>,
    settled_order: VecDeque<Token>,
    next_message: u64,
    bytes: usize,
    /// Tokens with something to send.
    due: VecDeque<Token>,
    queued: HashSet<Token>,
    /// When to look for rows that want saying again.
    pub(crate) next_check: Option<Duration>,
}

impl Ledger {
    pub(crate) fn new(epoch: String) -> Self {
        Self {
            epoch,
            held: HashMap::new(),
            messages: HashMap::new(),
            settled: HashMap::new(),
            settled_order: VecDeque::new(),
            next_message: 0,
            bytes: 0,
            due: VecDeque::new(),
            queued: HashSet::new(),
            next_check: None,
        }
    }

    /// Takes a hand-over. False where it is one that this process has already had.
    pub(crate) fn take(&mut self, token: &Token, attempt: u32) -> bool {
        let ended_before = self
            .settled
            .get(token)
            .is_some_and(|settled| *settled >= attempt);
        if ended_before || self.held.contains_key(token) {
            return false;
        }
        self.settled.remove(token);
        let held = Held {
            attempt,
            ..Held::default()
        };
        self.held.insert(token.clone(), held);
        true
    }

    /// Everything that was taken and is not settled.
    pub(crate) fn running(&self) -> Vec<Token> {
        self.held.keys().cloned().collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Bytes of rows that wait to be acknowledged.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps a row until core has it. Rows about a token that was not taken, or after its
    /// terminal row, are dropped.
    pub(crate) fn report(&mut self, token: &Token, code: Code, etime: i64, data: String) {
        let Some(held) = self.held.get_mut(token) else {
            return;
        };
        if held.rows.back().is_some_and(|row| row.code.is_terminal()) {
            return;
        }
        self.bytes += data.len();
        held.next_sequence += 1;
        held.rows.push_back(Row {
            code,
            etime,
            data,
            sequence: held.next_sequence,
        });
        if held.in_flight.is_none() {
            self.mark_due(token.clone());
        }
    }

    fn mark_due(&mut self, token: Token) {
        if self.queued.insert(token.clone()) {
            self.due.push_back(token);
        }
    }

    /// The next row to send.
    pub(crate) fn next_message(&mut self, now: Duration) -> Option<Message> {
        while let Some(token) = self.due.pop_front() {
            self.queued.remove(&token);
            let Some(held) = self.held.get_mut(&token) else {
                continue;
            };
            let Some(row) = held.rows.front() else {
                continue;
            };
            self.next_message += 1;
            let Ok(id) = Token::parse(&format!("{}-{}", self.epoch, self.next_message)) else {
                continue;
            };
            let put = PutLog {
                token: Some(token.as_str().to_owned()),
                code: row.code,
                etime: Some(row.etime),
                data: row.data.clone(),
                sequence: Some(row.sequence),
                attempt: Some(held.attempt),
            };
            if let Some((old, _)) = held.in_flight.replace((id.clone(), now + PATIENCE)) {
                self.messages.remove(&old);
            }
            self.messages.insert(id.clone(), token);
            self.next_check.get_or_insert(now + PATIENCE);
            return Some(Message::new(
                Action::PutLog,
                Some(id),
                put.encode(Dialect::Seed),
            ));
        }
        None
    }

    /// Core has the row: it is forgotten here, and the next one is due. A terminal row settles
    /// its token.
    pub(crate) fn acknowledged(&mut self, message: &Token) {
        let Some(token) = self.messages.remove(message) else {
            return;
        };
        let Some(held) = self.held.get_mut(&token) else {
            return;
        };
        held.in_flight = None;
        let Some(row) = held.rows.pop_front() else {
            return;
        };
        self.bytes = self.bytes.saturating_sub(row.data.len());
        if row.code.is_terminal() {
            let attempt = held.attempt;
            self.held.remove(&token);
            if self.settled.insert(token.clone(), attempt).is_none() {
                self.settled_order.push_back(token);
            }
            if self.settled_order.len() > REMEMBERED
                && let Some(oldest) = self.settled_order.pop_front()
            {
                self.settled.remove(&oldest);
            }
        } else if !held.rows.is_empty() {
            self.mark_due(token);
        }
    }

    /// Core could not write the row: it is said again after `delay`.
    pub(crate) fn refused(&mut self, message: &Token, now: Duration, delay: Duration) {
        if let Some(token) = self.messages.get(message)
            && let Some(held) = self.held.get_mut(token)
            && let Some((_, again)) = &mut held.in_flight
        {
            *again = now + delay;
            self.next_check = Some(self.next_check.map_or(*again, |check| check.min(*again)));
        }
    }

    /// Rows whose time to be said again has come, or all of them after a lost connection.
    pub(crate) fn repeat(&mut self, now: Duration, all: bool) {
        let mut next: Option<Duration> = None;
        let mut again = Vec::new();
        for (token, held) in &self.held {
            if let Some((_, at)) = &held.in_flight {
                if all || *at <= now {
                    again.push(token.clone());
                } else {
                    next = Some(next.map_or(*at, |next| next.min(*at)));
                }
            }
        }
        self.next_check = next;
        for token in again {
            self.mark_due(token);
        }
    }
}
