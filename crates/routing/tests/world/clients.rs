//! Those who ask: once or again, with tokens of their own or none, and who watch and cancel.

use std::sync::Arc;
use std::time::Duration;

use gorgone_protocol::request::audit::Door;
use gorgone_protocol::request::cancel::Cancel;
use gorgone_protocol::request::log::{GetLog, PutLog, WaitFor};
use gorgone_protocol::{Action, Code, Data, Dialect, Identity, Message, Rights, Token};
use gorgone_routing::{Caller, Credential, Event, Origin};
use serde_json::json;

use super::{ACTIVE_MS, Ev, World};

#[derive(Clone, Debug)]
pub enum Kind {
    Submit {
        action: &'static str,
        data: Data,
    },
    Cancel(String),
    GetLog {
        subject: String,
        wait: Option<u64>,
        row: bool,
    },
    /// A client that wants to end somebody's request with a row of its own.
    PutLog(String),
    Unknown,
}

/// One request of one client.
pub struct Ask {
    pub kind: Option<Kind>,
    pub token: Option<Token>,
    /// The life of core that it reached.
    pub reached: Option<u64>,
    pub asked_at: u64,
    pub answers: u32,
    pub ok: bool,
    pub words: String,
}

pub fn action(name: &str) -> Action {
    Action::parse(name)
}

impl World {
    pub(super) fn new_ask(&mut self, kind: Option<Kind>, token: Option<Token>) -> usize {
        self.asks.push(Ask {
            kind,
            token,
            reached: None,
            asked_at: 0,
            answers: 0,
            ok: false,
            words: String::new(),
        });
        self.asks.len() - 1
    }

    /// Something to ask for, now that it is known what was asked for before.
    fn invent(&mut self, index: usize) -> (Kind, Option<Token>) {
        let earlier: Vec<usize> = (0..index)
            .filter(|&i| matches!(&self.asks[i].kind, Some(kind) if Self::is_submit(kind)))
            .filter(|&i| self.asks[i].token.is_some())
            .collect();
        let dice = if earlier.is_empty() {
            0
        } else {
            self.rng.between(0, 99)
        };
        if dice < 62 {
            let token = format!("t{index}");
            let own = self.rng.percent(80);
            return (
                self.submit(index),
                own.then(|| Token::parse(&token).expect("is a token")),
            );
        }
        // Mostly about what was asked lately.
        let back = self.rng.index(earlier.len().min(8));
        let subject = earlier[earlier.len() - 1 - back];
        let token = self.asks[subject].token.clone();
        let name = token.as_ref().map(|token| token.as_str().to_owned());
        let name = name.unwrap_or_default();
        match dice {
            62..=71 => (
                self.asks[subject].kind.clone().unwrap_or(Kind::Unknown),
                token,
            ),
            72..=74 => (self.submit(index), token),
            75..=84 => (Kind::Cancel(name), None),
            85..=94 => {
                let wait = self.rng.percent(70).then(|| self.rng.between(1, 30));
                let row = self.rng.percent(50);
                (
                    Kind::GetLog {
                        subject: name,
                        wait,
                        row,
                    },
                    None,
                )
            }
            95..=97 => (Kind::PutLog(name), None),
            _ => (Kind::Unknown, None),
        }
    }

    fn submit(&mut self, index: usize) -> Kind {
        let mut data = json!({ "command": index });
        if self.rng.percent(25) {
            data["ttl"] = self.rng.between(0, 8).into();
        }
        if self.rng.percent(25) {
            data["retries"] = self.rng.between(1, 3).into();
        }
        let action = if self.rng.percent(60) { "COMMAND" } else { "X" };
        Kind::Submit {
            action,
            data: Data::from_value(&data),
        }
    }

