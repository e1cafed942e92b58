//! Who asked for what, written down with what became of it.
//!
//! ```text
//! a caller's request ─▶ in hand ─┬─ starts a task ──▶ written with the task
//!                                ├─ is answered ────▶ written, then answered
//!                                └─ waits ─▶ open ──▶ written when it is answered
//! ```
//! Every answer passes here on its way out, so that whatever a request is answered with, and by
//! whom, is what the audit says. What only reads is not kept, unless its caller may not read.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use gorgone_protocol::request::audit::{Door, Outcome};
use gorgone_protocol::{
    Action, Answer, Message, Moment, NodeId, Status, Target, Token, peek_action,
};
use serde::Deserialize;

use crate::event::Origin;
use crate::refusals::Refusals;
use crate::{Caller, Credential, Redactor};

/// Bytes of a request's DATA that are kept.
const REQUEST_BYTES: usize = 4096;
/// The same where the request was refused: nothing came of it, and anybody can send many.
const REFUSED_BYTES: usize = 512;
/// Bytes that are kept of what a client can make as long as it likes.
const WORD_BYTES: usize = 128;
const MESSAGE_BYTES: usize = 512;
/// How many requests may be open; more are written as soon as they come.
const MAX_OPEN: usize = 100_000;

/// A row for the audit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewAudit {
    /// When it was asked, seconds since 1970.
    pub time: i64,
    /// Where it came in.
    pub door: Door,
    /// The name of the credential.
    pub who: Arc<str>,
    /// The address that it came from.
    pub from: Option<Arc<str>>,
    /// What was asked for.
    pub action: Action,
    /// The node that was to do it: this one's id where the request left it empty.
    pub node: Target,
    /// The token of the request; none in a row that stands for several.
    pub token: Option<Token>,
    /// The request's DATA without secrets, and not more than some of it.
    pub request: Arc<str>,
    /// What became of it at once.
    pub outcome: Outcome,
    /// More about the outcome.
    pub message: String,
}

/// A request of which it is not known yet what becomes of it.
#[derive(Debug)]
pub(crate) struct Asked {
    time: i64,
    credential: Arc<Credential>,
    from: Option<Arc<str>>,
    action: Action,
    node: Target,
    token: Option<Token>,
    request: Arc<str>,
}

/// A request whose row is on its way to the store.
#[derive(Debug)]
pub(crate) struct Unsure {
    to: Origin,
    asked: Arc<Asked>,
}

/// The requests that wait to be written down, and what must be known for it.
#[derive(Debug, Default)]
pub(crate) struct Audits {
    /// None: nothing is written down.
    redactor: Option<Redactor>,
    now: Moment,
    /// The request that is being looked at.
    in_hand: Option<(Origin, Arc<Asked>)>,
    /// Requests that are answered later, by who is to be answered; several with one token in
    /// the order in which they came.
    open: HashMap<(Origin, Token), VecDeque<Arc<Asked>>>,
    count: usize,
    /// Requests whose row was written ahead of their answer and is not durable yet, with the
    /// answer, where it came earlier.
    ahead: HashMap<(Origin, Token), Option<Answer>>,
    refusals: Refusals,
}

/// What is to be done with an answer.
pub(crate) enum Leave {
    /// It leaves.
    Now(Answer),
    /// It leaves when this row is durable.
    After(NewAudit, Answer),
    /// It leaves when the row that was written ahead of it is durable.
    Held,
}

impl Audits {
    pub(crate) fn configure(&mut self, redactor: Option<Redactor>) {
        self.redactor = redactor;
    }

    pub(crate) fn set_time(&mut self, now: Moment) {
        self.now = now;
    }

    /// Takes a caller's request in hand.
    pub(crate) fn begin(
        &mut self,
        from: &Origin,
        caller: &Caller,
        message: &Message,
        token: &Token,
        own: NodeId,
    ) {
        if self.redactor.is_none() {
            return;
        }
        let asked = Asked {
            time: self.now.unix(),
            credential: Arc::clone(&caller.credential),
            from: caller.from.clone(),
            action: short_action(&message.action),
            node: match &message.target {
                Target::Here => Target::Node(own),
                Target::Node(id) => Target::Node(*id),
                Target::Many(selection) => Target::Many(selection.clone()),
                Target::Unreadable(text) => Target::Unreadable(cut(text, WORD_BYTES)),
            },
            token: Some(token.clone()),
            request: message.data.shared(),
        };
        self.in_hand = Some((from.clone(), Arc::new(asked)));
    }

    /// Takes something of a caller's in hand that could not be read.
    pub(crate) fn begin_unread(
        &mut self,
        from: &Origin,
        caller: &Caller,
        (text, token): (&[u8], Option<&Token>),
        own: NodeId,
    ) {
        if self.redactor.is_none() {
            return;
        }
        let action = peek_action(text).unwrap_or_else(|| Action::parse("?"));
        let asked = Asked {
            time: self.now.unix(),
            credential: Arc::clone(&caller.credential),
            from: caller.from.clone(),
            action: short_action(&action),
            node: Target::Node(own),
            token: token.cloned(),
            request: String::from_utf8_lossy(text).into(),
        };
        self.in_hand = Some((from.clone(), Arc::new(asked)));
    }

    /// The row about the request in hand, for whoever does what it asks for; and the request, in
    /// case that it comes to something else.
    pub(crate) fn take(&mut self, outcome: Outcome, words: &str) -> Option<(NewAudit, Unsure)> {
        let (to, asked) = self.in_hand.take()?;
        let row = self.row(&asked, outcome, words)?;
        Some((row, Unsure { to, asked }))
    }

