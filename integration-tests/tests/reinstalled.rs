//! A poller that comes back under its id with an empty database, or with an older copy of it:
//! its rows come home all the same, and what it has forgotten ends.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a helper that fails has failed its test; the counts are for whoever reads them"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gorgone_client::Client;
use gorgone_integration_tests::{History, Node, NodeOptions, ended, eventually, said};
use gorgone_protocol::{Action, Code, Data, Message, NodeId, Status, Target, Token};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(60);
const REMOTE: u64 = 2;
const POLLER: u64 = 3;

/// A node whose file of nodes has this one.
async fn above(child: &Node, id: u64, behind: &str, own: Option<u64>, list: &Path) -> Node {
    let endpoint = child.endpoint();
    let port = endpoint.rsplit(':').next().unwrap();
    let text = format!(
        "nodes:\n  - id: {id}\n    type: push_zmq\n    address: 127.0.0.1\n    port: {port}\n    \
         server_pubkey: {}\n    client_privkey: {}\n    nodes: [{behind}]\n",
        child.path("server.pub.pem").display(),
        child.path("client.pem").display(),
    );
    fs::write(list, text).unwrap();
    let modules = format!(
        "  - name: proxy\n    enable: true\n    ping: 2\n    reconnect_max: 1\n  - name: register\n    \
         enable: true\n    config_file: {}\n",
        list.display()
    );
    Node::start_with(NodeOptions {
        id: own,
        modules,
        ..NodeOptions::default()
    })
    .await
}

async fn command(client: &Client, line: &str) -> Token {
    loop {
        let message = Message {
            action: Action::Command,
            token: None,
            target: Target::Node(NodeId::new(POLLER)),
            data: Data::from_value(&json!({ "command": line })),
        };
        let answer = client.ask(message, PATIENCE).await.unwrap();
        if answer.status == Status::Ok {
            return answer.token.unwrap();
        }
        // The way is just being learnt.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn databases(node: &Node) -> [PathBuf; 3] {
    ["gorgone.sdb", "gorgone.sdb-wal", "gorgone.sdb-shm"].map(|name| node.path(name))
}

/// Kills the poller while it runs something, and gives it another database.
async fn comes_back_with(poller: &mut Node, client: &Client, copy: Option<&Path>) -> Vec<Token> {
    let mut tokens = Vec::new();
    for number in 0..5 {
        tokens.push(command(client, &format!("echo {number}")).await);
    }
    for token in &tokens {
        assert_eq!(ended(client, token).await.code, Code::Ok);
    }
    let running = command(client, "echo begun; sleep 30").await;
    eventually("it runs", async || {
        let mut history = History::default();
        history.read(client).await;
        history.of(running.as_str()).len() > 3
    })
    .await;
    poller.kill_all();
    for file in databases(poller) {
        // The files of the log are not always there.
        let _ = fs::remove_file(file);
    }
    if let Some(copy) = copy {
        fs::copy(copy, poller.path("gorgone.sdb")).unwrap();
    }
    poller.launch().await;
    let end = ended(client, &running).await;
    assert_eq!(
        (end.code, said(&end.data)["reason"].as_str()),
        (Code::Ko, Some("unknown"))
    );
    tokens.push(running);
    tokens
}

#[tokio::test]
async fn poller_comes_back_with_an_empty_database_and_with_an_older_copy() {
    let dir = tempfile::tempdir().unwrap();
    let mut poller = Node::start_with(NodeOptions {
        id: Some(POLLER),
        ..NodeOptions::default()
    })
    .await;
    let (behind, list) = (dir.path().join("behind.yml"), dir.path().join("list.yml"));
    let remote = above(&poller, POLLER, "", Some(REMOTE), &behind).await;
    let central = above(&remote, REMOTE, "3", None, &list).await;
    let client = central.client().await;
    let mut tokens = vec![command(&client, "true").await];
    ended(&client, &tokens[0]).await;
    poller.stop();
    let copy = dir.path().join("copy.sdb");
    fs::copy(poller.path("gorgone.sdb"), &copy).unwrap();
    poller.launch().await;
    tokens.extend(comes_back_with(&mut poller, &client, None).await);
    tokens.extend(comes_back_with(&mut poller, &client, Some(&copy)).await);
    tokens.extend(comes_back_with(&mut poller, &client, None).await);
    let last = command(&client, "echo last").await;
    assert_eq!(ended(&client, &last).await.code, Code::Ok);
    tokens.push(last);
    let mut history = History::default();
    history.read(&client).await;
    let outcomes = history.outcomes(&tokens);
    println!("accepted {} = {outcomes:?}", tokens.len());
    for token in &tokens {
        let rows = history.of(token.as_str());
        let ends = rows.iter().filter(|row| row.code.is_terminal()).count();
        assert_eq!(ends, 1, "{token}: {rows:?}");
    }
    assert_eq!((outcomes["OK"], outcomes["unknown"]), (17, 3));
}
