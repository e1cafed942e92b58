//! The stack of docker-compose.yml on a real engine: its first start, a tour of it, more replicas,
//! and each container killed and paused in turn.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a helper that fails has failed its test; the counts are for whoever reads them"
)]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use gorgone_client::Client;
use gorgone_integration_tests::containers::{
    Compose, Keyring, answers, build_images, docker, output, repository, tag,
};
use gorgone_integration_tests::{History, eventually, run, said, token};
use gorgone_protocol::request::log::Row;
use gorgone_protocol::{Action, Data, Message, Status, Target, Token};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Commands under way while a container is hit.
const COMMANDS: usize = 40;

/// Images that need no shell, and stay small.
const SMALL: [&str; 4] = ["core", "cron", "httpserver", "proxy"];
const WITH_SHELL: [&str; 3] = ["action", "gorgoned", "gorgonectl"];

/// The image that all are built on: where there is none, it is made of Debian's packages.
fn base() -> bool {
    answers("docker", &["image", "inspect", "debian:bookworm-slim"])
        || answers(
            &repository().join("deploy/docker/base").to_string_lossy(),
            &[],
        )
}

fn images() {
    build_images("docker", &[&SMALL[..], &WITH_SHELL[..]].concat());
    for image in SMALL.iter().chain(&WITH_SHELL) {
        let name = format!("gorgone/{image}:{}", tag());
        let size: u64 = docker(&["image", "inspect", "--format", "{{.Size}}", &name])
            .parse()
            .unwrap();
        let size = size / 1_000_000;
        println!("image of {image}: {size} MB");
        assert!(size < 40 || !SMALL.contains(image), "{image} is too large");
    }
}

/// How long each container took from its start until it was ready, by its own words.
fn print_starts(stack: &Compose) {
    for service in ["core", "action", "cron", "proxy", "httpserver", "poller"] {
        for container in stack.containers(service) {
            let format = "{{.State.StartedAt}}";
            let started = docker(&["inspect", "--format", format, &container]);
            let logged = Command::new("docker")
                .args(["logs", &container])
                .output()
                .unwrap();
            let logged = String::from_utf8_lossy(&logged.stderr).into_owned();
            let ready = logged
                .lines()
                .map(said)
                .find(|line| line["message"] == "ready");
            let ready = ready.unwrap_or_default();
            let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
            let took = at(ready["timestamp"].as_str().unwrap()) - at(&started);
            let took = took.total(jiff::Unit::Millisecond).unwrap();
            println!("{service} is ready {took:.0} ms after its container's start");
        }
    }
}

fn tour(stack: &Compose, keyring: &Keyring) {
    let ctl = |args: &[&str]| output(&mut keyring.ctl(args));
    let status = ctl(&["status"]);
    for module in ["action@", "cron@", "proxy@", "httpserver@"] {
        assert!(status.contains(module), "{module}\n{status}");
    }
    let here = ctl(&["command", "hostname; id -un; ls /bin/sh"]);
    let there = ctl(&["command", "--target", "2", "hostname; id -un"]);
    println!("node 1 says {here:?}, node 2 says {there:?}");
    assert!(here.contains("gorgone") && there.contains("gorgone"));
    assert_ne!(here.lines().next(), there.lines().next());
    assert!(ctl(&["nodes"]).contains("up"));
    // A root file system that nobody can write to.
    let refused = keyring
        .ctl(&["command", "echo >/usr/local/x"])
        .output()
        .unwrap();
    assert!(!refused.status.success());
    for container in stack.containers("httpserver") {
        let answer = over_http(&container, keyring);
        assert!(answer.contains("said over HTTP"), "{answer}");
    }
}

/// Runs a command through one container's HTTP API.
fn over_http(container: &str, keyring: &Keyring) -> String {
    let door = Compose::published(container, 8080);
    let url = format!("http://{door}/api/core/action/command?wait=20s");
    let credential = format!("Authorization: Bearer {}", keyring.http_token());
    output(Command::new("curl").args([
        "--silent",
        "--max-time",
        "30",
        "--header",
        &credential,
        "--data",
        r#"{"command":"echo said over HTTP"}"#,
        &url,
    ]))
}

/// More replicas of what can have them: all of them work.
async fn scale(stack: &Compose, keyring: &Keyring, client: &Client) {
    stack.compose(&[
        "up",
        "-d",
        "--no-build",
        "--no-recreate",
        "--scale",
        "action=3",
        "--scale",
        "proxy=2",
        "--scale",
        "httpserver=2",
    ]);
    eventually("all replicas are known", async || {
        let status = output(&mut keyring.ctl(&["status"]));
        let ready = |module: &str| {
            let of = |line: &&str| line.starts_with(module) && line.contains("ready");
            status.lines().filter(of).count()
        };
        ready("action@") == 3 && ready("proxy@") == 2 && ready("httpserver@") == 2
    })
    .await;
    let began = Instant::now();
    let mut asked = JoinSet::new();
    for _ in 0..48 {
        let client = client.clone();
        asked.spawn(async move { run(&client, json!({ "command": "sleep 0.2; hostname" })).await });
    }
    let mut by: BTreeMap<String, usize> = BTreeMap::new();
    while let Some(row) = asked.join_next().await {
        let row: Row = row.unwrap();
        let host = said(&row.data)["stdout"]
            .as_str()
            .unwrap_or_default()
            .trim()
            .to_owned();
        *by.entry(host).or_default() += 1;
    }
    println!(
        "48 commands on 3 action replicas: {by:?}, {:?}",
        began.elapsed()
    );
    assert_eq!((by.len(), by.values().sum::<usize>()), (3, 48));
    tour(stack, keyring);
}

