//! The promise of an ACK: from acceptance over the hand-over to the one terminal row.

use gorgone_protocol::request::cancel::Cancel;
use gorgone_protocol::request::options::Options;
use gorgone_protocol::{Action, Answer, Code, Data, Headers, Identity, Message, Reason, Token};
use serde_json::json;

use crate::event::{BatchId, Effect, Origin, WriteFailure};
use crate::ledger::Entry;
use crate::outbox::{Ack, After, Ending};
use crate::router::{CANCEL_PATIENCE, CancelWaiter, RETRY_AFTER, Router};
use crate::{NewRow, Record, Task, TaskState, Written};

impl Router {
    /// A task of before the restart.
    pub(crate) fn restore(&mut self, task: Task) {
        let token = task.token.clone();
        let entry = Entry {
            task,
            durable: true,
            delivered: true,
            ending: false,
            askers: Vec::new(),
        };
        let runner = entry.runner().cloned();
        let action = entry.task.action.clone();
        self.ledger.insert(entry);
        match runner {
            Some(runner) => {
                self.modules
                    .restore(&runner, &action, token, self.now.monotonic);
            }
            None => self.ledger.enqueue(&token),
        }
    }

    /// Accepts a request for a module, if it can be kept.
    pub(crate) fn submit(&mut self, from: Origin, token: Token, message: Message) {
        if let Some(entry) = self.ledger.get_mut(&token) {
            if !entry.is_same(&message) {
                let words = "the token is used by another request";
                self.refuse(from, Some(token), words);
            } else if entry.durable {
                self.acknowledge((from, token), "already accepted");
            } else {
                entry.askers.push((from, token));
            }
            return;
        }
        let options = match Options::peek(&message.data) {
            Ok(options) => options,
            Err(error) => {
                let words = format!("ttl or retries is wrong: {error}");
                return self.refuse(from, Some(token), &words);
            }
        };
        if self.is_full(message.data.as_str().len()) {
            let words = "too many requests wait; nothing was accepted, try again later";
            return self.out.answer(from, Answer::busy(Some(token), words));
        }
        // Nobody overtakes a line that exists.
        let runner = if self.ledger.first(&message.action).is_none() {
            self.modules.reserve(&message.action, &token)
        } else {
            None
        };
        let ttl = options.ttl.unwrap_or(self.settings.default_ttl);
        let task = Task {
            token: token.clone(),
            action: message.action,
            target: message.target,
            data: message.data,
            origin: from.to_text(),
            accepted_ms: self.now.unix_ms,
            expires_ms: self.now.after(ttl).unix_ms,
            retries: options.retries,
            attempt: u32::from(runner.is_some()),
            state: runner.map_or(TaskState::Queued, TaskState::Sent),
        };
        self.out
            .write(Record::Accept(task.clone()), After::Accepted(token.clone()));
        self.ledger.insert(Entry {
            task,
            durable: false,
            delivered: false,
            ending: false,
            askers: vec![(from, token)],
        });
    }

    /// Gives waiting tasks to free runners, in their order.
    pub(crate) fn schedule(&mut self, action: &Action) {
        if self.retry_at.is_some() {
            return;
        }
        while let Some(token) = self.ledger.first(action) {
            let now_ms = self.now.unix_ms;
            let expired = self
                .ledger
                .get(&token)
                .is_some_and(|entry| entry.task.expires_ms <= now_ms);
            if expired {
                self.ledger.drop_first(action);
                let words = "its time to live passed before it could begin";
                self.end(&token, Reason::Expired, words);
                continue;
            }
            let Some(runner) = self.modules.reserve(action, &token) else {
                return;
            };
            self.ledger.drop_first(action);
            if let Some(entry) = self.ledger.get_mut(&token) {
                entry.task.state = TaskState::Sent(runner);
                entry.task.attempt += 1;
            }
            self.advance(&token, After::Handed(token.clone()));
        }
    }

    fn advance(&mut self, token: &Token, after: After) {
        if let Some(entry) = self.ledger.get(token) {
            let record = Record::Advance {
                token: token.clone(),
                state: entry.task.state.clone(),
                attempt: entry.task.attempt,
                retries: entry.task.retries,
            };
            self.out.write(record, after);
        }
    }

