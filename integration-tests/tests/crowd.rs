//! Two thousand nodes on one central: all connected, pinged, one command to each; and a tenth
//! of them dead or flapping; and two proxies, one of which is killed. `cargo test --test crowd -- --nocapture` shows the figures.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a helper that fails has failed its test, and figures are for whoever reads"
)]

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use gorgone_client::Client;
use gorgone_integration_tests::{Crowd, History, Node, NodeOptions, ended, eventually, said};
use gorgone_protocol::{Action, Code, Data, Message, NodeId, Status, Target, Token};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);
const NODES: u64 = 2000;
/// Dead or flapping.
const BAD: u64 = NODES / 10;
/// Commands that are timed one by one.
const TIMED: u64 = 150;

async fn request(client: &Client, action: Action, target: Target, data: Value) -> Value {
    let message = Message {
        action,
        token: Some(Token::from_random(rand::random())),
        target,
        data: Data::from_value(&data),
    };
    let answer = client.ask(message, PATIENCE).await.unwrap();
    assert_eq!(answer.status, Status::Ok, "{}", answer.data.as_str());
    answer.data.decode().unwrap()
}

async fn register(client: &Client, nodes: Vec<Value>) {
    let body = json!({ "nodes": nodes });
    request(client, Action::RegisterNodes, Target::Here, body).await;
}

/// How many nodes are up, and how many pings were answered.
async fn up(client: &Client) -> (usize, u64) {
    let answer = request(client, Action::ConStatus, Target::Here, json!({})).await;
    let nodes = answer["data"].as_object().unwrap();
    let up = nodes.values().filter(|node| node["state"] == "up").count();
    let pings = nodes.values().filter_map(|node| node["ping_ok"].as_u64());
    (up, pings.sum())
}

async fn command(client: &Client, node: u64) -> Token {
    let token = Token::from_random(rand::random());
    let message = Message {
        action: Action::Command,
        token: Some(token.clone()),
        target: Target::Node(NodeId::new(node)),
        data: Data::from_value(&json!({ "command": "true" })),
    };
    let answer = client.ask(message, PATIENCE).await.unwrap();
    assert_eq!(answer.status, Status::Ok, "{}", answer.data.as_str());
    token
}

