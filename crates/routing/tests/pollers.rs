//! Pollers that connect to us, on a desk.

#[allow(
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    reason = "it is all test, and this file uses a part of it"
)]
mod desk;

use std::sync::Arc;

use desk::Desk;
use desk::fleet::fleet_settings;
use gorgone_protocol::request::audit::Door;
use gorgone_protocol::request::nodes::NodeKind;
use gorgone_protocol::{Action, Data, Identity, Message, NodeId, Rights, Status};
use gorgone_routing::{Caller, Credential, Origin, Restored, Settings};
use serde_json::{Value, json};

fn desk() -> Desk {
    let settings = Settings {
        expected_carries: vec![NodeKind::PushZmq, NodeKind::Pull],
        ..fleet_settings()
    };
    Desk::with(settings, Restored::default())
}

/// The poller of a name says something, with the key of this node.
fn says(desk: &mut Desk, name: &str, key_of: Option<u64>, action: &str, data: &Value) {
    let credential = Credential {
        door: Door::Zeromq,
        name: "its key".into(),
        rights: Rights::of(Vec::new()),
        node: key_of.map(NodeId::new),
    };
    let caller = Caller {
        credential: Arc::new(credential),
        from: None,
    };
    let message = Message::new(Action::parse(action), None, Data::from_value(data));
    let from = Origin::Client(Identity::new(name.as_bytes()));
    desk.says_for(from, message, Some(caller));
}

fn ready(desk: &mut Desk, name: &str, key_of: Option<u64>, epoch: &str) -> (Status, String) {
    let body = json!({ "actions": [], "carries": ["pull"], "epoch": epoch, "running": [] });
    says(desk, name, key_of, "PULLREADY", &body);
    let answer = desk.answer_to(name);
    desk.stored();
    answer
}

const SEVEN: &str = "gorgone-pull-7";

fn up(desk: &mut Desk) {
    let state = json!({ "id": 7, "state": "up", "since": 7, "dedups": true });
    says(desk, SEVEN, Some(7), "NODESTATE", &state);
}

#[test]
fn poller_is_a_node_from_its_first_word_on_and_is_handed_what_is_for_it_alone() {
    let mut desk = desk();
    assert_eq!(ready(&mut desk, SEVEN, Some(7), "a").0, Status::Ok);
    let owned = desk.owned(SEVEN);
    let last = owned.last().unwrap();
    assert_eq!(last.nodes[0].definition.id, NodeId::new(7));
    assert_eq!(last.core, Some(NodeId::new(1)));
    assert_eq!(
        ready(&mut desk, "gorgone-pull-8", Some(8), "b").0,
        Status::Ok
    );
    up(&mut desk);
    desk.client_to("client", 7, "for 7");
    desk.client_to("client", 8, "for 8");
    desk.stored();
    assert_eq!(desk.handed(SEVEN), ["for 7"]);
    assert_eq!(desk.handed("gorgone-pull-8"), Vec::<String>::new());
    // One that is not its own is nothing to it, and to nobody else's harm.
    let state = json!({ "id": 8, "state": "up", "since": 7, "dedups": true });
    says(&mut desk, SEVEN, Some(7), "NODESTATE", &state);
    assert_eq!(desk.status()["8"]["state"], "connecting");
    let rows = json!({ "node": 8, "after": 0, "upto": 0, "rows": [] });
    says(&mut desk, SEVEN, Some(7), "PUTROWS", &rows);
    let words = "node 7 may not bring rows of node 8".to_owned();
    assert_eq!(desk.answer_to(SEVEN), (Status::Nok, words));
}

#[test]
fn name_and_key_must_be_those_of_the_same_node() {
    let mut desk = desk();
    let (status, words) = ready(&mut desk, "gorgone-pull-9", Some(7), "a");
    assert_eq!(status, Status::Nok);
    assert!(
        words.ends_with("is that of node 7, not of node 9"),
        "{words}"
    );
    let (status, words) = ready(&mut desk, SEVEN, None, "a");
    assert_eq!(status, Status::Nok);
    assert!(words.contains("'node: 7'"), "{words}");
    // Whoever has another name is a client, to whom this is no action.
    let (status, words) = ready(&mut desk, "somebody", Some(7), "a");
    assert_eq!((status, words.as_str()), (Status::Nok, "forbidden"));
    // It offers nothing, and carries nothing for others.
    for body in [
        json!({ "actions": ["COMMAND"], "carries": ["pull"], "running": [] }),
        json!({ "actions": [], "carries": ["push_zmq"], "running": [] }),
    ] {
        says(&mut desk, SEVEN, Some(7), "PULLREADY", &body);
        assert_eq!(desk.answer_to(SEVEN).0, Status::Nok, "{body}");
    }
    // On the internal side the name is nobody's.
    desk.module(SEVEN, "PULLREADY", r#"{"actions":[],"carries":["pull"]}"#);
    assert_eq!(desk.answer_to(SEVEN).0, Status::Nok);
    assert!(desk.status()["7"].is_null());
    // A node that we connect to does not turn into one that connects to us.
    desk.registers(&json!([{ "id": 7, "type": "push_zmq", "address": "a" }]));
    let (status, words) = ready(&mut desk, SEVEN, Some(7), "a");
    assert_eq!(status, Status::Nok);
    assert!(words.contains("make its type pull"), "{words}");
}

#[test]
fn poller_is_down_at_once_when_its_connection_ends_and_its_task_goes_out_again() {
    let mut desk = desk();
    ready(&mut desk, SEVEN, Some(7), "a");
    up(&mut desk);
    desk.client_to("client", 7, "t");
    desk.stored();
    assert_eq!(desk.handed(SEVEN), ["t"]);
    desk.gone(SEVEN);
    let shown = desk.status()["7"].clone();
    assert_eq!(shown["state"], "down");
    assert_eq!(shown["error"], "its gorgone-pull is not connected");
    // In another life it knows nothing of the task; its core recognises it.
    ready(&mut desk, SEVEN, Some(7), "b");
    up(&mut desk);
    desk.stored();
    assert_eq!(desk.handed(SEVEN), ["t"]);
}

#[test]
fn poller_that_was_unregistered_comes_back_with_its_next_connection() {
    let mut desk = desk();
    ready(&mut desk, SEVEN, Some(7), "a");
    desk.client("admin", "UNREGISTERNODES", "", r#"{"nodes":[{"id":7}]}"#);
    desk.stored();
    assert!(desk.status()["7"].is_null());
    let heartbeat = json!({ "actions": [], "carries": ["pull"], "epoch": "a" });
    says(&mut desk, SEVEN, Some(7), "PULLREADY", &heartbeat);
    assert_eq!(desk.answer_to(SEVEN).0, Status::Ok);
    desk.stored();
    assert!(desk.status()["7"].is_null());
    ready(&mut desk, SEVEN, Some(7), "a");
    assert_eq!(desk.status()["7"]["type"], "pull");
    assert_eq!(desk.owned(SEVEN).last().unwrap().nodes.len(), 1);
}
