//! `kill -9` of the instance that fires, at random moments, with two instances: every scheduled
//! instant has exactly one run or a recorded reason. The same is tried ten thousand times faster,
//! with more that goes wrong, in `services/cron/tests/simulation.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a helper that fails has failed its test; the counts are for whoever reads them"
)]

use std::collections::{BTreeMap, HashMap};
use std::process::Child;
use std::time::{Duration, Instant};

use gorgone_client::Client;
use gorgone_integration_tests::{History, Node, NodeOptions, Runner, ask, eventually, said};
use gorgone_protocol::{Code, Data};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

const NAMES: [&str; 2] = ["cron-a", "cron-b"];

fn start(node: &Node, name: &str) -> Child {
    let instance = format!("modules.cron.instance={name}");
    node.instance("gorgone-cron", &[&instance])
}

/// Who fires, as core knows it.
async fn holder(client: &Client) -> Option<String> {
    let answer = ask(client, "INFORMATION", None, Data::empty()).await.ok()?;
    let about: Value = answer.data.decode().ok()?;
    let holder = about["data"]["leases"]["cron"]["holder"].as_str()?;
    Some(holder.to_owned())
}

fn instant(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().unwrap().as_second()
}

/// The reasons why instants of a job have had no run: by the instant, and for ranges of them.
fn reasons(rows: &[gorgone_protocol::request::log::Row]) -> Option<(i64, Option<i64>, String)> {
    let row = rows.iter().find(|row| row.code == Code::Ko)?;
    let data = said(&row.data);
    data.get("job")?;
    let reason = data["reason"].as_str()?.to_owned();
    let scheduled = instant(data["scheduled"].as_str()?);
    let before = data["before"].as_str().map(instant);
    Some((scheduled, before, reason))
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// For half a minute, or `GORGONE_SECONDS`. `GORGONE_SEED` repeats the moments.
#[tokio::test(flavor = "multi_thread")]
async fn every_instant_has_one_run_or_a_reason_whoever_is_killed() {
    let seed = variable("GORGONE_SEED").unwrap_or_else(rand::random);
    let length = Duration::from_secs(variable("GORGONE_SECONDS").unwrap_or(45));
    println!("GORGONE_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let jobs = [
        ("every", "* * * * * *", ""),
        ("third", "* * * * * */3", ", catchup: all"),
        (
            "alone",
            "* * * * * */2",
            ", overlap: forbid, catchup: latest",
        ),
    ];
    let lines: String = jobs
        .iter()
        .map(|(id, timespec, more)| {
            format!("      - {{ id: {id}, timespec: \"{timespec}\", action: TICK{more} }}\n")
        })
        .collect();
    let node = Node::start_with(NodeOptions {
        // The test starts its instances itself.
        modules: format!(
            "  - name: cron\n    enable: false\n    lease_time: 2\n    cron:\n{lines}"
        ),
        ..NodeOptions::default()
    })
    .await;
    let runner = Runner::offer(node.internal(), "TICK");
    let client = node.client().await;
    let mut children: HashMap<&str, Child> = HashMap::new();
    for name in NAMES {
        children.insert(name, start(&node, name));
    }
    eventually("all jobs have run", async || {
        let started = runner.started();
        jobs.iter().all(|(id, ..)| {
            let prefix = format!("cron:{id}:");
            started.iter().any(|run| run.token.starts_with(&prefix))
        })
    })
    .await;
    let from = jiff::Timestamp::now().as_second();
    let began = Instant::now();
    let mut kills = 0;
    while began.elapsed() < length {
        tokio::time::sleep(Duration::from_millis(random.random_range(0..1_200))).await;
        let Some(holder) = holder(&client).await else {
            continue;
        };
        let Some(name) = NAMES.into_iter().find(|name| *name == holder) else {
            continue;
        };
        let child = children.get_mut(name).unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        // One that fires, as core says: not one that has just begun to live.
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        child.wait().unwrap();
        kills += 1;
        if random.random_bool(0.3) {
            // It is away for longer than the lease is held.
            tokio::time::sleep(Duration::from_millis(random.random_range(0..3_000))).await;
        }
        children.insert(name, start(&node, name));
    }
    let upto = jiff::Timestamp::now().as_second();
    eventually("somebody fires in peace", async || {
        let started = runner.started();
        let latest = started
            .iter()
            .filter_map(|run| run.token.strip_prefix("cron:every:"))
            .map(instant)
            .max();
        latest.is_some_and(|latest| latest > upto + 5)
    })
    .await;
    let mut history = History::default();
    history.read(&client).await;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut begun: HashMap<String, usize> = HashMap::new();
    for run in runner.started() {
        *begun.entry(run.token).or_default() += 1;
    }
    for (id, timespec, _) in jobs {
        let step = if timespec.ends_with("/3") {
            3
        } else if timespec.ends_with("/2") {
            2
        } else {
            1
        };
        let tokens: Vec<(i64, String)> = (from..=upto)
            .filter(|at| at % step == 0)
            .map(|at| {
                let time = jiff::Timestamp::from_second(at).unwrap();
                (at, format!("cron:{id}:{time}"))
            })
            .collect();
        let ranges: Vec<(i64, i64)> = tokens
            .iter()
            .filter_map(|(_, token)| reasons(history.of(token)))
            .filter_map(|(from, before, _)| Some((from, before?)))
            .collect();
        for (at, token) in tokens {
            let runs = begun.get(&token).copied().unwrap_or(0);
            let reason = reasons(history.of(&token)).map(|(_, _, reason)| reason);
            let in_range = ranges
                .iter()
                .any(|(from, before)| (*from..*before).contains(&at));
            assert!(runs <= 1, "{token} was begun {runs} times");
            match (runs, reason) {
                (1, None) => *counts.entry("run".to_owned()).or_default() += 1,
                (0, Some(reason)) => *counts.entry(reason).or_default() += 1,
                (0, None) if in_range => *counts.entry("missed".to_owned()).or_default() += 1,
                (runs, reason) => panic!(
                    "{token}: {runs} runs, reason {reason:?}, rows {:?}",
                    history.of(&token)
                ),
            }
        }
    }
    println!("{kills} kills in {} s; instants: {counts:?}", upto - from);
    assert!(kills > 0, "nobody was killed");
    for child in children.values_mut() {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
