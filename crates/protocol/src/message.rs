//! A request, and everything that is said on the internal side.

use crate::{Action, Data, NodeId, Selection, Token};

/// The four fields of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// What is asked for.
    pub action: Action,
    /// What follows the request; the server mints one where it is absent.
    pub token: Option<Token>,
    /// Who is to do it.
    pub target: Target,
    /// What it takes.
    pub data: Data,
}

impl Message {
    /// A message to the node that receives it.
    #[must_use]
    pub fn new(action: Action, token: Option<Token>, data: Data) -> Self {
        Self {
            action,
            token,
            target: Target::Here,
            data,
        }
    }
}

/// Which gorgoned executes a request.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum Target {
    /// The node that receives the request: an empty target.
    #[default]
    Here,
    /// A node of the fleet, or this one by its id.
    Node(NodeId),
    /// Several nodes, each for itself.
    Many(Selection),
    /// A text that is neither. It is carried so that the answer can name it.
    Unreadable(String),
}

impl Target {
    /// The target that a text stands for.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.trim() {
            "" => Self::Here,
            text => NodeId::parse(text)
                .map(Self::Node)
                .ok()
                .or_else(|| Selection::parse(text).map(Self::Many).ok())
                .unwrap_or_else(|| Self::Unreadable(text.to_owned())),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Here => Ok(()),
            Self::Node(id) => id.fmt(f),
            Self::Many(selection) => selection.fmt(f),
            Self::Unreadable(text) => f.write_str(text),
        }
    }
}
