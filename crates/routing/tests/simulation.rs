//! The delivery promise under everything that can go wrong, thousands of times.
//!
//! Each seed is a world of its own. A broken promise names its seed;
//! `GORGONE_SEED=17 cargo test -p gorgone-routing --test simulation -- --nocapture` runs that
//! one again and tells everything that happens in it. `GORGONE_RUNS` changes how many there are.

#[allow(
    unreachable_pub,
    dead_code,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "it is all test, and the worlds share parts that not each of them needs whole"
)]
mod world;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use world::{Summary, World};

const RUNS: u64 = 2000;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Of many broken promises the first of each kind, and how many there are of it.
fn one_of_a_kind(broken: &[String]) -> Vec<(usize, &str)> {
    let kind = |promise: &str| -> String {
        let words = promise.split_whitespace().skip(1);
        let words = words.filter(|word| !word.contains(|c: char| c.is_ascii_digit()));
        words.take(6).collect::<Vec<_>>().join(" ")
    };
    let mut kinds: BTreeMap<String, (usize, &str)> = BTreeMap::new();
    for promise in broken {
        kinds.entry(kind(promise)).or_insert((0, promise)).0 += 1;
    }
    kinds.into_values().collect()
}

#[test]
fn what_was_accepted_ends_once_whatever_is_killed_or_cut() {
    if let Some(seed) = variable("GORGONE_SEED") {
        if let Err(promise) = World::run(seed, true) {
            panic!("seed {seed}: {promise}");
        }
        return;
    }
    let runs = variable("GORGONE_RUNS").unwrap_or(RUNS);
    let next = AtomicU64::new(0);
    let total = Mutex::new((Summary::default(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= runs {
                        return;
                    }
                    let outcome = World::run(seed, false);
                    let mut total = total.lock().unwrap();
                    match outcome {
                        Ok(summary) => total.0.add(summary),
                        Err(promise) => total.1.push(format!("GORGONE_SEED={seed}: {promise}")),
                    }
                }
            });
        }
    });
    let (summary, broken) = total.into_inner().unwrap();
    println!(
        "{runs} runs: {} requests, {} tokens accepted, {} refused, {} answers lost with core; ends: {:?}; \
         {} starts, {} tokens run again; {} kills of core ({} after SIGTERM), {} of modules, {} times a broken store",
        summary.asks,
        summary.accepted,
        summary.refused,
        summary.unanswered,
        summary.ends,
        summary.starts,
        summary.again,
        summary.core_kills,
        summary.stops,
        summary.module_kills,
        summary.store_failures,
    );
    let shown = one_of_a_kind(&broken);
    assert!(
        broken.is_empty(),
        "{} runs broke a promise: {shown:#?}",
        broken.len()
    );
}
