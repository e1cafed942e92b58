//! Which instants have a run, and what becomes of it, one sentence each.
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

/// A job of every minute, with these fields beside.
fn minutely(more: Value) -> Value {
    let mut job = json!({ "id": "j", "timespec": "* * * * *", "action": "COMMAND" });
    for (name, value) in more.as_object().unwrap() {
        job[name] = value.clone();
    }
    job
}

fn world(definition: Value) -> World {
    World::new(1, 1, vec![job(definition)])
}

/// The token of the job's run so many minutes after the world began.
fn minute(number: i64) -> String {
    let time = jiff::Timestamp::from_second(START + 60 * number).unwrap();
    format!("cron:j:{time}")
}

fn outcome(world: &World, token: &str) -> String {
    world.store.outcome(token).unwrap_or_default()
}

#[test]
fn instant_has_a_run_at_its_time_and_one_only() {
    let mut world = world(minutely(json!({ "parameters": { "command": "date" } })));
    world.pass_seconds(59);
    assert!(world.runner.starts.is_empty());
    world.pass_seconds(2);
    assert_eq!(world.runner.starts[&minute(1)], (1, START + 60));
    assert_eq!(outcome(&world, &minute(1)), "OK");
    world.pass_seconds(120);
    assert_eq!(world.runner.starts.len(), 3);
    let asked = &world.runner.asked[&minute(1)];
    assert_eq!(asked["command"], "date");
    assert_eq!(
        asked["cron"],
        json!({ "job": "j", "scheduled": "2026-01-01T00:01:00Z" })
    );
}

#[test]
fn delay_of_a_job_moves_its_runs_and_not_their_names() {
    let definition = minutely(json!({ "jitter": 50 }));
    let delay = job(definition.clone()).delay(1).as_millis() as i64;
    let mut world = world(definition);
    world.pass_seconds(60 + 51);
    let (_, begun) = world.runner.starts[&minute(1)];
    assert_eq!(begun, START + 60 + delay / 1000);
}

#[test]
fn overlapping_runs_are_allowed_where_nobody_says_otherwise() {
    let mut world = world(minutely(json!({ "parameters": { "takes": 150_000 } })));
    world.pass_seconds(121);
    assert_eq!(world.runner.starts.len(), 2);
}

#[test]
fn forbidden_overlap_leaves_the_instant_out_and_says_why() {
    let definition = minutely(json!({ "overlap": "forbid", "parameters": { "takes": 90_000 } }));
    let mut world = world(definition);
    world.pass_seconds(121);
    assert_eq!(world.runner.starts.len(), 1);
    assert_eq!(outcome(&world, &minute(2)), "overlap");
    world.pass_seconds(60);
    assert!(world.runner.starts.contains_key(&minute(3)));
}

#[test]
fn queued_run_begins_when_the_one_before_has_ended() {
    let definition = minutely(json!({ "overlap": "queue", "parameters": { "takes": 90_000 } }));
    let mut world = world(definition);
    world.pass_seconds(149);
    assert_eq!(world.runner.starts.len(), 1);
    world.pass_seconds(2);
    assert_eq!(world.runner.starts[&minute(2)], (1, START + 150));
}

#[test]
fn queued_run_that_waits_longer_than_it_may_does_not_begin() {
    let definition = minutely(json!({ "overlap": "queue", "start_deadline": 20,
        "parameters": { "takes": 90_000 } }));
    let mut world = world(definition);
    world.pass_seconds(185);
    assert_eq!(outcome(&world, &minute(2)), "deadline");
    assert_eq!(world.runner.starts[&minute(3)], (1, START + 180));
}

#[test]
fn replaced_run_is_cancelled_and_the_next_begins_when_it_has_ended() {
    let definition = minutely(json!({ "overlap": "replace", "parameters": { "takes": 90_000 } }));
    let mut world = world(definition);
    world.pass_seconds(121);
    assert_eq!(outcome(&world, &minute(1)), "cancelled");
    assert_eq!(world.runner.starts[&minute(2)], (1, START + 120));
    let (_, status) = world.request("GETCRON", &json!({ "variables": ["j", "status"] }));
    assert_eq!(status["last"]["reason"], "replaced");
}

#[test]
fn run_that_takes_too_long_is_cancelled_and_says_so() {
    let definition = minutely(json!({ "max_runtime": 10, "timespec": "1 0 * * *",
        "parameters": { "takes": 40_000 } }));
    let mut world = world(definition);
    world.pass_seconds(69);
    assert_eq!(outcome(&world, &minute(1)), "");
    world.pass_seconds(2);
    assert_eq!(outcome(&world, &minute(1)), "cancelled");
    let (_, status) = world.request("GETCRON", &json!({ "variables": ["j", "status"] }));
    assert_eq!(status["last"]["reason"], "max_runtime");
    assert_eq!(status["last"]["began"], "2026-01-01T00:01:00Z");
}

