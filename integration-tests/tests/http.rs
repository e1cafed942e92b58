//! The HTTP door, as clients see it that are not ours.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests are not inside a test function"
)]

use std::io::Write;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use gorgone_integration_tests::http::{Http, request};
use gorgone_integration_tests::{
    HTTP_CREDENTIALS, Node, NodeOptions, eventually, python, python_scripts, spawn_python, venv,
};
use gorgone_protocol::{Action, Data, Target};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

/// A node with a door, and these lines about it.
async fn node(lines: &str) -> Node {
    Node::start_with(NodeOptions {
        http: Some(lines.to_owned()),
        ..NodeOptions::default()
    })
    .await
}

/// curl, quiet, with the node's credentials; what it is told and the path come behind.
fn curl(node: &Node, args: &[&str], path: &str) -> Output {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "30"]);
    command.args(["--user", "test:secret"]).args(args);
    command.arg(format!("http://{}{path}", node.http()));
    command.output().unwrap()
}

/// The same, as the status and the body.
fn curls(node: &Node, args: &[&str], path: &str) -> (String, String) {
    let with_status = [args, &["--write-out", "\n%{http_code}"]].concat();
    let output = curl(node, &with_status, path);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.to_owned(), body.to_owned())
}

async fn ask(node: &Node, method: &str, path: &str, body: &str) -> (u16, Value) {
    let mut connection = Http::open(node.http().parse().unwrap()).await;
    let text = request(method, path, HTTP_CREDENTIALS, body);
    let answer = connection.ask(&text).await.unwrap();
    (answer.status, answer.json())
}

fn token(answer: &Value) -> String {
    answer["token"].as_str().unwrap().to_owned()
}

/// Hashes a password with the program itself.
fn hash(password: &str) -> String {
    let mut child = Node::program("gorgone-httpserver")
        .arg("hash")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{password}").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // One that has ended by itself is as good as killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn requests_walks_through_every_line_of_the_contract() {
    let users = format!(
        "    max_auth_failures: 100000\n    requests_per_second: 0\n    users:\n      \
         - {{ name: admin, password_hash: '{}' }}\n      \
         - {{ name: reader, password: lesen, rights: [{{ actions: [GETLOG], nodes: [self] }}] }}\n      \
         - {{ name: robot, token: 0123456789abcdef-robot }}\n",
        hash("geheim")
    );
    let node = Node::start_with(NodeOptions {
        http: Some(users),
        internal_tcp: true,
        ..NodeOptions::default()
    })
    .await;
    let actions = [
        "GETCRON",
        "ADDCRON",
        "UPDATECRON",
        "DELETECRON",
        "RUNCRON",
        "REMOTECOPY",
    ];
    let args: Vec<&str> = std::iter::once(node.internal()).chain(actions).collect();
    let _module = Killed(spawn_python("module_echo.py", &args));
    let client = node.client().await;
    let pull = Data::from_value(&json!({ "nodes": [{ "id": 2, "type": "pull" }] }));
    let registered = client.request(Action::RegisterNodes, Target::Here, pull, PATIENCE);
    registered.await.unwrap();
    eventually("the echo is there", async || {
        let information =
            client.request(Action::Information, Target::Here, Data::empty(), PATIENCE);
        information
            .await
            .unwrap()
            .data
            .as_str()
            .contains("REMOTECOPY")
    })
    .await;
    let fifo = node.path("engine.cmd");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let printed = python(
        "http_api.py",
        &[
            &format!("http://{}", node.http()),
            &format!("http://{}", node.metrics()),
            &fifo.display().to_string(),
        ],
    );
    assert!(printed.contains("every line holds"), "{printed}");
}

#[tokio::test]
async fn schemathesis_finds_nothing_wrong_by_the_document() {
    let node = Node::start_with(NodeOptions {
        // Whatever it makes up is not to be run.
        action: "    whitelist_cmds: true\n    allowed_cmds: [nothing]".to_owned(),
        http: Some(
            "    requests_per_second: 0\n    max_auth_failures: 100000\n    max_wait: 1\n"
                .to_owned(),
        ),
        ..NodeOptions::default()
    })
    .await;
    let output = Command::new(venv("schemathesis"))
        .arg("run")
        .arg(format!("http://{}/api/openapi.json", node.http()))
        .args(["--auth", "test:secret", "--checks", "all", "--seed", "1"])
        // A method that a path does not have is answered 404, as ever: http_api.py holds the answer.
        .args(["--exclude-checks", "unsupported_method"])
        .args([
            "--max-time",
            "50",
            "--max-examples",
            "5",
            "--continue-on-failure",
        ])
        .env("PYTHONPATH", python_scripts())
        .env("SCHEMATHESIS_HOOKS", "http_formats")
        .current_dir(node.path(""))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let (status, _) = ask(&node, "GET", "/api/internal/constatus", "").await;
    assert_eq!(status, 200, "it is as well as before");
}

