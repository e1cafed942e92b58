//! ENGINECOMMAND: lines reach the engine's pipe, or it is said why not, and nothing hangs.
#![allow(clippy::unwrap_used)] // in helpers of the tests too

mod support;

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use gorgone_action::Kind;
use gorgone_action::settings::Settings;
use gorgone_protocol::Code;
use nix::sys::stat::Mode;
use serde_json::{Value, json};
use support::{Bed, Folder, settings};

fn pipe_in(folder: &Folder) -> PathBuf {
    let path = folder.0.join("engine.cmd");
    nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
    path
}

/// Opened for both, so that it does not wait for a writer and sees no end.
fn engine(path: &Path) -> File {
    File::options().read(true).write(true).open(path).unwrap()
}

fn with_pipe(path: &Path) -> Bed {
    Bed::new(&Settings {
        engine_pipe: path.to_owned(),
        ..settings()
    })
}

fn said(data: &Value, word: &str, reason: &str) {
    assert_eq!(
        (&data["error"], &data["reason"]),
        (&json!(word), &json!(reason)),
        "{data}"
    );
}

#[tokio::test]
async fn lines_arrive_in_order_each_with_one_line_break() {
    let folder = Folder::new("lines");
    let path = pipe_in(&folder);
    let mut reader = BufReader::new(engine(&path));
    let mut bed = with_pipe(&path);
    let (code, data) = bed
        .engine(json!({"command": "[1] ENABLE_HOST_CHECK;host1"}))
        .await;
    assert_eq!(
        (code, &data["message"]),
        (Code::Ok, &json!("command has been submitted"))
    );
    let (code, _) = bed
        .engine(json!({"command": ["[2] A", "[3] B\n"], "engine_pipe": path.to_str()}))
        .await;
    assert_eq!(code, Code::Ok);
    for expected in ["[1] ENABLE_HOST_CHECK;host1\n", "[2] A\n", "[3] B\n"] {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert_eq!(line, expected);
    }
}

#[tokio::test]
async fn requests_keep_their_order() {
    let folder = Folder::new("order");
    let path = pipe_in(&folder);
    let mut reader = BufReader::new(engine(&path));
    let mut bed = with_pipe(&path);
    for number in 0..100 {
        bed.hand_over(Kind::Engine, &json!({"command": format!("[1] {number}")}))
            .await;
        if number % 2 == 1 {
            bed.rows_to_end().await;
            bed.rows_to_end().await;
        }
    }
    for number in 0..100 {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert_eq!(line, format!("[1] {number}\n"));
    }
}

#[tokio::test]
async fn bulk_larger_than_the_pipe_goes_through_as_it_is_read() {
    let folder = Folder::new("bulk");
    let path = pipe_in(&folder);
    let mut reader = BufReader::new(engine(&path));
    let read = std::thread::spawn(move || {
        let mut line = String::new();
        for number in 0..20_000 {
            line.clear();
            reader.read_line(&mut line).unwrap();
            assert_eq!(line, format!("[1] PROCESS_SERVICE_CHECK_RESULT;{number}\n"));
        }
        let mut long = vec![0; 10_001];
        reader.read_exact(&mut long).unwrap();
        assert_eq!((long[0], long[10_000]), (b'x', b'\n'));
    });
    let mut lines: Vec<String> = (0..20_000)
        .map(|number| format!("[1] PROCESS_SERVICE_CHECK_RESULT;{number}"))
        .collect();
    lines.push("x".repeat(10_000));
    let mut bed = Bed::new(&Settings {
        engine_pipe: path.clone(),
        engine_timeout: std::time::Duration::from_secs(30),
        ..settings()
    });
    let (code, data) = bed.engine(json!({"command": lines})).await;
    assert_eq!(
        (code, &data["message"]),
        (Code::Ok, &json!("20001 commands have been submitted"))
    );
    read.join().unwrap();
}

