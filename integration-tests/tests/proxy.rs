//! gorgone-proxy between a core that the test plays, real nodes, and peers that are none.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper that fails has failed its test"
)]

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use gorgone_crypto::PrivateKey;
use gorgone_integration_tests::{Node, keys};
use gorgone_protocol::request::carried::{Carried, Outcome};
use gorgone_protocol::request::node_state::{LinkState, NodeState};
use gorgone_protocol::request::put_rows::PutRows;
use gorgone_protocol::{
    Action, Answer, Data, Dialect, Endpoint, Headers, Identity, Message, NodeId, Status, Target,
    Token, decode, decode_answer, encode, encode_answer,
};
use gorgone_transport::{Router, RouterEvent, RouterSender, bus};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

/// A core that the test plays, and one proxy.
struct Core {
    dir: tempfile::TempDir,
    router: Router,
    sender: RouterSender,
    proxy: Option<Child>,
    peer: Option<Identity>,
    states: HashMap<u64, NodeState>,
    carried: Vec<Carried>,
    answers: HashMap<String, Answer>,
    /// Tokens of rows that came home, by node, and the mark.
    rows: HashMap<u64, Vec<String>>,
    marks: HashMap<u64, i64>,
}

impl Core {
    /// Waits until the proxy is READY.
    async fn start(proxy_lines: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let endpoint = Endpoint::Ipc {
            path: dir.path().join("bus.ipc"),
        };
        let (router, sender) = bus::bind(bus::BindOptions::new(vec![endpoint])).unwrap();
        let key = dir.path().join("key.pem");
        std::fs::write(&key, keys().client.to_pem().unwrap()).unwrap();
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        let config = format!(
            "gorgonecore:\n  id: 77\n  internal_com_type: ipc\n  internal_com_path: {bus}\n  \
             privkey: {key}\n  gorgone_db_name: {db}\nmodules:\n  - name: proxy\n    \
             enable: true\n{proxy_lines}\n",
            bus = dir.path().join("bus.ipc").display(),
            key = key.display(),
            db = dir.path().join("none.sdb").display(),
        );
        std::fs::write(dir.path().join("gorgoned.yml"), config).unwrap();
        let mut core = Self {
            dir,
            router,
            sender,
            proxy: None,
            peer: None,
            states: HashMap::new(),
            carried: Vec::new(),
            answers: HashMap::new(),
            rows: HashMap::new(),
            marks: HashMap::new(),
        };
        core.launch();
        core.until("it is ready", |core| core.peer.is_some()).await;
        core
    }

    fn launch(&mut self) {
        let child = Node::program("gorgone-proxy")
            .arg("--config")
            .arg(self.dir.path().join("gorgoned.yml"))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        self.proxy = Some(child);
    }

    fn pid(&self) -> Pid {
        let id = self.proxy.as_ref().unwrap().id();
        Pid::from_raw(i32::try_from(id).unwrap())
    }

    /// Lets things happen until something is true.
    async fn until(&mut self, what: &str, mut check: impl FnMut(&Self) -> bool) {
        let end = tokio::time::Instant::now() + PATIENCE;
        while !check(self) {
            let event = tokio::time::timeout_at(end, self.router.recv()).await;
            let Ok(event) = event else {
                panic!("does not become true: {what}; {:?}", self.states);
            };
            if let Some(RouterEvent::Message { peer, frames, .. }) = event {
                self.hear(&peer, &frames[0]);
            }
        }
    }

    fn hear(&mut self, peer: &Identity, text: &[u8]) {
        if let Ok(answer) = decode_answer(text) {
            let token = answer.token.clone().unwrap();
            self.answers.insert(token.as_str().to_owned(), answer);
            return;
        }
        let message = decode(text).unwrap();
        let mut reply = json!({ "message": "ok" });
        let mut status = Status::Ok;
        match message.action {
            Action::Ready(_) => self.peer = Some(peer.clone()),
            Action::NodeState => {
                let state: NodeState = message.data.decode().unwrap();
                self.states.insert(state.id.get(), state);
                return;
            }
            Action::Carried => self.carried.push(message.data.decode().unwrap()),
            Action::PutRows => {
                let put = PutRows::decode(&message.data).unwrap();
                let mark = self.marks.entry(put.node.get()).or_default();
                if *mark == put.after {
                    *mark = put.upto;
                    let tokens = put.rows.into_iter().map(|row| row.token);
                    self.rows.entry(put.node.get()).or_default().extend(tokens);
                } else {
                    status = Status::Nok;
                    reply = json!({ "error": "mark", "mark": mark });
                }
            }
            other => panic!("the proxy says {other}"),
        }
        let answer = Answer {
            status,
            ..Answer::ok(message.token, Data::from_value(&reply))
        };
        let text = encode_answer(&answer, Dialect::Seed);
        self.sender.send(peer, vec![Bytes::from(text)]).unwrap();
    }

