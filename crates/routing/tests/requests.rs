//! What each request to core does, one sentence each.

#[allow(
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    reason = "it is all test, and this file uses a part of it"
)]
mod desk;

use gorgone_protocol::request::logger::Severity;
use gorgone_protocol::{Code, NodeId, Status};
use gorgone_routing::{Event, Record, Restored, Settings};

use desk::{Desk, settings};

fn ok(words: &str) -> (Status, String) {
    (Status::Ok, words.to_owned())
}

fn nok(words: &str) -> (Status, String) {
    (Status::Nok, words.to_owned())
}

#[test]
fn unknown_action_is_refused_and_leaves_a_row() {
    let mut desk = Desk::new();
    desk.client("client", "NOSUCHTHING", "t1", "{}");
    desk.stored();
    assert_eq!(
        desk.answer_to("client"),
        nok("action 'NOSUCHTHING' is not known")
    );
    let rejected = |record: &Record| matches!(record, Record::Put(row) if row.token == "t1" && row.code == Code::Ko && row.data.contains("rejected"));
    assert!(desk.records.iter().any(rejected));
}

#[test]
fn target_without_a_proxy_is_refused() {
    let mut desk = Desk::new();
    desk.client_to("client", 7, "t1");
    desk.stored();
    let words = "no proxy configured. cannot manage target.";
    assert_eq!(desk.answer_to("client"), nok(words));
}

#[test]
fn own_id_as_target_means_here() {
    let mut desk = Desk::new();
    desk.client_to("client", 1, "t1");
    desk.stored();
    assert_eq!(desk.answer_to("client"), ok("accepted"));
}

#[test]
fn getlog_needs_a_filter() {
    let mut desk = Desk::new();
    desk.client("client", "GETLOG", "", "{}");
    assert_eq!(desk.answer_to("client"), nok("need at least one filter"));
}

