//! The bodies of COMMAND and ENGINECOMMAND, in every spelling that clients use.

use std::time::Duration;

use gorgone_protocol::Data;
use gorgone_protocol::request::command::{Command, CommandRequest, MAX_COMMANDS, Run};
use gorgone_protocol::request::engine::EngineRequest;
use serde_json::{Value, json};

fn command(body: &Value) -> Result<CommandRequest, String> {
    CommandRequest::decode(&Data::from_value(body)).map_err(|error| error.to_string())
}

fn engine(body: &Value) -> Result<EngineRequest, String> {
    EngineRequest::decode(&Data::from_value(body)).map_err(|error| error.to_string())
}

#[test]
fn every_spelling_of_one_command_means_the_same() {
    let mut expected = Command::new(Run::Line("ls /".into()));
    expected.timeout = Some(Duration::from_secs(5));
    expected.metadata = Some(json!({"a": [1]}));
    for body in [
        json!({"command":"ls /","timeout":5,"metadata":{"a":[1]}}),
        json!({"command":"ls /","timeout":"5","metadata":{"a":[1]},"ttl":3}),
        json!({"content":{"command":"ls /","timeout":5.0,"metadata":{"a":[1]}}}),
        json!({"content":{"command":"ls /"},"timeout":5,"metadata":{"a":[1]}}),
        json!({"content":[{"command":"ls /","timeout":"5","metadata":{"a":[1]}}]}),
        json!({"content":[{"command":"ls /"}],"timeout":" 5 ","metadata":{"a":[1]}}),
    ] {
        assert_eq!(
            command(&body).unwrap().commands,
            [expected.clone()],
            "{body}"
        );
    }
}

