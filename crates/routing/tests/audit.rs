//! What the audit is told, and when.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(
    unreachable_pub,
    dead_code,
    reason = "it is all test, and this file uses a part of it"
)]
mod desk;

use std::sync::{Arc, LazyLock};

use desk::{Desk, settings, token};
use gorgone_protocol::request::audit::{Door, Outcome};
use gorgone_protocol::{
    Action, Data, Grant, GrantedActions, GrantedNodes, Identity, Message, NodeId, Rights, Status,
    Target,
};
use gorgone_routing::{
    Caller, Credential, Event, NewAudit, Origin, Record, Redactor, Restored, Settings, Written,
};

static REDACTOR: LazyLock<Redactor> = LazyLock::new(|| Redactor::new(&[]).unwrap());

fn desk() -> Desk {
    let settings = Settings {
        audit: Some(REDACTOR.clone()),
        ..settings()
    };
    Desk::with(settings, Restored::default())
}

fn caller(rights: Rights) -> Caller {
    Caller {
        credential: Arc::new(Credential {
            door: Door::Zeromq,
            name: "ann".into(),
            rights,
            node: None,
        }),
        from: Some("192.0.2.1".into()),
    }
}

fn only(action: &str) -> Rights {
    Rights::of(vec![Grant {
        actions: vec![GrantedActions::parse(action).unwrap()],
        nodes: vec![GrantedNodes::Every],
    }])
}

impl Desk {
    fn ann(&mut self, rights: Rights, action: &str, own: &str, data: &str) {
        let message = Message {
            action: Action::parse(action),
            token: Some(token(own)),
            target: Target::Here,
            data: Data::parse(data).unwrap(),
        };
        let from = Origin::Client(Identity::new(b"ann's"));
        self.says_for(from, message, Some(caller(rights)));
    }

    /// Ann, who may do everything, is answered when everything is stored.
    fn ann_is_told(&mut self, action: &str, own: &str, data: &str) -> String {
        self.ann(Rights::everything(), action, own, data);
        self.stored();
        self.answer_to("ann's").1
    }

    fn audit(&self) -> Vec<&NewAudit> {
        let rows = self.records.iter().filter_map(|record| match record {
            Record::Audit(row) | Record::AuditOf(row) => Some(&**row),
            _ => None,
        });
        rows.collect()
    }

    /// Outcome and message of each row.
    fn outcomes(&self) -> Vec<(Outcome, &str)> {
        let rows = self.audit().into_iter();
        rows.map(|row| (row.outcome, row.message.as_str()))
            .collect()
    }
}

#[test]
fn acceptance_and_its_row_are_one_batch() {
    let mut desk = desk();
    let body = r#"{"command":"mysql --password=HUNTER2"}"#;
    desk.ann(Rights::everything(), "COMMAND", "t", body);
    assert!(desk.answers_to("ann's").is_empty());
    desk.stored_once();
    assert!(matches!(
        desk.records[..],
        [Record::Accept(_), Record::AuditOf(_)]
    ));
    assert_eq!(desk.answer_to("ann's").1, "accepted");
    let row = desk.audit()[0].clone();
    let expected = NewAudit {
        time: 1_700_000_000,
        door: Door::Zeromq,
        who: "ann".into(),
        from: Some("192.0.2.1".into()),
        action: Action::Command,
        node: Target::Node(NodeId::new(1)),
        token: Some(token("t")),
        request: r#"{"command":"mysql --password=***"}"#.into(),
        outcome: Outcome::Accepted,
        message: String::new(),
    };
    assert_eq!(row, expected);
}

#[test]
fn answer_of_any_other_kind_waits_for_its_row() {
    let mut desk = desk();
    desk.ann(Rights::everything(), "CANCEL", "c", "5");
    assert!(desk.answers_to("ann's").is_empty());
    desk.stored_once();
    let words = desk.answer_to("ann's").1;
    assert!(words.starts_with("CANCEL needs"), "{words}");
    assert_eq!(desk.outcomes(), [(Outcome::Refused, words.as_str())]);
}

