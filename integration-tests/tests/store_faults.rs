//! The database is locked by somebody else, or its disk is full: code 1, nothing lost, and back
//! to work by itself.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a helper that fails has failed its test; what is skipped is said loudly"
)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use gorgone_client::Client;
use gorgone_integration_tests::{History, Node, NodeOptions, accepted, ask, eventually, run_line};
use gorgone_protocol::{Answer, Data, Status, Token};
use serde_json::json;

/// Somebody else who holds the database until its standard input ends.
struct Holder(Child);

impl Holder {
    fn lock(database: &Path) -> Self {
        let script = "import sqlite3, sys\n\
            c = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)\n\
            c.execute('BEGIN EXCLUSIVE')\n\
            print('locked', flush=True)\n\
            sys.stdin.read()\n\
            c.execute('ROLLBACK')\n";
        let mut child = Command::new("python3")
            .args(["-c", script])
            .arg(database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "locked\n");
        Self(child)
    }

    fn let_go(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

async fn command(client: &Client) -> Answer {
    let body = Data::from_value(&json!({ "command": "true" }));
    ask(client, "COMMAND", None, body).await.unwrap()
}

/// What a refusal looks like; returns the token that was not accepted.
fn refused(answer: &Answer) -> Token {
    assert_eq!(answer.status, Status::Nok);
    assert!(answer.data.as_str().contains("message"), "{answer:?}");
    answer.token.clone().unwrap()
}

/// All of them end OK.
async fn all_end(client: &Client, tokens: &[Token]) {
    let mut history = History::default();
    eventually("everything accepted has ended", async || {
        history.read(client).await;
        history.ended(tokens) == tokens.len()
    })
    .await;
    let outcomes = history.outcomes(tokens);
    assert_eq!(outcomes.get("OK"), Some(&tokens.len()), "{outcomes:?}");
}

#[tokio::test]
async fn database_locked_by_somebody_else_loses_nothing() {
    let node = Node::start().await;
    let client = node.client().await;
    let mut tokens = Vec::new();
    let flag = node.path("go");
    let line = format!("while [ ! -e {} ]; do sleep 0.05; done", flag.display());
    for _ in 0..20 {
        tokens.push(accepted(&client, json!({ "command": line, "timeout": 300 })).await);
    }
    let holder = Holder::lock(&node.path("gorgone.sdb"));
    // They end while nothing can be written.
    fs::write(&flag, "").unwrap();
    let not_accepted = refused(&command(&client).await);
    // What needs no writing goes on.
    let answer = ask(&client, "PING", None, Data::empty()).await.unwrap();
    assert_eq!(answer.status, Status::Ok);
    holder.let_go();
    eventually("it recovers by itself", async || {
        let answer = command(&client).await;
        if answer.status == Status::Ok {
            tokens.extend(answer.token);
        }
        answer.status == Status::Ok
    })
    .await;
    all_end(&client, &tokens).await;
    let mut history = History::default();
    history.read(&client).await;
    assert_eq!(history.of(not_accepted.as_str()), [], "it was refused");
}

/// A small disk of its own, as long as it lives.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then_some(Self(folder))
    }

    fn fill(&self) {
        let mut file = fs::File::create(self.0.path().join("filler")).unwrap();
        for size in [65_536, 4096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn clear(&self) {
        fs::remove_file(self.0.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A folder that stays is a temporary one.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn full_disk_loses_nothing() {
    let Some(disk) = SmallDisk::mount() else {
        println!("SKIPPED: full_disk_loses_nothing needs the right to mount a tmpfs");
        return;
    };
    let database = disk.0.path().join("gorgone.sdb");
    let node = Node::start_with(NodeOptions {
        database: Some(database),
        ..NodeOptions::default()
    })
    .await;
    let client = node.client().await;
    let mut tokens = Vec::new();
    let flag = node.path("go");
    let line = format!("while [ ! -e {} ]; do sleep 0.05; done", flag.display());
    for _ in 0..20 {
        tokens.push(accepted(&client, json!({ "command": line, "timeout": 300 })).await);
    }
    disk.fill();
    fs::write(&flag, "").unwrap();
    // What the database's files have room for is still accepted.
    eventually("the disk is full", async || {
        let answer = command(&client).await;
        match answer.status {
            Status::Ok => tokens.extend(answer.token),
            Status::Nok => drop(refused(&answer)),
        }
        answer.status == Status::Nok
    })
    .await;
    let answer = ask(&client, "PING", None, Data::empty()).await.unwrap();
    assert_eq!(answer.status, Status::Ok);
    disk.clear();
    eventually("it recovers by itself", async || {
        let answer = command(&client).await;
        if answer.status == Status::Ok {
            tokens.extend(answer.token);
        }
        answer.status == Status::Ok
    })
    .await;
    all_end(&client, &tokens).await;
    assert!(run_line(&client, "true").await);
    drop(node);
}
