//! One request to many nodes: a central and two pollers, real ones on one host, and a node that is
//! not there.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a helper that fails has failed its test; the counts are for whoever reads them"
)]

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use gorgone_client::{Client, ClientError};
use gorgone_integration_tests::http::{Http, request};
use gorgone_integration_tests::{
    HTTP_CREDENTIALS, History, Node, NodeOptions, ended, eventually, said, token,
};
use gorgone_protocol::request::log::GetLog;
use gorgone_protocol::{Action, Answer, Code, Data, Dialect, Message, Status, Target, Token};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_secs(60);
/// Requests in flight when core is killed; each has two parts.
const REQUESTS: usize = 150;

const PROXY: &str = "  - name: proxy\n    enable: true\n    ping: 2\n    reconnect_max: 2\n";

struct Fleet {
    central: Node,
    _pollers: [Node; 2],
    _dir: tempfile::TempDir,
}

/// An entry of a file of nodes.
fn entry(id: u64, node: &Node, labels: &str) -> String {
    let port = node.endpoint();
    let port = port.rsplit(':').next().unwrap_or_default().to_owned();
    format!(
        "  - id: {id}\n    type: push_zmq\n    address: 127.0.0.1\n    port: {port}\n    \
         server_pubkey: {}\n    client_privkey: {}\n    labels: {{ {labels} }}\n",
        node.path("server.pub.pem").display(),
        node.path("client.pem").display(),
    )
}

impl Fleet {
    /// Node 1 is the central; 2 and 3 are there, 9 is not, 10 is behind it.
    async fn start(modules: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("registernodes.yml");
        let poller = async |id| {
            Node::start_with(NodeOptions {
                id: Some(id),
                ..NodeOptions::default()
            })
            .await
        };
        let pollers = [poller(2).await, poller(3).await];
        let nodes = [
            entry(2, &pollers[0], "site: paris, role: web"),
            entry(3, &pollers[1], "site: paris, role: db"),
            "  - { id: 9, type: push_zmq, address: 127.0.0.1, port: 1, labels: { site: lyon }, \
             nodes: [{ id: 10, labels: { site: behind } }] }\n"
                .to_owned(),
        ];
        fs::write(&list, format!("nodes:\n{}", nodes.concat())).unwrap();
        let file = list.display();
        let central = Node::start_with(NodeOptions {
            modules: format!(
                "{PROXY}  - name: register\n    enable: true\n    config_file: {file}\n{modules}"
            ),
            http: Some(String::new()),
            ..NodeOptions::default()
        })
        .await;
        let fleet = Self {
            central,
            _pollers: pollers,
            _dir: dir,
        };
        let client = fleet.central.client().await;
        eventually("the nodes are up", async || {
            let answer = ask(&client, "CONSTATUS", "", None, json!({})).await;
            let nodes = answer.map(|answer| said(answer.data.as_str())["data"].clone());
            nodes.is_ok_and(|nodes| ["2", "3"].iter().all(|id| nodes[*id]["state"] == "up"))
        })
        .await;
        fleet
    }

    async fn ctl(&self, args: &[&str]) -> Output {
        let mut command = self.central.ctl(args);
        tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap()
    }
}

async fn ask(
    client: &Client,
    action: &str,
    target: &str,
    token: Option<Token>,
    data: Value,
) -> Result<Answer, ClientError> {
    let message = Message {
        action: Action::parse(action),
        token,
        target: Target::parse(target),
        data: Data::from_value(&data),
    };
    client.ask(message, PATIENCE).await
}

