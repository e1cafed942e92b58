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
mod link;
mod pings;
mod questions;
mod sync;
mod talk;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gorgone_client::carrier::Errand;
use gorgone_crypto::{PrivateKey, PublicKey, VECTOR_BYTES};
use gorgone_protocol::request::carried::{Carried, Outcome};
use gorgone_protocol::request::node_state::{LinkState, NodeState};
use gorgone_protocol::request::put_rows::PutRows;
use gorgone_protocol::{Action, Answer, Dialect, Moment, NodeId, Target, Token};
use gorgone_session::{Client, ClientEvent};
use serde_json::json;

use backoff::Backoff;
use carry::Carry;
use link::Link;
use pings::Pings;
use questions::Questions;
use sync::Sync;

/// What all nodes hold to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How often a node is asked whether it is there.
    pub ping: Duration,
    /// After so long a silence the connection is made anew.
    pub silence: Duration,
    /// How often its rows are fetched where nothing else asks for it.
    pub sync_every: Duration,
    /// How long fetching may go on without a page.
    pub sync_timeout: Duration,
    /// How long one page may take before it is asked for again.
    pub page_timeout: Duration,
    /// Rows of one page.
    pub page_rows: u32,
    /// Tasks that are under way to a node without its answer.
    pub window: usize,
    /// First wait before a lost connection is made anew; it doubles up to the longest.
    pub reconnect: Duration,
    /// The longest wait.
    pub reconnect_max: Duration,
    /// How long the node may take for a step of the handshake.
    pub greeting: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ping: Duration::from_secs(60),
            silence: Duration::from_secs(300),
            sync_every: Duration::from_secs(300),
            sync_timeout: Duration::from_secs(120),
            page_timeout: Duration::from_secs(5),
            page_rows: 500,
            window: 64,
            reconnect: Duration::from_secs(1),
            reconnect_max: Duration::from_secs(60),
            greeting: Duration::from_secs(10),
        }
    }
}

/// How to speak with a node: what its definition says.
#[derive(Debug)]
pub struct Setup {
    /// The name in the greeting.
    pub hostname: String,
    /// Our key.
    pub key: PrivateKey,
    /// The vector of the seed's dialect.
    pub vector: [u8; VECTOR_BYTES],
    /// The length of the session key in the seed's dialect, in bytes.
    pub keysize: usize,
    /// How it spells things.
    pub dialect: Dialect,
    /// Its public key. None where it is not known yet: then the first one that it names is its
    /// own from then on.
    pub server_key: Option<PublicKey>,
    /// Where the key is known from, to be told to whoever has to mend it.
    pub known_from: String,
}

/// Something happened.
#[derive(Debug)]
pub enum Event {
    /// What the definition says, or what is wrong with it.
    Resolved(Result<Box<Setup>, String>),
    /// The connection stands.
    Connected,
    /// The connection is lost, or could not be made; why, in words.
    Lost(String),
    /// The node sent a frame.
    Frame(Bytes),
    /// The RSA work of this number is done.
    Worked(u64, Box<Client>, Product),
    /// Core has something for the node.
    Errand(Errand),
    /// What core said to the rows of this number.
    Stored(u64, Stored),
    /// Core is back: it wants to hear how the node is.
    Tell,
    /// The definition may have changed: connect anew.
    Renew,
    /// The node is somebody else's from now on: everything goes back to core.
    Dropped,
    /// The time that `poll_timeout` named has come.
    Timeout,
}

/// RSA work.
#[derive(Debug)]
pub enum Work {
    /// Make the frame that begins a handshake.
    Hello,
    /// Take this frame, which should bring the key.
    Open(Bytes),
}

/// What came of it.
#[derive(Debug)]
pub enum Product {
    /// The frame, or why there is none.
    Hello(Result<Vec<u8>, String>),
    /// What the frame meant.
    Opened(ClientEvent),
}

/// What became of rows that were given to core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stored {
    /// They are durable.
    Done,
    /// They do not follow on this mark: go on from it.
    Mark(i64),
    /// Not now.
    Later,
}

/// Something is to be done, in the order in which it is fetched.
#[derive(Debug)]
pub enum Effect {
    /// Read the definition and its keys.
    Resolve,
    /// Connect, once.
    Dial,
    /// Keep this as the node's public key from now on.
    Pin(PublicKey),
    /// Drop the connection.
    HangUp,
    /// Do this beside the loop; the number comes back with the product.
    Work(u64, Box<Client>, Work),
    /// Send a frame to the node.
    Send(Vec<u8>),
    /// Tell core what became of a task.
    Carried(Carried),
    /// Answer a question of core's.
    Answer(Answer),
    /// Tell core how the node is.
    State(Box<NodeState>),
    /// Give rows to core; the number comes back with what became of them.
    PutRows(u64, PutRows),
}

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
    prefix: Arc<str>,
    node: NodeId,
    next: u64,
}

impl Tokens {
    fn fresh(&mut self) -> Token {
        self.next += 1;
        let text = format!("{}-{}-{}", self.prefix, self.node, self.next);
        Token::parse(&text).unwrap_or_else(|_| Token::from_random([0; 32]))
    }
}

impl Node {
    /// A node that is ours from now on. `mark` is the node's id of its last row that core has;
    /// tokens begin with `prefix`, which no other life of a proxy uses.
    #[must_use]
    pub fn new(
        id: NodeId,
        mark: i64,
        prefix: Arc<str>,
        seed: u64,
        settings: Arc<Settings>,
        now: Moment,
    ) -> Self {
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
            sync: Sync::new(id, mark, &settings),
            tokens: Tokens {
                prefix,
                node: id,
                next: 0,
            },
            settings,
            work: 0,
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
            Event::Connected => self.connected(now),
            Event::Lost(why) => self.lost(why, now),
            Event::Frame(frame) => self.frame(frame, now),
            Event::Worked(number, session, product) => self.worked(number, session, product, now),
            Event::Errand(errand) => self.errand(errand, now),
            Event::Stored(number, stored) => self.sync.stored(number, stored, now.monotonic),
            Event::Tell => self.tell(),
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
