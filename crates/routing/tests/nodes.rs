//! What is known of other nodes, who has their connections, and what they are asked, one
//! sentence each.

#[allow(
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    reason = "it is all test, and this file uses a part of it"
)]
mod desk;

use gorgone_protocol::request::node_state::LinkState;
use gorgone_protocol::{Action, Answer, Code, Data, Identity, Mark, NodeId, Status};
use gorgone_routing::{Event, Restored, Written};
use serde_json::{Value, json};

use desk::Desk;
use desk::fleet::{fleet, fleet_settings};

fn ok(words: &str) -> (Status, String) {
    (Status::Ok, words.to_owned())
}

fn nok(words: &str) -> (Status, String) {
    (Status::Nok, words.to_owned())
}

#[test]
fn nodes_are_shared_among_proxies_and_only_those_move_whose_owner_comes_or_goes() {
    let mut desk = Desk::with(fleet_settings(), Restored::default());
    let nodes: Vec<_> = (10..1210)
        .map(|id| json!({ "id": id, "type": "push_zmq" }))
        .collect();
    desk.registers(&json!(nodes));
    desk.proxy("p1", "1");
    let told = desk.owned("p1");
    let counts: Vec<_> = told
        .iter()
        .map(|t| (t.all, t.more, t.nodes.len()))
        .collect();
    assert_eq!(
        counts,
        [(true, true, 500), (false, true, 500), (false, false, 200)]
    );
    desk.proxy("p2", "1");
    let moved: usize = desk.owned("p2").iter().map(|told| told.nodes.len()).sum();
    assert!((400..800).contains(&moved), "{moved} of 1200");
    let told = desk.owned("p1");
    assert_eq!(
        (told.len(), told[0].all, told[0].drop.len()),
        (1, false, moved)
    );
    // It says that it carries nothing more, and dies.
    desk.module("p2", "PROXYREADY", r#"{"actions":[],"epoch":"1"}"#);
    let back: usize = desk.owned("p1").iter().map(|told| told.nodes.len()).sum();
    assert_eq!(back, moved);
    desk.registers(&json!([{ "id": 10, "type": "push_zmq", "address": "else" }]));
    let told = desk.owned("p1");
    assert_eq!(told[0].nodes[0].definition.rest["address"], "else");
    desk.client("admin", "UNREGISTERNODES", "", r#"{"nodes":[10]}"#);
    desk.stored();
    assert_eq!(desk.owned("p1")[0].drop, [NodeId::new(10)]);
}

#[test]
fn question_to_a_node_is_relayed_and_its_answer_too() {
    let mut desk = fleet();
    desk.client_asks("client", "INFORMATION", 6, "{}");
    let told = desk.told("p1");
    let (message, headers) = &told[0];
    assert_eq!(message.target.to_string(), "6");
    assert_eq!((headers.via, headers.attempt), (Some(NodeId::new(4)), None));
    let answer = Answer::ok(
        message.token.clone(),
        Data::parse(r#"{"message":"here"}"#).unwrap(),
    );
    let other = Identity::new(b"p2");
    desk.happens(Event::Answered {
        from: other,
        answer: answer.clone(),
    });
    assert!(desk.answers_to("client").is_empty(), "it was not asked");
    let from = Identity::new(b"p1");
    desk.happens(Event::Answered {
        from: from.clone(),
        answer: answer.clone(),
    });
    assert_eq!(desk.answer_to("client"), ok("here"));
    desk.happens(Event::Answered { from, answer });
    assert!(desk.answers_to("client").is_empty());
    desk.client_asks("client", "PING", 4, "{}");
    desk.passes(30);
    assert_eq!(desk.answer_to("client"), nok("timeout"));
    desk.state("p1", 4, LinkState::Refused, |link| {
        link.error = Some("why".to_owned())
    });
    desk.client_asks("client", "PING", 4, "{}");
    assert_eq!(desk.answer_to("client"), nok("unreachable"));
}

#[test]
fn getlog_with_a_filter_and_a_target_fetches_first_and_then_reads_here() {
    let mut desk = fleet();
    desk.client_asks("client", "GETLOG", 4, r#"{"token":"t1","limit":3}"#);
    let (message, _) = desk.told("p1").remove(0);
    assert_eq!(message.data, Data::empty());
    let answer = Answer::ok(message.token, Data::empty());
    desk.happens(Event::Answered {
        from: Identity::new(b"p1"),
        answer,
    });
    let queries = desk.queries();
    assert_eq!(queries[0].filter.limit, Some(3));
    desk.client_asks("client", "GETLOG", 4, "{}");
    assert_eq!(desk.told("p1").len(), 1);
}

#[test]
fn cancel_of_what_a_node_has_is_asked_there() {
    let mut desk = fleet();
    desk.client_to("client", 6, "t1");
    desk.stored();
    desk.told("p1");
    desk.carried("p1", "t1", 4, 1, "accepted");
    desk.stored();
    desk.cancels("other", "t1");
    let (message, headers) = desk.told("p1").remove(0);
    assert_eq!(
        (message.action, headers.via),
        (Action::Cancel, Some(NodeId::new(4)))
    );
    assert_eq!(message.target.to_string(), "4", "its own task there");
    let data = Data::parse(r#"{"message":"killed while it ran"}"#).unwrap();
    let answer = Answer::ok(message.token, data);
    desk.happens(Event::Answered {
        from: Identity::new(b"p1"),
        answer,
    });
    assert_eq!(desk.answer_to("other"), ok("killed while it ran"));
    desk.state("p1", 4, LinkState::Down, |_| {});
    desk.cancels("other", "t1");
    assert_eq!(desk.answer_to("other"), nok("unreachable"));
}

#[test]
fn rows_that_do_not_follow_on_are_refused_with_the_mark_to_go_on_from() {
    let mut desk = fleet();
    desk.rows("p1", 4, 0, &[(1, "a", Code::Ok), (2, "b", Code::Ok)]);
    desk.stored();
    assert_eq!(desk.answer_to("p1"), ok("rows stored"));
    desk.rows("p1", 4, 1, &[(2, "b", Code::Ok)]);
    assert_eq!(desk.answer_to("p1"), nok("mark"));
    desk.rows("p1", 4, 7, &[(8, "b", Code::Ok)]);
    desk.stored_as(Written::Mark(Box::new(Mark {
        id: 5,
        ..Mark::default()
    })));
    assert_eq!(desk.answer_to("p1"), nok("mark"));
    assert_eq!(desk.status()["4"]["mark"], 5);
    desk.rows("p1", 99, 0, &[]);
    assert_eq!(desk.answer_to("p1"), nok("node"));
}

#[test]
fn constatus_tells_the_truth_about_each_node() {
    let mut desk = fleet();
    assert_eq!(desk.status()["5"]["state"], "up");
    for (name, outcome) in [("t1", "accepted"), ("t2", ""), ("t3", "")] {
        desk.client_to("client", 4, name);
        desk.stored();
        if !outcome.is_empty() {
            desk.carried("p1", name, 4, 1, outcome);
            desk.stored();
        }
    }
    desk.state("p1", 4, LinkState::Down, |link| {
        link.error = Some("connection refused".to_owned());
        link.last_ping_recv = 42;
        link.newest_row = Some(12);
        link.nodes = [(NodeId::new(8), 2)].into();
    });
    desk.client_to("client", 4, "t4");
    desk.stored();
    let node = desk.status()["4"].clone();
    assert_eq!(node["state"], "down");
    assert_eq!(
        (&node["since"], &node["last_ping_recv"]),
        (&json!(7), &json!(42))
    );
    assert_eq!(node["error"], "connection refused");
    assert_eq!(node["nodes"], json!({ "6": 1, "7": 1, "8": 2 }));
    let depth = (&node["waiting"], &node["leaving"], &node["away"]);
    assert_eq!(depth, (&json!(1), &json!(2), &json!(1)));
    assert_eq!(node["behind"], 12);
    desk.gone("p1");
    desk.passes(11);
    assert_eq!(desk.status()["4"]["error"], "no proxy is there for it");
    desk.client("reader", "PING", "", "{}");
    let pong = desk.last_data_to("reader");
    assert_eq!((&pong["dedups"], &pong["id"]), (&json!(true), &json!(1)));
    assert_eq!(pong["data"]["4"]["nodes"]["8"], json!({ "pathscore": 2 }));
}

#[test]
fn without_nodes_or_proxies_a_target_is_refused_as_ever() {
    let mut desk = Desk::new();
    desk.client_to("client", 4, "t1");
    desk.stored();
    let words = "no proxy configured. cannot manage target.";
    assert_eq!(desk.answer_to("client"), nok(words));
    desk.registers(&json!([{ "id": 4, "type": "pull" }]));
    desk.client_to("client", 4, "t2");
    desk.stored();
    assert_eq!(desk.answer_to("client"), nok(words));
    // These are words of proxies, not of clients.
    desk.client(
        "client",
        "PUTROWS",
        "",
        r#"{"node":4,"after":0,"upto":0,"rows":[]}"#,
    );
    desk.stored();
    assert_eq!(
        desk.answer_to("client"),
        nok("action 'PUTROWS' is not known")
    );
}

#[test]
fn nodes_of_the_file_follow_it_and_others_stay() {
    let mut desk = fleet();
    let listed = |list: Value| serde_json::from_value(list).unwrap();
    let both = json!([
        { "id": 5, "type": "push_zmq", "address": "10.0.0.55" },
        { "id": 8, "type": "push_zmq", "address": "10.0.0.8" },
    ]);
    desk.happens(Event::FileOfNodes(listed(both.clone())));
    desk.stored();
    assert_eq!(desk.status().as_object().unwrap().len(), 3);
    desk.records.clear();
    desk.happens(Event::FileOfNodes(listed(both)));
    desk.stored();
    assert!(desk.records.is_empty(), "nothing changed");
    // Of those that are gone from the file, 4 is none: somebody else registered it.
    desk.happens(Event::FileOfNodes(listed(
        json!([{ "id": 8, "type": "pull" }]),
    )));
    desk.stored();
    let status = desk.status();
    assert_eq!(status["8"]["type"], "pull");
    assert!(status["4"].is_object() && status["5"].is_null());
    let wrong = json!([{ "id": 1, "type": "pull" }]);
    desk.happens(Event::FileOfNodes(listed(wrong)));
    desk.stored();
    assert_eq!(desk.status().as_object().unwrap().len(), 2);
    // A client cannot say that a node is the file's.
    desk.registers(&json!([{ "id": 9, "type": "pull", "by_file": true }]));
    desk.happens(Event::FileOfNodes(Vec::new()));
    desk.stored();
    assert_eq!(desk.status().as_object().unwrap().len(), 2);
}

#[test]
fn words_that_make_no_sense_are_refused() {
    let mut desk = fleet();
    for action in ["CARRIED", "NODESTATE", "PUTROWS"] {
        desk.module("p1", action, "5");
        assert_eq!(desk.answer_to("p1").0, Status::Nok, "{action}");
    }
}
