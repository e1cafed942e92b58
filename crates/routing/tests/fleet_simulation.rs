//! Requests through proxies to other nodes and on, under everything that can go wrong with them,
//! thousands of times.
//!
//! A central (1) has a proxy or two; behind it are the nodes 2 and 3, and 4 behind 2, each of
//! them a whole router with a store. Node 3 may be one that does not recognise what comes again.
//! `GORGONE_SEED=17 cargo test -p gorgone-routing --test fleet_simulation -- --nocapture` runs
//! one world again and tells everything that happens in it; `GORGONE_RUNS` changes how many
//! there are.

#[allow(
    unreachable_pub,
    dead_code,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "it is all test, and the worlds share parts that not each of them needs whole"
)]
mod fleet_world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use fleet_world::{Summary, World};

const RUNS: u64 = 1000;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn what_was_accepted_for_a_node_ends_once_and_is_run_once_whatever_is_killed_or_cut() {
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
    println!("{runs} runs: {summary}");
    assert!(
        broken.is_empty(),
        "{} runs broke a promise: {:#?}",
        broken.len(),
        &broken[..broken.len().min(8)]
    );
}
