//! `kill -9` and SIGTERM of every part, at random moments, with 1,000 commands in flight: what
//! was accepted ends once, and nothing runs twice.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a helper that fails has failed its test; the counts are for whoever reads them"
)]

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use gorgone_client::Client;
use gorgone_integration_tests::{History, Node, ask, eventually, token};
use gorgone_protocol::{Data, Status, Token};
use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use tokio::task::JoinSet;

/// Commands in flight.
const COMMANDS: usize = 1000;

/// Who is killed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Victim {
    Core,
    Action,
    Gorgoned,
    Everything,
}

impl Victim {
    const fn program(self) -> &'static str {
        match self {
            Self::Core => "gorgone-core",
            Self::Action => "gorgone-action",
            Self::Gorgoned | Self::Everything => "gorgoned",
        }
    }
}

/// How often each command has begun: it writes its token before anything else, and a line of a
/// file that is appended to is never torn.
fn begun(file: &Path) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for line in fs::read_to_string(file).unwrap_or_default().lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    counts
}

/// Asks for all commands at once; each is its token, once it is accepted.
fn flood(client: &Client, round: u64, file: &Path) -> JoinSet<Token> {
    let mut asked = JoinSet::new();
    for number in 0..COMMANDS {
        let client = client.clone();
        let token = token(&format!("r{round}-{number}"));
        let line = format!("echo {token} >> {}; sleep 0.01", file.display());
        asked.spawn(async move {
            let body = Data::from_value(&json!({ "command": line }));
            loop {
                let answer = ask(&client, "COMMAND", Some(token.clone()), body.clone()).await;
                let answer = answer.unwrap();
                if answer.status == Status::Ok {
                    return token;
                }
                // Refused early, not lost late: whoever is refused asks again.
                assert!(answer.data.as_str().contains("stopping"), "{answer:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
    }
    asked
}

async fn strike(node: &mut Node, victim: Victim, signal: Signal) {
    match (victim, signal) {
        (Victim::Everything, _) => {
            node.kill_all();
            assert!(
                node.path("bus.ipc").exists(),
                "a stale socket is in the way"
            );
            node.launch().await;
        }
        (Victim::Gorgoned, Signal::SIGKILL) => {
            node.signal("gorgoned", signal);
            let node_ref = &*node;
            eventually("no service outlives gorgoned", async || {
                ["gorgone-core", "gorgone-action"]
                    .iter()
                    .all(|name| node_ref.pids(name).is_empty())
            })
            .await;
            node.kill_all();
            node.launch().await;
        }
        (Victim::Gorgoned, _) => {
            node.stop();
            node.launch().await;
        }
        (Victim::Core | Victim::Action, _) => {
            assert!(node.signal(victim.program(), signal), "{victim:?} is there");
        }
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Rounds of 1,000 commands, with a blow at a random moment in each: two, or `GORGONE_ROUNDS`.
/// `GORGONE_SEED` repeats the moments.
async fn rounds(victim: Victim, signal: Signal) {
    let seed = variable("GORGONE_SEED").unwrap_or_else(rand::random);
    let count = variable("GORGONE_ROUNDS").unwrap_or(2);
    println!("{victim:?} {signal}: GORGONE_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut node = Node::start().await;
    let file = node.path("begun");
    let client = node.client().await;
    let mut history = History::default();
    for round in 0..count {
        let moment = random.random_range(0..COMMANDS * 9 / 10);
        let before = begun(&file).len();
        let mut asked = flood(&client, round, &file);
        eventually("enough commands have begun", async || {
            begun(&file).len() >= before + moment
        })
        .await;
        strike(&mut node, victim, signal).await;
        let mut tokens = Vec::new();
        while let Some(token) = asked.join_next().await {
            tokens.push(token.unwrap());
        }
        let mut left = tokens.len();
        while left > 0 {
            history.read(&client).await;
            left = tokens.len() - history.ended(&tokens);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let outcomes = history.outcomes(&tokens);
        let begun = begun(&file);
        println!(
            "{victim:?} {signal}, round {round}, after {moment} had begun: accepted {} = {outcomes:?}",
            tokens.len()
        );
        assert_eq!(tokens.len(), COMMANDS);
        for token in &tokens {
            let times = begun.get(token.as_str()).copied().unwrap_or_default();
            let outcome = history.outcome(token);
            assert!(times <= 1, "{token} ran {times} times");
            assert!(
                outcome != "OK" || times == 1,
                "{token} is OK, and never ran"
            );
        }
        let expected: &[&str] = match (victim, signal) {
            (_, Signal::SIGTERM) => &["OK"],
            // What it leaves behind ends by itself, and can say what it ended.
            (Victim::Gorgoned | Victim::Everything, _) => &["OK", "unknown", "cancelled"],
            _ => &["OK", "unknown"],
        };
        let surprise = outcomes
            .keys()
            .find(|outcome| !expected.contains(&outcome.as_str()));
        assert_eq!(surprise, None, "{outcomes:?}");
    }
}

#[tokio::test]
async fn core_is_killed() {
    rounds(Victim::Core, Signal::SIGKILL).await;
}

#[tokio::test]
async fn action_is_killed() {
    rounds(Victim::Action, Signal::SIGKILL).await;
}

#[tokio::test]
async fn gorgoned_alone_is_killed() {
    rounds(Victim::Gorgoned, Signal::SIGKILL).await;
}

#[tokio::test]
async fn everything_is_killed() {
    rounds(Victim::Everything, Signal::SIGKILL).await;
}

#[tokio::test]
async fn core_is_asked_to_end() {
    rounds(Victim::Core, Signal::SIGTERM).await;
}

#[tokio::test]
async fn action_is_asked_to_end() {
    rounds(Victim::Action, Signal::SIGTERM).await;
}

#[tokio::test]
async fn gorgoned_is_asked_to_end() {
    rounds(Victim::Gorgoned, Signal::SIGTERM).await;
}
