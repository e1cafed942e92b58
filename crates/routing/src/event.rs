//! What happens to the router, and what it wants done.

use std::collections::BTreeMap;
use std::time::Duration;

use gorgone_protocol::request::audit::GetAudit;
use gorgone_protocol::request::log::GetLog;
use gorgone_protocol::request::logger::Severity;
use gorgone_protocol::request::nodes::{NodeDefinition, NodeKind};
use gorgone_protocol::request::state::GetState;
use gorgone_protocol::request::targets::GetTargets;
use gorgone_protocol::{
    Answer, Dialect, Headers, History, Identity, Life, Mark, Message, NodeId, Token,
};

use crate::{Caller, EndedPart, Record, Redactor, StoredLease, Task, Written};

/// Where a request comes from, and where its answer goes.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Origin {
    /// A peer with a session, on the external side.
    Client(Identity),
    /// A peer on the internal side.
    Module(Identity),
}

impl Origin {
    /// The peer's name.
    pub(crate) const fn identity(&self) -> &Identity {
        match self {
            Self::Client(identity) | Self::Module(identity) => identity,
        }
    }

    /// The peer's name, for people.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Client(identity) | Self::Module(identity) => identity.to_text(),
        }
    }
}

/// A batch of records on its way to the store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct BatchId(pub(crate) u64);

/// Why a batch was not written. Nothing of it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WriteFailure {
    /// What is wrong, in words for whoever asked.
    pub message: String,
}

/// What happens.
#[derive(Clone, Debug)]
pub enum Event {
    /// A request, or a module's word.
    Request {
        /// Who says it.
        from: Origin,
        /// How that peer writes codes.
        dialect: Dialect,
        /// What it says.
        message: Message,
        /// A fresh token, for a request that has none.
        fresh: Token,
        /// Who came in through a door with it, there or at the module that passes it on; none
        /// where a module speaks for itself.
        caller: Option<Caller>,
    },
    /// A module answers a message of core's.
    Answered {
        /// Which one.
        from: Identity,
        /// What it says.
        answer: Answer,
    },
    /// The file of nodes was read: these are all that it lists.
    FileOfNodes(Vec<NodeDefinition>),
    /// Something that is no request.
    Malformed {
        /// Who says it.
        from: Origin,
        /// As it came.
        text: Vec<u8>,
        /// The token, where that much could be read: the answer carries it.
        token: Option<Token>,
        /// See [`Event::Request`].
        caller: Option<Caller>,
    },
    /// The internal side lost its connection to a module, or the external side one to a poller; also where a new connection under the
    /// same identity takes its place. It must come before anything that comes over the new one:
    /// a module that names no epoch is told from its former life by nothing else.
    ModuleGone(Identity),
    /// The internal side could not hand a message to a module: it is provably not received.
    Undelivered {
        /// Which module.
        module: Identity,
        /// The token of the message.
        token: Token,
    },
    /// The store has an answer to a batch.
    Written {
        /// Which batch.
        batch: BatchId,
        /// What was done with each record, in their order.
        result: Result<Vec<Written>, WriteFailure>,
    },
    /// An [`Effect::Query`] with a waiter was done.
    QueryDone {
        /// Which waiter.
        waiter: WaiterId,
        /// Whether there were rows, and so an answer was given.
        answered: bool,
    },
    /// Nothing more is taken; what runs goes on.
    Stopping,
    /// It is time: [`crate::Router::poll_timeout`] has passed.
    Timeout,
}

/// A GETLOG that waits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct WaiterId(pub(crate) u64);

/// A reading of the history, done beside the loop, and answered from there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    /// Whom to answer.
    pub to: Origin,
    /// The token of the request.
    pub token: Token,
    /// Which rows.
    pub filter: GetLog,
    /// Where GETLOG is to wait: whether its token still runs. The answer says so.
    pub live: Option<bool>,
    /// Set where the rows are those of one life of the history: the filter ends with it.
    pub life: Option<OneLife>,
    /// Set where an empty result is not answered but goes on waiting; the outcome is reported
    /// by [`Event::QueryDone`].
    pub waiter: Option<WaiterId>,
}

/// Which rows somebody gets who fetches the history life by life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OneLife {
    /// Their life.
    pub life: Life,
    /// Its last row, where it is over: then more rows follow, of the next life.
    pub last: Option<i64>,
}

/// A reading of what a module keeps, done beside the loop, and answered from there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StateQuery {
    /// Whom to answer.
    pub to: Origin,
    /// The token of the request.
    pub token: Token,
    /// Which keys.
    pub keys: GetState,
}

