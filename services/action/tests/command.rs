//! COMMAND: what runs, how it ends, and what is said about it.
#![allow(clippy::unwrap_used)] // in helpers of the tests too

mod support;

use gorgone_action::Kind;
use gorgone_action::settings::Settings;
use gorgone_protocol::{Code, Token};
use serde_json::{Value, json};
use std::time::Duration;
use support::{Bed, Folder, is_alive, request, settings, soon};

fn bed() -> Bed {
    Bed::new(&settings())
}

#[tokio::test]
async fn finishing_row_holds_both_outputs_together_and_apart() {
    let rows = bed()
        .run_all(json!({"command": "echo a; echo b >&2", "metadata": {"x": [1]}}))
        .await;
    assert_eq!(rows.len(), 1, "a short command shows its output at its end");
    let last = &rows[0].data;
    assert_eq!(rows[0].code, Code::Ok);
    assert_eq!(last["stdout"], "a\nb\n");
    assert_eq!(last["output"], json!({"out": "a\n", "err": "b\n"}));
    assert_eq!(last["exit_code"], 0);
    assert_eq!(last["metadata"], json!({"x": [1]}));
    assert!(last["start"].as_i64().unwrap() > 0);
    assert!(last["end"].as_i64() >= last["start"].as_i64());
    assert_eq!(last.get("reason"), None);
}

#[tokio::test]
async fn non_zero_exit_is_ko_unless_errors_are_tolerated() {
    let mut bed = bed();
    let (code, data) = bed.sh("echo before; exit 3").await;
    assert_eq!((code, &data["reason"]), (Code::Ko, &json!("failed")));
    assert_eq!(
        (&data["exit_code"], &data["stdout"]),
        (&json!(3), &json!("before\n"))
    );
    let (code, data) = bed
        .run(json!({"command": "exit 3", "continue_on_error": true}))
        .await;
    assert_eq!((code, &data["exit_code"]), (Code::Ok, &json!(3)));
    assert_eq!(data.get("reason"), None);
}

#[tokio::test]
async fn death_by_signal_is_told_apart_from_an_exit_code() {
    let (code, data) = bed().sh("kill -SEGV $$").await;
    assert_eq!((code, &data["reason"]), (Code::Ko, &json!("failed")));
    assert_eq!(
        (&data["signal"], &data["signal_name"]),
        (&json!(11), &json!("SIGSEGV"))
    );
    assert_eq!(data.get("exit_code"), None);
}

#[tokio::test]
async fn timeout_ends_the_whole_group_and_is_ko() {
    let (code, data) = bed()
        .run(json!({"command": "sleep 1000 & echo $!; wait", "timeout": 0.2}))
        .await;
    assert_eq!((code, &data["reason"]), (Code::Ko, &json!("timeout")));
    assert_eq!(data.get("exit_code"), None);
    let child = data["stdout"].as_str().unwrap().to_owned();
    soon("the grandchild is gone", || !is_alive(&child)).await;
}

#[tokio::test]
async fn group_that_ignores_term_is_killed() {
    let (code, data) = bed()
        .run(json!({
            "command": "trap '' TERM; sleep 1000 & echo $!; while :; do wait; done",
            "timeout": "0.2"}))
        .await;
    assert_eq!((code, &data["reason"]), (Code::Ko, &json!("timeout")));
    assert_eq!(data["signal_name"], "SIGKILL");
    let child = data["stdout"].as_str().unwrap().to_owned();
    soon("the grandchild is gone", || !is_alive(&child)).await;
}

#[tokio::test]
async fn command_may_clean_up_on_term() {
    let (code, data) = bed()
        .run(json!({
            "command": "trap 'echo tidy; exit 0' TERM; echo up; while :; do sleep 0.01; done",
            "timeout": 0.3}))
        .await;
    assert_eq!((code, &data["reason"]), (Code::Ko, &json!("timeout")));
    // The shell may say beside it that TERM also ended its child.
    assert_eq!(data["output"]["out"], "up\ntidy\n");
    assert_eq!(data["exit_code"], 0);
}

#[tokio::test]
async fn own_timeout_may_not_exceed_the_configured_most() {
    let mut bed = Bed::new(&Settings {
        max_timeout: Duration::from_millis(100),
        ..settings()
    });
    let (_, data) = bed
        .run(json!({"command": "sleep 1000", "timeout": 999}))
        .await;
    assert_eq!(data["reason"], "timeout");
}

