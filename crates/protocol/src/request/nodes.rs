//! REGISTERNODES and UNREGISTERNODES: which nodes there are and how they are reached.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Data, DataError, Labels, NodeId};

/// One node of REGISTERNODES. What depends on its type is kept as it came, for whoever
/// connects to the node.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct NodeDefinition {
    /// The node.
    pub id: NodeId,
    /// How it is reached.
    #[serde(rename = "type")]
    pub kind: NodeKind,
    /// Nodes that are reached through it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<Subnode>,
    /// By which it can be selected.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Whether it stands in the file of nodes, and goes when it does not any more. Only core says
    /// so.
    #[serde(default, skip_serializing_if = "is_false")]
    pub by_file: bool,
    /// Address, port, keys and the like.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// How a node is reached.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// It connects to us.
    Pull,
    /// We connect to its external endpoint.
    PushZmq,
    /// We connect by SSH; nothing is installed there.
    PushSsh,
}

/// A node behind a node: a number, or `{"id":…,"pathscore":…,"labels":{…}}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "SubnodeSpelling")]
pub struct Subnode {
    /// The node.
    pub id: NodeId,
    /// Among several ways to it the one with the smallest score is taken.
    pub pathscore: i64,
    /// By which it can be selected.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
}

impl Subnode {
    /// The score of a way that nobody gave one.
    pub const DEFAULT_SCORE: i64 = 1;
}

#[derive(Deserialize)]
#[serde(untagged)]
enum SubnodeSpelling {
    Id(NodeId),
    Scored {
        id: NodeId,
        #[serde(default)]
        pathscore: Option<i64>,
        #[serde(default)]
        labels: Labels,
    },
}

impl From<SubnodeSpelling> for Subnode {
    fn from(spelling: SubnodeSpelling) -> Self {
        let (id, pathscore, labels) = match spelling {
            SubnodeSpelling::Id(id) => (id, None, Labels::default()),
            SubnodeSpelling::Scored {
                id,
                pathscore,
                labels,
            } => (id, pathscore, labels),
        };
        Self {
            id,
            pathscore: pathscore.unwrap_or(Self::DEFAULT_SCORE),
            labels,
        }
    }
}

/// Reads the body of REGISTERNODES.
///
/// # Errors
/// When a definition lacks its id or type, or one of them is wrong. All or nothing.
pub fn decode_register(data: &Data) -> Result<Vec<NodeDefinition>, DataError> {
    #[derive(Deserialize)]
    struct Body {
        nodes: Vec<NodeDefinition>,
    }
    let mut nodes = data.decode::<Body>()?.nodes;
    for node in &mut nodes {
        node.by_file = false;
    }
    Ok(nodes)
}

/// Reads the body of UNREGISTERNODES: `{"nodes":[{"id":4}, 8]}`.
///
/// # Errors
/// When an id is missing or wrong. All or nothing.
pub fn decode_unregister(data: &Data) -> Result<Vec<NodeId>, DataError> {
    #[derive(Deserialize)]
    struct Body {
        nodes: Vec<Subnode>,
    }
    Ok(data
        .decode::<Body>()?
        .nodes
        .into_iter()
        .map(|node| node.id)
        .collect())
}
