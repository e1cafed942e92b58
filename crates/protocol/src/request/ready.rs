//! `[XREADY]`: how a module plugs in.
//!
//! ```text
//! module → core   [XREADY] [] [] {"actions":["X"]}
//! core → module   [ACK] [] {"code":0,"data":{"message":"ready"}}
//! core → module   [X] [TOKEN] [] DATA
//! module → core   [PUTLOG] [] [] {"code":1,"token":"TOKEN","data":{…}}
//! ```
//! A module says READY again as often as it likes; doing so is its heartbeat, and lets it
//! survive a restart of core. A module that said what it offers and then says `"actions":[]` takes
//! nothing more; one that never offers anything is there to ask.

use serde::{Deserialize, Serialize};

use super::nodes::NodeKind;
use crate::Token;

/// The body of READY. Only `actions` is needed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Ready {
    /// What the module offers; empty: nothing, or nothing any more.
    pub actions: Vec<String>,
    /// It is about to end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub draining: bool,
    /// It offers nothing at the moment, because another instance acts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub standby: bool,
    /// How many requests it takes at once: core hands over no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,
    /// Tells one life of the module from the next. Without it, a lost connection counts as a
    /// death.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<String>,
    /// Every how many seconds it says READY: core takes it for gone after three times that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<u32>,
    /// After a lost connection: which requests it has and has not settled yet. Core hands over
    /// again what it believes there and does not find in the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Vec<Token>>,
    /// What its administrator may want to know of it; INFORMATION shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Kinds of nodes whose connections the module makes: core tells it by NODES which ones are
    /// its own, and hands it what is for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub carries: Vec<NodeKind>,
}
