//! Bringing a node's rows home, page by page, by the node's own row ids.
//!
//! ```text
//! idle ──wanted──▶ asking ──rows──▶ storing ──durable──▶ asking … ──no more──▶ idle
//!                    ▲  └─no answer─┐  ▲  └─not now─┐
//!                    └──────────────┘  └────────────┘
//! ```
//! The next page is asked for when the one before is durable, so there is one at most: what is
//! wanted meanwhile is done afterwards. The mark belongs to core; here is a copy of it.

use std::collections::VecDeque;
use std::time::Duration;

use gorgone_protocol::request::log::{self, GetLog, Row};
use gorgone_protocol::request::put_rows::PutRows;
use gorgone_protocol::{Action, Answer, Data, Dialect, Message, Moment, NodeId, Status, Token};
use serde_json::json;

use super::{Settings, Stored, Tokens};

/// Bytes of rows in one message to core; one row always may be.
const MAX_BYTES: usize = 2 * 1024 * 1024;
/// How long to wait after a "not now".
const PAUSE: Duration = Duration::from_secs(2);
/// Longest wait for a page.
const LONGEST: Duration = Duration::from_secs(30);
/// How many may wait for the end of a synchronisation.
const MAX_WAITERS: usize = 1024;

enum State {
    Idle,
    /// Ask for the next page, then.
    Due(Duration),
    Asking {
        token: Token,
        until: Duration,
    },
    /// These rows wait to be given to core, then.
    Ready(Duration),
    Storing(u64),
}

/// See the module's doc.
pub(super) struct Sync {
    node: NodeId,
    every: Duration,
    timeout: Duration,
    page_timeout: Duration,
    page_rows: u32,
    state: State,
    mark: i64,
    /// Rows that core does not have yet, and whether more follow.
    rows: VecDeque<Row>,
    more: bool,
    /// How many of them are with core.
    given: usize,
    puts: u64,
    /// Rows of the next page, and how long it may take: after one that did not come it is
    /// smaller, and has more time.
    limit: u32,
    patience: Duration,
    /// When something came last in this round.
    progress: Duration,
    /// Somebody wants it since this round began.
    again: bool,
    /// When it is time by itself.
    regular: Duration,
    waiters: Vec<Token>,
    /// Those that came while a round was under way.
    late_waiters: Vec<Token>,
    steps: VecDeque<Step>,
    /// Seconds since 1970; 0 is never.
    pub(super) synced_at: i64,
    pub(super) newest: Option<i64>,
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Step {
    /// Send this to the node.
    Ask(Message),
    /// Give these to core.
    Put(u64, PutRows),
    /// Somebody waited for this.
    Answer(Answer),
    /// A round is over.
    Tell,
}

impl Sync {
    pub(super) fn new(node: NodeId, mark: i64, first_put: u64, settings: &Settings) -> Self {
        Self {
            node,
            every: settings.sync_every,
            timeout: settings.sync_timeout,
            page_timeout: settings.page_timeout,
            page_rows: settings.page_rows.max(1),
            state: State::Idle,
            mark,
            rows: VecDeque::new(),
            more: false,
            given: 0,
            puts: first_put,
            limit: settings.page_rows.max(1),
            patience: settings.page_timeout,
            progress: Duration::ZERO,
            again: false,
            regular: Duration::ZERO,
            waiters: Vec::new(),
            late_waiters: Vec::new(),
            steps: VecDeque::new(),
            synced_at: 0,
            newest: None,
        }
    }

    /// Core says where it is. What is under way finds out by itself.
    pub(super) fn corrected(&mut self, mark: i64) {
        if matches!(self.state, State::Idle | State::Due(_)) {
            self.mark = mark;
        }
    }

    /// There may be new rows.
    pub(super) fn wanted(&mut self, now: Duration) {
        match self.state {
            State::Idle => self.begin(now),
            State::Due(_) => {}
            State::Asking { .. } | State::Ready(_) | State::Storing(_) => self.again = true,
        }
    }

    /// Somebody waits until all rows that there are now are here.
    pub(super) fn wanted_by(&mut self, token: Token, now: Duration) {
        if self.waiters.len() + self.late_waiters.len() >= MAX_WAITERS {
            let answer = Answer::busy(Some(token), "too many wait for this node's rows");
            return self.steps.push_back(Step::Answer(answer));
        }
        // A page that was asked for before may not have the newest rows.
        match self.state {
            State::Idle | State::Due(_) => self.waiters.push(token),
            State::Asking { .. } | State::Ready(_) | State::Storing(_) => {
                self.late_waiters.push(token);
            }
        }
        self.wanted(now);
    }

    /// Nobody is told how it ends.
    pub(super) fn clear_waiters(&mut self) -> impl Iterator<Item = Token> + use<> {
        let mut waiters = std::mem::take(&mut self.waiters);
        waiters.append(&mut self.late_waiters);
        waiters.into_iter()
    }

    fn begin(&mut self, now: Duration) {
        self.state = State::Due(now);
        self.progress = now;
        self.regular = now + self.every;
    }

    /// The connection is lost: what came is stored, the rest is asked for when it is back.
    pub(super) fn lost(&mut self, now: Duration) {
        if let State::Asking { .. } = self.state {
            // A page that is too long for one message ends the connection.
            self.smaller();
            self.state = State::Due(now);
        }
    }

    fn smaller(&mut self) {
        self.limit = (self.limit / 2).max(1);
        self.patience = (self.patience * 2).min(LONGEST);
    }

