//! The module that runs things. It never dies here: what becomes of runs then is core's promise,
//! which core's own simulation tries.

use std::collections::{BTreeMap, BTreeSet};

use gorgone_protocol::request::cancel::Cancel;
use gorgone_protocol::request::log::PutLog;
use gorgone_protocol::request::ready::Ready;
use gorgone_protocol::{Action, Code, Data, Dialect, Message, Token};
use serde_json::{Value, json};

use super::{Down, Ev, Peer, World};

#[derive(Default)]
pub struct Runner {
    pub(super) connection: u64,
    pub(super) last_up: u64,
    /// How often each token was begun, and when first; by the clock on the wall.
    pub starts: BTreeMap<String, (u32, i64)>,
    /// What each was asked with.
    pub asked: BTreeMap<String, Value>,
    running: BTreeSet<Token>,
    /// Rows that are not acknowledged: their message's token, and the message.
    rows: BTreeMap<Token, Message>,
    seen: BTreeSet<Token>,
}

impl World {
    pub(super) fn runner_connects(&mut self) {
        if self.core.is_none() {
            return;
        }
        self.runner.connection += 1;
        let ready = Ready {
            actions: vec![Action::Command.name().into_owned()],
            slots: Some(100_000),
            epoch: Some("1".to_owned()),
            running: Some(self.runner.running.iter().cloned().collect()),
            ..Ready::default()
        };
        let message = Message::new(Action::parse("ACTIONREADY"), None, Data::from_value(&ready));
        self.send_up(Peer::Runner, message);
        let again: Vec<Message> = self.runner.rows.values().cloned().collect();
        for message in again {
            self.send_up(Peer::Runner, message);
        }
    }

    pub(super) fn runner_hears(&mut self, down: Down) {
        match down {
            Down::Answer(answer) => {
                let Some(token) = answer.token else {
                    return;
                };
                let Some(message) = self.runner.rows.remove(&token) else {
                    return;
                };
                if answer.status == gorgone_protocol::Status::Nok {
                    self.runner.rows.insert(token.clone(), message);
                    self.after(500, 500, Ev::RunnerReports(token, 0));
                }
            }
            Down::Deliver(message) => match (message.action, message.token) {
                (Action::Cancel, _) => {
                    if let Ok(cancel) = message.data.decode::<Cancel>()
                        && self.runner.running.contains(&cancel.token)
                    {
                        self.runner_ends(&cancel.token, "cancelled");
                    }
                }
                (_, Some(token)) => self.runner_begins(token, &message.data),
                _ => {}
            },
        }
    }

    /// What is asked for says how long it takes, and how it ends.
    fn runner_begins(&mut self, token: Token, data: &Data) {
        let asked: Value = data.decode().unwrap();
        let wall = self.wall();
        let name = token.as_str().to_owned();
        if self.runner.seen.insert(token.clone()) {
            let begun = self.runner.starts.entry(name.clone()).or_insert((0, wall));
            begun.0 += 1;
            self.say(|| format!("runner begins {token}"));
        } else {
            return;
        }
        let takes = asked["takes"].as_u64().unwrap_or(50);
        let how = asked["ends"].as_str().unwrap_or("OK").to_owned();
        self.runner.asked.insert(name, asked);
        self.runner.running.insert(token.clone());
        self.runner_says(&token, Code::Proceed, &json!({ "message": "begun" }), 1);
        self.after(takes, takes, Ev::RunnerEnds(token, how));
    }

    pub(super) fn runner_ends(&mut self, token: &Token, how: &str) {
        if !self.runner.running.remove(token) {
            return;
        }
        let (code, data) = match how {
            "OK" => (Code::Ok, json!({ "message": "done" })),
            reason => (Code::Ko, json!({ "message": "failed", "reason": reason })),
        };
        self.runner_says(token, code, &data, 2);
    }

    fn runner_says(&mut self, token: &Token, code: Code, data: &Value, sequence: u64) {
        let put = PutLog {
            token: Some(token.as_str().to_owned()),
            code,
            etime: Some(self.wall()),
            data: data.to_string(),
            sequence: Some(sequence),
            attempt: None,
        };
        let id = self.fresh();
        let body = put.encode(Dialect::Seed);
        let message = Message::new(Action::PutLog, Some(id.clone()), body);
        self.runner.rows.insert(id, message.clone());
        self.send_up(Peer::Runner, message);
    }

    /// A row that core could not write is said again.
    pub(super) fn runner_reports(&mut self, id: &Token, _: u64) {
        if let Some(message) = self.runner.rows.get(id).cloned() {
            self.send_up(Peer::Runner, message);
        }
    }
}
