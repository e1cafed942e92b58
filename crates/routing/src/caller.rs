//! Who stands at a door, and what they may ask for.

use std::sync::Arc;

use gorgone_protocol::request::audit::Door;
use gorgone_protocol::{Message, NodeId, Rights, Target};

/// A client of the external endpoint, or a user of a module that speaks HTTP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credential {
    /// Where it comes in.
    pub door: Door,
    /// What it is called: its name in the configuration, or its key's thumbprint.
    pub name: Arc<str>,
    /// What it may ask for.
    pub rights: Rights,
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
    /// Why the caller may not ask for this, if it may not.
    pub(crate) fn refusal(&self, message: &Message, own: NodeId) -> Option<String> {
        let Credential { door, name, rights } = &*self.credential;
        if rights.allows(&message.action, &message.target, own) {
            return None;
        }
        let kind = match door {
            Door::Zeromq => "client",
            Door::Http => "user",
        };
        let target = Target::Node(own);
        let node = match &message.target {
            Target::Here => &target,
            other => other,
        };
        let action = &message.action;
        Some(format!("{kind} '{name}' may not {action} on node {node}"))
    }
}
