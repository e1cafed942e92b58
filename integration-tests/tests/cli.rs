//! gorgonectl as its user sees it: output, exit codes, and errors of one line.
#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails has failed its test"
)]

use std::process::{Command, Output};

use gorgone_integration_tests::Node;
use serde_json::Value;

/// What a program said and how it ended.
struct Said {
    out: String,
    err: String,
    code: i32,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code().unwrap(),
        }
    }
}

impl Said {
    /// An error: one line for people, nothing else, exit code 1.
    fn one_line_error(&self, words: &str) {
        assert_eq!(self.out, "");
        assert_eq!(self.err.lines().count(), 1, "{}", self.err);
        assert!(self.err.starts_with("gorgonectl: "), "{}", self.err);
        assert!(self.err.contains(words), "{}", self.err);
        assert_eq!(self.code, 1);
    }

    fn json(&self) -> Vec<Value> {
        let lines = self.out.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

async fn say(mut command: Command) -> Said {
    tokio::task::spawn_blocking(move || command.output().unwrap().into())
        .await
        .unwrap()
}

async fn ctl(node: &Node, args: &[&str]) -> Said {
    say(node.ctl(args)).await
}

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
    let said = ctl(
        &node,
        &["command", "--", "printf", "%s|", "a b", "$HOME", "*"],
    )
    .await;
    assert_eq!((said.out.as_str(), said.code), ("a b|$HOME|*|", 0));
    let line = "echo $GREETING $(pwd)";
    let said = ctl(
        &node,
        &["command", "--env", "GREETING=hi", "--cwd", "/", line],
    )
    .await;
    assert_eq!(said.out, "hi /\n");
    ctl(&node, &["command", "--env", "GREETING", line])
        .await
        .one_line_error("is not NAME=VALUE");
}

#[tokio::test]
async fn output_that_comes_in_pieces_is_shown_once() {
    let node = Node::start().await;
    let line = "for i in 1 2 3 4 5; do echo line $i; sleep 0.3; done";
    let said = ctl(&node, &["command", line]).await;
    assert_eq!(said.out, "line 1\nline 2\nline 3\nline 4\nline 5\n");
}

#[tokio::test]
async fn log_shows_the_rows_of_a_token() {
    let node = Node::start().await;
    let token = ctl(&node, &["command", "--detach", "echo hello; exit 3"]).await;
    assert_eq!(token.code, 0);
    let token = token.out.trim();
    let followed = ctl(&node, &["log", "--follow", token]).await;
    assert_eq!(followed.code, 1, "it ended KO");
    let said = ctl(&node, &["log", token]).await;
    assert_eq!(said.code, 0);
    let last = said.out.lines().last().unwrap();
    assert!(
        last.contains("KO") && last.contains("exit_code=3"),
        "{last}"
    );
    let rows = ctl(&node, &["--json", "log", token]).await.json();
    let last = rows.last().unwrap();
    assert_eq!(last["code"], 2);
    assert_eq!(last["token"], token);
    assert_eq!(last["data"]["stdout"], "hello\n");
    let limited = ctl(&node, &["--json", "log", "--limit", "1"]).await.json();
    assert_eq!(limited.len(), 1);
    let none = ctl(&node, &["log", "nobody-knows-it"]).await;
    assert_eq!((none.out.as_str(), none.code), ("", 0));
}

#[tokio::test]
async fn status_tells_of_modules_and_is_json_where_asked() {
    let node = Node::start().await;
    let said = ctl(&node, &["status"]).await;
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.starts_with("node 1 ("), "{}", said.out);
    assert!(
        said.out.contains("COMMAND") && said.out.contains("ready"),
        "{}",
        said.out
    );
    let whole = ctl(&node, &["--json", "status"]).await.json();
    assert_eq!(whole.len(), 1);
    assert_eq!(whole[0]["information"]["id"], 1);
    assert!(whole[0]["nodes"].is_object());
}

