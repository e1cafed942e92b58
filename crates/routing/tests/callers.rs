//! What callers at the doors may ask for.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(
    unreachable_pub,
    dead_code,
    reason = "it is all test, and this file uses a part of it"
)]
mod desk;

use std::sync::Arc;

use desk::fleet::fleet;
use desk::{Desk, token};
use gorgone_protocol::request::audit::Door;
use gorgone_protocol::{
    Action, Data, Grant, GrantedActions, GrantedNodes, Identity, Message, Rights, Status, Target,
};
use gorgone_routing::{Caller, Credential, Origin, Record};

/// Somebody who may ask for COMMAND here and GETLOG everywhere.
fn caller(door: Door) -> Caller {
    let grant = |action: &str, node: &str| Grant {
        actions: vec![GrantedActions::parse(action).unwrap()],
        nodes: vec![GrantedNodes::parse(node).unwrap()],
    };
    Caller {
        credential: Arc::new(Credential {
            door,
            name: "ann".into(),
            rights: Rights::of(vec![grant("COMMAND", "self"), grant("GETLOG", "*")]),
            node: None,
        }),
        from: None,
    }
}

impl Desk {
    fn outsider(&mut self, door: Door, action: &str, target: &str) -> (Status, String) {
        let message = Message {
            action: Action::parse(action),
            token: None,
            target: Target::parse(target),
            data: Data::parse(r#"{"token":"unheard-of"}"#).unwrap(),
        };
        let peer = Identity::new(b"peer");
        let from = match door {
            Door::Zeromq => Origin::Client(peer),
            Door::Http | Door::Pull => Origin::Module(peer),
        };
        self.says_for(from, message, Some(caller(door)));
        self.stored();
        self.answer_to("peer")
    }
}

#[test]
fn request_without_the_right_to_it_is_forbidden_and_changes_nothing() {
    let mut desk = Desk::new();
    for door in [Door::Zeromq, Door::Http] {
        for (action, target) in [
            ("COMMAND", "5"),
            ("CANCEL", ""),
            ("PING", "1"),
            ("REGISTERNODES", ""),
            ("NEVERHEARDOF", ""),
            ("COMMAND", "nonsense"),
        ] {
            let answer = desk.outsider(door, action, target);
            assert_eq!(answer, (Status::Nok, "forbidden".to_owned()), "{action}");
        }
    }
    assert!(desk.records.is_empty());
    assert_eq!(desk.router.live_tasks(), 0);
}

#[test]
fn request_with_the_right_to_it_is_treated_as_ever() {
    let mut desk = Desk::new();
    for door in [Door::Zeromq, Door::Http] {
        assert_eq!(desk.outsider(door, "COMMAND", "").0, Status::Ok);
        assert_eq!(desk.outsider(door, "COMMAND", "1").0, Status::Ok);
        let elsewhere = desk.outsider(door, "GETLOG", "5");
        assert!(elsewhere.1.contains("no proxy"), "{elsewhere:?}");
    }
    assert_eq!(desk.router.live_tasks(), 4);
}

#[test]
fn refusal_names_who_what_and_where() {
    let words = |door, target| {
        let mut desk = Desk::new();
        let message = Message {
            action: Action::Cancel,
            token: Some(token("t")),
            target: Target::parse(target),
            data: Data::empty(),
        };
        let from = Origin::Client(Identity::new(b"peer"));
        desk.says_for(from, message, Some(caller(door)));
        desk.stored();
        let answer = desk.full_answers_to("peer").remove(0);
        assert_eq!(answer.token, Some(token("t")));
        answer.data.as_str().to_owned()
    };
    assert_eq!(
        words(Door::Zeromq, "5"),
        r#"{"error":"forbidden","message":"client 'ann' may not CANCEL on node 5"}"#
    );
    assert_eq!(
        words(Door::Http, ""),
        r#"{"error":"forbidden","message":"user 'ann' may not CANCEL on node 1"}"#
    );
}

#[test]
fn cancelling_takes_the_right_to_it_where_the_request_runs() {
    let mut desk = fleet();
    desk.client_to("somebody", 4, "there");
    desk.command("here");
    desk.stored();
    for (node, may) in [("self", "here"), ("4", "there")] {
        let grant = Grant {
            actions: vec![GrantedActions::One(Action::Cancel)],
            nodes: vec![GrantedNodes::parse(node).unwrap()],
        };
        let credential = Credential {
            rights: Rights::of(vec![grant]),
            ..(*caller(Door::Zeromq).credential).clone()
        };
        let caller = Caller {
            credential: Arc::new(credential),
            from: None,
        };
        for subject in ["here", "there"] {
            let data = Data::parse(&format!(r#"{{"token":"{subject}"}}"#)).unwrap();
            let message = Message::new(Action::Cancel, None, data);
            let from = Origin::Client(Identity::new(b"peer"));
            desk.says_for(from, message, Some(caller.clone()));
            let forbidden = desk.answers_to("peer") == [(Status::Nok, "forbidden".to_owned())];
            assert_eq!(forbidden, subject != may, "{subject} with {node}");
            desk.stored();
            desk.answers_to("peer");
        }
    }
}

#[test]
fn module_does_not_lend_a_caller_its_own_standing() {
    let mut desk = Desk::new();
    let everything = Caller {
        credential: Arc::new(Credential {
            door: Door::Http,
            name: "root".into(),
            rights: Rights::everything(),
            node: None,
        }),
        from: None,
    };
    for action in ["XREADY", "LEASE", "PUTSTATE", "GETSTATE", "PUTROWS"] {
        let body = r#"{"actions":["COMMAND"],"name":"x","ttl":9}"#;
        let message = Message::new(Action::parse(action), None, Data::parse(body).unwrap());
        let from = Origin::Module(Identity::new(b"web"));
        desk.says_for(from, message, Some(everything.clone()));
        desk.stored();
        let words = desk.answer_to("web").1;
        assert_eq!(words, format!("action '{action}' is not known"));
    }
}

#[test]
fn row_that_a_caller_numbers_is_stored_and_one_of_a_running_request_is_refused_at_either_door() {
    for door in [Door::Zeromq, Door::Http] {
        let mut desk = Desk::new();
        let everything = Caller {
            credential: Arc::new(Credential {
                door,
                name: "root".into(),
                rights: Rights::everything(),
                node: None,
            }),
            from: None,
        };
        let peer = Identity::new(b"peer");
        let puts = |desk: &mut Desk, subject: &str| {
            let from = match door {
                Door::Zeromq => Origin::Client(peer.clone()),
                Door::Http | Door::Pull => Origin::Module(peer.clone()),
            };
            let body = format!(r#"{{"code":0,"token":"{subject}","data":{{}},"sequence":7}}"#);
            let message = Message::new(Action::PutLog, None, Data::parse(&body).unwrap());
            desk.says_for(from, message, Some(everything.clone()));
            desk.stored();
            desk.answer_to("peer")
        };
        let note = puts(&mut desk, "a-note");
        assert_eq!(note, (Status::Ok, "message inserted".to_owned()));
        let stored = |record: &Record| matches!(record, Record::Put(row) if row.token == "a-note");
        assert!(desk.records.iter().any(stored), "{door:?}");
        desk.command("runs");
        desk.stored();
        assert_eq!(puts(&mut desk, "runs").0, Status::Nok, "{door:?}");
    }
}