fn words(answer: &Answer) -> String {
    let data = said(answer.data.as_str());
    data["message"].as_str().unwrap_or_default().to_owned()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn request_to_many_nodes_runs_on_each_and_tells_how_it_ended_there() {
    let fleet = Fleet::start("").await;
    let client = fleet.central.client().await;
    let body = json!({ "command": "echo here" });
    let own = Some(token("many"));
    let answer = ask(&client, "COMMAND", "1,2-5", own.clone(), body.clone()).await;
    assert_eq!(answer.unwrap().status, Status::Ok);
    let end = ended(&client, &token("many")).await;
    assert_eq!(end.code, Code::Ok, "{}", end.data);
    let data = said(&end.data);
    assert_eq!(data["counts"], json!({ "ok": 3 }));
    assert_eq!(data["nodes"], json!({ "ok": "1-3" }));
    for node in 1..=3 {
        let end = ended(&client, &token(&format!("many@{node}"))).await;
        assert!(end.data.contains("here"), "{}", end.data);
    }
    // The same token again is the same request, also when it is over.
    let answer = ask(&client, "COMMAND", "1,2-5", own, body).await.unwrap();
    assert_eq!(words(&answer), "already accepted");
    let filter = GetLog {
        parent: Some("many".to_owned()),
        code: Some(Code::Ok),
        ..GetLog::default()
    };
    let answer = ask(
        &client,
        "GETLOG",
        "",
        None,
        said(filter.encode(Dialect::Seed).as_str()),
    );
    let rows = said(answer.await.unwrap().data.as_str());
    assert_eq!(rows["result"].as_object().unwrap().len(), 3, "{rows}");

    // What fails on one node has not ended well; a node that is down is waited for.
    let command = "test \"$(basename $PWD)\" = none";
    let output = fleet.ctl(&["command", "--on", "site=paris", command]).await;
    assert_eq!(output.status.code(), Some(1));
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    for node in [2, 3] {
        let line = format!("{node:>6}  failed     exit code 1");
        assert!(out.lines().any(|told| told == line), "{out}");
    }
    assert_eq!(err, "2 nodes: 2 failed\n  failed: --on 2,3\n");
    let output = fleet
        .ctl(&["--json", "command", "--on", "role=db", "echo a; echo b"])
        .await;
    assert_eq!(output.status.code(), Some(0));
    let out = text(&output.stdout);
    let lines: Vec<Value> = out.lines().map(said).collect();
    assert_eq!(
        (&lines[0]["node"], &lines[0]["ended"]),
        (&json!(3), &json!("ok"))
    );
    assert_eq!(lines[1]["data"]["nodes"], json!({ "ok": "3" }), "{out}");

    let output = fleet
        .ctl(&["command", "--detach", "--on", "*", "echo later"])
        .await;
    let waiting = text(&output.stdout).trim().to_owned();
    eventually("two of three have ended", async || {
        let output = fleet.ctl(&["targets", &waiting]).await;
        text(&output.stdout).contains("1 waiting, 2 ok")
    })
    .await;
    let table = text(&fleet.ctl(&["targets", &waiting]).await.stdout);
    assert!(table.contains(&format!("{waiting}@9")), "{table}");
    let cancelled = text(&fleet.ctl(&["cancel", &waiting]).await.stdout);
    assert!(
        cancelled.contains("cancelled on 1 node before it began"),
        "{cancelled}"
    );
    let end = ended(&client, &token(&waiting)).await;
    let data = said(&end.data);
    assert_eq!(data["reason"], "cancelled", "the others are OK: {data}");
    assert_eq!(data["nodes"], json!({ "cancelled": "9", "ok": "2,3" }));
    // The audit has the request, and the part of each node.
    let audit = fleet.ctl(&["--json", "audit", "--node", "9"]).await;
    let audit = text(&audit.stdout);
    assert!(audit.contains(&format!("a part of {waiting}")), "{audit}");
}

#[tokio::test]
async fn selections_go_through_the_http_door_too() {
    let fleet = Fleet::start("").await;
    let mut http = Http::open(fleet.central.http().parse().unwrap()).await;
    let mut say = async |method: &str, path: &str, body: &str| {
        http.ask(&request(method, path, HTTP_CREDENTIALS, body))
            .await
            .unwrap()
    };
    let path = "/api/nodes/site%3Dparis/core/action/command?wait=30s";
    let answer = say("POST", path, r#"{"command":"echo here"}"#).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    let log = answer.json();
    let rows = log["data"].as_array().unwrap();
    let end: Value = said(rows.last().unwrap()["data"].as_str().unwrap());
    assert_eq!(end["nodes"], json!({ "ok": "2,3" }), "{log}");
    let whole = log["token"].as_str().unwrap();
    let answer = say("GET", &format!("/api/tasks/{whole}/targets?limit=1"), "").await;
    let page = answer.json();
    assert_eq!(page["counts"], json!({ "ok": 2 }), "{page}");
    assert_eq!(
        (&page["more"], &page["nodes"][0]["node"]),
        (&json!(true), &json!(2))
    );
    let answer = say("GET", &format!("/api/tasks/{whole}/targets?after=2"), "").await;
    assert_eq!(answer.json()["nodes"][0]["token"], format!("{whole}@3"));
    let body = r#"{"action":"COMMAND","target":"2,3","data":{"command":"true"}}"#;
    let answer = say("POST", "/api/requests?wait=30s", body).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    for (method, path, body, status, told) in [
        (
            "POST",
            "/api/nodes/4,,5/core/action/command",
            "{}",
            400,
            "character 3",
        ),
        (
            "POST",
            "/api/nodes/x%3Dy/core/action/command",
            "{}",
            404,
            "selects no node",
        ),
        (
            "GET",
            "/api/nodes/2,3/internal/constatus",
            "",
            400,
            "one node at a time",
        ),
        (
            "GET",
            "/api/tasks/nobody/targets",
            "",
            404,
            "no request with this token",
        ),
    ] {
        let answer = say(method, path, body).await;
        let said = text(&answer.body);
        assert_eq!(answer.status, status, "{path}: {said}");
        assert!(said.contains(told), "{path}: {said}");
    }
}

#[tokio::test]
async fn nonsense_is_refused_with_its_place_and_accepts_nothing() {
    let fleet = Fleet::start("").await;
    let client = fleet.central.client().await;
    for (target, told) in [
        (
            "4,,7",
            "target '4,,7' is neither the id of a node nor a selection of nodes: character 3",
        ),
        ("20-10", "the range '20-10' ends before it begins"),
        (
            "site=paris,2",
            "character 12: '2' cannot stand beside what comes before it",
        ),
        ("site=pa ris", "'pa ris' is no value of a label"),
        ("site in (a", "the parenthesis '(' has no other half"),
        (
            "site=rome",
            "'site=rome' selects no node that is registered",
        ),
        ("90-99", "'90-99' selects no node that is registered"),
        ("2,77", "no route to node 77"),
    ] {
        let own = token(&format!("bad {target}").replace(']', ""));
        let body = json!({ "command": "true" });
        let answer = ask(&client, "COMMAND", target, Some(own), body)
            .await
            .unwrap();
        assert_eq!(answer.status, Status::Nok, "{target}");
        let said = words(&answer);
        assert!(said.contains(told), "{target}: {said}");
    }
    for action in ["CONSTATUS", "PING", "GETLOG", "CANCEL", "REGISTERNODES"] {
        let answer = ask(&client, action, "2,3", None, json!({})).await.unwrap();
        let said = words(&answer);
        assert!(
            said.contains("is asked of one node at a time"),
            "{action}: {said}"
        );
    }
    // A whole whose parts would have the token of another request.
    let body = json!({ "command": "true" });
    let taken = Some(token("t@3"));
    let answer = ask(&client, "COMMAND", "", taken, body.clone())
        .await
        .unwrap();
    assert_eq!(answer.status, Status::Ok);
    ended(&client, &token("t@3")).await;
    let answer = ask(&client, "COMMAND", "2,3", Some(token("t")), body.clone()).await;
    assert_eq!(
        words(&answer.unwrap()),
        "the token is used by another request"
    );
    let long = "t".repeat(2047);
    let answer = ask(&client, "COMMAND", "2,3", Some(token(&long)), body).await;
    assert!(words(&answer.unwrap()).contains("the token is too long"));
    let answer = ask(&client, "INFORMATION", "", None, json!({}))
        .await
        .unwrap();
    let tasks = said(answer.data.as_str())["data"]["tasks"].clone();
    assert_eq!(
        (&tasks["waiting"], &tasks["spread"]),
        (&json!(0), &json!(0)),
        "{tasks}"
    );
    let output = fleet.ctl(&["command", "--on", "20-10", "true"]).await;
    assert!(
        text(&output.stderr).contains("write the smaller id first"),
        "{}",
        text(&output.stderr)
    );
}

/// How often each command has begun.
fn begun(file: &Path) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for line in fs::read_to_string(file).unwrap_or_default().lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn whole_and_parts_end_once_though_core_is_killed_in_the_middle() {
    let fleet = Fleet::start("").await;
    let client = fleet.central.client().await;
    let file = fleet.central.path("begun");
    let mut asked = JoinSet::new();
    for number in 0..REQUESTS {
        let client = client.clone();
        let own = token(&format!("kill-{number}"));
        let line = format!("echo {own} >> {}; sleep 0.02", file.display());
        asked.spawn(async move {
            loop {
                let body = json!({ "command": line });
                match ask(&client, "COMMAND", "site=paris", Some(own.clone()), body).await {
                    Ok(answer) if answer.status == Status::Ok => return own,
                    // Core is just back, or just going: it is asked again.
                    _ => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        });
    }
    for share in [10, 3] {
        eventually("some have begun", async || {
            begun(&file).len() >= REQUESTS / share
        })
        .await;
        assert!(fleet.central.signal("gorgone-core", Signal::SIGKILL));
    }
    let mut wholes = Vec::new();
    while let Some(whole) = asked.join_next().await {
        wholes.push(whole.unwrap());
    }
    let parts: Vec<Token> = wholes
        .iter()
        .flat_map(|whole| [2, 3].map(|node| token(&format!("{whole}@{node}"))))
        .collect();
    let mut history = History::default();
    eventually("all have ended", async || {
        history.read(&client).await;
        history.ended(&wholes) == wholes.len() && history.ended(&parts) == parts.len()
    })
    .await;
    let (outcomes, of_parts) = (history.outcomes(&wholes), history.outcomes(&parts));
    println!(
        "core killed twice: {} requests {outcomes:?}, their parts {of_parts:?}",
        wholes.len()
    );
    assert_eq!(
        outcomes.into_iter().collect::<Vec<_>>(),
        [("OK".to_owned(), REQUESTS)]
    );
    assert_eq!(
        of_parts.into_iter().collect::<Vec<_>>(),
        [("OK".to_owned(), 2 * REQUESTS)]
    );
    let begun = begun(&file);
    for whole in &wholes {
        assert_eq!(
            begun.get(whole.as_str()),
            Some(&2),
            "{whole} ran once on each node"
        );
        let rows = history.of(whole.as_str());
        let end = rows.iter().find(|row| row.code.is_terminal()).unwrap();
        assert_eq!(said(&end.data)["nodes"], json!({ "ok": "2,3" }));
    }
}

#[tokio::test]
async fn job_runs_on_all_nodes_that_its_target_selects() {
    let modules = "  - name: cron\n    enable: true\n    cron:\n      - id: everywhere\n        \
                   timespec: \"* * * * * *\"\n        action: COMMAND\n        target: site=paris\n        \
                   parameters: { command: echo here }\n";
    let fleet = Fleet::start(modules).await;
    let mut token = String::new();
    eventually("a run has ended well", async || {
        let output = fleet.ctl(&["--json", "cron", "list", "everywhere"]).await;
        let job = said(&text(&output.stdout));
        let runs = job["status"]["runs"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let well = runs.iter().find(|run| run["outcome"] == "OK");
        token = well.map_or_else(String::new, |run| run["token"].as_str().unwrap().to_owned());
        well.is_some()
    })
    .await;
    let targets = text(&fleet.ctl(&["targets", &token]).await.stdout);
    assert!(
        targets.contains("COMMAND on site=paris: 2 ok, over"),
        "{targets}"
    );
    let list = text(&fleet.ctl(&["cron", "list"]).await.stdout);
    assert!(list.contains("site=paris"), "{list}");
}
