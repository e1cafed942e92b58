//! What follows when the store has written a record, or has not.

use std::time::Duration;

use gorgone_protocol::{Answer, Reason, Token};
use serde_json::json;

use crate::audit::Unsure;
use crate::entry::Entry;
use crate::event::{BatchId, Effect, Origin, WriteFailure};
use crate::ledger::Unwritten;
use crate::outbox::{After, Ending};
use crate::router::{RETRY_AFTER, Router};
use crate::{Record, Written};

impl Router {
    pub(crate) fn written(&mut self, batch: BatchId, result: Result<Vec<Written>, WriteFailure>) {
        let afters = self.out.settle(batch);
        match result {
            Ok(written) => {
                let mut rows = false;
                for (after, written) in afters.into_iter().zip(written) {
                    rows |= match &after {
                        After::State { tokens, .. } => !tokens.is_empty(),
                        _ => matches!(written, Written::Row(_)),
                    };
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
            After::Audited(audit) => self.out.audited(audit, true),
            After::Accepted(token, audit) => self.accepted(&token, audit, written),
            After::Spread {
                whole,
                parts,
                audit,
            } => self.spread(&whole, &parts, audit, written),
            After::Answered { to, answer } => {
                let answer = *answer;
                self.out.push(Effect::Answer { to, answer });
            }
            After::AuditedRow((to, ack), audit) => match written {
                Written::Ignored => {
                    self.out.audits.reopen(audit);
                    let words = "the token belongs to a request that has ended";
                    self.refuse(to, Some(ack), words);
                }
                _ => self.acknowledge((to, ack), "message inserted"),
            },
            After::Handed(token) => self.hand_over(&token),
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
            After::Finished {
                token, ending, ack, ..
            } => {
                // An entry that is just being accepted is not the one that ended: somebody repeats
                // the request, and is told so when the store has recognised it.
                let ended = self.ledger.get(&token).is_some_and(|entry| entry.durable);
                let entry = ended.then(|| self.ledger.remove(&token)).flatten();
                if let (Some(entry), false) = (&entry, ending == Ending::OfParts) {
                    self.count_end(entry, ending.reason());
                }
                if let Some(runner) = entry.as_ref().and_then(Entry::runner) {
                    self.free(runner, &token);
                }
                if let Some(entry) = &entry {
                    self.spread_ended(&entry.task, &ending);
                }
                self.waiters.token_ended(token.as_str(), &mut self.out);
                self.tell_cancellers(&token, &ending);
                if let Some(ack) = ack {
                    let words = match written {
                        Written::Ignored => "the token has ended",
                        _ => "message inserted",
                    };
                    self.acknowledge(ack, words);
                }
            }
            After::Refused { token, to, answer } => {
                self.waiters.row_arrived(&token, &mut self.out);
                self.out.answer(to, *answer);
            }
            After::Acknowledged(ack) => self.acknowledge(ack, "noted"),
            After::Fetched {
                node,
                life,
                upto,
                tokens,
                ack,
            } => self.fetched((node, life, upto), tokens, ack, written),
            After::Began(began, ack) => self.node_began(&began, ack, written),
            After::NodePut(definition, ack) => {
                self.nodes.put(*definition);
                if let Some(ack) = ack {
                    self.acknowledge(ack, "nodes registered");
                }
            }
            After::NodeDropped(id, ack) => {
                self.node_forgotten(id);
                if let Some(ack) = ack {
                    self.acknowledge(ack, "nodes unregistered");
                }
            }
            After::Granted(name) => self.granted(&name, written),
            After::State { lease, tokens, ack } => self.state_put(&lease, &tokens, ack, written),
        }
    }

    pub(crate) fn count_end(&mut self, entry: &Entry, reason: Option<Reason>) {
        let took = self.now.unix_ms.saturating_sub(entry.task.accepted_ms);
        let took = Duration::from_millis(u64::try_from(took).unwrap_or(0));
        let name = self.counted(&entry.task.action).into_owned();
        self.counters.count_end(name, reason, took);
    }

    fn accepted(&mut self, token: &Token, audit: Option<Unsure>, written: &Written) {
        if let Written::Duplicate { same } = written {
            return self.taken(token, audit, *same);
        }
        self.may_go(token);
    }

    /// The token of a request is in use: nothing was written.
    pub(crate) fn taken(&mut self, token: &Token, audit: Option<Unsure>, same: bool) {
        let Some(entry) = self.ledger.remove(token) else {
            return;
        };
        self.reopen(audit);
        if let Some(runner) = entry.runner() {
            self.free(runner, token);
        }
        for ack in entry.askers {
            if same {
                self.acknowledge(ack, "already accepted");
            } else {
                self.refuse(ack.0, Some(ack.1), "the token is used by another request");
            }
        }
        self.waiters.token_ended(token.as_str(), &mut self.out);
    }

    /// A request is accepted: it is answered, and goes on its way when it is its turn.
    pub(crate) fn may_go(&mut self, token: &Token) {
        let Some(entry) = self.ledger.get_mut(token) else {
            return;
        };
        entry.durable = true;
        let askers = std::mem::take(&mut entry.askers);
        let line = entry.line.clone();
        let handed = entry.runner().is_some();
        for ack in askers {
            self.acknowledge(ack, "accepted");
        }
        if handed {
            self.hand_over(token);
        } else {
            self.ledger.watch_expiry(token);
            self.schedule(&line);
        }
    }

    /// It came to something else, which is what its sender is told.
    fn reopen(&mut self, audit: Option<Unsure>) {
        if let Some(audit) = audit {
            self.out.audits.reopen(audit);
        }
    }

    fn not_written(&mut self, after: After, failure: &WriteFailure) {
        let words = &failure.message;
        match after {
            After::Nothing => {}
            After::Answered { to, answer } => {
                let answer = *answer;
                self.out.push(Effect::Answer { to, answer });
            }
            After::Audited(audit) => self.out.audited(audit, false),
            After::AuditedRow((to, ack), audit) => {
                self.reopen(Some(audit));
                self.unavailable(to, ack, words);
            }
            After::Accepted(token, audit) => self.not_accepted(&token, audit, words),
            After::Spread {
                whole,
                parts,
                audit,
            } => {
                self.spreads.forget(&whole);
                for part in &parts {
                    self.not_accepted(part, None, words);
                }
                self.not_accepted(&whole, audit, words);
            }
            After::Handed(token) => {
                let Some(entry) = self.ledger.get_mut(&token) else {
                    return;
                };
                let runner = entry.runner().cloned();
                let state = entry.not_handed_over();
                self.ledger.line_up(&token, state);
                if let Some(runner) = runner {
                    self.modules.release(&runner, &token);
                    self.nodes.left(&token);
                }
            }
            After::Finished {
                token,
                ending,
                row: Some(row),
                ack,
            } => {
                // Its sender does not say it again: it is kept here, and acknowledged later.
                self.ledger.unwritten.push(Unwritten {
                    token,
                    ending,
                    row: Some((*row, ack)),
                });
            }
            After::Finished {
                token,
                ending,
                row: None,
                ack,
            } => {
                self.not_finished(&token, ending);
                if let Some((to, ack)) = ack {
                    self.unavailable(to, ack, words);
                }
            }
            After::Refused { to, answer, .. } => self.out.answer(to, *answer),
            After::Granted(name) => self.not_granted(&name, words),
            After::State {
                ack: (to, token), ..
            } => self.unavailable(to, token, words),
            After::Acknowledged((to, ack))
            | After::Began(_, (to, ack))
            | After::Fetched { ack: (to, ack), .. } => {
                self.unavailable(to, ack, words);
            }
            After::Row { ack, .. } | After::NodePut(_, ack) | After::NodeDropped(_, ack) => {
                if let Some((to, ack)) = ack {
                    self.unavailable(to, ack, words);
                }
            }
        }
    }

    fn not_accepted(&mut self, token: &Token, audit: Option<Unsure>, words: &str) {
        let Some(entry) = self.ledger.remove(token) else {
            return;
        };
        self.reopen(audit);
        if let Some(runner) = entry.runner() {
            self.modules.release(runner, token);
            self.nodes.left(token);
        }
        for (to, token) in entry.askers {
            self.unavailable(to, token, words);
        }
        self.waiters.token_ended(token.as_str(), &mut self.out);
    }

    fn not_finished(&mut self, token: &Token, ending: Ending) {
        let Some(entry) = self.ledger.get_mut(token) else {
            return;
        };
        entry.ending = false;
        let mut unwritten = Some(ending);
        if let Some(Ending::ByRunner(_)) = unwritten {
            // The runner keeps the row and says it again; unless it is gone by then.
            let gone = match entry.runner().cloned() {
                Some(runner) => !self.modules.hold(&runner, token),
                None => {
                    let state = entry.task.state.clone();
                    self.ledger.line_up(token, state);
                    false
                }
            };
            unwritten = gone.then(|| Ending::ByCore {
                reason: Reason::Unknown,
                message: "its runner died and cannot say how far it came".to_owned(),
            });
        }
        if let Some(ending) = unwritten {
            self.ledger.unwritten.push(Unwritten {
                token: token.clone(),
                ending,
                row: None,
            });
        }
    }

    pub(crate) fn unavailable(&mut self, to: Origin, token: Token, words: &str) {
        let data = json!({ "message": words, "error": "unavailable" });
        self.out.answer(to, Answer::refused_with(Some(token), data));
    }

    /// After a failed write: what could wait is tried again.
    pub(crate) fn retry(&mut self) {
        self.retry_at = None;
        for Unwritten { token, ending, row } in std::mem::take(&mut self.ledger.unwritten) {
            let Some((row, ack)) = row else {
                self.write_end(&token, ending, None);
                continue;
            };
            let after = After::Finished {
                token,
                ending,
                row: Some(Box::new(row.clone())),
                ack,
            };
            self.out.write(Record::Finish(row), after);
        }
        for line in self.ledger.waiting_lines() {
            self.schedule(&line);
        }
        self.grant_waiting();
    }
}
