//! What becomes of a request that was accepted, one sentence each.

#[allow(
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    reason = "it is all test, and this file uses a part of it"
)]
mod desk;

use std::time::Duration;

use gorgone_protocol::{Action, Code, Identity, Status};
use gorgone_routing::{Event, Restored, Runner, Task, TaskState, Written};

use desk::{Desk, settings, token};

fn ok(words: &str) -> (Status, String) {
    (Status::Ok, words.to_owned())
}

fn nok(words: &str) -> (Status, String) {
    (Status::Nok, words.to_owned())
}

#[test]
fn request_is_acknowledged_and_handed_over_when_it_is_stored_and_not_before() {
    let mut desk = Desk::new();
    desk.ready("action", 1);
    desk.command("t1");
    assert!(desk.answers_to("client").is_empty());
    assert!(desk.handed("action").is_empty());
    desk.stored();
    assert_eq!(desk.answer_to("client"), ok("accepted"));
    assert_eq!(desk.handed("action"), ["t1"]);
}

#[test]
fn requests_wait_in_line_for_a_free_slot_and_keep_their_order() {
    let mut desk = Desk::new();
    desk.ready("action", 1);
    for name in ["t1", "t2", "t3"] {
        desk.command(name);
    }
    desk.stored();
    assert_eq!(desk.handed("action"), ["t1"]);
    desk.ends("action", "t1");
    assert_eq!(desk.handed("action"), ["t2"]);
    desk.ends("action", "t2");
    assert_eq!(desk.handed("action"), ["t3"]);
}

#[test]
fn request_that_is_being_stored_is_not_overtaken_when_a_slot_gets_free() {
    let mut desk = Desk::new();
    desk.ready("action", 1);
    desk.command("t1");
    desk.stored();
    desk.command("t2");
    desk.row("action", "t1", Code::Ok, "{}", Some(1));
    desk.command("t3");
    desk.stored();
    assert_eq!(desk.handed("action"), ["t1", "t2"]);
}

#[test]
fn hand_overs_that_could_not_be_stored_keep_their_order() {
    let mut desk = Desk::new();
    for name in ["t1", "t2", "t3"] {
        desk.command(name);
        desk.stored();
    }
    desk.ready("action", 3);
    desk.store_fails();
    assert!(desk.handed("action").is_empty());
    desk.passes(1);
    desk.stored();
    assert_eq!(desk.handed("action"), ["t1", "t2", "t3"]);
}