#[tokio::test]
async fn curl_gets_the_old_answers_to_the_byte() {
    let node = node("").await;
    for (args, path, status, body) in [
        (
            &[][..],
            "/",
            "403",
            r#"{"error":"http_error_403","message":"forbidden"}"#,
        ),
        (
            &[],
            "/metrics",
            "403",
            r#"{"error":"http_error_403","message":"forbidden"}"#,
        ),
        (
            &[],
            "/api/nosuch",
            "404",
            r#"{"error":"method_unknown","message":"Method not implemented"}"#,
        ),
        (
            &["-X", "PUT"],
            "/api/internal/constatus",
            "404",
            r#"{"error":"method_unknown","message":"Method not implemented"}"#,
        ),
        (
            &["-d", "command=ls"],
            "/api/core/action/command",
            "400",
            r#"{"error":"decode_error","message":"POST content must be JSON-formated"}"#,
        ),
        (
            &["--user", "test:wrong"],
            "/api/internal/constatus",
            "401",
            r#"{"error":"http_error_401","message":"unauthorized"}"#,
        ),
        (
            &[],
            "/api/log/nobody-knows-it",
            "200",
            r#"{"error":"no_log","message":"No log found for token","data":[],"token":"nobody-knows-it"}"#,
        ),
        (
            &[],
            "/api/nodes/1/log/nobody-knows-it",
            "200",
            r#"{"error":"no_log","message":"No log found for token","data":[],"token":"nobody-knows-it"}"#,
        ),
        (
            &["-d", r#"{"severity":"info"}"#],
            "/api/internal/logger",
            "204",
            "",
        ),
    ] {
        let found = curls(&node, args, path);
        assert_eq!(found, (status.to_owned(), body.to_owned()), "{path}");
    }
    let (_, body) = curls(
        &node,
        &["-d", r#"{"command":"echo hé"}"#],
        "/api/core/action/command?log_wait=20000000",
    );
    assert!(
        body.starts_with(r#"{"message":"Logs found","token":""#),
        "{body}"
    );
    assert!(body.contains(r#"\"stdout\":\"hé\\n\""#), "{body}");
    // A body that is announced as large is refused before it is sent.
    let large = "x".repeat(9 << 20);
    let file = node.path("large");
    std::fs::write(&file, large).unwrap();
    let file = format!("@{}", file.display());
    let (status, body) = curls(&node, &["--data-binary", &file], "/api/core/action/command");
    assert_eq!(status, "413", "{body}");
    assert!(body.contains(r#""error":"too_large""#), "{body}");
    let events = curls(
        &node,
        &["-d", r#"{"command":"echo a; sleep 0.3; echo b"}"#],
        "/api/core/action/command",
    );
    let token = token(&serde_json::from_str(&events.1).unwrap());
    let output = curl(&node, &["--no-buffer"], &format!("/api/log/{token}/stream"));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.matches("\nevent: end\n").count(), 1, "{text}");
    assert!(
        text.ends_with("\n\n") && text.contains("\nevent: output\n"),
        "{text}"
    );
}

/// Waits for the node's rows of this token, over HTTP.
async fn ended(node: &Node, token: &str) -> Vec<Value> {
    let path = format!("/api/log/{token}?wait=60s");
    let (status, log) = ask(node, "GET", &path, "").await;
    assert_eq!(status, 200, "{log}");
    log["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn core_is_killed_under_callers_who_wait_and_each_is_answered() {
    let node = node("").await;
    let go = node.path("go");
    let command = format!(
        "while ! [ -e {} ]; do sleep 0.05; done; echo done",
        go.display()
    );
    let body = json!({ "command": command }).to_string();
    let asked: Vec<_> = (0..20)
        .map(|_| {
            let (address, body) = (node.http().to_owned(), body.clone());
            tokio::spawn(async move {
                let mut connection = Http::open(address.parse().unwrap()).await;
                let path = "/api/core/action/command?wait=60s";
                let text = request("POST", path, HTTP_CREDENTIALS, &body);
                connection.ask(&text).await.unwrap()
            })
        })
        .collect();
    eventually("all wait", async || waiters(&node).await == 20).await;
    assert!(node.signal("gorgone-core", Signal::SIGKILL));
    // Said while core is away: it is asked when it is back.
    let late = ask(
        &node,
        "POST",
        "/api/core/action/command",
        r#"{"command":"echo late"}"#,
    );
    let (status, answer) = late.await;
    assert_eq!(status, 200, "{answer}");
    std::fs::write(go, "").unwrap();
    for asked in asked {
        let answer = asked.await.unwrap();
        assert_eq!(answer.status, 200, "{:?}", answer.json());
        let log = answer.json();
        let last = log["data"].as_array().unwrap().last().unwrap().clone();
        assert_eq!(last["code"], 1, "{log}");
    }
    assert_eq!(
        ended(&node, &token(&answer)).await.last().unwrap()["code"],
        1
    );
    assert_eq!(waiters(&node).await, 0);
}

async fn waiters(node: &Node) -> usize {
    metric(node, "gorgone_http_waiters").await
}

async fn metric(node: &Node, name: &str) -> usize {
    let mut connection = Http::open(node.metrics().parse().unwrap()).await;
    let answer = connection
        .ask(&request("GET", "/metrics", "", ""))
        .await
        .unwrap();
    let text = String::from_utf8(answer.body).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap().parse().unwrap()
}

#[tokio::test]
async fn caller_that_goes_away_waits_no_longer_here_or_in_core() {
    let node = node("").await;
    let body = r#"{"command":"sleep 60"}"#;
    let mut connection = Http::open(node.http().parse().unwrap()).await;
    let text = request(
        "POST",
        "/api/core/action/command?wait=50s",
        HTTP_CREDENTIALS,
        body,
    );
    connection.send(text.as_bytes()).await.unwrap();
    eventually("it waits", async || waiters(&node).await == 1).await;
    let in_core = async || {
        let (_, told) = ask(&node, "GET", "/api/internal/information", "").await;
        told["data"]["waiters"].as_u64().unwrap()
    };
    eventually("core knows", async || in_core().await == 1).await;
    drop(connection);
    eventually("nobody waits here", async || waiters(&node).await == 0).await;
    eventually("nobody waits in core", async || in_core().await == 0).await;
}

#[tokio::test]
async fn server_that_is_killed_leaves_nothing_behind_and_one_that_stops_answers_who_waits() {
    let mut node = node("").await;
    let (_, answer) = ask(
        &node,
        "POST",
        "/api/core/action/command",
        r#"{"command":"sleep 1; echo x"}"#,
    )
    .await;
    let before = node.pids("gorgone-httpserver");
    assert!(node.signal("gorgone-httpserver", Signal::SIGKILL));
    eventually("another one is there", async || {
        let now = node.pids("gorgone-httpserver");
        !now.is_empty() && now != before
    })
    .await;
    let rows = ended(&node, &token(&answer)).await;
    assert_eq!(rows.last().unwrap()["code"], 1, "what was accepted is done");
    let mut waits = Http::open(node.http().parse().unwrap()).await;
    let body = r#"{"command":"sleep 600"}"#;
    let text = request(
        "POST",
        "/api/core/action/command?wait=600s",
        HTTP_CREDENTIALS,
        body,
    );
    waits.send(text.as_bytes()).await.unwrap();
    eventually("it waits", async || waiters(&node).await == 1).await;
    let mut idle = Http::open(node.http().parse().unwrap()).await;
    let status = request("GET", "/status", HTTP_CREDENTIALS, "");
    assert_eq!(idle.ask(&status).await.unwrap().status, 200);
    assert!(node.signal("gorgone-httpserver", Signal::SIGTERM));
    let answer = waits.answer().await.unwrap();
    assert_eq!(answer.status, 200, "{:?}", answer.json());
    assert!(answer.json()["token"].is_string(), "{:?}", answer.json());
    assert!(idle.ask(&status).await.is_err(), "idle connections end");
    let (_, cancelled) = ask(
        &node,
        "DELETE",
        &format!("/api/tasks/{}", token(&answer.json())),
        "",
    )
    .await;
    assert_eq!(cancelled["message"], "killed while it ran");
    node.stop();
}

#[tokio::test]
async fn configuration_that_is_read_again_changes_who_comes_in_and_ends_no_connection() {
    let node = node("    users: [{ name: test, password: secret }]\n").await;
    let mut old = Http::open(node.http().parse().unwrap()).await;
    let with = |credential: &str| request("GET", "/api/internal/constatus", credential, "");
    assert_eq!(old.ask(&with(HTTP_CREDENTIALS)).await.unwrap().status, 200);
    let file = node.path("gorgoned.yml");
    let text = std::fs::read_to_string(&file).unwrap();
    let changed = text.replace(
        "users: [{ name: test, password: secret }]",
        "users: [{ name: test, token: a-token-that-is-long }]\n    max_body_size: 1024",
    );
    std::fs::write(&file, &changed).unwrap();
    assert!(node.signal("gorgoned", Signal::SIGHUP));
    eventually("the token is taken", async || {
        old.ask(&with("Bearer a-token-that-is-long"))
            .await
            .unwrap()
            .status
            == 200
    })
    .await;
    assert_eq!(old.ask(&with(HTTP_CREDENTIALS)).await.unwrap().status, 401);
    let large = format!("{{\"command\":\"{}\"}}", "x".repeat(2000));
    let text = request(
        "POST",
        "/api/core/action/command",
        "Bearer a-token-that-is-long",
        &large,
    );
    assert_eq!(old.ask(&text).await.unwrap().status, 413);
}

#[tokio::test]
async fn peers_outside_of_allowed_hosts_are_refused() {
    let node = node("    allowed_hosts: { enabled: true, subnets: [127.0.0.2/32, '::1'] }\n").await;
    let from = |address: &str| curls(&node, &["--interface", address], "/api/internal/constatus");
    assert_eq!(from("127.0.0.2").0, "200");
    for address in ["127.0.0.1", "127.0.0.3"] {
        let (status, body) = from(address);
        assert_eq!(status, "403");
        assert_eq!(body, r#"{"error":"http_error_403","message":"forbidden"}"#);
    }
}

#[tokio::test]
async fn gorgoned_does_not_start_with_a_door_that_is_open_to_the_world() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("gorgoned.yml");
    let internal = dir.path().join("bus.ipc");
    let text = format!(
        "gorgonecore:\n  internal_com_type: ipc\n  internal_com_path: {}\n  gorgone_db_name: {}\n\
         modules:\n  - name: httpserver\n    enable: true\n    port: 0\n    address: 0.0.0.0\n",
        internal.display(),
        dir.path().join("gorgone.sdb").display()
    );
    std::fs::write(&file, text).unwrap();
    let line = format!(
        "{}:9:14: modules.httpserver.address: is open to the world",
        file.display()
    );
    for program in ["gorgoned", "gorgone-httpserver"] {
        let output = Node::program(program)
            .arg("--config")
            .arg(&file)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{program}: {told}");
        assert!(told.contains(&line), "{program}: {told}");
        assert!(
            told.contains("allow_anonymous_from_anywhere: true"),
            "{told}"
        );
    }
    assert!(!internal.exists(), "nothing was opened");
}

#[tokio::test]
async fn peers_that_dawdle_or_ask_too_often_are_ended_and_others_notice_nothing() {
    let node = node(
        "    header_timeout: 1\n    body_timeout: 1\n    keep_alive_timeout: 2\n    \
         requests_per_second: 1\n    request_burst: 20\n    max_waiters_per_user: 1\n",
    )
    .await;
    let address = node.http().parse().unwrap();
    // A head that never ends, and one that never begins.
    let mut half = Http::open(address).await;
    half.send(b"GET /api/log HTTP/1.1\r\nHost: x\r\n")
        .await
        .unwrap();
    let mut silent = Http::open(address).await;
    assert!(half.answer().await.is_err());
    assert!(silent.answer().await.is_err());
    // A body that never ends.
    let mut slow = Http::open(address).await;
    let head = request("POST", "/api/core/action/command", HTTP_CREDENTIALS, "");
    let head = head.replace("\r\n\r\n", "\r\nContent-Length: 100\r\n\r\n{");
    slow.send(head.as_bytes()).await.unwrap();
    let answer = slow.answer().await.unwrap();
    assert_eq!(
        (answer.status, answer.json()["error"].as_str()),
        (408, Some("timeout"))
    );
    assert!(slow.answer().await.is_err(), "the connection ends with it");
    // A second caller who waits, where one may.
    let mut first = Http::open(address).await;
    let waits = request(
        "POST",
        "/api/core/action/command?wait=20s",
        HTTP_CREDENTIALS,
        r#"{"command":"sleep 20"}"#,
    );
    first.send(waits.as_bytes()).await.unwrap();
    eventually("it waits", async || waiters(&node).await == 1).await;
    let mut second = Http::open(address).await;
    let answer = second.ask(&waits).await.unwrap();
    assert_eq!(
        (answer.status, answer.json()["error"].as_str()),
        (429, Some("busy"))
    );
    // Idle between two requests for longer than it may.
    assert!(second.answer().await.is_err());
    // Too many requests, until one is refused; and then none is let through for a moment.
    let mut eager = Http::open(address).await;
    let ask = request("GET", "/api/internal/thumbprint", HTTP_CREDENTIALS, "");
    let mut refused = None;
    for _ in 0..60 {
        let answer = eager.ask(&ask).await.unwrap();
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.unwrap();
    assert_eq!(
        (refused.status, refused.json()["error"].as_str()),
        (429, Some("too_many_requests"))
    );
    assert!(
        refused.head.to_lowercase().contains("\r\nretry-after: 1"),
        "{}",
        refused.head
    );
}

/// Sends a command under a token of its own until it is accepted, whoever is killed meanwhile.
async fn accepted(address: std::net::SocketAddr, token: &str, command: &str) {
    let body = json!({ "action": "COMMAND", "token": token, "data": { "command": command } });
    let text = request("POST", "/api/requests", HTTP_CREDENTIALS, &body.to_string());
    for _ in 0..600 {
        let mut connection = Http::open(address).await;
        // No answer, and one that says so, are the same: it is said again.
        if let Ok(answer) = connection.ask(&text).await {
            if answer.status == 200 {
                return;
            }
            assert_eq!(answer.status, 503, "{:?}", answer.json());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{token} is never accepted");
}

/// 1,000 commands over HTTP, and the door, core and the door again killed under them: every token
/// ends once, and no command runs twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousand_commands_over_http_end_once_whoever_is_killed() {
    const COMMANDS: usize = 1000;
    let node = Node::start_with(NodeOptions {
        http: Some("    requests_per_second: 0\n".to_owned()),
        ..NodeOptions::default()
    })
    .await;
    let address = node.http().parse().unwrap();
    let ran = node.path("ran").display().to_string();
    let senders: Vec<_> = (0..8)
        .map(|sender| {
            let ran = ran.clone();
            tokio::spawn(async move {
                for number in (sender..COMMANDS).step_by(8) {
                    let command = format!("echo {number} >> {ran}");
                    accepted(address, &format!("http-{number}"), &command).await;
                }
            })
        })
        .collect();
    let lines = || {
        let text = std::fs::read_to_string(&ran).unwrap_or_default();
        text.lines().count()
    };
    for (killed, at) in [
        ("gorgone-httpserver", COMMANDS / 10),
        ("gorgone-core", COMMANDS / 3),
        ("gorgone-httpserver", COMMANDS / 2),
    ] {
        eventually("some have run", async || lines() >= at).await;
        assert!(node.signal(killed, Signal::SIGKILL));
    }
    for sender in senders {
        sender.await.unwrap();
    }
    let mut ended = std::collections::BTreeMap::new();
    for number in 0..COMMANDS {
        let path = format!("/api/log/http-{number}?wait=60s");
        let (status, log) = ask(&node, "GET", &path, "").await;
        assert_eq!(status, 200, "{log}");
        let rows = log["data"].as_array().unwrap();
        let ends: Vec<_> = rows.iter().filter(|row| row["code"] != 0).collect();
        assert_eq!(ends.len(), 1, "{log}");
        *ended.entry(ends[0]["code"].as_i64()).or_insert(0) += 1;
    }
    let text = std::fs::read_to_string(&ran).unwrap();
    let mut numbers: Vec<usize> = text.lines().map(|line| line.parse().unwrap()).collect();
    numbers.sort_unstable();
    let all = numbers.len();
    numbers.dedup();
    println!("{COMMANDS} commands over HTTP: ended {ended:?}, {all} ran");
    assert_eq!(numbers.len(), all, "none ran twice");
    assert_eq!(
        ended.get(&Some(1)),
        Some(&COMMANDS),
        "neither of the two runs commands"
    );
    assert_eq!(all, COMMANDS);
}
