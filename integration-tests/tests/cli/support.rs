//! Runs gorgonectl and keeps what it said.

use std::path::Path;
use std::process::{Command, Output};

use gorgone_integration_tests::Node;
use serde_json::Value;

/// What a program said and how it ended.
pub(crate) struct Said {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) code: i32,
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
    pub(crate) fn one_line_error(&self, words: &str) {
        assert_eq!(self.out, "");
        assert_eq!(self.err.lines().count(), 1, "{}", self.err);
        assert!(self.err.starts_with("gorgonectl: "), "{}", self.err);
        assert!(self.err.contains(words), "{}", self.err);
        assert_eq!(self.code, 1);
    }

    /// What was printed, one JSON value a line.
    pub(crate) fn json(&self) -> Vec<Value> {
        let lines = self.out.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// Runs a command to its end.
pub(crate) async fn say(mut command: Command) -> Said {
    tokio::task::spawn_blocking(move || command.output().unwrap().into())
        .await
        .unwrap()
}

/// Runs gorgonectl against a node.
pub(crate) async fn ctl(node: &Node, args: &[&str]) -> Said {
    say(node.ctl(args)).await
}

/// Runs gorgonectl where there is neither a server nor a home.
pub(crate) async fn alone(args: &[&str]) -> Said {
    say(bare(args)).await
}

/// gorgonectl without anything that the tests' surroundings may set.
pub(crate) fn bare(args: &[&str]) -> Command {
    let mut command = Node::program("gorgonectl");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GORGONE") {
            command.env_remove(name);
        }
    }
    command
        .env("HOME", "/nonexistent")
        .env_remove("XDG_CONFIG_HOME")
        .args(args);
    command
}

/// A line of the shell, in which gorgonectl knows the node.
pub(crate) async fn shell(node: &Node, line: &str) -> Said {
    let ctl = node.ctl(&[]);
    let program = Path::new(ctl.get_program());
    let mut folders = vec![program.parent().unwrap().to_owned()];
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let mut bash = Command::new("bash");
    bash.envs(
        ctl.get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    )
    .env("PATH", std::env::join_paths(folders).unwrap())
    .args(["-c", line]);
    say(bash).await
}
