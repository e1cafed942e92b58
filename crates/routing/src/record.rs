//! What of tasks and nodes must be written down, and what the store says to it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gorgone_protocol::request::lease::LeaseName;
use gorgone_protocol::request::log::Row;
use gorgone_protocol::request::state::Fence;
use gorgone_protocol::{Action, Code, Data, Dialect, Life, Mark, NodeId, Target, Token, Verdict};
use serde_json::{Value, json};

use crate::NewAudit;

/// Who runs a task: one life of one instance of a module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Runner {
    /// The instance's identity on the bus.
    pub instance: String,
    /// Which life of the instance: a new process has a new epoch.
    pub epoch: String,
}

/// How far a task has come: the states of the delivery promise.
///
/// ```text
/// queued ─▶ sent ─▶ begun ─▶ finished                 run here
///    ▲        │       │
///    └────────┘       └─▶ finished KO unknown
///
/// queued ─▶ leaving ─▶ away ─▶ finished               run by a node
///    ▲       │ ▲ │       its terminal row came home
///    └───────┘ │ └──▶ finished KO rejected
///              ▼
///           doubtful ─▶ finished KO unknown
///
/// spread ─▶ finished                                  to many nodes: when all its parts are
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TaskState {
    /// Accepted; waits for a runner. Nobody has it.
    Queued,
    /// Written down as handed over. Nobody said yet that it began.
    Sent(Runner),
    /// The runner said that it began.
    Begun(Runner),
    /// Written down as handed to the proxy that owns this node's connection.
    Leaving(Runner, NodeId),
    /// Waits, and this node may have it: it goes there again, where the node recognises it, or
    /// nowhere.
    Doubtful(NodeId),
    /// This node has it.
    Away(NodeId),
    /// It went to many nodes: each has a task of its own, a part of this one.
    Spread,
}

/// A task that has not ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Task {
    /// The key: at most one task per token, ever.
    pub token: Token,
    /// What to do.
    pub action: Action,
    /// Where.
    pub target: Target,
    /// With what.
    pub data: Data,
    /// Who asked: the client's or module's identity as text.
    pub origin: String,
    /// When it was accepted, milliseconds since 1970.
    pub accepted_ms: i64,
    /// After that it must not begin any more; milliseconds since 1970.
    pub expires_ms: i64,
    /// How many more times it may be run again after its runner died.
    pub retries: u32,
    /// How many times it was handed over.
    pub attempt: u32,
    /// How far it has come.
    pub state: TaskState,
    /// The task to many nodes that this is the part of one node of: it has the same action and
    /// data.
    pub parent: Option<Token>,
}

/// A task to many nodes, with its parts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spread {
    /// The task that ends when all its parts have.
    pub whole: Task,
    /// One for each node.
    pub parts: Vec<Task>,
    /// The first row of the whole.
    pub row: NewRow,
}

/// A part that has ended, of a task that has not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndedPart {
    /// The token of the whole.
    pub parent: Token,
    /// Whose part it was.
    pub node: NodeId,
    /// How it ended.
    pub verdict: Verdict,
}

/// A row for the history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewRow {
    /// The token that it tells about; may be empty for a note about a request that could not
    /// be read.
    pub token: String,
    /// What it says.
    pub code: Code,
    /// When it happened, seconds since 1970.
    pub etime: i64,
    /// When it is stored, seconds since 1970.
    pub ctime: i64,
    /// JSON text.
    pub data: String,
    /// The runner's own number for the row within one hand-over, from 1: a row that comes
    /// again (its acknowledgement was lost) is stored once.
    pub sequence: Option<u64>,
    /// Which hand-over that is, where the runner says so; else the present one.
    pub attempt: Option<u32>,
}

/// A change to write down. A batch of them is written whole or not at all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// A new task, in its state of now (queued, or sent where a runner was free).
    Accept(Task),
    /// A new task to many nodes with all its parts and its first row, or none of it where a token is
    /// taken.
    Spread(Box<Spread>),
    /// The task's state changed. Handing over anew forgets the sequence numbers of before.
    Advance {
        /// Which task.
        token: Token,
        /// What it is now.
        state: TaskState,
        /// See [`Task::attempt`].
        attempt: u32,
        /// See [`Task::retries`].
        retries: u32,
    },
    /// A row of a task that ends nothing. One that is not numbered is written only if the task
    /// has not ended.
    Note(NewRow),
    /// A row about a token that is no task's (a note of a module or a client), with any code:
    /// it is written only if no task, live or finished, has that token.
    Put(NewRow),
    /// The terminal row of a task. It is written only if the task has not ended yet.
    Finish(NewRow),
    /// Rows of a node's history, and how far it is known with them. Written only where the node
    /// is known up to `after` in the life `known`.
    Fetched(Fetched),
    /// A node's history is in another life than was known. Written only where the node is known
    /// up to `after` in the life `known`.
    Began(NodeBegan),
    /// A node of the fleet, as it was registered: replaces what stands under its id.
    PutNode {
        /// Which node.
        id: NodeId,
        /// Its definition, JSON text.
        definition: String,
    },
    /// A node is forgotten.
    DropNode(NodeId),
    /// A lease has a new holder: written only if the fence that stands there is the one before
    /// (none counts as 0).
    Grant {
        /// Which lease.
        name: LeaseName,
        /// The new fence.
        fence: u64,
        /// The new holder.
        holder: Runner,
        /// For how long it has asked.
        ttl: Duration,
    },
    /// A lease has no holder any more: written only if the fence is still this one.
    GiveBack(Fence),
    /// What a module keeps: written only if its fence is the current one.
    PutState(Box<StateChange>),
    /// A row for the audit.
    Audit(Box<NewAudit>),
    /// A row for the audit about the record before it in the batch: written only if that was.
    /// Where that is an `Accept` or a `Spread`, the row is told when the task ends. Several may follow
    /// one another about the same.
    AuditOf(Box<NewAudit>),
}

