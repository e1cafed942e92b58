//! CANCEL: ending a task that was accepted earlier, and telling the truth about it.

use gorgone_protocol::request::audit::Outcome;
use gorgone_protocol::request::cancel::{self, Cancel};
use gorgone_protocol::{Action, Answer, Data, Headers, Message, Reason, Token};

use crate::TaskState;
use crate::entry::Entry;
use crate::event::Effect;
use crate::outbox::{Ack, Ending};
use crate::router::{CANCEL_PATIENCE, CancelWaiter, Router};

/// How many may wait to be told of the end of one task.
const MAX_PER_TASK: usize = 64;

impl Router {
    pub(crate) fn cancel_task(&mut self, ack: Ack, subject: Token, fresh: Token) {
        let Some(entry) = self.ledger.get(&subject) else {
            let (to, token) = ack;
            self.out
                .audit(Outcome::Refused, "no request with this token is running");
            return self.out.push(Effect::CancelLookup { to, token, subject });
        };
        if !entry.durable {
            let words = "the request is just being accepted; try again";
            return self.out.answer(ack.0, Answer::busy(Some(ack.1), words));
        }
        if entry.task.state == TaskState::Spread {
            return self.cancel_parts(ack, &subject, &fresh);
        }
        // What a node has, or may have, only the node can end.
        if let Some(node) = entry.task.state.node()
            && (entry.may_have_begun() || matches!(entry.task.state, TaskState::Away(_)))
        {
            return self.cancel_at_node(ack, node, subject, fresh);
        }
        let others = self.cancels.get(&subject).map_or(0, Vec::len);
        if others >= MAX_PER_TASK || self.cancels.len() >= self.settings.max_waiters {
            let words = "too many wait for the end of cancelled requests; try again later";
            return self.out.answer(ack.0, Answer::busy(Some(ack.1), words));
        }
        // What is not with a runner, or not yet, ends here.
        let with_runner = entry.runner().is_some() && entry.delivered;
        let ending = entry.ending;
        let words = if entry.may_have_begun() {
            "cancelled before it was run again"
        } else {
            "cancelled before it began"
        };
        self.cancels
            .entry(subject.clone())
            .or_default()
            .push(CancelWaiter {
                ack,
                deadline: self.now.monotonic + CANCEL_PATIENCE,
                told: false,
            });
        if with_runner {
            self.out
                .audit(Outcome::Answered, "its runner is told to end it");
            self.tell_runner(&subject);
        } else if !ending {
            self.out.audit(Outcome::Answered, words);
            self.write_end(&subject, Ending::CancelledInLine(words), None);
        }
    }

    /// The runner of a task is back: somebody may have wanted the task's end meanwhile.
    pub(crate) fn cancel_again(&mut self, subject: &Token) {
        if self.cancels.contains_key(subject) {
            self.tell_runner(subject);
        }
    }

    /// False where the runner cannot be reached.
    pub(crate) fn tell_runner(&mut self, subject: &Token) -> bool {
        let runner = self.ledger.get(subject).and_then(Entry::runner);
        let Some(module) = runner.and_then(|runner| self.modules.address(runner)) else {
            return false;
        };
        let body = Data::from_value(&Cancel {
            token: subject.clone(),
        });
        self.out.push(Effect::Deliver {
            module,
            message: Message::new(Action::Cancel, None, body),
            headers: Headers::default(),
        });
        for waiter in self.cancels.get_mut(subject).into_iter().flatten() {
            waiter.told = true;
        }
        true
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
            if waiter.told {
                let words = "its runner was told to end it, and has not said yet that it did";
                self.acknowledge(waiter.ack, words);
            } else {
                let words = "its runner cannot be reached at the moment; try again";
                self.out
                    .answer(waiter.ack.0, Answer::busy(Some(waiter.ack.1), words));
            }
        }
    }

    pub(crate) fn tell_cancellers(&mut self, token: &Token, ending: &Ending) {
        for waiter in self.cancels.remove(token).unwrap_or_default() {
            match ending {
                Ending::CancelledInLine(words) => self.acknowledge(waiter.ack, words),
                Ending::ByRunner(Some(Reason::Cancelled)) => {
                    self.acknowledge(waiter.ack, "killed while it ran");
                }
                Ending::ByRunner(_) | Ending::OfParts => {
                    let (to, token) = waiter.ack;
                    let answer = cancel::over(Some(token), "it was already over");
                    self.out.answer(to, answer);
                }
                Ending::ByCore { reason, .. } => {
                    let (to, token) = waiter.ack;
                    let words = format!("it was already over: {reason}");
                    self.out.answer(to, cancel::over(Some(token), &words));
                }
            }
        }
    }
}
