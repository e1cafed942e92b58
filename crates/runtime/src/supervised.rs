//! The two pipes between gorgoned and a service that it started.
//!
//! ```text
//! gorgoned ──stdin──▶ service     nothing is ever written: its end means that gorgoned is gone
//! gorgoned ◀─stdout── service     one line, when the service is ready
//! ```
//! A pipe closes whatever kills its owner, so no child outlives gorgoned, and there is no
//! moment between fork and a later call in which its death goes unnoticed.

use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::shutdown::{Reason, Shutdown};

/// The variable of the environment by which a service knows that gorgoned started it.
pub const SUPERVISED: &str = "GORGONE_SUPERVISED";

/// What a service writes to its standard output when it is ready, with a newline.
pub const READY_LINE: &str = "READY";

/// From the supervisor's death to the end of a service that does not end by itself.
const ORPHAN_BUDGET: Duration = Duration::from_secs(1);

/// Whether gorgoned started this process.
pub(crate) fn is_supervised() -> bool {
    std::env::var_os(SUPERVISED).is_some()
}

/// Watches for gorgoned's death on a thread of its own: it works also where the service's
/// runtime is stuck.
pub(crate) fn watch_supervisor(shutdown: Shutdown) {
    let watch = move || {
        let mut byte = [0];
        loop {
            match std::io::stdin().lock().read(&mut byte) {
                Ok(1..) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
            }
        }
        tracing::warn!("gorgoned is gone; this service ends");
        shutdown.begin(Reason::SupervisorGone, ORPHAN_BUDGET);
        std::thread::sleep(ORPHAN_BUDGET);
        std::process::exit(1);
    };
    let thread = std::thread::Builder::new()
        .name("supervisor-watch".to_owned())
        .stack_size(64 * 1024)
        .spawn(watch);
    if let Err(error) = thread {
        tracing::warn!(%error, "cannot watch for the end of gorgoned");
    }
}

/// Tells gorgoned that this service is ready.
pub(crate) fn tell_supervisor() {
    let mut out = std::io::stdout().lock();
    let told = writeln!(out, "{READY_LINE}").and_then(|()| out.flush());
    if let Err(error) = told {
        tracing::warn!(%error, "cannot tell gorgoned that this service is ready");
    }
}

/// Tells the system's service manager something (`READY=1`, `STOPPING=1`), where there is one
/// that listens.
pub fn notify_service_manager(state: &str) {
    let Ok(path) = std::env::var("NOTIFY_SOCKET") else {
        return;
    };
    let told = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&path),
    }
    .and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
    if let Err(error) = told {
        tracing::warn!(%error, path, "cannot notify the service manager");
    }
}
