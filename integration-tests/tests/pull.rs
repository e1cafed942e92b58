//! Pollers that connect to their central: real nodes on one host, cut, stalled and killed.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a helper that fails has failed its test; the counts are for whoever reads them"
)]

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use gorgone_client::{Client, ClientError};
use gorgone_crypto::PrivateKey;
use gorgone_integration_tests::{
    Forwarder, History, Node, NodeOptions, ended, eventually, keys, said, token,
};
use gorgone_protocol::{Action, Answer, Code, Data, Message, NodeId, Status, Target, Token};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_secs(60);
const POLLER: u64 = 7;
/// Commands in flight when something is killed.
const COMMANDS: usize = 300;

/// An entry of the central's `authorized_clients`: this key is that node.
fn is_node(key: &PrivateKey, node: u64) -> String {
    let thumbprint = key.public().thumbprint();
    format!("    - key: {thumbprint}\n      node: {node}\n")
}

/// A central to which node 7 may connect with the key that all nodes of these tests have.
async fn central() -> Node {
    Node::start_with(NodeOptions {
        clients: is_node(&keys().server, POLLER),
        ..NodeOptions::default()
    })
    .await
}

/// The module `pull` towards an endpoint, with these lines of its own.
fn pull(endpoint: &str, lines: &str) -> String {
    format!(
        "  - name: pull\n    enable: true\n    target: {endpoint}\n    ping: 1\n    \
         reconnect_max: 2\n    synchistory_time: 5\n{lines}\n"
    )
}

async fn poller_at(endpoint: &str, id: u64, lines: &str) -> Node {
    let known = tempfile::Builder::new().prefix("known-").tempdir().unwrap();
    let file = known.keep().join("central");
    let lines = format!("    known_central: {}\n{lines}", file.display());
    Node::start_with(NodeOptions {
        id: Some(id),
        modules: pull(endpoint, &lines),
        ..NodeOptions::default()
    })
    .await
}

async fn to(
    client: &Client,
    action: &str,
    target: Option<u64>,
    token: Option<Token>,
    data: Value,
) -> Result<Answer, ClientError> {
    let message = Message {
        action: Action::parse(action),
        token,
        target: target.map_or(Target::Here, |id| Target::Node(NodeId::new(id))),
        data: Data::from_value(&data),
    };
    client.ask(message, PATIENCE).await
}

/// What CONSTATUS says about a node.
async fn state(client: &Client, id: u64) -> Value {
    let answer = to(client, "CONSTATUS", None, None, json!({})).await;
    answer.map_or(Value::Null, |answer| {
        said(answer.data.as_str())["data"][id.to_string()].clone()
    })
}

async fn is(client: &Client, id: u64, wanted: &str) {
    eventually(&format!("node {id} is {wanted}"), async || {
        state(client, id).await["state"] == wanted
    })
    .await;
}

fn words(answer: &Answer) -> String {
    let data = said(answer.data.as_str());
    data["message"].as_str().unwrap_or_default().to_owned()
}

