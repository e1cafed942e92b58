//! A central, a remote behind it, and a poller behind that: real nodes on one host. Requests go
//! out, rows come home, and what was accepted ends once whatever is killed.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a helper that fails has failed its test; the counts are for whoever reads them"
)]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gorgone_client::{Client, ClientError};
use gorgone_integration_tests::{History, Node, NodeOptions, ended, eventually, said, token};
use gorgone_protocol::{Action, Answer, Code, Data, Message, NodeId, Status, Target, Token};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_secs(60);
const REMOTE: u64 = 2;
const POLLER: u64 = 3;
/// Commands in flight when something is killed.
const COMMANDS: usize = 300;

struct Fleet {
    central: Node,
    remote: Node,
    poller: Node,
    /// The central's file of nodes.
    list: PathBuf,
    _dir: tempfile::TempDir,
}

/// How long a silent node is waited for: `pong_discard_timeout`.
const SILENCE: Duration = Duration::from_secs(4);

const PROXY: &str = "  - name: proxy\n    enable: true\n    ping: 2\n    \
                     pong_discard_timeout: 4\n    synchistory_time: 5\n    reconnect_max: 2\n";

/// An entry of a file of nodes.
fn entry(id: u64, node: &Node, behind: &str) -> String {
    let port = node.endpoint();
    let port = port.rsplit(':').next().unwrap_or_default().to_owned();
    format!(
        "  - id: {id}\n    type: push_zmq\n    address: 127.0.0.1\n    port: {port}\n    \
         server_pubkey: {}\n    client_privkey: {}\n    nodes: [{behind}]\n",
        node.path("server.pub.pem").display(),
        node.path("client.pem").display(),
    )
}

impl Fleet {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("registernodes.yml");
        let behind = dir.path().join("behind.yml");
        let modules = |list: &Path| {
            let file = list.display();
            format!("{PROXY}  - name: register\n    enable: true\n    config_file: {file}\n")
        };
        let poller = Node::start_with(NodeOptions {
            id: Some(POLLER),
            ..NodeOptions::default()
        })
        .await;
        fs::write(&behind, format!("nodes:\n{}", entry(POLLER, &poller, ""))).unwrap();
        let remote = Node::start_with(NodeOptions {
            id: Some(REMOTE),
            modules: modules(&behind),
            ..NodeOptions::default()
        })
        .await;
        fs::write(&list, format!("nodes:\n{}", entry(REMOTE, &remote, "3"))).unwrap();
        let central = Node::start_with(NodeOptions {
            modules: modules(&list),
            ..NodeOptions::default()
        })
        .await;
        let fleet = Self {
            central,
            remote,
            poller,
            list,
            _dir: dir,
        };
        fleet.is_up().await;
        fleet
    }

    /// Waits until the remote is up for the central, and the poller for the remote.
    async fn is_up(&self) {
        for (node, id) in [(&self.central, REMOTE), (&self.remote, POLLER)] {
            let client = node.client().await;
            eventually("the node is up", async || {
                state(&client, id).await["state"] == "up"
            })
            .await;
        }
    }
}

