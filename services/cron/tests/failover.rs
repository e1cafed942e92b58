//! Several instances, of which one fires, one sentence each.
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

fn jobs(more: Value) -> Vec<gorgone_schedule::Definition> {
    let mut definition = json!({ "id": "j", "timespec": "* * * * *", "action": "COMMAND" });
    for (name, value) in more.as_object().unwrap() {
        definition[name] = value.clone();
    }
    vec![job(definition)]
}

fn minute(number: i64) -> String {
    let time = jiff::Timestamp::from_second(START + 60 * number).unwrap();
    format!("cron:j:{time}")
}

/// Two instances, of which one has begun to fire.
fn two(more: Value) -> (World, usize, usize) {
    let mut world = World::new(7, 2, jobs(more));
    world.pass_seconds(10);
    let leader = world.leader().unwrap();
    (world, leader, 1 - leader)
}

#[test]
fn of_two_instances_one_fires() {
    let (mut world, leader, other) = two(json!({}));
    world.pass_seconds(300);
    assert_eq!(world.leader(), Some(leader));
    assert!(!world.crons[other].leads());
    assert_eq!(world.runner.starts.len(), 5);
    assert!(world.runner.starts.values().all(|(count, _)| *count == 1));
}

#[test]
fn another_fires_when_the_lease_of_one_that_is_gone_is_over() {
    let (mut world, leader, other) = two(json!({}));
    world.kill_cron(leader, 1_000_000);
    world.pass_seconds(4);
    assert_eq!(world.leader(), Some(other));
    world.pass_seconds(60);
    assert_eq!(world.runner.starts[&minute(1)].0, 1);
}

#[test]
fn another_fires_at_once_when_one_ends_in_order() {
    let (mut world, leader, other) = two(json!({}));
    world.stop_cron(leader);
    world.pass(100);
    assert_eq!(world.leader(), Some(other));
    assert!(world.crons[leader].stopped);
}

#[test]
fn another_fires_at_once_when_one_is_born_anew() {
    let (mut world, leader, other) = two(json!({}));
    world.kill_cron(leader, 50);
    world.pass(200);
    assert_eq!(world.leader(), Some(other));
}

#[test]
fn run_of_a_leader_that_died_is_followed_by_the_next() {
    let (mut world, leader, _) = two(json!({ "parameters": { "takes": 30_000 } }));
    world.pass_seconds(52);
    assert_eq!(world.runner.starts.len(), 1);
    world.kill_cron(leader, 1_000_000);
    world.pass_seconds(40);
    let (_, status) = world.request("GETCRON", &json!({ "variables": ["j", "status"] }));
    assert_eq!(status["last"]["token"], minute(1));
    assert_eq!(status["last"]["outcome"], "OK");
    assert_eq!(world.runner.starts[&minute(1)].0, 1);
}

#[test]
fn leader_that_slept_over_its_lease_writes_and_fires_nothing_more() {
    let (mut world, leader, other) = two(json!({ "timespec": "* * * * * */5" }));
    world.freeze_cron(leader, 20_000);
    world.pass_seconds(19);
    assert_eq!(world.leader(), Some(other));
    world.pass_seconds(20);
    assert_eq!(world.leader(), Some(other));
    assert!(world.runner.starts.values().all(|(count, _)| *count == 1));
    assert!(
        world.runner.starts.len() >= 9,
        "{}",
        world.runner.starts.len()
    );
}

#[test]
fn limit_of_a_run_outlives_the_leader() {
    let (mut world, leader, _) =
        two(json!({ "max_runtime": 20, "parameters": { "takes": 100_000 } }));
    world.pass_seconds(55);
    world.kill_cron(leader, 1_000_000);
    world.pass_seconds(20);
    let outcome = world.store.outcome(&minute(1));
    assert_eq!(outcome.as_deref(), Some("cancelled"));
    let (_, status) = world.request("GETCRON", &json!({ "variables": ["j", "status"] }));
    assert_eq!(status["last"]["reason"], "max_runtime");
}

#[test]
fn retry_and_queue_outlive_the_leader() {
    let (mut world, leader, _) = two(json!({ "overlap": "queue", "retries": 1,
        "timespec": "1,2 0 * * *", "retry_backoff": 90,
        "parameters": { "ends": "failed", "takes": 10_000 } }));
    world.pass_seconds(120);
    world.kill_cron(leader, 1_000_000);
    world.pass_seconds(200);
    let begun: Vec<(String, i64)> = world
        .runner
        .starts
        .iter()
        .map(|(token, (_, at))| (token.clone(), at - START))
        .collect();
    let expected = [
        (minute(1), 60),
        (format!("{}:retry-1", minute(1)), 160),
        (minute(2), 170),
        (format!("{}:retry-1", minute(2)), 270),
    ];
    assert_eq!(begun, expected);
}

#[test]
fn jobs_that_were_added_outlive_everything() {
    let (mut world, leader, other) = two(json!({}));
    let definition = json!({ "id": "k", "timespec": "*/2 * * * *", "action": "COMMAND" });
    let (added, said) = world.request("ADDCRON", &json!({ "content": [definition] }));
    assert!(added, "{said}");
    world.kill_cron(leader, 100);
    world.kill_cron(other, 100);
    world.kill_core(50);
    world.pass_seconds(120);
    let (_, shown) = world.request("GETCRON", &json!({ "variables": ["k"] }));
    assert_eq!(shown[0]["source"], "added");
    assert!(
        world
            .runner
            .starts
            .contains_key("cron:k:2026-01-01T00:02:00Z")
    );
}

#[test]
fn request_waits_for_an_instance_that_fires() {
    let (mut world, leader, other) = two(json!({}));
    world.kill_cron(leader, 5_000);
    world.kill_cron(other, 5_000);
    // Core knows by now that they are gone.
    world.pass(100);
    let (good, shown) = world.request("GETCRON", &json!({}));
    assert!(good);
    assert_eq!(shown[0]["id"], "j");
}

#[test]
fn lease_that_core_gives_to_another_after_a_restart_is_lost_at_once() {
    let (mut world, leader, other) = two(json!({}));
    world.cut_cron(leader, 30_000);
    world.pass_seconds(5);
    assert_eq!(world.leader(), Some(other));
    world.pass_seconds(60);
    assert_eq!(world.leader(), Some(other));
    assert_eq!(world.runner.starts[&minute(1)].0, 1);
}
