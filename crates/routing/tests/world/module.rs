//! Modules: one that follows every rule of the bus, and one of twenty lines.

use std::collections::{BTreeMap, HashMap, VecDeque};

use gorgone_protocol::request::log::PutLog;
use gorgone_protocol::request::ready::Ready;
use gorgone_protocol::{Action, Code, Data, Dialect, Identity, Message, Token};
use serde_json::json;

/// What core says to a module.
#[derive(Clone, Debug)]
pub enum Down {
    Work {
        token: Token,
        attempt: u32,
    },
    Cancel(Token),
    Answer {
        token: Option<Token>,
        ok: bool,
        inserted: bool,
    },
}

/// A step of one run of one request.
#[derive(Clone, Debug)]
pub struct Step {
    pub token: Token,
    pub run: u64,
    pub left: u64,
}

pub struct Row {
    code: Code,
    data: String,
    sequence: u64,
}

pub struct Held {
    pub attempt: u32,
    pub run: u64,
    pub ended: bool,
    rows: VecDeque<Row>,
    next_sequence: u64,
    pub in_flight: Option<Token>,
}

pub struct Module {
    pub identity: Identity,
    pub name: &'static str,
    /// Knows epochs, numbers its rows, repeats them, and recognises repeated requests.
    pub own: bool,
    pub actions: Vec<&'static str>,
    pub slots: Option<u32>,
    pub heartbeat: u32,
    pub alive: bool,
    pub draining: bool,
    pub life: u64,
    /// The connection, as the module sees it, and as core's side of the bus does.
    pub connection: u64,
    pub up: bool,
    pub seen: Option<u64>,
    /// Whether READY was said in this life.
    pub announced: bool,
    /// Whether core may have lost sight of it since: a simple module does not say READY again.
    pub forgotten: bool,
    pub arrival_up: u64,
    pub arrival_down: u64,
    pub outbox: Vec<Message>,
    pub held: BTreeMap<Token, Held>,
    messages: HashMap<Token, Token>,
    settled: HashMap<Token, u32>,
    next_message: u64,
    /// When something last happened to it that may have lost work.
    pub last_fault: Option<u64>,
}

impl Module {
    pub fn new(name: &'static str, own: bool, actions: Vec<&'static str>) -> Self {
        Self {
            identity: Identity::new(name.as_bytes()),
            name,
            own,
            actions,
            slots: None,
            heartbeat: 5,
            alive: false,
            draining: false,
            life: 0,
            connection: 0,
            up: false,
            seen: None,
            announced: false,
            forgotten: false,
            arrival_up: 0,
            arrival_down: 0,
            outbox: Vec::new(),
            held: BTreeMap::new(),
            messages: HashMap::new(),
            settled: HashMap::new(),
            next_message: 0,
            last_fault: None,
        }
    }

    pub fn die(&mut self) {
        self.alive = false;
        self.draining = false;
        self.up = false;
        self.announced = false;
        self.forgotten = false;
        self.outbox.clear();
        self.held.clear();
        self.messages.clear();
        self.settled.clear();
    }

    pub fn ready(&self, with_running: bool) -> Message {
        let actions = if self.draining {
            &[][..]
        } else {
            &self.actions
        };
        let ready = Ready {
            actions: actions.iter().map(|&name| name.to_owned()).collect(),
            draining: false,
            standby: false,
            slots: self.slots,
            epoch: self.own.then(|| format!("{}-{}", self.name, self.life)),
            heartbeat: self.own.then_some(self.heartbeat),
            running: (self.own && with_running).then(|| self.held.keys().cloned().collect()),
            note: None,
            carries: Vec::new(),
        };
        Message::new(
            Action::parse(&format!("{}READY", self.name.to_uppercase())),
            None,
            Data::from_value(&ready),
        )
    }

    /// Whether the request is to be started.
    pub fn take(&mut self, token: &Token, attempt: u32, run: u64) -> bool {
        let had = self.held.contains_key(token)
            || self.settled.get(token).is_some_and(|had| *had >= attempt);
        if self.own && had {
            return false;
        }
        let held = Held {
            attempt,
            run,
            ended: false,
            rows: VecDeque::new(),
            next_sequence: 0,
            in_flight: None,
        };
        self.held.insert(token.clone(), held);
        true
    }

    /// Notes a row of a run that goes on. Returns what is to be said at once.
    pub fn report(&mut self, token: &Token, code: Code, reason: Option<&str>) -> Option<Message> {
        let (name, life, own) = (self.name, self.life, self.own);
        let held = self.held.get_mut(token).filter(|held| !held.ended)?;
        held.next_sequence += 1;
        let number = held.next_sequence;
        let row = format!("{name}-{life}-{}-{number}", held.run);
        let data = match reason {
            Some(reason) => json!({ "row": row, "reason": reason }).to_string(),
            None => json!({ "row": row }).to_string(),
        };
        held.ended = code.is_terminal();
        if !own {
            if held.ended {
                self.held.remove(token);
            }
            return Some(put(token, code, data, None));
        }
        held.rows.push_back(Row {
            code,
            data,
            sequence: number,
        });
        match held.in_flight {
            None => self.say(token),
            Some(_) => None,
        }
    }

    /// Says the first row that is not acknowledged (again).
    pub fn say(&mut self, token: &Token) -> Option<Message> {
        let held = self.held.get_mut(token)?;
        let row = held.rows.front()?;
        self.next_message += 1;
        let id = Token::parse(&format!(
            "{}-{}-{}",
            self.name, self.life, self.next_message
        ))
        .ok();
        let number = (row.sequence, held.attempt);
        let mut message = put(token, row.code, row.data.clone(), Some(number));
        message.token.clone_from(&id);
        if let Some(old) = held.in_flight.take() {
            self.messages.remove(&old);
        }
        held.in_flight.clone_from(&id);
        self.messages.insert(id?, token.clone());
        Some(message)
    }

    /// Which token a message that waits for its acknowledgement is about.
    pub fn about(&self, message: &Token) -> Option<Token> {
        self.messages.get(message).cloned()
    }

    /// A row is acknowledged: its data, and the next message.
    pub fn acknowledged(&mut self, message: &Token) -> Option<(String, Option<Message>)> {
        let token = self.messages.remove(message)?;
        let held = self.held.get_mut(&token)?;
        held.in_flight = None;
        let row = held.rows.pop_front()?;
        if row.code.is_terminal() {
            let attempt = held.attempt;
            self.held.remove(&token);
            self.settled.insert(token, attempt);
            return Some((row.data, None));
        }
        let next = self.say(&token);
        Some((row.data, next))
    }
}

fn put(token: &Token, code: Code, data: String, number: Option<(u64, u32)>) -> Message {
    let put = PutLog {
        token: Some(token.as_str().to_owned()),
        code,
        etime: None,
        data,
        sequence: number.map(|(sequence, _)| sequence),
        attempt: number.map(|(_, attempt)| attempt),
    };
    Message::new(Action::PutLog, None, put.encode(Dialect::Seed))
}
