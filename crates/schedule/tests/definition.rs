//! What a definition may say, and what is said about one that is wrong.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may fail by panicking"
)]

use std::time::Duration;

use gorgone_protocol::{Action, NodeId, Target};
use gorgone_schedule::{Backoff, Catchup, Definition, Overlap, Zones};
use serde_json::{Value, json};

fn parse(value: Value) -> Definition {
    Definition::parse(&value, &Zones::bundled()).unwrap_or_else(|error| panic!("{value}: {error}"))
}

fn problems(value: Value) -> Vec<String> {
    let error = Definition::parse(&value, &Zones::bundled()).expect_err("it is wrong");
    error.problems.iter().map(ToString::to_string).collect()
}

/// With these fields beside the needed ones.
fn with(more: Value) -> Value {
    let mut job = json!({"id": "a", "timespec": "0 2 * * *", "action": "COMMAND"});
    for (name, value) in more.as_object().unwrap() {
        job[name] = value.clone();
    }
    job
}

#[test]
fn a_plain_job_behaves_as_with_a_plain_cron() {
    let job = parse(json!({
        "id": "echo_date", "timespec": "* * * * *", "action": "COMMAND",
        "parameters": {"command": "date", "timeout": 10}, "keep_token": true
    }));
    assert_eq!(job.id.as_str(), "echo_date");
    assert_eq!(job.action, Action::Command);
    assert_eq!(job.target, Target::Here);
    assert!(job.keep_token && !job.suspend);
    assert_eq!((job.overlap, job.catchup), (Overlap::Allow, Catchup::None));
    assert_eq!(
        (job.retries, job.start_deadline, job.max_runtime),
        (0, None, None)
    );
    assert_eq!(job.delay(1), Duration::ZERO);
    assert_eq!(job.data().as_str(), r#"{"command":"date","timeout":10}"#);
}

#[test]
fn every_field_is_read_and_written_back() {
    let value = json!({
        "id": 7, "description": "nightly", "timespec": "30 2 * * 1-5", "timezone": "europe/paris",
        "action": "ENGINECOMMAND", "target": "12", "parameters": [{"command": "x"}],
        "keep_token": "true", "overlap": "queue", "catchup": "latest", "catchup_window": "7200",
        "start_deadline": 60, "jitter": 300, "suspend": 1,
        "starts_at": "2027-01-31T08:00:00.5+01:00", "expires_at": 1_900_000_000,
        "retries": 3, "retry_backoff": {"first": 5, "factor": 1.5, "max": 50},
        "max_runtime": 600, "keep_runs": 5
    });
    let job = parse(value);
    assert_eq!(job.id.as_str(), "7");
    assert_eq!(job.timezone.as_deref(), Some("Europe/Paris"));
    assert_eq!(job.target, Target::Node(NodeId::new(12)));
    assert_eq!(job.starts_at, Some(1_801_378_800));
    assert_eq!(job.data().as_str(), r#"{"content":[{"command":"x"}]}"#);
    let written = Value::Object(job.to_json());
    assert_eq!(parse(written.clone()), job);
    assert_eq!(written["starts_at"], "2027-01-31T07:00:00Z");
    assert_eq!(written.as_object().unwrap().len(), 20);
    // What is at its default is not written.
    assert_eq!(parse(with(json!({}))).to_json().len(), 4);
}

#[test]
fn a_wrong_job_is_told_everything_at_once() {
    let said = problems(json!({
        "timespc": "* * * * *", "action": "COM MAND", "target": "4,,7", "timezone": "Europe/Pariss",
        "parameters": 5, "keep_token": "perhaps", "overlap": "skip", "jitter": -1,
        "starts_at": 20, "expires_at": 10, "retry_backoff": {"frist": 1, "factor": 0}
    }));
    for expected in [
        "id: is missing",
        "timespec: is missing",
        "timespc: unknown field; did you mean 'timespec'?",
        "action: is no name of an action",
        "target: '4,,7' is neither the id of a node nor a selection of nodes: character 3",
        "timezone: 'Europe/Pariss' is no time zone; did you mean 'Europe/Paris'?",
        "parameters: must be an object",
        "keep_token: 'perhaps' is neither true nor false",
        "overlap: 'skip' is none of allow, forbid, replace, queue",
        "jitter: '-1' is no whole number from 0 to 86400",
        "expires_at: is not after starts_at",
        "retry_backoff.frist: unknown field; did you mean 'first'?",
        "retry_backoff.factor: '0' is no number from 1 to 100",
    ] {
        assert!(
            said.iter().any(|text| text.starts_with(expected)),
            "{expected} in {said:#?}"
        );
    }
    assert_eq!(said.len(), 13, "{said:#?}");
}

#[test]
fn what_is_no_job_at_all_is_refused() {
    for value in [json!(null), json!([]), json!("* * * * *"), json!(5)] {
        assert!(problems(value)[0].starts_with("must be an object"));
    }
    for id in ["a]b", "a/b", "a\nb", &"x".repeat(256)] {
        assert!(
            problems(with(json!({"id": id})))[0].starts_with("id: "),
            "{id}"
        );
    }
    assert!(
        problems(with(json!({"timespec": "61 * * * *"})))[0]
            .starts_with("timespec: minute '61' is not within 0-59")
    );
    assert!(problems(with(json!({"starts_at": "tomorrow"})))[0].contains("is no time"));
}

#[test]
fn a_change_replaces_fields_and_null_brings_defaults_back() {
    let job = parse(with(
        json!({"overlap": "forbid", "retries": 2, "target": 4}),
    ));
    let change = |changes: Value| job.patched(changes.as_object().unwrap(), &Zones::bundled());
    let changed =
        change(json!({"overlap": null, "target": null, "timespec": "5 * * * *"})).unwrap();
    assert_eq!(changed.overlap, Overlap::Allow);
    assert_eq!(changed.target, Target::Here);
    assert_eq!(changed.timespec.as_str(), "5 * * * *");
    assert_eq!(changed.retries, 2);
    assert_eq!(change(json!({})).unwrap(), job);
    assert_eq!(change(json!({"id": "a"})).unwrap(), job);
    for (wrong, said) in [
        (json!({"id": "b"}), "id: cannot be changed"),
        (json!({"timespec": null}), "timespec: is missing"),
        (
            json!({"overlapp": "allow"}),
            "overlapp: unknown field; did you mean 'overlap'?",
        ),
    ] {
        let error = change(wrong).expect_err("it is wrong").to_string();
        assert!(error.starts_with(said), "{error}");
    }
}

#[test]
fn nothing_is_due_before_the_start_and_from_the_end_on() {
    let hour = 3600;
    let job = parse(with(json!({
        "timespec": "0 * * * *", "starts_at": 10 * hour, "expires_at": 13 * hour
    })));
    let due: Vec<i64> = job.after(0).collect();
    assert_eq!(due, [10 * hour, 11 * hour, 12 * hour]);
    assert_eq!(job.next(11 * hour), Some(12 * hour));
    assert_eq!(job.next(12 * hour), None);
}

#[test]
fn the_delay_is_the_same_for_a_job_on_a_node_and_spread_over_jobs() {
    let delay = |id: &str, node| parse(with(json!({"id": id, "jitter": 100}))).delay(node);
    assert_eq!(delay("a", 1), delay("a", 1));
    assert_ne!(delay("a", 1), delay("a", 2));
    // Written down: another release must not shift every job.
    assert_eq!(delay("a", 1), Duration::from_millis(80_971));
    let mut slots = [0; 10];
    for number in 0..1000 {
        let delay = delay(&format!("job-{number}"), 1);
        assert!(delay <= Duration::from_secs(100));
        let slot = usize::try_from(delay.as_millis() / 10_001).unwrap();
        slots[slot] += 1;
    }
    assert!(
        slots.iter().all(|count| (60..150).contains(count)),
        "{slots:?}"
    );
}

#[test]
fn waits_before_retries_grow_up_to_their_limit() {
    let job = parse(with(json!({"retry_backoff": 600})));
    let waits = |backoff: Backoff| [1, 2, 3, 4, 60].map(|retry| backoff.before(retry).as_secs());
    assert_eq!(waits(job.retry_backoff), [600, 1200, 2400, 3600, 3600]);
    let job = parse(with(json!({"retry_backoff": {"first": 5, "factor": 1}})));
    assert_eq!(waits(job.retry_backoff), [5; 5]);
    assert!(
        problems(with(json!({"retry_backoff": {"first": 5, "max": 4}})))[0]
            .starts_with("retry_backoff.max: is shorter")
    );
}
