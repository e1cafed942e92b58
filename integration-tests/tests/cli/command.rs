use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use gorgone_integration_tests::{Node, ended, token};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{ctl, say};

#[tokio::test]
async fn command_shows_its_output_and_ends_as_it_ended() {
    let node = Node::start().await;
    let said = ctl(&node, &["command", "echo out; echo err >&2; exit 7"]).await;
    assert_eq!((said.out.as_str(), said.err.as_str()), ("out\n", "err\n"));
    assert_eq!(said.code, 7);
    let said = ctl(&node, &["command", "true"]).await;
    assert_eq!(
        (said.out.as_str(), said.err.as_str(), said.code),
        ("", "", 0)
    );
    let said = ctl(&node, &["command", "--timeout", "1", "sleep 600"]).await;
    assert_eq!(said.code, 124);
    assert_eq!(said.err.lines().count(), 1, "{}", said.err);
    let said = ctl(&node, &["command", "kill -TERM $$"]).await;
    assert_eq!(said.code, 128 + 15);
    assert!(said.err.contains("SIGTERM"), "{}", said.err);
}

#[tokio::test]
async fn command_takes_arguments_environment_and_directory() {
    let node = Node::start().await;
    // Several words are a program and its arguments: no shell reads them.
    let words = ["command", "--", "printf", "%s|", "a b", "$HOME", "*"];
    let said = ctl(&node, &words).await;
    assert_eq!((said.out.as_str(), said.code), ("a b|$HOME|*|", 0));
    let line = "echo $GREETING $(pwd)";
    let args = ["command", "--env", "GREETING=hi", "--cwd", "/", line];
    assert_eq!(ctl(&node, &args).await.out, "hi /\n");
    ctl(&node, &["command", "--env", "GREETING", line])
        .await
        .one_line_error("is not NAME=VALUE");
    let said = ctl(&node, &["command", "--target", "4", "true"]).await;
    said.one_line_error("no proxy configured");
}

#[tokio::test]
async fn output_that_comes_in_pieces_is_shown_once_and_as_it_is() {
    let node = Node::start().await;
    let line = "for i in 1 2 3 4 5; do printf 'line %d \\033[1mä\\n' $i; sleep 0.3; done";
    let said = ctl(&node, &["command", line]).await;
    let whole: String = (1..=5).map(|i| format!("line {i} \x1b[1mä\n")).collect();
    assert_eq!(said.out, whole);
    let rows = ctl(&node, &["--json", "command", "echo one; sleep 1; echo two"]).await;
    let rows = rows.json();
    assert_eq!(rows.last().unwrap()["data"]["stdout"], "one\ntwo\n");
    // What comes at the very end may stand in the last row only.
    let first = rows.iter().find_map(|row| row["data"]["output"].as_str());
    assert_eq!(first, Some("one\n"));
}

/// A command that runs until it is ended, and its token: it has said one line.
fn running(node: &Node, args: &[&str]) -> std::process::Child {
    let mut command = node.ctl(args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    let mut out = BufReader::with_capacity(1, child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "begun\n");
    child.stdout = Some(out.into_inner());
    child
}

/// The token of the only request that the node was given.
async fn only_token(node: &Node) -> String {
    let rows = ctl(node, &["--json", "log"]).await.json();
    rows[0]["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn ctrl_c_cancels_the_request_and_a_second_one_leaves_it() {
    let node = Node::start().await;
    let mut child = running(&node, &["command", "echo begun; sleep 600"]);
    let name = only_token(&node).await;
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let status = tokio::task::spawn_blocking(move || {
        let mut said = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        (child.wait().unwrap(), said)
    });
    let (status, said) = status.await.unwrap();
    assert_eq!(status.code(), Some(130), "{said}");
    assert!(said.contains("cancelling"), "{said}");
    let rows = ctl(&node, &["--json", "log", &name]).await.json();
    assert_eq!(rows.last().unwrap()["data"]["reason"], "cancelled");

    // This one does not end when it is told to: the second Ctrl-C leaves it behind.
    let node = Node::start().await;
    let line = "trap '' TERM; echo begun; while :; do sleep 0.1; done";
    let mut child = running(&node, &["command", line]);
    let pid = Pid::from_raw(child.id().cast_signed());
    let name = only_token(&node).await;
    kill(pid, Signal::SIGINT).unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    errors.read_line(&mut first).unwrap();
    kill(pid, Signal::SIGINT).unwrap();
    let mut second = String::new();
    errors.read_line(&mut second).unwrap();
    assert!(
        second.contains("left running") && second.contains(&name),
        "{first}{second}"
    );
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[tokio::test]
async fn a_reader_that_goes_away_cancels_the_command() {
    let node = Node::start().await;
    let mut child = running(&node, &["command", "echo begun; sleep 1; yes; sleep 600"]);
    let name = only_token(&node).await;
    drop(child.stdout.take());
    let status = tokio::task::spawn_blocking(move || {
        let mut said = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        (child.wait().unwrap(), said)
    });
    let (status, said) = status.await.unwrap();
    assert_eq!((status.code(), said.as_str()), (Some(141), ""));
    let client = node.client().await;
    let last = ended(&client, &token(&name)).await;
    assert!(last.data.contains("cancelled"), "{}", last.data);
}

#[tokio::test]
async fn detached_commands_are_left_with_their_token() {
    let node = Node::start().await;
    let said = ctl(&node, &["command", "--detach", "sleep 1; echo done"]).await;
    assert_eq!((said.out.lines().count(), said.code), (1, 0));
    let followed = ctl(&node, &["log", "-f", said.out.trim()]).await;
    assert!(followed.out.contains("done"), "{}", followed.out);
    let said = ctl(&node, &["--json", "command", "--detach", "true"]).await;
    assert!(said.json()[0]["token"].is_string());
    // Nobody can say it better than the shell.
    let said = say(node.ctl(&["command"])).await;
    assert_eq!(said.code, 2, "{}", said.err);
}
