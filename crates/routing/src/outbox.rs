//! Effects, and the records that gather until somebody asks for effects: all that one turn of
//! the loop wants written goes to the store as one batch.

use std::collections::{HashMap, VecDeque};

use gorgone_protocol::request::audit::Outcome;
use gorgone_protocol::request::lease::LeaseName;
use gorgone_protocol::request::nodes::NodeDefinition;
use gorgone_protocol::{Answer, Life, NodeId, Reason, Token};

use crate::audit::{Audits, Leave, Unsure};
use crate::event::{BatchId, Effect, Origin};
use crate::{NewAudit, NewRow, NodeBegan, Record};

/// Whom to acknowledge something to: the peer, and the token of its message.
pub(crate) type Ack = (Origin, Token);

/// What depends on a record being durable.
#[derive(Debug)]
pub(crate) enum After {
    /// Nothing.
    Nothing,
    /// The task is accepted, and so is written what the audit says of it.
    Accepted(Token, Option<Unsure>),
    /// A task to many nodes is accepted with its parts, and so is written what the audit says.
    Spread {
        whole: Token,
        parts: Vec<Token>,
        audit: Option<Unsure>,
    },
    /// The audit has its row ahead of the answer.
    Audited(Unsure),
    /// The audit has its row if the row of the history before it was written.
    AuditedRow(Ack, Unsure),
    /// The audit has its row, and the answer may leave.
    Answered { to: Origin, answer: Box<Answer> },
    /// The task may be handed over to its runner.
    Handed(Token),
    /// A row stands in the history.
    Row { token: String, ack: Option<Ack> },
    /// The task has ended.
    Finished {
        token: Token,
        ending: Ending,
        /// The runner's row, where the runner does not say it again if it cannot be written.
        row: Option<Box<NewRow>>,
        ack: Option<Ack>,
    },
    /// Whoever said something is told that it is known.
    Acknowledged(Ack),
    /// A node's history is known to be in another life.
    Began(Box<NodeBegan>, Ack),
    /// Rows of a node stand in the history.
    Fetched {
        node: NodeId,
        life: Option<Life>,
        upto: i64,
        tokens: Vec<String>,
        /// Those that have ended there: without a reason they did well.
        ack: Ack,
    },
    /// A request is refused; whoever looks for its row after the answer finds it.
    Refused {
        token: String,
        to: Origin,
        answer: Box<Answer>,
    },
    /// A node is known.
    NodePut(Box<NodeDefinition>, Option<Ack>),
    /// A node is forgotten.
    NodeDropped(NodeId, Option<Ack>),
    /// A lease has a new holder.
    Granted(LeaseName),
    /// What a module keeps has changed, and these tokens have rows.
    State {
        lease: LeaseName,
        tokens: Vec<String>,
        ack: Ack,
    },
}

/// How a task ends, as far as those who asked for its cancellation want to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// Its runner said so, and why, where it is a KO.
    ByRunner(Option<Reason>),
    /// All its parts have ended.
    OfParts,
    /// Somebody cancelled it while nobody had it; in these words.
    CancelledInLine(&'static str),
    /// Core ended it for another reason, which is tried again if the store fails.
    ByCore { reason: Reason, message: String },
}

impl Ending {
    /// Why it did not end well, if it did not.
    pub(crate) const fn reason(&self) -> Option<Reason> {
        match self {
            Self::ByRunner(reason) => *reason,
            Self::CancelledInLine(_) => Some(Reason::Cancelled),
            Self::ByCore { reason, .. } => Some(*reason),
            // Its last row tells; what is counted are the parts.
            Self::OfParts => None,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    effects: VecDeque<Effect>,
    records: Vec<Record>,
    afters: Vec<After>,
    next_batch: u64,
    in_flight: HashMap<BatchId, Vec<After>>,
    pub(crate) audits: Audits,
}

impl Outbox {
    pub(crate) fn push(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    /// Answers a request; where the audit is to know of it, as soon as it does.
    pub(crate) fn answer(&mut self, to: Origin, answer: Answer) {
        match self.audits.close(&to, answer) {
            Leave::Now(answer) => self.push(Effect::Answer { to, answer }),
            Leave::After(row, answer) => {
                let answer = Box::new(answer);
                self.write_audit(row, After::Answered { to, answer });
            }
            Leave::Held => {}
        }
    }

    /// Writes down what becomes of the request in hand in the batch that does it, before the
    /// records that do, and ahead of its answer.
    pub(crate) fn audit(&mut self, outcome: Outcome, words: &str) {
        if let Some((row, unsure)) = self.audits.take_ahead(outcome, words) {
            self.write_audit(row, After::Audited(unsure));
        }
    }

    /// What became of a row that was written ahead of an answer.
    pub(crate) fn audited(&mut self, unsure: Unsure, written: bool) {
        if let Some((to, answer)) = self.audits.settle(unsure, written) {
            self.answer(to, answer);
        }
    }

    /// What the router has looked at is answered later.
    pub(crate) fn lay_aside(&mut self) {
        if let Some(row) = self.audits.lay_aside() {
            self.write_audit(row, After::Nothing);
        }
    }

    /// Says how many refused requests have no row of their own.
    pub(crate) fn sum_up(&mut self, all: bool) {
        for row in self.audits.summaries(all) {
            self.write_audit(row, After::Nothing);
        }
    }

    fn write_audit(&mut self, row: NewAudit, after: After) {
        self.write(Record::Audit(Box::new(row)), after);
    }

    pub(crate) fn write(&mut self, record: Record, after: After) {
        self.records.push(record);
        self.afters.push(after);
    }

    pub(crate) fn poll(&mut self) -> Option<Effect> {
        self.effects.pop_front().or_else(|| {
            if self.records.is_empty() {
                return None;
            }
            let batch = BatchId(self.next_batch);
            self.next_batch += 1;
            self.in_flight
                .insert(batch, std::mem::take(&mut self.afters));
            Some(Effect::Write {
                batch,
                records: std::mem::take(&mut self.records),
            })
        })
    }

    pub(crate) fn settle(&mut self, batch: BatchId) -> Vec<After> {
        self.in_flight.remove(&batch).unwrap_or_default()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.effects.is_empty() && self.records.is_empty() && self.in_flight.is_empty()
    }
}
