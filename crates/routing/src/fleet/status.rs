//! CONSTATUS: the truth about each node.

use std::collections::{BTreeMap, HashMap};

use gorgone_protocol::request::node_state::LinkState;
use gorgone_protocol::request::nodes::NodeKind;
use gorgone_protocol::request::pong::Pong;
use gorgone_protocol::{Data, NodeId};
use serde_json::{Map, Value, json};

use super::pollers::NOT_CONNECTED;
use crate::TaskState;
use crate::entry::Line;
use crate::router::Router;

/// How many tasks wait for a node, are on their way to it, and are there.
#[derive(Clone, Copy, Default)]
struct Depth {
    waiting: u64,
    leaving: u64,
    away: u64,
}

impl Router {
    /// The inner `data` of CONSTATUS: per node what is known of it. Times are seconds since
    /// 1970; 0 means never.
    pub(crate) fn node_status(&self) -> Value {
        let mut depths: HashMap<NodeId, Depth> = HashMap::new();
        for entry in self.ledger.entries() {
            let Line::Node(id) = entry.line else {
                continue;
            };
            let depth = depths.entry(id).or_default();
            match entry.task.state {
                TaskState::Away(_) => depth.away += 1,
                TaskState::Leaving(..) => depth.leaving += 1,
                _ => depth.waiting += 1,
            }
        }
        let nodes: Map<String, Value> = self
            .nodes
            .iter()
            .map(|(id, _)| {
                let depth = depths.get(&id).copied().unwrap_or_default();
                (id.to_string(), self.status_of(id, depth))
            })
            .collect();
        nodes.into()
    }

    fn status_of(&self, id: NodeId, depth: Depth) -> Value {
        let Some(node) = self.nodes.get(id) else {
            return Value::Null;
        };
        let link = node.link.as_ref();
        let (state, error) = match (link, &node.owner) {
            (_, None) if node.definition.kind == NodeKind::Pull => {
                (LinkState::Down, Some(NOT_CONNECTED.to_owned()))
            }
            (_, None) => (LinkState::Down, Some("no proxy is there for it".to_owned())),
            (None, Some(_)) => (LinkState::Connecting, None),
            (Some(link), Some(_)) => (link.state, link.error.clone()),
        };
        let mark = self.nodes.mark(id).id;
        let newest = link.and_then(|link| link.newest_row);
        json!({
            "type": node.definition.kind,
            "last_ping_sent": link.map_or(0, |link| link.last_ping_sent),
            "last_ping_recv": link.map_or(0, |link| link.last_ping_recv),
            "ping_ok": link.map_or(0, |link| link.ping_ok),
            "ping_failed": link.map_or(0, |link| link.ping_failed),
            "nodes": self.subnodes_of(id),
            "state": state,
            "since": link.map_or(0, |link| link.since),
            "error": error,
            "hostname": link.and_then(|link| link.hostname.clone()),
            "labels": node.definition.labels,
            "dedups": link.and_then(|link| link.dedups),
            "proxy": node.owner.as_ref().map(|owner| &owner.instance),
            "waiting": depth.waiting,
            "leaving": depth.leaving,
            "away": depth.away,
            "synced_at": link.map_or(0, |link| link.synced_at),
            "mark": mark,
            "behind": newest.map(|newest| (newest - mark).max(0)),
        })
    }

    /// The nodes behind a node with the score of the way, registered and learnt.
    fn subnodes_of(&self, id: NodeId) -> BTreeMap<String, i64> {
        let Some(node) = self.nodes.get(id) else {
            return BTreeMap::new();
        };
        let learnt = node.link.iter().flat_map(|link| &link.nodes);
        let registered = node.definition.nodes.iter();
        learnt
            .map(|(id, score)| (id.to_string(), *score))
            .chain(registered.map(|subnode| (subnode.id.to_string(), subnode.pathscore)))
            .collect()
    }

    /// What PONG says to a PING. Old parents expect objects under `nodes`, as deep as the chain is.
    pub(crate) fn pong(&self, ping: &Data) -> Pong {
        let nodes: Map<String, Value> = self
            .nodes
            .iter()
            .map(|(id, node)| {
                let subnodes: Map<String, Value> = self
                    .subnodes_of(id)
                    .into_iter()
                    .map(|(id, score)| (id, json!({ "pathscore": score })))
                    .collect();
                let link = node.link.as_ref();
                let about = json!({
                    "type": node.definition.kind,
                    "last_ping_sent": link.map_or(0, |link| link.last_ping_sent),
                    "last_ping_recv": link.map_or(0, |link| link.last_ping_recv),
                    "ping_ok": link.map_or(0, |link| link.ping_ok),
                    "ping_failed": link.map_or(0, |link| link.ping_failed),
                    "nodes": subnodes,
                });
                (id.to_string(), about)
            })
            .collect();
        Pong {
            id: self.settings.node,
            hostname: Some(self.settings.hostname.clone()),
            dedups: true,
            life: self.history.as_ref().map(|history| history.life),
            back_to: self
                .history
                .as_ref()
                .and_then(|history| history.back_to(&Pong::known(ping))),
            nodes: nodes.into(),
        }
    }
}