#[tokio::test]
async fn cancel_kills_what_runs() {
    let mut bed = bed();
    let token = bed
        .submit(json!({"command": "echo $$; echo up; exec sleep 1000"}))
        .await;
    let seen = bed.until_output("up").await;
    bed.runner.cancel(&token);
    let last = bed.rows_to_end().await.pop().unwrap();
    assert_eq!(
        (last.code, &last.data["reason"]),
        (Code::Ko, &json!("cancelled"))
    );
    assert!(!is_alive(seen.lines().next().unwrap()));
    bed.runner.cancel(&token);
    bed.runner.cancel(&Token::parse("nobody").unwrap());
}

#[tokio::test]
async fn cancel_reaches_what_waits_for_a_slot() {
    let mut bed = Bed::new(&Settings {
        slots: 1,
        ..settings()
    });
    let first = bed.submit(json!({"command": "echo up; sleep 1000"})).await;
    let second = bed.submit(json!({"command": "echo never"})).await;
    bed.until_output("up").await;
    bed.runner.cancel(&second);
    bed.runner.cancel(&first);
    assert_eq!(bed.rows_to_end().await.pop().unwrap().token, first);
    let rows = bed.rows_to_end().await;
    assert_eq!(rows.len(), 1, "it never started");
    assert_eq!(rows[0].data["reason"], "cancelled");
    assert!(
        rows[0].data["message"]
            .as_str()
            .unwrap()
            .starts_with("not started")
    );
}

#[tokio::test]
async fn token_handed_over_twice_is_started_once() {
    let folder = Folder::new("twice");
    let file = folder.0.join("count");
    let mut bed = bed();
    let body = json!({"command": format!("echo x >> {}", file.display())});
    let token = Token::parse("same").unwrap();
    for _ in 0..3 {
        bed.runner
            .submit(request(&token, Kind::Command, &body))
            .await;
    }
    bed.rows_to_end().await;
    bed.runner
        .submit(request(&token, Kind::Command, &body))
        .await;
    bed.sh("true").await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "x\n");
    let again = gorgone_action::Request {
        attempt: 2,
        ..request(&token, Kind::Command, &body)
    };
    bed.runner.submit(again).await;
    bed.rows_to_end().await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "x\nx\n");
}

#[tokio::test]
async fn nonsense_is_refused_and_the_next_command_runs() {
    let mut bed = bed();
    for body in [
        json!(5),
        json!([]),
        json!(null),
        json!({"command": ""}),
        json!({"command": "a\u{0}"}),
    ] {
        let rows = bed.run_all(body).await;
        assert_eq!(rows.len(), 1);
        assert_eq!(
            (rows[0].code, &rows[0].data["reason"]),
            (Code::Ko, &json!("rejected"))
        );
    }
    assert_eq!(bed.sh("true").await.0, Code::Ok);
}

#[tokio::test]
async fn what_cannot_start_says_what_is_missing() {
    let mut bed = bed();
    for (body, part, reason) in [
        (
            json!({"argv": ["/no/such/program"]}),
            "/no/such/program",
            "failed",
        ),
        (json!({"argv": ["/etc/passwd"]}), "/etc/passwd", "failed"),
        (
            json!({"command": "true", "cwd": "/no/such/folder"}),
            "/no/such/folder",
            "failed",
        ),
        (
            json!({"command": "true", "cwd": "/etc/passwd"}),
            "working directory",
            "failed",
        ),
        (
            json!({"command": "true", "user": "no-such-user"}),
            "no-such-user",
            "rejected",
        ),
    ] {
        let (code, data) = bed.run(body).await;
        assert_eq!((code, &data["reason"]), (Code::Ko, &json!(reason)));
        assert!(data["message"].as_str().unwrap().contains(part), "{data}");
    }
    let (_, data) = bed.sh("no-such-command-at-all").await;
    assert_eq!(data["exit_code"], 127);
}

#[tokio::test]
async fn argv_runs_without_a_shell_with_its_environment_and_directory() {
    let mut bed = bed();
    let (_, data) = bed
        .run(json!({"argv": ["printf", "%s|", "$HOME", "a b", ";ls", ""]}))
        .await;
    assert_eq!(data["stdout"], "$HOME|a b|;ls||");
    let (_, data) = bed
        .run(json!({"command": "echo $GREETING; pwd; cat", "env": {"GREETING": "hello"}, "cwd": "/usr"}))
        .await;
    assert_eq!(
        data["stdout"], "hello\n/usr\n",
        "and standard input is empty"
    );
    let (_, data) = bed.sh("-c").await;
    assert_eq!(
        data["exit_code"], 127,
        "a line is never an option of the shell"
    );
}

