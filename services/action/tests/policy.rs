//! What an administrator allowed may run, and nothing beside it.
#![allow(clippy::unwrap_used)] // in helpers of the tests too

mod support;

use std::collections::BTreeMap;

use gorgone_action::settings::{AllowedCommand, ArgType, CommandTemplate, Settings};
use gorgone_action::words::{join, split};
use gorgone_protocol::Code;
use serde_json::json;
use support::{Bed, settings};

fn allow(pattern: &str) -> AllowedCommand {
    AllowedCommand {
        pattern: pattern.to_owned(),
        ..AllowedCommand::default()
    }
}

fn allowing(rules: &[&str]) -> Settings {
    Settings {
        whitelist: true,
        allowed: rules.iter().map(|rule| allow(rule)).collect(),
        ..settings()
    }
}

#[tokio::test]
async fn rule_must_match_the_whole_command() {
    let mut bed = Bed::new(&allowing(&["echo [a-z]+"]));
    let (code, data) = bed.sh("echo hello").await;
    assert_eq!((code, &data["stdout"]), (Code::Ok, &json!("hello\n")));
    for line in [
        "echo hello 5",
        "xecho hello",
        "echo hello\necho b",
        "echo",
        "/bin/echo hello",
    ] {
        let (code, data) = bed.sh(line).await;
        assert_eq!(
            (code, &data["reason"]),
            (Code::Ko, &json!("rejected")),
            "{line}"
        );
    }
}

#[test]
fn pattern_that_escapes_from_its_anchors_is_no_pattern() {
    assert!(gorgone_action::Runner::new(&allowing(&["a)|(?:.*"])).is_err());
}

#[tokio::test]
async fn nothing_rides_along_behind_a_loose_rule() {
    let mut bed = Bed::new(&allowing(&["(?s)echo .*"]));
    for line in [
        "echo a; id",
        "echo a && id",
        "echo a | id",
        "echo a & id",
        "echo $(id)",
        "echo `id`",
        "echo \"$(id)\"",
        "echo \"`id`\"",
        "echo $HOME",
        "echo a > /tmp/x",
        "echo < /etc/passwd",
        "echo a\nid",
        "echo a\rid",
        "echo (id)",
        "echo 'a",
        "echo a\\",
    ] {
        let (code, data) = bed.sh(line).await;
        assert_eq!(
            (code, &data["reason"]),
            (Code::Ko, &json!("rejected")),
            "{line}"
        );
        assert!(
            !data["message"].as_str().unwrap().contains("no rule"),
            "{line}: {data}"
        );
    }
    let (_, data) = bed.sh(r#"echo 'a;b' "c|d" \& "it's" '$HOME' *  ~ "#).await;
    assert_eq!(
        data["stdout"], "a;b c|d & it's $HOME * ~\n",
        "quoted or not special: words"
    );
    let (_, data) = bed.run(json!({"argv": ["echo", "a; id", "$(id)"]})).await;
    assert_eq!(
        data["stdout"], "a; id $(id)\n",
        "an argv never meets a shell"
    );
}

#[tokio::test]
async fn rule_may_give_its_lines_to_a_shell() {
    let mut settings = allowing(&[]);
    settings.allowed = vec![AllowedCommand {
        shell: true,
        ..allow(r"echo [a-z]+ \| tr a-z A-Z")
    }];
    let (code, data) = Bed::new(&settings).sh("echo hello | tr a-z A-Z").await;
    assert_eq!((code, &data["stdout"]), (Code::Ok, &json!("HELLO\n")));
}

#[tokio::test]
async fn argv_is_matched_as_the_line_it_would_be() {
    let mut bed = Bed::new(&allowing(&["echo a", "printf '%s' b"]));
    assert_eq!(bed.run(json!({"argv": ["echo", "a"]})).await.0, Code::Ok);
    assert_eq!(
        bed.run(json!({"argv": ["printf", "%s", "b"]})).await.0,
        Code::Ko
    );
    assert_eq!(
        bed.run(json!({"argv": ["echo a"]})).await.0,
        Code::Ko,
        "one word, not two"
    );
}

#[tokio::test]
async fn environment_directory_and_user_need_a_rule_that_names_them() {
    let mut settings = allowing(&["echo .*"]);
    settings.allowed.push(AllowedCommand {
        env: vec!["LANG".into()],
        cwd: vec!["/usr".into()],
        users: vec!["nobody".into()],
        ..allow("printenv LANG|pwd")
    });
    let mut bed = Bed::new(&settings);
    for body in [
        json!({"command": "echo a", "env": {"LD_PRELOAD": "/tmp/x.so"}}),
        json!({"command": "echo a", "env": {"PATH": "/tmp"}}),
        json!({"command": "PATH=/tmp echo a"}),
        json!({"command": "echo a", "cwd": "/tmp"}),
        json!({"command": "echo a", "user": "nobody"}),
        json!({"command": "printenv LANG", "env": {"LANG": "C", "PATH": "/tmp"}}),
        json!({"command": "pwd", "cwd": "/usr/.."}),
        json!({"command": "pwd", "user": "root"}),
    ] {
        let (code, data) = bed.run(body).await;
        assert_eq!((code, &data["reason"]), (Code::Ko, &json!("rejected")));
    }
    let (_, data) = bed
        .run(json!({"command": "printenv LANG", "env": {"LANG": "xx"}}))
        .await;
    assert_eq!(data["stdout"], "xx\n");
    let (_, data) = bed.run(json!({"command": "pwd", "cwd": "/usr"})).await;
    assert_eq!(data["stdout"], "/usr\n");
}

#[tokio::test]
async fn nothing_of_a_request_runs_if_a_part_of_it_may_not() {
    let rows = Bed::new(&allowing(&["echo a"]))
        .run_all(json!({"content": [{"command": "echo a"}, {"command": "id"}], "continue_on_error": true}))
        .await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].data["reason"], "rejected");
    assert_eq!(rows[0].data["failed_command"], 1);
}

