//! Instants that nobody could begin at their time, one sentence each.
#![allow(
    clippy::unwrap_used,
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

use serde_json::{Value, json};

use world::{START, World, job};

fn defined(timespec: &str, more: Value) -> gorgone_schedule::Definition {
    let mut definition = json!({ "id": "j", "timespec": timespec, "action": "COMMAND" });
    for (name, value) in more.as_object().unwrap() {
        definition[name] = value.clone();
    }
    job(definition)
}

fn token(seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(START + seconds).unwrap();
    format!("cron:j:{time}")
}

/// Which instants have had a run, in seconds since the world began.
fn begun(world: &World) -> Vec<i64> {
    let tokens = world.runner.starts.keys();
    let instants = tokens.map(|token| {
        let text = token.strip_prefix("cron:j:").unwrap();
        text.parse::<jiff::Timestamp>().unwrap().as_second() - START
    });
    let mut instants: Vec<i64> = instants.collect();
    instants.sort_unstable();
    instants
}

fn outcome(world: &World, seconds: i64) -> String {
    world.store.outcome(&token(seconds)).unwrap_or_default()
}

/// A world in which nobody fires from 90 s to 90 s + `down`, and some time after.
fn away(timespec: &str, more: Value, down: u64, after: u64) -> World {
    let mut world = World::new(1, 1, vec![defined(timespec, more)]);
    world.pass_seconds(90);
    world.kill_cron(0, down * 1000);
    world.pass_seconds(down + after);
    world
}

#[test]
fn instant_that_is_a_little_late_has_its_run() {
    let world = away("* * * * *", json!({}), 60, 10);
    assert_eq!(begun(&world), [60, 120]);
}

#[test]
fn missed_instants_are_left_out_one_by_one_unless_a_job_says_otherwise() {
    let world = away("* * * * *", json!({}), 600, 10);
    // The latest is 30 seconds late.
    assert_eq!(begun(&world), [60, 660]);
    for minute in 2..=10 {
        assert_eq!(outcome(&world, minute * 60), "missed");
    }
}

#[test]
fn latest_of_the_missed_is_caught_up_with() {
    let world = away("*/10 * * * *", json!({ "catchup": "latest" }), 3000, 10);
    assert_eq!(begun(&world), [3000]);
    assert_eq!(outcome(&world, 1800), "missed");
}

#[test]
fn all_of_the_missed_are_caught_up_with_in_order() {
    let world = away(
        "*/10 * * * *",
        json!({ "catchup": "all", "overlap": "queue" }),
        3000,
        10,
    );
    assert_eq!(begun(&world), [600, 1200, 1800, 2400, 3000]);
    let times: Vec<i64> = [600, 1200, 1800, 2400, 3000]
        .map(|at| world.runner.starts[&token(at)].1)
        .to_vec();
    assert!(times.is_sorted());
}

#[test]
fn what_was_missed_too_long_ago_is_not_caught_up_with() {
    let more = json!({ "catchup": "all", "catchup_window": 1000 });
    let world = away("*/10 * * * *", more, 3000, 10);
    assert_eq!(begun(&world), [2400, 3000]);
    assert_eq!(outcome(&world, 1800), "missed");
}

#[test]
fn many_missed_instants_are_told_together() {
    let world = away("* * * * * *", json!({}), 7200, 5);
    let row: Value = serde_json::from_str(&world.store.ends(&token(90))[0].data).unwrap();
    assert_eq!(row["reason"], "missed");
    assert_eq!(row["from"], "2026-01-01T00:01:30Z");
    let rows = world.store.rows.iter();
    let told = rows.filter(|row| row.data.contains("missed")).count();
    assert!(told <= 101, "{told}");
}

#[test]
fn missed_instants_of_many_jobs_are_told_together_too() {
    let jobs = (0..300).map(|n| {
        let mut definition = json!({ "timespec": "* * * * *", "action": "COMMAND" });
        definition["id"] = format!("j{n}").into();
        job(definition)
    });
    let mut world = World::new(1, 1, jobs.collect());
    world.pass_seconds(10);
    world.kill_cron(0, 7_200_000);
    world.pass_seconds(7_230);
    let told = |id: &str| {
        let rows = world.store.rows.iter();
        let name = format!("cron:{id}:");
        rows.filter(|row| row.token.starts_with(&name) && row.data.contains("missed"))
            .count()
    };
    let all: usize = (0..300).map(|n| told(&format!("j{n}"))).sum();
    assert!((9_000..11_000).contains(&all), "{all}");
    assert!((0..300).all(|n| told(&format!("j{n}")) >= 1));
}