#[test]
fn extended_members_are_read_and_written_back_the_same() {
    let request = command(&json!({"content": [
        {"argv": ["printf", "%s", 5], "env": {"A": "b", "N": 1}, "cwd": "/tmp", "user": "nobody"},
        {"template": "restart", "args": {"name": "engine", "n": 2, "hard": true}, "continue_on_error": "1"},
        {"command": "true", "timeout": 0.5, "continue_on_error": true, "metadata": null},
    ]}))
    .unwrap();
    assert_eq!(
        request.commands[0].run,
        Run::Argv(vec!["printf".into(), "%s".into(), "5".into()])
    );
    assert_eq!(request.commands[0].env["N"], "1");
    assert!(request.commands[1].continue_on_error);
    assert_eq!(
        request.commands[2].timeout,
        Some(Duration::from_millis(500))
    );
    assert_eq!(CommandRequest::decode(&request.encode()).unwrap(), request);
    let one = CommandRequest::line("ls /");
    assert_eq!(one.encode().as_str(), r#"{"command":"ls /"}"#);
}

#[test]
fn nonsense_is_refused_and_the_text_says_what_is_wrong() {
    let many = vec![json!({"command": "true"}); MAX_COMMANDS + 1];
    for (body, part) in [
        (json!(5), "it is a number"),
        (json!(null), "it is null"),
        (json!([]), "it is a list"),
        (json!("ls"), "it is a text"),
        (json!({}), "exactly one of"),
        (json!({"command": ""}), "'command' is empty"),
        (json!({"command": " \n"}), "'command' is empty"),
        (json!({"command": 5}), "'command' must be a text"),
        (json!({"command": "a\u{0}b"}), "NUL"),
        (json!({"command": "a", "argv": ["a"]}), "exactly one of"),
        (json!({"argv": []}), "names no program"),
        (json!({"argv": ["a", {}]}), "list of texts"),
        (json!({"argv": "a"}), "list of texts"),
        (json!({"command": "a", "env": {"A=B": "c"}}), "'='"),
        (json!({"command": "a", "env": {"A": "c\u{0}"}}), "NUL"),
        (json!({"command": "a", "env": []}), "'env'"),
        (json!({"command": "a", "cwd": []}), "'cwd'"),
        (json!({"command": "a", "timeout": "soon"}), "'timeout'"),
        (json!({"command": "a", "timeout": -1}), "'timeout'"),
        (json!({"command": "a", "timeout": []}), "'timeout'"),
        (
            json!({"command": "a", "continue_on_error": 2}),
            "continue_on_error",
        ),
        (json!({"content": []}), "no command"),
        (json!({"content": "ls"}), "'content'"),
        (json!({"content": [{"command": "a"}, 5]}), "command 2: "),
        (json!({"content": many}), "at most 1000"),
    ] {
        let error = command(&body).unwrap_err();
        assert!(error.contains(part), "{error:?} does not say {part:?}");
    }
}

#[test]
fn a_short_request_does_not_grow_by_what_its_commands_share() {
    let with = |member: &str, value: Value, commands: usize| json!({"content": vec![json!({"command": "a"}); commands], member: value});
    let long = "x".repeat(4000);
    let env: Value = (0..400)
        .map(|n| (format!("NAME{n}"), Value::from("")))
        .collect();
    for (member, value) in [
        ("metadata", json!(long)),
        ("cwd", json!(long)),
        ("user", json!(long)),
        ("env", env),
    ] {
        let error = command(&with(member, value.clone(), 1000)).unwrap_err();
        assert!(error.contains("beside 'content'"), "{member}: {error}");
        assert_eq!(
            command(&with(member, value, 10)).unwrap().commands.len(),
            10
        );
    }
    let one = with("metadata", json!("x".repeat(2_000_000)), 1);
    assert_eq!(command(&one).unwrap().commands.len(), 1);
    // Many lines have one pipe between them.
    let pipe = format!("/{}", "x".repeat(100_000));
    let request = engine(&json!({"engine_pipe": pipe, "content": vec!["a"; 100_000]})).unwrap();
    let pipes: Vec<_> = request
        .lines
        .iter()
        .filter_map(|l| l.pipe.as_deref())
        .collect();
    assert_eq!(pipes.len(), 100_000);
    assert!(pipes.iter().all(|one| std::ptr::eq(*one, pipes[0])));
}

#[test]
fn engine_lines_come_one_or_many_and_name_their_pipe_in_either_way() {
    let pipe = Some("/rw/centengine.cmd");
    for body in [
        json!({"command": "[1] A;b\n", "engine_pipe": "/rw/centengine.cmd"}),
        json!({"content": {"command": "[1] A;b", "command_file": "/rw/centengine.cmd"}}),
        json!({"content": ["[1] A;b"], "engine_pipe": "/rw/centengine.cmd"}),
        json!({"command": ["[1] A;b"], "command_file": "/rw/centengine.cmd"}),
    ] {
        let request = engine(&body).unwrap();
        assert_eq!(request.lines.len(), 1);
        assert_eq!(request.lines[0].command, "[1] A;b");
        assert_eq!(request.lines[0].pipe.as_deref(), pipe, "{body}");
        assert_eq!(EngineRequest::decode(&request.encode()).unwrap(), request);
    }
    let several = engine(&json!({"content": [
        {"command": ["a", "b"]}, {"command": "c", "command_file": "/other"}]}))
    .unwrap();
    assert_eq!(several.lines.len(), 3);
    assert_eq!(EngineRequest::decode(&several.encode()).unwrap(), several);
}

#[test]
fn an_engine_line_cannot_smuggle_in_a_second_one() {
    for (body, part) in [
        (json!({"command": "[1] A;b\n[1] SHUTDOWN"}), "line break"),
        (json!({"command": "[1] A;b\r[1] SHUTDOWN"}), "line break"),
        (json!({"command": ["a", "b\nc"]}), "line break"),
        (json!({"command": "a\u{0}"}), "NUL"),
        (json!({"command": "\n"}), "is empty"),
        (json!({"command": 5}), "must be a text"),
        (json!({"command": []}), "no 'command'"),
        (json!({"command": "a", "engine_pipe": 5}), "'engine_pipe'"),
        (json!(5), "it is a number"),
        (json!({"content": 5}), "'content'"),
    ] {
        let error = engine(&body).unwrap_err();
        assert!(error.contains(part), "{error:?} does not say {part:?}");
    }
}