    pub(super) fn ask(&mut self, index: usize) {
        if self.core.is_none() {
            // Nobody listens; a client tries again, until it gives up.
            if self.now < ACTIVE_MS && self.rng.percent(80) {
                self.after(100, 1000, Ev::Ask(index));
            }
            return;
        }
        if self.asks[index].kind.is_none() {
            let (kind, token) = self.invent(index);
            self.asks[index].kind = Some(kind);
            self.asks[index].token = token;
        }
        let Some(kind) = self.asks[index].kind.clone() else {
            return;
        };
        let about = |name: &str| Token::parse(name).expect("is a token");
        let (action, data) = match &kind {
            Kind::Submit { action, data } => (action_of(action), data.clone()),
            Kind::Cancel(name) => (
                Action::Cancel,
                Data::from_value(&Cancel { token: about(name) }),
            ),
            Kind::GetLog { subject, wait, row } => {
                let filter = GetLog {
                    token: Some(subject.clone()),
                    wait: wait.map(Duration::from_secs),
                    wait_for: if *row { WaitFor::Row } else { WaitFor::End },
                    ..GetLog::default()
                };
                (Action::GetLog, filter.encode(Dialect::Seed))
            }
            Kind::PutLog(name) => {
                let put = PutLog {
                    token: Some(name.clone()),
                    code: Code::Ok,
                    etime: None,
                    data: json!({ "forged": true }).to_string(),
                    sequence: None,
                    attempt: None,
                };
                // Only about tokens that are taken: a note under a free token is no forgery.
                if !self.store.tasks.contains_key(name) {
                    return;
                }
                (Action::PutLog, put.encode(Dialect::Seed))
            }
            Kind::Unknown => (action_of("NOBODYKNOWS"), Data::empty()),
        };
        self.asks[index].reached = Some(self.life);
        self.asks[index].asked_at = self.now;
        let fresh = self.fresh();
        let message = Message::new(action, self.asks[index].token.clone(), data);
        if self.asks[index].token.is_none() {
            self.asks[index].token = Some(fresh.clone());
        }
        let name = format!("ask-{index}");
        let credential = Credential {
            door: Door::Zeromq,
            name: name.as_str().into(),
            rights: Rights::everything(),
            node: None,
        };
        self.tell_core(Event::Request {
            from: Origin::Client(Identity::new(name.as_bytes())),
            dialect: Dialect::Seed,
            message,
            fresh,
            caller: Some(Caller {
                credential: Arc::new(credential),
                from: None,
            }),
        });
    }

    pub(super) fn answered(&mut self, to: &Origin, ok: bool, words: &str) {
        let index = to
            .to_text()
            .strip_prefix("ask-")
            .and_then(|n| n.parse::<usize>().ok());
        let Some(ask) = index.and_then(|index| self.asks.get_mut(index)) else {
            return;
        };
        ask.answers += 1;
        ask.ok = ok;
        ask.words = words.to_owned();
        let reads = matches!(ask.kind, None | Some(Kind::GetLog { .. }));
        // While the store fails, what is repeated or cancelled is answered all the same.
        let kept = self.store.audit.contains_key(&to.to_text());
        if ok && !reads && !kept && self.now > self.broken_until + 3000 {
            let kind = format!("{:?}", ask.kind);
            self.broken(format!(
                "the audit does not know of {}: {kind}",
                to.to_text()
            ));
            return;
        }
        if ask.answers > 1 {
            let kind = format!("{:?}", ask.kind);
            self.broken(format!("{} was answered twice: {kind}", to.to_text()));
        }
    }

    /// Core is gone: who has no answer asks again, with the same token.
    pub(super) fn ask_again_after_a_kill(&mut self) {
        for index in 0..self.asks.len() {
            let ask = &self.asks[index];
            let lost = ask.reached == Some(self.life) && ask.answers == 0;
            let (kind, token) = (ask.kind.clone(), ask.token.clone());
            if lost && kind.as_ref().is_some_and(Self::is_submit) && self.rng.percent(60) {
                let again = self.new_ask(kind, token);
                self.after(200, 3000, Ev::Ask(again));
            }
        }
    }
}

fn action_of(name: &str) -> Action {
    Action::parse(name)
}
