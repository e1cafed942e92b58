//! Requests to many nodes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(
    unreachable_pub,
    dead_code,
    reason = "it is all test, and not each of them needs the desk whole"
)]
mod desk;

use std::sync::Arc;

use desk::fleet::{fleet, fleet_settings};
use desk::{Desk, token};
use gorgone_protocol::request::audit::Door;
use gorgone_protocol::request::node_state::LinkState;
use gorgone_protocol::{
    Action, Code, Data, Grant, GrantedActions, GrantedNodes, Identity, Message, NodeId, Reason,
    Rights, Status, Target, Verdict,
};
use gorgone_routing::{
    Caller, Credential, EndedPart, Origin, Record, Restored, Settings, Task, TaskState, Written,
};
use serde_json::{Value, json};

/// What core wrote as the end of a request.
fn end(desk: &Desk, subject: &str) -> Value {
    let row = desk.records.iter().find_map(|record| match record {
        Record::Finish(row) if row.token == subject => Some(row),
        _ => None,
    });
    serde_json::from_str(&row.unwrap().data).unwrap()
}

fn ok(words: &str) -> (Status, String) {
    (Status::Ok, words.to_owned())
}

fn nok(words: &str) -> (Status, String) {
    (Status::Nok, words.to_owned())
}

/// Ids of the nodes whose parts a proxy was handed.
fn handed(desk: &mut Desk) -> Vec<String> {
    let tasks = desk.tasks("p1").into_iter();
    tasks.map(|(token, ..)| token).collect()
}

#[test]
fn nothing_of_it_leaves_before_all_of_it_is_written_in_one_record() {
    let mut desk = fleet();
    desk.client_to_many("client", "4,5", "t", "{}");
    assert_eq!(desk.answers_to("client"), []);
    assert_eq!(handed(&mut desk), [] as [&str; 0]);
    desk.stored_once();
    assert_eq!(desk.answer_to("client"), ok("accepted"));
    assert_eq!(handed(&mut desk), ["t@4", "t@5"]);
    let spreads = desk.records.iter().filter_map(|record| match record {
        Record::Spread(spread) => Some((spread.whole.token.as_str(), spread.parts.len())),
        _ => None,
    });
    assert_eq!(spreads.collect::<Vec<_>>(), [("t", 2)]);
}

#[test]
fn it_ends_when_its_last_part_has_and_says_how_each_did() {
    let mut desk = fleet();
    desk.client_to_many("client", "4-7", "t", "{}");
    desk.stored();
    assert_eq!(desk.answer_to("client"), ok("accepted"));
    for part in ["t@4", "t@6", "t@7"] {
        desk.carried("p1", part, 4, 1, "accepted");
        desk.stored();
    }
    desk.carried("p1", "t@5", 5, 1, "refused");
    desk.stored();
    desk.rows("p1", 4, 0, &[(1, "t@4", Code::Ok), (2, "t@6", Code::Ok)]);
    desk.stored();
    assert_eq!(desk.end_of("t"), "0 ends");
    desk.rows("p1", 4, 2, &[(3, "t@7", Code::Ok)]);
    desk.stored();
    let end = end(&desk, "t");
    assert_eq!(end["counts"], json!({ "ok": 3, "rejected": 1 }));
    assert_eq!(end["nodes"], json!({ "ok": "4,6,7", "rejected": "5" }));
    assert_eq!(
        (&end["total"], &end["reason"]),
        (&json!(4), &json!("failed"))
    );
    assert_eq!(desk.router.live_tasks(), 0);
}

#[test]
fn the_same_token_again_is_the_same_request_and_another_one_is_refused() {
    let mut desk = fleet();
    desk.client_to_many("client", "4,5", "t", "{}");
    // Not written yet, then written, then gone from here.
    desk.client_to_many("again", "4,5", "t", "{}");
    desk.stored();
    assert_eq!(desk.answer_to("again"), ok("accepted"));
    desk.client_to_many("again", "4,5", "t", "{}");
    assert_eq!(desk.answer_to("again"), ok("already accepted"));
    for other in ["4-5", "4"] {
        desk.client_to_many("again", other, "t", "{}");
        let words = "the token is used by another request";
        assert_eq!(desk.answer_to("again"), nok(words));
    }
    desk.client_to_many("other", "4", "x@5", "{}");
    desk.client_to_many("again", "4,5", "x", "{}");
    let words = "the token 'x@5' is used by another request";
    assert_eq!(desk.answer_to("again"), nok(words));
    let mut desk = fleet();
    desk.client_to_many("client", "4,5", "t", "{}");
    desk.stored_as(Written::Duplicate { same: true });
    assert_eq!(desk.answer_to("client"), ok("already accepted"));
    assert_eq!(desk.router.live_tasks(), 0);
    assert_eq!(handed(&mut desk), [] as [&str; 0]);
}

