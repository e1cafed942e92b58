//! What can be written.

use gorgone_protocol::{NodeId, Target};
use gorgone_routing::{Record, Spread, StateChange, Task};
use sha2::{Digest as _, Sha256};

use crate::Error;

/// One change. A batch of them is written whole or not at all.
#[derive(Clone, Debug)]
pub enum Change {
    /// Tasks, rows of the history, and nodes. Answered as its documentation says.
    Routing(Record),
    /// Sessions. Answered `Done`, also where a session that is touched or closed is not there.
    Session(gorgone_session::Record),
    /// How far a node's log was synchronised: replaces what stands under the node. Answered
    /// `Done`.
    Mark(SyncMark),
}

/// How far the log of a node was synchronised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SyncMark {
    /// Which node.
    pub node: NodeId,
    /// When that was, seconds since 1970.
    pub ctime: i64,
    /// The node's own id of its last row that is stored here.
    pub last_id: i64,
}

impl Change {
    /// About how many bytes this takes while it waits and in the database.
    pub(crate) fn size(&self) -> usize {
        const FIXED: usize = 256;
        FIXED
            + match self {
                Self::Routing(Record::Accept(task)) => {
                    task.token.as_str().len() + task.data.as_str().len() + task.origin.len()
                }
                Self::Routing(Record::Spread(spread)) => spread_size(spread),
                Self::Routing(Record::Note(row) | Record::Put(row) | Record::Finish(row)) => {
                    row.token.len() + row.data.len()
                }
                Self::Routing(Record::PutNode { definition, .. }) => definition.len(),
                Self::Routing(Record::PutState(change)) => state_size(change),
                Self::Routing(Record::Fetched(page)) => {
                    let rows = page.rows.iter();
                    rows.map(|row| row.token.len() + row.data.len() + FIXED)
                        .sum()
                }
                Self::Routing(Record::Audit(row) | Record::AuditOf(row)) => {
                    row.request.len() + row.message.len()
                }
                Self::Routing(
                    Record::Advance { .. }
                    | Record::Began(_)
                    | Record::DropNode(_)
                    | Record::Grant { .. }
                    | Record::GiveBack(_),
                )
                | Self::Session(_)
                | Self::Mark(_) => 0,
            }
    }
}

fn spread_size(spread: &Spread) -> usize {
    const PART: usize = 256;
    let parts = spread.parts.iter();
    let parts = parts.map(|part| 2 * part.token.as_str().len() + PART);
    spread.row.data.len() + spread.whole.data.as_str().len() + parts.sum::<usize>()
}

fn state_size(change: &StateChange) -> usize {
    const ENTRY: usize = 64;
    let put = change.put.iter();
    let put = put.map(|(key, value)| key.len() + value.len() + ENTRY);
    let drop = change.drop.iter().map(|key| key.len() + ENTRY);
    let rows = change.rows.iter();
    let rows = rows.map(|row| row.token.len() + row.data.len() + ENTRY);
    put.chain(drop).chain(rows).sum()
}

/// By which two requests with the same token are told to be the same: SHA-256 over action,
/// target and data, each with its length before it.
pub(crate) type Digest = [u8; 32];

pub(crate) fn digest(task: &Task) -> Digest {
    let mut hash = Sha256::new();
    let target = match &task.target {
        Target::Here => String::new(),
        target => target.to_string(),
    };
    for part in [&*task.action.name(), &target, task.data.as_str()] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// A node's id as a column holds it.
pub(crate) fn column_id(node: NodeId) -> Result<i64, Error> {
    i64::try_from(node.get())
        .map_err(|_| Error::Refused(format!("node id {node} is larger than 2^63-1")))
}
