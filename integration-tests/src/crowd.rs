//! Nodes by the thousand in this process: their sessions are real and their connections too, but
//! a command is done when it comes.
//!
//! All of them listen on one port: whoever connects to one says by its identity which it means.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use gorgone_crypto::PrivateKey;
use gorgone_protocol::request::log::{self, GetLog, Page, Row};
use gorgone_protocol::request::pong::Pong;
use gorgone_protocol::{
    Action, Answer, AnswerName, Code, Data, Dialect, Endpoint, Identity, Moment, NodeId, Token,
    decode, encode_answer,
};
use gorgone_session::{Effect, Event, HelloJob, Server, ServerConfig};
use gorgone_transport::{Router, RouterEvent, RouterSender, edge};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::keys::keys;

/// A crowd of nodes. They are gone when it is dropped.
#[derive(Debug)]
pub struct Crowd {
    port: u16,
    flapping: u16,
    _end: oneshot::Sender<()>,
}

impl Crowd {
    /// Starts the crowd. Whoever has the key of the tests' server may connect.
    ///
    /// # Panics
    /// When it cannot listen.
    #[expect(
        clippy::expect_used,
        reason = "a crowd that cannot listen tests nothing"
    )]
    #[must_use]
    pub fn start() -> Self {
        let mut options = edge::BindOptions::new(vec![Endpoint::Tcp {
            host: "127.0.0.1".to_owned(),
            port: 0,
        }]);
        options.backlog = 4096;
        let (router, sender) = edge::bind(options).expect("a free port");
        let Some(Endpoint::Tcp { port, .. }) = router.local_endpoints().first().cloned() else {
            panic!("not a TCP port");
        };
        let (end, ended) = oneshot::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    () = Live::new(sender).run(router) => {}
                    _ = ended => {}
                }
            });
        });
        Self {
            port,
            flapping: flap(),
            _end: end,
        }
    }

    /// The definition of one of its nodes, for REGISTERNODES.
    #[must_use]
    pub fn definition(&self, id: u64) -> Value {
        self.at(id, self.port)
    }

    /// The definition of a node that ends each connection at once.
    #[must_use]
    pub fn flapping(&self, id: u64) -> Value {
        self.at(id, self.flapping)
    }

    /// The definition of a node where nobody is.
    #[must_use]
    pub fn dead(&self, id: u64) -> Value {
        self.at(id, 1)
    }

    #[expect(
        clippy::expect_used,
        reason = "a key that cannot be written tests nothing"
    )]
    fn at(&self, id: u64, port: u16) -> Value {
        let key = keys().client.public().to_pem().expect("PEM");
        json!({
            "id": id, "type": "push_zmq", "address": "127.0.0.1", "port": port,
            "server_pubkey": key,
        })
    }
}

/// A port whose connections end 50 ms after they began.
#[expect(
    clippy::expect_used,
    reason = "a port that cannot be had tests nothing"
)]
fn flap() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        let mut open = Vec::new();
        loop {
            if let Ok((stream, _)) = listener.accept() {
                open.push((Instant::now(), stream));
            }
            open.retain(|(began, _)| began.elapsed() < Duration::from_millis(50));
        }
    });
    port
}

#[derive(Default)]
struct Simulated {
    rows: Vec<Row>,
    had: HashSet<Token>,
    /// Whoever connected has pinged: it is told of rows.
    parent: bool,
}

/// The crowd's one thread.
struct Live {
    sender: RouterSender,
    session: Server,
    nodes: BTreeMap<u64, Simulated>,
    names: HashMap<Identity, u64>,
    began: Instant,
    rsa: std::sync::mpsc::Sender<HelloJob>,
    opened: mpsc::UnboundedReceiver<Event>,
}

impl Live {
    fn new(sender: RouterSender) -> Self {
        let config = ServerConfig {
            hostname: "crowd".to_owned(),
            authorized: [keys().server.public().thumbprint()].into(),
            handshake_rate: 0,
            handshakes_running: 64,
            ..ServerConfig::default()
        };
        let (rsa, jobs) = std::sync::mpsc::channel::<HelloJob>();
        let (done, opened) = mpsc::unbounded_channel();
        thread::spawn(move || {
            let key: &PrivateKey = &keys().client;
            while let Ok(job) = jobs.recv() {
                let id = job.id();
                let outcome = job.run(key, &mut rand::rng());
                if done.send(Event::HelloOpened { job: id, outcome }).is_err() {
                    return;
                }
            }
        });
        Self {
            sender,
            session: Server::new(config),
            nodes: BTreeMap::new(),
            names: HashMap::new(),
            began: Instant::now(),
            rsa,
            opened,
        }
    }

