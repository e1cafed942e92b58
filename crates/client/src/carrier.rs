//! A module that makes connections to nodes: what core hands it for them, and what it says back.
//!
//! ```text
//! core → module   [NODES] [] [] {…}                      which nodes are its own
//! core → module   [X] [TOKEN] [TARGET] DATA              for a node: a task or a question
//! module → core   [CARRIED] [t] [] {…}                   what became of a task
//! core → module   [ACK] [t] {"code":0,…}                 it is written down
//! module → core   [NODESTATE] [] [] {…}                  how a node is
//! module → core   [ACK] [TOKEN] {…}                      the answer to a question
//! ```
//! What became of a task is kept until core has acknowledged it, and said again after a lost
//! connection, a restart of core, or a refusal. A task that is handed over twice is given out
//! once.

use std::collections::HashMap;
use std::time::Duration;

use gorgone_protocol::request::carried::Carried;
use gorgone_protocol::request::node_state::NodeState;
use gorgone_protocol::request::nodes::NodeKind;
use gorgone_protocol::request::owned::OwnedNodes;
use gorgone_protocol::{
    Action, Answer, Data, Dialect, Errand, Headers, Message, Token, encode, encode_answer,
};
use tokio::sync::mpsc;

use crate::module::Order;

/// How long core may take to acknowledge before it is told again.
const PATIENCE: Duration = Duration::from_secs(10);

/// What core tells a module that carries.
#[derive(Clone, Debug)]
pub enum CarrierEvent {
    /// Which nodes are the module's own.
    Nodes(OwnedNodes),
    /// Something for a node.
    Errand(Errand),
}

/// What core hands over to a module that carries.
#[derive(Debug)]
pub struct Carrier {
    pub(crate) events: mpsc::UnboundedReceiver<CarrierEvent>,
}

impl Carrier {
    /// The next event; nothing when the module is closed. Cancel-safe.
    pub async fn next(&mut self) -> Option<CarrierEvent> {
        self.events.recv().await
    }

    /// The next event, if there is one already.
    pub fn try_next(&mut self) -> Option<CarrierEvent> {
        self.events.try_recv().ok()
    }
}

/// Tells core about nodes and what is carried to them. Cheap to clone. Nothing waits; a module
/// that is closed tells nothing.
#[derive(Clone)]
pub struct Teller {
    pub(crate) orders: mpsc::UnboundedSender<Order>,
}

impl Teller {
    /// Says what became of a task, until core has written it down.
    pub fn carried(&self, carried: Carried) {
        let _ = self.orders.send(Order::Carried(carried));
    }

    /// Says how a node is. Lost with the connection: say it again when core is back.
    pub fn state(&self, state: &NodeState) {
        let message = Message::new(Action::NodeState, None, Data::from_value(state));
        let _ = self.orders.send(Order::Tell(encode(&message)));
    }

    /// Answers a question. Lost with the connection, as the question is.
    pub fn answer(&self, answer: &Answer) {
        let text = encode_answer(answer, Dialect::Seed);
        let _ = self.orders.send(Order::Tell(text));
    }
}

/// The carrying half of a module's pump.
pub(crate) struct Carrying {
    pub(crate) kinds: Vec<NodeKind>,
    events: mpsc::UnboundedSender<CarrierEvent>,
    epoch: String,
    /// Tasks that were taken and are not settled, with the number of the hand-over.
    tasks: HashMap<Token, u32>,
    /// What core has not acknowledged, under the message's token, and when to say it again.
    unsettled: HashMap<Token, (Carried, Duration)>,
    next_message: u64,
    /// When to look for what wants saying again.
    pub(crate) next_check: Option<Duration>,
}

impl Carrying {
    pub(crate) fn new(
        kinds: Vec<NodeKind>,
        epoch: String,
    ) -> (Self, mpsc::UnboundedReceiver<CarrierEvent>) {
        let (events, receiver) = mpsc::unbounded_channel();
        let carrying = Self {
            kinds,
            events,
            epoch,
            tasks: HashMap::new(),
            unsettled: HashMap::new(),
            next_message: 0,
            next_check: None,
        };
        (carrying, receiver)
    }

    /// Takes what core says about nodes, or has for one. Gives back what is neither.
    pub(crate) fn take(&mut self, message: Message, headers: &Headers) -> Option<Message> {
        match (&message.action, headers.via, &message.token) {
            (Action::Nodes, _, _) => match message.data.decode() {
                Ok(nodes) => self.tell(CarrierEvent::Nodes(nodes)),
                Err(error) => {
                    tracing::error!(%error, "core named nodes in a way that makes no sense")
                }
            },
            (_, Some(via), Some(token)) => {
                let errand = Errand {
                    via,
                    token: token.clone(),
                    attempt: headers.attempt,
                    expires: headers.expires,
                    message,
                };
                let known = errand.attempt.is_some_and(|attempt| {
                    let before = self.tasks.insert(errand.token.clone(), attempt);
                    let before = before.unwrap_or(0);
                    if before > attempt {
                        self.tasks.insert(errand.token.clone(), before);
                    }
                    before >= attempt
                });
                if !known {
                    self.tell(CarrierEvent::Errand(errand));
                }
            }
            _ => return Some(message),
        }
        None
    }

    fn tell(&self, event: CarrierEvent) {
        // An error is a module that is being closed.
        let _ = self.events.send(event);
    }

    /// Tasks that core is to leave where they are.
    pub(crate) fn running(&self) -> impl Iterator<Item = Token> {
        self.tasks.keys().cloned()
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.unsettled.is_empty()
    }

    /// Keeps what became of a task, and gives the message that says it.
    pub(crate) fn carried(&mut self, carried: Carried, now: Duration) -> Option<Message> {
        self.next_message += 1;
        let id = format!("{}-carried-{}", self.epoch, self.next_message);
        let id = Token::parse(&id).ok()?;
        let message = said(&id, &carried);
        self.next_check.get_or_insert(now + PATIENCE);
        self.unsettled.insert(id, (carried, now + PATIENCE));
        Some(message)
    }

    /// Core has written it down. False where the message was none of ours.
    pub(crate) fn acknowledged(&mut self, message: &Token) -> bool {
        let Some((carried, _)) = self.unsettled.remove(message) else {
            return false;
        };
        if self.tasks.get(&carried.token) == Some(&carried.attempt) {
            self.tasks.remove(&carried.token);
        }
        true
    }

    /// Core could not write it: it is said again after `delay`.
    pub(crate) fn refused(&mut self, message: &Token, now: Duration, delay: Duration) -> bool {
        match self.unsettled.get_mut(message) {
            Some((_, again)) => {
                *again = now + delay;
                self.next_check = self.next_check.min(Some(*again));
                true
            }
            None => false,
        }
    }

    /// What is to be said again: what is due, or all of it after a lost connection.
    pub(crate) fn repeat(&mut self, now: Duration, all: bool) -> Vec<Message> {
        let mut messages = Vec::new();
        for (id, (carried, again)) in &mut self.unsettled {
            if all || *again <= now {
                *again = now + PATIENCE;
                messages.push(said(id, carried));
            }
        }
        self.next_check = self.unsettled.values().map(|(_, again)| *again).min();
        messages
    }
}

fn said(id: &Token, carried: &Carried) -> Message {
    Message::new(Action::Carried, Some(id.clone()), Data::from_value(carried))
}
