//! What runs beside the loop and comes back as an event: writes and reads of the store.

use std::pin::Pin;
use std::time::Duration;

use gorgone_protocol::request::nodes::NodeDefinition;
use gorgone_protocol::request::{audit, cancel, log, targets};
use gorgone_protocol::{Answer, Dialect, NodeId, Token};
use gorgone_routing::{
    AuditQuery, BatchId, Origin, Query, Record, StateQuery, TargetsQuery, WaiterId, WriteFailure,
    Written,
};
use gorgone_runtime::Health;
use gorgone_runtime::config::Config;
use gorgone_session::{HelloOutcome, JobId};
use gorgone_store::{Change, Filter, Store, TargetsOf, TaskStatus};
use serde_json::json;
use tokio::sync::mpsc;

use crate::readings::Readings;

/// The part of core's health that is the store.
const STORE: &str = "store";
/// How long a failed write makes core unready where no other write follows.
const FAULT: Duration = Duration::from_secs(30);

/// What came back.
pub(crate) enum Done {
    Written(BatchId, Result<Vec<Written>, WriteFailure>),
    /// An answer that needed the store, and the waiter that it was for.
    Read {
        to: Origin,
        answer: Option<Answer>,
        waiter: Option<WaiterId>,
    },
    /// A reading has come to its end: the next one can begin.
    ReaderFree,
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
    health: Health,
    readings: Readings<Reading>,
    node: NodeId,
    getlog_limit: u32,
}

impl Beside {
    pub(crate) fn new(
        store: Store,
        config: &Config,
        health: Health,
    ) -> (Self, mpsc::UnboundedReceiver<Done>) {
        let (done, receiver) = mpsc::unbounded_channel();
        let beside = Self {
            store,
            done,
            health,
            readings: Readings::default(),
            node: config.core.id,
            getlog_limit: u32::try_from(config.core.limits.getlog_limit).unwrap_or(u32::MAX),
        };
        (beside, receiver)
    }

    pub(crate) fn write(&self, batch: BatchId, records: Vec<Record>) {
        let changes = records.into_iter().map(Change::Routing).collect();
        let written = self.store.write(changes);
        let (done, health) = (self.done.clone(), self.health.clone());
        tokio::spawn(async move {
            let result = written.await;
            match &result {
                Ok(_) => health.fine(STORE),
                Err(error) => health.broken_for(STORE, error.to_string(), FAULT),
            }
            let result = result.map_err(|error| {
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

    pub(crate) fn query(&mut self, query: Query, dialect: Dialect) {
        let (store, node, limit) = (self.store.clone(), self.node, self.getlog_limit);
        let (token, waiter) = (query.token.clone(), query.waiter);
        let read = async move {
            let mut filter = Filter::from_getlog(&query.filter, node);
            filter.limit = filter.limit.min(limit);
            match store.history(&filter).await {
                Ok(page) if page.rows.is_empty() && waiter.is_some() => None,
                Ok(page) => {
                    let last = query.life.and_then(|life| life.last);
                    let page = log::Page {
                        rows: page.rows,
                        more: page.truncated || last.is_some(),
                        live: query.live,
                        life: query.life.map(|life| life.life),
                        upto: last.filter(|_| !page.truncated),
                    };
                    Some(log::answer(Some(query.token), node, &page, dialect))
                }
                Err(error) => Some(unreadable(query.token, &error)),
            }
        };
        self.read(query.to, token, waiter, read);
    }

    /// Reads rows of the audit.
    pub(crate) fn read_audit(&mut self, query: AuditQuery, dialect: Dialect) {
        let (store, node) = (self.store.clone(), self.node);
        let token = query.token.clone();
        let read = async move {
            Some(match store.audit(&query.filter).await {
                Ok(page) => audit::answer(Some(query.token), node, page, dialect),
                Err(error) => unreadable(query.token, &error),
            })
        };
        self.read(query.to, token, None, read);
    }

    /// Reads what a module keeps.
    pub(crate) fn read_state(&mut self, query: StateQuery) {
        let store = self.store.clone();
        let token = query.token.clone();
        let read = async move {
            Some(match store.state(&query.keys).await {
                Ok(page) => page.answer(query.token),
                Err(error) => unreadable(query.token, &error),
            })
        };
        self.read(query.to, token, None, read);
    }

    /// Reads how far the parts of a request are.
    pub(crate) fn read_targets(&mut self, query: TargetsQuery) {
        let store = self.store.clone();
        let asked = query.token.clone();
        let read = async move {
            let token = Some(query.token.clone());
            Some(match store.targets(&query.targets).await {
                Ok(TargetsOf::Many(page)) => targets::answer(token, &page),
                Ok(TargetsOf::Single) => targets::single(token),
                Ok(TargetsOf::Unknown) => cancel::unknown(token),
                Err(error) => unreadable(query.token, &error),
            })
        };
        self.read(query.to, asked, None, read);
    }

    /// Answers the cancellation of a token that is not alive.
    pub(crate) fn cancel_lookup(&mut self, to: Origin, token: Token, subject: Token) {
        let store = self.store.clone();
        let asked = token.clone();
        let read = async move {
            Some(match store.task(&subject).await {
                Ok(Some(TaskStatus::Finished { .. })) => {
                    cancel::over(Some(token), "it was already over")
                }
                Ok(Some(TaskStatus::Live(_))) => {
                    let words = "the request is just being accepted; try again";
                    Answer::busy(Some(token), words)
                }
                Ok(None) => cancel::unknown(Some(token)),
                Err(error) => unreadable(token, &error),
            })
        };
        self.read(to, asked, None, read);
    }

    /// Has something read when it is the asker's turn, or answers that there is no room.
    fn read(
        &mut self,
        to: Origin,
        token: Token,
        waiter: Option<WaiterId>,
        read: impl Future<Output = Option<Answer>> + Send + 'static,
    ) {
        let reading = Reading {
            to: to.clone(),
            waiter,
            answer: Box::pin(read),
        };
        if self.readings.push(to.clone(), reading).is_err() {
            let words = "too many readings of the history wait; try again later";
            let answer = Some(Answer::busy(Some(token), words));
            let _ = self.done.send(Done::Read { to, answer, waiter });
        }
        self.start_readings();
    }

    /// See [`Done::ReaderFree`].
    pub(crate) fn reader_free(&mut self) {
        self.readings.finished();
        self.start_readings();
    }

    fn start_readings(&mut self) {
        while let Some(Reading { to, waiter, answer }) = self.readings.next() {
            let under_way = UnderWay(self.done.clone());
            tokio::spawn(async move {
                let answer = answer.await;
                // An error is a loop that has ended.
                let _ = under_way.0.send(Done::Read { to, answer, waiter });
            });
        }
    }
}

/// A reading that was begun; when it is dropped, however that comes, the next one can begin.
struct UnderWay(DoneSender);

impl Drop for UnderWay {
    fn drop(&mut self) {
        let _ = self.0.send(Done::ReaderFree);
    }
}

/// Something that is to be read, and for whom.
struct Reading {
    to: Origin,
    waiter: Option<WaiterId>,
    answer: Pin<Box<dyn Future<Output = Option<Answer>> + Send>>,
}

fn unreadable(token: Token, error: &gorgone_store::Error) -> Answer {
    let data = json!({ "message": error.to_string(), "error": "unavailable" });
    Answer::refused_with(Some(token), data)
}
