//! Which of several instances acts, and what it may write, one sentence each.

#[allow(
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    reason = "it is all test, and this file uses a part of it"
)]
mod desk;

use std::time::Duration;

use gorgone_protocol::request::lease::LeaseName;
use gorgone_protocol::{Code, Status};
use gorgone_routing::{Effect, Event, Record, Restored, Runner, StoredLease, Written};
use serde_json::{Value, json};

use desk::{Desk, settings};

/// A module that has said READY, in a life.
fn comes(desk: &mut Desk, name: &str, epoch: &str) {
    let body = json!({ "actions": [], "epoch": epoch }).to_string();
    desk.module(name, "CRONREADY", &body);
    assert_eq!(desk.answer_to(name).0, Status::Ok);
}

fn asks(desk: &mut Desk, name: &str, wait: u64) {
    let body = json!({ "name": "cron", "ttl": 10, "wait": wait }).to_string();
    desk.module(name, "LEASE", &body);
}

fn gives_back(desk: &mut Desk, name: &str) {
    desk.module(name, "LEASE", r#"{"name":"cron","ttl":0}"#);
    desk.stored();
}

fn told(desk: &mut Desk, name: &str) -> Vec<Value> {
    desk.data_to(name)
}

fn held(fence: u64) -> Value {
    json!({ "held": true, "fence": fence })
}

fn taken(holder: &str, left: u64) -> Value {
    json!({ "held": false, "holder": holder, "left": left })
}

/// A desk at which `a` has the lease and `b` is there.
fn two() -> Desk {
    let mut desk = Desk::new();
    comes(&mut desk, "a", "1");
    comes(&mut desk, "b", "1");
    asks(&mut desk, "a", 0);
    desk.stored();
    assert_eq!(told(&mut desk, "a"), [held(1)]);
    desk
}

#[test]
fn new_holder_is_told_when_it_is_written_down_and_not_before() {
    let mut desk = Desk::new();
    comes(&mut desk, "a", "1");
    asks(&mut desk, "a", 0);
    assert!(told(&mut desk, "a").is_empty());
    desk.stored();
    assert_eq!(told(&mut desk, "a"), [held(1)]);
}

#[test]
fn holder_keeps_it_by_asking_again_and_nothing_is_written() {
    let mut desk = two();
    for _ in 0..5 {
        desk.passes(9);
        asks(&mut desk, "a", 0);
        assert_eq!(told(&mut desk, "a"), [held(1)]);
    }
    asks(&mut desk, "b", 0);
    assert_eq!(told(&mut desk, "b"), [taken("a", 10)]);
    let grants = |record: &&Record| matches!(record, Record::Grant { .. });
    assert_eq!(desk.records.iter().filter(grants).count(), 1);
}

#[test]
fn who_waits_gets_it_when_its_time_is_over() {
    let mut desk = two();
    asks(&mut desk, "b", 60);
    desk.passes(9);
    assert!(told(&mut desk, "b").is_empty());
    desk.passes(1);
    desk.stored();
    assert_eq!(told(&mut desk, "b"), [held(2)]);
    asks(&mut desk, "a", 0);
    assert_eq!(told(&mut desk, "a"), [taken("b", 10)]);
}

#[test]
fn who_waits_in_vain_is_told_so() {
    let mut desk = two();
    asks(&mut desk, "b", 3);
    desk.passes(3);
    assert_eq!(told(&mut desk, "b"), [taken("a", 7)]);
    desk.passes(60);
    assert!(told(&mut desk, "b").is_empty());
}

#[test]
fn those_who_wait_get_it_in_their_order_and_only_if_they_are_there() {
    let mut desk = two();
    comes(&mut desk, "c", "1");
    asks(&mut desk, "b", 60);
    asks(&mut desk, "c", 60);
    desk.gone("b");
    gives_back(&mut desk, "a");
    assert_eq!(told(&mut desk, "c"), [held(2)]);
    assert!(told(&mut desk, "b").is_empty());
}

#[test]
fn holder_that_begins_anew_has_another_fence_and_lets_others_come_first() {
    let anew = r#"{"name":"cron","ttl":10,"wait":60,"anew":true}"#;
    let mut desk = two();
    desk.module("a", "LEASE", anew);
    desk.stored();
    assert_eq!(told(&mut desk, "a"), [held(2)]);
    asks(&mut desk, "b", 60);
    desk.module("a", "LEASE", anew);
    desk.stored();
    assert_eq!(told(&mut desk, "b"), [held(3)]);
    assert!(told(&mut desk, "a").is_empty());
}

#[test]
fn what_is_given_back_is_free_at_once() {
    let mut desk = two();
    gives_back(&mut desk, "b");
    assert_eq!(told(&mut desk, "b"), [json!({"held":false,"left":0})]);
    asks(&mut desk, "b", 60);
    gives_back(&mut desk, "a");
    assert_eq!(told(&mut desk, "b"), [held(2)]);
}

#[test]
fn lost_connection_does_not_end_it_and_a_new_life_does() {
    let mut desk = two();
    asks(&mut desk, "b", 60);
    desk.gone("a");
    desk.passes(5);
    assert!(told(&mut desk, "b").is_empty());
    comes(&mut desk, "a", "1");
    asks(&mut desk, "a", 0);
    assert_eq!(told(&mut desk, "a"), [held(1)], "the same life goes on");
    comes(&mut desk, "a", "2");
    desk.stored();
    assert_eq!(told(&mut desk, "b"), [held(2)]);
    asks(&mut desk, "a", 0);
    assert_eq!(told(&mut desk, "a"), [taken("b", 10)]);
}

#[test]
fn life_that_ends_before_it_is_told_leaves_nothing_held() {
    let mut desk = Desk::new();
    comes(&mut desk, "a", "1");
    comes(&mut desk, "b", "1");
    asks(&mut desk, "a", 0);
    comes(&mut desk, "a", "2");
    asks(&mut desk, "b", 60);
    desk.stored();
    assert_eq!(told(&mut desk, "b"), [held(2)]);
}

#[test]
fn recorded_holder_has_its_time_after_a_restart() {
    let lease = StoredLease {
        name: LeaseName::parse("cron").unwrap(),
        fence: 7,
        holder: Some(Runner {
            instance: "a".to_owned(),
            epoch: "1".to_owned(),
        }),
        ttl: Duration::from_secs(10),
    };
    let restored = || Restored {
        leases: vec![lease.clone()],
        ..Restored::default()
    };
    let mut desk = Desk::with(settings(), restored());
    comes(&mut desk, "b", "1");
    asks(&mut desk, "b", 0);
    assert_eq!(told(&mut desk, "b"), [taken("a", 10)]);
    comes(&mut desk, "a", "1");
    asks(&mut desk, "a", 0);
    assert_eq!(told(&mut desk, "a"), [held(7)]);

    let mut desk = Desk::with(settings(), restored());
    comes(&mut desk, "b", "1");
    asks(&mut desk, "b", 60);
    desk.passes(10);
    desk.stored();
    assert_eq!(told(&mut desk, "b"), [held(8)]);
}

#[test]
fn store_that_fails_grants_nothing_and_is_tried_again() {
    let mut desk = two();
    asks(&mut desk, "b", 60);
    desk.passes(10);
    desk.store_fails();
    assert_eq!(told(&mut desk, "b").len(), 1, "it is told");
    asks(&mut desk, "b", 60);
    desk.stored();
    assert_eq!(told(&mut desk, "b"), [held(2)]);
}

#[test]
fn lease_is_for_modules_that_said_ready() {
    let mut desk = Desk::new();
    asks(&mut desk, "a", 0);
    assert_eq!(desk.answer_to("a"), (Status::Nok, "not_ready".to_owned()));
    for action in ["LEASE", "PUTSTATE", "GETSTATE"] {
        desk.client("client", action, "", "{}");
        desk.stored();
        let words = format!("action '{action}' is not known");
        assert_eq!(desk.answer_to("client"), (Status::Nok, words));
    }
}

#[test]
fn state_is_written_with_its_rows_and_wakes_who_waits_for_them() {
    let mut desk = two();
    let body = json!({ "fence": { "name": "cron", "number": 1 }, "put": { "cron/a": { "n": 1 } },
        "rows": [{ "token": "t", "code": 0, "data": {} }] });
    desk.module("a", "PUTSTATE", &body.to_string());
    assert!(desk.answers_to("a").is_empty());
    desk.stored();
    assert_eq!(
        desk.answer_to("a"),
        (Status::Ok, "state written".to_owned())
    );
    let Some(Record::PutState(change)) = desk.records.last() else {
        panic!("{:?}", desk.records);
    };
    assert_eq!(change.put["cron/a"], r#"{"n":1}"#);
    assert_eq!(change.rows[0].code, Code::Proceed);
    assert_eq!(desk.effects(|effect| *effect == Effect::NewRows), 1);
}

#[test]
fn state_of_an_older_holder_is_refused_by_the_store() {
    let mut desk = two();
    let body = r#"{"fence":{"name":"cron","number":1},"put":{"cron/a":1}}"#;
    desk.module("a", "PUTSTATE", body);
    desk.stored_as(Written::Fenced { current: 2 });
    assert_eq!(desk.answer_to("a"), (Status::Nok, "fenced".to_owned()));
}

#[test]
fn who_waits_is_let_go_when_core_stops_and_state_is_still_taken() {
    let mut desk = two();
    asks(&mut desk, "b", 60);
    desk.happens(Event::Stopping);
    assert_eq!(told(&mut desk, "b"), [taken("a", 10)]);
    let body = r#"{"fence":{"name":"cron","number":1},"put":{"cron/a":1}}"#;
    desk.module("a", "PUTSTATE", body);
    desk.stored();
    assert_eq!(desk.answer_to("a").0, Status::Ok);
}
