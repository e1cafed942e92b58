//! Which proxy has the connection to which node, and how it is told.
//!
//! A node belongs to the instance that weighs most for it (rendezvous hashing): when an instance
//! comes or goes, only the nodes move that it gets or had.

use std::collections::BTreeMap;

use gorgone_protocol::request::owned::{OwnedNode, OwnedNodes};
use gorgone_protocol::{Action, Data, Headers, Message, NodeId};

use crate::event::Effect;
use crate::router::Router;

/// Who of these instances owns a node.
pub(crate) fn owner<'a, T>(
    node: NodeId,
    instances: impl Iterator<Item = (&'a str, T)>,
) -> Option<T> {
    instances
        .max_by_key(|(instance, _)| (weight(node, instance), *instance))
        .map(|(_, value)| value)
}

/// FNV-1a over the instance's name, stirred with the node's number as splitmix64 does.
fn weight(node: NodeId, instance: &str) -> u64 {
    let name = instance
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let mut z = name ^ node.get().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Router {
    /// Gives nodes that changed, and those of proxies that came or went, to their owners, and
    /// tells them.
    pub(crate) fn settle_owners(&mut self) {
        for identity in self.modules.take_out_of_sight() {
            self.poller_lost(&identity);
        }
        let who = self.modules.take_changed();
        if who.proxies {
            self.nodes.all_changed();
        }
        for node in who.pollers {
            self.nodes.changed.entry(node).or_insert(false);
        }
        let accounts = self.modules.take_accounts();
        let changed = std::mem::take(&mut self.nodes.changed);
        let forgotten = std::mem::take(&mut self.nodes.forgotten);
        let mut news: BTreeMap<String, OwnedNodes> = BTreeMap::new();
        for (id, owner) in forgotten {
            news.entry(owner.instance).or_default().drop.push(id);
        }
        for (id, redefined) in changed {
            let Some(node) = self.nodes.get(id) else {
                continue;
            };
            let carriers = self.modules.carriers(id, node.definition.kind);
            let new = owner(id, carriers).cloned();
            let old = node.owner.clone();
            let moved = new != old;
            if moved {
                if let Some(old) = old
                    && new.as_ref().is_none_or(|new| new.instance != old.instance)
                {
                    news.entry(old.instance).or_default().drop.push(id);
                }
                self.nodes.own(id, new.clone());
            }
            if let (Some(new), true) = (new, moved || redefined) {
                let told = news.entry(new.instance).or_default();
                told.nodes.extend(self.owned(id));
            }
        }
        for instance in accounts {
            let nodes = self.nodes.iter();
            let own = nodes.filter(|(_, node)| {
                let owner = node.owner.as_ref();
                owner.is_some_and(|owner| owner.instance == instance)
            });
            let own: Vec<NodeId> = own.map(|(id, _)| id).collect();
            let account = OwnedNodes {
                all: true,
                nodes: own.into_iter().filter_map(|id| self.owned(id)).collect(),
                ..OwnedNodes::default()
            };
            news.insert(instance, account);
        }
        for (instance, told) in news {
            self.tell_owner(&instance, told);
        }
        if std::mem::take(&mut self.nodes.rerouted) {
            self.reroute();
        }
    }

    fn owned(&self, id: NodeId) -> Option<OwnedNode> {
        let node = self.nodes.get(id)?;
        Some(OwnedNode {
            definition: node.definition.clone(),
            mark: self.nodes.mark(id),
        })
    }

    /// Who cannot be reached at the moment is told everything when it says READY.
    fn tell_owner(&mut self, instance: &str, told: OwnedNodes) {
        let Some(module) = self.modules.address_of(instance) else {
            return;
        };
        let mut nodes = told.nodes.into_iter().peekable();
        let mut part = OwnedNodes {
            all: told.all,
            drop: told.drop,
            core: module.poller().map(|_| self.settings.node),
            ..OwnedNodes::default()
        };
        loop {
            part.nodes = nodes.by_ref().take(OwnedNodes::CHUNK).collect();
            part.more = nodes.peek().is_some();
            self.out.push(Effect::Deliver {
                module: module.clone(),
                message: Message::new(Action::Nodes, None, Data::from_value(&part)),
                headers: Headers::default(),
            });
            if !part.more {
                return;
            }
            part = OwnedNodes::default();
        }
    }
}