    fn say(&self, message: &Message, headers: &Headers) {
        let mut frames = vec![Bytes::from(encode(message))];
        frames.extend(headers.encode().map(Bytes::from));
        self.sender
            .send(self.peer.as_ref().unwrap(), frames)
            .unwrap();
    }

    fn nodes(&self, definitions: &[Value]) {
        let nodes: Vec<_> = definitions
            .iter()
            .map(|definition| {
                let id = definition["id"].as_u64().unwrap();
                let mark = self.marks.get(&id).copied().unwrap_or(0);
                json!({ "definition": definition, "mark": mark })
            })
            .collect();
        let body = Data::from_value(&json!({ "all": true, "nodes": nodes }));
        self.say(
            &Message::new(Action::Nodes, None, body),
            &Headers::default(),
        );
    }

    fn hand(&self, via: u64, action: &str, token: &str, attempt: Option<u32>, data: &Value) {
        let message = Message {
            action: Action::parse(action),
            token: Some(Token::parse(token).unwrap()),
            target: Target::Node(NodeId::new(via)),
            data: Data::from_value(data),
        };
        let headers = Headers {
            via: Some(NodeId::new(via)),
            attempt,
            ..Headers::default()
        };
        self.say(&message, &headers);
    }

    fn is(&self, id: u64, state: LinkState) -> bool {
        self.states.get(&id).is_some_and(|one| one.state == state)
    }

    fn accepted(&self) -> HashSet<&str> {
        let accepted = self
            .carried
            .iter()
            .filter(|one| one.outcome == Outcome::Accepted);
        accepted.map(|one| one.token.as_str()).collect()
    }

    fn home(&self, id: u64, token: &str) -> usize {
        let rows = self.rows.get(&id).map(Vec::as_slice).unwrap_or_default();
        rows.iter().filter(|row| *row == token).count()
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        if let Some(mut child) = self.proxy.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn definition(id: u64, endpoint: &str, server_key: &str) -> Value {
    let (host, port) = endpoint
        .trim_start_matches("tcp://")
        .rsplit_once(':')
        .unwrap();
    json!({
        "id": id, "type": "push_zmq", "address": host, "port": port, "server_pubkey": server_key,
    })
}

fn of(node: &Node) -> Value {
    let key = node.path("server.pub.pem").display().to_string();
    definition(1, &node.endpoint(), &key)
}

fn public_pem() -> String {
    keys().server.public().to_pem().unwrap()
}

/// A peer that does something else with every connection; how many it had.
fn hostile(mut behave: impl FnMut(TcpStream) + Send + 'static) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::Relaxed);
            behave(stream);
        }
    });
    (endpoint, count)
}

/// Greets like a ZeroMQ socket.
fn greet(stream: &mut TcpStream) {
    let mut greeting = [0; 64];
    greeting[0] = 0xff;
    greeting[9] = 0x7f;
    greeting[10] = 3;
    greeting[12..16].copy_from_slice(b"NULL");
    let ready = b"\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06ROUTER";
    let _ = stream.write_all(&greeting);
    let _ = stream.read_exact(&mut [0; 64]);
    let _ = stream.write_all(ready);
}