#[test]
fn repeated_token_is_accepted_once_and_refused_with_other_content() {
    let mut desk = Desk::new();
    desk.ready("action", 4);
    desk.command("t1");
    desk.client("second", "COMMAND", "t1", "{}");
    desk.stored();
    desk.client("third", "COMMAND", "t1", "{}");
    desk.client("other", "COMMAND", "t1", r#"{"command":"x"}"#);
    desk.stored();
    assert_eq!(desk.answer_to("second"), ok("accepted"));
    assert_eq!(desk.answer_to("third"), ok("already accepted"));
    assert_eq!(
        desk.answer_to("other"),
        nok("the token is used by another request")
    );
    assert_eq!(desk.handed("action"), ["t1"]);
}

#[test]
fn token_that_ended_long_ago_is_not_run_again() {
    for (same, answer) in [
        (true, ok("already accepted")),
        (false, nok("the token is used by another request")),
    ] {
        let mut desk = Desk::new();
        desk.ready("action", 1);
        desk.command("t1");
        desk.client("reader", "GETLOG", "", r#"{"token":"t1","wait":600}"#);
        desk.stored_as(Written::Duplicate { same });
        assert_eq!(desk.answer_to("client"), answer);
        assert_eq!(desk.queries().len(), 1, "nothing is left to wait for");
        assert_eq!(desk.router.live_tasks(), 0);
        // The slot is free again.
        desk.command("t2");
        desk.stored();
        assert_eq!(desk.handed("action"), ["t2"]);
    }
}

#[test]
fn cancel_before_it_began_says_so() {
    let mut desk = Desk::new();
    desk.command("t1");
    desk.stored();
    desk.cancels("other", "t1");
    assert!(desk.answers_to("other").is_empty());
    desk.stored();
    assert_eq!(desk.answer_to("other"), ok("cancelled before it began"));
    assert_eq!(desk.end_of("t1"), "cancelled");
}

#[test]
fn cancel_while_the_hand_over_is_being_stored_keeps_the_task_from_its_runner() {
    let mut desk = Desk::new();
    desk.command("t1");
    desk.stored();
    desk.ready("action", 1);
    desk.cancels("other", "t1");
    desk.stored();
    assert_eq!(desk.answer_to("other"), ok("cancelled before it began"));
    assert!(desk.handed("action").is_empty());
    assert!(desk.told_to_cancel("action").is_empty());
    desk.command("t2");
    desk.stored();
    assert_eq!(desk.handed("action"), ["t2"], "the slot is free again");
}

#[test]
fn cancel_while_it_runs_tells_the_runner_and_waits_for_its_word() {
    let mut desk = Desk::new();
    desk.ready("action", 1);
    desk.command("t1");
    desk.stored();
    desk.cancels("other", "t1");
    assert_eq!(desk.told_to_cancel("action"), ["t1"]);
    assert!(desk.answers_to("other").is_empty());
    desk.row(
        "action",
        "t1",
        Code::Ko,
        r#"{"reason":"cancelled"}"#,
        Some(1),
    );
    desk.stored();
    assert_eq!(desk.answer_to("other"), ok("killed while it ran"));
}

#[test]
fn cancel_of_what_ends_by_itself_says_that_it_was_over() {
    let mut desk = Desk::new();
    desk.ready("action", 1);
    desk.command("t1");
    desk.stored();
    desk.cancels("other", "t1");
    desk.ends("action", "t1");
    assert_eq!(desk.answer_to("other"), nok("over"));
    desk.cancels("late", "t1");
    assert_eq!(desk.lookups(), [token("t1")]);
}

#[test]
fn cancel_reaches_a_runner_that_is_away_when_it_comes_back() {
    let mut desk = Desk::new();
    desk.ready("action", 1);
    desk.command("t1");
    desk.stored();
    desk.gone("action");
    desk.cancels("other", "t1");
    assert!(desk.told_to_cancel("action").is_empty());
    desk.passes(1);
    desk.ready("action", 1);
    assert_eq!(desk.told_to_cancel("action"), ["t1"]);
}

#[test]
fn request_expires_in_line_and_is_not_handed_over_late() {
    let mut desk = Desk::new();
    desk.client("client", "COMMAND", "t1", r#"{"ttl":5}"#);
    desk.stored();
    desk.passes(4);
    assert_eq!(desk.end_of("t1"), "0 ends");
    desk.passes(1);
    desk.stored();
    assert_eq!(desk.end_of("t1"), "expired");

    // Also where a slow store let the time pass.
    desk.ready("action", 1);
    desk.client("client", "COMMAND", "t2", r#"{"ttl":5}"#);
    desk.passes(6);
    desk.stored();
    assert!(desk.handed("action").is_empty());
    assert_eq!(desk.end_of("t2"), "expired");
}

#[test]
fn store_that_fails_is_answered_with_code_1_and_the_router_recovers_by_itself() {
    let mut desk = Desk::new();
    desk.ready("action", 1);
    desk.command("t1");
    desk.store_fails();
    assert_eq!(desk.answer_to("client"), nok("unavailable"));
    assert_eq!(desk.router.live_tasks(), 0);
    assert!(desk.handed("action").is_empty());
    desk.command("t1");
    desk.stored();
    assert_eq!(desk.answer_to("client"), ok("accepted"));
    assert_eq!(desk.handed("action"), ["t1"]);
}

#[test]
fn end_that_could_not_be_stored_is_stored_later() {
    let mut desk = Desk::new();
    desk.client("client", "COMMAND", "t1", r#"{"ttl":1}"#);
    desk.stored();
    desk.passes(2);
    desk.store_fails();
    desk.passes(1);
    desk.stored();
    assert_eq!(desk.end_of("t1"), "expired");
    assert_eq!(desk.router.live_tasks(), 0);
}

#[test]
fn result_of_a_module_that_does_not_number_its_rows_is_kept_while_the_store_fails() {
    let mut desk = Desk::new();
    desk.module("simple", "XREADY", r#"{"actions":["COMMAND"]}"#);
    desk.answers_to("simple");
    desk.command("t1");
    desk.stored();
    desk.row("simple", "t1", Code::Ok, "{}", None);
    desk.store_fails();
    assert!(desk.answers_to("simple").is_empty());
    desk.passes(1);
    desk.stored();
    assert_eq!(desk.end_of("t1"), "OK");
    assert_eq!(desk.answer_to("simple"), ok("message inserted"));
}

#[test]
fn result_that_could_not_be_stored_before_its_module_was_lost_does_not_leave_the_task_behind() {
    let mut desk = Desk::new();
    desk.ready("action", 1);
    desk.command("t1");
    desk.stored();
    desk.row("action", "t1", Code::Ok, "{}", Some(1));
    desk.gone("action");
    desk.passes(10);
    desk.store_fails();
    desk.passes(1);
    desk.stored();
    assert_eq!(desk.end_of("t1"), "unknown");
    assert_eq!(desk.router.live_tasks(), 0);
}

#[test]
fn what_a_lost_module_had_ends_unknown_after_the_grace() {
    let mut desk = Desk::new();
    desk.ready("action", 1);
    desk.command("t1");
    desk.stored();
    desk.gone("action");
    desk.passes(9);
    desk.stored();
    assert_eq!(desk.end_of("t1"), "0 ends");
    desk.passes(1);
    desk.stored();
    assert_eq!(desk.end_of("t1"), "unknown");
}

#[test]
fn module_that_drains_gets_nothing_after_it_was_told_so() {
    let mut desk = Desk::new();
    desk.ready("one", 1);
    desk.command("t1");
    desk.module("one", "ACTIONREADY", r#"{"actions":[],"epoch":"1"}"#);
    assert_eq!(desk.answer_to("one").0, Status::Ok);
    desk.stored();
    assert_eq!(desk.handed("one"), [""; 0]);
    desk.ready("two", 1);
    desk.stored();
    assert_eq!(desk.handed("two"), ["t1"]);
}

#[test]
fn what_a_lost_module_had_is_run_again_where_retries_ask_for_it() {
    let mut desk = Desk::new();
    desk.ready("one", 1);
    desk.client("client", "COMMAND", "t1", r#"{"retries":1}"#);
    desk.stored();
    desk.ready("two", 1);
    desk.gone("one");
    desk.passes(10);
    desk.stored();
    assert_eq!(desk.handed("two"), ["t1"]);
    desk.gone("two");
    desk.passes(10);
    desk.stored();
    assert_eq!(desk.end_of("t1"), "unknown", "one retry was asked for");
}

#[test]
fn what_waits_to_be_run_again_never_ends_as_if_it_had_not_begun() {
    for cancelled in [true, false] {
        let mut desk = Desk::new();
        desk.ready("one", 1);
        desk.client("client", "COMMAND", "t1", r#"{"retries":1,"ttl":60}"#);
        desk.stored();
        desk.gone("one");
        desk.passes(10);
        desk.stored();
        if cancelled {
            desk.cancels("other", "t1");
        } else {
            desk.passes(60);
        }
        desk.stored();
        if cancelled {
            assert_eq!(
                desk.answer_to("other"),
                ok("cancelled before it was run again")
            );
        } else {
            assert_eq!(desk.end_of("t1"), "unknown");
        }
    }
}

#[test]
fn result_that_comes_while_the_task_waits_to_be_run_again_is_taken() {
    let mut desk = Desk::new();
    desk.ready("one", 1);
    desk.client("client", "COMMAND", "t1", r#"{"retries":1}"#);
    desk.stored();
    desk.gone("one");
    desk.passes(10);
    desk.stored();
    desk.ends("one", "t1");
    assert_eq!(desk.end_of("t1"), "OK");
    desk.ready("two", 1);
    desk.stored();
    assert!(desk.handed("two").is_empty());
}

#[test]
fn module_that_comes_back_in_the_same_life_gets_again_what_it_does_not_have() {
    let mut desk = Desk::new();
    desk.ready("action", 4);
    desk.command("t1");
    desk.command("t2");
    desk.stored();
    assert_eq!(desk.handed("action"), ["t1", "t2"]);
    desk.gone("action");
    let back = r#"{"actions":["COMMAND"],"epoch":"1","running":["t1"]}"#;
    desk.module("action", "ACTIONREADY", back);
    assert_eq!(desk.handed("action"), ["t2"]);
}

#[test]
fn module_that_comes_back_in_a_new_life_has_lost_what_it_had() {
    let mut desk = Desk::new();
    desk.ready("action", 4);
    desk.command("t1");
    desk.stored();
    desk.handed("action");
    let reborn = r#"{"actions":["COMMAND"],"epoch":"2","running":[]}"#;
    desk.module("action", "ACTIONREADY", reborn);
    desk.stored();
    assert!(desk.handed("action").is_empty());
    assert_eq!(desk.end_of("t1"), "unknown");
}

#[test]
fn task_that_provably_did_not_arrive_goes_to_another_module() {
    let mut desk = Desk::new();
    desk.ready("one", 1);
    desk.command("t1");
    desk.stored();
    desk.ready("two", 1);
    desk.happens(Event::Undelivered {
        module: Identity::new(b"one"),
        token: token("t1"),
    });
    desk.stored();
    assert_eq!(desk.handed("two"), ["t1"]);
}

#[test]
fn task_whose_second_message_did_not_arrive_stays_with_its_runner() {
    let mut desk = Desk::new();
    desk.ready("one", 1);
    desk.command("t1");
    desk.stored();
    desk.ready("two", 1);
    // The first message crossed this word, and arrived.
    let back = r#"{"actions":["COMMAND"],"slots":1,"epoch":"1","running":[]}"#;
    desk.module("one", "ACTIONREADY", back);
    desk.answers_to("one");
    desk.happens(Event::Undelivered {
        module: Identity::new(b"one"),
        token: token("t1"),
    });
    desk.stored();
    assert!(desk.handed("two").is_empty());
    desk.handed("one");
    desk.ready("one", 1);
    assert_eq!(
        desk.handed("one"),
        ["t1"],
        "it is said again to the same life"
    );
}

#[test]
fn module_that_misses_three_heartbeats_is_away() {
    let mut desk = Desk::new();
    let ready = r#"{"actions":["COMMAND"],"epoch":"1","heartbeat":5}"#;
    desk.module("action", "ACTIONREADY", ready);
    desk.command("t1");
    desk.stored();
    desk.passes(15);
    desk.passes(10);
    desk.stored();
    assert_eq!(desk.end_of("t1"), "unknown");
}

#[test]
fn restart_goes_on_with_what_the_store_knows() {
    let task = |name: &str, state| Task {
        token: token(name),
        action: Action::Command,
        target: gorgone_protocol::Target::Here,
        data: gorgone_protocol::Data::empty(),
        origin: "client".to_owned(),
        accepted_ms: 1_700_000_000_000,
        expires_ms: 1_800_000_000_000,
        retries: 0,
        attempt: u32::from(state != TaskState::Queued),
        state,
        parent: None,
    };
    let runner = Runner {
        instance: "action".to_owned(),
        epoch: "1".to_owned(),
    };
    let restored = Restored {
        tasks: vec![
            task("t1", TaskState::Sent(runner)),
            task("t2", TaskState::Queued),
        ],
        ..Restored::default()
    };
    let mut desk = Desk::with(settings(), restored);
    let back = r#"{"actions":["COMMAND"],"epoch":"1","running":[]}"#;
    desk.module("action", "ACTIONREADY", back);
    assert_eq!(desk.handed("action"), ["t1"]);
    desk.stored();
    assert_eq!(desk.handed("action"), ["t2"]);
}

#[test]
fn request_that_is_repeated_while_its_end_is_said_again_is_answered() {
    let mut desk = Desk::new();
    desk.ready("action-1", 1);
    desk.command("t1");
    desk.stored();
    assert_eq!(desk.answer_to("client"), ok("accepted"));
    desk.row("action-1", "t1", Code::Ok, "{}", Some(1));
    desk.row("action-1", "t1", Code::Ok, "{}", Some(1));
    desk.stored_once();
    desk.command("t1");
    desk.stored_as(Written::Ignored);
    desk.stored_as(Written::Duplicate { same: true });
    assert_eq!(desk.answer_to("client"), ok("already accepted"));
}

#[test]
fn figures_tell_what_waits_for_how_long_and_how_things_ended() {
    let mut desk = Desk::new();
    desk.ready("action", 1);
    desk.command("t1");
    desk.command("t2");
    desk.client("client", "MADEUP", "t3", "{}");
    desk.stored();
    desk.passes(5);
    let figures = desk.router.figures();
    let depth = figures.here["COMMAND"];
    assert_eq!((depth.running, depth.waiting), (1, 1));
    assert_eq!(depth.oldest, Duration::from_secs(5));
    let requests: Vec<_> = figures.requests.iter().collect();
    assert!(requests.contains(&&("external", "COMMAND".to_owned(), 2)));
    assert!(requests.contains(&&("external", "other".to_owned(), 1)));

    desk.ends("action", "t1");
    desk.row("action", "t2", Code::Ko, r#"{"reason":"timeout"}"#, Some(1));
    desk.stored();
    let figures = desk.router.figures();
    assert!(figures.here.is_empty());
    let ended: Vec<_> = figures
        .ended
        .iter()
        .map(|ended| (&*ended.action, ended.outcome, ended.count, ended.took))
        .collect();
    let five = Duration::from_secs(5);
    assert_eq!(
        ended,
        [("COMMAND", "ok", 1, five), ("COMMAND", "timeout", 1, five)]
    );
}
