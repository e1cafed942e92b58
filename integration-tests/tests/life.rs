//! The life of a node: sessions outlive core, configurations are read again, stops are in order.
#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails has failed its test"
)]

use std::fs;
use std::net::TcpListener;
use std::process::Output;
use std::time::Duration;

use gorgone_client::{Client, ClientError, ClientOptions};
use gorgone_crypto::PrivateKey;
use gorgone_integration_tests::{Node, accepted, ask, ended, eventually, keys, run_line, said};
use gorgone_protocol::{Code, Data, Endpoint, Identity, Status};
use gorgone_session::{Client as Session, ClientConfig, ClientEvent};
use gorgone_transport::{Dealer, DealerEvent, DealerSender, edge};
use nix::sys::signal::Signal;
use serde_json::json;

fn config(name: &str, key: &PrivateKey) -> ClientConfig {
    ClientConfig {
        hostname: name.to_owned(),
        server_key: keys().server.public().clone(),
        key: key.clone(),
        vector: *b"0123456789012345",
        keysize: 32,
    }
}

/// A peer that greets once, and never again.
struct Peer {
    dealer: Dealer,
    sender: DealerSender,
    session: Session,
}

impl Peer {
    fn new(node: &Node, name: &str) -> Self {
        let endpoint = Endpoint::parse(&node.endpoint()).unwrap();
        let options = edge::ConnectOptions::new(endpoint, Identity::new(name.as_bytes()));
        let (dealer, sender) = edge::connect(options).unwrap();
        let session = Session::new(config(name, &keys().client));
        Self {
            dealer,
            sender,
            session,
        }
    }

    async fn greets(&mut self) {
        let hello = self.session.hello(&mut rand::rng()).unwrap();
        self.sender.send(vec![hello.into()]).unwrap();
        let event = self.hears().await;
        assert!(matches!(event, Some(ClientEvent::Established)), "{event:?}");
    }

