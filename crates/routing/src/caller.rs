//! Who stands at a door, and what they may ask for.

use std::sync::Arc;

use gorgone_protocol::request::audit::Door;
use gorgone_protocol::request::cancel::Cancel;
use gorgone_protocol::{Action, Message, NodeId, Rights, Target};

use crate::event::Origin;
use crate::fleet::other_node;
use crate::router::Router;

/// A client of the external endpoint, or a user of a module that speaks HTTP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credential {
    /// Where it comes in.
    pub door: Door,
    /// What it is called: its name in the configuration, or its key's thumbprint.
    pub name: Arc<str>,
    /// What it may ask for.
    pub rights: Rights,
    /// Which node it is, where it is a poller that connects to us: it may say of that node, and of
    /// no other, what modules say of nodes.
    pub node: Option<NodeId>,
}

/// Whoever makes a request that came in through a door.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// As whom.
    pub credential: Arc<Credential>,
    /// From which address, where that is known.
    pub from: Option<Arc<str>>,
}

impl Caller {
    /// The node that speaks, where a poller does under its own name.
    #[must_use]
    pub fn poller(&self, from: &Origin) -> Option<NodeId> {
        let node = self.credential.node?;
        let own = matches!(from, Origin::Client(identity) if identity.poller() == Some(node));
        own.then_some(node)
    }

    /// Why the caller may not ask for this, if it may not.
    pub(crate) fn refusal(&self, action: &Action, target: &Target, own: NodeId) -> Option<String> {
        let Credential {
            door, name, rights, ..
        } = &*self.credential;
        if rights.allows(action, target, own) {
            return None;
        }
        let kind = match door {
            Door::Zeromq => "client",
            Door::Http => "user",
            Door::Pull => "central",
        };
        let here = Target::Node(own);
        let node = match target {
            Target::Here => &here,
            other => other,
        };
        Some(format!("{kind} '{name}' may not {action} on node {node}"))
    }
}

impl Router {
    /// Why a request may not be made, if it may not.
    pub(crate) fn forbidden(&self, caller: &Caller, message: &Message) -> Option<String> {
        let target = self.ends_at(message).unwrap_or(&message.target);
        let own = self.settings.node;
        let Target::Many(selection) = target else {
            return caller.refusal(&message.action, target, own);
        };
        let nodes = self.selected(selection);
        if nodes.is_empty() {
            return caller.refusal(&message.action, target, own);
        }
        // One node that is not allowed is enough.
        let refusal = nodes.into_iter().find_map(|id| {
            let node = Target::Node(id);
            caller.refusal(&message.action, &node, own)
        })?;
        Some(format!(
            "{refusal}, one of those that '{selection}' selects"
        ))
    }

    /// Where that runs which is to be cancelled: it takes the right to cancel there.
    fn ends_at(&self, message: &Message) -> Option<&Target> {
        if message.action != Action::Cancel
            || other_node(&message.target, self.settings.node).is_some()
        {
            return None;
        }
        let cancel: Cancel = message.data.decode().ok()?;
        Some(&self.ledger.get(&cancel.token)?.task.target)
    }
}