#[tokio::test]
async fn requests_reach_a_real_node_and_their_rows_come_home_once_each() {
    let node = Node::start().await;
    let mut core = Core::start("").await;
    core.nodes(&[of(&node)]);
    core.until("the node is up", |core| core.is(1, LinkState::Up))
        .await;
    let tokens: Vec<String> = (0..100).map(|number| format!("task-{number}")).collect();
    for token in &tokens {
        core.hand(1, "COMMAND", token, Some(1), &json!({ "command": "true" }));
    }
    core.until("all are accepted", |core| core.accepted().len() == 100)
        .await;
    assert_eq!(core.carried.len(), 100);
    // Nobody asks for the rows: the node says that there are some.
    core.until("all have ended here", |core| {
        tokens.iter().all(|token| core.home(1, token) >= 2)
    })
    .await;
    core.hand(1, "GETLOG", "sync", None, &json!({}));
    core.hand(1, "INFORMATION", "info", None, &json!({}));
    core.until("questions are answered", |core| {
        core.answers.contains_key("sync") && core.answers.contains_key("info")
    })
    .await;
    assert_eq!(core.answers["info"].status, Status::Ok);
    // Each row of the node came once: the node's own account of them has as many.
    let client = node.client().await;
    for token in &tokens {
        let filter = gorgone_protocol::request::log::GetLog {
            token: Some(token.clone()),
            ..Default::default()
        };
        let (rows, _) = client.log(&filter, PATIENCE).await.unwrap();
        assert_eq!(core.home(1, token), rows.len(), "{token}");
    }
}

#[tokio::test]
async fn node_that_is_killed_and_comes_back_is_served_again() {
    let mut node = Node::start().await;
    let mut core = Core::start("").await;
    core.nodes(&[of(&node)]);
    core.until("the node is up", |core| core.is(1, LinkState::Up))
        .await;
    core.hand(
        1,
        "COMMAND",
        "before",
        Some(1),
        &json!({ "command": "true" }),
    );
    core.until("it is accepted", |core| core.accepted().contains("before"))
        .await;
    node.kill_all();
    core.until("that is noticed", |core| core.is(1, LinkState::Down))
        .await;
    core.hand(
        1,
        "COMMAND",
        "while",
        Some(1),
        &json!({ "command": "true" }),
    );
    core.until("it comes back", |core| core.carried.len() == 2)
        .await;
    assert_eq!(core.carried[1].outcome, Outcome::Unsent);
    node.launch().await;
    core.until("the node is up again", |core| core.is(1, LinkState::Up))
        .await;
    core.hand(
        1,
        "COMMAND",
        "while",
        Some(2),
        &json!({ "command": "true" }),
    );
    core.until("both have ended here", |core| {
        core.home(1, "before") >= 1 && core.home(1, "while") >= 2
    })
    .await;
}

#[tokio::test]
async fn key_of_a_node_is_kept_when_it_is_first_seen_and_read_again_on_hangup() {
    let node = Node::start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let known = format!("    known_nodes: {}", file.path().display());
    let mut core = Core::start(&known).await;
    let mut unknown = of(&node);
    unknown.as_object_mut().unwrap().remove("server_pubkey");
    core.nodes(std::slice::from_ref(&unknown));
    core.until("the node is up", |core| core.is(1, LinkState::Up))
        .await;
    let line = std::fs::read_to_string(file.path()).unwrap();
    assert!(line.starts_with("1 "), "{line}");
    // Another key in the file: nothing is said to the node until that is mended.
    let other = keys().client.public().to_pem().unwrap();
    let body: String = other
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    std::fs::write(file.path(), format!("1 {body}\n")).unwrap();
    kill(core.pid(), Signal::SIGHUP).unwrap();
    core.until("it is refused", |core| core.is(1, LinkState::KeyChanged))
        .await;
    std::fs::write(file.path(), "").unwrap();
    kill(core.pid(), Signal::SIGHUP).unwrap();
    core.until("it is up again", |core| core.is(1, LinkState::Up))
        .await;
    assert_eq!(std::fs::read_to_string(file.path()).unwrap(), line);
}