/// A reading of the audit, done beside the loop, and answered from there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditQuery {
    /// Whom to answer.
    pub to: Origin,
    /// The token of the request.
    pub token: Token,
    /// Which rows.
    pub filter: GetAudit,
}

/// A question how far a request to many nodes is, answered beside the loop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TargetsQuery {
    /// Whom to answer.
    pub to: Origin,
    /// The token of the question.
    pub token: Token,
    /// Of which request.
    pub targets: GetTargets,
}

/// What the router wants done.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Write the records, whole or not at all, and report with [`Event::Written`].
    Write {
        /// The batch's name.
        batch: BatchId,
        /// What to write.
        records: Vec<Record>,
    },
    /// Answer a request.
    Answer {
        /// Whom.
        to: Origin,
        /// With what.
        answer: Answer,
    },
    /// Hand a message to a module, or to a poller ([`Identity::poller`]) that came in over the
    /// external side.
    Deliver {
        /// Which one.
        module: Identity,
        /// The message.
        message: Message,
        /// What travels beside it.
        headers: Headers,
    },
    /// Read rows and answer with them.
    Query(Query),
    /// Look whether a token is a task that has ended, and answer CANCEL accordingly.
    CancelLookup {
        /// Whom to answer.
        to: Origin,
        /// The token of the CANCEL.
        token: Token,
        /// The token that is to be cancelled.
        subject: Token,
    },
    /// Read what a module keeps, and answer.
    ReadState(StateQuery),
    /// Read how far the parts of a request are, and answer.
    ReadTargets(TargetsQuery),
    /// The file of nodes cannot be followed, in these words; nothing of it is.
    FileOfNodesRefused(String),
    /// Read rows of the audit, and answer.
    ReadAudit(AuditQuery),
    /// New rows stand in the history: parents may want to fetch them.
    NewRows,
    /// From now on log that much.
    Log(Severity),
}

/// Limits and facts that do not change while the router lives.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This node.
    pub node: NodeId,
    /// Its host name.
    pub hostname: String,
    /// The thumbprint of its public key.
    pub thumbprint: String,
    /// Where it listens, by the names `internal` and `external`.
    pub endpoints: BTreeMap<&'static str, String>,
    /// Actions that a configured module will offer: requests for them are accepted before the
    /// module is there.
    pub expected_actions: Vec<gorgone_protocol::Action>,
    /// Kinds of nodes that a configured module will connect: requests for them are accepted
    /// before the module is there.
    pub expected_carries: Vec<NodeKind>,
    /// How long a request may wait to begin where it does not say so itself.
    pub default_ttl: Duration,
    /// How many requests may be accepted and not ended.
    pub max_tasks: usize,
    /// How many bytes of DATA they may hold together.
    pub max_task_bytes: usize,
    /// How many GETLOGs may wait at once.
    pub max_waiters: usize,
    /// How many modules may be ready at once.
    pub max_modules: usize,
    /// How many nodes may be registered.
    pub max_nodes: usize,
    /// How many leases there may be.
    pub max_leases: usize,
    /// How many requests may wait for one node.
    pub max_node_tasks: usize,
    /// How many nodes one request may go to.
    pub max_targets: usize,
    /// How many requests may be on their way to one node without its answer.
    pub node_window: usize,
    /// How many questions to nodes may be under way.
    pub max_relays: usize,
    /// How long a module that vanished may take to come back before its work counts as lost.
    pub module_grace: Duration,
    /// What takes secrets out of the audit; none: there is no audit. It may change, see
    /// [`crate::Router::set_audit`].
    pub audit: Option<Redactor>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            node: NodeId::new(1),
            hostname: String::new(),
            thumbprint: String::new(),
            endpoints: BTreeMap::new(),
            expected_actions: Vec::new(),
            expected_carries: Vec::new(),
            default_ttl: Duration::from_secs(86_400),
            max_tasks: 100_000,
            max_task_bytes: 256 << 20,
            max_waiters: 50_000,
            max_modules: 1_000,
            max_nodes: 100_000,
            max_leases: 1_000,
            max_node_tasks: 10_000,
            max_targets: 10_000,
            node_window: 64,
            max_relays: 10_000,
            module_grace: Duration::from_secs(10),
            audit: None,
        }
    }
}

/// What the store knew when the process started.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// All tasks that have not ended, in the order of their acceptance.
    pub tasks: Vec<Task>,
    /// Parts of these that have ended.
    pub ended_parts: Vec<EndedPart>,
    /// The definitions of all nodes, as JSON text.
    pub nodes: Vec<String>,
    /// All leases.
    pub leases: Vec<StoredLease>,
    /// Per node how far its history is stored here.
    pub marks: Vec<(NodeId, Mark)>,
    /// The lives of our own history; none: nobody is told of any.
    pub history: Option<History>,
}