    fn deliver(&mut self, token: &Token) {
        let Some(entry) = self.ledger.get(token) else {
            return;
        };
        let Some(runner) = entry.runner().cloned() else {
            return;
        };
        let Some(module) = self.modules.address(&runner) else {
            return self.take_back(token);
        };
        let message = entry.message();
        let headers = Headers {
            attempt: Some(entry.task.attempt),
            ..Headers::default()
        };
        if let Some(entry) = self.ledger.get_mut(token) {
            entry.delivered = true;
        }
        let data = json!({ "message": "handed over", "module": runner.instance }).to_string();
        let row = self.row(token.as_str(), Code::Proceed, data);
        let after = After::Row {
            token: row.token.clone(),
            ack: None,
        };
        self.out.write(Record::Note(row), after);
        self.out.push(Effect::Deliver {
            module,
            message,
            headers,
        });
    }

    /// The same life of the same module never got what was sent to it, or already has it and
    /// knows so by the token.
    pub(crate) fn hand_over_again(&mut self, token: &Token) {
        let certain = self
            .ledger
            .get(token)
            .is_some_and(|entry| entry.delivered && !entry.ending);
        if certain {
            self.deliver(token);
        }
    }

    /// The runner provably did not receive the task: back to the head of the line.
    fn take_back(&mut self, token: &Token) {
        let Some(entry) = self.ledger.get_mut(token) else {
            return;
        };
        if entry.ending {
            return;
        }
        let state = std::mem::replace(&mut entry.task.state, TaskState::Queued);
        let action = entry.task.action.clone();
        if let TaskState::Sent(runner) | TaskState::Begun(runner) = state {
            self.modules.release(&runner, token);
        }
        self.advance(token, After::Nothing);
        self.ledger.enqueue_first(token);
        self.schedule(&action);
    }

    pub(crate) fn undelivered(&mut self, module: &Identity, token: &Token) {
        // It says READY again when it can take something.
        self.modules.away(module, self.now.monotonic);
        let instance = module.to_text();
        let sent_there = matches!(
            self.state_of(token),
            Some(TaskState::Sent(runner)) if runner.instance == instance
        );
        if sent_there {
            self.take_back(token);
        }
    }

    /// Whoever ran the task is gone and cannot say how far it came.
    pub(crate) fn runner_died(&mut self, token: &Token) {
        let Some(entry) = self.ledger.get_mut(token) else {
            return;
        };
        if entry.ending || !entry.delivered {
            // Its end is on its way, or it was not handed over yet: when the store has
            // answered, the runner is found gone.
            return;
        }
        if entry.task.retries > 0 {
            entry.task.retries -= 1;
            entry.task.state = TaskState::Queued;
            let action = entry.task.action.clone();
            self.advance(token, After::Nothing);
            self.ledger.enqueue(token);
            self.schedule(&action);
        } else {
            let words = "its runner died and cannot say how far it came";
            self.end(token, Reason::Unknown, words);
        }
    }

    /// Ends a task from here.
    pub(crate) fn end(&mut self, token: &Token, reason: Reason, words: &str) {
        let ending = Ending::ByCore {
            reason,
            message: words.to_owned(),
        };
        self.write_end(token, ending);
    }

    fn write_end(&mut self, token: &Token, ending: Ending) {
        let (reason, words) = match &ending {
            Ending::ByCore { reason, message } => (*reason, message.as_str()),
            Ending::CancelledUnbegun => (Reason::Cancelled, "cancelled before it began"),
            Ending::ByRunner { .. } => return,
        };
        let data = json!({ "message": words, "reason": reason.as_str() }).to_string();
        let row = self.row(token.as_str(), Code::Ko, data);
        let Some(entry) = self.ledger.get_mut(token) else {
            return;
        };
        if entry.ending {
            return;
        }
        entry.ending = true;
        let after = After::Finished {
            token: token.clone(),
            ending,
            ack: None,
        };
        self.out.write(Record::Finish(row), after);
    }

    /// A row about a task that has not ended.
    pub(crate) fn row_of_task(&mut self, from: Origin, ack: Token, token: &Token, row: NewRow) {
        let Some(entry) = self.ledger.get_mut(token) else {
            return;
        };
        let sender = match &from {
            Origin::Module(identity) => Some(identity.to_text()),
            Origin::Client(_) => None,
        };
        let by_runner = entry
            .runner()
            .is_some_and(|runner| Some(&runner.instance) == sender.as_ref());
        if !by_runner {
            if sender.is_some() {
                // It ran it in an earlier life of things; its word is not needed any more.
                return self.acknowledge((from, ack), "the token is not yours any more");
            }
            let words = "the token belongs to a request that is running";
            return self.refuse(from, Some(ack), words);
        }
        if !row.code.is_terminal() {
            if let TaskState::Sent(runner) = &entry.task.state {
                entry.task.state = TaskState::Begun(runner.clone());
            }
            let after = After::Row {
                token: row.token.clone(),
                ack: Some((from, ack)),
            };
            return self.out.write(Record::Note(row), after);
        }
        entry.ending = true;
        let runner = entry.runner().cloned();
        let action = entry.task.action.clone();
        let ending = Ending::ByRunner {
            cancelled: says_cancelled(&row.data),
        };
        let after = After::Finished {
            token: token.clone(),
            ending,
            ack: Some((from, ack)),
        };
        self.out.write(Record::Finish(row), after);
        if let Some(runner) = runner {
            self.modules.release(&runner, token);
            self.schedule(&action);
            for other in self.modules.actions_of(&runner) {
                if other != action {
                    self.schedule(&other);
                }
            }
        }
    }