#[test]
fn what_cannot_be_written_leaves_nothing_behind() {
    let mut desk = fleet();
    desk.client_to_many("client", "*", "t", "{}");
    desk.store_fails();
    assert_eq!(desk.answer_to("client"), nok("unavailable"));
    assert_eq!(desk.router.live_tasks(), 0);
    let status = desk.status();
    assert_eq!(
        (&status["4"]["waiting"], &status["4"]["leaving"]),
        (&json!(0), &json!(0))
    );
}

#[test]
fn too_much_is_refused_whole() {
    let mut desk = Desk::with(
        Settings {
            max_targets: 2,
            max_tasks: 6,
            ..fleet_settings()
        },
        Restored::default(),
    );
    desk.registers(&json!([
        { "id": 4, "type": "push_zmq", "nodes": [6, 7, 8] },
        { "id": 5, "type": "push_zmq" },
    ]));
    desk.client_to_many("client", "4-7", "t", "{}");
    desk.stored();
    let words =
        "'4-7' selects 4 nodes, and one request may go to 2 of them (gorgonecore.max_targets)";
    assert_eq!(desk.answer_to("client"), nok(words));
    desk.client_to_many("client", "4,5", "a", "{}");
    desk.client_to_many("client", "6,7", "b", "{}");
    desk.client_to_many("client", "4", "c", "{}");
    desk.stored();
    // What is refused is told at once.
    let answers = desk.answers_to("client");
    assert_eq!(answers, [nok("busy"), ok("accepted"), ok("accepted")]);
    // Three may wait for node 4 by now, and five at most.
    let mut desk = fleet();
    desk.state("p1", 4, LinkState::Down, |_| {});
    desk.client_to_many("client", "4,6,7", "a", "{}");
    desk.stored();
    assert_eq!(desk.answer_to("client"), ok("accepted"));
    desk.client_to_many("client", "4,5,6,7", "b", "{}");
    assert_eq!(desk.answer_to("client"), nok("busy"));
    assert_eq!(desk.router.live_tasks(), 4);
}

#[test]
fn labels_ranges_and_all_mean_the_nodes_that_are_there() {
    let settings = Settings {
        max_node_tasks: 100,
        ..fleet_settings()
    };
    let mut desk = Desk::with(settings, Restored::default());
    desk.registers(&json!([
        { "id": 4, "type": "push_zmq", "labels": { "site": "paris" },
          "nodes": [20, { "id": 21, "labels": { "site": "paris", "role": "db" } }] },
        { "id": 5, "type": "push_zmq", "labels": { "site": "lyon" } },
        { "id": 6, "type": "pull" },
    ]));
    for (number, (selection, nodes)) in [
        ("site=paris", "4,21"),
        ("site", "4,5,21"),
        ("site!=paris", "5,6"),
        ("role=db,site=paris", "21"),
        ("*", "4-6"),
        ("5-20", "5,6,20"),
        ("1,5", "1,5"),
    ]
    .into_iter()
    .enumerate()
    {
        desk.client_to_many("client", selection, &format!("t{number}"), "{}");
        let mut found = None;
        desk.stored();
        for record in &desk.records {
            if let Record::Spread(spread) = record {
                found = Some(spread.row.data.clone());
            }
        }
        let listed: Value = serde_json::from_str(&found.unwrap()).unwrap();
        assert_eq!(listed["nodes"], nodes, "{selection}");
        assert_eq!(desk.answer_to("client"), ok("accepted"), "{selection}");
    }
    // Nothing connects nodes of type pull here: the part of that node has ended.
    assert_eq!(desk.end_of("t2@6"), "unreachable");
    assert_eq!(desk.end_of("t2@5"), "0 ends");
    for (selection, words) in [
        (
            "site=rome",
            "'site=rome' selects no node that is registered",
        ),
        ("4,99", "no route to node 99"),
    ] {
        desk.client_to_many("client", selection, "bad", "{}");
        desk.stored();
        assert_eq!(desk.answer_to("client"), nok(words));
    }
}