/// A lease as it is written down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredLease {
    /// Which one.
    pub name: LeaseName,
    /// The fence of its last holder.
    pub fence: u64,
    /// Who holds it, unless it was given back.
    pub holder: Option<Runner>,
    /// For how long it asked.
    pub ttl: Duration,
}

/// A change of what a module keeps, with rows for the history: all of it or nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StateChange {
    /// Under which fence.
    pub fence: Fence,
    /// The sender's number for it: one that is not above the last of this fence was written
    /// before.
    pub sequence: Option<u64>,
    /// What is to stand under each key: JSON text.
    pub put: BTreeMap<String, String>,
    /// What is to be gone, before the others are put.
    pub drop: BTreeSet<String>,
    /// Rows, each like [`Record::Put`]: one whose token is a task's is left out.
    pub rows: Vec<NewRow>,
}

/// A page of a node's history, on its way into ours.
///
/// A row of a task that waits for its end at this node is the task's row, and ends it where it is
/// terminal. What a node says about a task that has ended here, or was not sent there, is kept
/// as [`Fetched::late`] tells it; any other row as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetched {
    /// Whose rows.
    pub node: NodeId,
    /// The mark that they follow on: the node's own id of its last row that is stored here.
    pub after: i64,
    /// The life that this mark names.
    pub known: Option<Life>,
    /// The life in which they were written there; no row of one life is stored twice.
    pub life: Option<Life>,
    /// The mark when they are stored.
    pub upto: i64,
    /// When they are stored, seconds since 1970.
    pub at: i64,
    /// With the node's own ids, which grow.
    pub rows: Vec<Row>,
}

/// What a node says of the life of its history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeBegan {
    /// Which node.
    pub node: NodeId,
    /// The mark that stands: the node's own id of its last row that is stored here.
    pub after: i64,
    /// The life that this mark names.
    pub known: Option<Life>,
    /// The one that it is to name.
    pub life: Life,
    /// Of the rows that are stored here, the node has none after this one.
    pub back_to: Option<i64>,
    /// When it is written down, seconds since 1970.
    pub at: i64,
}

impl Fetched {
    /// What is kept of a terminal row whose task has ended here already, or does not expect it:
    /// a row that ends nothing, and says what the node said.
    #[must_use]
    pub fn late(&self, row: &Row) -> String {
        let said: Value =
            serde_json::from_str(&row.data).unwrap_or_else(|_| Value::String(row.data.clone()));
        json!({
            "message": format!("node {} says how it ended, and it is over here", self.node),
            "late": true,
            "node": self.node,
            "code": row.code.number(Dialect::Seed),
            "data": said,
        })
        .to_string()
    }
}

impl TaskState {
    /// The node that has the task, or may have it.
    #[must_use]
    pub const fn node(&self) -> Option<NodeId> {
        match self {
            Self::Queued | Self::Sent(_) | Self::Begun(_) | Self::Spread => None,
            Self::Leaving(_, node) | Self::Doubtful(node) | Self::Away(node) => Some(*node),
        }
    }

    /// Who runs the task here, or brings it to its node.
    #[must_use]
    pub const fn runner(&self) -> Option<&Runner> {
        match self {
            Self::Queued | Self::Doubtful(_) | Self::Away(_) | Self::Spread => None,
            Self::Sent(runner) | Self::Begun(runner) | Self::Leaving(runner, _) => Some(runner),
        }
    }
}

/// What the store did with one record of a batch that was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Written {
    /// As asked.
    Done,
    /// A row, with its number.
    Row(i64),
    /// The rows of a node, and that these tasks ended by them.
    Fetched {
        /// Their tokens, and how.
        ended: Vec<(Token, Verdict)>,
    },
    /// Rows of a node that do not follow on what is stored: nothing was written. This is the
    /// mark.
    Mark(Box<Mark>),
    /// An `Accept` or a `Spread` whose token is taken, or that of one of its parts: nothing was
    /// written for it.
    Duplicate {
        /// Whether the earlier request was the same in action, target and data.
        same: bool,
    },
    /// A row that stood there already, a `Finish` or `Advance` of a task that has ended, or
    /// one of a task that is not known, a `PutState` that came before, a `GiveBack` of what
    /// somebody else has: nothing was written for it.
    Ignored,
    /// A `Grant` or `PutState` whose fence is not the one it must be: nothing was written for it.
    Fenced {
        /// The fence that stands there.
        current: u64,
    },
}
