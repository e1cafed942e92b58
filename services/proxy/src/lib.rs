//! gorgone-proxy: connections to other nodes, requests to them, and their rows back home.
//!
//! ```text
//! core ──NODES, tasks, questions──▶ service ──▶ fleet ──▶ node ──▶ dial ──▶ the node's edge
//!      ◀──CARRIED, NODESTATE, PUTROWS──          rsa      (pure)
//! ```
//! Which node belongs to which instance, and what is done with a task that came back, is
//! core's business. `node` does no IO, `fleet` decides nothing, `definition` reads files, and
//! only `service` knows that there is a process.

mod definition;
mod fleet;
pub mod node;
mod pins;
mod rsa;
mod service;

pub use definition::{Home, Print, Resolved};
pub use pins::Pins;
pub use service::Service;
