//! Requests about jobs, and the configuration, one sentence each.
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

use world::{World, job};

fn yearly(id: &str) -> Value {
    json!({ "id": id, "timespec": "@yearly", "action": "COMMAND", "parameters": { "a": 1 } })
}

/// A world with the job `file` in its configuration.
fn world() -> World {
    let mut world = World::new(3, 1, vec![job(yearly("file"))]);
    world.pass_seconds(5);
    world
}

fn ids(world: &mut World) -> Vec<String> {
    let (_, jobs) = world.request("GETCRON", &json!({}));
    let jobs = jobs.as_array().unwrap().iter();
    jobs.map(|job| job["id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn jobs_are_added_changed_shown_and_deleted() {
    let mut world = world();
    let added = world.request("ADDCRON", &json!({ "content": [yearly("a"), yearly("b")] }));
    assert_eq!(
        added,
        (true, json!({ "message": "jobs added", "ids": ["a", "b"] }))
    );
    assert_eq!(ids(&mut world), ["a", "b", "file"]);
    let change = json!({ "variables": ["a"], "content": { "timespec": "@daily", "retries": 2 } });
    assert!(world.request("UPDATECRON", &change).0);
    let (_, shown) = world.request("GETCRON", &json!({ "variables": ["a"] }));
    let mut expected = yearly("a");
    expected["timespec"] = "@daily".into();
    expected["retries"] = 2.into();
    expected["source"] = "added".into();
    expected["words"] = "every day at midnight".into();
    expected["next"] = "2026-01-02T00:00:00Z".into();
    expected["last"] = json!(null);
    assert_eq!(shown, json!([expected]));
    // What was told can be sent back.
    let change = json!({ "variables": ["a"], "content": expected });
    assert!(world.request("UPDATECRON", &change).0);
    let next = json!({ "variables": ["a", "next"], "parameters": { "n": "2" } });
    let (_, next) = world.request("GETCRON", &next);
    let instants = json!(["2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"]);
    assert_eq!(next["next"], instants);
    assert!(
        world
            .request("DELETECRON", &json!({ "variables": ["a"] }))
            .0
    );
    assert_eq!(ids(&mut world), ["b", "file"]);
    let left = world.store.state.keys().filter(|key| key.contains("/a"));
    assert_eq!(left.filter(|key| !key.starts_with("cron/at/")).count(), 0);
}

#[test]
fn one_definition_may_stand_by_itself() {
    let mut world = world();
    assert!(world.request("ADDCRON", &yearly("a")).0);
    let (_, shown) = world.request("GETCRON", &json!({ "variables": "a" }));
    assert_eq!(shown[0]["parameters"], json!({ "a": 1 }));
}

#[test]
fn wrong_definitions_change_nothing_and_are_told_in_full() {
    let mut world = world();
    let wrong = json!({ "id": "c", "timespec": "61 * * * *", "action": "COMMAND" });
    let ttl = json!({ "id": "d", "timespec": "@daily", "action": "COMMAND",
        "parameters": { "ttl": [] } });
    let content = json!({ "content": [yearly("a"), wrong, yearly("file"), yearly("a"), ttl] });
    let (good, said) = world.request("ADDCRON", &content);
    assert!(!good);
    let problems: Vec<(u64, &str)> = said["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| {
            let field = problem["field"].as_str().unwrap();
            (problem["index"].as_u64().unwrap(), field)
        })
        .collect();
    let expected = [(1, "timespec"), (2, "id"), (3, "id"), (4, "parameters")];
    assert_eq!(problems, expected);
    assert_eq!(ids(&mut world), ["file"]);
    for (action, body) in [
        ("ADDCRON", json!(5)),
        ("ADDCRON", json!({ "content": [] })),
        ("ADDCRON", json!({ "content": [5] })),
        ("UPDATECRON", json!({ "content": { "timespec": "@daily" } })),
        ("UPDATECRON", json!({ "variables": ["file"], "content": 5 })),
        (
            "UPDATECRON",
            json!({ "variables": ["nobody"], "content": {} }),
        ),
        ("DELETECRON", json!({ "variables": ["a]b"] })),
        ("DELETECRON", json!({})),
        ("RUNCRON", json!({ "variables": ["nobody"] })),
        ("GETCRON", json!({ "variables": ["nobody"] })),
        ("GETCRON", json!({ "variables": ["file", "what"] })),
        (
            "GETCRON",
            json!({ "variables": ["file", "next"], "parameters": { "n": "x" } }),
        ),
    ] {
        let (good, said) = world.request(action, &body);
        assert!(
            !good && said["reason"] == "rejected",
            "{action} {body}: {said}"
        );
    }
}

#[test]
fn job_of_the_configuration_follows_it_and_may_only_be_made_to_rest() {
    let mut world = world();
    let change = |content: Value| json!({ "variables": ["file"], "content": content });
    assert!(
        !world
            .request("UPDATECRON", &change(json!({ "timespec": "@daily" })))
            .0
    );
    assert!(
        !world
            .request("DELETECRON", &json!({ "variables": ["file"] }))
            .0
    );
    assert!(
        world
            .request("UPDATECRON", &change(json!({ "suspend": true })))
            .0
    );
    let suspended = |world: &mut World| {
        let (_, shown) = world.request("GETCRON", &json!({ "variables": ["file"] }));
        (shown[0]["source"].clone(), shown[0]["suspend"].clone())
    };
    assert_eq!(suspended(&mut world), (json!("file"), json!(true)));
    // It is remembered, until the configuration says something else.
    world.kill_cron(0, 100);
    world.pass_seconds(5);
    assert_eq!(suspended(&mut world), (json!("file"), json!(true)));
    let mut written = yearly("file");
    written["suspend"] = true.into();
    world.configure(vec![job(written)]);
    world.configure(vec![job(yearly("file"))]);
    assert_eq!(suspended(&mut world), (json!("file"), json!(null)));
}

#[test]
fn configuration_that_is_read_again_is_followed() {
    let mut world = world();
    world.configure(vec![job(yearly("new")), job(yearly("other"))]);
    assert_eq!(ids(&mut world), ["new", "other"]);
    assert!(world.store.state.keys().all(|key| !key.contains("/file")));
    // Also what changed while nobody was there.
    world.kill_cron(0, 1000);
    world.configure(vec![job(yearly("other"))]);
    world.pass_seconds(5);
    assert_eq!(ids(&mut world), ["other"]);
    assert!(world.store.state.keys().all(|key| !key.contains("/new")));
}

#[test]
fn id_that_was_added_is_not_taken_over_by_the_configuration() {
    let mut world = world();
    world.request("ADDCRON", &json!({ "content": [yearly("a")] }));
    let mut other = yearly("a");
    other["timespec"] = "@daily".into();
    world.configure(vec![job(other)]);
    let (_, shown) = world.request("GETCRON", &json!({ "variables": ["a"] }));
    assert_eq!(shown[0]["timespec"], "@yearly");
    assert_eq!(shown[0]["source"], "added");
}

#[test]
fn job_runs_now_when_somebody_wants_it() {
    let mut world = world();
    let (good, said) = world.request("RUNCRON", &json!({ "variables": ["file"] }));
    assert!(good, "{said}");
    world.pass_seconds(1);
    let token = said["token"].as_str().unwrap();
    assert_eq!(world.runner.starts[token].0, 1);
    // A second one is another run.
    let (_, again) = world.request("RUNCRON", &json!({ "variables": ["file"] }));
    assert_ne!(again["token"], said["token"]);
    world.pass_seconds(1);
    assert_eq!(world.runner.starts.len(), 2);
}

#[test]
fn job_that_allows_no_two_runs_does_not_run_now_beside_another() {
    let mut world = world();
    let mut alone = yearly("alone");
    alone["overlap"] = "forbid".into();
    alone["parameters"] = json!({ "takes": 60_000 });
    world.request("ADDCRON", &json!({ "content": [alone] }));
    assert!(
        world
            .request("RUNCRON", &json!({ "variables": ["alone"] }))
            .0
    );
    let (good, said) = world.request("RUNCRON", &json!({ "variables": ["alone"] }));
    assert!(!good);
    assert_eq!(said["reason"], "overlap");
}

#[test]
fn deleted_job_does_not_begin_what_waits() {
    let mut world = world();
    let mut queued = yearly("queued");
    queued["overlap"] = "queue".into();
    queued["parameters"] = json!({ "takes": 60_000 });
    world.request("ADDCRON", &json!({ "content": [queued] }));
    world.request("RUNCRON", &json!({ "variables": ["queued"] }));
    let (_, waits) = world.request("RUNCRON", &json!({ "variables": ["queued"] }));
    assert_eq!(waits["message"], "the run waits");
    assert!(
        world
            .request("DELETECRON", &json!({ "variables": ["queued"] }))
            .0
    );
    world.pass_seconds(100);
    assert_eq!(world.runner.starts.len(), 1);
    let outcome = world.store.outcome(waits["token"].as_str().unwrap());
    assert_eq!(outcome.as_deref(), Some("deleted"));
}
