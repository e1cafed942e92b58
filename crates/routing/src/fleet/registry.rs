//! REGISTERNODES and UNREGISTERNODES, and the file of nodes.

use std::collections::HashSet;

use gorgone_protocol::request::audit::Outcome;
use gorgone_protocol::request::nodes::{self, NodeDefinition};
use gorgone_protocol::{Data, NodeId, Reason, Token};
use serde_json::json;

use crate::entry::Line;
use crate::event::{Effect, Origin};
use crate::outbox::{Ack, After};
use crate::router::Router;
use crate::{Record, TaskState};

impl Router {
    pub(crate) fn register_nodes(&mut self, from: Origin, token: Token, data: &Data) {
        let checked = nodes::decode_register(data)
            .map_err(|error| format!("the nodes are wrong: {error}"))
            .and_then(|definitions| {
                self.nodes
                    .check(&definitions, self.settings.node, self.settings.max_nodes)
                    .map(|()| definitions)
            });
        match checked {
            Err(words) => self.refuse(from, Some(token), &words),
            Ok(definitions) if definitions.is_empty() => {
                self.acknowledge((from, token), "no nodes given");
            }
            Ok(definitions) => {
                self.out.audit(Outcome::Answered, "");
                let last = definitions.len() - 1;
                for (index, definition) in definitions.into_iter().enumerate() {
                    let ack = (index == last).then(|| (from.clone(), token.clone()));
                    self.put_node(definition, ack);
                }
            }
        }
    }

    pub(crate) fn unregister_nodes(&mut self, from: Origin, token: Token, data: &Data) {
        match nodes::decode_unregister(data) {
            Err(error) => {
                let words = format!("the nodes are wrong: {error}");
                self.refuse(from, Some(token), &words);
            }
            Ok(ids) if ids.is_empty() => self.acknowledge((from, token), "no nodes given"),
            Ok(ids) => {
                self.out.audit(Outcome::Answered, "");
                let last = ids.len() - 1;
                for (index, id) in ids.into_iter().enumerate() {
                    let ack = (index == last).then(|| (from.clone(), token.clone()));
                    let after = After::NodeDropped(id, ack);
                    self.out.write(Record::DropNode(id), after);
                }
            }
        }
    }

    /// Nodes of the file are as it says; what else was registered stays as it is.
    pub(crate) fn follow_file(&mut self, mut definitions: Vec<NodeDefinition>) {
        for definition in &mut definitions {
            definition.by_file = true;
        }
        let limits = (self.settings.node, self.settings.max_nodes);
        if let Err(words) = self.nodes.check(&definitions, limits.0, limits.1) {
            return self.out.push(Effect::FileOfNodesRefused(words));
        }
        let listed: HashSet<NodeId> = definitions.iter().map(|node| node.id).collect();
        let gone = self
            .nodes
            .iter()
            .filter(|(_, node)| node.definition.by_file);
        let gone: Vec<NodeId> = gone
            .map(|(id, _)| id)
            .filter(|id| !listed.contains(id))
            .collect();
        for id in gone {
            let after = After::NodeDropped(id, None);
            self.out.write(Record::DropNode(id), after);
        }
        for definition in definitions {
            let known = self.nodes.get(definition.id);
            if known.is_none_or(|known| known.definition != definition) {
                self.put_node(definition, None);
            }
        }
    }

    pub(crate) fn put_node(&mut self, definition: NodeDefinition, ack: Option<Ack>) {
        let record = Record::PutNode {
            id: definition.id,
            definition: json!(definition).to_string(),
        };
        let after = After::NodePut(Box::new(definition), ack);
        self.out.write(record, after);
    }

    /// A node is forgotten: what it has, or may have, ends here; what waits for it goes another
    /// way or ends too.
    pub(crate) fn node_forgotten(&mut self, id: NodeId) {
        if !self.nodes.remove(id) {
            return;
        }
        let with_it: Vec<Token> = self
            .ledger
            .entries()
            .filter(|entry| entry.task.state.node() == Some(id) && !entry.ending)
            .map(|entry| entry.task.token.clone())
            .collect();
        for token in with_it {
            let had = self.ledger.get(&token).is_some_and(|entry| {
                entry.may_have_begun() || matches!(entry.task.state, TaskState::Away(_))
            });
            if had {
                let words = format!("node {id} was unregistered; it may have run the request");
                self.end(&token, Reason::Unknown, &words);
            } else {
                let words = format!("node {id} was unregistered before it got the request");
                self.end(&token, Reason::Unreachable, &words);
            }
        }
        self.reroute();
        for token in self.ledger.line_tokens(&Line::Node(id)) {
            let words = format!("node {id} was unregistered before it got the request");
            self.end(&token, Reason::Unreachable, &words);
        }
    }
}
