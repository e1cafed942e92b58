//! gorgone-proxy: connections to other nodes, requests to them, and their rows back home.
//!
//! ```text
//! core ──NODES, tasks, questions──▶ service ──▶ fleet ──▶ Node ──▶ dial ──▶ the node's edge
//!      ◀──CARRIED, NODESTATE, PUTROWS──          rsa      (pure)
//! ```
//! Which node belongs to which instance, and what is done with a task that came back, is
//! core's business. What goes on with one node is decided in `gorgone_carriage`, `fleet` decides
//! nothing, `definition` reads files, and only `service` knows that there is a process.

mod definition;
mod fleet;
mod pins;
mod rsa;
mod service;

pub use definition::{Home, Print, Resolved};
pub use pins::Pins;
pub use service::Service;
