//! How long to wait before a service that died is started again.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LAST: Duration = Duration::from_secs(30);
/// Ready for that long, a service counts as healthy again.
const HEALTHY: Duration = Duration::from_secs(5);
/// A service that can start is not kept down for longer than that.
const LAST_IF_READY: Duration = Duration::from_secs(1);

/// Doubles from 100 ms to 30 s while a service does not get ready.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The service died; it had been ready for that long, or never was. Returns how long to
    /// wait.
    pub(crate) fn died(&mut self, ready_for: Option<Duration>) -> Duration {
        if ready_for.is_some_and(|time| time >= HEALTHY) {
            self.failures = 0;
        }
        let last = if ready_for.is_some() {
            LAST_IF_READY
        } else {
            LAST
        };
        let delay = FIRST.saturating_mul(1 << self.failures.min(16)).min(last);
        self.failures = self.failures.saturating_add(1);
        // A quarter more or less, so that services that died together do not return together.
        let random = RandomState::new().build_hasher().finish() % 512;
        delay.mul_f64(0.75 + f64::from(u32::try_from(random).unwrap_or(0)) / 1024.0)
    }
}
