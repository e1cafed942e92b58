//! gorgone-core: everybody's way to everybody. Clients come in from the outside, modules from
//! the inside; core decides, writes down, and passes on.
//!
//! ```text
//!  edge ──▶ session ──▶ router ──▶ bus      a client's request to a module
//!    ▲                    │ │
//!    └──── ACK ◀── store ◀┘ └──▶ history    what was written down, and what is read
//! ```
//! One loop owns the state and has no locks: it waits for whatever happens next, hands it to
//! the state machines of `session` and `routing`, and does what they want done. RSA and SQL run
//! beside it and come back as events.

mod beside;
mod build;
mod core;
mod credentials;
mod effects;
mod figures;
mod handshakes;
mod housekeeping;
mod nodes_file;
mod readings;

pub use crate::core::Core;
