//! Speaks to a core: as a module that offers actions, or as a client that asks for them.
//!
//! Both keep what they were told until core has said that it is durable, and both find their
//! way back by themselves when a connection, core, or a session is lost.

mod asker;
pub mod carrier;
mod client;
mod ledger;
pub mod module;
mod uplink;
mod wire;

pub use asker::{AskError, Asker};
pub use client::{Client, ClientError, ClientOptions};
pub use uplink::{KnownKey, UplinkOptions, UplinkState};
