//! What becomes of requests for other nodes, one sentence each.

#[allow(
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    reason = "it is all test, and this file uses a part of it"
)]
mod desk;

use gorgone_protocol::request::node_state::LinkState;
use gorgone_protocol::{Action, Code, Data, Mark, NodeId, Status};
use gorgone_routing::{Record, Restored, Runner, Task, TaskState};

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
        parent: None,
    });
    let restored = Restored {
        tasks: tasks.into(),
        nodes: vec![r#"{"id":4,"type":"push_zmq"}"#.to_owned()],
        marks: vec![(
            node,
            Mark {
                id: 17,
                ..Mark::default()
            },
        )],
        ..Restored::default()
    };
    let mut desk = Desk::with(fleet_settings(), restored);
    let body = r#"{"actions":[],"carries":["push_zmq"],"epoch":"1","running":["leaving"]}"#;
    desk.module("p1", "PROXYREADY", body);
    assert_eq!(desk.owned("p1")[0].nodes[0].mark.id, 17);
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
