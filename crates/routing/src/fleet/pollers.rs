//! Pollers that connect to us: each is to this core what a proxy is, for the one node that it is.
//!
//! What a client's key may say so is decided before (`Caller::poller`); here it is seen to that a
//! poller speaks of itself only, and that it is known as a node from its first word on.

use gorgone_protocol::request::nodes::{NodeDefinition, NodeKind};
use gorgone_protocol::request::ready::Ready;
use gorgone_protocol::{Action, Data, Identity, Labels, Message, NodeId, Token};

use crate::caller::{Caller, Credential};
use crate::event::Origin;
use crate::router::Router;

/// Why nothing goes to a node that connects to us.
pub(crate) const NOT_CONNECTED: &str = "its gorgone-pull is not connected";

impl Router {
    /// A poller says what modules say on the internal side.
    pub(crate) fn poller_says(
        &mut self,
        node: NodeId,
        from: Origin,
        message: Message,
        (token, fresh): (Token, Token),
    ) {
        let data = &message.data;
        match &message.action {
            Action::Ready(name) => {
                self.poller_ready(node, from, message.token, (name, data, &fresh))
            }
            Action::Carried => self.carried(from, token, data),
            Action::NodeState => self.node_state(&from, message.token, data),
            Action::PutRows => self.put_rows(from, token, data),
            action => self.not_known(from, &token, action),
        }
    }

    /// Somebody has the name of a poller, and a key that is not that node's.
    pub(crate) fn not_its_node(
        &mut self,
        node: NodeId,
        caller: &Caller,
        from: Origin,
        token: Token,
    ) {
        let Credential {
            name, node: own, ..
        } = &*caller.credential;
        let words = match own {
            Some(own) => format!("the key of '{name}' is that of node {own}, not of node {node}"),
            None => format!(
                "the key of '{name}' is not that of node {node}: authorized_clients must say so with \
                 'node: {node}'"
            ),
        };
        self.refuse(from, Some(token), &words);
    }

    fn poller_ready(
        &mut self,
        node: NodeId,
        from: Origin,
        token: Option<Token>,
        (name, data, fresh): (&str, &Data, &Token),
    ) {
        let ready: Ready = data.decode().unwrap_or_default();
        let others = ready.carries.iter().any(|kind| *kind != NodeKind::Pull);
        if others || !ready.actions.is_empty() {
            let words = format!("node {node} may carry what is for itself, and offer nothing");
            return self.refuse(from, token, &words);
        }
        let known = self.nodes.get(node).map(|node| node.definition.kind);
        match known {
            Some(NodeKind::Pull) => {}
            Some(NodeKind::PushZmq | NodeKind::PushSsh) => {
                let words = format!(
                    "node {node} is registered as one that we connect to; make its type pull"
                );
                return self.refuse(from, token, &words);
            }
            // One that was unregistered comes back with its next connection.
            None if ready.running.is_some() => {
                if let Err(words) = self.make_known(node) {
                    return self.refuse(from, token, &words);
                }
            }
            None => {}
        }
        self.module_ready(from, token, fresh, name, data);
    }

    fn make_known(&mut self, id: NodeId) -> Result<(), String> {
        let definition = NodeDefinition {
            id,
            kind: NodeKind::Pull,
            nodes: Vec::new(),
            labels: Labels::default(),
            by_file: false,
            rest: serde_json::Map::new(),
        };
        let limits = (self.settings.node, self.settings.max_nodes);
        self.nodes
            .check(std::slice::from_ref(&definition), limits.0, limits.1)?;
        self.put_node(definition, None);
        Ok(())
    }

    /// Nothing is heard of a module any more. Where it is a poller, that node is down.
    pub(crate) fn poller_lost(&mut self, identity: &Identity) {
        if let Some(node) = identity.poller() {
            self.nodes.lost(node, NOT_CONNECTED, self.now.unix());
        }
    }
}
