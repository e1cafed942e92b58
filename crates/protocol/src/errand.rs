//! What core has for a node, as whoever makes the connection to it takes it up.

use crate::{Message, NodeId, Token};

/// A message that is to be brought to a node.
#[derive(Clone, PartialEq, Debug)]
pub struct Errand {
    /// The node whose connection it goes over.
    pub via: NodeId,
    /// The key of its answer, and of a task's rows.
    pub token: Token,
    /// What to send: its target is that node, or one behind it.
    pub message: Message,
    /// Which hand-over of a task this is. None for a question, which is to be answered.
    pub attempt: Option<u32>,
    /// When a task must not be sent any more, milliseconds since 1970.
    pub expires: Option<i64>,
}