#[tokio::test]
async fn named_command_takes_only_arguments_of_its_types() {
    let mut settings = allowing(&[]);
    let args: BTreeMap<String, ArgType> = [
        (
            "name".to_owned(),
            ArgType::Text {
                pattern: "[a-z{} ]+".into(),
            },
        ),
        ("count".to_owned(), ArgType::Integer { min: 1, max: 9 }),
        (
            "mode".to_owned(),
            ArgType::Choice {
                values: vec!["on".into(), "off".into()],
            },
        ),
    ]
    .into();
    settings.templates.insert(
        "show".into(),
        CommandTemplate {
            argv: ["/usr/bin/printf", "%s|", "n={name}", "{count}-{mode}", "{"]
                .map(String::from)
                .into(),
            args,
            timeout: None,
        },
    );
    let mut bed = Bed::new(&settings);
    let (code, data) = bed
        .run(json!({"template": "show", "args": {"name": "a {mode}", "count": 5, "mode": "on"}}))
        .await;
    assert_eq!(
        (code, &data["stdout"]),
        (Code::Ok, &json!("n=a {mode}|5-on|{|")),
        "{data}"
    );
    for (args, part) in [
        (json!({"name": "a;id", "count": 5, "mode": "on"}), "'name'"),
        (json!({"name": "a\nb", "count": 5, "mode": "on"}), "'name'"),
        (
            json!({"name": "a", "count": 10, "mode": "on"}),
            "from 1 to 9",
        ),
        (json!({"name": "a", "count": "5x", "mode": "on"}), "'count'"),
        (
            json!({"name": "a", "count": 5, "mode": "ON"}),
            "one of: on, off",
        ),
        (json!({"name": "a", "count": 5}), "'mode' is missing"),
        (
            json!({"name": "a", "count": 5, "mode": "on", "more": 1}),
            "no argument 'more'",
        ),
    ] {
        let (code, data) = bed.run(json!({"template": "show", "args": args})).await;
        assert_eq!((code, &data["reason"]), (Code::Ko, &json!("rejected")));
        assert!(data["message"].as_str().unwrap().contains(part), "{data}");
    }
    let (_, data) = bed.run(json!({"template": "hide"})).await;
    assert_eq!(data["message"], "there is no command named 'hide'");
}

#[test]
fn words_written_as_a_line_are_read_as_the_same_words() {
    for words in [
        vec!["a", "b c", "", "it's", "\"", "\\", "$x", ";|&", "é"],
        vec!["A=b"],
        vec!["a", "A=b", "*", "~", "#"],
    ] {
        let words: Vec<String> = words.into_iter().map(String::from).collect();
        if words[0].contains('=') {
            assert!(split(&join(&words)).is_err());
        } else {
            assert_eq!(split(&join(&words)).unwrap(), words);
        }
    }
}

#[tokio::test]
async fn command_of_a_job_knows_its_occasion_whatever_the_list_allows() {
    let line = "printenv GORGONE_CRON_JOB GORGONE_CRON_SCHEDULED";
    for settings in [allowing(&["printenv .*"]), settings()] {
        let mut bed = Bed::new(&settings);
        let at = "2026-11-24T02:30:00Z";
        let cron = json!({"job": "backup", "scheduled": at});
        let (code, data) = bed.run(json!({"command": line, "cron": cron})).await;
        assert_eq!(code, Code::Ok, "{data}");
        assert_eq!(data["stdout"], format!("backup\n{at}\n"));
        assert_eq!(data["cron"], cron);
        let several = json!({"content": [{"command": line}, {"command": line}], "cron": cron});
        let (_, data) = bed.run(several).await;
        assert_eq!(data["cron"], cron);
        // Whatever is no occasion is none.
        for cron in [
            json!(5),
            json!({"job": "a\nb", "scheduled": at}),
            json!({"job": "a", "scheduled": "$(id)"}),
        ] {
            let (_, data) = bed.run(json!({"command": line, "cron": cron})).await;
            assert_eq!((&data["stdout"], data.get("cron")), (&json!(""), None));
        }
    }
}
