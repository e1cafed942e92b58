//! A process that is killed while it writes: what it acknowledged is there, once.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use gorgone_protocol::{Action, Code, Data, Target, Token};
use gorgone_routing::{NewRow, Record, Task, TaskState};
use gorgone_store::{Change, Filter, Options, Store, TaskStatus};

/// Tells the child where to write; without it the child's part is no test.
const DATABASE: &str = "GORGONE_STORE_CRASH_TEST";

fn accept(token: &Token) -> Change {
    Change::Routing(Record::Accept(Task {
        token: token.clone(),
        action: Action::Command,
        target: Target::Here,
        data: Data::empty(),
        origin: String::new(),
        accepted_ms: 0,
        expires_ms: 0,
        retries: 0,
        attempt: 0,
        state: TaskState::Queued,
        parent: None,
    }))
}

fn finish(token: &Token) -> Change {
    Change::Routing(Record::Finish(NewRow {
        token: token.to_string(),
        code: Code::Ok,
        etime: 1,
        ctime: 1,
        data: "{}".to_owned(),
        sequence: None,
        attempt: None,
    }))
}

/// Writes until it is killed, and says what was acknowledged, a line each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the part of the process that is killed"]
async fn child() {
    let Some(path) = std::env::var_os(DATABASE) else {
        return;
    };
    let store = Store::open(Options::new(path)).await.unwrap();
    let say = |word: &str, token: &Token| {
        let line = format!("{word} {token}\n");
        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    };
    let writers: Vec<_> = (0..32)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0_u64.. {
                    let token = format!("{}-{writer}-{n}", std::process::id());
                    let token = Token::parse(&token).unwrap();
                    store.write(vec![accept(&token)]).await.unwrap();
                    say("accepted", &token);
                    store.write(vec![finish(&token)]).await.unwrap();
                    say("finished", &token);
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
}

/// Kills the child after so many acknowledgements; what it said until then.
fn run_and_kill(path: &Path, after: usize) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(DATABASE, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let (mut accepted, mut finished) = (BTreeSet::new(), BTreeSet::new());
    let mut line = String::new();
    loop {
        line.clear();
        output.read_line(&mut line).unwrap();
        // The last line of a killed process may be half a one.
        if !line.ends_with('\n') {
            break;
        }
        match line.trim_end().split_once(' ') {
            Some(("accepted", token)) => accepted.insert(token.to_owned()),
            Some(("finished", token)) => finished.insert(token.to_owned()),
            _ => continue,
        };
        if accepted.len() + finished.len() == after {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(accepted.len() + finished.len() >= after, "it was killed");
    (accepted, finished)
}

#[tokio::test]
async fn what_was_acknowledged_outlives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gorgone.sdb");
    let (mut accepted, mut finished) = (BTreeSet::new(), BTreeSet::new());
    for after in [1, 37, 150, 801, 2_003] {
        let (a, f) = run_and_kill(&path, after);
        accepted.extend(a);
        finished.extend(f);

        let store = Store::open(Options::new(&path)).await.unwrap();
        for token in &accepted {
            let token = Token::parse(token).unwrap();
            let status = store.task(&token).await.unwrap();
            assert!(status.is_some(), "{token} was accepted and is lost");
            let ended = matches!(status, Some(TaskStatus::Finished { .. }));
            let filter = Filter {
                token: Some(token.to_string()),
                ..Filter::default()
            };
            let rows = store.history(&filter).await.unwrap().rows.len();
            assert_eq!(rows, usize::from(ended), "{token}: state and row disagree");
            assert!(ended || !finished.contains(token.as_str()), "{token} ended");
        }
        store.close().await.unwrap();
    }
}
