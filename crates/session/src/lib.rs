//! Handshake and sessions with peers from outside, as pure state machines.
//!
//! ```text
//! client                                      server
//!   │  [HOSTNAME] [CLIENTPUBKEY] [HELO]          │   clear; HELO under the server's RSA key
//!   ├───────────────────────────────────────────▶│   thumbprint authorised? then RSA, beside the loop
//!   │  [KEY] [server hostname] [32 bytes]        │   under the client's RSA key
//!   │◀───────────────────────────────────────────┤
//!   │  AES-256-CBC, both ways                    │   the first message proves the key
//!   │◀──────────────────────────────────────────▶│
//! ```
//!
//! Both sides have the same shape: hand them an event and the time, then fetch what they want
//! done. They know neither ZeroMQ, nor SQL, nor what the messages mean.

mod bucket;
mod client;
mod config;
mod envelope;
mod event;
mod handshakes;
mod hello;
mod peer;
mod record;
mod refusal;
mod server;
mod server_key;

pub use client::{Client, ClientConfig, ClientEvent};
pub use config::ServerConfig;
pub use event::{Effect, Event};
pub use hello::{HelloJob, HelloOutcome, JobId};
pub use record::{Record, StoredSession};
pub use refusal::Refusal;
pub use server::Server;
pub use server_key::{SERVER_KEY_QUESTION, read_server_key};

/// What a refused peer is told, whatever went wrong.
pub const HANDSHAKE_ISSUE: &str = r#"[ACK] [] {"code":1,"data":{"message":"handshake issue"}}"#;
