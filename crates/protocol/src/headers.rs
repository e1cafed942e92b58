//! What travels beside a message: on the internal side in a second frame, to a poller that came in
//! over the external side in front of it.
//!
//! ```text
//! [HEADERS] [] [] {"attempt":1,"via":7}
//! [COMMAND] [TOKEN] [7] {…}
//! ```

use serde::{Deserialize, Serialize};

use crate::NodeId;

/// What begins a message that has its headers in front of it.
const IN_FRONT: &str = "[HEADERS] [] [] ";

/// The optional second frame of an internal message: JSON, never seen by old daemons.
/// Unknown members are ignored, so that services of different versions understand each other.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Headers {
    /// W3C trace context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Which hand-over of the same token this is, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The credential on whose behalf a module asks: that of a caller who came in through a door
    /// of its own. Core checks the rights of this credential; without it the module asks for
    /// itself. Trusted, as everything is that comes over the bus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The address of that caller, for the audit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The central for which gorgone-pull asks, in place of `user`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub central: Option<NodeId>,
    /// The node whose connection leads to the target: core says it to the proxy that owns it.
    /// With `attempt` the message is a task, and the proxy says CARRIED; without, it is a
    /// question, and the proxy answers it with `[ACK]` under the token that it bears.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<NodeId>,
    /// When the task's time to live is over, milliseconds since 1970: a proxy does not send it
    /// to its node after that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
}

impl Headers {
    /// Reads a header frame; one that makes no sense is as good as none.
    #[must_use]
    pub fn decode(frame: &[u8]) -> Self {
        serde_json::from_slice(frame).unwrap_or_default()
    }

    /// Writes the header frame, or nothing where there is nothing to say.
    #[must_use]
    pub fn encode(&self) -> Option<Vec<u8>> {
        if *self == Self::default() {
            return None;
        }
        serde_json::to_vec(self).ok()
    }

    /// The message with these in front of it, as one text.
    #[must_use]
    pub fn in_front_of(&self, text: String) -> String {
        match serde_json::to_string(self) {
            Ok(headers) if *self != Self::default() => format!("{IN_FRONT}{headers}\n{text}"),
            _ => text,
        }
    }

    /// Parts a text from the headers in front of it, where it has some.
    #[must_use]
    pub fn part(text: &[u8]) -> (Option<&[u8]>, &[u8]) {
        let Some(rest) = text.strip_prefix(IN_FRONT.as_bytes()) else {
            return (None, text);
        };
        match rest.iter().position(|byte| *byte == b'\n') {
            Some(end) => (Some(&rest[..end]), &rest[end + 1..]),
            None => (None, text),
        }
    }
}
