//! How many connections there are, altogether and from each address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::auth::network_of;
use crate::metrics::Metrics;

/// Descriptors that the process needs for other things than connections.
const RESERVED_FILES: u64 = 128;

/// The connections that are open.
#[derive(Debug)]
pub(crate) struct Connections {
    by_peer: Mutex<HashMap<IpAddr, usize>>,
    metrics: Arc<Metrics>,
}

impl Connections {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            by_peer: Mutex::default(),
            metrics,
        }
    }

    /// Takes one more in, among at most `max`, of which `own` come from the same address.
    pub(crate) fn enter(
        self: &Arc<Self>,
        peer: IpAddr,
        (max, own): (usize, usize),
    ) -> Option<Counted> {
        let peer = network_of(peer);
        let mut by_peer = self.by_peer.lock().unwrap_or_else(PoisonError::into_inner);
        let all = &self.metrics.connections;
        let count = by_peer.entry(peer).or_default();
        if all.load(Ordering::Relaxed) >= max || *count >= own {
            if *count == 0 {
                by_peer.remove(&peer);
            }
            self.metrics.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        *count += 1;
        all.fetch_add(1, Ordering::Relaxed);
        self.metrics.accepted.fetch_add(1, Ordering::Relaxed);
        Some(Counted {
            connections: Arc::clone(self),
            peer,
        })
    }
}

/// One connection that is open.
#[derive(Debug)]
pub(crate) struct Counted {
    connections: Arc<Connections>,
    peer: IpAddr,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let connections = &self.connections;
        let mut by_peer = connections
            .by_peer
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_peer.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                by_peer.remove(&self.peer);
            }
        }
        let all = &connections.metrics.connections;
        all.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Raises the limit of open files as far as it may be, and returns how many connections fit.
pub(crate) fn room_for_connections(wanted: usize) -> usize {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return wanted;
    };
    let needed = (wanted as u64).saturating_add(RESERVED_FILES);
    let mut limit = soft;
    if soft < needed && setrlimit(Resource::RLIMIT_NOFILE, needed.min(hard), hard).is_ok() {
        limit = needed.min(hard);
    }
    let room = usize::try_from(limit.saturating_sub(RESERVED_FILES)).unwrap_or(usize::MAX);
    if room < wanted {
        tracing::warn!(
            wanted,
            room,
            "the limit of open files allows fewer connections than modules.httpserver.max_connections; raise it (LimitNOFILE= in systemd)"
        );
    }
    room.min(wanted)
}