    pub(super) fn deadline(&self, talking: bool) -> Option<Duration> {
        match &self.state {
            State::Idle => talking.then_some(self.regular),
            State::Due(at) => talking.then_some(*at),
            State::Asking { until, .. } => Some(*until),
            State::Ready(at) => Some(*at),
            State::Storing(_) => None,
        }
    }

    /// The next thing to be done.
    pub(super) fn step(&mut self, talking: bool, now: Moment, tokens: &mut Tokens) -> Option<Step> {
        let at = now.monotonic;
        if let Some(step) = self.steps.pop_front() {
            return Some(step);
        }
        match &self.state {
            State::Idle if talking && at >= self.regular => self.begin(at),
            State::Asking { until, .. } if at >= *until => {
                self.smaller();
                self.state = State::Due(at);
            }
            State::Idle
            | State::Due(_)
            | State::Asking { .. }
            | State::Ready(_)
            | State::Storing(_) => {}
        }
        match &self.state {
            State::Due(_) if talking && at >= self.progress + self.timeout => {
                self.fail("the node does not send its rows", at)
            }
            State::Due(due) if talking && at >= *due => Some(self.ask(at, tokens)),
            State::Ready(ready) if at >= *ready => match self.put(now) {
                None if talking && matches!(self.state, State::Due(_)) => {
                    Some(self.ask(at, tokens))
                }
                step => step,
            },
            State::Idle
            | State::Due(_)
            | State::Asking { .. }
            | State::Ready(_)
            | State::Storing(_) => None,
        }
    }

    fn ask(&mut self, now: Duration, tokens: &mut Tokens) -> Step {
        let token = tokens.fresh();
        let filter = GetLog {
            id: Some(self.mark),
            limit: Some(self.limit),
            ..GetLog::default()
        };
        let data = filter.encode(Dialect::Seed);
        let message = Message::new(Action::GetLog, Some(token.clone()), data);
        let until = now + self.patience;
        self.state = State::Asking { token, until };
        Step::Ask(message)
    }

    /// Takes the node's answer. False where it is none to a page that was asked for.
    pub(super) fn answered(&mut self, answer: &Answer, dialect: Dialect, now: Duration) -> bool {
        let asked = matches!(&self.state,
            State::Asking { token, .. } if Some(token) == answer.token.as_ref());
        if !asked {
            return false;
        }
        let page = match answer.status {
            Status::Ok => log::decode_answer(answer, dialect).ok(),
            Status::Nok => None,
        };
        let Some(page) = page else {
            // Busy, or stopping: what it says is asked for again, until the round's end.
            self.state = State::Due(now + PAUSE);
            return true;
        };
        let mark = self.mark;
        let rows = page.rows.into_iter();
        self.rows = rows.filter(|row| row.id > mark).collect();
        self.more = page.more && !self.rows.is_empty();
        self.newest = self.rows.back().map(|row| row.id).or(Some(mark));
        self.limit = self.page_rows;
        self.patience = self.page_timeout;
        self.progress = now;
        self.state = State::Ready(now);
        true
    }

    /// Gives rows to core, or ends the round where there are none.
    fn put(&mut self, now: Moment) -> Option<Step> {
        let mut bytes = 0;
        let fits = self.rows.iter().take(PutRows::MAX_ROWS).take_while(|row| {
            let first = bytes == 0;
            bytes += row.data.len() + row.token.len() + 100;
            first || bytes <= MAX_BYTES
        });
        self.given = fits.count();
        let rows: Vec<Row> = self.rows.iter().take(self.given).cloned().collect();
        let Some(last) = rows.last() else {
            return self.next_page(now);
        };
        self.puts += 1;
        self.state = State::Storing(self.puts);
        let put = PutRows {
            node: self.node,
            after: self.mark,
            upto: last.id,
            rows,
        };
        Some(Step::Put(self.puts, put))
    }

    fn next_page(&mut self, now: Moment) -> Option<Step> {
        if self.more {
            self.state = State::Due(now.monotonic);
            return None;
        }
        self.synced_at = now.unix();
        for token in std::mem::take(&mut self.waiters) {
            let data = json!({ "action": "getlog", "message": "ok", "id": self.node });
            let answer = Answer::ok(Some(token), Data::from_value(&data));
            self.steps.push_back(Step::Answer(answer));
        }
        self.rest(now.monotonic);
        Some(Step::Tell)
    }

    /// The round is over; another one begins if somebody wanted it meanwhile.
    fn rest(&mut self, now: Duration) {
        self.state = State::Idle;
        self.waiters.append(&mut self.late_waiters);
        if std::mem::take(&mut self.again) || !self.waiters.is_empty() {
            self.begin(now);
        }
    }

    fn fail(&mut self, why: &str, now: Duration) -> Option<Step> {
        for token in std::mem::take(&mut self.waiters) {
            let data = json!({ "message": why, "error": "unavailable" });
            let answer = Answer::refused_with(Some(token), data);
            self.steps.push_back(Step::Answer(answer));
        }
        self.regular = now + self.every;
        self.rest(now);
        self.steps.pop_front()
    }

    /// What core said to rows.
    pub(super) fn stored(&mut self, number: u64, stored: Stored, now: Duration) {
        if !matches!(self.state, State::Storing(current) if current == number) {
            return;
        }
        self.progress = now;
        match stored {
            Stored::Done => {
                for row in self.rows.drain(..self.given.min(self.rows.len())) {
                    self.mark = row.id;
                }
                self.state = State::Ready(now);
            }
            Stored::Mark(mark) => {
                self.mark = mark;
                self.rows.clear();
                self.more = true;
                self.state = State::Due(now);
            }
            Stored::Later => self.state = State::Ready(now + PAUSE),
        }
    }
}