/// How often each command has begun: it writes its token before anything else.
fn begun(file: &Path) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for line in fs::read_to_string(file).unwrap_or_default().lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    counts
}

/// Asks for commands, half of them on the poller; each is its token, once it is accepted.
fn load(client: &Client, name: &str) -> JoinSet<Token> {
    let mut asked = JoinSet::new();
    for number in 0..COMMANDS {
        let client = client.clone();
        let token = token(&format!("{name}-{number}"));
        asked.spawn(async move {
            let body = json!({ "command": format!("echo {token} >> /shared/begun; sleep 0.2") });
            tokio::time::sleep(Duration::from_millis(number as u64 * 50)).await;
            loop {
                if accepted(&client, number % 2 == 1, &token, &body).await {
                    return token;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
    }
    asked
}

/// Refused early is not lost: false, and it is asked for again.
async fn accepted(client: &Client, on_poller: bool, token: &Token, body: &Value) -> bool {
    let command = Action::parse("COMMAND");
    let mut message = Message::new(command, Some(token.clone()), Data::from_value(body));
    if on_poller {
        message.target = Target::parse("2");
    }
    let answer = client.ask(message, Duration::from_secs(60)).await;
    answer.unwrap().status == Status::Ok
}

/// `kill -9` of what runs in a container; its restart policy brings it back.
async fn strike(container: &str) {
    let state =
        |what: &str| docker(&["inspect", "--format", &format!("{{{{{what}}}}}"), container]);
    let restarts = state(".RestartCount");
    let pid: i32 = state(".State.Pid").parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    eventually("the container is back", async || {
        state(".RestartCount") != restarts && state(".State.Running") == "true"
    })
    .await;
}

async fn blows(stack: &Compose, client: &Client) {
    let file = stack.shared().join("begun");
    let mut history = History::default();
    let victims = ["core", "action", "cron", "proxy", "httpserver", "poller"];
    for (round, service) in victims.iter().enumerate() {
        let container = stack.containers(service).remove(0);
        let mut asked = load(client, &format!("r{round}"));
        tokio::time::sleep(Duration::from_millis(300)).await;
        strike(&container).await;
        let _ = docker(&["pause", &container]);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let _ = docker(&["unpause", &container]);
        let mut tokens = Vec::new();
        while let Some(token) = asked.join_next().await {
            tokens.push(token.unwrap());
        }
        let began = Instant::now();
        let mut left = tokens.len();
        while left > 0 {
            history.read(client).await;
            left = tokens.len() - history.ended(&tokens);
            assert!(
                began.elapsed() < Duration::from_secs(90),
                "{left} do not end"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let outcomes = history.outcomes(&tokens);
        println!(
            "{service} killed and paused: accepted {} = {outcomes:?}",
            tokens.len()
        );
        assert_eq!(tokens.len(), COMMANDS);
        let begun = begun(&file);
        for token in &tokens {
            let times = begun.get(token.as_str()).copied().unwrap_or_default();
            let outcome = history.outcome(token);
            assert!(times <= 1, "{token} ran {times} times");
            assert!(
                outcome != "OK" || times == 1,
                "{token} is OK, and never ran"
            );
            assert!(
                ["OK", "unknown", "cancelled"].contains(&outcome.as_str()),
                "{outcomes:?}"
            );
        }
    }
}

#[tokio::test]
async fn stack_starts_by_one_command_and_loses_nothing_whichever_container_is_killed() {
    if !answers("docker", &["info"]) || !answers("docker-compose", &["version"]) {
        println!("SKIPPED: no Docker engine with docker-compose answers on this machine");
        return;
    }
    if !base() {
        println!(
            "SKIPPED: debian:bookworm-slim is not here, and deploy/docker/base cannot make it"
        );
        return;
    }
    images();
    let began = Instant::now();
    let stack = Compose::up();
    let keyring = stack.keyring();
    let client = keyring.client().await;
    eventually("the poller is up", async || {
        output(&mut keyring.ctl(&["nodes"])).contains(" up ")
    })
    .await;
    println!(
        "the stack with a poller: {:?} from nothing",
        began.elapsed()
    );
    print_starts(&stack);
    tour(&stack, &keyring);
    scale(&stack, &keyring, &client).await;
    blows(&stack, &client).await;
    let left = stack.down();
    assert_eq!(left, "", "something is left of the project");
}
