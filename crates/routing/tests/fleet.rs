//! What becomes of requests for other nodes, one sentence each.

#[allow(
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    reason = "it is all test, and this file uses a part of it"
)]
mod desk;

use gorgone_protocol::request::node_state::LinkState;
use gorgone_protocol::{Action, Answer, Code, Data, Identity, NodeId, Status};
use gorgone_routing::{Event, Record, Restored, Runner, Task, TaskState, Written};
use serde_json::{Value, json};

use desk::fleet::{fleet, fleet_settings};
use desk::{Desk, token};

fn ok(words: &str) -> (Status, String) {
    (Status::Ok, words.to_owned())
}

fn nok(words: &str) -> (Status, String) {
    (Status::Nok, words.to_owned())
}

fn task(own: &str, attempt: u32, via: u64) -> (String, u32, u64) {
    (own.to_owned(), attempt, via)
}

#[test]
fn task_for_a_node_goes_to_the_proxy_that_owns_it_and_ends_by_the_row_that_comes_home() {
    let mut desk = fleet();
    desk.client_to("client", 4, "t1");
    assert!(desk.tasks("p1").is_empty());
    desk.stored();
    assert_eq!(desk.answer_to("client"), ok("accepted"));
    assert_eq!(desk.tasks("p1"), [task("t1", 1, 4)]);
    desk.carried("p1", "t1", 4, 1, "accepted");
    assert!(
        desk.answers_to("p1").is_empty(),
        "not before it is written down"
    );
    desk.stored();
    assert_eq!(desk.answer_to("p1"), ok("message inserted"));
    desk.passes(3600 * 24 * 30);
    assert_eq!(
        desk.router.live_tasks(),
        1,
        "the node ends it, whenever that is"
    );
    desk.client("waits", "GETLOG", "", r#"{"token":"t1","wait":600}"#);
    desk.rows("p1", 4, 0, &[(1, "t1", Code::Proceed), (3, "t1", Code::Ok)]);
    desk.stored();
    assert_eq!(desk.answer_to("p1"), ok("rows stored"));
    assert_eq!(desk.end_of("t1"), "OK");
    assert_eq!(desk.queries().len(), 1);
    assert_eq!(desk.router.live_tasks(), 0);
}

#[test]
fn tasks_wait_for_a_node_in_order_within_its_window_and_within_bounds() {
    let mut desk = fleet();
    desk.state("p1", 4, LinkState::Down, |_| {});
    for name in ["t1", "t2", "t3", "t4", "t5", "t6"] {
        desk.client_to("client", 4, name);
        desk.stored();
    }
    let answers = desk.answers_to("client");
    assert_eq!(answers[4..], [ok("accepted"), nok("busy")]);
    assert!(desk.tasks("p1").is_empty());
    // Others do not notice.
    desk.client_to("other", 5, "u1");
    desk.stored();
    assert_eq!(desk.tasks("p1"), [task("u1", 1, 5)]);
    desk.up("p1", 4);
    desk.stored();
    let first = [task("t1", 1, 4), task("t2", 1, 4), task("t3", 1, 4)];
    assert_eq!(desk.tasks("p1"), first);
    desk.carried("p1", "t2", 4, 1, "accepted");
    desk.stored();
    assert_eq!(desk.tasks("p1"), [task("t4", 1, 4)]);
}

#[test]
fn task_whose_time_passes_while_its_node_is_away_expires() {
    let mut desk = fleet();
    desk.state("p1", 4, LinkState::Down, |_| {});
    desk.client_asks("client", "COMMAND", 4, r#"{"ttl":5}"#);
    desk.stored();
    desk.passes(6);
    desk.stored();
    let ended = desk.records.iter().any(|record| match record {
        Record::Finish(row) => row.data.contains("expired"),
        _ => false,
    });
    assert!(ended);
    desk.up("p1", 4);
    desk.stored();
    assert!(desk.tasks("p1").is_empty());
}

#[test]
fn what_the_node_refuses_ends_rejected_in_its_words() {
    let mut desk = fleet();
    desk.client_to("client", 4, "t1");
    desk.stored();
    desk.carried("p1", "t1", 4, 1, "refused");
    desk.stored();
    assert_eq!(desk.end_of("t1"), "rejected");
    assert!(format!("{:?}", desk.records).contains("node 4 refused it: says the node"));
    assert_eq!(desk.answer_to("p1"), ok("message inserted"));
}

#[test]
fn busy_and_unsent_tasks_go_back_to_their_place_and_are_tried_again_after_a_pause() {
    for outcome in ["busy", "unsent"] {
        let mut desk = fleet();
        for name in ["t1", "t2", "t3", "t4"] {
            desk.client_to("client", 4, name);
            desk.stored();
        }
        assert_eq!(desk.tasks("p1").len(), 3);
        desk.carried("p1", "t2", 4, 1, outcome);
        desk.stored();
        assert_eq!(desk.answer_to("p1"), ok("noted"));
        assert!(desk.tasks("p1").is_empty(), "{outcome}");
        desk.passes(1);
        desk.stored();
        assert_eq!(desk.tasks("p1"), [task("t2", 2, 4)], "{outcome}");
        // What is said of the hand-over before is void.
        desk.carried("p1", "t2", 4, 1, "accepted");
        desk.stored();
        assert_eq!(desk.answer_to("p1"), ok("noted"));
        desk.cancels("other", "t4");
        desk.stored();
        assert_eq!(desk.answer_to("other"), ok("cancelled before it began"));
    }
}

#[test]
fn after_the_death_of_a_proxy_the_next_one_gets_its_tasks_where_the_node_recognises_them() {
    for (dedups, end) in [(true, "0 ends"), (false, "unknown")] {
        let mut desk = fleet();
        desk.client_to("client", 4, "t1");
        desk.stored();
        assert_eq!(desk.tasks("p1").len(), 1);
        desk.gone("p1");
        desk.passes(11);
        desk.proxy("p2", "1");
        let told = desk.owned("p2");
        assert_eq!((told.len(), told[0].all, told[0].nodes.len()), (1, true, 2));
        desk.stored();
        assert_eq!(
            desk.end_of("t1"),
            "0 ends",
            "what the node is, is not known yet"
        );
        if dedups {
            desk.up("p2", 4);
        } else {
            desk.state("p2", 4, LinkState::Up, |link| link.dedups = Some(false));
        }
        desk.stored();
        assert_eq!(desk.end_of("t1"), end);
        let again: &[_] = if dedups { &[task("t1", 2, 4)] } else { &[] };
        assert_eq!(desk.tasks("p2"), again);
        desk.carried("p1", "t1", 4, 1, "unsent");
        desk.stored();
        if dedups {
            // Not received this time proves nothing about the time before.
            desk.carried("p2", "t1", 4, 2, "unsent");
            desk.stored();
            desk.state("p2", 4, LinkState::Up, |link| link.dedups = Some(false));
            desk.passes(1);
            desk.stored();
            assert_eq!(desk.end_of("t1"), "unknown");
        }
    }
}

#[test]
fn reborn_proxy_gets_again_what_its_former_life_had() {
    let mut desk = fleet();
    desk.client_to("client", 4, "t1");
    desk.stored();
    desk.tasks("p1");
    desk.proxy("p1", "2");
    desk.stored();
    assert!(desk.tasks("p1").is_empty());
    desk.up("p1", 4);
    desk.stored();
    assert_eq!(desk.tasks("p1"), [task("t1", 2, 4)]);
}

#[test]
fn proxy_that_lost_sight_of_core_is_told_all_and_gets_again_what_it_misses() {
    let mut desk = fleet();
    for name in ["t1", "t2"] {
        desk.client_to("client", 4, name);
        desk.stored();
    }
    assert_eq!(desk.tasks("p1").len(), 2);
    desk.gone("p1");
    let body = r#"{"actions":[],"carries":["push_zmq"],"epoch":"1","running":["t1"]}"#;
    desk.module("p1", "PROXYREADY", body);
    desk.stored();
    let told = desk.told("p1");
    let tasks: Vec<_> = told
        .iter()
        .filter(|(message, _)| message.action == Action::Command)
        .map(|(message, headers)| (message.token.clone(), headers.attempt))
        .collect();
    assert_eq!(tasks, [(Some(token("t2")), Some(1))]);
    assert!(
        told.iter()
            .any(|(message, _)| message.action == Action::Nodes)
    );
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
fn subnode_is_reached_by_the_smallest_score_and_rather_not_through_a_node_that_is_down() {
    let mut desk = fleet();
    let via = |desk: &mut Desk, target, own| {
        desk.client_to("client", target, own);
        desk.stored();
        desk.tasks("p1").first().map(|(_, _, via)| *via)
    };
    assert_eq!(via(&mut desk, 6, "t1"), Some(4));
    desk.state("p1", 5, LinkState::Up, |link| {
        link.dedups = Some(true);
        link.nodes = [
            (NodeId::new(6), 0),
            (NodeId::new(7), 1),
            (NodeId::new(8), 3),
        ]
        .into();
    });
    assert_eq!(via(&mut desk, 6, "t2"), Some(5), "learnt, and nearer");
    assert_eq!(via(&mut desk, 7, "t3"), Some(4), "registered wins a tie");
    assert_eq!(via(&mut desk, 8, "t4"), Some(5), "only learnt");
    desk.state("p1", 4, LinkState::Down, |_| {});
    assert_eq!(via(&mut desk, 7, "t5"), Some(5));
    desk.client_to("client", 99, "t6");
    desk.answers_to("client");
    desk.stored();
    assert_eq!(desk.answer_to("client"), nok("no route to node 99"));
}

#[test]
fn what_waits_takes_another_way_when_there_is_one() {
    let mut desk = fleet();
    desk.state("p1", 4, LinkState::Down, |_| {});
    desk.client_to("client", 6, "t1");
    desk.stored();
    assert!(desk.tasks("p1").is_empty());
    desk.state("p1", 5, LinkState::Up, |link| {
        link.nodes = [(NodeId::new(6), 9)].into()
    });
    desk.stored();
    assert_eq!(desk.tasks("p1"), [task("t1", 1, 5)]);
}

#[test]
fn request_that_came_from_a_node_does_not_go_back_to_it_nor_in_a_circle() {
    let mut desk = fleet();
    desk.client_to("gorgone-proxy-4-1-ab", 6, "t1");
    desk.stored();
    let answer = desk.answer_to("gorgone-proxy-4-1-ab");
    assert_eq!(answer, nok("no route to node 6"));
    desk.client_to("gorgone-proxy-9-1-ab", 6, "t2");
    desk.stored();
    assert_eq!(desk.answer_to("gorgone-proxy-9-1-ab"), ok("accepted"));
    desk.client_to("gorgone-proxy-9-1-cd", 6, "t2");
    assert_eq!(
        desk.answer_to("gorgone-proxy-9-1-cd"),
        ok("already accepted")
    );
    desk.client_to("gorgone-proxy-5-1-ab", 6, "t2");
    let (status, words) = desk.answer_to("gorgone-proxy-5-1-ab");
    assert!(
        status == Status::Nok && words.contains("point at each other"),
        "{words}"
    );
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
fn unregistered_node_ends_what_waits_for_it_unreachable_and_what_it_has_unknown() {
    let mut desk = fleet();
    desk.client_to("client", 4, "t1");
    desk.stored();
    desk.carried("p1", "t1", 4, 1, "accepted");
    desk.stored();
    desk.state("p1", 4, LinkState::Down, |_| {});
    desk.client_to("client", 6, "t2");
    desk.stored();
    desk.client("admin", "UNREGISTERNODES", "", r#"{"nodes":[4]}"#);
    desk.stored();
    assert_eq!(desk.end_of("t1"), "unknown");
    assert_eq!(desk.end_of("t2"), "unreachable");
    assert_eq!(desk.router.live_tasks(), 0);
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
    desk.stored_as(Written::Mark(5));
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
fn after_a_restart_waiting_tasks_go_on_and_those_under_way_wait_for_their_proxy() {
    let runner = Runner {
        instance: "p1".to_owned(),
        epoch: "1".to_owned(),
    };
    let node = NodeId::new(4);
    let states = [
        ("queued", TaskState::Queued, 0),
        ("leaving", TaskState::Leaving(runner, node), 1),
        ("doubtful", TaskState::Doubtful(node), 1),
        ("away", TaskState::Away(node), 1),
    ];
    let tasks = states.map(|(own, state, attempt)| Task {
        token: token(own),
        action: Action::Command,
        target: gorgone_protocol::Target::Node(node),
        data: Data::empty(),
        origin: "client".to_owned(),
        accepted_ms: 0,
        expires_ms: i64::MAX,
        retries: 0,
        attempt,
        state,
    });
    let restored = Restored {
        tasks: tasks.into(),
        nodes: vec![r#"{"id":4,"type":"push_zmq"}"#.to_owned()],
        marks: vec![(node, 17)],
        ..Restored::default()
    };
    let mut desk = Desk::with(fleet_settings(), restored);
    let body = r#"{"actions":[],"carries":["push_zmq"],"epoch":"1","running":["leaving"]}"#;
    desk.module("p1", "PROXYREADY", body);
    assert_eq!(desk.owned("p1")[0].nodes[0].mark, 17);
    desk.up("p1", 4);
    desk.stored();
    assert_eq!(
        desk.tasks("p1"),
        [task("queued", 1, 4), task("doubtful", 2, 4)]
    );
    desk.carried("p1", "leaving", 4, 1, "unsent");
    desk.stored();
    desk.passes(1);
    desk.stored();
    assert_eq!(desk.tasks("p1"), [task("leaving", 2, 4)]);
    desk.rows(
        "p1",
        4,
        17,
        &[(18, "away", Code::Ko), (19, "doubtful", Code::Ok)],
    );
    desk.stored();
    assert_eq!(desk.router.live_tasks(), 2);
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
