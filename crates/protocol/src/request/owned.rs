//! `[NODES]`: core tells a proxy which nodes' connections are its own.
//!
//! ```text
//! core → proxy   [NODES] [] [] {"all":true,"nodes":[{"definition":{…},"mark":17}]}
//! core → proxy   [NODES] [] [] {"nodes":[…],"drop":[4]}
//! ```
//! Everything is said after the first READY of a life, and after one that follows a lost
//! connection (it bears `running`), in several messages where there are many nodes; later only
//! what changes.

use serde::{Deserialize, Serialize};

use super::nodes::NodeDefinition;
use crate::{Mark, NodeId};

/// The body of NODES.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct OwnedNodes {
    /// Whether a new account begins: nodes that neither this message nor one after it names are
    /// not the proxy's any more.
    #[serde(default, skip_serializing_if = "is_false")]
    pub all: bool,
    /// Whether more messages of the same account follow.
    #[serde(default, skip_serializing_if = "is_false")]
    pub more: bool,
    /// Nodes that are the proxy's from now on, or whose definition changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<OwnedNode>,
    /// Who says it, where the proxy is a poller: it may be behind several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub core: Option<NodeId>,
    /// Nodes that are not the proxy's any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<NodeId>,
}

/// A node that a proxy is to connect.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct OwnedNode {
    /// How it is reached.
    pub definition: NodeDefinition,
    /// How far its history is stored here.
    #[serde(flatten)]
    pub mark: Mark,
}

impl OwnedNodes {
    /// How many nodes one message names at most.
    pub const CHUNK: usize = 500;
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_false(value: &bool) -> bool {
    !*value
}
