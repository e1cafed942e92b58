//! How a service is, on a port of its own: in clear, without credentials, and without a word
//! about what anybody asked.
//!
//! ```text
//! /healthz   200 while the service's loop turns
//! /readyz    200 while it can be used, else 503, with the reason
//! /metrics   figures for Prometheus
//! ```
//! It has a thread of its own, so that it can say of a service that is stuck that it is.

mod ask;
mod exposition;
mod health;
mod process;
mod server;

use std::io;
use std::net::{SocketAddr, TcpListener};

pub use ask::ask;
pub use exposition::{Exposition, Family};
pub use health::{Health, Last, Pulse};

/// Opens the port and answers there until the process ends.
///
/// # Errors
/// When the port cannot be opened, or the system has no thread left.
pub(crate) fn start(address: SocketAddr, health: Health) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let bound = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("gorgone-monitor".to_owned())
        .spawn(move || runtime.block_on(server::run(listener, health)))?;
    Ok(bound)
}
