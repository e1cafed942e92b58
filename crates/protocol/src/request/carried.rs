//! `[CARRIED]`: a proxy tells core what became of a task on its way to a node.
//!
//! ```text
//! core → proxy   [COMMAND] [TOKEN] [400] {…}        headers {"attempt":1,"via":4}
//! proxy → core   [CARRIED] [MSG] [] {"token":"TOKEN","node":4,"attempt":1,"outcome":"accepted"}
//! core → proxy   [ACK] [MSG] {"code":0,…}            when it is written down
//! ```
//! It is said once for each hand-over, and again until it is acknowledged. While the connection to
//! the node is lost a proxy may keep what it has sent, and send it again to a node that recognises
//! it; what it cannot find out it gives back: `unsent` what never left, `unknown` the rest. It does
//! so too with what it holds for a node that is not its own any more, and with what has expired
//! (`expires` of the headers). Whether a task that may have arrived is handed over again, core
//! decides.

use serde::{Deserialize, Serialize};

use crate::{NodeId, Token};

/// The body of CARRIED.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Carried {
    /// Which task.
    pub token: Token,
    /// The node that it was to be brought to: `via` of the hand-over.
    pub node: NodeId,
    /// Which hand-over: `attempt` of the headers. What is said of an earlier one is void.
    pub attempt: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// In words; the node's own where it said some.
    #[serde(default)]
    pub message: String,
}

/// What became of a task on its way to a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The node answered code 0: it has the task, durably, and ends it.
    Accepted,
    /// The node answered code 1 for good.
    Refused,
    /// The node answered that it cannot take it now (`busy`, `unavailable`, stopping).
    Busy,
    /// The node provably did not get it.
    Unsent,
    /// It may have arrived, and the proxy cannot find out.
    Unknown,
}
