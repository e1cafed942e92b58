//! gorgone-httpserver: the HTTP API. It has no state of its own: any number of instances may
//! run.
//!
//! ```text
//! caller ─▶ net ─▶ door ─▶ api ─▶ core (over the bus)
//!        connections  who, from where,   what is asked, and what the answer looks like
//!                     how often
//! ```
//! It opens no database and decides no rights: core is told who asks, and says what they may.

mod api;
mod auth;
mod caller;
mod core;
mod door;
mod limits;
mod metrics;
mod net;
mod reads;
mod service;

pub use auth::{Auth, BadCredential, BadHash, Denied, hash};
pub use net::TlsError;
pub use service::{Error, run};