    async fn run(mut self, mut router: Router) {
        loop {
            let event = tokio::select! {
                event = router.recv() => match event {
                    Some(RouterEvent::Message { peer, mut frames, .. }) => {
                        Event::Received { peer, frame: frames.swap_remove(0) }
                    }
                    Some(_) => continue,
                    None => return,
                },
                Some(event) = self.opened.recv() => event,
            };
            let now = self.now();
            self.session.handle(event, now);
            while let Some(effect) = self.session.poll_effect() {
                match effect {
                    Effect::OpenHello(job) => {
                        let _ = self.rsa.send(job);
                    }
                    Effect::Send { peer, frame } => {
                        let _ = self.sender.send(&peer, vec![Bytes::from(frame)]);
                    }
                    Effect::Message {
                        peer,
                        dialect,
                        text,
                        ..
                    } => self.message(&peer, dialect, &text),
                    Effect::Record(_) | Effect::Refused { .. } => {}
                }
            }
        }
    }

    fn now(&self) -> Moment {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let unix_ms = since.map_or(0, |since| since.as_millis());
        Moment {
            unix_ms: i64::try_from(unix_ms).unwrap_or(i64::MAX),
            monotonic: self.began.elapsed(),
        }
    }

    fn say(&self, peer: &Identity, answer: &Answer) {
        let text = encode_answer(answer, Dialect::Seed);
        if let Some(frame) = self.session.seal(peer, &text, self.now()) {
            let _ = self.sender.send(peer, vec![Bytes::from(frame)]);
        }
    }

    /// `gorgone-proxy-<core>-<node>`.
    fn node_of(&mut self, peer: &Identity) -> u64 {
        if let Some(id) = self.names.get(peer) {
            return *id;
        }
        let text = peer.to_text();
        let id = text.rsplit('-').next().and_then(|id| id.parse().ok());
        let id = id.unwrap_or(0);
        self.names.insert(peer.clone(), id);
        id
    }

    fn message(&mut self, peer: &Identity, dialect: Dialect, text: &[u8]) {
        let id = self.node_of(peer);
        let unix = self.now().unix();
        let Ok(message) = decode(text) else {
            return;
        };
        let node = self.nodes.entry(id).or_default();
        let token = message.token;
        let mut news = false;
        let answer = match message.action {
            Action::Ping => {
                node.parent = true;
                let pong = Pong {
                    id: NodeId::new(id),
                    hostname: Some(format!("node-{id}")),
                    dedups: true,
                    life: None,
                    back_to: None,
                    nodes: json!({}),
                };
                Answer::ok(token, pong.encode()).named(AnswerName::Pong)
            }
            Action::GetLog => {
                let filter = GetLog::decode(&message.data, dialect).unwrap_or_default();
                let limit = filter.limit.map_or(usize::MAX, |limit| limit as usize);
                let after = filter.id.unwrap_or(0);
                let mut rows = node.rows.iter().filter(|row| row.id > after);
                let page = Page {
                    rows: rows.by_ref().take(limit).cloned().collect(),
                    more: rows.next().is_some(),
                    ..Page::default()
                };
                log::answer(token, NodeId::new(id), &page, dialect)
            }
            Action::Command => {
                if let Some(token) = &token
                    && node.had.insert(token.clone())
                {
                    news = node.parent;
                    for code in [Code::Proceed, Code::Ok] {
                        node.rows.push(Row {
                            id: i64::try_from(node.rows.len()).unwrap_or(0) + 1,
                            token: token.as_str().to_owned(),
                            code,
                            etime: unix,
                            ctime: unix,
                            data: r#"{"message":"simulated","exit_code":0}"#.to_owned(),
                            node: None,
                        });
                    }
                }
                Answer::ok(token, Data::empty())
            }
            _ => Answer::refused(token, "a simulated node does not know this"),
        };
        self.say(peer, &answer);
        if news {
            let notice = Answer::ok(None, Data::empty()).named(AnswerName::SyncLogs);
            self.say(peer, &notice);
        }
    }
}