    pub(crate) fn cancel_task(&mut self, ack: Ack, subject: Token) {
        let Some(entry) = self.ledger.get(&subject) else {
            let (to, token) = ack;
            return self.out.push(Effect::CancelLookup { to, token, subject });
        };
        if !entry.durable {
            let words = "the request is just being accepted; try again";
            return self.out.answer(ack.0, Answer::busy(Some(ack.1), words));
        }
        let runner = entry.runner().cloned();
        self.cancels
            .entry(subject.clone())
            .or_default()
            .push(CancelWaiter {
                ack,
                deadline: self.now.monotonic + CANCEL_PATIENCE,
            });
        match runner {
            None => self.write_end(&subject, Ending::CancelledUnbegun),
            Some(runner) => {
                if let Some(module) = self.modules.address(&runner) {
                    let body = Data::from_value(&Cancel { token: subject });
                    self.out.push(Effect::Deliver {
                        module,
                        message: Message::new(Action::Cancel, None, body),
                        headers: Headers::default(),
                    });
                }
            }
        }
    }

    pub(crate) fn expire_cancels(&mut self) {
        let now = self.now.monotonic;
        let mut late = Vec::new();
        self.cancels.retain(|_, waiters| {
            let (expired, rest) = std::mem::take(waiters)
                .into_iter()
                .partition(|waiter| waiter.deadline <= now);
            *waiters = rest;
            late.extend::<Vec<CancelWaiter>>(expired);
            !waiters.is_empty()
        });
        for waiter in late {
            let words = "its runner was told to end it, and has not said yet that it did";
            self.acknowledge(waiter.ack, words);
        }
    }

    fn tell_cancellers(&mut self, token: &Token, ending: &Ending) {
        for waiter in self.cancels.remove(token).unwrap_or_default() {
            match ending {
                Ending::CancelledUnbegun => {
                    self.acknowledge(waiter.ack, "cancelled before it began");
                }
                Ending::ByRunner { cancelled: true } => {
                    self.acknowledge(waiter.ack, "killed while it ran");
                }
                Ending::ByRunner { cancelled: false } => {
                    let (to, token) = waiter.ack;
                    self.refuse(to, Some(token), "it was already over");
                }
                Ending::ByCore { reason, .. } => {
                    let (to, token) = waiter.ack;
                    let words = format!("it was already over: {reason}");
                    self.refuse(to, Some(token), &words);
                }
            }
        }
    }

    pub(crate) fn written(&mut self, batch: BatchId, result: Result<Vec<Written>, WriteFailure>) {
        let afters = self.out.settle(batch);
        match result {
            Ok(written) => {
                let mut rows = false;
                for (after, written) in afters.into_iter().zip(written) {
                    rows |= matches!(written, Written::Row(_));
                    self.durable(after, &written);
                }
                if rows {
                    self.out.push(Effect::NewRows);
                }
                if self.retry_at.is_some() {
                    self.retry();
                }
            }
            Err(failure) => {
                self.retry_at = Some(self.now.monotonic + RETRY_AFTER);
                for after in afters {
                    self.not_written(after, &failure);
                }
            }
        }
    }

    fn durable(&mut self, after: After, written: &Written) {
        match after {
            After::Nothing => {}
            After::Accepted(token) => self.accepted(&token, written),
            After::Handed(token) => self.deliver(&token),
            After::Row { token, ack } => {
                self.waiters.row_arrived(&token, &mut self.out);
                match (ack, written) {
                    (Some((to, ack)), Written::Ignored) if matches!(to, Origin::Client(_)) => {
                        self.refuse(
                            to,
                            Some(ack),
                            "the token belongs to a request that has ended",
                        );
                    }
                    (Some(ack), _) => self.acknowledge(ack, "message inserted"),
                    (None, _) => {}
                }
            }
            After::Finished { token, ending, ack } => {
                self.ledger.remove(&token).inspect(|entry| {
                    if let Some(runner) = entry.runner() {
                        self.modules.release(runner, &token);
                    }
                });
                self.waiters.token_ended(token.as_str(), &mut self.out);
                self.tell_cancellers(&token, &ending);
                if let Some(ack) = ack {
                    self.acknowledge(ack, "message inserted");
                }
            }
            After::NodePut(definition, ack) => {
                self.nodes.put(*definition);
                if let Some(ack) = ack {
                    self.acknowledge(ack, "nodes registered");
                }
            }
            After::NodeDropped(id, ack) => {
                self.nodes.remove(id);
                if let Some(ack) = ack {
                    self.acknowledge(ack, "nodes unregistered");
                }
            }
        }
    }

