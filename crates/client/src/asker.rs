//! A module's questions to core: any request over the bus, and its answer.
//!
//! ```text
//! asker ──ask──▶ pump ──[ACTION] [TOKEN] [TARGET] DATA──▶ core
//!   ▲                                                      │
//!   └────────────── [ACK] [TOKEN] {…} ◀────────────────────┘
//! ```
//! Every question carries a token: one that was not answered is said again after a lost
//! connection, and core recognises what it has accepted already. A caller that no longer waits
//! ends its wait in core, too.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use gorgone_protocol::request::cancel::Cancel;
use gorgone_protocol::{Action, Answer, Data, Headers, Message, Token, encode};
use gorgone_transport::SendError;
use tokio::sync::{mpsc, oneshot};

use crate::module::Order;
use crate::wire::Sender;

/// How many questions may wait for their answers at once; more are refused as busy.
const MAX_QUESTIONS: usize = 100_000;

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AskError {
    /// Core did not answer in time. Whether it took the request is not known: ask again with
    /// the same token.
    #[error("core does not answer")]
    Silent,
    /// Too many questions wait already; this one was not sent.
    #[error("too many requests wait for core; nothing was sent, try again later")]
    Busy,
    /// The module was closed.
    #[error("the connection to core is closed")]
    Closed,
}

/// Asks core on behalf of a module. Cheap to clone.
#[derive(Clone)]
pub struct Asker {
    orders: mpsc::UnboundedSender<Order>,
}

impl Asker {
    pub(crate) const fn new(orders: mpsc::UnboundedSender<Order>) -> Self {
        Self { orders }
    }

    /// Sends a request and waits for its answer, whatever its code. A request without a token
    /// gets one here. Dropping the future ends the waiting, and a GETLOG's waiting in core; a
    /// request that was accepted stays accepted.
    ///
    /// # Errors
    /// When there is no answer within `patience`, or none can be had.
    pub async fn ask(
        &self,
        mut message: Message,
        headers: Headers,
        patience: Duration,
    ) -> Result<Answer, AskError> {
        let token = message
            .token
            .get_or_insert_with(|| Token::from_random(rand::random()))
            .clone();
        let (reply, answer) = oneshot::channel();
        let question = Question {
            message,
            headers,
            reply,
            said: false,
        };
        self.orders
            .send(Order::Ask(Box::new(question)))
            .map_err(|_| AskError::Closed)?;
        let mut waiting = Waiting {
            asker: self,
            token: Some(token),
        };
        let answered = tokio::time::timeout(patience, answer).await;
        if answered.is_ok() {
            waiting.token = None;
        }
        match answered {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(AskError::Closed),
            Err(_) => Err(AskError::Silent),
        }
    }
}

/// Tells the pump when nobody waits any more.
struct Waiting<'a> {
    asker: &'a Asker,
    token: Option<Token>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(token) = self.token.take() {
            // An error is a module that is closed.
            let _ = self.asker.orders.send(Order::Forget(token));
        }
    }
}

/// A request on its way to core and back.
pub(crate) struct Question {
    message: Message,
    headers: Headers,
    reply: oneshot::Sender<Result<Answer, AskError>>,
    /// Whether it went out over a connection that stood. What is said before waits in the
    /// socket's outbox and goes out by itself.
    said: bool,
}

/// The questions that wait, in the pump's hands.
#[derive(Default)]
pub(crate) struct Questions {
    /// Several with one token are answered in the order in which they were asked.
    waiting: HashMap<Token, VecDeque<Question>>,
    count: usize,
    connected: bool,
}

impl Questions {
    /// Sends a question and keeps it until it is answered.
    pub(crate) fn ask(&mut self, mut question: Question, sender: &Sender) {
        let Some(token) = question.message.token.clone() else {
            return;
        };
        if self.count >= MAX_QUESTIONS {
            let _ = question.reply.send(Err(AskError::Busy));
            return;
        }
        if let Err(error) = say(&question, sender) {
            let why = match error {
                SendError::Full => AskError::Busy,
                SendError::Closed => AskError::Closed,
            };
            let _ = question.reply.send(Err(why));
            return;
        }
        question.said = self.connected;
        self.count += 1;
        self.waiting.entry(token).or_default().push_back(question);
    }

    /// Nobody waits for this one any more.
    pub(crate) fn forget(&mut self, token: &Token, sender: &Sender) {
        let Some(waiting) = self.waiting.get_mut(token) else {
            return;
        };
        let Some(place) = waiting.iter().position(|one| one.reply.is_closed()) else {
            return;
        };
        let forgotten = waiting.remove(place);
        self.count -= usize::from(forgotten.is_some());
        if waiting.is_empty() {
            self.waiting.remove(token);
        }
        if forgotten.is_some_and(|one| one.message.action == Action::GetLog) {
            let body = Data::from_value(&Cancel {
                token: token.clone(),
            });
            let message = Message::new(Action::Cancel, None, body);
            // One that is lost waits in core until its own time is over.
            let _ = sender.send(vec![Bytes::from(encode(&message))]);
        }
    }

    /// The connection stands, for the first time or again: what may have been lost with the
    /// one before is said again.
    pub(crate) fn connected(&mut self, sender: &Sender) {
        self.connected = true;
        for question in self.waiting.values_mut().flatten() {
            if question.said {
                // A full outbox: the caller's patience ends it.
                let _ = say(question, sender);
            }
            question.said = true;
        }
    }

    pub(crate) fn disconnected(&mut self) {
        self.connected = false;
    }

    /// The socket was given up with everything in its outbox: all is said again over the next.
    pub(crate) fn lost(&mut self) {
        self.connected = false;
        for question in self.waiting.values_mut().flatten() {
            question.said = true;
        }
    }

    /// Gives an answer to whoever asked. False where nobody did.
    pub(crate) fn answer(&mut self, answer: &Answer) -> bool {
        let Some(token) = &answer.token else {
            return false;
        };
        let Some(waiting) = self.waiting.get_mut(token) else {
            return false;
        };
        let question = waiting.pop_front();
        if waiting.is_empty() {
            self.waiting.remove(token);
        }
        if let Some(question) = question {
            self.count -= 1;
            // An error is a caller who does not wait any more.
            let _ = question.reply.send(Ok(answer.clone()));
        }
        true
    }
}

fn say(question: &Question, sender: &Sender) -> Result<(), SendError> {
    let mut frames = vec![Bytes::from(encode(&question.message))];
    frames.extend(question.headers.encode().map(Bytes::from));
    sender.send(frames)
}