#[tokio::test]
async fn what_is_wrong_with_the_pipe_is_said() {
    let folder = Folder::new("wrong");
    let path = folder.0.join("engine.cmd");
    let mut bed = with_pipe(&path);
    said(
        &bed.engine(json!({"command": "a"})).await.1,
        "missing",
        "failed",
    );
    std::fs::write(&path, "file").unwrap();
    said(
        &bed.engine(json!({"command": "a"})).await.1,
        "not_a_pipe",
        "failed",
    );
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "file",
        "and it is not touched"
    );
    said(
        &bed.engine(json!({"command": "a", "engine_pipe": "/tmp"}))
            .await
            .1,
        "not_a_pipe",
        "failed",
    );
    let below = path.join("engine.cmd");
    said(
        &bed.engine(json!({"command": "a", "engine_pipe": below}))
            .await
            .1,
        "not_writable",
        "failed",
    );
    let (code, data) = bed.engine(json!({"command": "a\nb"})).await;
    assert_eq!((code, &data["reason"]), (Code::Ko, &json!("rejected")));
}

#[tokio::test]
async fn pipe_that_nobody_reads_times_out() {
    let folder = Folder::new("unread");
    let path = pipe_in(&folder);
    let mut bed = with_pipe(&path);
    let (code, data) = bed.engine(json!({"command": "a"})).await;
    assert_eq!(code, Code::Ko);
    said(&data, "timed_out", "timeout");
    assert!(
        data["message"]
            .as_str()
            .unwrap()
            .starts_with("nobody reads"),
        "{data}"
    );
}

#[tokio::test]
async fn full_pipe_times_out_and_says_how_far_it_came() {
    let folder = Folder::new("full");
    let path = pipe_in(&folder);
    let _stuck = engine(&path);
    let lines = vec!["x".repeat(1023); 100];
    let (code, data) = with_pipe(&path).engine(json!({"command": lines})).await;
    assert_eq!(code, Code::Ko);
    said(&data, "timed_out", "timeout");
    assert!(
        data["message"]
            .as_str()
            .unwrap()
            .contains("(64 of 100 lines"),
        "{data}"
    );
}

#[tokio::test]
async fn engine_that_comes_back_in_time_gets_the_line() {
    let folder = Folder::new("late");
    let path = pipe_in(&folder);
    let mut bed = Bed::new(&Settings {
        engine_pipe: path.clone(),
        engine_timeout: std::time::Duration::from_secs(30),
        ..settings()
    });
    bed.hand_over(Kind::Engine, &json!({"command": "late"}))
        .await;
    // A reader that waits for a writer.
    let reading = std::thread::spawn(move || {
        let file = File::options()
            .read(true)
            .custom_flags(0)
            .open(path)
            .unwrap();
        let mut line = String::new();
        BufReader::new(file).read_line(&mut line).unwrap();
        line
    });
    assert_eq!(bed.rows_to_end().await.pop().unwrap().code, Code::Ok);
    assert_eq!(reading.join().unwrap(), "late\n");
}

#[tokio::test]
async fn cancel_ends_the_wait_for_a_reader() {
    let folder = Folder::new("cancel");
    let path = pipe_in(&folder);
    let mut bed = Bed::new(&Settings {
        engine_pipe: path,
        engine_timeout: std::time::Duration::from_secs(600),
        ..settings()
    });
    let token = bed.hand_over(Kind::Engine, &json!({"command": "a"})).await;
    bed.runner.cancel(&token);
    said(
        &bed.rows_to_end().await.pop().unwrap().data,
        "ended",
        "cancelled",
    );
}

#[tokio::test]
async fn allow_list_keeps_other_pipes_out() {
    let folder = Folder::new("allowed");
    let path = pipe_in(&folder);
    let _reader = engine(&path);
    let mut bed = Bed::new(&Settings {
        whitelist: true,
        engine_pipe: path.clone(),
        ..settings()
    });
    said(
        &bed.engine(json!({"command": "a", "engine_pipe": "/tmp/other"}))
            .await
            .1,
        "not_allowed",
        "rejected",
    );
    assert_eq!(
        bed.engine(json!({"command": "a", "engine_pipe": path}))
            .await
            .0,
        Code::Ok
    );
}
