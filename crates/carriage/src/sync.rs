//! Bringing a node's rows home, page by page, by the node's own row ids.
//!
//! ```text
//! idle ──wanted──▶ asking ──rows──▶ storing ──durable──▶ asking … ──no more──▶ idle
//!                    ▲  └─no answer─┐  ▲  └─not now─┐
//!                    └──────────────┘  └────────────┘
//! ```
//! The next page is asked for when the one before is durable, so there is one at most: what is
//! wanted meanwhile is done afterwards. The mark belongs to core; here is a copy of it.
//!
//! A node that says in which life its history is (see [`gorgone_protocol::History`]) has that
//! written down at core before anything else goes on, and sends its rows life by life.

use std::collections::VecDeque;
use std::time::Duration;

use gorgone_protocol::request::log::{self, GetLog, Row};
use gorgone_protocol::request::put_rows::{Begun, PutRows};
use gorgone_protocol::{
    Action, Answer, Data, Dialect, Life, Mark, Message, Moment, NodeId, Status, Token,
};
use serde::Deserialize;
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
    /// The life that the node is in is to be given to core, then.
    Noting(Begun, Duration),
    /// It is with core.
    Noted(Begun, u64),
}

/// See the module's doc.
pub(super) struct Sync {
    node: NodeId,
    every: Duration,
    timeout: Duration,
    page_timeout: Duration,
    page_rows: u32,
    state: State,
    mark: Mark,
    /// Rows that core does not have yet, and whether more follow.
    rows: VecDeque<Row>,
    /// In which life they were written, and its last row where there are no more of it.
    life: Option<Life>,
    upto: Option<i64>,
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
    /// Connect anew, and find out in which life the node is.
    Part(&'static str),
}

impl Sync {
    pub(super) fn new(node: NodeId, mark: Mark, first_put: u64, settings: &Settings) -> Self {
        Self {
            node,
            every: settings.sync_every,
            timeout: settings.sync_timeout,
            page_timeout: settings.page_timeout,
            page_rows: settings.page_rows.max(1),
            state: State::Idle,
            mark,
            rows: VecDeque::new(),
            life: None,
            upto: None,
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
    pub(super) fn corrected(&mut self, mark: Mark) {
        if matches!(self.state, State::Idle | State::Due(_)) {
            self.mark = mark;
        }
    }

    /// How far core knows the node's rows.
    pub(super) const fn mark(&self) -> &Mark {
        &self.mark
    }

    /// The node is in this life, and has nothing after that row. Tells whether core knows it:
    /// else the node is to be asked again when core has answered.
    pub(super) fn lives(&mut self, begun: Begun, now: Duration) -> bool {
        if self.mark.life == Some(begun.life) && begun.back_to.is_none() {
            return true;
        }
        match self.state {
            State::Storing(_) | State::Noted(..) => {}
            State::Idle | State::Due(_) | State::Asking { .. } | State::Ready(_) => {
                // They come again where they are still wanted.
                self.rows.clear();
                self.state = State::Noting(begun, now);
            }
            State::Noting(_, due) => self.state = State::Noting(begun, due),
        }
        false
    }

    /// There may be new rows.
    pub(super) fn wanted(&mut self, now: Duration) {
        match self.state {
            State::Idle => self.begin(now),
            State::Due(_) => {}
            State::Asking { .. }
            | State::Ready(_)
            | State::Storing(_)
            | State::Noting(..)
            | State::Noted(..) => self.again = true,
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
            State::Asking { .. }
            | State::Ready(_)
            | State::Storing(_)
            | State::Noting(..)
            | State::Noted(..) => {
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
            State::Ready(at) | State::Noting(_, at) => Some(*at),
            State::Storing(_) | State::Noted(..) => None,
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
            | State::Storing(_)
            | State::Noting(..)
            | State::Noted(..) => {}
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
            State::Noting(begun, due) if at >= *due => Some(self.note(*begun)),
            State::Idle
            | State::Due(_)
            | State::Asking { .. }
            | State::Ready(_)
            | State::Storing(_)
            | State::Noting(..)
            | State::Noted(..) => None,
        }
    }

    fn ask(&mut self, now: Duration, tokens: &mut Tokens) -> Step {
        let token = tokens.fresh();
        let filter = GetLog {
            id: Some(self.mark.id),
            limit: Some(self.limit),
            life: self.mark.life,
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
        if page.is_none() && is_of_another_life(answer) {
            self.state = State::Due(now + PAUSE);
            self.steps
                .push_back(Step::Part("the node's history is another one"));
            return true;
        }
        let Some(page) = page else {
            // Busy, or stopping: what it says is asked for again, until the round's end.
            self.state = State::Due(now + PAUSE);
            return true;
        };
        let mark = self.mark.id;
        let rows = page.rows.into_iter();
        self.rows = rows.filter(|row| row.id > mark).collect();
        self.life = page.life;
        self.upto = page.upto;
        self.more = page.more && (!self.rows.is_empty() || self.upto.is_some());
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
        // With the last of them the mark moves to the end of a life that is over.
        let end = self.upto.filter(|_| self.given == self.rows.len());
        let last = rows.last().map(|row| row.id).max(end);
        let Some(upto) = last.filter(|last| *last > self.mark.id) else {
            return self.next_page(now);
        };
        self.puts += 1;
        self.state = State::Storing(self.puts);
        let put = PutRows {
            node: self.node,
            after: self.mark.id,
            known: self.mark.life,
            life: self.life,
            upto,
            rows,
            begun: None,
        };
        Some(Step::Put(self.puts, put))
    }

    fn note(&mut self, begun: Begun) -> Step {
        self.puts += 1;
        self.state = State::Noted(begun, self.puts);
        let put = PutRows {
            node: self.node,
            after: self.mark.id,
            known: self.mark.life,
            life: None,
            upto: self.mark.id,
            rows: Vec::new(),
            begun: Some(begun),
        };
        Step::Put(self.puts, put)
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
        let noted = match self.state {
            State::Storing(current) if current == number => None,
            State::Noted(begun, current) if current == number => Some(begun),
            _ => return,
        };
        self.progress = now;
        match (stored, noted) {
            (Stored::Done, None) => {
                let given = self.given.min(self.rows.len());
                let last = self.rows.drain(..given).next_back().map(|row| row.id);
                let end = self.upto.filter(|_| self.rows.is_empty());
                let upto = last.max(end).unwrap_or(self.mark.id);
                self.mark.stored(self.life, upto);
                self.state = State::Ready(now);
            }
            (Stored::Done, Some(begun)) => {
                self.mark.began(begun.life, begun.back_to);
                self.state = State::Due(now);
            }
            (Stored::Mark(mark), _) => {
                self.mark = *mark;
                self.rows.clear();
                self.more = true;
                self.state = State::Due(now);
            }
            (Stored::Later, None) => self.state = State::Ready(now + PAUSE),
            (Stored::Later, Some(begun)) => self.state = State::Noting(begun, now + PAUSE),
        }
    }
}

/// Whether the node does not know the life that it was asked for.
fn is_of_another_life(answer: &Answer) -> bool {
    #[derive(Deserialize, Default)]
    struct Body {
        #[serde(default)]
        error: String,
    }
    let body: Body = answer.data.decode().unwrap_or_default();
    body.error == "life"
}
