//! A router on a desk: hand it events one by one, and look at what it wants done.

pub mod fleet;

use std::time::Duration;

use gorgone_protocol::request::cancel::Cancel;
use gorgone_protocol::request::log::PutLog;
use gorgone_protocol::request::logger::{self, Severity};
use gorgone_protocol::{
    Action, Answer, AnswerName, Code, Data, Dialect, Headers, Identity, Message, Moment, Target,
    Token,
};
use gorgone_protocol::{NodeId, Status, Verdict};
use gorgone_routing::{
    BatchId, Caller, Effect, Event, Origin, Query, Record, Restored, Router, Settings,
    WriteFailure, Written,
};
use serde_json::Value;

pub struct Desk {
    pub router: Router,
    pub now: Moment,
    fresh: u32,
    /// What is wanted and was not looked at yet.
    effects: Vec<Effect>,
    batches: Vec<(BatchId, Vec<Record>)>,
    /// Everything that was written.
    pub records: Vec<Record>,
}

pub fn token(text: &str) -> Token {
    Token::parse(text).unwrap()
}

pub fn settings() -> Settings {
    Settings {
        expected_actions: vec![Action::Command],
        ..Settings::default()
    }
}

impl Desk {
    pub fn new() -> Self {
        Self::with(settings(), Restored::default())
    }

    pub fn with(settings: Settings, restored: Restored) -> Self {
        let now = Moment {
            unix_ms: 1_700_000_000_000,
            monotonic: Duration::ZERO,
        };
        Self {
            router: Router::new(settings, restored, now),
            now,
            fresh: 0,
            effects: Vec::new(),
            batches: Vec::new(),
            records: Vec::new(),
        }
    }

    pub fn happens(&mut self, event: Event) {
        self.router.handle(event, self.now);
        while let Some(effect) = self.router.poll_effect() {
            match effect {
                Effect::Write { batch, records } => self.batches.push((batch, records)),
                other => self.effects.push(other),
            }
        }
    }

    pub fn says(&mut self, from: Origin, message: Message) {
        self.says_for(from, message, None);
    }

    /// Somebody says what a caller at a door wants.
    pub fn says_for(&mut self, from: Origin, message: Message, caller: Option<Caller>) {
        self.fresh += 1;
        let fresh = token(&format!("fresh-{}", self.fresh));
        self.happens(Event::Request {
            from,
            dialect: Dialect::Seed,
            message,
            fresh,
            caller,
        });
    }

    pub fn client(&mut self, name: &str, action: &str, own: &str, data: &str) {
        let message = Message {
            action: Action::parse(action),
            token: (!own.is_empty()).then(|| token(own)),
            target: Target::Here,
            data: Data::parse(data).unwrap(),
        };
        self.says(Origin::Client(Identity::new(name.as_bytes())), message);
    }

    pub fn client_to(&mut self, name: &str, target: u64, own: &str) {
        let message = Message {
            action: Action::Command,
            token: Some(token(own)),
            target: Target::Node(NodeId::new(target)),
            data: Data::empty(),
        };
        self.says(Origin::Client(Identity::new(name.as_bytes())), message);
    }

    /// A request of a client to the nodes that a selection means.
    pub fn client_to_many(&mut self, name: &str, selection: &str, own: &str, data: &str) {
        let message = Message {
            action: Action::Command,
            token: Some(token(own)),
            target: Target::parse(selection),
            data: Data::parse(data).unwrap(),
        };
        self.says(Origin::Client(Identity::new(name.as_bytes())), message);
    }

    /// A question or a request of a client to a node.
    pub fn client_asks(&mut self, name: &str, action: &str, target: u64, data: &str) {
        let message = Message {
            action: Action::parse(action),
            token: None,
            target: Target::Node(NodeId::new(target)),
            data: Data::parse(data).unwrap(),
        };
        self.says(Origin::Client(Identity::new(name.as_bytes())), message);
    }

    /// Everything that was said to a module since the last look.
    pub fn told(&mut self, name: &str) -> Vec<(Message, Headers)> {
        let to = Identity::new(name.as_bytes());
        self.take(|effect| match effect {
            Effect::Deliver {
                module,
                message,
                headers,
            } if *module == to => Some((message.clone(), headers.clone())),
            _ => None,
        })
    }