#[test]
fn who_may_not_on_one_of_the_nodes_may_not_at_all() {
    let rights = Rights::of(vec![Grant {
        actions: vec![GrantedActions::Every],
        nodes: vec![GrantedNodes::Range(NodeId::new(4), NodeId::new(5))],
    }]);
    let caller = Caller {
        credential: Arc::new(Credential {
            door: Door::Http,
            name: "ann".into(),
            rights,
            node: None,
        }),
        from: None,
    };
    let mut desk = fleet();
    let says = |desk: &mut Desk, action: &str, target: &str, own: &str, data: Value| {
        let message = Message {
            action: Action::parse(action),
            token: Some(token(own)),
            target: Target::parse(target),
            data: Data::from_value(&data),
        };
        let from = Origin::Client(Identity::new(b"ann"));
        desk.says_for(from, message, Some(caller.clone()));
        desk.stored();
    };
    says(&mut desk, "COMMAND", "4,6", "a", json!({}));
    assert_eq!(desk.answer_to("ann"), nok("forbidden"));
    says(&mut desk, "COMMAND", "none=there", "b", json!({}));
    assert_eq!(desk.answer_to("ann"), nok("forbidden"));
    says(&mut desk, "COMMAND", "*", "c", json!({}));
    assert_eq!(desk.answer_to("ann"), ok("accepted"));
    // Nor end what others have begun there.
    desk.client_to_many("client", "4-7", "d", "{}");
    desk.stored();
    says(&mut desk, "CANCEL", "", "e", json!({ "token": "d" }));
    assert_eq!(desk.answer_to("ann"), nok("forbidden"));
    assert_eq!(desk.end_of("d@4"), "0 ends");
}

#[test]
fn cancel_ends_what_waits_and_tells_who_has_the_rest() {
    let mut desk = fleet();
    desk.state("p1", 5, LinkState::Down, |_| {});
    desk.client_to_many("client", "4,5,6", "t", "{}");
    desk.stored();
    desk.answer_to("client");
    desk.carried("p1", "t@4", 4, 1, "accepted");
    desk.stored();
    desk.told("p1");
    desk.cancels("admin", "t");
    desk.stored();
    let words = "cancelled on 1 node before it began; 2 nodes are told to end it";
    assert_eq!(desk.answer_to("admin"), ok(words));
    let told: Vec<_> = desk
        .told("p1")
        .into_iter()
        .map(|(message, _)| message.data)
        .collect();
    assert_eq!(told.len(), 2);
    assert!(told[0].as_str().contains("t@4") && told[1].as_str().contains("t@6"));
    assert_eq!(desk.end_of("t@5"), "cancelled");
    assert_eq!(desk.end_of("t"), "0 ends");
    // One that has it and is away cannot be told.
    desk.state("p1", 4, LinkState::Down, |_| {});
    desk.cancels("admin", "t");
    assert_eq!(desk.answer_to("admin"), nok("unreachable"));
}

#[test]
fn after_a_restart_it_ends_with_the_parts_that_had_ended_before() {
    let now = 1_700_000_000_000;
    let task = |own: &str, target: &str, state, parent: Option<&str>| Task {
        token: token(own),
        action: Action::Command,
        target: Target::parse(target),
        data: Data::parse("{\"command\":\"x\"}").unwrap(),
        origin: "client".to_owned(),
        accepted_ms: now,
        expires_ms: now + 100_000,
        retries: 0,
        attempt: 1,
        state,
        parent: parent.map(token),
    };
    let ended = |parent: &str, node, verdict| EndedPart {
        parent: token(parent),
        node: NodeId::new(node),
        verdict,
    };
    let restored = Restored {
        tasks: vec![
            task("t", "4,5", TaskState::Spread, None),
            task("t@5", "5", TaskState::Away(NodeId::new(5)), Some("t")),
            task("u", "4", TaskState::Spread, None),
        ],
        ended_parts: vec![
            ended("t", 4, Verdict::Ko(Reason::Timeout)),
            ended("u", 4, Verdict::Ok),
        ],
        nodes: [4, 5]
            .map(|id| json!({ "id": id, "type": "push_zmq" }).to_string())
            .into(),
        ..Restored::default()
    };
    let mut desk = Desk::with(fleet_settings(), restored);
    desk.proxy("p1", "1");
    desk.stored();
    assert_eq!(desk.end_of("u"), "OK", "only its own end was missing");
    assert_eq!(desk.end_of("t"), "0 ends");
    desk.rows("p1", 5, 0, &[(1, "t@5", Code::Ok)]);
    desk.stored();
    assert_eq!(
        end(&desk, "t")["nodes"],
        json!({ "ok": "5", "timeout": "4" })
    );
}

#[test]
fn what_only_asks_is_asked_of_one_node() {
    let mut desk = fleet();
    for action in ["CONSTATUS", "PING", "GETLOG", "CANCEL", "TARGETS", "PUTLOG"] {
        let message = Message {
            action: Action::parse(action),
            token: None,
            target: Target::parse("4,5"),
            data: Data::empty(),
        };
        desk.says(Origin::Client(Identity::new(b"client")), message);
        let (status, words) = desk.answer_to("client");
        assert_eq!(status, Status::Nok);
        assert!(words.contains("is asked of one node at a time"), "{words}");
    }
}
