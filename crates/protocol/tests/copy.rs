//! Copies: what their bodies say, and what no body may say.
#![allow(clippy::unwrap_used)]

use gorgone_protocol::request::copy::{
    Begin, CopyTask, Kind, Mode, OldKind, Problem, ProcessCopy, Read, ReadStep, State, Sum, Taken,
    Trouble, Write, WriteStep, is_chunk, without_payload,
};
use gorgone_protocol::{Action, Answer, Data, Token};
use serde_json::{Value, json};

fn data(value: Value) -> Data {
    Data::from_value(&value)
}

fn begin() -> Begin {
    Begin {
        kind: Kind::Tar,
        name: "conf".to_owned(),
        destination: "/etc/x/".to_owned(),
        size: 10,
        files: 2,
        print: "p".to_owned(),
        mode: Mode::new(0o755),
        mtime: 5,
        set_mode: None,
        owner: None,
        group: Some("adm".to_owned()),
    }
}

fn copy() -> Token {
    Token::parse("t-1").unwrap()
}

#[test]
fn a_task_is_read_in_both_spellings_and_written_so_that_it_reads_the_same() {
    let plain = json!({ "source": "/a", "destination": "/b/", "mode": "0640", "owner": 5 });
    let task = CopyTask::decode(&data(plain.clone())).unwrap();
    assert_eq!(task.owner.as_deref(), Some("5"));
    assert_eq!(task.mode, Some(Mode::new(0o640)));
    let around = json!({ "content": plain, "ttl": 5 });
    assert_eq!(CopyTask::decode(&data(around)).unwrap(), task);
    assert_eq!(CopyTask::decode(&task.encode()).unwrap(), task);
    let old = json!({ "content": { "source": "/a", "destination": "/b", "cache_dir": "/c",
        "type": "regular", "owner": "centreon", "group": "centreon" } });
    assert!(CopyTask::decode(&data(old)).is_ok());
}

#[test]
fn a_task_that_cannot_be_meant_is_refused_in_words() {
    for (body, words) in [
        (json!(5), "it is a number"),
        (json!({ "content": [] }), "it is a list"),
        (json!({ "destination": "/b" }), "'source' is missing"),
        (
            json!({ "source": "a", "destination": "/b" }),
            "'source' must be an absolute path",
        ),
        (
            json!({ "source": "/a", "destination": "/b\u{0}" }),
            "'destination' has a character",
        ),
        (
            json!({ "source": "/a", "destination": 7 }),
            "'destination' must be a text",
        ),
        (
            json!({ "source": "/a", "destination": "/b", "mode": 644 }),
            "octal digits in quotes",
        ),
        (
            json!({ "source": "/a", "destination": "/b", "mode": "4755" }),
            "octal digits",
        ),
        (
            json!({ "source": "/a", "destination": "/b", "owner": [] }),
            "'owner' must be a name",
        ),
    ] {
        let error = CopyTask::decode(&data(body.clone()))
            .unwrap_err()
            .to_string();
        assert!(error.contains(words), "{body}: {error}");
    }
}

#[test]
fn every_step_reads_as_it_was_written() {
    for step in [
        WriteStep::Begin(begin()),
        WriteStep::Data {
            offset: 7,
            data: vec![0, 255, 3],
            sums: vec![Sum {
                at: 10,
                sha256: "ab".to_owned(),
            }],
        },
        WriteStep::End,
        WriteStep::Abort,
    ] {
        let write = Write { copy: copy(), step };
        assert_eq!(
            ProcessCopy::decode(&write.encode()).unwrap(),
            ProcessCopy::Step(write)
        );
    }
    for step in [
        ReadStep::Open {
            source: "/a".to_owned(),
        },
        ReadStep::Read {
            offset: 5,
            length: 6,
        },
        ReadStep::Close,
    ] {
        let read = Read { copy: copy(), step };
        assert_eq!(Read::decode(&read.encode()).unwrap(), read);
    }
}

#[test]
fn steps_that_name_no_place_or_too_much_are_refused() {
    for (member, value) in [
        ("destination", json!("etc/x")),
        ("name", json!("../x")),
        ("name", json!("..")),
        ("name", json!("")),
        ("kind", json!("device")),
        ("mode", json!("7777")),
        ("size", json!(-1)),
    ] {
        let write = Write {
            copy: copy(),
            step: WriteStep::Begin(begin()),
        };
        let mut body: Value = write.encode().decode().unwrap();
        body[member] = value;
        let problem = ProcessCopy::decode(&data(body.clone())).unwrap_err();
        assert_eq!(problem.trouble, Trouble::Rejected, "{body}");
    }
    let long = json!({ "copy": "t", "step": "read", "offset": 0, "length": 2_000_000 });
    assert!(Read::decode(&data(long)).is_err());
}

#[test]
fn the_chunks_of_older_daemons_are_read() {
    let chunk = json!({ "content": { "status": "inprogress", "type": "regular",
        "chunk": { "data": "YWJj\nZA==\n", "size": 4 }, "md5": null,
        "destination": "/b", "cache_dir": "/c" } });
    let ProcessCopy::Old(old) = ProcessCopy::decode(&data(chunk.clone())).unwrap() else {
        panic!("not in the old form");
    };
    assert_eq!(old.chunk.as_deref(), Some(&b"abcd"[..]));
    assert!(is_chunk(&Action::ProcessCopy, &data(chunk)));
    let end = json!({ "content": { "status": "end", "type": "archive", "chunk": null,
        "md5": "AB", "destination": "/b", "cache_dir": "/c" } });
    let ProcessCopy::Old(old) = ProcessCopy::decode(&data(end.clone())).unwrap() else {
        panic!("not in the old form");
    };
    assert_eq!(
        (old.kind, old.md5.as_deref()),
        (OldKind::Archive, Some("ab"))
    );
    assert!(!is_chunk(&Action::ProcessCopy, &data(end)));
}

#[test]
fn only_what_carries_bytes_counts_as_a_chunk_and_its_bytes_are_left_out_for_people() {
    let write = |step| Write { copy: copy(), step }.encode();
    let chunk = write(WriteStep::Data {
        offset: 0,
        data: b"secret".to_vec(),
        sums: Vec::new(),
    });
    assert!(is_chunk(&Action::ProcessCopy, &chunk));
    assert!(!is_chunk(
        &Action::ProcessCopy,
        &write(WriteStep::Begin(begin()))
    ));
    assert!(!is_chunk(&Action::Command, &chunk));
    assert!(!is_chunk(&Action::ProcessCopy, &data(json!("data"))));
    let kept = without_payload(&chunk);
    assert!(!kept.as_str().contains("c2VjcmV0") && kept.as_str().contains("t-1"));
}

#[test]
fn an_answer_tells_how_far_the_copy_is_or_what_can_be_done_about_it() {
    let taken = Taken {
        state: State::Taking,
        offset: 9,
        path: None,
    };
    assert_eq!(Taken::decode(&taken.answer(None)).unwrap(), taken);
    for trouble in [
        Trouble::Rejected,
        Trouble::Failed,
        Trouble::Begin,
        Trouble::Later,
    ] {
        let problem = Problem::new(trouble, "words");
        assert_eq!(Taken::decode(&problem.answer(None)).unwrap_err(), problem);
    }
    let down = Answer::refused_with(None, json!({ "message": "m", "error": "unreachable" }));
    assert_eq!(Taken::decode(&down).unwrap_err().trouble, Trouble::Later);
    let old = Answer::ok(None, data(json!({ "message": "received" })));
    assert_eq!(Taken::decode(&old).unwrap_err().trouble, Trouble::Rejected);
}
