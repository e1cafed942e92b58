//! Stopping: stop taking, drain until a deadline, end.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// Why the service stops.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// It was asked to (SIGTERM, SIGINT): drain.
    Asked,
    /// The gorgoned that started it is gone: end at once, so that a new one finds the ports
    /// free.
    SupervisorGone,
}

/// What tells a service to stop, and how long it may take. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
    begun: Arc<OnceLock<(Reason, Instant)>>,
}

impl Shutdown {
    /// Begins the shutdown, of which `budget` is the drain; the first call decides.
    pub fn begin(&self, reason: Reason, budget: Duration) {
        self.begun.get_or_init(|| (reason, Instant::now() + budget));
        self.token.cancel();
    }

    /// Cancelled when the service must stop taking work.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Waits until the service must stop taking work.
    pub async fn begun(&self) {
        self.token.cancelled().await;
    }

    /// Why it stops, once it does.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.begun.get().map(|(reason, _)| *reason)
    }

    /// How much of the drain's time is left; all the time in the world before it begins.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.begun.get().map_or(Duration::MAX, |(_, end)| {
            end.saturating_duration_since(Instant::now())
        })
    }
}
