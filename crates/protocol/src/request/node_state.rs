//! `[NODESTATE]`: a proxy tells core how the connection to a node is.
//!
//! ```text
//! proxy → core   [NODESTATE] [] [] {"id":4,"state":"up","since":…,"dedups":true,…}
//! ```
//! It is said when a node becomes the proxy's own by NODES, on every change, after each ping and
//! after each synchronisation; the newest word counts, nothing is acknowledged.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::NodeId;

/// The body of NODESTATE.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeState {
    /// Which node.
    pub id: NodeId,
    /// How its connection is.
    pub state: LinkState,
    /// Since when, seconds since 1970.
    pub since: i64,
    /// What went wrong last, in words; none while the node is up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether the node recognises a task that it has had by its token, and does not run it
    /// again: what its last PONG said. None until it has answered once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dedups: Option<bool>,
    /// What the node calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// When it was asked last whether it is there, seconds since 1970; 0 means never.
    #[serde(default)]
    pub last_ping_sent: i64,
    /// When it answered last, seconds since 1970; 0 means never.
    #[serde(default)]
    pub last_ping_recv: i64,
    /// How many pings were answered.
    #[serde(default)]
    pub ping_ok: u64,
    /// How many were not, in time.
    #[serde(default)]
    pub ping_failed: u64,
    /// The nodes that it says are reached through it, each with the score of the way: see
    /// [`Pong::learnt`](super::pong::Pong::learnt).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub nodes: BTreeMap<NodeId, i64>,
    /// When its rows were fetched last to their end, seconds since 1970; 0 means never.
    #[serde(default)]
    pub synced_at: i64,
    /// The node's own id of its last row that is known to exist there, where that is known: the
    /// rows between the mark and it are not here yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_row: Option<i64>,
}

/// How a connection to a node is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// It answers: said after the first answer to a ping, so that `dedups` is known. Core hands
    /// nothing over before.
    Up,
    /// It does not, or cannot be reached.
    Down,
    /// The connection or its handshake is under way, and nothing is wrong yet.
    Connecting,
    /// It refuses us: our key is not authorized there, or the configuration does not fit.
    Refused,
    /// Its public key is not the one that is known: nothing is sent to it.
    KeyChanged,
}

impl LinkState {
    /// The word for it on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Connecting => "connecting",
            Self::Refused => "refused",
            Self::KeyChanged => "key_changed",
        }
    }
}
