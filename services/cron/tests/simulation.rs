//! Exactly one run, or a recorded reason, for every scheduled instant, whatever is killed.
//!
//! Each seed is a world of its own, with two instances. A broken promise names its seed;
//! `GORGONE_SEED=17 GORGONE_TRACE=1 cargo test -p gorgone-cron --test simulation -- --nocapture`
//! runs that one again and tells everything that happens in it. `GORGONE_KILLS` changes how many
//! times the instance that fires is killed, all worlds together.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a helper that fails has failed its test"
)]

#[allow(
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "it is all test, and this file uses a part of it"
)]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use gorgone_schedule::Definition;
use serde_json::{Value, json};

use world::rng::Rng;
use world::{World, job};

/// How long faults go on, in milliseconds.
const ACTIVE: u64 = 120_000;
/// How long everything has to come to rest.
const REST: u64 = 240_000;

#[derive(Default)]
struct Sum {
    kills: u64,
    stops: u64,
    core_kills: u64,
    clock: u64,
    other: u64,
    instants: u64,
    runs: u64,
    waiting: u64,
    reasons: BTreeMap<String, u64>,
}

impl Sum {
    fn add(&mut self, other: Sum) {
        self.kills += other.kills;
        self.stops += other.stops;
        self.core_kills += other.core_kills;
        self.clock += other.clock;
        self.other += other.other;
        self.instants += other.instants;
        self.runs += other.runs;
        self.waiting += other.waiting;
        for (reason, count) in other.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
    }
}

fn invented(rng: &mut Rng) -> Vec<Definition> {
    let count = rng.between(2, 5);
    (0..count)
        .map(|n| {
            let pick = |rng: &mut Rng, of: &[&str]| {
                of[rng.between(0, of.len() as u64 - 1) as usize].to_owned()
            };
            let timespec = [
                "* * * * *",
                "* * * * * */10",
                "* * * * * */3",
                "* * * * * *",
            ];
            let mut job = json!({
                "id": format!("j{n}"),
                "timespec": pick(rng, &timespec),
                "action": "COMMAND",
                "overlap": pick(rng, &["allow", "allow", "forbid", "replace", "queue"]),
                "catchup": pick(rng, &["none", "latest", "all"]),
                "parameters": { "takes": rng.between(0, 8000) },
            });
            if rng.percent(20) {
                job["parameters"]["ends"] = "failed".into();
                job["retries"] = rng.between(0, 2).into();
                job["retry_backoff"] = rng.between(0, 5).into();
            }
            if rng.percent(20) {
                job["max_runtime"] = rng.between(1, 5).into();
            }
            if rng.percent(20) {
                job["start_deadline"] = rng.between(1, 20).into();
            }
            if rng.percent(20) {
                job["jitter"] = rng.between(1, 10).into();
            }
            if rng.percent(20) {
                job["keep_token"] = true.into();
            }
            job
        })
        .map(job)
        .collect()
}

/// Runs one world, and says which promise was broken.
fn run(seed: u64) -> Result<Sum, String> {
    let mut rng = Rng::new(seed);
    let jobs = invented(&mut rng);
    let mut world = World::new(seed, 2, jobs.clone());
    world.latency = rng.between(1, 40);
    // What is due before a job is known for the first time is nothing that was scheduled.
    while world.store.state.len() < jobs.len() {
        world.pass(1);
    }
    let known = world.wall();
    let mut sum = Sum::default();
    let jumps = rng.percent(25);
    // Furthest that the clock has shown, while somebody could see it.
    let mut furthest = world.wall();
    while world.now < ACTIVE {
        world.pass(rng.between(1, 6_000));
        furthest = furthest.max(world.wall());
        let victim = world.leader().unwrap_or(rng.between(0, 1) as usize);
        let back = rng.between(1, 6_000);
        match rng.between(0, 99) {
            0..=54 => {
                world.kill_cron(victim, back);
                sum.kills += 1;
            }
            55..=64 => {
                world.freeze_cron(victim, rng.between(100, 15_000));
                sum.stops += 1;
            }
            65..=69 => {
                world.kill_cron(0, back);
                world.kill_cron(1, rng.between(1, 6_000));
                sum.kills += 1;
            }
            70..=79 => {
                world.kill_core(rng.between(1, 8_000));
                sum.core_kills += 1;
            }
            80..=87 => {
                world.cut_cron(victim, rng.between(1, 8_000));
                sum.other += 1;
            }
            88..=92 => {
                world.store_fails = true;
                world.pass(rng.between(1, 8_000));
                world.store_fails = false;
                sum.other += 1;
            }
            93..=96 if jumps => {
                let by = if rng.percent(50) { 3600 } else { -3600 };
                world.set_clock(by);
                sum.clock += 1;
            }
            _ => {
                world.stop_cron(victim);
                world.pass(rng.between(1, 2_000));
                world.kill_cron(victim, back);
                // One that has ended is started again, too.
                world.restart(victim, back);
                sum.stops += 1;
            }
        }
    }
    furthest = furthest.max(world.wall());
    world.pass(REST);
    // What a clock that was set back has not reached again need not be decided: perhaps nobody
    // was there when it showed that time.
    let decided = furthest.min(world.wall() - 10) - 10;
    check(&world, &jobs, (known, decided), &mut sum).map(|()| sum)
}