    async fn hears(&mut self) -> Option<ClientEvent> {
        let hear = async {
            loop {
                if let Some(DealerEvent::Message(frames)) = self.dealer.recv().await {
                    return self.session.handle(&frames[0], &mut rand::rng());
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(2), hear)
            .await
            .ok()
    }

    /// Whether PING is answered in the session that it has.
    async fn is_known(&mut self) -> bool {
        let frame = self.session.seal("[PING] [p] [] {}").unwrap();
        let _ = self.sender.send(vec![frame.into()]);
        match self.hears().await {
            Some(ClientEvent::Message(text)) => text.starts_with(b"[PONG]"),
            _ => false,
        }
    }

    async fn leaves(self) {
        self.dealer.close(Duration::from_secs(1)).await;
    }
}

async fn finished(mut command: std::process::Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

fn all_of(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    format!("{out}{}", String::from_utf8_lossy(&output.stderr))
}

fn gorgoned(node: &Node) -> std::process::Command {
    let mut command = Node::program("gorgoned");
    command.arg("--config").arg(node.path("gorgoned.yml"));
    command
}

#[tokio::test]
async fn session_outlives_core_and_gorgoned() {
    let mut node = Node::start().await;
    let mut peer = Peer::new(&node, "old-friend");
    peer.greets().await;
    // What a session asked for is never durable without the session.
    let row = r#"[PUTLOG] [p] [] {"code":0,"token":"t","data":{}}"#;
    let frame = peer.session.seal(row).unwrap();
    peer.sender.send(vec![frame.into()]).unwrap();
    let event = peer.hears().await;
    assert!(matches!(event, Some(ClientEvent::Message(_))), "{event:?}");
    node.signal("gorgone-core", Signal::SIGKILL);
    eventually("core knows it again", async || peer.is_known().await).await;
    node.stop();
    node.launch().await;
    eventually("the next gorgoned knows it too", async || {
        peer.is_known().await
    })
    .await;
}

#[tokio::test]
async fn client_that_comes_back_under_its_name_replaces_its_session() {
    let node = Node::start().await;
    let mut first = Peer::new(&node, "same-name");
    first.greets().await;
    assert!(first.is_known().await);
    let session = std::mem::replace(
        &mut first.session,
        Session::new(config("same-name", &keys().client)),
    );
    first.leaves().await;
    let mut second = Peer::new(&node, "same-name");
    eventually("the name is free again", async || {
        let hello = second.session.hello(&mut rand::rng()).unwrap();
        let _ = second.sender.send(vec![hello.into()]);
        matches!(second.hears().await, Some(ClientEvent::Established))
    })
    .await;
    assert!(second.is_known().await);
    // The old key opens nothing any more, now that the new one has been used.
    second.session = session;
    assert!(!second.is_known().await);
}

#[tokio::test]
async fn stop_waits_for_what_runs_and_leaves_nothing_behind() {
    let mut node = Node::start().await;
    let client = node.client().await;
    let begun = node.path("begun");
    let line = format!("echo > {}; sleep 0.5; echo done", begun.display());
    let token = accepted(&client, json!({ "command": line })).await;
    eventually("it runs", async || begun.exists()).await;
    node.stop();
    for name in ["gorgoned", "gorgone-core", "gorgone-action"] {
        assert_eq!(node.pids(name), [0; 0], "{name}");
    }
    assert!(!node.path("bus.ipc").exists());
    node.launch().await;
    let row = ended(&client, &token).await;
    assert_eq!(row.code, Code::Ok, "{}", row.data);
    assert_eq!(said(&row.data)["stdout"], "done\n");
}

#[tokio::test]
async fn services_that_die_come_back_one_by_one() {
    let node = Node::start().await;
    let client = node.client().await;
    for name in ["gorgone-action", "gorgone-core"] {
        let old = node.pids(name);
        node.signal(name, Signal::SIGKILL);
        eventually("it is another one", async || {
            let now = node.pids(name);
            now.len() == 1 && now != old
        })
        .await;
        assert!(run_line(&client, "true").await);
    }
}

#[tokio::test]
async fn hangup_authorises_a_new_client_and_keeps_the_others() {
    let node = Node::start().await;
    let old = node.client().await;
    let core = node.pids("gorgone-core");
    let key = PrivateKey::generate(&mut rand::rng(), 2048).unwrap();
    let connect = async || {
        let options = ClientOptions {
            endpoint: Endpoint::parse(&node.endpoint()).unwrap(),
            identity: Identity::new(format!("new-{:x}", rand::random::<u64>()).as_bytes()),
            session: config("new", &key),
        };
        Client::connect(options, Duration::from_secs(20)).await
    };
    let refused = connect().await.err();
    assert!(
        matches!(refused, Some(ClientError::Refused { .. })),
        "{refused:?}"
    );
    let path = node.path("gorgoned.yml");
    let line = format!(
        "authorized_clients:\n    - key: {}",
        key.public().thumbprint().as_str()
    );
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("authorized_clients:", &line)).unwrap();
    node.signal("gorgoned", Signal::SIGHUP);
    eventually("it is let in", async || connect().await.is_ok()).await;
    assert!(run_line(&old, "true").await);
    assert_eq!(
        node.pids("gorgone-core"),
        core,
        "core was not restarted for it"
    );
}

#[tokio::test]
async fn hangup_with_a_wrong_configuration_changes_nothing() {
    let node = Node::start().await;
    let client = node.client().await;
    let path = node.path("gorgoned.yml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        text.replace("gorgonecore:", "gorgonecore:\n  nonsense: 1"),
    )
    .unwrap();
    node.signal("gorgoned", Signal::SIGHUP);
    eventually("it is told", async || node.log().contains("nonsense")).await;
    assert!(run_line(&client, "true").await);
    fs::write(&path, text).unwrap();
}

#[tokio::test]
async fn check_tells_what_is_wrong_beside_a_running_node() {
    let node = Node::start().await;
    let check = || {
        let mut command = gorgoned(&node);
        command.arg("check");
        finished(command)
    };
    let fine = check().await;
    assert!(fine.status.success(), "{}", all_of(&fine));
    assert!(all_of(&fine).contains("configuration is fine"));
    let path = node.path("gorgoned.yml");
    let text = fs::read_to_string(&path).unwrap();
    let wrong = text
        .replace("id: 1", "id: one")
        .replace("enable: true", "enable: true\n    tiemout: 3");
    fs::write(&path, wrong).unwrap();
    let output = check().await;
    assert_eq!(output.status.code(), Some(2));
    let words = all_of(&output);
    for part in ["gorgoned.yml:3", "gorgonecore.id", "tiemout"] {
        assert!(words.contains(part), "{part} is not in: {words}");
    }
    fs::write(&path, text).unwrap();
    assert!(run_line(&node.client().await, "true").await);
}

#[tokio::test]
async fn second_gorgoned_is_refused_and_the_first_notices_nothing() {
    let node = Node::start().await;
    let client = node.client().await;
    let second = finished(gorgoned(&node)).await;
    assert!(!second.status.success());
    let words = all_of(&second);
    assert!(
        words.contains("already runs with this configuration"),
        "{words}"
    );
    assert!(
        words.contains(&node.pids("gorgoned")[0].to_string()),
        "{words}"
    );
    assert!(run_line(&client, "true").await);
}

#[tokio::test]
async fn taken_port_is_told_with_its_place_and_starts_nothing() {
    let mut node = Node::start().await;
    node.stop();
    let address = node.endpoint();
    let held = TcpListener::bind(address.trim_start_matches("tcp://")).unwrap();
    let output = finished(gorgoned(&node)).await;
    assert!(!output.status.success());
    let words = all_of(&output);
    for part in ["gorgoned.yml:", "external_com_path", "cannot bind"] {
        assert!(words.contains(part), "{part} is not in: {words}");
    }
    assert_eq!(node.pids("gorgone-core"), [0; 0]);
    drop(held);
    node.launch().await;
    assert!(run_line(&node.client().await, "true").await);
}

#[tokio::test]
async fn what_is_asked_while_the_node_stops_is_answered_and_done_in_its_next_life() {
    let mut node = Node::start().await;
    let client = node.client().await;
    let go = node.path("go");
    let begun = node.path("begun");
    let line = format!(
        "echo > {}; while [ ! -e {} ]; do sleep 0.05; done",
        begun.display(),
        go.display()
    );
    let token = accepted(&client, json!({ "command": line, "timeout": 300 })).await;
    eventually("it runs", async || begun.exists()).await;
    node.signal("gorgoned", Signal::SIGTERM);
    // Core is there until the last command has ended: it answers, and takes requests for its
    // next life.
    let answer = ask(&client, "PING", None, Data::empty()).await.unwrap();
    assert_eq!(answer.status, Status::Ok);
    let late = accepted(&client, json!({ "command": "true" })).await;
    fs::write(&go, "").unwrap();
    node.ends();
    node.launch().await;
    for token in [token, late] {
        let row = ended(&client, &token).await;
        assert_eq!(row.code, Code::Ok, "{}", row.data);
    }
}
