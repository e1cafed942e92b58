//! What services say about themselves, as a container's health check and a probe ask them.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests are not inside a test function"
)]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use gorgone_integration_tests::{Node, eventually, free_port};
use serde_json::Value;
use tempfile::TempDir;

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
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
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