/// From one instant on and before another, and why.
type Range = (i64, i64, String);

/// What is written about the instants of a job that have had no run.
fn skipped(world: &World, id: &str) -> (BTreeMap<i64, String>, Vec<Range>) {
    let mut single = BTreeMap::new();
    let mut ranges = Vec::new();
    for row in &world.store.rows {
        if world.store.tasks.contains_key(&row.token) {
            continue;
        }
        let data: Value = serde_json::from_str(&row.data).unwrap_or_default();
        if data["job"] != id || row.token.contains(":retry-") {
            continue;
        }
        let time = |name: &str| {
            let text = data[name].as_str()?;
            Some(text.parse::<jiff::Timestamp>().ok()?.as_second())
        };
        let reason = data["reason"].as_str().unwrap_or_default().to_owned();
        match (time("from"), time("before"), time("scheduled")) {
            (Some(from), Some(before), _) => ranges.push((from, before, reason)),
            (_, _, Some(at)) => {
                single.insert(at, reason);
            }
            _ => {}
        }
    }
    (single, ranges)
}

/// Instants whose runs still stand in a line that gets no shorter, or just leave it.
fn waiting(world: &World, id: &str) -> BTreeSet<i64> {
    let prefix = format!("cron/run/{id}/");
    let runs = world.store.state.iter();
    let runs = runs.filter(|(key, _)| key.starts_with(&prefix));
    runs.filter_map(|(_, value)| {
        let run: Value = serde_json::from_str(value).unwrap();
        let leaves = world.moment().unix_ms - run["since_ms"].as_i64().unwrap() < 2_000;
        let waits = run["stage"] == "queued" || leaves;
        waits.then(|| run["scheduled"].as_i64().unwrap())
    })
    .collect()
}

fn check(
    world: &World,
    jobs: &[Definition],
    (known, decided): (i64, i64),
    sum: &mut Sum,
) -> Result<(), String> {
    for (token, (count, _)) in &world.runner.starts {
        if *count != 1 {
            return Err(format!("{token} was begun {count} times"));
        }
    }
    for job in jobs {
        let (single, ranges) = skipped(world, job.id.as_str());
        let waiting = waiting(world, job.id.as_str());
        for instant in job.after(known).take_while(|at| *at <= decided) {
            sum.instants += 1;
            let time = jiff::Timestamp::from_second(instant).unwrap();
            let token = format!("cron:{}:{time}", job.id);
            let run = world.store.tasks.get(&token);
            let by_itself = single.get(&instant);
            let together = ranges
                .iter()
                .find(|(from, before, _)| (*from..*before).contains(&instant))
                .map(|(_, _, reason)| reason);
            match (run, by_itself.or(together)) {
                (None, None) if waiting.contains(&instant) => sum.waiting += 1,
                (None, None) => return Err(format!("{token} has neither a run nor a reason")),
                (None, Some(reason)) => *sum.reasons.entry(reason.clone()).or_default() += 1,
                (Some(_), Some(reason)) if by_itself.is_some() => {
                    return Err(format!("{token} has a run, and the reason '{reason}'"));
                }
                (Some(run), _) => {
                    sum.runs += 1;
                    let ends = world.store.ends(&token).len();
                    // A line that never gets shorter is still being worked on at the end.
                    let begun = world.runner.starts.get(&token);
                    let fresh = begun.is_some_and(|(_, at)| world.wall() - at < 15);
                    if ends != 1 && (run.finished || !fresh) {
                        return Err(format!("{token} has {ends} ends"));
                    }
                }
            }
        }
    }
    if world.leader().is_none() {
        return Err("nobody fires at the end".to_owned());
    }
    Ok(())
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn every_instant_has_one_run_or_a_reason_whatever_is_killed() {
    if let Some(seed) = variable("GORGONE_SEED") {
        if let Err(promise) = run(seed) {
            panic!("seed {seed}: {promise}");
        }
        return;
    }
    let wanted = variable("GORGONE_KILLS").unwrap_or(1000);
    let next = AtomicU64::new(0);
    let total = Mutex::new((Sum::default(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while total.lock().unwrap().0.kills < wanted {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let outcome = run(seed);
                    let mut total = total.lock().unwrap();
                    match outcome {
                        Ok(sum) => total.0.add(sum),
                        Err(promise) => {
                            total.1.push(format!("GORGONE_SEED={seed}: {promise}"));
                            total.0.kills += 10;
                        }
                    }
                }
            });
        }
    });
    let (sum, broken) = total.into_inner().unwrap();
    println!(
        "{} worlds: {} kills of the instance that fires, {} stopped or ended in order, {} kills of core, \
         {} settings of the clock, {} cut connections and failing stores; {} instants, {} had a run, \
         {} wait for one in order, and the others have a reason: {:?}",
        next.into_inner(),
        sum.kills,
        sum.stops,
        sum.core_kills,
        sum.clock,
        sum.other,
        sum.instants,
        sum.runs,
        sum.waiting,
        sum.reasons,
    );
    assert!(broken.is_empty(), "{} broken: {broken:#?}", broken.len());
}
