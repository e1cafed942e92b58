//! Nonsense of every kind to both ports, while another client goes on and notices nothing.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a helper that fails has failed its test; the figures are for whoever reads them"
)]

use std::fs;
use std::future::Future;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use gorgone_crypto::PrivateKey;
use gorgone_integration_tests::{Node, accepted, ask, ended, eventually, keys, run_line, said};
use gorgone_protocol::{Data, Endpoint, Identity, Status};
use gorgone_session::{Client as Session, ClientConfig, ClientEvent};
use gorgone_transport::{Dealer, DealerEvent, DealerSender, bus, edge};
use rand::Rng as _;
use serde_json::{Value, json};

const REFUSED: &str = r#"[ACK] [] {"code":1,"data":{"message":"handshake issue"}}"#;
/// What core may grow by, in KiB, whatever it is sent.
const GROWTH: u64 = 150 * 1024;

/// Does something while an honest client goes on running commands; all of them end OK, at
/// least ten of them begin and end meanwhile, and core's memory stays bounded.
async fn unnoticed<T>(node: &Node, nonsense: impl Future<Output = T>) -> T {
    let honest = node.client().await;
    assert!(run_line(&honest, "true").await);
    let before = memory(node);
    let (stop, mut stopped) = tokio::sync::watch::channel(false);
    let goes_on = async {
        let mut count = 0;
        while count < 10 || !*stopped.borrow_and_update() {
            assert!(run_line(&honest, "true").await, "command {count} failed");
            count += 1;
        }
        count
    };
    let (count, result) = tokio::join!(goes_on, async {
        let result = nonsense.await;
        stop.send_replace(true);
        result
    });
    let after = memory(node);
    println!("honest commands: {count}; core's memory: {before} KiB, then {after} KiB");
    assert!(
        after < before + GROWTH,
        "core grew from {before} to {after} KiB"
    );
    result
}

