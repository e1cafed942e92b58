//! What a credential may do: which actions, on which nodes.

use std::sync::Arc;

use crate::{Action, NodeId, Target};

/// The rights of a credential: a list of grants. A request is allowed when one grant covers
/// both its action and its node; nothing takes away what a grant gave. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rights(Option<Arc<[Grant]>>);

/// Some actions on some nodes. Without any of either it grants nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// One of them must cover the action.
    pub actions: Vec<GrantedActions>,
    /// One of them must cover the node.
    pub nodes: Vec<GrantedNodes>,
}

/// An item of a grant's actions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GrantedActions {
    /// `*`: every action.
    Every,
    /// The action of this name.
    One(Action),
}

/// An item of a grant's nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GrantedNodes {
    /// `*`: every node.
    Every,
    /// `self`: the node that is asked, whatever its id.
    Own,
    /// `4` or `2-5`: from the first to the second, both included.
    Range(NodeId, NodeId),
}

/// A text that grants nothing which could be meant.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidGrant {
    /// Not the name of an action.
    #[error("'{0}' is not an action; write its name, such as COMMAND, or \"*\" for every action")]
    Action(String),
    /// The name of an action, but for its capitals.
    #[error("'{text}' is not an action; write it in capitals: {name}")]
    Capitals {
        /// As it was written.
        text: String,
        /// As it is meant.
        name: String,
    },
    /// Not a node, a range, or a word for some.
    #[error(
        "'{0}' names no node; write an id such as 4, a range such as 2-5, self for this node, \
         or \"*\" for every node"
    )]
    Node(String),
    /// A range that ends before it begins.
    #[error("'{0}' is an empty range; write the smaller id first")]
    EmptyRange(String),
}

impl Rights {
    /// Every action on every node: what a credential has that says nothing about rights.
    #[must_use]
    pub const fn everything() -> Self {
        Self(None)
    }

    /// What the grants allow and nothing else; without any, nothing at all.
    #[must_use]
    pub fn of(grants: Vec<Grant>) -> Self {
        Self(Some(grants.into()))
    }

    /// Whether an action on a target is allowed. `own` is the id of the node that is asked: an
    /// empty target means it. A target that is not one node is covered by `*` only: which nodes a
    /// selection means, and so whether each of them is covered, is for the caller to find out.
    #[must_use]
    pub fn allows(&self, action: &Action, target: &Target, own: NodeId) -> bool {
        let Some(grants) = &self.0 else {
            return true;
        };
        let node = match target {
            Target::Here => Some(own),
            Target::Node(id) => Some(*id),
            Target::Many(_) | Target::Unreadable(_) => None,
        };
        grants.iter().any(|grant| {
            grant.actions.iter().any(|item| item.cover(action))
                && grant.nodes.iter().any(|item| item.cover(node, own))
        })
    }
}

impl Default for Rights {
    fn default() -> Self {
        Self::everything()
    }
}

impl GrantedActions {
    /// Reads an item: `*`, or the name of an action as it is written on the wire. A name that
    /// gorgone itself gives no meaning may be a module's.
    ///
    /// # Errors
    /// When the text cannot be the name of an action.
    pub fn parse(text: &str) -> Result<Self, InvalidGrant> {
        if text == "*" {
            return Ok(Self::Every);
        }
        let possible = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        if text.is_empty() || !text.chars().all(possible) {
            return Err(InvalidGrant::Action(text.to_owned()));
        }
        match Action::parse(text) {
            Action::Other(_) => {
                let name = text.to_uppercase();
                match Action::parse(&name) {
                    Action::Other(_) => Ok(Self::One(Action::parse(text))),
                    _ => Err(InvalidGrant::Capitals {
                        text: text.to_owned(),
                        name,
                    }),
                }
            }
            action => Ok(Self::One(action)),
        }
    }

    fn cover(&self, action: &Action) -> bool {
        match self {
            Self::Every => true,
            Self::One(one) => one == action,
        }
    }
}

impl GrantedNodes {
    /// Reads an item: `*`, `self`, an id or a range of ids.
    ///
    /// # Errors
    /// When the text is none of these, or a range without a node in it.
    pub fn parse(text: &str) -> Result<Self, InvalidGrant> {
        let id = |part: &str| {
            NodeId::parse(part.trim()).map_err(|_| InvalidGrant::Node(text.to_owned()))
        };
        match (text, text.split_once('-')) {
            ("*", _) => Ok(Self::Every),
            ("self", _) => Ok(Self::Own),
            (_, None) => id(text).map(|id| Self::Range(id, id)),
            (_, Some((first, last))) => {
                let (first, last) = (id(first)?, id(last)?);
                if first > last {
                    return Err(InvalidGrant::EmptyRange(text.to_owned()));
                }
                Ok(Self::Range(first, last))
            }
        }
    }

    fn cover(&self, node: Option<NodeId>, own: NodeId) -> bool {
        match (self, node) {
            (Self::Every, _) => true,
            (Self::Own, Some(node)) => node == own,
            (Self::Range(first, last), Some(node)) => (*first..=*last).contains(&node),
            (Self::Own | Self::Range(..), None) => false,
        }
    }
}
