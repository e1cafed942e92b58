//! A node on the other side, without IO: its sessions are real, its history is a list.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gorgone_carriage::{Effect, Event, Node, Product, Settings, Setup, Stored, Work};
use gorgone_crypto::{PrivateKey, PublicKey};
use gorgone_protocol::Errand;
use gorgone_protocol::request::carried::{Carried, Outcome};
use gorgone_protocol::request::log::{self, GetLog, Page, Row};
use gorgone_protocol::request::node_state::{LinkState, NodeState};
use gorgone_protocol::request::pong::Pong;
use gorgone_protocol::request::put_rows::PutRows;
use gorgone_protocol::{
    Action, Answer, AnswerName, Code, Data, Dialect, History, Identity, Life, Mark, Message,
    Moment, NodeId, Target, Token, decode, encode_answer,
};
use gorgone_session::{Server, ServerConfig};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::json;

const ME: &[u8] = b"gorgone-proxy-1-4";

fn recorded_key(name: &str) -> PrivateKey {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../integration-tests/vectors/seed-dialect.json"
    );
    let recording: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    PrivateKey::from_pem(recording["keys"][name].as_str().unwrap()).unwrap()
}

/// Both sides of one connection, and the clock.
pub(crate) struct World {
    pub(crate) node: Node,
    pub(crate) now: Moment,
    pub(crate) dialect: Dialect,
    rng: StdRng,
    key: PrivateKey,
    server: Server,
    /// Whether an attempt to connect succeeds.
    pub(crate) reachable: bool,
    /// Whether the connection stands.
    pub(crate) connected: bool,
    /// The other side takes nothing and says nothing.
    pub(crate) deaf: bool,
    /// What it hears is done, but its answers are lost.
    pub(crate) mute: bool,
    pub(crate) dedups: bool,
    pub(crate) says_id: u64,
    /// What it answers to a task instead of code 0.
    pub(crate) refuses: Option<serde_json::Value>,
    /// Its rows, by the ids 1, 2, …
    pub(crate) rows: Vec<Row>,
    /// Answers to GETLOG that are lost, next.
    pub(crate) lose_pages: usize,
    /// Tasks that reached it, in order, each time they did.
    pub(crate) heard: Vec<String>,
    pub(crate) pages: Vec<(i64, u32)>,
    pub(crate) handshakes: usize,
    pub(crate) dials: Vec<Duration>,
    /// What core knows.
    pub(crate) stored: Vec<i64>,
    pub(crate) mark: Mark,
    /// The lives of the other side's history, where it tells them.
    pub(crate) history: Option<History>,
    pub(crate) core_later: usize,
    pub(crate) carried: Vec<Carried>,
    pub(crate) answers: Vec<Answer>,
    pub(crate) states: Vec<NodeState>,
    pub(crate) resolve_problem: Option<String>,
    /// The key of the other side, as far as it is known here.
    pub(crate) known_key: Option<PublicKey>,
    /// Whether the other side tells its key.
    pub(crate) tells_key: bool,
    trusted: bool,
}

