//! What running daemons do today, and what happens here instead.
#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails has failed its test"
)]

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use gorgone_client::Client;
use gorgone_integration_tests::{
    History, Node, accepted, ask, ended, eventually, run, run_line, said, token,
};
use gorgone_protocol::request::log::{GetLog, Row};
use gorgone_protocol::{Action, Code, Data, Status, Target, Token};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

async fn rows(client: &Client, filter: &GetLog) -> (Vec<Row>, bool) {
    client.log(filter, PATIENCE).await.unwrap()
}

async fn put(client: &Client, about: &str, data: Value) {
    let body = json!({ "code": 0, "token": about, "data": data });
    let answer = ask(client, "PUTLOG", None, Data::from_value(&body)).await;
    assert_eq!(answer.unwrap().status, Status::Ok);
}

/// There: 1 finished, 7 half, 32 without a trace.
#[tokio::test]
async fn killed_group_with_forty_commands_loses_none() {
    let mut node = Node::start().await;
    let client = node.client().await;
    let file = node.path("begun");
    let mut tokens = Vec::new();
    for number in 0..40 {
        let line = format!("echo {number} >> {}; sleep 0.3", file.display());
        tokens.push(accepted(&client, json!({ "command": line })).await);
    }
    let lines = || fs::read_to_string(&file).unwrap_or_default();
    eventually("some run", async || lines().lines().count() > 4).await;
    node.kill_all();
    node.launch().await;
    let mut history = History::default();
    eventually("all have ended", async || {
        history.read(&client).await;
        history.ended(&tokens) == tokens.len()
    })
    .await;
    let outcomes = history.outcomes(&tokens);
    assert!(
        outcomes.keys().all(|end| end == "OK" || end == "unknown"),
        "{outcomes:?}"
    );
    assert!(outcomes["OK"] > 20, "{outcomes:?}");
    let mut times = HashMap::new();
    for line in lines().lines() {
        *times.entry(line.to_owned()).or_insert(0) += 1;
    }
    assert!(times.values().all(|times| *times == 1), "{times:?}");
}

/// There: of a killed worker no final row ever comes.
#[tokio::test]
async fn command_of_a_killed_worker_ends_unknown() {
    let node = Node::start().await;
    let client = node.client().await;
    let mark = node.path("runs");
    let line = format!("echo $$ > {}; sleep 600", mark.display());
    let token = accepted(&client, json!({ "command": line, "timeout": 900 })).await;
    let pid = || {
        fs::read_to_string(&mark)
            .unwrap_or_default()
            .trim()
            .parse::<i32>()
    };
    eventually("it runs", async || pid().is_ok()).await;
    let pid = pid().unwrap();
    node.signal("gorgone-action", Signal::SIGKILL);
    let row = ended(&client, &token).await;
    assert_eq!(row.code, Code::Ko);
    assert_eq!(said(&row.data)["reason"], "unknown");
    eventually("it does not run on", async || {
        kill(Pid::from_raw(pid), None).is_err()
    })
    .await;
    assert!(run_line(&client, "true").await);
}

/// There: a surviving child keeps the listening socket, and the restarted daemon binds nothing.
#[tokio::test]
async fn surviving_child_holds_no_socket_and_blocks_no_restart() {
    let mut node = Node::start().await;
    let client = node.client().await;
    let mark = node.path("survivor");
    let line = format!(
        "setsid sh -c 'echo $$ > {}; exec sleep 600' >/dev/null 2>&1 </dev/null &",
        mark.display()
    );
    assert!(run_line(&client, &line).await);
    let pid = || {
        fs::read_to_string(&mark)
            .unwrap_or_default()
            .trim()
            .parse::<i32>()
    };
    eventually("it runs", async || pid().is_ok()).await;
    let pid = pid().unwrap();
    node.kill_all();
    let survives = kill(Pid::from_raw(pid), None).is_ok();
    let held: Vec<_> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .collect();
    node.launch().await;
    let answers = run_line(&node.client().await, "true").await;
    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    assert!(survives, "the test needs a survivor");
    assert!(held.is_empty(), "{held:?}");
    assert!(answers);
}

/// There: success with exit code 0.
#[tokio::test]
async fn command_that_runs_too_long_is_recorded_as_such() {
    let node = Node::start().await;
    let client = node.client().await;
    let row = run(
        &client,
        json!({ "command": "echo begun; sleep 600", "timeout": 1 }),
    )
    .await;
    let data = said(&row.data);
    assert_eq!(row.code, Code::Ko);
    assert_eq!(data["reason"], "timeout");
    assert_eq!(data["exit_code"], Value::Null);
    assert_eq!(data["stdout"], "begun\n");
}

/// There: success with exit code 0.
#[tokio::test]
async fn command_that_dies_of_a_signal_is_recorded_as_such() {
    let node = Node::start().await;
    let client = node.client().await;
    for (name, number) in [("KILL", 9), ("SEGV", 11), ("TERM", 15)] {
        let row = run(&client, json!({ "command": format!("kill -{name} $$") })).await;
        let data = said(&row.data);
        assert_eq!(row.code, Code::Ko, "{name}");
        assert_eq!(data["reason"], "failed");
        assert_eq!(data["signal"], number);
        assert_eq!(data["exit_code"], Value::Null);
    }
}