/// Resident memory of core, in KiB. It is the same process as before.
fn memory(node: &Node) -> u64 {
    let pids = node.pids("gorgone-core");
    assert_eq!(pids.len(), 1);
    let status = fs::read_to_string(format!("/proc/{}/status", pids[0])).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

fn tcp(node: &Node) -> TcpStream {
    let address = node.endpoint();
    TcpStream::connect(address.trim_start_matches("tcp://")).unwrap()
}

/// A stranger with a socket of ZeroMQ and no manners.
struct Stranger {
    dealer: Dealer,
    sender: DealerSender,
}

impl Stranger {
    fn outside(node: &Node, name: &str) -> Self {
        let endpoint = Endpoint::parse(&node.endpoint()).unwrap();
        let mut options = edge::ConnectOptions::new(endpoint, Identity::new(name.as_bytes()));
        options.tuning.max_frame = 64 * 1024 * 1024;
        let (dealer, sender) = edge::connect(options).unwrap();
        Self { dealer, sender }
    }

    fn inside(node: &Node, name: &str) -> Self {
        let endpoint = Endpoint::parse(node.internal()).unwrap();
        let options = bus::ConnectOptions::new(endpoint, Identity::new(name.as_bytes()));
        let (dealer, sender) = bus::connect(options).unwrap();
        Self { dealer, sender }
    }

    /// Waits for room where there is none.
    async fn says(&self, frame: impl Into<Vec<u8>>) {
        let frame: Vec<u8> = frame.into();
        eventually("there is room to send", async || {
            self.sender.send(vec![frame.clone().into()]).is_ok()
        })
        .await;
    }

    async fn hears(&mut self) -> Vec<u8> {
        let hear = async {
            loop {
                match self.dealer.recv().await {
                    Some(DealerEvent::Message(frames)) => return frames[0].to_vec(),
                    Some(_) => {}
                    None => panic!("the socket ended"),
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), hear)
            .await
            .unwrap()
    }

    async fn hears_text(&mut self) -> String {
        String::from_utf8(self.hears().await).unwrap()
    }
}

fn session(name: &str, server: &PrivateKey, key: &PrivateKey) -> Session {
    Session::new(ClientConfig {
        hostname: name.to_owned(),
        server_key: server.public().clone(),
        key: key.clone(),
        vector: *b"0123456789012345",
        keysize: 32,
    })
}

/// A stranger that has opened a session by hand, and can say anything in it.
async fn insider(node: &Node, name: &str) -> (Stranger, Session) {
    let mut stranger = Stranger::outside(node, name);
    let mut session = session(name, &keys().server, &keys().client);
    stranger
        .says(session.hello(&mut rand::rng()).unwrap())
        .await;
    let answer = stranger.hears().await;
    let event = session.handle(&answer, &mut rand::rng());
    assert!(matches!(event, ClientEvent::Established), "{event:?}");
    (stranger, session)
}

async fn says_in_session(pair: &mut (Stranger, Session), text: &str) -> String {
    let frame = pair.1.seal(text).unwrap();
    pair.0.says(frame).await;
    let answer = pair.0.hears().await;
    match pair.1.handle(&answer, &mut rand::rng()) {
        ClientEvent::Message(text) => String::from_utf8(text).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

#[tokio::test]
async fn raw_bytes_and_half_open_connections_stop_nobody() {
    let node = Node::start().await;
    unnoticed(&node, async {
        let mut open = Vec::new();
        for number in 0..200_usize {
            let mut stream = tcp(&node);
            // Most are closed by the other side at once: writing to them may fail.
            let _ = match number % 4 {
                0 => Ok(()),
                1 => stream.write_all(&noise(1000)),
                2 => stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
                // The beginning of a ZMTP greeting, and no more.
                _ => stream.write_all(&[0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3]),
            };
            open.push(stream);
            tokio::task::yield_now().await;
        }
        assert!(run_line(&node.client().await, "true").await);
    })
    .await;
}

#[tokio::test]
async fn frame_of_a_gibibyte_ends_its_connection_and_takes_no_memory() {
    let node = Node::start().await;
    unnoticed(&node, async {
        for _ in 0..20 {
            let mut stream = tcp(&node);
            stream
                .set_read_timeout(Some(Duration::from_secs(60)))
                .unwrap();
            // ZMTP 3.0 with the mechanism NULL.
            let mut greeting = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0];
            greeting.extend(b"NULL");
            greeting.resize(64, 0);
            stream.write_all(&greeting).unwrap();
            stream
                .write_all(b"\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER")
                .unwrap();
            // A long frame, and its length.
            let mut frame = vec![2];
            frame.extend((1_u64 << 30).to_be_bytes());
            // It may be gone already.
            let _ = stream.write_all(&frame);
            let _ = stream.write_all(&[b'x'; 4096]);
            // Reads to the end: it is closed from the other side.
            let _ = stream.read_to_end(&mut Vec::new());
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn frame_above_the_limit_is_not_taken_from_a_session_either() {
    let node = Node::start().await;
    unnoticed(&node, async {
        let stranger = Stranger::outside(&node, "stranger-large");
        for _ in 0..3 {
            stranger.says(vec![b'x'; 17 * 1024 * 1024]).await;
        }
        assert!(run_line(&node.client().await, "true").await);
    })
    .await;
}

#[tokio::test]
async fn handshakes_that_are_none_are_refused_as_documented() {
    let node = Node::start().await;
    let other = PrivateKey::generate(&mut rand::rng(), 2048).unwrap();
    unnoticed(&node, async {
        let mut stranger = Stranger::outside(&node, "stranger-hello");
        let hello = |server, key| {
            session("stranger-hello", server, key)
                .hello(&mut rand::rng())
                .unwrap()
        };
        let good = hello(&keys().server, &keys().client);
        let text = String::from_utf8(good).unwrap();
        let mut cut = text.clone();
        cut.truncate(text.len() / 2);
        let nonsense: [Vec<u8>; 12] = [
            hello(&other, &keys().client),
            hello(&keys().server, &other),
            cut.into_bytes(),
            text.replace("-----BEGIN", "-----BEGUN").into_bytes(),
            text.replace("] [", "]  x [").into_bytes(),
            b"[a] [b] [c]".to_vec(),
            b"[COMMAND] [] [] {\"command\":\"true\"}".to_vec(),
            b"[]".to_vec(),
            b"[GETPUBKEY".to_vec(),
            vec![0],
            noise(16),
            noise(100_000),
        ];
        for frame in nonsense {
            let told = String::from_utf8_lossy(&frame[..frame.len().min(60)]).into_owned();
            stranger.says(frame).await;
            assert_eq!(stranger.hears_text().await, REFUSED, "{told}");
        }
    })
    .await;
}

#[tokio::test]
async fn random_frames_in_a_session_are_refused_and_leave_the_session_alone() {
    let node = Node::start().await;
    unnoticed(&node, async {
        let mut pair = insider(&node, "insider-noise").await;
        for number in 0..300 {
            pair.0.says(noise(16 * (1 + number % 64))).await;
        }
        for _ in 0..300 {
            assert_eq!(pair.0.hears_text().await, REFUSED);
        }
        let answer = says_in_session(&mut pair, "[PING] [p] [] {}").await;
        assert!(answer.starts_with("[PONG] [p] []"), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn requests_that_are_not_well_formed_are_answered_as_documented() {
    let node = Node::start().await;
    unnoticed(&node, async {
        let mut pair = insider(&node, "insider-forms").await;
        let form = r#"[ACK] [] {"code":1,"data":{"message":"request not well formatted"}}"#;
        let long = format!("[{}", "x".repeat(100_000));
        for text in [
            "[",
            "[PING]",
            "[PING] [x]",
            "[PING] [x] []",
            "[PING x y {}",
            &long,
        ] {
            assert_eq!(says_in_session(&mut pair, text).await, form, "{text:.60}");
        }
        // Without a bracket it is taken for what was not sealed with the session's key.
        for text in ["", "x", "PING x y {}"] {
            let frame = pair.1.seal(text).unwrap();
            pair.0.says(frame).await;
            assert_eq!(pair.0.hears_text().await, REFUSED, "{text}");
        }
        let table = [
            ("[PING] [x] [] {", "[x]", "request not well formatted"),
            ("[GETLOG] [x] [] {}", "[x]", "need at least one filter"),
            ("[NOBODY] [x] [] {}", "[]", "action 'NOBODY' is not known"),
            (
                "[COMMAND] [x] [4711] {\"command\":\"true\"}",
                "[x]",
                "no proxy configured. cannot manage target.",
            ),
        ];
        for (text, token, message) in table {
            let expected =
                format!(r#"[ACK] {token} {{"code":1,"data":{{"message":"{message}"}}}}"#);
            assert_eq!(says_in_session(&mut pair, text).await, expected, "{text}");
        }
        for action in [
            "GETLOG",
            "PUTLOG",
            "REGISTERNODES",
            "UNREGISTERNODES",
            "CANCEL",
        ] {
            for data in [
                "5",
                "[]",
                "null",
                "\"x\"",
                "true",
                "{\"token\":[]}",
                "{\"nodes\":7}",
            ] {
                let text = format!("[{action}] [x] [] {data}");
                let answer = says_in_session(&mut pair, &text).await;
                assert!(answer.starts_with("[ACK] [x] "), "{text}: {answer}");
            }
        }
        let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
        let answer = says_in_session(&mut pair, &format!("[GETLOG] [x] [] {deep}")).await;
        assert!(answer.starts_with("[ACK] [x] {\"code\":1"), "{answer:.100}");
        let answer = says_in_session(&mut pair, "[PING] [x] [] ").await;
        assert!(answer.starts_with("[PONG] [x] []"), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn ten_thousand_handshakes_at_once_stop_nobody() {
    let node = Node::start().await;
    unnoticed(&node, async {
        let frame = session("storm", &keys().server, &keys().client)
            .hello(&mut rand::rng())
            .unwrap();
        let strangers: Vec<_> = (0..20)
            .map(|number| Stranger::outside(&node, &format!("storm-{number}")))
            .collect();
        for _ in 0..500 {
            for stranger in &strangers {
                stranger.says(frame.clone()).await;
            }
            tokio::task::yield_now().await;
        }
        // A newcomer still gets in.
        assert!(run_line(&node.client().await, "true").await);
    })
    .await;
}

#[tokio::test]
async fn peer_that_never_reads_stops_nobody() {
    let node = Node::start().await;
    unnoticed(&node, async {
        let pair = insider(&node, "insider-deaf").await;
        let honest = node.client().await;
        let about = "large";
        for _ in 0..20 {
            let body = json!({ "code": 0, "token": about, "data": { "x": "x".repeat(50_000) } });
            let answer = ask(&honest, "PUTLOG", None, Data::from_value(&body)).await;
            assert_eq!(answer.unwrap().status, Status::Ok);
        }
        // It asks for a gigabyte, and takes none of it.
        let frame = pair.1.seal("[GETLOG] [] [] {\"token\":\"large\"}").unwrap();
        for _ in 0..1000 {
            pair.0.says(frame.clone()).await;
        }
        assert!(run_line(&honest, "true").await);
    })
    .await;
}

#[tokio::test]
async fn module_that_talks_nonsense_is_answered_and_stops_nobody() {
    let node = Node::start().await;
    unnoticed(&node, async {
        let mut module = Stranger::inside(&node, "nonsense");
        for data in [
            "5",
            "[]",
            "null",
            "{}",
            "{\"actions\":5}",
            "{\"actions\":[1]}",
            "{\"actions\":[\"X\"],\"slots\":-1}",
            "{\"actions\":[\"X\"],\"slots\":\"many\"}",
            "{\"actions\":[\"X\"],\"epoch\":7}",
            "{\"actions\":[\"X\"],\"running\":[\"]\"]}",
        ] {
            module.says(format!("[XREADY] [r] [] {data}")).await;
            let answer = module.hears_text().await;
            assert!(
                answer.starts_with("[ACK] [r] {\"code\":1"),
                "{data}: {answer}"
            );
        }
        for data in [
            "5",
            "[]",
            "{}",
            "{\"code\":\"x\"}",
            "{\"code\":1,\"token\":5}",
        ] {
            module.says(format!("[PUTLOG] [p] [] {data}")).await;
            let answer = module.hears_text().await;
            assert!(
                answer.starts_with("[ACK] [p] {\"code\":1"),
                "{data}: {answer}"
            );
        }
        for text in ["", "x", "[", "[NOBODY] [n] [] {}", "[READY] [n] [] {}"] {
            module.says(text).await;
            let answer = module.hears_text().await;
            assert!(answer.contains("\"code\":1"), "{text}: {answer}");
        }
        for _ in 0..100 {
            module.says(noise(5000)).await;
            module.hears().await;
        }
    })
    .await;
}

#[tokio::test]
async fn module_cannot_end_what_another_runs() {
    let node = Node::start().await;
    unnoticed(&node, async {
        let client = node.client().await;
        let flag = node.path("go");
        let line = format!("while [ ! -e {} ]; do sleep 0.05; done", flag.display());
        let token = accepted(&client, json!({ "command": line })).await;
        let mut module = Stranger::inside(&node, "thief");
        for body in [
            json!({ "code": 1, "token": token, "data": {} }),
            json!({ "code": 2, "token": token, "data": {}, "sequence": 1 }),
        ] {
            module.says(format!("[PUTLOG] [p] [] {body}")).await;
            module.hears().await;
        }
        fs::write(flag, "").unwrap();
        let row = ended(&client, &token).await;
        assert_eq!(said(&row.data)["exit_code"], 0);
    })
    .await;
}

#[tokio::test]
async fn modules_that_take_work_and_never_answer_stop_only_their_own() {
    let node = Node::start().await;
    unnoticed(&node, async {
        let client = node.client().await;
        let mut lazy = Stranger::inside(&node, "lazy");
        lazy.says("[LAZYREADY] [] [] {\"actions\":[\"SLEEP\"],\"slots\":1}")
            .await;
        lazy.hears().await;
        let mut none = Stranger::inside(&node, "none");
        none.says("[NONEREADY] [n] [] {\"actions\":[\"NONE\"],\"slots\":0}")
            .await;
        let answer = none.hears_text().await;
        println!("slots 0: {answer}");
        let mut tokens = Vec::new();
        for _ in 0..50 {
            let answer = ask(&client, "SLEEP", None, Data::empty()).await.unwrap();
            assert_eq!(answer.status, Status::Ok);
            tokens.push(answer.token.unwrap());
        }
        let handed = lazy.hears_text().await;
        assert!(handed.starts_with("[SLEEP] "), "{handed}");
        // What waits in line can be cancelled; what was handed over ends with its runner.
        let last = tokens.pop().unwrap();
        let cancel = Data::from_value(&json!({ "token": last }));
        let answer = ask(&client, "CANCEL", None, cancel).await.unwrap();
        assert_eq!(answer.status, Status::Ok, "{answer:?}");
        let row = ended(&client, &last).await;
        assert_eq!(said(&row.data)["reason"], "cancelled");
        let information = ask(&client, "INFORMATION", None, Data::empty())
            .await
            .unwrap();
        let information: Value = information.data.decode().unwrap();
        assert_eq!(
            information["data"]["modules"]["lazy"]["running"], 1,
            "{information}"
        );
    })
    .await;
}