#[tokio::test]
async fn cancel_says_what_became_of_it() {
    let node = Node::start().await;
    let args = ["command", "--detach", "--timeout", "900", "sleep 600"];
    let token = ctl(&node, &args).await.out;
    let token = token.trim();
    let said = ctl(&node, &["cancel", token]).await;
    assert_eq!(said.code, 0, "{} {}", said.out, said.err);
    assert_eq!(said.out.lines().count(), 1, "{}", said.out);
    let rows = ctl(&node, &["--json", "log", token]).await.json();
    assert_eq!(rows.last().unwrap()["data"]["reason"], "cancelled");
    let said = ctl(&node, &["cancel", token]).await;
    assert_eq!((said.out.as_str(), said.code), ("it was already over\n", 1));
    let said = ctl(&node, &["cancel", "nobody-knows-it"]).await;
    assert_eq!(said.out, "no request with this token is known\n");
    assert_eq!(said.code, 1);
}

#[tokio::test]
async fn request_sends_anything_and_shows_the_answer() {
    let node = Node::start().await;
    let said = ctl(&node, &["request", "PING"]).await;
    assert_eq!(said.code, 0);
    assert!(said.out.contains("ping ok"), "{}", said.out);
    let said = ctl(&node, &["--json", "request", "GETTHUMBPRINT"]).await;
    assert!(said.json()[0]["data"]["data"]["thumbprint"].is_string());
    let said = ctl(&node, &["request", "NOBODY"]).await;
    assert_eq!(said.code, 1);
    assert!(
        said.out.contains("action 'NOBODY' is not known"),
        "{}",
        said.out
    );
    let body = r#"{"command":"echo waited"}"#;
    let args = ["request", "COMMAND", body, "--token", "mine", "--wait"];
    let said = ctl(&node, &args).await;
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(
        said.out.contains("mine") && said.out.contains("waited"),
        "{}",
        said.out
    );
    ctl(&node, &["request", "COMMAND", "{"])
        .await
        .one_line_error("is not JSON");
}

#[tokio::test]
async fn errors_are_one_line_that_says_what_to_do() {
    let node = Node::start().await;
    let own = tempfile::tempdir().unwrap();
    let keys = own.path().join("keys").display().to_string();
    let made = say(Node::program("gorgonectl").arg_all(&["keys", "generate", &keys])).await;
    assert_eq!(made.code, 0, "{}", made.err);
    let private = format!("{keys}/privkey.pem");
    let public = format!("{keys}/pubkey.pem");

    ctl(&node, &["--key", &private, "status"])
        .await
        .one_line_error(made.out.trim());
    ctl(&node, &["--server-key", &public, "status"])
        .await
        .one_line_error("refused the handshake");
    ctl(
        &node,
        &["--server", "tcp://127.0.0.1:1", "--patience", "1", "status"],
    )
    .await
    .one_line_error("is gorgoned running there");
    ctl(&node, &["--server", "nonsense", "status"])
        .await
        .one_line_error("--server");
    ctl(&node, &["--key", "/nowhere.pem", "status"])
        .await
        .one_line_error("cannot read /nowhere.pem");
    ctl(&node, &["--vector", "short", "status"])
        .await
        .one_line_error("needs 16 bytes");
    let mut bare = node.ctl(&["status"]);
    bare.env_remove("GORGONECTL_KEY");
    say(bare).await.one_line_error("--key is missing");
}

#[tokio::test]
async fn keys_are_made_once_and_their_thumbprints_agree() {
    let own = tempfile::tempdir().unwrap();
    let folder = own.path().display().to_string();
    let keys = |args: &[&str]| say(Node::program("gorgonectl").arg_all(args));
    let made = keys(&["keys", "generate", &folder]).await;
    assert_eq!(made.code, 0, "{}", made.err);
    assert_eq!(made.out.trim().len(), 43);
    for file in ["privkey.pem", "pubkey.pem"] {
        let path = format!("{folder}/{file}");
        assert_eq!(keys(&["keys", "thumbprint", &path]).await.out, made.out);
    }
    use std::os::unix::fs::PermissionsExt;
    let mode = |file: &str| {
        own.path()
            .join(file)
            .metadata()
            .unwrap()
            .permissions()
            .mode()
    };
    assert_eq!(mode("privkey.pem") & 0o777, 0o600);
    keys(&["keys", "generate", &folder])
        .await
        .one_line_error("exists already");
    keys(&["keys", "thumbprint", "/etc/hostname"])
        .await
        .one_line_error("is no RSA key");
}

trait ArgAll {
    fn arg_all(self, args: &[&str]) -> Self;
}

impl ArgAll for Command {
    fn arg_all(mut self, args: &[&str]) -> Self {
        self.args(args);
        self
    }
}