/// There: DATA `5` hangs the module for good.
#[tokio::test]
async fn data_that_is_not_what_the_action_wants_is_answered_and_hangs_nobody() {
    let node = Node::start().await;
    let client = node.client().await;
    for action in ["COMMAND", "ENGINECOMMAND"] {
        for text in [
            "5",
            "null",
            "[]",
            "[1]",
            "\"x\"",
            "true",
            "1e999",
            "{\"content\":5}",
        ] {
            let Ok(data) = Data::parse(text) else {
                continue;
            };
            let answer = ask(&client, action, None, data).await.unwrap();
            if answer.status == Status::Ok {
                let row = ended(&client, &answer.token.unwrap()).await;
                assert_eq!(row.code, Code::Ko, "{action} {text}");
                assert_eq!(said(&row.data)["reason"], "rejected", "{action} {text}");
            }
        }
    }
    assert!(run_line(&client, "true").await);
}

/// There: one such row blocks GETLOG and all later synchronisation.
#[tokio::test]
async fn any_character_may_stand_in_a_row() {
    let node = Node::start().await;
    let client = node.client().await;
    let words = "€ – Größe 温度 🌡 \u{0} \u{7f} \u{ffff} \u{10ffff} ]\"\\";
    put(&client, "words", json!({ "message": words })).await;
    let line = "printf '\\342\\202\\254 \\360\\237\\214\\241'";
    let row = run(&client, json!({ "command": line })).await;
    assert_eq!(said(&row.data)["stdout"], "€ 🌡");
    // Bytes that are no text at all.
    let row = run(&client, json!({ "command": "printf 'a\\377\\376b'" })).await;
    assert_eq!(row.code, Code::Ok);
    let output = said(&row.data)["stdout"].as_str().unwrap().to_owned();
    assert!(
        output.starts_with('a') && output.ends_with('b'),
        "{output:?}"
    );
    let filter = GetLog {
        token: Some("words".to_owned()),
        ..GetLog::default()
    };
    let (found, _) = rows(&client, &filter).await;
    assert_eq!(said(&found[0].data)["message"], words);
    put(&client, "later", json!({})).await;
    let mut history = History::default();
    history.read(&client).await;
    assert_eq!(history.of("later").len(), 1);
}

/// There: row ids are sorted as text, so that the tenth row comes before the second.
#[tokio::test]
async fn rows_come_and_page_in_the_order_of_numbers() {
    let node = Node::start().await;
    let client = node.client().await;
    for number in 1..=120 {
        put(&client, "numbers", json!({ "number": number })).await;
    }
    let mut filter = GetLog {
        token: Some("numbers".to_owned()),
        id: Some(0),
        limit: Some(7),
        ..GetLog::default()
    };
    let mut seen = Vec::new();
    loop {
        let (page, more) = rows(&client, &filter).await;
        assert!(page.len() <= 7);
        filter.id = page.last().map(|row| row.id);
        seen.extend(page.iter().map(|row| said(&row.data)["number"].clone()));
        if !more {
            break;
        }
    }
    let expected: Vec<_> = (1..=120).map(Value::from).collect();
    assert_eq!(seen, expected);
}

/// There: overlapping synchronisations write error rows of their own. Reading leaves no trace.
#[tokio::test]
async fn readers_at_the_same_time_leave_no_rows() {
    let node = Node::start().await;
    let client = node.client().await;
    put(&client, "only", json!({})).await;
    let filter = GetLog {
        id: Some(0),
        ..GetLog::default()
    };
    let reads = (0..50).map(|_| {
        let (client, filter) = (client.clone(), filter.clone());
        tokio::spawn(async move { rows(&client, &filter).await.0.len() })
    });
    for read in reads.collect::<Vec<_>>() {
        assert_eq!(read.await.unwrap(), 1);
    }
    assert_eq!(rows(&client, &filter).await.0.len(), 1);
}

/// There: a slow reader blocks every other caller. Here the one that waits does so alone.
#[tokio::test]
async fn reader_that_waits_keeps_nobody_waiting() {
    let node = Node::start().await;
    let client = node.client().await;
    let slow: Token = token("slow");
    let body = Data::from_value(&json!({ "command": "sleep 600", "timeout": 900 }));
    ask(&client, "COMMAND", Some(slow.clone()), body)
        .await
        .unwrap();
    let waiting = {
        let (client, slow) = (client.clone(), slow.clone());
        tokio::spawn(async move { ended(&client, &slow).await })
    };
    for _ in 0..20 {
        assert!(run_line(&client, "true").await);
    }
    assert!(!waiting.is_finished());
    let cancel = Data::from_value(&json!({ "token": slow }));
    let answer = client
        .request(Action::Cancel, Target::Here, cancel, PATIENCE)
        .await;
    assert!(answer.is_ok(), "{answer:?}");
    let row = waiting.await.unwrap();
    assert_eq!(said(&row.data)["reason"], "cancelled");
}