#[test]
fn deadline_counts_from_the_time_at_which_a_run_is_due() {
    let more = json!({ "catchup": "all", "start_deadline": 700 });
    let world = away("*/10 * * * *", more, 3000, 10);
    assert_eq!(begun(&world), [2400, 3000]);
    assert_eq!(outcome(&world, 1800), "deadline");
}

#[test]
fn suspended_machine_is_like_nobody_being_there() {
    let mut world = World::new(
        1,
        1,
        vec![defined("* * * * *", json!({ "catchup": "all" }))],
    );
    world.pass_seconds(90);
    world.freeze_cron(0, 600_000);
    world.pass_seconds(610);
    assert_eq!(begun(&world), (1..=11).map(|n| n * 60).collect::<Vec<_>>());
}

#[test]
fn clock_that_is_set_forward_misses_what_it_jumps_over() {
    for (more, expected) in [
        (json!({}), vec![60, 3660, 3720]),
        (json!({ "catchup": "latest" }), vec![60, 3660, 3720]),
    ] {
        let mut world = World::new(1, 1, vec![defined("* * * * *", more)]);
        world.pass_seconds(90);
        world.set_clock(3600);
        world.pass_seconds(60);
        assert_eq!(begun(&world), expected);
        assert_eq!(outcome(&world, 1800), "missed");
    }
    let all = defined("* * * * *", json!({ "catchup": "all" }));
    let mut world = World::new(1, 1, vec![all]);
    world.pass_seconds(90);
    world.set_clock(3600);
    world.pass_seconds(60);
    assert_eq!(begun(&world), (1..=62).map(|n| n * 60).collect::<Vec<_>>());
}

#[test]
fn clock_that_is_set_back_repeats_nothing_and_goes_on_where_it_was() {
    let mut world = World::new(1, 1, vec![defined("* * * * *", json!({}))]);
    world.pass_seconds(3690);
    world.set_clock(-3600);
    world.pass_seconds(3700);
    let expected: Vec<i64> = (1..=63).map(|n| n * 60).collect();
    assert_eq!(begun(&world), expected);
    assert!(world.runner.starts.values().all(|(count, _)| *count == 1));
}

#[test]
fn clock_that_was_wrong_by_years_is_not_waited_for() {
    let mut world = World::new(1, 1, vec![defined("* * * * *", json!({}))]);
    world.pass_seconds(90);
    let years = 20 * 366 * 86_400;
    world.set_clock(years);
    world.pass_seconds(30);
    world.set_clock(-years);
    world.pass_seconds(180);
    assert!(begun(&world).contains(&240), "{:?}", begun(&world));
}

#[test]
fn core_that_is_away_delays_and_loses_nothing() {
    let mut world = World::new(1, 1, vec![defined("* * * * * */10", json!({}))]);
    world.pass_seconds(55);
    world.kill_core(20_000);
    world.pass_seconds(60);
    let expected: Vec<i64> = (1..=11).map(|n| n * 10).collect();
    let undecided = |at: &i64| !begun(&world).contains(at) && outcome(&world, *at) != "missed";
    let lost: Vec<i64> = expected.into_iter().filter(undecided).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[test]
fn store_that_fails_delays_and_loses_nothing() {
    let mut world = World::new(1, 1, vec![defined("* * * * * */10", json!({}))]);
    world.pass_seconds(55);
    world.store_fails = true;
    world.pass_seconds(20);
    world.store_fails = false;
    world.pass_seconds(20);
    assert_eq!(begun(&world), (1..=9).map(|n| n * 10).collect::<Vec<_>>());
}

#[test]
fn while_nothing_can_be_written_nothing_is_decided() {
    let mut world = World::new(1, 1, vec![defined("* * * * * *", json!({}))]);
    world.pass_seconds(55);
    world.store_fails = true;
    world.pass_seconds(20);
    world.store_fails = false;
    world.pass_seconds(5);
    // Some were decided before it showed, and some were a little late only.
    let begun = begun(&world);
    assert!(begun.contains(&56) && begun.contains(&75) && begun.contains(&79));
    let missed = (56..=75).filter(|at| outcome(&world, *at) == "missed");
    assert!((5..=15).contains(&missed.count()), "{begun:?}");
}

#[test]
fn job_that_is_due_at_other_times_now_has_missed_nothing() {
    let mut world = World::new(1, 1, vec![defined("0 * * * *", json!({}))]);
    world.pass_seconds(90);
    world.kill_cron(0, 1_800_000);
    world.configure(vec![defined("*/5 * * * *", json!({ "catchup": "all" }))]);
    world.pass_seconds(1810);
    assert_eq!(begun(&world), Vec::<i64>::new());
    world.pass_seconds(300);
    assert_eq!(begun(&world), [2100]);
}
