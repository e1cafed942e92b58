//! What services say about themselves, as a container's health check and a probe ask them.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests are not inside a test function"
)]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gorgone_integration_tests::{Node, NodeOptions, accepted, ended, eventually, free_port};
use gorgone_protocol::{Action, Data, Target};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A service that is killed with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder with the configuration of a node whose core tells how it is on this port.
fn folder(port: u16) -> TempDir {
    let dir = TempDir::new().unwrap();
    let path = dir.path().display();
    let config = format!(
        "gorgonecore:\n  id: 1\n  internal_com_type: ipc\n  internal_com_path: {path}/bus.ipc\n  \
         gorgone_db_name: {path}/gorgone.sdb\n  metrics_port: {port}\n\
         modules:\n  - name: action\n    enable: true\n"
    );
    fs::write(dir.path().join("gorgoned.yml"), config).unwrap();
    dir
}

fn program(folder: &Path, name: &str) -> Command {
    let mut program = Node::program(name);
    program.arg("--config").arg(folder.join("gorgoned.yml"));
    program
}

fn start(mut program: Command) -> Running {
    let program = program.stdin(Stdio::null()).stderr(Stdio::null());
    Running(program.spawn().unwrap())
}

/// What the verb `health` says, and its exit code.
fn health(mut program: Command) -> (i32, String) {
    let output = program.arg("health").output().unwrap();
    let words = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), words.trim().to_owned())
}

/// Status and body of what a service says under a path.
fn get(port: u16, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

#[tokio::test]
async fn service_says_whether_it_can_be_used_and_why_not() {
    let (core_port, action_port) = (free_port(), free_port());
    let dir = folder(core_port);
    let core = || program(dir.path(), "gorgone-core");
    let action = || {
        let mut action = program(dir.path(), "gorgone-action");
        action.arg(format!("--monitor=127.0.0.1:{action_port}"));
        action
    };
    let (code, words) = health(core());
    assert_eq!(code, 1, "{words}");
    assert!(
        words.starts_with("gorgone-core: no answer from 127.0.0.1:"),
        "{words}"
    );

    let _action = start(action());
    eventually("action says what is missing", async || {
        let waits = "gorgone-action: not ready: core: has not answered yet".to_owned();
        health(action()) == (1, waits)
    })
    .await;
    assert_eq!(
        get(action_port, "/healthz").0,
        200,
        "its loop turns all the same"
    );

    let running = start(core());
    eventually("core is ready", async || {
        health(core()) == (0, "gorgone-core: ready".to_owned())
    })
    .await;
    eventually("action is ready", async || health(action()).0 == 0).await;
    let (status, body) = get(core_port, "/readyz");
    assert_eq!(status, 200);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["status"], "ok");
    assert_eq!(body["checks"]["store"], "ok");
    assert_eq!(body["checks"]["listeners"], "ok");
    let (status, metrics) = get(core_port, "/metrics");
    assert_eq!(status, 200);
    assert!(metrics.contains("\ngorgone_ready 1\n"), "{metrics}");
    assert_eq!(get(core_port, "/").0, 404);

    drop(running);
    eventually("action has lost core", async || {
        let lost = "gorgone-action: not ready: core: the connection is lost".to_owned();
        health(action()) == (1, lost)
    })
    .await;
}

#[test]
fn health_of_a_service_that_tells_nobody_says_what_to_set() {
    let dir = folder(0);
    let (code, words) = health(program(dir.path(), "gorgone-core"));
    assert_eq!(code, 2);
    assert!(words.contains("set gorgonecore.metrics_port"), "{words}");
}

#[tokio::test]
async fn port_that_is_taken_is_named_with_its_key() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = folder(taken.local_addr().unwrap().port());
    let output = program(dir.path(), "gorgone-core").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(
        log.contains("cannot bind gorgonecore.metrics_port"),
        "{log}"
    );
}

/// The folder of Prometheus's files.
fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/observability/prometheus")
}

fn promtool(args: &[&str], input: &str) {
    let mut child = Command::new("promtool")
        .args(args)
        .current_dir(deploy())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&said)
    );
}

/// The value of a query that has one; none while Prometheus starts.
fn query(port: u16, query: &str) -> Option<f64> {
    let (_, body) = get(port, &format!("/api/v1/query?query={query}"));
    let body: Value = serde_json::from_str(&body).ok()?;
    body["data"]["result"][0]["value"][1].as_str()?.parse().ok()
}

#[test]
fn every_alert_is_well_formed_and_fires_when_it_should() {
    promtool(&["check", "config", "prometheus.yml"], "");
    promtool(&["test", "rules", "gorgone.rules.test.yml"], "");
}