#[test]
fn what_is_answered_is_what_the_audit_says() {
    let mut desk = desk();
    let nodes = r#"{"nodes":[{"id":5,"type":"pull"},{"id":6,"type":"pull"}]}"#;
    desk.ann_is_told("REGISTERNODES", "r", nodes);
    desk.ann_is_told("PUTLOG", "p", r#"{"code":0,"data":{}}"#);
    desk.ann_is_told("NEVERHEARDOF", "n", "{}");
    desk.ann_is_told("COMMAND", "t", "{}");
    assert_eq!(desk.ann_is_told("COMMAND", "t", "{}"), "already accepted");
    let words = desk.ann_is_told("CANCEL", "c", r#"{"token":"t"}"#);
    assert_eq!(words, "cancelled before it began");
    desk.ann(Rights::everything(), "CANCEL", "c2", r#"{"token":"t"}"#);
    desk.stored();
    assert_eq!(desk.lookups().len(), 1);
    assert_eq!(
        desk.outcomes(),
        [
            (Outcome::Answered, ""),
            (Outcome::Answered, ""),
            (Outcome::Refused, "action 'NEVERHEARDOF' is not known"),
            (Outcome::Accepted, ""),
            (Outcome::Answered, "already accepted"),
            (Outcome::Answered, "cancelled before it began"),
            (Outcome::Refused, "no request with this token is running"),
        ]
    );
}

#[test]
fn acceptance_that_came_to_nothing_is_told_as_what_it_was() {
    let mut desk = desk();
    desk.ann(Rights::everything(), "COMMAND", "t", "{}");
    desk.stored_as(Written::Duplicate { same: true });
    desk.stored();
    assert_eq!(desk.answer_to("ann's").1, "already accepted");
    desk.ann(Rights::everything(), "COMMAND", "u", "{}");
    desk.store_fails();
    assert!(desk.answers_to("ann's").is_empty());
    desk.stored();
    assert_eq!(desk.answer_to("ann's").1, "unavailable");
    assert_eq!(
        desk.outcomes(),
        [
            (Outcome::Answered, "already accepted"),
            (Outcome::Refused, "the disk is full"),
        ]
    );
}

#[test]
fn row_for_a_token_that_has_ended_is_told_as_refused() {
    let mut desk = desk();
    desk.ann(
        Rights::everything(),
        "PUTLOG",
        "p",
        r#"{"code":0,"token":"ended","data":{}}"#,
    );
    desk.stored_as(Written::Ignored);
    desk.stored();
    let words = desk.answer_to("ann's").1;
    assert_eq!(words, "the token belongs to a request that has ended");
    assert_eq!(desk.outcomes(), [(Outcome::Refused, words.as_str())]);
}

#[test]
fn cancel_of_what_runs_is_written_before_anybody_hears_of_it() {
    let mut desk = desk();
    desk.ready("action-1", 1);
    desk.command("t");
    desk.stored();
    desk.ann(Rights::everything(), "CANCEL", "c", r#"{"token":"t"}"#);
    assert_eq!(desk.told_to_cancel("action-1"), ["t"]);
    // Its end comes, and is stored, before the audit is.
    desk.ends("action-1", "t");
    assert_eq!(desk.answer_to("ann's").1, "over");
    let audited = desk
        .records
        .iter()
        .position(|r| matches!(r, Record::Audit(_)));
    let finished = desk
        .records
        .iter()
        .position(|r| matches!(r, Record::Finish(_)));
    assert!(audited < finished);
    assert_eq!(
        desk.outcomes(),
        [(Outcome::Answered, "its runner is told to end it")]
    );
}

#[test]
fn reading_is_kept_only_of_those_who_may_not_read() {
    let mut desk = desk();
    for action in ["PING", "CONSTATUS", "INFORMATION", "GETTHUMBPRINT"] {
        desk.ann_is_told(action, "t", "{}");
    }
    desk.ann(Rights::everything(), "GETLOG", "t", r#"{"token":"x"}"#);
    desk.ann(Rights::everything(), "GETAUDIT", "t", "{}");
    desk.stored();
    assert!(desk.records.is_empty());
    desk.ann(only("PING"), "GETAUDIT", "t", "{}");
    desk.stored();
    assert_eq!(desk.answer_to("ann's").1, "forbidden");
    let words = "client 'ann' may not GETAUDIT on node 1";
    assert_eq!(desk.outcomes(), [(Outcome::Forbidden, words)]);
}

#[test]
fn those_who_are_refused_again_and_again_are_counted() {
    let mut desk = desk();
    let long = format!(r#"{{"command":"{}"}}"#, "x".repeat(9000));
    for number in 0..50 {
        desk.ann(only("PING"), "COMMAND", &format!("t{number}"), &long);
    }
    desk.stored();
    assert_eq!(desk.answers_to("ann's").len(), 50);
    assert_eq!(desk.audit().len(), 10);
    assert!(desk.audit().iter().all(|row| row.request.len() < 600));
    // Whoever does what they may is written down all the same.
    desk.ann_is_told("COMMAND", "fine", &long);
    assert_eq!(desk.audit()[10].outcome, Outcome::Accepted);
    assert!((4096..4200).contains(&desk.audit()[10].request.len()));
    desk.passes(59);
    desk.stored();
    assert_eq!(desk.audit().len(), 11);
    desk.passes(1);
    desk.stored();
    let last = desk.audit()[11];
    assert_eq!(last.message, "40 more within 60 seconds");
    assert_eq!((&*last.who, last.outcome), ("ann", Outcome::Forbidden));
    assert_eq!(last.token, None);
    desk.passes(600);
    desk.stored();
    assert_eq!(desk.audit().len(), 12);
}

#[test]
fn what_cannot_be_read_is_kept_without_its_secrets() {
    let mut desk = desk();
    desk.happens(Event::Malformed {
        from: Origin::Client(Identity::new(b"ann's")),
        text: b"[COMMAND] [t] [] {\"password\":\"HUNTER2\"".to_vec(),
        token: Some(token("t")),
        caller: Some(caller(only("PING"))),
    });
    desk.stored();
    let refused = (Status::Nok, "request not well formatted".to_owned());
    assert_eq!(desk.answer_to("ann's"), refused);
    let row = desk.audit()[0];
    assert_eq!(row.action, Action::Command);
    assert_eq!(&*row.request, "[COMMAND] [t] [] {\"password\":\"***\"");
}

#[test]
fn modules_by_themselves_are_not_audited_and_neither_is_anybody_where_it_is_off() {
    let mut desk = desk();
    desk.module("web", "COMMAND", "{}");
    desk.stored();
    assert_eq!(desk.answer_to("web").0, Status::Ok);
    desk.router.set_audit(None);
    desk.ann_is_told("COMMAND", "t", "{}");
    desk.ann_is_told("NEVERHEARDOF", "t", "{}");
    assert!(desk.audit().is_empty());
}
