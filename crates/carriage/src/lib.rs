//! One node, as a state machine without IO: hand it events and the time, fetch what it wants
//! done.
//!
//! ```text
//!            ┌─────────────── lost, refused, silent, another key: after a while ────────┐
//!            ▼                                                                           │
//! waiting ─▶ resolving ─▶ dialling ─▶ asking ─▶ greeting ─KEY─▶ proving ─PONG─▶ talking ─┤
//!                            │        its key                     ▲   │            │      │
//!                            └── with a session ──────────────────┘   └─ forgotten: greeting
//! ```
//! Only a node that talks is given tasks: its first PONG has told whether it recognises one
//! that comes twice. `carry` keeps the tasks, `questions` what is only asked, `pings` asks
//! whether it is there, `sync` brings its rows home.
//!
//! It does not know how a connection is made, what RSA costs, or how core is told.

mod backoff;
mod carry;
mod event;
mod link;
mod pings;
mod questions;
mod sync;
mod talk;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use gorgone_protocol::Errand;
use gorgone_protocol::request::carried::{Carried, Outcome};
use gorgone_protocol::request::node_state::{LinkState, NodeState};
use gorgone_protocol::{Action, Answer, Dialect, Mark, Moment, NodeId, Target, Token};
use serde_json::json;

pub use event::{Effect, Event, Product, Settings, Setup, Stored, Work};

use backoff::Backoff;
use carry::Carry;
use link::Link;
use pings::Pings;
use questions::Questions;
use sync::Sync;

/// See the module's doc.
pub struct Node {
    id: NodeId,
    settings: Arc<Settings>,
    link: Link,
    backoff: Backoff,
    dialect: Dialect,
    state: LinkState,
    since: i64,
    error: Option<String>,
    hostname: Option<String>,
    dedups: Option<bool>,
    learnt: BTreeMap<NodeId, i64>,
    pings: Pings,
    carry: Carry,
    questions: Questions,
    sync: Sync,
    tokens: Tokens,
    work: u64,
    effects: VecDeque<Effect>,
}

/// Tokens of our own: never used twice, by no life of any proxy.
struct Tokens {
    prefix: Box<str>,
    next: u64,
}

impl Tokens {
    fn fresh(&mut self) -> Token {
        self.next += 1;
        let text = format!("{}-{}", self.prefix, self.next);
        Token::parse(&text).unwrap_or_else(|_| Token::from_random([0; 32]))
    }
}

impl Node {
    /// A node that is ours from now on. `mark` is how far core has its rows.
    ///
    /// `serial` is another number each time, also for a node that was ours before: work that was
    /// done for that one means nothing. Tokens begin with it and with `prefix`, which no other
    /// life of a proxy uses.
    #[must_use]
    pub fn new(
        id: NodeId,
        mark: Mark,
        (prefix, serial): (&str, u32),
        seed: u64,
        settings: Arc<Settings>,
        now: Moment,
    ) -> Self {
        let first = u64::from(serial) << 32;
        let mut node = Self {
            id,
            link: Link::Resolving { session: None },
            backoff: Backoff::new(settings.reconnect, settings.reconnect_max, seed),
            dialect: Dialect::Seed,
            state: LinkState::Connecting,
            since: now.unix(),
            error: None,
            hostname: None,
            dedups: None,
            learnt: BTreeMap::new(),
            pings: Pings::new(id, settings.ping, settings.silence),
            carry: Carry::new(id),
            questions: Questions::default(),
            sync: Sync::new(id, mark, first, &settings),
            tokens: Tokens {
                prefix: format!("{prefix}-{id}-{serial}").into(),
                next: 0,
            },
            settings,
            work: first,
            effects: VecDeque::new(),
        };
        node.effects.push_back(Effect::Resolve);
        node.tell();
        node
    }

    /// Something happened at this time.
    pub fn handle(&mut self, event: Event, now: Moment) {
        match event {
            Event::Resolved(setup) => self.resolved(setup, now),
            Event::Trusted => self.trusted(),
            Event::Connected => self.connected(now),
            Event::Lost(why) => self.lost(why, now),
            Event::Frame(frame) => self.frame(frame, now),
            Event::Worked(number, session, product) => self.worked(number, session, product, now),
            Event::Errand(errand) => self.errand(errand, now),
            Event::Stored(number, stored) => {
                let over = stored != Stored::Later;
                self.sync.stored(number, stored, now.monotonic);
                if over {
                    self.prove_again(now);
                }
            }
            Event::Owned(mark) => {
                self.sync.corrected(mark);
                self.tell();
            }
            Event::Renew => self.renew(now),
            Event::Dropped => {
                let why = "the node is not this proxy's any more";
                let back = self.carry.give_up(why);
                self.effects.extend(back.map(Effect::Carried));
                self.refuse_questions(why);
                self.effects.push_back(Effect::HangUp);
                return;
            }
            Event::Timeout => self.timeout(now),
        }
        self.settle(now);
    }

