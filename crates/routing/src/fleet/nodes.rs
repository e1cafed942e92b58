//! The nodes that were registered, and what is known of each.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use gorgone_protocol::request::node_state::{LinkState, NodeState};
use gorgone_protocol::request::nodes::{NodeDefinition, NodeKind};
use gorgone_protocol::{Mark, NodeId, Token};

use super::ways::Ways;
use crate::Runner;

/// A registered node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) definition: NodeDefinition,
    /// The life of the proxy that was told that the node is its own.
    pub(crate) owner: Option<Runner>,
    /// What that proxy said last.
    pub(crate) link: Option<NodeState>,
    /// The node could not take a task: nothing is handed over before.
    pub(crate) paused_until: Option<Duration>,
}

impl Node {
    pub(crate) fn is_up(&self) -> bool {
        self.link
            .as_ref()
            .is_some_and(|link| link.state == LinkState::Up)
    }

    /// Whether the node recognises what it has had, where that is known.
    pub(crate) fn dedups(&self) -> Option<bool> {
        self.link
            .as_ref()
            .filter(|link| link.state == LinkState::Up)?
            .dedups
    }
}

#[derive(Debug, Default)]
pub(crate) struct Nodes {
    by_id: BTreeMap<NodeId, Node>,
    pub(crate) ways: Ways,
    /// How far each node's history is stored here, also of nodes of before.
    marks: BTreeMap<NodeId, Mark>,
    /// Which tasks a proxy has for each node, or is about to get.
    leaving: HashMap<Token, NodeId>,
    windows: BTreeMap<NodeId, usize>,
    /// Nodes whose owner is to be looked at; true: and told, whoever it is.
    pub(crate) changed: BTreeMap<NodeId, bool>,
    /// Nodes that are forgotten, with who is to be told.
    pub(crate) forgotten: Vec<(NodeId, Runner)>,
    /// Whether targets may be reached in another way than before.
    pub(crate) rerouted: bool,
    /// By when nodes that could not take a task are tried again.
    pub(crate) pauses: BTreeMap<NodeId, Duration>,
}