#[test]
fn getlog_waits_for_the_end() {
    let mut desk = Desk::new();
    desk.ready("action", 1);
    desk.command("t1");
    desk.stored();
    desk.client("reader", "GETLOG", "", r#"{"token":"t1","wait":60}"#);
    desk.row("action", "t1", Code::Proceed, "{}", Some(1));
    desk.stored();
    assert!(desk.queries().is_empty());
    desk.ends("action", "t1");
    assert_eq!(desk.queries().len(), 1);
}

#[test]
fn getlog_waits_no_longer_than_it_says() {
    let mut desk = Desk::new();
    desk.command("t1");
    desk.stored();
    desk.client("reader", "GETLOG", "", r#"{"token":"t1","wait":60}"#);
    desk.passes(59);
    assert!(desk.queries().is_empty());
    desk.passes(1);
    assert_eq!(desk.queries().len(), 1);
}

#[test]
fn getlog_that_nobody_waits_for_any_more_is_not_answered() {
    let mut desk = Desk::new();
    desk.command("t1");
    desk.stored();
    let wait = r#"{"token":"t1","wait":60}"#;
    desk.client("reader", "GETLOG", "r1", wait);
    desk.cancels("somebody else", "r1");
    assert_eq!(desk.queries().len(), 0);
    desk.cancels("reader", "r1");
    assert_eq!(desk.answer_to("reader"), ok("it does not wait any more"));
    desk.cancels("client", "t1");
    desk.stored();
    assert!(desk.queries().is_empty());
}

#[test]
fn getlog_that_waits_tells_whether_the_token_still_runs() {
    let mut desk = Desk::new();
    desk.ready("action", 1);
    desk.command("t1");
    desk.stored();
    desk.client("reader", "GETLOG", "", r#"{"token":"t1","wait":0.5}"#);
    desk.passes(1);
    assert_eq!(desk.queries()[0].live, Some(true), "time is up");
    desk.client("reader", "GETLOG", "", r#"{"token":"t1","wait":"60"}"#);
    desk.ends("action", "t1");
    assert_eq!(desk.queries()[0].live, Some(false), "it ended");
    desk.client("reader", "GETLOG", "", r#"{"token":"t1","wait":60}"#);
    assert_eq!(desk.queries()[0].live, Some(false), "it had ended before");
    desk.client("reader", "GETLOG", "", r#"{"token":"t1"}"#);
    assert_eq!(desk.queries()[0].live, None, "nobody waits");
}

#[test]
fn log_level_reaches_core_and_every_module_that_is_there() {
    let mut desk = Desk::new();
    desk.ready("action", 1);
    desk.ready("other", 1);
    desk.gone("other");
    desk.client("client", "BCASTLOGGER", "", r#"{"severity":"chatty"}"#);
    assert_eq!(desk.answer_to("client").0, Status::Nok);
    assert!(desk.log_levels().is_empty());
    let body = r#"{"content":{"severity":"debug"},"variables":[],"parameters":{}}"#;
    desk.client("client", "BCASTLOGGER", "", body);
    let told = [("core", Severity::Debug), ("action", Severity::Debug)];
    assert_eq!(
        desk.log_levels(),
        told.map(|(name, severity)| (name.to_owned(), severity))
    );
    assert_eq!(desk.answer_to("client"), ok("severity changed"));
}

#[test]
fn module_without_actions_is_ready_until_it_drains() {
    let mut desk = Desk::new();
    let state = |desk: &mut Desk, name: &str| desk.information()["modules"][name]["state"].clone();
    desk.module("door", "DOORREADY", r#"{"actions":[],"epoch":"1"}"#);
    assert_eq!(state(&mut desk, "door"), "ready");
    let drains = r#"{"actions":[],"draining":true,"epoch":"1"}"#;
    desk.module("door", "DOORREADY", drains);
    assert_eq!(state(&mut desk, "door"), "draining");
    let stands_by = r#"{"actions":[],"standby":true,"epoch":"1"}"#;
    desk.module("door", "DOORREADY", stands_by);
    assert_eq!(state(&mut desk, "door"), "standby");
    // A module that knows no other way to say it.
    desk.module("old", "OLDREADY", r#"{"actions":["X"],"epoch":"1"}"#);
    for _ in 0..2 {
        desk.module("old", "OLDREADY", r#"{"actions":[],"epoch":"1"}"#);
        assert_eq!(state(&mut desk, "old"), "draining");
    }
}

#[test]
fn getlog_waits_for_the_next_row() {
    let mut desk = Desk::new();
    desk.ready("action", 1);
    desk.command("t1");
    desk.stored();
    let wait = r#"{"token":"t1","id":5,"wait":60,"wait_for":"row"}"#;
    desk.client("reader", "GETLOG", "", wait);
    let asked = desk.queries();
    let waiter = asked[0].waiter.unwrap();
    desk.happens(Event::QueryDone {
        waiter,
        answered: false,
    });
    assert!(desk.queries().is_empty());
    desk.row("action", "t1", Code::Proceed, "{}", Some(1));
    desk.stored();
    let asked = desk.queries();
    assert_eq!(asked[0].waiter, Some(waiter));
    desk.happens(Event::QueryDone {
        waiter,
        answered: true,
    });
    desk.ends("action", "t1");
    assert!(desk.queries().is_empty(), "it was answered once");
}

#[test]
fn client_cannot_end_a_running_request_with_a_row() {
    let mut desk = Desk::new();
    desk.ready("action", 1);
    desk.command("t1");
    desk.stored();
    desk.client("forger", "PUTLOG", "", r#"{"token":"t1","code":1}"#);
    desk.stored();
    let words = "the token belongs to a request that is running";
    assert_eq!(desk.answer_to("forger"), nok(words));
    assert_eq!(desk.router.live_tasks(), 1);
}

#[test]
fn row_of_a_client_is_acknowledged_when_it_is_stored() {
    for data in [
        r#"{"token":"note","code":1}"#,
        r#"{"token":"note","code":1,"sequence":3}"#,
    ] {
        let mut desk = Desk::new();
        desk.client("client", "PUTLOG", "", data);
        assert!(desk.answers_to("client").is_empty());
        desk.stored();
        assert_eq!(desk.answer_to("client"), ok("message inserted"));
        assert_eq!(desk.records.len(), 1);
    }
}

#[test]
fn nodes_are_registered_when_they_are_stored() {
    let mut desk = Desk::new();
    let nodes = r#"{"nodes":[{"id":5,"type":"pull"}]}"#;
    desk.client("client", "REGISTERNODES", "", nodes);
    assert!(desk.answers_to("client").is_empty());
    desk.stored();
    assert_eq!(desk.answer_to("client"), ok("nodes registered"));
    let known =
        |record: &Record| matches!(record, Record::PutNode { id, .. } if *id == NodeId::new(5));
    assert!(desk.records.iter().any(known));
    let own = r#"{"nodes":[{"id":1,"type":"pull"}]}"#;
    desk.client("client", "REGISTERNODES", "", own);
    assert_eq!(
        desk.answer_to("client"),
        nok("node 1 is this daemon itself")
    );
}

#[test]
fn full_router_answers_busy_and_accepts_nothing() {
    let tasks = Settings {
        max_tasks: 1,
        ..settings()
    };
    let bytes = Settings {
        max_task_bytes: 3,
        ..settings()
    };
    for limits in [tasks, bytes] {
        let mut desk = Desk::with(limits, Restored::default());
        desk.command("t1");
        desk.command("t2");
        desk.stored();
        let answers = desk.answers_to("client");
        assert_eq!(answers, [nok("busy"), ok("accepted")]);
        assert_eq!(desk.router.live_tasks(), 1);
    }
}

#[test]
fn stopping_takes_nothing_more_and_still_takes_results() {
    let mut desk = Desk::new();
    desk.ready("action", 1);
    desk.command("t1");
    desk.stored();
    desk.client("reader", "GETLOG", "", r#"{"token":"t1","wait":60}"#);
    desk.answers_to("client");
    desk.happens(Event::Stopping);
    assert_eq!(desk.queries().len(), 1, "who waits is told what there is");
    desk.command("t2");
    assert_eq!(desk.answer_to("client"), nok("stopping"));
    desk.ends("action", "t1");
    assert_eq!(desk.end_of("t1"), "OK");
}