    pub fn command(&mut self, own: &str) {
        self.client("client", "COMMAND", own, "{}");
    }

    pub fn cancels(&mut self, who: &str, subject: &str) {
        let body = Data::from_value(&Cancel {
            token: token(subject),
        });
        self.client(who, "CANCEL", "", body.as_str());
    }

    pub fn module(&mut self, name: &str, action: &str, data: &str) {
        let message = Message::new(Action::parse(action), None, Data::parse(data).unwrap());
        self.says(Origin::Module(Identity::new(name.as_bytes())), message);
    }

    /// A module in its first life that offers COMMAND.
    pub fn ready(&mut self, name: &str, slots: u32) {
        let body = format!(r#"{{"actions":["COMMAND"],"slots":{slots},"epoch":"1"}}"#);
        self.module(name, "ACTIONREADY", &body);
        assert_eq!(self.answer_to(name).0, Status::Ok);
    }

    pub fn gone(&mut self, name: &str) {
        self.happens(Event::ModuleGone(Identity::new(name.as_bytes())));
    }

    /// A module's row; `message` is the token of the message that carries it.
    pub fn row(&mut self, name: &str, subject: &str, code: Code, data: &str, number: Option<u64>) {
        let put = PutLog {
            token: Some(subject.to_owned()),
            code,
            etime: None,
            data: data.to_owned(),
            sequence: number,
            attempt: None,
        };
        let message = Message::new(Action::PutLog, None, put.encode(Dialect::Seed));
        self.says(Origin::Module(Identity::new(name.as_bytes())), message);
    }

    pub fn ends(&mut self, name: &str, subject: &str) {
        self.row(name, subject, Code::Ok, "{}", Some(9));
        self.stored();
    }

    pub fn passes(&mut self, seconds: u64) {
        self.now = self.now.after(Duration::from_secs(seconds));
        self.happens(Event::Timeout);
    }

    /// Everything on its way to the store is written, and what follows from it too.
    pub fn stored(&mut self) {
        while !self.batches.is_empty() {
            self.stored_once();
        }
    }

    /// The oldest batch is written.
    pub fn stored_once(&mut self) {
        let (batch, records) = self.batches.remove(0);
        let written = records.iter().map(|record| match record {
            Record::Note(_) | Record::Put(_) | Record::Finish(_) => Written::Row(1),
            Record::Fetched(fetched) => Written::Fetched {
                ended: fetched
                    .rows
                    .iter()
                    .filter(|row| row.code.is_terminal())
                    .map(|row| (token(&row.token), Verdict::of(row.code, &row.data)))
                    .collect(),
            },
            _ => Written::Done,
        });
        let result = Ok(written.collect());
        self.records.extend(records);
        self.happens(Event::Written { batch, result });
    }

    /// The oldest batch is written, and the store says this to each of its records.
    pub fn stored_as(&mut self, written: Written) {
        let (batch, records) = self.batches.remove(0);
        let result = Ok(vec![written; records.len()]);
        self.happens(Event::Written { batch, result });
    }

    /// Nothing that is on its way to the store can be written.
    pub fn store_fails(&mut self) {
        for (batch, _) in std::mem::take(&mut self.batches) {
            let result = Err(WriteFailure {
                message: "the disk is full".to_owned(),
            });
            self.happens(Event::Written { batch, result });
        }
    }

    fn take<T>(&mut self, wanted: impl Fn(&Effect) -> Option<T>) -> Vec<T> {
        let mut found = Vec::new();
        self.effects.retain(|effect| match wanted(effect) {
            Some(value) => {
                found.push(value);
                false
            }
            None => true,
        });
        found
    }

    /// The tokens that were handed to a module since the last look.
    pub fn handed(&mut self, name: &str) -> Vec<String> {
        let to = Identity::new(name.as_bytes());
        self.take(|effect| match effect {
            Effect::Deliver {
                module, message, ..
            } if *module == to => message.token.as_ref().map(|t| t.as_str().to_owned()),
            _ => None,
        })
    }

    /// The tokens that a module was told to end.
    pub fn told_to_cancel(&mut self, name: &str) -> Vec<String> {
        let to = Identity::new(name.as_bytes());
        self.take(|effect| match effect {
            Effect::Deliver {
                module, message, ..
            } if *module == to && message.action == Action::Cancel => {
                let cancel: Cancel = message.data.decode().ok()?;
                Some(cancel.token.as_str().to_owned())
            }
            _ => None,
        })
    }

    /// How much each module was told to log, and core itself under the name `core`.
    pub fn log_levels(&mut self) -> Vec<(String, Severity)> {
        self.take(|effect| match effect {
            Effect::Log(severity) => Some(("core".to_owned(), *severity)),
            Effect::Deliver {
                module, message, ..
            } if message.action == Action::BcastLogger => {
                Some((module.to_text(), logger::decode(&message.data).ok()?))
            }
            _ => None,
        })
    }

    /// The data of an answer to INFORMATION.
    pub fn information(&mut self) -> Value {
        self.client("who asks", "INFORMATION", "", "{}");
        let found = self.take(|effect| match effect {
            Effect::Answer { answer, .. } if answer.name == AnswerName::Information => {
                answer.data.decode::<Value>().ok()
            }
            _ => None,
        });
        found[0]["data"].clone()
    }

    pub fn full_answers_to(&mut self, name: &str) -> Vec<Answer> {
        let whom = Identity::new(name.as_bytes());
        self.take(|effect| match effect {
            Effect::Answer {
                to: Origin::Client(to) | Origin::Module(to),
                answer,
            } if *to == whom => Some(answer.clone()),
            _ => None,
        })
    }

    pub fn answers_to(&mut self, name: &str) -> Vec<(Status, String)> {
        let answers = self.full_answers_to(name).into_iter().map(|answer| {
            let data: Value = serde_json::from_str(answer.data.as_str()).unwrap();
            let words = data["error"].as_str().or(data["message"].as_str());
            (answer.status, words.unwrap_or_default().to_owned())
        });
        answers.collect()
    }

    /// What the answers to somebody since the last look say.
    pub fn data_to(&mut self, name: &str) -> Vec<Value> {
        let whom = Identity::new(name.as_bytes());
        self.take(|effect| match effect {
            Effect::Answer {
                to: Origin::Client(to) | Origin::Module(to),
                answer,
            } if *to == whom => serde_json::from_str(answer.data.as_str()).ok(),
            _ => None,
        })
    }

    /// How often something else was wanted since the last look.
    pub fn effects(&mut self, wanted: impl Fn(&Effect) -> bool) -> usize {
        self.take(|effect| wanted(effect).then_some(())).len()
    }

    /// The data of the last answer to somebody.
    pub fn last_data_to(&mut self, name: &str) -> Value {
        self.data_to(name).pop().unwrap()
    }

    /// The one answer to somebody since the last look.
    pub fn answer_to(&mut self, name: &str) -> (Status, String) {
        let mut answers = self.answers_to(name);
        assert_eq!(answers.len(), 1, "answers to {name}: {answers:?}");
        answers.remove(0)
    }

    pub fn queries(&mut self) -> Vec<Query> {
        self.take(|effect| match effect {
            Effect::Query(query) => Some(query.clone()),
            _ => None,
        })
    }

    pub fn lookups(&mut self) -> Vec<Token> {
        self.take(|effect| match effect {
            Effect::CancelLookup { subject, .. } => Some(subject.clone()),
            _ => None,
        })
    }

    /// The `reason` of the terminal row that was written for a token; `OK` for a good one.
    pub fn end_of(&self, subject: &str) -> String {
        let ends = self.records.iter().filter_map(|record| match record {
            Record::Finish(row) if row.token == subject => Some((row.code, row.data.as_str())),
            Record::Fetched(fetched) => {
                let mut rows = fetched.rows.iter();
                let row = rows.find(|row| row.token == subject && row.code.is_terminal())?;
                Some((row.code, row.data.as_str()))
            }
            _ => None,
        });
        let ends: Vec<(Code, &str)> = ends.collect();
        let [end] = ends[..] else {
            return format!("{} ends", ends.len());
        };
        let data: Value = serde_json::from_str(end.1).unwrap();
        match end.0 {
            Code::Ok => "OK".to_owned(),
            _ => data["reason"].as_str().unwrap_or_default().to_owned(),
        }
    }
}
