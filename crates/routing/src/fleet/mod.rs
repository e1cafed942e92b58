//! Other nodes: which there are, by which of them a target is reached, which proxy has the
//! connection to each, and what is on its way to them.

mod carry;
mod nodes;
mod owners;
mod pollers;
mod registry;
mod relays;
mod rows;
mod selected;
mod status;
mod targets;
mod ways;

pub(crate) use nodes::Nodes;
pub(crate) use relays::Relays;
pub(crate) use targets::{asking_core, other_node};
