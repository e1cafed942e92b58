//! A runner, and what it says.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)] // each test file uses its part

use std::path::PathBuf;
use std::time::Duration;

use gorgone_action::settings::Settings;
use gorgone_action::{Kind, Request, Row, Runner};
use gorgone_protocol::{Code, Data, Token};
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;

/// Long enough that only a hang reaches it.
const HANG: Duration = Duration::from_secs(60);

pub(crate) struct Bed {
    pub(crate) runner: Runner,
    pub(crate) rows: Receiver<Row>,
    next: u32,
}

/// Settings with short delays, and with the real program as helper.
pub(crate) fn settings() -> Settings {
    Settings {
        kill_delay: Duration::from_millis(200),
        linger: Duration::from_millis(200),
        engine_timeout: Duration::from_millis(200),
        helper: Some(PathBuf::from(env!("CARGO_BIN_EXE_gorgone-action"))),
        ..Settings::default()
    }
}

impl Bed {
    pub(crate) fn new(settings: &Settings) -> Self {
        let (runner, rows) = Runner::new(settings).unwrap();
        Self {
            runner,
            rows,
            next: 0,
        }
    }

    pub(crate) async fn hand_over(&mut self, kind: Kind, body: &Value) -> Token {
        self.next += 1;
        let token = Token::parse(&format!("token-{}", self.next)).unwrap();
        let request = request(&token, kind, body);
        self.runner.submit(request).await;
        token
    }

    pub(crate) async fn submit(&mut self, body: Value) -> Token {
        self.hand_over(Kind::Command, &body).await
    }

    pub(crate) async fn row(&mut self) -> Row {
        tokio::time::timeout(HANG, self.rows.recv())
            .await
            .expect("no row came")
            .expect("the runner is gone")
    }

    /// All rows of the only running request.
    pub(crate) async fn rows_to_end(&mut self) -> Vec<Row> {
        let mut rows = Vec::new();
        loop {
            let row = self.row().await;
            let last = row.code.is_terminal();
            rows.push(row);
            if last {
                return rows;
            }
        }
    }

    pub(crate) async fn run_all(&mut self, body: Value) -> Vec<Row> {
        let token = self.submit(body).await;
        let rows = self.rows_to_end().await;
        assert!(rows.iter().all(|row| row.token == token));
        rows
    }

    /// The finishing row.
    pub(crate) async fn run(&mut self, body: Value) -> (Code, Value) {
        let last = self.run_all(body).await.pop().unwrap();
        (last.code, last.data)
    }

    pub(crate) async fn sh(&mut self, line: &str) -> (Code, Value) {
        self.run(json!({ "command": line })).await
    }

    pub(crate) async fn engine(&mut self, body: Value) -> (Code, Value) {
        self.hand_over(Kind::Engine, &body).await;
        let last = self.rows_to_end().await.pop().unwrap();
        (last.code, last.data)
    }

    /// Waits for output that contains the text, and gives all of it until then.
    pub(crate) async fn until_output(&mut self, text: &str) -> String {
        let mut seen = String::new();
        loop {
            let row = self.row().await;
            assert!(!row.code.is_terminal(), "ended first: {:?}", row.data);
            seen.push_str(row.data["output"].as_str().unwrap_or_default());
            if seen.contains(text) {
                return seen;
            }
        }
    }
}

pub(crate) fn request(token: &Token, kind: Kind, body: &Value) -> Request {
    Request {
        token: token.clone(),
        attempt: 1,
        kind,
        data: Data::from_value(body),
    }
}

/// Waits for something that happens soon, and fails if it does not.
pub(crate) async fn soon(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = tokio::time::Instant::now() + HANG;
    while !is_so() {
        assert!(tokio::time::Instant::now() < until, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether a process exists and is not a zombie.
pub(crate) fn is_alive(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
        .is_ok_and(|stat| !stat.rsplit(") ").next().unwrap_or("Z").starts_with('Z'))
}

/// A folder that is gone at the end.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
