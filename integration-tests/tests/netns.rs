//! Three nodes on machines of their own, central → remote → poller, and links between them that
//! drop packets, flap, and heal. The clocks of two of them are an hour wrong.
//!
//! `GORGONE_SECONDS` says how long a link flaps.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a helper that fails has failed its test; the counts, and what is skipped, are for \
              whoever reads them"
)]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gorgone_client::{Client, ClientError};
use gorgone_integration_tests::{
    History, Machines, Node, NodeOptions, Place, ended, eventually, said, token,
};
use gorgone_protocol::{Action, Answer, Code, Data, Message, NodeId, Status, Target, Token};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use serde_json::{Value, json};
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_secs(60);
const REMOTE: u64 = 2;
const POLLER: u64 = 3;
const COMMANDS: usize = 150;
const HOUR: i64 = 3600;

struct Fleet {
    central: Node,
    remote: Node,
    poller: Node,
    machines: Machines,
    _dir: tempfile::TempDir,
}

/// Modules that connect the node below, which the file of nodes names.
fn modules(list: &Path, child: &Node, (id, address): (u64, String), behind: &str) -> String {
    let endpoint = child.endpoint();
    let port = endpoint.rsplit(':').next().unwrap();
    let text = format!(
        "nodes:\n  - id: {id}\n    type: push_zmq\n    address: {address}\n    port: {port}\n    \
         server_pubkey: {}\n    client_privkey: {}\n    nodes: [{behind}]\n",
        child.path("server.pub.pem").display(),
        child.path("client.pem").display(),
    );
    fs::write(list, text).unwrap();
    format!(
        "  - name: proxy\n    enable: true\n    ping: 2\n    pong_discard_timeout: 4\n    \
         synchistory_time: 5\n    reconnect_max: 2\n  - name: register\n    enable: true\n    \
         config_file: {}\n",
        list.display()
    )
}

impl Fleet {
    /// None where this machine cannot have it.
    async fn start() -> Option<Self> {
        let machines = match Machines::new(3) {
            Ok(machines) => machines,
            Err(words) => {
                println!(
                    "SKIPPED: nodes on machines of their own need root, iproute2 and iptables: {words}"
                );
                return None;
            }
        };
        if !Place::has_clocks() {
            println!("SKIPPED: wrong clocks need libfaketime (Debian's package faketime)");
        }
        let dir = tempfile::tempdir().unwrap();
        let poller = Node::start_with(NodeOptions {
            id: Some(POLLER),
            place: Some(machines.place(2, HOUR)),
            ..NodeOptions::default()
        })
        .await;
        let list = dir.path().join("behind.yml");
        let remote = Node::start_with(NodeOptions {
            id: Some(REMOTE),
            modules: modules(&list, &poller, (POLLER, machines.below(2)), ""),
            place: Some(machines.place(1, -HOUR)),
            ..NodeOptions::default()
        })
        .await;
        let list = dir.path().join("registernodes.yml");
        let central = Node::start_with(NodeOptions {
            modules: modules(&list, &remote, (REMOTE, machines.below(1)), "3"),
            place: Some(machines.place(0, 0)),
            ..NodeOptions::default()
        })
        .await;
        let fleet = Self {
            central,
            remote,
            poller,
            machines,
            _dir: dir,
        };
        fleet.is("up").await;
        Some(fleet)
    }

    /// Waits until both links are so.
    async fn is(&self, wanted: &str) {
        for (node, id) in [(&self.central, REMOTE), (&self.remote, POLLER)] {
            let client = node.client().await;
            eventually("the link is as it should be", async || {
                state(&client, id).await["state"] == wanted
            })
            .await;
        }
    }
}

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

async fn accepted(client: &Client, action: &str, target: u64, data: Value) -> Token {
    let answer = to(client, action, Some(target), None, data).await.unwrap();
    assert_eq!(answer.status, Status::Ok, "{answer:?}");
    answer.token.unwrap()
}

