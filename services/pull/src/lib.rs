//! gorgone-pull: on a poller behind a firewall, what gorgone-proxy is on a central.
//!
//! ```text
//! central's core ◀──session, made by us──▶ service ──▶ poller ──▶ Node ──▶ local ──bus──▶ our core
//!                  NODES, tasks, questions ▶                    (pure)
//!                ◀ CARRIED, NODESTATE, PUTROWS
//! ```
//! To the central this is a proxy that has the connection to one node: the one that this host is.
//! So what is promised for nodes that a central connects to is promised here by the same code, in
//! `gorgone_routing` there and in `gorgone_carriage` here. Nothing is kept here: what was accepted is
//! in the store of either core.

mod known;
mod local;
mod poller;
mod service;

pub use known::KnownFile;
pub use service::Service;