    /// What is to be done next.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When to hand in [`Event::Timeout`], by the monotonic clock.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let talking = self.is_talking();
        let ping = talking.then(|| self.pings.deadline());
        let times = [
            self.link.deadline(),
            self.carry.deadline(),
            self.questions.deadline(),
            self.sync.deadline(talking),
            ping,
        ];
        times.into_iter().flatten().min()
    }

    /// How many tasks wait for the node's answer.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.carry.len()
    }

    fn is_talking(&self) -> bool {
        matches!(self.link, Link::Talking { .. })
    }

    fn errand(&mut self, errand: Errand, now: Moment) {
        if let Some(attempt) = errand.attempt {
            let back = self.carry.take(&errand, attempt);
            self.effects.extend(back.map(Effect::Carried));
            if !self.is_talking() {
                let why = self.words();
                let back = self.carry.give_back_waiting(&why);
                self.effects.extend(back.map(Effect::Carried));
            }
            return;
        }
        if !self.is_talking() {
            let answer = unreachable(self.id, errand.token, &self.words());
            return self.effects.push_back(Effect::Answer(answer));
        }
        let is_sync = errand.message.action == Action::GetLog;
        let behind = matches!(errand.message.target, Target::Node(target) if target != self.id);
        if is_sync && !behind {
            return self.sync.wanted_by(errand.token, now.monotonic);
        }
        let token = self.tokens.fresh();
        let mut message = errand.message;
        message.token = Some(token.clone());
        if self
            .questions
            .ask(token, errand.token.clone(), is_sync, now.monotonic)
        {
            self.say(&message);
        } else {
            let words = format!("too many questions wait for node {}; try again", self.id);
            let answer = Answer::busy(Some(errand.token), &words);
            self.effects.push_back(Effect::Answer(answer));
        }
    }

    fn refuse_questions(&mut self, why: &str) {
        for token in self.questions.clear().chain(self.sync.clear_waiters()) {
            let answer = unreachable(self.id, token, why);
            self.effects.push_back(Effect::Answer(answer));
        }
    }

    /// Why nothing goes to the node now.
    fn words(&self) -> String {
        self.error
            .clone()
            .unwrap_or_else(|| "the connection is being made".to_owned())
    }

    fn timeout(&mut self, now: Moment) {
        self.link_timeout(now);
        self.questions.expire(now.monotonic);
        let back = self.carry.expire(now);
        self.effects.extend(back.map(Effect::Carried));
        if self.is_talking() {
            self.ping_timeout(now);
        }
        if self.is_talking() && self.carry.is_overdue(now.monotonic) {
            let why = "the node does not answer what it is sent";
            self.part(LinkState::Down, why.to_owned(), now);
        }
    }

    /// Sends what may be sent now, and takes over what the parts want said.
    fn settle(&mut self, now: Moment) {
        if self.is_talking() {
            while let Some(text) = self.carry.next(now, self.settings.window) {
                self.say_text(&text);
            }
            let back = self.carry.expired();
            self.effects.extend(back.map(Effect::Carried));
        }
        let talking = self.is_talking();
        while let Some(step) = self.sync.step(talking, now, &mut self.tokens) {
            match step {
                sync::Step::Ask(message) => self.say(&message),
                sync::Step::Put(number, rows) => {
                    self.effects.push_back(Effect::PutRows(number, rows));
                }
                sync::Step::Answer(answer) => self.effects.push_back(Effect::Answer(answer)),
                sync::Step::Tell => self.tell(),
                sync::Step::Part(why) => self.part(LinkState::Down, why.to_owned(), now),
            }
        }
    }

    /// Shows how the node is, from now on.
    fn show(&mut self, state: LinkState, error: Option<String>, now: Moment) {
        if self.state != state {
            self.since = now.unix();
        } else if self.error == error {
            return;
        }
        self.state = state;
        self.error = error;
        self.tell();
    }

    fn tell(&mut self) {
        let state = NodeState {
            id: self.id,
            state: self.state,
            since: self.since,
            error: self.error.clone(),
            dedups: self.dedups,
            hostname: self.hostname.clone(),
            last_ping_sent: self.pings.sent_at,
            last_ping_recv: self.pings.answered_at,
            ping_ok: self.pings.ok,
            ping_failed: self.pings.failed,
            nodes: self.learnt.clone(),
            synced_at: self.sync.synced_at,
            newest_row: self.sync.newest,
        };
        self.effects.push_back(Effect::State(Box::new(state)));
    }
}

fn unreachable(node: NodeId, token: Token, why: &str) -> Answer {
    let message = format!("node {node} cannot be reached: {why}");
    let data = json!({ "message": message, "error": "unreachable" });
    Answer::refused_with(Some(token), data)
}

/// What became of a task.
fn carried(node: NodeId, token: Token, attempt: u32, outcome: Outcome, words: &str) -> Carried {
    Carried {
        token,
        node,
        attempt,
        outcome,
        message: words.to_owned(),
    }
}