#[tokio::test]
async fn prometheus_scrapes_every_service_and_evaluates_every_alert() {
    let ports: [u16; 4] = std::array::from_fn(|_| free_port());
    let [core, action, cron, proxy] = ports;
    let node = Node::start_with(NodeOptions {
        core: format!("  metrics_port: {core}"),
        action: format!("    metrics_port: {action}"),
        modules: format!(
            "  - name: cron\n    enable: true\n    metrics_port: {cron}\n  \
             - name: proxy\n    enable: true\n    metrics_port: {proxy}\n"
        ),
        http: Some(String::new()),
        ..NodeOptions::default()
    })
    .await;
    let dir = TempDir::new().unwrap();
    let targets: Vec<String> = ports
        .iter()
        .map(|port| format!("127.0.0.1:{port}"))
        .collect();
    let config = json!({
        "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
        "rule_files": [deploy().join("gorgone.rules.yml").canonicalize().unwrap()],
        "scrape_configs": [{ "job_name": "gorgone", "static_configs": [
            { "targets": targets }, { "targets": [node.metrics()] }] }],
    });
    let file = dir.path().join("prometheus.yml");
    fs::write(&file, config.to_string()).unwrap();
    let port = free_port();
    let mut prometheus = Command::new("prometheus");
    prometheus
        .arg(format!("--config.file={}", file.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            dir.path().join("data").display()
        ))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let _prometheus = start(prometheus);

    let client = node.client().await;
    let good = accepted(&client, json!({ "command": "true" })).await;
    let bad = accepted(&client, json!({ "command": "exit 3" })).await;
    ended(&client, &good).await;
    ended(&client, &bad).await;
    eventually("all are up, and have said what they are", async || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
            && query(port, "sum(up)") == Some(5.0)
            && query(port, "sum(gorgone_ready)") == Some(5.0)
            && query(port, "count(gorgone_build_info)") == Some(5.0)
            && query(port, "sum(gorgone_cron_leads)") == Some(1.0)
    })
    .await;
    eventually("both ends are counted", async || {
        let ends = |outcome: &str| {
            let labels = format!("%7Baction=%22COMMAND%22,outcome=%22{outcome}%22%7D");
            query(port, &format!("gorgone_tasks_ended_total{labels}"))
        };
        ends("ok") == Some(1.0) && ends("failed") == Some(1.0)
    })
    .await;
    eventually("every alert was evaluated", async || {
        let (_, body) = get(port, "/api/v1/rules");
        let body: Value = serde_json::from_str(&body).unwrap();
        let rules = body["data"]["groups"][0]["rules"].as_array().unwrap();
        assert!(rules.iter().all(|rule| rule["health"] != "err"), "{body}");
        rules.len() > 10 && rules.iter().all(|rule| rule["health"] == "ok")
    })
    .await;

    let texts: Vec<String> = ports.iter().map(|port| get(*port, "/metrics").1).collect();
    for text in &texts {
        promtool(&["check", "metrics"], text);
        for token in [&good, &bad] {
            assert!(!text.contains(token.as_str()), "a token is no label");
        }
    }
    let told = texts.concat()
        + &get(
            node.metrics().split(':').nth(1).unwrap().parse().unwrap(),
            "/metrics",
        )
        .1;
    let documented = fs::read_to_string(deploy().join("../../../docs/monitoring.md")).unwrap();
    for line in told.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().unwrap();
        assert!(
            documented.contains(&format!("`{name}`")),
            "docs/monitoring.md lacks {name}"
        );
    }
}

#[tokio::test]
async fn peers_that_are_refused_and_names_they_make_up_are_counted_by_closed_sets() {
    let port = free_port();
    let node = Node::start_with(NodeOptions {
        core: format!("  metrics_port: {port}"),
        ..NodeOptions::default()
    })
    .await;
    let client = node.client().await;
    for name in ["MADEUP1", "MADEUP2"] {
        let action = Action::parse(name);
        let target = Target::Here;
        let data = Data::empty();
        let _refused = client.request(action, target, data, PATIENCE).await;
    }
    let context = zmq::Context::new();
    let stranger = context.socket(zmq::DEALER).unwrap();
    stranger.connect(&node.endpoint()).unwrap();
    stranger.send("good day", 0).unwrap();
    let answer = stranger.recv_string(0).unwrap().unwrap();
    assert!(answer.contains("handshake issue"), "{answer}");
    let (_, text) = get(port, "/metrics");
    let has = |line: &str| assert!(text.lines().any(|one| one == line), "{line} in {text}");
    has("gorgone_requests_total{origin=\"external\",action=\"other\"} 2");
    has("gorgone_handshakes_refused_total{reason=\"nonsense\"} 1");
    assert!(!text.contains("MADEUP"), "{text}");
}

#[tokio::test]
async fn log_lines_are_json_follow_the_level_and_hold_no_payload() {
    let node = Node::start_with(NodeOptions {
        http: Some(String::new()),
        ..NodeOptions::default()
    })
    .await;
    let client = node.client().await;
    let body = json!({ "command": "echo payload-$PIN", "env": { "PIN": "hush-env" } });
    let token = accepted(&client, body).await;
    ended(&client, &token).await;
    let mut stream = TcpStream::connect(node.http()).unwrap();
    write!(
        stream,
        "GET /api/log HTTP/1.0\r\nauthorization: Bearer hush-token\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(" 401 "), "{answer}");
    let is_debug = |line: &Value| line["level"] == "DEBUG";
    let log = |node: &Node| -> Vec<Value> {
        let lines = node.log();
        let lines = lines.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().unwrap()
    };
    let lines = log(&node);
    assert!(!lines.iter().any(is_debug), "{lines:?}");
    assert!(lines.iter().all(|line| line["level"].is_string()));
    for hidden in ["payload-", "hush-", "BEGIN", "secret"] {
        assert!(!node.log().contains(hidden), "{hidden} in {}", node.log());
    }
    let data = Data::from_value(&json!({ "severity": "debug" }));
    let action = Action::parse("BCASTLOGGER");
    let answer = client.request(action, Target::Here, data, PATIENCE).await;
    answer.unwrap();
    eventually("core, action and httpserver follow", async || {
        let says = |line: &&Value| line["severity"] == "debug";
        log(&node).iter().filter(says).count() == 3
    })
    .await;
}
