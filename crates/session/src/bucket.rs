//! A token bucket on a clock that is handed in.

use std::time::Duration;

/// Lets through so many per second in the long run, and a burst after a pause.
///
/// It keeps one number: the moment at which the bucket would be full again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    interval: Duration,
    depth: Duration,
    full_at: Duration,
}

impl Bucket {
    /// `per_second` 0 lets everything through.
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1)
            .checked_div(per_second)
            .unwrap_or(Duration::ZERO);
        Self {
            interval,
            depth: interval.saturating_mul(burst.max(1)),
            full_at: Duration::ZERO,
        }
    }

    /// When the next one may pass.
    pub(crate) fn ready_at(&self) -> Duration {
        (self.full_at + self.interval).saturating_sub(self.depth)
    }

    /// Takes one, if there is one.
    pub(crate) fn take(&mut self, now: Duration) -> bool {
        let ready = self.ready_at() <= now;
        if ready {
            self.full_at = self.full_at.max(now) + self.interval;
        }
        ready
    }
}