/// What CONSTATUS says about a node.
async fn state(client: &Client, id: u64) -> Value {
    let answer = to(client, "CONSTATUS", None, None, json!({})).await;
    answer.map_or(Value::Null, |answer| {
        said(answer.data.as_str())["data"][id.to_string()].clone()
    })
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

fn words(answer: &Answer) -> String {
    let data = said(answer.data.as_str());
    data["message"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn request_is_run_on_the_node_behind_a_node_and_its_rows_come_home() {
    let fleet = Fleet::start().await;
    let client = fleet.central.client().await;
    for target in [REMOTE, POLLER] {
        let body = json!({ "command": format!("echo here is {target}") });
        let answer = to(&client, "COMMAND", Some(target), None, body)
            .await
            .unwrap();
        assert_eq!(answer.status, Status::Ok, "{answer:?}");
        let end = ended(&client, &answer.token.unwrap()).await;
        assert_eq!(end.code, Code::Ok, "{end:?}");
        assert!(
            end.data.contains(&format!("here is {target}")),
            "{}",
            end.data
        );
        assert_eq!(
            end.node,
            Some(NodeId::new(REMOTE)),
            "by the way that it came"
        );
    }
    // Questions are answered there.
    let answer = to(&client, "INFORMATION", Some(POLLER), None, json!({}))
        .await
        .unwrap();
    assert_eq!(said(answer.data.as_str())["data"]["id"], POLLER);
    let answer = to(&client, "GETLOG", Some(POLLER), None, json!({}))
        .await
        .unwrap();
    assert_eq!(answer.status, Status::Ok, "{answer:?}");
    let answer = to(&client, "PING", Some(99), None, json!({}))
        .await
        .unwrap();
    assert_eq!(words(&answer), "no route to node 99");
    // What runs two nodes away is killed there.
    let began = fleet.poller.path("began");
    let line = format!("touch {}; sleep 60", began.display());
    let body = json!({ "command": line, "timeout": 70 });
    let answer = to(&client, "COMMAND", Some(POLLER), None, body)
        .await
        .unwrap();
    let long = answer.token.unwrap();
    eventually("it runs", async || began.exists()).await;
    // And its node has told so.
    eventually("it is away", async || {
        state(&client, REMOTE).await["away"] == 1
    })
    .await;
    let cancel = json!({ "token": long.as_str() });
    let answer = to(&client, "CANCEL", None, None, cancel).await.unwrap();
    assert_eq!(words(&answer), "killed while it ran", "{answer:?}");
    let end = ended(&client, &long).await;
    assert_eq!(said(&end.data)["reason"], "cancelled");
    let remote = state(&client, REMOTE).await;
    assert_eq!(remote["dedups"], true, "{remote}");
    assert_eq!(remote["nodes"], json!({ "3": 1 }));
    assert_eq!(
        (&remote["waiting"], &remote["away"]),
        (&json!(0), &json!(0))
    );
}

#[tokio::test]
async fn file_of_nodes_is_followed_without_a_restart() {
    let fleet = Fleet::start().await;
    let client = fleet.central.client().await;
    let nobody =
        "  - { id: 9, type: push_zmq, address: 127.0.0.1, port: 1, server_pubkey: none }\n";
    let remote = entry(REMOTE, &fleet.remote, "");
    let poller = entry(POLLER, &fleet.poller, "");
    fs::write(&fleet.list, format!("nodes:\n{remote}{poller}{nobody}")).unwrap();
    eventually("the new node is up", async || {
        state(&client, POLLER).await["state"] == "up"
    })
    .await;
    // A mistake changes nothing and is told with its line.
    fs::write(&fleet.list, "nodes:\n  - id: 2\n    type: pusch_zmq\n").unwrap();
    eventually("the mistake is told", async || {
        let log = fleet.central.log();
        log.contains("registernodes.yml:3:11: nodes[0].type")
    })
    .await;
    assert_eq!(state(&client, POLLER).await["state"], "up");
    // What waits for a node that is listed no more cannot be brought there.
    let why = state(&client, 9).await["error"].clone();
    assert!(
        why.as_str().is_some_and(|why| why.contains("none")),
        "{why}"
    );
    let body = json!({ "command": "true" });
    let answer = to(&client, "COMMAND", Some(9), None, body).await.unwrap();
    let waiting = answer.token.unwrap();
    assert_eq!(state(&client, 9).await["waiting"], 1);
    fs::write(&fleet.list, format!("nodes:\n{remote}{poller}")).unwrap();
    let end = ended(&client, &waiting).await;
    assert_eq!(said(&end.data)["reason"], "unreachable", "{end:?}");
    assert!(state(&client, 9).await.is_null());
}

#[tokio::test]
async fn requests_for_a_node_that_is_away_wait_and_go_out_in_order_when_it_is_back() {
    let mut fleet = Fleet::start().await;
    let client = fleet.central.client().await;
    fleet.remote.kill_all();
    eventually("the node is down", async || {
        state(&client, REMOTE).await["state"] != "up"
    })
    .await;
    let file = fleet.remote.path("order");
    let mut tokens = Vec::new();
    for number in 0..20 {
        let line = format!("echo {number} >> {}", file.display());
        let body = json!({ "command": line });
        let answer = to(&client, "COMMAND", Some(REMOTE), None, body)
            .await
            .unwrap();
        tokens.push(answer.token.unwrap());
    }
    let body = json!({ "command": "true", "ttl": 1 });
    let answer = to(&client, "COMMAND", Some(REMOTE), None, body)
        .await
        .unwrap();
    let end = ended(&client, &answer.token.unwrap()).await;
    assert_eq!(said(&end.data)["reason"], "expired");
    assert_eq!(state(&client, REMOTE).await["waiting"], 20);
    fleet.remote.launch().await;
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
    CentralProxy,
    CentralCore,
    RemoteCore,
    RemoteProxy,
    RemoteWhole,
    CentralWhole,
    /// It neither answers nor refuses for longer than the proxy waits, then goes on.
    RemoteSilent,
}

/// Asks for commands on the remote and on the poller, half and half.
fn flood(client: &Client, victim: Victim, file: &Path) -> JoinSet<Token> {
    let mut asked = JoinSet::new();
    for number in 0..COMMANDS {
        let client = client.clone();
        let token = token(&format!("{victim:?}-{number}"));
        let line = format!("echo {token} >> {}; sleep 0.02", file.display());
        let target = if number % 2 == 0 { REMOTE } else { POLLER };
        asked.spawn(async move {
            loop {
                let body = json!({ "command": line });
                let own = Some(token.clone());
                let answer = to(&client, "COMMAND", Some(target), own, body).await;
                match answer {
                    Ok(answer) if answer.status == Status::Ok => return token,
                    // Core is just back, or just going: it is asked again.
                    _ => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        });
    }
    asked
}

async fn strike(fleet: &mut Fleet, victim: Victim) {
    let (node, program) = match victim {
        Victim::CentralProxy => (&fleet.central, "gorgone-proxy"),
        Victim::CentralCore => (&fleet.central, "gorgone-core"),
        Victim::RemoteProxy => (&fleet.remote, "gorgone-proxy"),
        Victim::RemoteCore => (&fleet.remote, "gorgone-core"),
        Victim::RemoteWhole => {
            fleet.remote.kill_all();
            tokio::time::sleep(Duration::from_secs(1)).await;
            return fleet.remote.launch().await;
        }
        Victim::CentralWhole => {
            fleet.central.kill_all();
            return fleet.central.launch().await;
        }
        Victim::RemoteSilent => {
            assert!(fleet.remote.signal("gorgone-core", Signal::SIGSTOP));
            tokio::time::sleep(SILENCE + Duration::from_secs(4)).await;
            assert!(fleet.remote.signal("gorgone-core", Signal::SIGCONT));
            return;
        }
    };
    assert!(node.signal(program, Signal::SIGKILL), "{victim:?} is there");
}

/// A blow while hundreds of commands are in flight through all three nodes.
async fn survives(victim: Victim) {
    let mut fleet = Fleet::start().await;
    let client = fleet.central.client().await;
    let file = fleet.central.path("begun");
    let mut asked = flood(&client, victim, &file);
    eventually("some have begun", async || {
        begun(&file).len() >= COMMANDS / 10
    })
    .await;
    strike(&mut fleet, victim).await;
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
    println!(
        "{victim:?} killed: accepted {} = {outcomes:?}",
        tokens.len()
    );
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
        Victim::RemoteWhole => &["OK", "unknown", "cancelled"],
        _ => &["OK"],
    };
    let surprise = outcomes
        .keys()
        .find(|outcome| !expected.contains(&outcome.as_str()));
    assert_eq!(surprise, None, "{outcomes:?}");
}

#[tokio::test]
async fn proxy_of_the_central_is_killed() {
    survives(Victim::CentralProxy).await;
}

#[tokio::test]
async fn core_of_the_central_is_killed() {
    survives(Victim::CentralCore).await;
}

#[tokio::test]
async fn core_of_the_remote_is_killed() {
    survives(Victim::RemoteCore).await;
}

#[tokio::test]
async fn proxy_of_the_remote_is_killed() {
    survives(Victim::RemoteProxy).await;
}

#[tokio::test]
async fn the_whole_remote_is_killed_and_comes_back() {
    survives(Victim::RemoteWhole).await;
}

#[tokio::test]
async fn the_whole_central_is_killed_and_comes_back() {
    survives(Victim::CentralWhole).await;
}

#[tokio::test]
async fn the_remote_is_silent_for_a_while() {
    survives(Victim::RemoteSilent).await;
}
