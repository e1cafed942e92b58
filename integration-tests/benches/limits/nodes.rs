//! Requests to a node behind the central, and its rows on the way home: beside the same on the
//! central itself. A request to a node is written down four times, on two nodes, and its rows are
//! fetched: no part of the local rate is its aim.

use std::time::{Duration, Instant};

use gorgone_client::Client;
use gorgone_integration_tests::{Node, NodeOptions};
use gorgone_protocol::{Action, Data, Message, NodeId, Status, Target};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::commands::commands;
use crate::crowd::{Crowd, token};
use crate::sample::Sample;

const NODE: u64 = 2;
/// Rows that come home in one go.
const ROWS: usize = 20_000;
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run() {
    println!("\nCOMMAND true -> terminal row, through the central to a node");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let start = |options| runtime.block_on(Node::start_with(options));
    let limits = "  max_tasks: 10000000\n";
    let mut node = start(NodeOptions {
        id: Some(NODE),
        core: limits.to_owned(),
        ..NodeOptions::default()
    });
    let mut central = start(NodeOptions {
        core: limits.to_owned(),
        modules: "  - name: proxy\n    enable: true\n".to_owned(),
        ..NodeOptions::default()
    });
    let client = runtime.block_on(central.client());
    let written = write_rows(&node);
    let began = Instant::now();
    register(&runtime, &client, &node);
    until(&runtime, &client, |state| {
        state["mark"].as_u64().unwrap_or(0) >= ROWS as u64
    });
    let home = ROWS as f64 / began.elapsed().as_secs_f64();
    until(&runtime, &client, |state| state["state"] == "up");
    let target = Target::Node(NodeId::new(NODE));
    for clients in [1, 16] {
        let mut crowd = Crowd::with_sessions(&central.endpoint(), clients);
        let mut there = Crowd::with_sessions(&central.endpoint(), clients);
        let [local, remote] = Sample::best([
            &mut |span| commands(&mut crowd, clients, &Target::Here, span),
            &mut |span| commands(&mut there, clients, &target, span),
        ]);
        println!(
            "{clients:>5} at a time {:>6.0}/s  {}",
            remote.rate(),
            remote.spread()
        );
        println!(
            "      on the central {:>7.0}/s  {}",
            local.rate(),
            local.spread()
        );
    }
    println!(
        "\nrows of a node on the way home: {home:.0}/s of {ROWS}; by PUTLOG on the node: {:.0}/s",
        written.rate()
    );
    central.stop();
    node.stop();
}

/// Puts rows into the node's history.
fn write_rows(node: &Node) -> Sample {
    const AT_A_TIME: usize = 64;
    let mut crowd = Crowd::with_sessions(&node.endpoint(), AT_A_TIME);
    let began = Instant::now();
    let mut times = Vec::new();
    while times.len() < ROWS {
        let round = crowd.work(Duration::from_millis(100), |_, answer| {
            if let Some(answer) = answer {
                assert_eq!(answer.status, Status::Ok);
                return None;
            }
            let row = json!({ "code": 0, "token": "bench", "data": { "message": "a row" } });
            let body = Data::from_value(&row);
            Some(Message::new(Action::PutLog, Some(token()), body))
        });
        times.extend(std::iter::repeat_n(Duration::ZERO, round.count()));
    }
    Sample::new(times, began)
}

fn register(runtime: &Runtime, client: &Client, node: &Node) {
    let endpoint = node.endpoint();
    let port = endpoint.rsplit(':').next().unwrap_or_default();
    let body = json!({ "nodes": [{
        "id": NODE, "type": "push_zmq", "address": "127.0.0.1", "port": port,
        "server_pubkey": node.path("server.pub.pem"),
        "client_privkey": node.path("client.pem"),
    }]});
    let asked = client.request(
        Action::RegisterNodes,
        Target::Here,
        Data::from_value(&body),
        PATIENCE,
    );
    runtime.block_on(asked).unwrap();
}

/// Waits until the central says something of the node.
fn until(runtime: &Runtime, client: &Client, is: impl Fn(&Value) -> bool) {
    let began = Instant::now();
    loop {
        let asked = client.request(Action::ConStatus, Target::Here, Data::empty(), PATIENCE);
        let answer = runtime.block_on(asked).unwrap();
        let answer: Value = answer.data.decode().unwrap();
        if is(&answer["data"][NODE.to_string()]) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{answer}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