#[test]
fn failed_run_is_begun_again_with_a_token_of_its_own() {
    let definition = minutely(json!({ "timespec": "1 0 * * *", "retries": 2,
        "retry_backoff": { "first": 10, "factor": 2 }, "parameters": { "ends": "failed" } }));
    let mut world = world(definition);
    world.pass_seconds(200);
    let begun: Vec<(String, i64)> = world
        .runner
        .starts
        .iter()
        .map(|(token, (_, at))| (token.clone(), at - START))
        .collect();
    let token = minute(1);
    let expected = [
        (token.clone(), 60),
        (format!("{token}:retry-1"), 70),
        (format!("{token}:retry-2"), 90),
    ];
    assert_eq!(begun, expected);
}

#[test]
fn run_that_somebody_cancelled_is_not_begun_again() {
    let definition = minutely(json!({ "timespec": "1 0 * * *", "retries": 2,
        "retry_backoff": 1, "parameters": { "ends": "cancelled" } }));
    let mut world = world(definition);
    world.pass_seconds(100);
    assert_eq!(world.runner.starts.len(), 1);
}

#[test]
fn job_that_rests_has_no_runs_and_tells_of_it_when_it_goes_on() {
    let mut world = world(minutely(json!({})));
    let suspend = |suspend: bool| json!({ "variables": ["j"], "content": { "suspend": suspend } });
    world.pass_seconds(61);
    assert!(world.request("UPDATECRON", &suspend(true)).0);
    world.pass_seconds(180);
    assert_eq!(world.runner.starts.len(), 1);
    assert!(world.request("UPDATECRON", &suspend(false)).0);
    let row = world.store.ends(&minute(2))[0].data.clone();
    let row: Value = serde_json::from_str(&row).unwrap();
    assert_eq!(row["reason"], "suspended");
    assert_eq!(row["from"], "2026-01-01T00:02:00Z");
    world.pass_seconds(60);
    assert_eq!(world.runner.starts.len(), 2);
}

#[test]
fn nothing_is_begun_outside_of_a_jobs_life() {
    let definition = minutely(json!({ "starts_at": START + 120, "expires_at": START + 240 }));
    let mut world = world(definition);
    world.pass_seconds(600);
    let begun: Vec<&String> = world.runner.starts.keys().collect();
    assert_eq!(begun, [&minute(2), &minute(3)]);
}

#[test]
fn rows_stand_under_the_jobs_id_too_where_that_is_wanted() {
    let mut world = world(minutely(json!({ "keep_token": true })));
    world.pass_seconds(121);
    assert_eq!(world.store.ends("j").len(), 2);
}

#[test]
fn past_runs_take_no_more_room_than_they_may() {
    let mut world = world(minutely(json!({ "keep_runs": 3 })));
    world.pass_seconds(60 * 10);
    let past = |world: &World| {
        let keys = world.store.state.keys();
        keys.filter(|key| key.starts_with("cron/past/")).count()
    };
    assert_eq!(past(&world), 3);
    let (_, status) = world.request("GETCRON", &json!({ "variables": ["j", "status"] }));
    let runs = status["runs"].as_array().unwrap();
    let scheduled: Vec<&Value> = runs.iter().map(|run| &run["scheduled"]).collect();
    assert_eq!(scheduled[0], "2026-01-01T00:09:00Z");
    assert_eq!(scheduled.len(), 3);
    world.configure(vec![job(minutely(json!({ "keep_runs": 1 })))]);
    world.pass_seconds(1);
    assert_eq!(past(&world), 1);
}

#[test]
fn core_that_is_full_is_asked_until_the_run_may_not_begin_any_more() {
    let mut world = World::new(1, 1, Vec::new());
    world.max_tasks = 1;
    world.kill_core(10);
    world.pass_seconds(5);
    // Takes the one place that there is.
    let long = minutely(json!({ "id": "long", "timespec": "1 0 * * *",
        "parameters": { "takes": 100_000 } }));
    let late = minutely(json!({ "timespec": "2 0 * * *", "start_deadline": 300 }));
    let never = minutely(json!({ "id": "k", "timespec": "2 0 * * *", "start_deadline": 10 }));
    world.configure(vec![job(long), job(late), job(never)]);
    world.pass_seconds(175);
    assert_eq!(world.runner.starts[&minute(2)].0, 1);
    let begun = world.runner.starts[&minute(2)].1 - START;
    assert!((160..163).contains(&begun), "{begun}");
    let token = minute(2).replace(":j:", ":k:");
    assert_eq!(outcome(&world, &token), "busy");
}

#[test]
fn instants_of_one_second_are_written_together() {
    let jobs = (0..500).map(|n| job(minutely(json!({ "id": format!("j{n}") }))));
    let mut world = World::new(1, 1, jobs.collect());
    world.pass_seconds(62);
    assert_eq!(world.runner.starts.len(), 500);
    let late = world
        .runner
        .starts
        .values()
        .filter(|(_, at)| *at > START + 60);
    assert_eq!(late.count(), 0);
}