/// What INFORMATION of the poller says about its connection.
async fn note(client: &Client) -> String {
    let answer = to(client, "INFORMATION", None, None, json!({})).await;
    let about = answer.map_or(Value::Null, |answer| said(answer.data.as_str()));
    let note = &about["data"]["modules"]["gorgone-pull"]["note"];
    note.as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn poller_registers_itself_and_is_asked_like_any_node() {
    let central = central().await;
    let poller = poller_at(&central.endpoint(), POLLER, "").await;
    let client = central.client().await;
    is(&client, POLLER, "up").await;
    let shown = state(&client, POLLER).await;
    assert_eq!(shown["type"], "pull", "{shown}");
    assert_eq!(shown["dedups"], true, "{shown}");
    let body = json!({ "command": "echo from the poller" });
    let answer = to(&client, "COMMAND", Some(POLLER), None, body)
        .await
        .unwrap();
    assert_eq!(answer.status, Status::Ok, "{answer:?}");
    let end = ended(&client, &answer.token.unwrap()).await;
    assert_eq!(end.code, Code::Ok, "{end:?}");
    assert!(end.data.contains("from the poller"), "{end:?}");
    assert_eq!(end.node, Some(NodeId::new(POLLER)));
    // Questions are answered there.
    let answer = to(&client, "INFORMATION", Some(POLLER), None, json!({}))
        .await
        .unwrap();
    assert_eq!(
        said(answer.data.as_str())["data"]["id"],
        POLLER,
        "{answer:?}"
    );
    let answer = to(&client, "GETLOG", Some(POLLER), None, json!({}))
        .await
        .unwrap();
    assert_eq!(answer.status, Status::Ok, "{answer:?}");
    // What runs there is killed there.
    let began = poller.path("began");
    let body = json!({ "command": format!("touch {}; sleep 60", began.display()), "timeout": 70 });
    let answer = to(&client, "COMMAND", Some(POLLER), None, body)
        .await
        .unwrap();
    let long = answer.token.unwrap();
    eventually("it runs", async || began.exists()).await;
    eventually("it is away", async || {
        state(&client, POLLER).await["away"] == 1
    })
    .await;
    let cancel = json!({ "token": long.as_str() });
    let answer = to(&client, "CANCEL", None, None, cancel).await.unwrap();
    assert_eq!(words(&answer), "killed while it ran", "{answer:?}");
    assert_eq!(
        said(&ended(&client, &long).await.data)["reason"],
        "cancelled"
    );
    // The poller wrote down who asked.
    let own = poller.client().await;
    let audit = json!({ "action": "COMMAND", "limit": 1 });
    let answer = to(&own, "GETAUDIT", None, None, audit).await.unwrap();
    let row = said(answer.data.as_str())["result"][0].clone();
    assert_eq!(
        (&row["door"], &row["who"]),
        (&json!("pull"), &json!("1")),
        "{row}"
    );
    assert_eq!(note(&own).await, "central: up");
}

#[tokio::test]
async fn requests_for_a_poller_that_is_away_wait_and_go_out_in_order_when_it_is_back() {
    let central = central().await;
    let mut poller = poller_at(&central.endpoint(), POLLER, "").await;
    let client = central.client().await;
    is(&client, POLLER, "up").await;
    poller.kill_all();
    // Its core may be gone a moment before.
    eventually("it is down", async || {
        let shown = state(&client, POLLER).await;
        shown["state"] == "down" && shown["error"] == "its gorgone-pull is not connected"
    })
    .await;
    let answer = to(&client, "PING", Some(POLLER), None, json!({}))
        .await
        .unwrap();
    assert!(words(&answer).contains("is not connected"), "{answer:?}");
    let file = poller.path("order");
    let mut tokens = Vec::new();
    for number in 0..20 {
        let body = json!({ "command": format!("echo {number} >> {}", file.display()) });
        let answer = to(&client, "COMMAND", Some(POLLER), None, body)
            .await
            .unwrap();
        tokens.push(answer.token.unwrap());
    }
    let body = json!({ "command": "true", "ttl": 1 });
    let answer = to(&client, "COMMAND", Some(POLLER), None, body)
        .await
        .unwrap();
    let end = ended(&client, &answer.token.unwrap()).await;
    assert_eq!(said(&end.data)["reason"], "expired");
    poller.launch().await;
    for token in &tokens {
        assert_eq!(ended(&client, token).await.code, Code::Ok);
    }
    let lines = fs::read_to_string(&file).unwrap();
    let mut began: Vec<u32> = lines.lines().map(|line| line.parse().unwrap()).collect();
    began.sort_unstable();
    assert_eq!(began, (0..20).collect::<Vec<_>>(), "each once");
}

/// How often each command has begun.
fn begun(file: &Path) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for line in fs::read_to_string(file).unwrap_or_default().lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    counts
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Victim {
    Pull,
    PollerCore,
    PollerWhole,
    CentralCore,
    CentralWhole,
    Everything,
    /// The link stands still, both ends believing in it.
    Link,
    /// Pull is told to end, and started again.
    PullStopped,
}

/// Asks for commands on the poller.
fn flood(client: &Client, victim: Victim, file: &Path) -> JoinSet<Token> {
    let mut asked = JoinSet::new();
    for number in 0..COMMANDS {
        let client = client.clone();
        let token = token(&format!("{victim:?}-{number}"));
        let line = format!("echo {token} >> {}; sleep 0.02", file.display());
        asked.spawn(async move {
            loop {
                let body = json!({ "command": line });
                let own = Some(token.clone());
                match to(&client, "COMMAND", Some(POLLER), own, body).await {
                    Ok(answer) if answer.status == Status::Ok => return token,
                    // Core is just back, or just going: it is asked again.
                    _ => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        });
    }
    asked
}

/// A blow while hundreds of commands are in flight.
async fn survives(victim: Victim) {
    let mut central = central().await;
    let address = central.endpoint().replace("tcp://", "");
    let link = Forwarder::start(address).await;
    let mut poller = poller_at(&format!("tcp://{}", link.address()), POLLER, "").await;
    let client = central.client().await;
    is(&client, POLLER, "up").await;
    let file = central.path("begun");
    let mut asked = flood(&client, victim, &file);
    eventually("some have begun", async || {
        begun(&file).len() >= COMMANDS / 10
    })
    .await;
    match victim {
        Victim::Pull => assert!(poller.signal("gorgone-pull", Signal::SIGKILL)),
        Victim::PullStopped => assert!(poller.signal("gorgone-pull", Signal::SIGTERM)),
        Victim::PollerCore => assert!(poller.signal("gorgone-core", Signal::SIGKILL)),
        Victim::CentralCore => assert!(central.signal("gorgone-core", Signal::SIGKILL)),
        Victim::PollerWhole => {
            poller.kill_all();
            poller.launch().await;
        }
        Victim::CentralWhole => {
            central.kill_all();
            central.launch().await;
        }
        Victim::Everything => {
            poller.kill_all();
            central.kill_all();
            poller.launch().await;
            central.launch().await;
        }
        Victim::Link => link.stall(),
    }
    let mut tokens = Vec::new();
    while let Some(token) = asked.join_next().await {
        tokens.push(token.unwrap());
    }
    let mut history = History::default();
    eventually("all have ended", async || {
        history.read(&client).await;
        history.ended(&tokens) == COMMANDS
    })
    .await;
    let begun = begun(&file);
    let outcomes = history.outcomes(&tokens);
    println!("{victim:?}: accepted {} = {outcomes:?}", tokens.len());
    for token in &tokens {
        let times = begun.get(token.as_str()).copied().unwrap_or_default();
        assert!(times <= 1, "{token} ran {times} times");
        let outcome = history.outcome(token);
        assert!(
            outcome != "OK" || times == 1,
            "{token} is OK, and never ran"
        );
    }
    let expected: &[&str] = match victim {
        Victim::PollerWhole | Victim::Everything => &["OK", "unknown", "cancelled"],
        _ => &["OK"],
    };
    let surprise = outcomes
        .keys()
        .find(|outcome| !expected.contains(&outcome.as_str()));
    assert_eq!(surprise, None, "{outcomes:?}");
    if victim == Victim::Link {
        assert!(link.connections() >= 2, "it was connected anew");
    }
}

#[tokio::test]
async fn pull_is_killed() {
    survives(Victim::Pull).await;
}

#[tokio::test]
async fn pull_is_stopped_and_started() {
    survives(Victim::PullStopped).await;
}

#[tokio::test]
async fn core_of_the_poller_is_killed() {
    survives(Victim::PollerCore).await;
}

#[tokio::test]
async fn the_whole_poller_is_killed_and_comes_back() {
    survives(Victim::PollerWhole).await;
}

#[tokio::test]
async fn core_of_the_central_is_killed() {
    survives(Victim::CentralCore).await;
}

#[tokio::test]
async fn the_whole_central_is_killed_and_comes_back() {
    survives(Victim::CentralWhole).await;
}

#[tokio::test]
async fn everything_is_killed_and_comes_back() {
    survives(Victim::Everything).await;
}

#[tokio::test]
async fn the_link_stalls_with_both_ends_believing_in_it() {
    survives(Victim::Link).await;
}

#[tokio::test]
async fn a_key_that_is_not_the_nodes_cannot_be_the_node() {
    let other = PrivateKey::generate(&mut rand::rng(), 2048).unwrap();
    // The test's client has a key of its own that may do everything, and be no node.
    let central = Node::start_with(NodeOptions {
        clients: is_node(&keys().server, POLLER) + &is_node(&other, 8),
        ..NodeOptions::default()
    })
    .await;
    let client = central.client().await;
    // Another node's key, under the name of node 7: it is not even let in.
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("other.pem");
    fs::write(&file, other.to_pem().unwrap()).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&file, private).unwrap();
    let lines = format!("    client_privkey: {}", file.display());
    let thief = poller_at(&central.endpoint(), POLLER, &lines).await;
    let thief_client = thief.client().await;
    eventually("it is told so", async || {
        note(&thief_client).await.contains("refuses the handshake")
    })
    .await;
    eventually("its central says why", async || {
        central.log().contains("the name is kept for another key")
    })
    .await;
    assert!(state(&client, POLLER).await.is_null());
    // The one whose key it is comes in meanwhile, and is not disturbed.
    let poller = poller_at(&central.endpoint(), POLLER, "").await;
    is(&client, POLLER, "up").await;
    // A key that is no node's, and one that is another's, under names that nobody has kept.
    let stranger = poller_at(&central.endpoint(), 9, "").await;
    let stranger_client = stranger.client().await;
    eventually("it is told what is missing", async || {
        note(&stranger_client)
            .await
            .contains("is that of node 7, not of node 9")
    })
    .await;
    assert!(state(&client, 9).await.is_null());
    let body = json!({ "command": "true" });
    let answer = to(&client, "COMMAND", Some(POLLER), None, body)
        .await
        .unwrap();
    assert_eq!(ended(&client, &answer.token.unwrap()).await.code, Code::Ok);
    drop((poller, thief));
    // A client says what modules say: it is told that there is no such action.
    let put = json!({ "node": POLLER, "after": 0, "upto": 1, "rows": [] });
    let answer = to(&client, "PUTROWS", None, None, put).await.unwrap();
    assert_eq!(
        words(&answer),
        "action 'PUTROWS' is not known",
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_pollers_key_may_ask_its_central_for_nothing() {
    let central = central().await;
    let intruder = central.client_with("intruder", &keys().server).await;
    let body = json!({ "command": "true" });
    let answer = to(&intruder, "COMMAND", None, None, body).await.unwrap();
    assert!(words(&answer).contains("may not COMMAND"), "{answer:?}");
    // Not even under its own name, and of no other node.
    let poller = central.client_with("gorgone-pull-7", &keys().server).await;
    let ready = json!({ "actions": ["COMMAND"], "carries": ["pull"], "running": [] });
    let answer = to(&poller, "PULLREADY", None, None, ready).await.unwrap();
    assert!(words(&answer).contains("offer nothing"), "{answer:?}");
    let ready = json!({ "actions": [], "carries": ["pull"], "running": [], "epoch": "e" });
    let answer = to(&poller, "PULLREADY", None, None, ready).await.unwrap();
    assert_eq!(answer.status, Status::Ok, "{answer:?}");
    let put = json!({ "node": 8, "after": 0, "upto": 0, "rows": [] });
    let answer = to(&poller, "PUTROWS", None, None, put).await.unwrap();
    assert_eq!(
        words(&answer),
        "node 7 may not bring rows of node 8",
        "{answer:?}"
    );
}

#[tokio::test]
async fn rows_come_home_at_once_and_after_a_central_that_was_away() {
    let mut central = central().await;
    central.kill_all();
    // A central that is away at the start is waited for.
    let poller = poller_at(&central.endpoint(), POLLER, "").await;
    let own = poller.client().await;
    eventually("it says that nobody is there", async || {
        note(&own).await.contains("nobody listens")
    })
    .await;
    let mut tokens = Vec::new();
    for number in 0..50 {
        let name = token(&format!("meanwhile-{number}"));
        let body = json!({ "command": "true" });
        let answer = to(&own, "COMMAND", None, Some(name.clone()), body)
            .await
            .unwrap();
        assert_eq!(answer.status, Status::Ok, "{answer:?}");
        tokens.push(name);
    }
    for name in &tokens {
        ended(&own, name).await;
    }
    central.launch().await;
    let client = central.client().await;
    let mut history = History::default();
    eventually("all rows are at home", async || {
        history.read(&client).await;
        history.ended(&tokens) == tokens.len()
    })
    .await;
    // What runs on the poller by itself is at home without being asked for.
    let name = token("later");
    let body = json!({ "command": "true" });
    to(&own, "COMMAND", None, Some(name.clone()), body)
        .await
        .unwrap();
    tokens.push(name);
    eventually("its rows come at once", async || {
        history.read(&client).await;
        history.ended(&tokens) == tokens.len()
    })
    .await;
    assert_eq!(history.outcomes(&tokens)["OK"], tokens.len());
}

#[tokio::test]
async fn central_with_another_key_is_refused_and_shown() {
    let other = PrivateKey::generate(&mut rand::rng(), 2048).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("central.pem");
    fs::write(&file, other.public().to_pem().unwrap()).unwrap();
    let central = central().await;
    let lines = format!("    central_pubkey: {}", file.display());
    let poller = poller_at(&central.endpoint(), POLLER, &lines).await;
    let own = poller.client().await;
    eventually("it is shown", async || {
        note(&own).await.contains("key_changed")
    })
    .await;
    let client = central.client().await;
    assert!(state(&client, POLLER).await.is_null());
    // The right one is put in its place; the next attempt reads it.
    fs::write(&file, keys().server.public().to_pem().unwrap()).unwrap();
    is(&client, POLLER, "up").await;
}

#[tokio::test]
async fn session_survives_a_restart_of_the_central_without_another_handshake() {
    let mut central = central().await;
    let poller = poller_at(&central.endpoint(), POLLER, "").await;
    let client = central.client().await;
    is(&client, POLLER, "up").await;
    // A central that cannot make new sessions: whoever has one goes on.
    central.stop();
    let config = fs::read_to_string(central.path("gorgoned.yml")).unwrap();
    let key = central.path("server.pem");
    central.launch().await;
    let client = central.client().await;
    is(&client, POLLER, "up").await;
    let handshakes = poller.log().matches("it has forgotten the session").count();
    assert_eq!(handshakes, 0, "{}", poller.log());
    // One whose database is gone has forgotten it; both find back by themselves.
    central.kill_all();
    for name in ["gorgone.sdb", "gorgone.sdb-wal", "gorgone.sdb-shm"] {
        let _ = fs::remove_file(central.path(name));
    }
    assert!(config.contains(&key.display().to_string()));
    central.launch().await;
    let client = central.client().await;
    is(&client, POLLER, "up").await;
    assert!(poller.log().contains("it has forgotten the session"));
}

#[tokio::test]
async fn chain_goes_on_behind_a_poller_and_ends_at_one() {
    // central ◀─pull─ 7 ─push_zmq─▶ 8; and 8 ◀─pull─ 9.
    let last_key = PrivateKey::generate(&mut rand::rng(), 2048).unwrap();
    let central = central().await;
    let middle = Node::start_with(NodeOptions {
        id: Some(8),
        clients: is_node(&last_key, 9),
        ..NodeOptions::default()
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("registernodes.yml");
    let port = middle.endpoint();
    let port = port.rsplit(':').next().unwrap_or_default().to_owned();
    let entry = format!(
        "nodes:\n  - id: 8\n    type: push_zmq\n    address: 127.0.0.1\n    port: {port}\n    \
         server_pubkey: {}\n    client_privkey: {}\n",
        middle.path("server.pub.pem").display(),
        middle.path("client.pem").display(),
    );
    fs::write(&list, entry).unwrap();
    let modules = format!(
        "{}    known_central: {}\n  - name: proxy\n    enable: true\n    ping: 1\n  - name: register\n    \
         enable: true\n    config_file: {}\n",
        pull(&central.endpoint(), ""),
        dir.path().join("known").display(),
        list.display()
    );
    let poller = Node::start_with(NodeOptions {
        id: Some(POLLER),
        modules,
        ..NodeOptions::default()
    })
    .await;
    let file = dir.path().join("last.pem");
    fs::write(&file, last_key.to_pem().unwrap()).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&file, private).unwrap();
    let lines = format!("    client_privkey: {}", file.display());
    let last = poller_at(&middle.endpoint(), 9, &lines).await;
    let client = central.client().await;
    for target in [POLLER, 8, 9] {
        // The way is learnt with a ping.
        eventually("there is a way", async || {
            let answer = to(&client, "PING", Some(target), None, json!({})).await;
            answer.is_ok_and(|answer| answer.status == Status::Ok)
        })
        .await;
        let token = token(&format!("to-{target}"));
        let body = json!({ "command": format!("echo here is {target}") });
        let answer = to(&client, "COMMAND", Some(target), Some(token.clone()), body).await;
        assert_eq!(answer.unwrap().status, Status::Ok);
        let end = ended(&client, &token).await;
        assert!(end.data.contains(&format!("here is {target}")), "{end:?}");
        assert_eq!(
            end.node,
            Some(NodeId::new(POLLER)),
            "by the way that it came"
        );
    }
    drop((last, poller));
}