/// Times commands to one node after another, from the request to its last row here.
async fn timed(client: &Client, good: u64) -> (Duration, Duration) {
    let mut times = Vec::new();
    for number in 0..TIMED {
        let began = Instant::now();
        let token = command(client, 1000 + number * 7919 % good).await;
        let row = ended(client, &token).await;
        assert_eq!(row.code, Code::Ok, "{}", row.data);
        times.push(began.elapsed());
    }
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

struct Process {
    pid: i32,
}

impl Process {
    fn of(node: &Node, name: &str) -> Self {
        Self {
            pid: node.pids(name)[0],
        }
    }

    /// Resident kilobytes.
    fn memory(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS"));
        line.unwrap()
            .split_whitespace()
            .nth(1)
            .unwrap()
            .parse()
            .unwrap()
    }

    /// Processor seconds.
    fn busy(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let fields: Vec<_> = fields.split_whitespace().collect();
        let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
        (ticks(11) + ticks(12)) / 100.0
    }
}

#[tokio::test]
async fn two_thousand_nodes_are_served_and_a_bad_tenth_of_them_disturbs_nobody() {
    let crowd = Crowd::start();
    let node = Node::start_with(NodeOptions {
        modules: "  - name: proxy\n    enable: true\n".to_owned(),
        ..NodeOptions::default()
    })
    .await;
    let client = node.client().await;
    let good = NODES - BAD;
    eventually("the proxy is there", async || {
        !node.pids("gorgone-proxy").is_empty()
    })
    .await;
    let (proxy, core) = (
        Process::of(&node, "gorgone-proxy"),
        Process::of(&node, "gorgone-core"),
    );
    let before = (proxy.memory(), core.memory());

    let began = Instant::now();
    let definitions = (0..good).map(|number| crowd.definition(1000 + number));
    register(&client, definitions.collect()).await;
    eventually("all are up and pinged", async || {
        let (up, pings) = up(&client).await;
        up as u64 == good && pings >= good
    })
    .await;
    println!(
        "{good} nodes up and pinged in {:.1} s; processor: proxy {:.1} s, core {:.1} s",
        began.elapsed().as_secs_f64(),
        proxy.busy(),
        core.busy()
    );
    let per_node = (proxy.memory() - before.0) / good as f64;
    println!(
        "memory per node: proxy {per_node:.1} kB, core {:.1} kB",
        (core.memory() - before.1) / good as f64
    );
    assert!(per_node < 30.0, "{per_node} kB per node");

    let quiet = timed(&client, good).await;
    println!("command to one node: p50 {:?}, p99 {:?}", quiet.0, quiet.1);

    let bad = (0..BAD).map(|number| match number % 2 {
        0 => crowd.dead(9000 + number),
        _ => crowd.flapping(9000 + number),
    });
    register(&client, bad.collect()).await;
    let disturbed = timed(&client, good).await;
    println!(
        "with {BAD} more that are dead or flap: p50 {:?}, p99 {:?}",
        disturbed.0, disturbed.1
    );
    assert_eq!(up(&client).await.0 as u64, good);

    let began = Instant::now();
    let (busy, core_busy) = (proxy.busy(), core.busy());
    let mut asked = tokio::task::JoinSet::new();
    for number in 0..good {
        let client = client.clone();
        asked.spawn(async move { command(&client, 1000 + number).await });
    }
    let tokens = asked.join_all().await;
    println!(
        "a command to each of {good}: accepted after {:.1} s",
        began.elapsed().as_secs_f64()
    );
    for token in &tokens {
        let row = ended(&client, token).await;
        assert_eq!(row.code, Code::Ok, "{}", row.data);
        assert_eq!(said(&row.data)["message"], "simulated");
    }
    println!(
        "ended here after {:.1} s; processor: proxy {:.1} s, core {:.1} s",
        began.elapsed().as_secs_f64(),
        proxy.busy() - busy,
        core.busy() - core_busy
    );
}

/// A proxy beside the one that gorgoned starts; killed when it is dropped.
struct Second(Child);

impl Second {
    fn start(node: &Node) -> Self {
        let child = Node::program("gorgone-proxy")
            .arg("--config")
            .arg(node.path("gorgoned.yml"))
            .env("GORGONE_MODULES__PROXY__INSTANCE", "second")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How many nodes each instance has.
async fn owners(client: &Client) -> BTreeMap<String, usize> {
    let answer = request(client, Action::ConStatus, Target::Here, json!({})).await;
    let mut owners = BTreeMap::new();
    for node in answer["data"].as_object().unwrap().values() {
        if node["state"] == "up" {
            let proxy = node["proxy"].as_str().unwrap_or_default();
            *owners.entry(proxy.to_owned()).or_default() += 1;
        }
    }
    owners
}

#[tokio::test]
async fn nodes_of_a_proxy_that_is_killed_are_taken_over_and_no_command_is_lost() {
    let crowd = Crowd::start();
    let node = Node::start_with(NodeOptions {
        modules: "  - name: proxy\n    enable: true\n".to_owned(),
        core: "  module_grace: 1\n".to_owned(),
        ..NodeOptions::default()
    })
    .await;
    let client = node.client().await;
    let mut second = Some(Second::start(&node));
    let definitions = (0..40).map(|number| crowd.definition(1000 + number));
    register(&client, definitions.collect()).await;
    eventually("both have some of them", async || {
        let owners = owners(&client).await;
        owners.len() == 2 && owners.values().sum::<usize>() == 40
    })
    .await;
    let mut tokens = Vec::new();
    for number in 0..400 {
        tokens.push(command(&client, 1000 + number % 40).await);
        if number == 200 {
            second.take();
        }
    }
    for token in &tokens {
        let row = ended(&client, token).await;
        assert_eq!(row.code, Code::Ok, "{}", row.data);
    }
    let owners = owners(&client).await;
    assert_eq!(owners, [("gorgone-proxy".to_owned(), 40)].into());
    // Each row of a node is here once, whoever brought it.
    let mut history = History::default();
    history.read(&client).await;
    assert_eq!(history.outcomes(&tokens), [("OK".to_owned(), 400)].into());
}
