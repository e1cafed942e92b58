//! The nodes that were registered, and what is known of each.

use std::collections::{BTreeMap, HashSet};

use gorgone_protocol::NodeId;
use gorgone_protocol::request::nodes::NodeDefinition;
use serde_json::{Map, Value, json};

#[derive(Debug, Default)]
pub(crate) struct Nodes {
    by_id: BTreeMap<NodeId, NodeDefinition>,
}

impl Nodes {
    pub(crate) fn put(&mut self, definition: NodeDefinition) {
        self.by_id.insert(definition.id, definition);
    }

    pub(crate) fn remove(&mut self, id: NodeId) {
        self.by_id.remove(&id);
    }

    /// Whether these nodes may be registered.
    ///
    /// # Errors
    /// A sentence that names the node and what is wrong with it. Nothing is registered then.
    pub(crate) fn check(
        &self,
        definitions: &[NodeDefinition],
        own: NodeId,
        max: usize,
    ) -> Result<(), String> {
        let mut seen = HashSet::new();
        for definition in definitions {
            let id = definition.id;
            if id == own {
                return Err(format!("node {id} is this daemon itself"));
            }
            if !seen.insert(id) {
                return Err(format!("node {id} stands twice in the request"));
            }
            if let Some(subnode) = definition
                .nodes
                .iter()
                .find(|subnode| subnode.id == own || subnode.id == id)
            {
                return Err(format!(
                    "node {id} cannot be the way to node {}",
                    subnode.id
                ));
            }
        }
        let new = seen
            .iter()
            .filter(|id| !self.by_id.contains_key(id))
            .count();
        if self.by_id.len() + new > max {
            return Err(format!("more than {max} nodes cannot be registered"));
        }
        Ok(())
    }

    /// The inner `data` of CONSTATUS: per node what is known of it. Times are seconds since
    /// 1970; 0 means never.
    pub(crate) fn status(&self) -> Value {
        let nodes: Map<String, Value> = self
            .by_id
            .iter()
            .map(|(id, definition)| {
                let subnodes: Map<String, Value> = definition
                    .nodes
                    .iter()
                    .map(|subnode| (subnode.id.to_string(), subnode.pathscore.into()))
                    .collect();
                let about = json!({
                    "type": definition.kind, "last_ping_sent": 0, "last_ping_recv": 0,
                    "ping_ok": 0, "ping_failed": 0, "nodes": subnodes,
                });
                (id.to_string(), about)
            })
            .collect();
        nodes.into()
    }
}
