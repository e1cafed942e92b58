//! Connections: taken in, counted, encrypted, cut when they dawdle, ended in order.

mod connection;
mod counted;
mod listen;
mod stalls;
mod tls;
mod unread;
mod watch;

pub(crate) use counted::Connections;
pub(crate) use listen::{Listener, Service};
pub(crate) use tls::Certificate;
pub use tls::TlsError;
pub(crate) use watch::Watch;
