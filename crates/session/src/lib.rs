//! Handshake and sessions with peers from outside, as pure state machines.

mod record;

pub use record::{Record, StoredSession};