impl Nodes {
    pub(crate) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(crate) fn get(&self, id: NodeId) -> Option<&Node> {
        self.by_id.get(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.by_id.iter().map(|(id, node)| (*id, node))
    }

    /// The registered nodes with these ids.
    pub(crate) fn registered(&self, ids: RangeInclusive<NodeId>) -> impl Iterator<Item = NodeId> {
        self.by_id.range(ids).map(|(id, _)| *id)
    }

    /// The owner of every node is to be looked at.
    pub(crate) fn all_changed(&mut self) {
        for id in self.by_id.keys() {
            self.changed.entry(*id).or_insert(false);
        }
    }

    pub(crate) fn put(&mut self, definition: NodeDefinition) {
        let id = definition.id;
        self.changed.insert(id, true);
        self.rerouted = true;
        let Some(node) = self.by_id.get_mut(&id) else {
            self.ways.register(id, &[], &definition.nodes);
            let node = Node {
                definition,
                owner: None,
                link: None,
                paused_until: None,
            };
            self.by_id.insert(id, node);
            return;
        };
        self.ways
            .register(id, &node.definition.nodes, &definition.nodes);
        node.definition = definition;
    }

    pub(crate) fn remove(&mut self, id: NodeId) -> bool {
        let Some(node) = self.by_id.remove(&id) else {
            return false;
        };
        self.ways.register(id, &node.definition.nodes, &[]);
        if let Some(link) = &node.link {
            self.ways.learn(id, &link.nodes, &BTreeMap::new());
        }
        self.forgotten.extend(node.owner.map(|owner| (id, owner)));
        self.pauses.remove(&id);
        self.rerouted = true;
        true
    }

    /// Takes what a proxy says of a node that is its own.
    pub(crate) fn link(&mut self, state: NodeState) {
        let Some(node) = self.by_id.get_mut(&state.id) else {
            return;
        };
        let nothing = BTreeMap::new();
        let before = node.link.as_ref().map_or(&nothing, |link| &link.nodes);
        let was_up = node.is_up();
        if *before != state.nodes {
            self.ways.learn(state.id, before, &state.nodes);
            self.rerouted = true;
        }
        let leads_on = !state.nodes.is_empty() || !node.definition.nodes.is_empty();
        node.link = Some(state);
        self.rerouted |= leads_on && was_up != node.is_up();
    }

    /// Nothing is heard of a node any more, for a reason that we know.
    pub(crate) fn lost(&mut self, id: NodeId, why: &str, now: i64) {
        if let Some(link) = self
            .by_id
            .get_mut(&id)
            .and_then(|node| node.link.as_mut())
            .filter(|link| link.state != LinkState::Down)
        {
            link.state = LinkState::Down;
            link.since = now;
            link.error = Some(why.to_owned());
            self.rerouted = true;
        }
    }

    /// A proxy that is told that a node is its own, or that it is nobody's. What the one before
    /// said of the nodes behind it stays until the next says something.
    pub(crate) fn own(&mut self, id: NodeId, owner: Option<Runner>) {
        if let Some(node) = self.by_id.get_mut(&id) {
            node.owner = owner;
            node.paused_until = None;
            self.pauses.remove(&id);
            if let Some(link) = &mut node.link {
                link.state = LinkState::Connecting;
                link.dedups = None;
                link.error = None;
            }
            self.rerouted = true;
        }
    }

    pub(crate) fn mark(&self, id: NodeId) -> Mark {
        self.marks.get(&id).cloned().unwrap_or_default()
    }

    pub(crate) fn mark_mut(&mut self, id: NodeId) -> &mut Mark {
        self.marks.entry(id).or_default()
    }

    pub(crate) fn set_mark(&mut self, id: NodeId, mark: Mark) {
        self.marks.insert(id, mark);
    }

    pub(crate) fn pause(&mut self, id: NodeId, until: Duration) {
        if let Some(node) = self.by_id.get_mut(&id) {
            node.paused_until = Some(until);
            self.pauses.insert(id, until);
        }
    }

    /// Nodes whose pause is over.
    pub(crate) fn resume(&mut self, now: Duration) -> Vec<NodeId> {
        let over: Vec<NodeId> = self
            .pauses
            .iter()
            .filter(|(_, until)| **until <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in &over {
            self.pauses.remove(id);
            if let Some(node) = self.by_id.get_mut(id) {
                node.paused_until = None;
            }
        }
        over
    }

    /// A task takes a place among those on their way to a node.
    pub(crate) fn leaves(&mut self, token: &Token, id: NodeId) {
        if self.leaving.insert(token.clone(), id).is_none() {
            *self.windows.entry(id).or_default() += 1;
        }
    }

    /// It gives the place back. Tells whose.
    pub(crate) fn left(&mut self, token: &Token) -> Option<NodeId> {
        let id = self.leaving.remove(token)?;
        if let Some(count) = self.windows.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                self.windows.remove(&id);
            }
        }
        Some(id)
    }

    /// How many tasks are on their way to a node.
    pub(crate) fn window(&self, id: NodeId) -> usize {
        self.windows.get(&id).copied().unwrap_or(0)
    }

    /// By which registered node a target is reached: itself, where it is registered, else the
    /// way with the smallest score, and rather none through a node that does not answer.
    pub(crate) fn route(
        &self,
        target: NodeId,
        carried: impl Fn(NodeKind) -> bool,
        not: Option<NodeId>,
    ) -> Option<NodeId> {
        let usable = |id: NodeId| {
            let node = self.by_id.get(&id)?;
            (carried(node.definition.kind) && Some(id) != not).then_some(node)
        };
        if usable(target).is_some() {
            return Some(target);
        }
        self.ways
            .to(target)
            .filter_map(|way| Some((!usable(way.via)?.is_up(), way)))
            .min()
            .map(|(_, way)| way.via)
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
}