    fn accepted(&mut self, token: &Token, written: &Written) {
        if let Written::Duplicate { same } = written {
            let Some(entry) = self.ledger.remove(token) else {
                return;
            };
            if let Some(runner) = entry.runner() {
                self.modules.release(runner, token);
            }
            for ack in entry.askers {
                if *same {
                    self.acknowledge(ack, "already accepted");
                } else {
                    self.refuse(ack.0, Some(ack.1), "the token is used by another request");
                }
            }
            return self.schedule(&entry.task.action);
        }
        let Some(entry) = self.ledger.get_mut(token) else {
            return;
        };
        entry.durable = true;
        let askers = std::mem::take(&mut entry.askers);
        let action = entry.task.action.clone();
        let handed = entry.runner().is_some();
        for ack in askers {
            self.acknowledge(ack, "accepted");
        }
        if handed {
            self.deliver(token);
        } else {
            self.ledger.enqueue(token);
            self.schedule(&action);
        }
    }

    fn not_written(&mut self, after: After, failure: &WriteFailure) {
        let words = &failure.message;
        match after {
            After::Nothing => {}
            After::Accepted(token) => {
                let Some(entry) = self.ledger.remove(&token) else {
                    return;
                };
                if let Some(runner) = entry.runner() {
                    self.modules.release(runner, &token);
                }
                for (to, token) in entry.askers {
                    self.unavailable(to, token, words);
                }
            }
            After::Handed(token) => {
                let Some(entry) = self.ledger.get_mut(&token) else {
                    return;
                };
                entry.task.attempt = entry.task.attempt.saturating_sub(1);
                let state = std::mem::replace(&mut entry.task.state, TaskState::Queued);
                if let TaskState::Sent(runner) | TaskState::Begun(runner) = state {
                    self.modules.release(&runner, &token);
                }
                self.ledger.enqueue_first(&token);
            }
            After::Finished { token, ending, ack } => {
                self.not_finished(&token, ending);
                if let Some((to, ack)) = ack {
                    self.unavailable(to, ack, words);
                }
            }
            After::Row { ack, .. } | After::NodePut(_, ack) | After::NodeDropped(_, ack) => {
                if let Some((to, ack)) = ack {
                    self.unavailable(to, ack, words);
                }
            }
        }
    }

    fn not_finished(&mut self, token: &Token, ending: Ending) {
        let Some(entry) = self.ledger.get_mut(token) else {
            return;
        };
        entry.ending = false;
        let runner = entry.runner().cloned();
        if let Ending::ByRunner { .. } = ending {
            // The runner keeps the row and says it again; unless it is gone by then.
            if let Some(runner) = runner
                && !self.modules.hold(&runner, token)
            {
                let ending = Ending::ByCore {
                    reason: Reason::Unknown,
                    message: "its runner died and cannot say how far it came".to_owned(),
                };
                self.ledger.unwritten.push((token.clone(), ending));
            }
        } else {
            self.ledger.unwritten.push((token.clone(), ending));
        }
    }

    fn unavailable(&mut self, to: Origin, token: Token, words: &str) {
        let data = json!({ "message": words, "error": "unavailable" });
        self.out.answer(to, Answer::refused_with(Some(token), data));
    }

    /// After a failed write: what could wait is tried again.
    pub(crate) fn retry(&mut self) {
        self.retry_at = None;
        for (token, ending) in std::mem::take(&mut self.ledger.unwritten) {
            self.write_end(&token, ending);
        }
        for action in self.ledger.waiting_actions() {
            self.schedule(&action);
        }
    }
}

/// Whether a terminal row says that the task was cancelled.
fn says_cancelled(data: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Body {
        #[serde(default)]
        reason: Option<String>,
    }
    data.contains(Reason::Cancelled.as_str())
        && serde_json::from_str::<Body>(data)
            .is_ok_and(|body| body.reason.as_deref() == Some(Reason::Cancelled.as_str()))
}
