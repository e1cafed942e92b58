use gorgone_integration_tests::{Node, ask};
use gorgone_protocol::{Data, Status};
use serde_json::{Value, json};

use crate::support::{ctl, shell};

/// Stores a row of its own in the history.
async fn put(node: &Node, name: &str, code: i64, data: Value) {
    let client = node.client().await;
    let body = json!({ "token": name, "code": code, "etime": 1_700_000_000, "data": data });
    let answer = ask(&client, "PUTLOG", None, Data::from_value(&body)).await;
    assert_eq!(answer.unwrap().status, Status::Ok);
}

fn ids(rows: &[Value]) -> Vec<i64> {
    rows.iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn log_shows_the_rows_of_a_token() {
    let node = Node::start().await;
    let name = ctl(&node, &["command", "--detach", "echo hello; exit 3"]).await;
    assert_eq!(name.code, 0);
    let name = name.out.trim();
    let followed = ctl(&node, &["log", "--follow", name]).await;
    assert_eq!(followed.code, 1, "it ended KO");
    let said = ctl(&node, &["log", name]).await;
    assert_eq!(said.code, 0);
    assert_eq!(said.out, followed.out);
    let last = said.out.lines().last().unwrap();
    for words in ["KO", "reason=failed", "exit_code=3", name] {
        assert!(last.contains(words), "{last}");
    }
    let rows = ctl(&node, &["--json", "log", name]).await.json();
    let last = rows.last().unwrap();
    assert_eq!(last["code"], 2);
    assert_eq!(last["token"], name);
    assert_eq!(last["data"]["stdout"], "hello\n");
    let none = ctl(&node, &["log", "nobody-knows-it"]).await;
    assert_eq!((none.out.as_str(), none.code), ("", 0));
    ctl(&node, &["--patience", "1", "log", "-f", "nobody-knows-it"])
        .await
        .one_line_error("nothing is known of a request with token 'nobody-knows-it'");
}

#[tokio::test]
async fn log_shows_the_newest_rows_where_nothing_says_where_to_begin() {
    let node = Node::start().await;
    for number in 0..40 {
        let name = if number % 2 == 0 { "even" } else { "odd" };
        put(&node, name, 100 + number % 2, json!({ "number": number })).await;
    }
    let all = ctl(&node, &["--json", "log", "--id", "0"]).await.json();
    let all = ids(&all);
    assert_eq!(all.len(), 40);
    let log = async |args: &[&str]| {
        let words: Vec<_> = ["--json", "log"].iter().chain(args).copied().collect();
        ids(&ctl(&node, &words).await.json())
    };
    assert_eq!(log(&[]).await, all[15..]);
    assert_eq!(log(&["--limit", "3"]).await, all[37..]);
    assert_eq!(log(&["--limit", "0"]).await, Vec::<i64>::new());
    assert_eq!(log(&["-n", "1", "even"]).await, all[38..39]);
    assert_eq!(log(&["--code", "101", "-n", "2"]).await, [all[37], all[39]]);
    // With an id it goes on from there instead.
    let after = all[9].to_string();
    assert_eq!(log(&["--id", &after, "-n", "2"]).await, all[10..12]);
    assert_eq!(log(&["even"]).await.len(), 20);
    assert_eq!(log(&["--since", "1h"]).await, all);
    assert_eq!(log(&["--until", "2001-09-09"]).await, Vec::<i64>::new());
    assert_eq!(log(&["--since", "yesterday", "-n", "1"]).await, all[39..]);
}

#[tokio::test]
async fn rows_are_filtered_by_code_and_time() {
    let node = Node::start().await;
    put(&node, "a", 0, json!({ "message": "proceeds" })).await;
    put(&node, "a", 1, json!({ "message": "well" })).await;
    put(
        &node,
        "b",
        2,
        json!({ "message": "badly", "reason": "failed" }),
    )
    .await;
    for (code, words) in [
        ("proceed", "proceeds"),
        ("ok", "well"),
        ("KO", "badly"),
        ("2", "badly"),
    ] {
        let said = ctl(&node, &["log", "--code", code]).await;
        assert_eq!(said.out.lines().count(), 1, "{code}: {}", said.out);
        assert!(said.out.contains(words), "{}", said.out);
    }
    let mut zone = node.ctl(&["log", "--code", "ok"]);
    zone.env("TZ", "Asia/Tokyo");
    let said = crate::support::say(zone).await;
    assert!(said.out.contains("2023-11-15 07:13:20"), "{}", said.out);
}

#[tokio::test]
async fn what_others_wrote_cannot_steer_the_terminal() {
    let node = Node::start().await;
    let nasty = "red \x1b[31m\u{9b}2J\r\nend \u{202e}";
    put(&node, "nasty", 0, json!({ "message": nasty })).await;
    let said = ctl(&node, &["log", "nasty"]).await;
    assert_eq!(said.out.lines().count(), 1);
    assert!(
        said.out.contains(r"red \u{1b}[31m\u{9b}2J\r\nend \u{202e}"),
        "{}",
        said.out
    );
    let said = ctl(&node, &["--json", "log", "nasty"]).await;
    assert!(said.out.is_ascii(), "{}", said.out);
    assert_eq!(said.json()[0]["data"]["message"], nasty);
}

#[tokio::test]
async fn rows_come_as_they_are_written_and_a_closed_pipe_ends_it_quietly() {
    let node = Node::start().await;
    put(&node, "before", 0, json!({ "message": "before" })).await;
    let writer = async {
        for number in 0..20 {
            put(
                &node,
                "later",
                0,
                json!({ "message": format!("row {number}") }),
            )
            .await;
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    };
    // The first line is from before; the pipe is closed when the second one is there.
    let line = "gorgonectl log -f | head -2; echo ${PIPESTATUS[0]}";
    let (said, ()) = tokio::join!(shell(&node, line), writer);
    let lines: Vec<_> = said.out.lines().collect();
    assert_eq!(lines.len(), 3, "{}", said.out);
    assert!(
        lines[0].contains("before") && lines[1].contains("row"),
        "{}",
        said.out
    );
    assert_eq!((lines[2], said.err.as_str()), ("0", ""));
}