#[tokio::test]
async fn commands_and_engine_lines_run_two_machines_away_and_their_rows_come_home() {
    let Some(fleet) = Fleet::start().await else {
        return;
    };
    let client = fleet.central.client().await;
    // Which machine it is shows in its network.
    for (target, link) in [(REMOTE, "below"), (POLLER, "above")] {
        let body = json!({ "command": "cat /proc/net/dev" });
        let end = ended(&client, &accepted(&client, "COMMAND", target, body).await).await;
        assert_eq!(end.code, Code::Ok);
        let stdout = said(&end.data)["stdout"].to_string();
        assert!(stdout.contains(&format!("{link}:")), "{stdout}");
        assert_eq!(stdout.contains("below:"), target == REMOTE, "{stdout}");
    }
    for (target, clock) in [(REMOTE, -HOUR), (POLLER, HOUR)] {
        let body = json!({ "command": "date +%s" });
        let end = ended(&client, &accepted(&client, "COMMAND", target, body).await).await;
        let stdout = said(&end.data)["stdout"].as_str().unwrap().to_owned();
        let wrong = stdout.trim().parse::<i64>().unwrap() - end.ctime;
        let expected = if Place::has_clocks() { clock } else { 0 };
        assert!((wrong - expected).abs() < 120, "{target}: {wrong} s");
    }
    let pipe = fleet.poller.path("engine.cmd");
    nix::unistd::mkfifo(&pipe, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let reader = pipe.clone();
    let line = tokio::task::spawn_blocking(move || fs::read_to_string(reader).unwrap());
    let body = json!({ "command": "[1] RESTART_PROGRAM", "engine_pipe": pipe });
    let end = ended(
        &client,
        &accepted(&client, "ENGINECOMMAND", POLLER, body).await,
    )
    .await;
    assert_eq!(end.code, Code::Ok, "{}", end.data);
    assert_eq!(line.await.unwrap(), "[1] RESTART_PROGRAM\n");
    // The truth: up, then down with the reason, then up again.
    fleet.machines.cut(1);
    eventually("the central sees that the remote is away", async || {
        let state = state(&client, REMOTE).await;
        state["state"] == "down" && state["error"].is_string()
    })
    .await;
    fleet.machines.heal(1);
    fleet.is("up").await;
    assert_eq!(state(&client, REMOTE).await["behind"], 0);
}

/// How often each command has begun.
fn begun(file: &Path) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for line in fs::read_to_string(file).unwrap_or_default().lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    counts
}

/// Asks for commands on the remote and on the poller, half and half, over some seconds.
fn flood(client: &Client, name: &str, file: &Path) -> JoinSet<Token> {
    let mut asked = JoinSet::new();
    for number in 0..COMMANDS {
        let client = client.clone();
        let token = token(&format!("{name}-{number}"));
        let line = format!("echo {token} >> {}; sleep 0.02", file.display());
        let target = if number % 2 == 0 { REMOTE } else { POLLER };
        asked.spawn(async move {
            tokio::time::sleep(Duration::from_millis(20) * u32::try_from(number).unwrap()).await;
            loop {
                let body = json!({ "command": line });
                let answer = to(&client, "COMMAND", Some(target), Some(token.clone()), body).await;
                match answer {
                    Ok(answer) if answer.status == Status::Ok => return token,
                    _ => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        });
    }
    asked
}

/// Commands are asked for, and rows come home, while this goes on.
async fn survives(name: &str, fleet: &mut Fleet, fault: impl AsyncFnOnce(&mut Fleet)) {
    let client = fleet.central.client().await;
    let file: PathBuf = fleet.central.path(&format!("begun-{name}"));
    let mut asked = flood(&client, name, &file);
    eventually("some have begun", async || begun(&file).len() >= 10).await;
    fault(fleet).await;
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
    println!("{name}: accepted {} = {outcomes:?}", tokens.len());
    for token in &tokens {
        let times = begun.get(token.as_str()).copied().unwrap_or_default();
        let outcome = history.outcome(token);
        assert!(times <= 1, "{token} ran {times} times");
        assert!(outcome != "OK" || times == 1, "{token} is OK and never ran");
        let rows = history.of(token.as_str());
        let ends = rows.iter().filter(|row| row.code.is_terminal()).count();
        assert_eq!(ends, 1, "{token} has one end");
    }
    let allowed = ["OK", "unknown"];
    let strange = outcomes.keys().find(|end| !allowed.contains(&end.as_str()));
    assert_eq!(strange, None, "{outcomes:?}");
    // A link does not run anything, and loses nothing.
    if name != "killed" {
        assert_eq!(outcomes.get("OK"), Some(&COMMANDS), "{outcomes:?}");
    }
}

fn flapping() -> Duration {
    let seconds = std::env::var("GORGONE_SECONDS").ok();
    Duration::from_secs(seconds.and_then(|text| text.parse().ok()).unwrap_or(6))
}

#[tokio::test]
async fn what_was_accepted_ends_once_while_links_drop_packets_and_nodes_come_and_go() {
    let Some(mut fleet) = Fleet::start().await else {
        return;
    };
    survives("cut", &mut fleet, async |fleet| {
        for link in [1, 2] {
            fleet.machines.cut(link);
        }
        // For longer than a silent node is waited for.
        tokio::time::sleep(Duration::from_secs(6)).await;
        for link in [1, 2] {
            fleet.machines.heal(link);
        }
    })
    .await;
    survives("flapping", &mut fleet, async |fleet| {
        let begin = Instant::now();
        while begin.elapsed() < flapping() {
            for link in [1, 2] {
                fleet.machines.cut(link);
                tokio::time::sleep(Duration::from_millis(500)).await;
                fleet.machines.heal(link);
            }
        }
    })
    .await;
    survives("deaf", &mut fleet, async |fleet| {
        assert!(fleet.poller.signal("gorgone-core", Signal::SIGSTOP));
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(fleet.poller.signal("gorgone-core", Signal::SIGCONT));
    })
    .await;
    survives("killed", &mut fleet, async |fleet| {
        fleet.poller.kill_all();
        tokio::time::sleep(Duration::from_secs(1)).await;
        fleet.poller.launch().await;
    })
    .await;
}
