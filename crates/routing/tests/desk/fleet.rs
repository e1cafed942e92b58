//! A desk with proxies and nodes.

use gorgone_protocol::request::log::Row;
use gorgone_protocol::request::node_state::{LinkState, NodeState};
use gorgone_protocol::request::nodes::NodeKind;
use gorgone_protocol::request::owned::OwnedNodes;
use gorgone_protocol::request::put_rows::PutRows;
use gorgone_protocol::{Action, Code, NodeId, Status};
use gorgone_routing::{Restored, Settings};
use serde_json::{Value, json};

use super::{Desk, settings};

pub fn fleet_settings() -> Settings {
    Settings {
        expected_carries: vec![NodeKind::PushZmq],
        node_window: 3,
        max_node_tasks: 5,
        ..settings()
    }
}

/// What proxies and nodes say, and what they are told.
impl Desk {
    pub fn registers(&mut self, nodes: &Value) {
        let body = json!({ "nodes": nodes }).to_string();
        self.client("admin", "REGISTERNODES", "", &body);
        self.stored();
        let answer = (Status::Ok, "nodes registered".to_owned());
        assert_eq!(self.answer_to("admin"), answer);
    }

    pub fn proxy(&mut self, name: &str, epoch: &str) {
        let body = json!({ "actions": [], "carries": ["push_zmq"], "epoch": epoch });
        self.module(name, "PROXYREADY", &body.to_string());
        assert_eq!(self.answer_to(name).0, Status::Ok);
    }

    pub fn state(&mut self, proxy: &str, id: u64, state: LinkState, about: fn(&mut NodeState)) {
        let mut link: NodeState =
            serde_json::from_value(json!({ "id": id, "state": state, "since": 7 })).unwrap();
        about(&mut link);
        self.module(proxy, "NODESTATE", &json!(link).to_string());
    }

    pub fn up(&mut self, proxy: &str, id: u64) {
        self.state(proxy, id, LinkState::Up, |link| link.dedups = Some(true));
    }

    pub fn carried(&mut self, proxy: &str, subject: &str, id: u64, attempt: u32, outcome: &str) {
        let body = json!({ "token": subject, "node": id, "attempt": attempt, "outcome": outcome,
            "message": "says the node" });
        self.module(proxy, "CARRIED", &body.to_string());
    }

    pub fn rows(&mut self, proxy: &str, id: u64, after: i64, rows: &[(i64, &str, Code)]) {
        let rows: Vec<Row> = rows
            .iter()
            .map(|(id, token, code)| Row {
                id: *id,
                token: (*token).to_owned(),
                code: *code,
                etime: 1,
                ctime: 1,
                data: "{}".to_owned(),
                node: None,
            })
            .collect();
        let put = PutRows {
            node: NodeId::new(id),
            after,
            known: None,
            life: None,
            upto: rows.last().map_or(after, |row| row.id),
            rows,
            begun: None,
        };
        self.module(proxy, "PUTROWS", put.encode().as_str());
    }

    pub fn tasks(&mut self, proxy: &str) -> Vec<(String, u32, u64)> {
        self.told(proxy)
            .into_iter()
            .filter(|(message, _)| message.action == Action::Command)
            .map(|(message, headers)| {
                let token = message.token.unwrap().as_str().to_owned();
                (token, headers.attempt.unwrap(), headers.via.unwrap().get())
            })
            .collect()
    }

    pub fn owned(&mut self, proxy: &str) -> Vec<OwnedNodes> {
        self.told(proxy)
            .into_iter()
            .filter(|(message, _)| message.action == Action::Nodes)
            .map(|(message, _)| message.data.decode().unwrap())
            .collect()
    }

    pub fn status(&mut self) -> Value {
        self.client("reader", "CONSTATUS", "", "{}");
        let data = self.last_data_to("reader");
        data["data"].clone()
    }
}

/// A desk with one proxy and nodes 4 and 5 that are up; 6 and 7 are behind 4.
pub fn fleet() -> Desk {
    let mut desk = Desk::with(fleet_settings(), Restored::default());
    desk.registers(&json!([
        { "id": 4, "type": "push_zmq", "address": "10.0.0.4", "nodes": [6, 7] },
        { "id": 5, "type": "push_zmq", "address": "10.0.0.5" },
    ]));
    desk.proxy("p1", "1");
    desk.up("p1", 4);
    desk.up("p1", 5);
    desk.told("p1");
    desk
}
