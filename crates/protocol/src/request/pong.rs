//! The answer to PING.
//!
//! ```text
//! [PONG] [TOKEN] [] {"code":0,"data":{"action":"ping","message":"ping ok","id":2,"hostname":"a",
//!                    "dedups":true,"life":"5f0c…","data":{"5":{…,"nodes":{"6":{…}}}}}}
//! ```
//! The inner `data` is the node's CONSTATUS: whoever pings learns from it which nodes are
//! reached through the node. Whoever fetches its rows may tell in PING how far it knows them (a
//! [`Mark`]); `back_to` says then that the node's history is another one, see [`History`].
//!
//! [`History`]: crate::History

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::nodes::Subnode;
use crate::{Data, DataError, Life, Mark, NodeId};

/// What a node says of itself when it is pinged.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Pong {
    /// Who it is.
    pub id: NodeId,
    /// What it calls itself.
    #[serde(default)]
    pub hostname: Option<String>,
    /// Whether it recognises a task that comes again by its token. Old daemons do not.
    #[serde(default)]
    pub dedups: bool,
    /// The present life of its history; none from old daemons.
    #[serde(default)]
    pub life: Option<Life>,
    /// Of the rows that the asker knows, it has none after this one: its database is empty, or an
    /// older copy.
    #[serde(default)]
    pub back_to: Option<i64>,
    /// Its CONSTATUS.
    #[serde(default, rename = "data")]
    pub nodes: Value,
}

/// How deep a chain of nodes is looked into.
const MAX_DEPTH: u8 = 16;
/// How many nodes are learnt from one answer.
const MAX_LEARNT: usize = 10_000;

impl Pong {
    /// Reads the data of an answer to PING.
    ///
    /// # Errors
    /// When it does not say who answers.
    pub fn decode(data: &Data) -> Result<Self, DataError> {
        data.decode()
    }

    /// Writes the data of an answer to PING.
    #[must_use]
    pub fn encode(&self) -> Data {
        let mut data = json!({
            "action": "ping", "message": "ping ok", "id": self.id, "hostname": self.hostname,
            "dedups": self.dedups, "data": self.nodes,
        });
        if let Some(life) = self.life {
            data["life"] = json!(life);
        }
        if let Some(back_to) = self.back_to {
            data["back_to"] = back_to.into();
        }
        Data::from_value(&data)
    }

    /// What a PING says of the rows that its sender knows; nothing where it says nothing of them,
    /// or makes no sense.
    #[must_use]
    pub fn known(ping: &Data) -> Mark {
        ping.decode().unwrap_or_default()
    }

    /// The nodes that are reached through the one that answered, each with its score: how many
    /// nodes lie between, or the score that a node on the way gives it, whatever is more. The
    /// node itself is not among them.
    #[must_use]
    pub fn learnt(&self) -> BTreeMap<NodeId, i64> {
        let mut learnt = BTreeMap::new();
        let mut level = vec![(&self.nodes, 0)];
        for depth in 1..=MAX_DEPTH {
            let mut next = Vec::new();
            for (nodes, before) in level {
                for (key, about) in nodes.as_object().into_iter().flatten() {
                    let Ok(id) = NodeId::parse(key) else {
                        continue;
                    };
                    let given = about.as_i64().or_else(|| about.get("pathscore")?.as_i64());
                    let score = given
                        .unwrap_or(Subnode::DEFAULT_SCORE)
                        .saturating_add(before)
                        .max(i64::from(depth));
                    if id != self.id && learnt.len() < MAX_LEARNT {
                        let known = learnt.entry(id).or_insert(score);
                        *known = score.min(*known);
                    }
                    next.extend(about.get("nodes").map(|nodes| (nodes, score)));
                }
            }
            level = next;
        }
        learnt
    }
}