#[tokio::test]
async fn hostile_nodes_are_noticed_by_nobody_else() {
    let node = Node::start().await;
    let mut core = Core::start("    reconnect_max: 2").await;
    let mut held = Vec::new();
    let (half_open, _) = hostile(move |stream| held.push(stream));
    let (garbage, _) = hostile(|mut stream| {
        let _ = stream.write_all(&[0xab; 4096]);
    });
    let (huge, _) = hostile(|mut stream| {
        greet(&mut stream);
        let _ = stream.write_all(b"\x02\x7f\xff\xff\xff\xff\xff\xff\xff");
        std::thread::sleep(Duration::from_millis(50));
    });
    let mut deaf_ones = Vec::new();
    let (deaf, _) = hostile(move |mut stream| {
        greet(&mut stream);
        deaf_ones.push(stream);
    });
    let (flaps, flapped) = hostile(|mut stream| {
        greet(&mut stream);
        std::thread::sleep(Duration::from_millis(50));
    });
    let other = PrivateKey::generate(&mut rand::rng(), 2048).unwrap();
    let other = other.public().to_pem().unwrap();
    let pem = public_pem();
    let mut nodes = vec![
        of(&node),
        definition(10, &half_open, &pem),
        definition(11, &garbage, &pem),
        definition(12, &huge, &pem),
        definition(13, &deaf, &pem),
        definition(14, "tcp://127.0.0.1:1", &pem),
        definition(15, &node.endpoint(), &other),
        definition(16, &node.endpoint(), "/no/such/file.pem"),
        definition(17, &node.endpoint(), &pem),
    ];
    for id in 100..120 {
        nodes.push(definition(id, &flaps, &pem));
    }
    core.nodes(&nodes);
    core.until("the good one is up", |core| core.is(1, LinkState::Up))
        .await;
    let began = Instant::now();
    for number in 0..100 {
        let body = json!({ "command": "true" });
        core.hand(1, "COMMAND", &format!("t-{number}"), Some(1), &body);
    }
    core.until("all are accepted", |core| core.accepted().len() == 100)
        .await;
    assert!(began.elapsed() < Duration::from_secs(20));
    core.until("each of the others says what is wrong", |core| {
        let words = |id: u64| {
            let error = core.states.get(&id).and_then(|state| state.error.clone());
            error.unwrap_or_default()
        };
        words(10).contains("no answer")
            && words(11).contains("does not speak ZeroMQ")
            && words(12).contains("at most")
            && words(13).contains("does not answer the handshake")
            && words(14).contains("cannot connect")
            && words(15).contains("its public key is another one")
            && words(16).contains("cannot read /no/such/file.pem")
            && words(17).contains("says that it is 1, not 17")
    })
    .await;
    assert!(core.is(15, LinkState::KeyChanged));
    let status = std::fs::read_to_string(format!("/proc/{}/status", core.pid())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kib < 100_000, "{line}");
    let files = std::fs::read_dir(format!("/proc/{}/fd", core.pid())).unwrap();
    assert!(files.count() < 100);
    // Twenty nodes that flap are tried less and less often.
    let tries = flapped.load(Ordering::Relaxed);
    assert!(tries < 20 * 60, "{tries} attempts");
    let home = core.rows.get(&1).map_or(0, Vec::len);
    core.hand(1, "GETLOG", "sync", None, &json!({}));
    core.until("its rows come home", |core| {
        core.answers.contains_key("sync")
    })
    .await;
    assert!(core.rows[&1].len() >= home);
}

#[tokio::test]
async fn proxy_that_stops_waits_for_answers_and_gives_the_rest_back() {
    let node = Node::start().await;
    let mut core = Core::start("").await;
    core.nodes(&[of(&node)]);
    core.until("the node is up", |core| core.is(1, LinkState::Up))
        .await;
    for number in 0..50 {
        let body = json!({ "command": "true" });
        core.hand(1, "COMMAND", &format!("t-{number}"), Some(1), &body);
    }
    kill(core.pid(), Signal::SIGTERM).unwrap();
    core.until("core hears of every one", |core| core.carried.len() == 50)
        .await;
    let mut child = core.proxy.take().unwrap();
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(began.elapsed() < PATIENCE);
        // Core goes on acknowledging meanwhile.
        let event = tokio::time::timeout(Duration::from_millis(20), core.router.recv()).await;
        if let Ok(Some(RouterEvent::Message { peer, frames, .. })) = event {
            core.hear(&peer, &frames[0]);
        }
    };
    assert!(status.success());
    let tokens: HashSet<_> = core.carried.iter().map(|one| &one.token).collect();
    assert_eq!(tokens.len(), 50, "each once");
}