pub(crate) fn settings() -> Settings {
    Settings {
        page_rows: 10,
        window: 4,
        ..Settings::default()
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Dialect::Seed, 0)
    }

    pub(crate) fn with(dialect: Dialect, mark: i64) -> Self {
        let key = recorded_key("poller.priv");
        let now = Moment {
            unix_ms: 1_800_000_000_000,
            monotonic: Duration::from_secs(1000),
        };
        let node = Node::new(
            NodeId::new(4),
            Mark {
                id: mark,
                ..Mark::default()
            },
            ("life-1", 1),
            7,
            Arc::new(settings()),
            now,
        );
        let mut world = Self {
            node,
            now,
            dialect,
            rng: StdRng::seed_from_u64(7),
            server: Server::new(ServerConfig::default()),
            key,
            reachable: true,
            connected: false,
            deaf: false,
            mute: false,
            dedups: true,
            says_id: 4,
            refuses: None,
            rows: Vec::new(),
            lose_pages: 0,
            heard: Vec::new(),
            pages: Vec::new(),
            handshakes: 0,
            dials: Vec::new(),
            stored: Vec::new(),
            mark: Mark {
                id: mark,
                ..Mark::default()
            },
            history: None,
            core_later: 0,
            carried: Vec::new(),
            answers: Vec::new(),
            states: Vec::new(),
            resolve_problem: None,
            known_key: Some(recorded_key("poller.priv").public().clone()),
            tells_key: true,
            trusted: true,
        };
        world.forget();
        world
    }

    /// The other side forgets all sessions.
    pub(crate) fn forget(&mut self) {
        let ours = recorded_key("client.priv").public().thumbprint();
        self.server = Server::new(ServerConfig {
            hostname: "far".to_owned(),
            public_pem: self.tells_key.then(|| self.key.public().to_pem().unwrap()),
            authorized: self.trusted.then_some(ours).into_iter().collect(),
            ..ServerConfig::default()
        });
    }

    /// The other side has a new key.
    pub(crate) fn new_key(&mut self) {
        self.key = recorded_key("client.priv");
        self.forget();
    }

    /// The other side does not authorize our key, or does again.
    pub(crate) fn trust(&mut self, trusted: bool) {
        self.trusted = trusted;
        self.forget();
    }

    /// Lets everything happen that happens at this moment.
    pub(crate) fn run(&mut self) {
        while let Some(effect) = self.node.poll_effect() {
            self.carry_out(effect);
        }
    }

    /// Lets time pass, timer by timer.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now.monotonic + time;
        self.run();
        for _ in 0..100_000 {
            match self.node.poll_timeout() {
                Some(at) if at <= end => {
                    let wait = at.saturating_sub(self.now.monotonic);
                    self.now = self.now.after(wait);
                    self.handle(Event::Timeout);
                }
                _ => {
                    self.now = self.now.after(end - self.now.monotonic);
                    return;
                }
            }
        }
        panic!("timers without end");
    }

    pub(crate) fn handle(&mut self, event: Event) {
        self.node.handle(event, self.now);
        self.run();
    }

    /// The link is cut.
    pub(crate) fn cut(&mut self) {
        if std::mem::take(&mut self.connected) {
            self.handle(Event::Lost("cut".to_owned()));
        }
    }

    pub(crate) fn task(&mut self, token: &str) {
        self.task_until(token, None);
    }

    pub(crate) fn task_until(&mut self, token: &str, expires: Option<i64>) {
        let mut errand = self.errand(token, Action::Command);
        errand.attempt = Some(1);
        errand.expires = expires;
        self.handle(Event::Errand(errand));
    }

    pub(crate) fn question(&mut self, token: &str, action: Action) {
        let errand = self.errand(token, action);
        self.handle(Event::Errand(errand));
    }

    fn errand(&self, token: &str, action: Action) -> Errand {
        let token = Token::parse(token).unwrap();
        let message = Message {
            action,
            token: Some(token.clone()),
            target: Target::Node(NodeId::new(4)),
            data: Data::empty(),
        };
        Errand {
            via: NodeId::new(4),
            token,
            message,
            attempt: None,
            expires: None,
        }
    }

    /// A row comes to be on the other side.
    pub(crate) fn row(&mut self) {
        let id = i64::try_from(self.rows.len()).unwrap() + 1;
        self.rows.push(Row {
            id,
            token: format!("t{id}"),
            code: Code::Ok,
            etime: 1,
            ctime: 1,
            data: "{}".to_owned(),
            node: None,
        });
    }

    /// How the node is shown.
    pub(crate) fn shown(&self) -> (LinkState, &str) {
        let state = self.states.last().unwrap();
        (state.state, state.error.as_deref().unwrap_or_default())
    }

    pub(crate) fn outcomes(&self) -> Vec<(&str, Outcome)> {
        let of = |carried: &'_ Carried| carried.outcome;
        self.carried
            .iter()
            .map(|carried| (carried.token.as_str(), of(carried)))
            .collect()
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Resolve => {
                let setup = match &self.resolve_problem {
                    Some(problem) => Err(problem.clone()),
                    None => Ok(Box::new(Setup {
                        hostname: "near".to_owned(),
                        key: recorded_key("client.priv"),
                        vector: *b"0123456789012345",
                        keysize: 32,
                        dialect: self.dialect,
                        server_key: self.known_key.clone(),
                        known_from: "server_pubkey".to_owned(),
                    })),
                };
                self.node.handle(Event::Resolved(setup), self.now);
            }
            Effect::Dial => {
                self.dials.push(self.now.monotonic);
                self.connected = self.reachable;
                let event = if self.reachable {
                    Event::Connected
                } else {
                    Event::Lost("nobody listens".to_owned())
                };
                self.node.handle(event, self.now);
            }
            Effect::Pin(key) => self.known_key = Some(key),
            Effect::HangUp => self.connected = false,
            Effect::Work(number, mut session, work) => {
                let product = match work {
                    Work::Hello => {
                        self.handshakes += 1;
                        let hello = session.hello(&mut self.rng);
                        Product::Hello(hello.map_err(|error| error.to_string()))
                    }
                    Work::Open(frame) => Product::Opened(session.handle(&frame, &mut self.rng)),
                };
                let event = Event::Worked(number, session, product);
                self.node.handle(event, self.now);
            }
            Effect::Send(frame) => {
                if self.connected && !self.deaf {
                    self.far(Bytes::from(frame));
                }
            }
            Effect::Carried(carried) => self.carried.push(carried),
            Effect::Answer(answer) => self.answers.push(answer),
            Effect::State(state) => self.states.push(*state),
            Effect::PutRows(number, rows) => {
                let stored = self.store(&rows);
                self.node.handle(Event::Stored(number, stored), self.now);
            }
        }
    }

    /// Core's side of PUTROWS.
    fn store(&mut self, put: &PutRows) -> Stored {
        if self.core_later > 0 {
            self.core_later -= 1;
            return Stored::Later;
        }
        if (put.after, put.known) != (self.mark.id, self.mark.life) {
            return Stored::Mark(Box::new(self.mark.clone()));
        }
        // What cannot be read back is no PUTROWS.
        let put = PutRows::decode(&put.encode()).unwrap();
        self.stored.extend(put.rows.iter().map(|row| row.id));
        match put.begun {
            Some(begun) => self.mark.began(begun.life, begun.back_to),
            None => self.mark.stored(put.life, put.upto),
        }
        Stored::Done
    }

    /// The other side takes a frame.
    fn far(&mut self, frame: Bytes) {
        let peer = Identity::new(ME);
        let event = gorgone_session::Event::Received { peer, frame };
        self.server.handle(event, self.now);
        let mut out = VecDeque::new();
        loop {
            while let Some(effect) = self.server.poll_effect() {
                match effect {
                    gorgone_session::Effect::OpenHello(job) => {
                        let id = job.id();
                        let outcome = job.run(&self.key, &mut self.rng);
                        let event = gorgone_session::Event::HelloOpened { job: id, outcome };
                        self.server.handle(event, self.now);
                    }
                    gorgone_session::Effect::Send { frame, .. } => out.push_back(frame),
                    gorgone_session::Effect::Message { text, dialect, .. } => {
                        self.answer(&text, dialect);
                    }
                    gorgone_session::Effect::Record(_)
                    | gorgone_session::Effect::Refused { .. } => {}
                }
            }
            let Some(frame) = out.pop_front() else {
                return;
            };
            if !self.mute && self.connected {
                let event = Event::Frame(Bytes::from(frame));
                self.node.handle(event, self.now);
            }
        }
    }

    /// The other side says something under the session's key.
    pub(crate) fn says(&mut self, answer: &Answer, dialect: Dialect) {
        let text = encode_answer(answer, dialect);
        let peer = Identity::new(ME);
        let frame = self.server.seal(&peer, &text, self.now);
        if let Some(frame) = frame
            && !self.mute
            && self.connected
        {
            let event = Event::Frame(Bytes::from(frame));
            self.node.handle(event, self.now);
        }
    }

    pub(crate) fn says_sync_logs(&mut self) {
        let answer = Answer::ok(None, Data::empty()).named(AnswerName::SyncLogs);
        self.says(&answer, self.dialect);
        self.run();
    }

    fn answer(&mut self, text: &[u8], dialect: Dialect) {
        let message = decode(text).unwrap();
        let token = message.token.clone();
        let answer = match message.action {
            Action::Ping => {
                let pong = Pong {
                    id: NodeId::new(self.says_id),
                    hostname: Some("far".to_owned()),
                    dedups: self.dedups,
                    life: self.history.as_ref().map(|history| history.life),
                    back_to: self
                        .history
                        .as_ref()
                        .and_then(|history| history.back_to(&Pong::known(&message.data))),
                    nodes: json!({ "400": {} }),
                };
                Answer::ok(token, pong.encode()).named(AnswerName::Pong)
            }
            Action::GetLog => {
                let filter = GetLog::decode(&message.data, dialect).unwrap();
                let (after, limit) = (filter.id.unwrap(), filter.limit.unwrap());
                self.pages.push((after, limit));
                if self.lose_pages > 0 {
                    self.lose_pages -= 1;
                    return;
                }
                let of_life = filter.life.and(self.history.as_ref());
                let (life, last) = match of_life.map(|history| history.after(after)) {
                    Some((life, last)) => (Some(life), last),
                    None => (None, None),
                };
                let rows = self.rows.iter().filter(|row| row.id > after);
                let rows = rows.filter(|row| last.is_none_or(|last| row.id <= last));
                let rows = rows.cloned();
                let mut rows: Vec<Row> = rows.collect();
                let more = rows.len() > limit as usize;
                rows.truncate(limit as usize);
                let page = Page {
                    rows,
                    more: more || last.is_some(),
                    life,
                    upto: last.filter(|_| !more),
                    ..Page::default()
                };
                log::answer(token, NodeId::new(4), &page, dialect)
            }
            Action::Command => {
                self.heard.push(token.clone().unwrap().as_str().to_owned());
                match &self.refuses {
                    Some(words) => Answer::refused_with(token, words.clone()),
                    None => Answer::ok(token, Data::empty()),
                }
            }
            _ => Answer::ok(token, Data::from_value(&json!({ "message": "as asked" }))),
        };
        self.says(&answer, dialect);
    }
}

/// A history with lives of these names; each but the last has ended at that row.
pub(crate) fn history(past: &[(u64, i64)], life: u64) -> History {
    History {
        past: past
            .iter()
            .map(|(life, last)| (Life::from_random(*life), *last))
            .collect(),
        life: Life::from_random(life),
    }
}