#[tokio::test]
async fn user_is_changed_with_groups_and_home_where_we_are_root() {
    let (code, data) = bed()
        .run(json!({"command": "id -un; id -gn; echo $USER; touch /etc/forbidden", "user": "nobody", "cwd": "/"}))
        .await;
    let text = data["stdout"].as_str().unwrap_or_default();
    if nix::unistd::Uid::effective().is_root() {
        assert!(text.starts_with("nobody\nnogroup\nnobody\n"), "{data}");
        assert!(text.contains("denied"), "{data}");
        assert_eq!(data["reason"], "failed");
    } else {
        assert_eq!(data["reason"], "rejected");
    }
    assert_eq!(code, Code::Ko);
}

#[tokio::test]
async fn several_commands_run_in_order_and_stop_at_the_first_failure() {
    let rows = bed()
        .run_all(json!({"content": [
            {"command": "echo one", "metadata": 1},
            {"command": "exit 4", "continue_on_error": true},
            {"command": "echo three; exit 5"},
            {"command": "echo never"}]}))
        .await;
    let results: Vec<&Value> = rows
        .iter()
        .filter(|r| r.code == Code::RESULT)
        .map(|r| &r.data)
        .collect();
    assert_eq!(results.len(), 3);
    assert_eq!(
        (&results[0]["stdout"], &results[0]["metadata"]),
        (&json!("one\n"), &json!(1))
    );
    assert_eq!(
        (&results[1]["exit_code"], &results[1]["index"]),
        (&json!(4), &json!(1))
    );
    let last = rows.last().unwrap();
    assert_eq!(last.code, Code::Ko);
    assert_eq!(last.data["reason"], "failed");
    assert_eq!(last.data["failed_command"], 2);
    assert_eq!(
        (&last.data["commands"], &last.data["ran"]),
        (&json!(4), &json!(3))
    );
    assert_eq!(
        (&last.data["stdout"], &last.data["exit_code"]),
        (&json!("three\n"), &json!(5))
    );
    assert_eq!(rows.iter().filter(|row| row.code.is_terminal()).count(), 1);
}

#[tokio::test]
async fn several_commands_that_all_go_well_are_ok() {
    let (code, data) = bed()
        .run(json!({"content": [{"command": "exit 1"}, {"command": "echo b"}], "continue_on_error": true}))
        .await;
    assert_eq!(
        (code, &data["stdout"], &data["ran"]),
        (Code::Ok, &json!("b\n"), &json!(2))
    );
    assert_eq!(data.get("failed_command"), None);
}

#[tokio::test]
async fn cancel_stops_a_list_even_if_errors_are_tolerated() {
    let mut bed = bed();
    let token = bed
        .submit(
            json!({"content": [{"command": "echo up; sleep 1000"}, {"command": "echo never"}],
            "continue_on_error": true}),
        )
        .await;
    bed.until_output("up").await;
    bed.runner.cancel(&token);
    let last = bed.rows_to_end().await.pop().unwrap();
    assert_eq!(last.data["reason"], "cancelled");
    assert_eq!(last.data["ran"], 1);
}

#[tokio::test]
async fn output_comes_while_the_command_runs() {
    let folder = Folder::new("stream");
    let go = folder.0.join("go");
    let mut bed = bed();
    bed.submit(json!({"metadata": "m", "command": format!(
        "echo early; echo oops >&2; while [ ! -e {} ]; do sleep 0.01; done; echo late", go.display())}))
        .await;
    let out = bed.row().await.data;
    assert_eq!(
        out,
        json!({"stream": "stdout", "output": "early\n", "metadata": "m"})
    );
    assert_eq!(bed.row().await.data["stream"], "stderr");
    std::fs::write(&go, "").unwrap();
    let last = bed.rows_to_end().await.pop().unwrap();
    assert_eq!(
        last.data["output"],
        json!({"out": "early\nlate\n", "err": "oops\n"})
    );
}

#[tokio::test]
async fn character_split_between_two_rows_stays_whole() {
    let folder = Folder::new("split");
    let go = folder.0.join("go");
    let mut bed = bed();
    bed.submit(json!({"command": format!(
        r"printf 'a\303'; while [ ! -e {} ]; do sleep 0.01; done; printf '\251b'; sleep 0.5", go.display())}))
        .await;
    assert_eq!(bed.until_output("a").await, "a");
    std::fs::write(&go, "").unwrap();
    assert_eq!(bed.until_output("b").await, "éb");
    assert_eq!(bed.rows_to_end().await.pop().unwrap().data["stdout"], "aéb");
}