    /// The row about the request in hand, ahead of its answer.
    pub(crate) fn take_ahead(
        &mut self,
        outcome: Outcome,
        words: &str,
    ) -> Option<(NewAudit, Unsure)> {
        let (from, asked) = self.in_hand.as_ref()?;
        let key = (from.clone(), asked.token.clone()?);
        if self.ahead.contains_key(&key) {
            // One with the same token is on its way: this one waits for its answer.
            return None;
        }
        let taken = self.take(outcome, words)?;
        self.ahead.insert(key, None);
        Some(taken)
    }

    /// The row that was written ahead of an answer is durable, or it is not written at all.
    /// Returns the answer, if it has come.
    pub(crate) fn settle(
        &mut self,
        Unsure { to, asked }: Unsure,
        written: bool,
    ) -> Option<(Origin, Answer)> {
        let token = asked.token.clone()?;
        let held = self.ahead.remove(&(to.clone(), token)).flatten();
        if !written {
            self.reopen(Unsure {
                to: to.clone(),
                asked,
            });
        }
        held.map(|answer| (to, answer))
    }

    /// The request in hand is answered later. What cannot be kept open is to be written now.
    pub(crate) fn lay_aside(&mut self) -> Option<NewAudit> {
        let (from, asked) = self.in_hand.take()?;
        match asked.token.clone() {
            Some(token) if self.count < MAX_OPEN => {
                self.count += 1;
                self.open.entry((from, token)).or_default().push_back(asked);
                None
            }
            _ => self.row(&asked, Outcome::Answered, ""),
        }
    }

    /// What was thought of a request turned out otherwise: its answer tells.
    pub(crate) fn reopen(&mut self, Unsure { to, asked }: Unsure) {
        if let Some(token) = asked.token.clone() {
            self.count += 1;
            self.open.entry((to, token)).or_default().push_front(asked);
        }
    }

    /// An answer is given.
    pub(crate) fn close(&mut self, to: &Origin, answer: Answer) -> Leave {
        let token = answer.token.as_ref();
        let in_hand = self
            .in_hand
            .take_if(|(from, asked)| from == to && asked.token.as_ref() == token);
        let asked = match (in_hand, token) {
            (Some((_, asked)), _) => asked,
            // Nothing waits for most answers.
            (None, Some(token)) if !(self.open.is_empty() && self.ahead.is_empty()) => {
                let key = (to.clone(), token.clone());
                if let Some(held @ None) = self.ahead.get_mut(&key) {
                    *held = Some(answer);
                    return Leave::Held;
                }
                match self.pick_up(&key) {
                    Some(asked) => asked,
                    None => return Leave::Now(answer),
                }
            }
            (None, _) => return Leave::Now(answer),
        };
        let (outcome, words) = outcome(&answer);
        match self.row(&asked, outcome, &words) {
            Some(row) => Leave::After(row, answer),
            None => Leave::Now(answer),
        }
    }

    fn pick_up(&mut self, key: &(Origin, Token)) -> Option<Arc<Asked>> {
        let waiting = self.open.get_mut(key)?;
        let asked = waiting.pop_front();
        if waiting.is_empty() {
            self.open.remove(key);
        }
        self.count -= usize::from(asked.is_some());
        asked
    }

    /// The row about a request, unless it is one of too many that were refused.
    fn row(&mut self, asked: &Asked, outcome: Outcome, words: &str) -> Option<NewAudit> {
        let redactor = self.redactor.as_ref()?;
        let Credential { door, name, .. } = &*asked.credential;
        let bytes = match outcome {
            Outcome::Accepted | Outcome::Answered => REQUEST_BYTES,
            Outcome::Refused | Outcome::Forbidden => {
                if !self.refusals.may_write(*door, name, outcome, self.now) {
                    return None;
                }
                REFUSED_BYTES
            }
        };
        Some(NewAudit {
            time: asked.time,
            door: *door,
            who: Arc::clone(name),
            from: asked.from.clone(),
            action: asked.action.clone(),
            node: asked.node.clone(),
            token: asked.token.clone(),
            request: redactor.keep(&asked.request, bytes),
            outcome,
            message: cut(words, MESSAGE_BYTES),
        })
    }

    /// When [`Audits::summaries`] has something to say.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.refusals.next_deadline()
    }

    /// Rows for those who were refused more often than there are rows; with `all`, also where
    /// more may come.
    pub(crate) fn summaries(&mut self, all: bool) -> Vec<NewAudit> {
        self.refusals.summaries(self.now, all)
    }
}

/// What an answer says of its request.
fn outcome(answer: &Answer) -> (Outcome, String) {
    #[derive(Default, Deserialize)]
    struct Body {
        #[serde(default)]
        message: String,
        #[serde(default)]
        error: String,
    }
    let body: Body = answer.data.decode().unwrap_or_default();
    let outcome = match answer.status {
        Status::Ok => Outcome::Answered,
        Status::Nok if body.error == "forbidden" => Outcome::Forbidden,
        Status::Nok => Outcome::Refused,
    };
    (outcome, body.message)
}

fn short_action(action: &Action) -> Action {
    match action {
        Action::Other(name) | Action::Ready(name) if name.len() > WORD_BYTES => {
            Action::Other(cut(name, WORD_BYTES).into())
        }
        action => action.clone(),
    }
}

fn cut(text: &str, bytes: usize) -> String {
    text[..text.floor_char_boundary(bytes)].to_owned()
}
