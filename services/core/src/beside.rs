//! What runs beside the loop and comes back as an event: writes and reads of the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gorgone_protocol::request::nodes::NodeDefinition;
use gorgone_protocol::request::{audit, cancel, log};
use gorgone_protocol::{Answer, Dialect, NodeId, Token};
use gorgone_routing::{
    AuditQuery, BatchId, Origin, Query, Record, StateQuery, WaiterId, WriteFailure, Written,
};
use gorgone_runtime::config::Config;
use gorgone_session::{HelloOutcome, JobId};
use gorgone_store::{Change, Filter, Store, TaskStatus};
use serde_json::json;
use tokio::sync::mpsc;

/// How many readings of the history may wait for their turn.
const MAX_QUERIES: usize = 1024;

/// What came back.
pub(crate) enum Done {
    Written(BatchId, Result<Vec<Written>, WriteFailure>),
    /// An answer that needed the store, and the waiter that it was for.
    Read {
        to: Origin,
        answer: Option<Answer>,
        waiter: Option<WaiterId>,
    },
    Hello(JobId, HelloOutcome),
    /// What the file of nodes lists.
    FileOfNodes(Vec<NodeDefinition>),
}

pub(crate) type DoneSender = mpsc::UnboundedSender<Done>;

/// See the module's doc. What is under way is bounded by the store's queue, by the number of
/// queries, and by the queue of handshakes; so is the channel back.
pub(crate) struct Beside {
    pub(crate) store: Store,
    pub(crate) done: DoneSender,
    queries: Arc<AtomicUsize>,
    node: NodeId,
    getlog_limit: u32,
}

impl Beside {
    pub(crate) fn new(store: Store, config: &Config) -> (Self, mpsc::UnboundedReceiver<Done>) {
        let (done, receiver) = mpsc::unbounded_channel();
        let beside = Self {
            store,
            done,
            queries: Arc::default(),
            node: config.core.id,
            getlog_limit: u32::try_from(config.core.limits.getlog_limit).unwrap_or(u32::MAX),
        };
        (beside, receiver)
    }

    pub(crate) fn write(&self, batch: BatchId, records: Vec<Record>) {
        let changes = records.into_iter().map(Change::Routing).collect();
        let written = self.store.write(changes);
        let done = self.done.clone();
        tokio::spawn(async move {
            let result = written.await.map_err(|error| {
                tracing::warn!(%error, "not written");
                WriteFailure {
                    message: format!("{error}; nothing was accepted, try again later"),
                }
            });
            // An error is a loop that has ended.
            let _ = done.send(Done::Written(batch, result));
        });
    }

    /// Sessions are written without anybody waiting: one that is lost is a new handshake.
    pub(crate) fn write_sessions(&self, records: Vec<gorgone_session::Record>) {
        let changes = records.into_iter().map(Change::Session).collect();
        let written = self.store.write(changes);
        tokio::spawn(async move {
            if let Err(error) = written.await {
                tracing::warn!(%error, "sessions not written");
            }
        });
    }

    pub(crate) fn query(&self, query: Query, dialect: Dialect) {
        let Some(turn) = self.turn() else {
            let words = "too many readings of the history wait; try again later";
            let answer = Answer::busy(Some(query.token), words);
            return self.read(query.to, Some(answer), query.waiter);
        };
        let (store, done) = (self.store.clone(), self.done.clone());
        let (node, limit) = (self.node, self.getlog_limit);
        tokio::spawn(async move {
            let mut filter = Filter::from_getlog(&query.filter, node);
            filter.limit = filter.limit.min(limit);
            let answer = match store.history(&filter).await {
                Ok(page) if page.rows.is_empty() && query.waiter.is_some() => None,
                Ok(page) => {
                    let page = log::Page {
                        rows: page.rows,
                        more: page.truncated,
                        live: query.live,
                    };
                    Some(log::answer(Some(query.token), node, &page, dialect))
                }
                Err(error) => Some(unreadable(query.token, &error)),
            };
            drop(turn);
            let _ = done.send(Done::Read {
                to: query.to,
                answer,
                waiter: query.waiter,
            });
        });
    }

    /// Reads rows of the audit.
    pub(crate) fn read_audit(&self, query: AuditQuery, dialect: Dialect) {
        let Some(turn) = self.turn() else {
            let words = "too many readings wait; try again later";
            return self.read(query.to, Some(Answer::busy(Some(query.token), words)), None);
        };
        let (store, done, node) = (self.store.clone(), self.done.clone(), self.node);
        tokio::spawn(async move {
            let answer = match store.audit(&query.filter).await {
                Ok(page) => audit::answer(Some(query.token), node, page, dialect),
                Err(error) => unreadable(query.token, &error),
            };
            drop(turn);
            let _ = done.send(Done::Read {
                to: query.to,
                answer: Some(answer),
                waiter: None,
            });
        });
    }

    /// Reads what a module keeps.
    pub(crate) fn read_state(&self, query: StateQuery) {
        let Some(turn) = self.turn() else {
            let words = "too many readings wait; try again later";
            return self.read(query.to, Some(Answer::busy(Some(query.token), words)), None);
        };
        let (store, done) = (self.store.clone(), self.done.clone());
        tokio::spawn(async move {
            let answer = match store.state(&query.keys).await {
                Ok(page) => page.answer(query.token),
                Err(error) => unreadable(query.token, &error),
            };
            drop(turn);
            let _ = done.send(Done::Read {
                to: query.to,
                answer: Some(answer),
                waiter: None,
            });
        });
    }

    /// Answers the cancellation of a token that is not alive.
    pub(crate) fn cancel_lookup(&self, to: Origin, token: Token, subject: Token) {
        let Some(turn) = self.turn() else {
            let words = "too many readings of the history wait; try again later";
            return self.read(to, Some(Answer::busy(Some(token), words)), None);
        };
        let (store, done) = (self.store.clone(), self.done.clone());
        tokio::spawn(async move {
            let answer = match store.task(&subject).await {
                Ok(Some(TaskStatus::Finished { .. })) => {
                    cancel::over(Some(token), "it was already over")
                }
                Ok(Some(TaskStatus::Live(_))) => {
                    let words = "the request is just being accepted; try again";
                    Answer::busy(Some(token), words)
                }
                Ok(None) => cancel::unknown(Some(token)),
                Err(error) => unreadable(token, &error),
            };
            drop(turn);
            let _ = done.send(Done::Read {
                to,
                answer: Some(answer),
                waiter: None,
            });
        });
    }

    fn read(&self, to: Origin, answer: Option<Answer>, waiter: Option<WaiterId>) {
        let _ = self.done.send(Done::Read { to, answer, waiter });
    }

    fn turn(&self) -> Option<Turn> {
        let under_way = self.queries.fetch_add(1, Ordering::AcqRel);
        let turn = Turn(Arc::clone(&self.queries));
        (under_way < MAX_QUERIES).then_some(turn)
    }
}

/// One reading that is under way.
struct Turn(Arc<AtomicUsize>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn unreadable(token: Token, error: &gorgone_store::Error) -> Answer {
    let data = json!({ "message": error.to_string(), "error": "unavailable" });
    Answer::refused_with(Some(token), data)
}
