//! How long to wait before a run is begun again.

use std::time::Duration;

/// Waits that grow from one to the next. Written as `{"first":30,"factor":2,"max":3600}` in
/// seconds, or as a number: the first wait, which doubles.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Backoff {
    /// Before the first retry.
    pub first: Duration,
    /// By how much each wait is longer than the one before; at least 1.
    pub factor: f64,
    /// No wait is longer; at least `first`.
    pub max: Duration,
}

impl Backoff {
    /// Half a minute, then twice as long each time, up to an hour.
    pub const DEFAULT: Self = Self {
        first: Duration::from_secs(30),
        factor: 2.0,
        max: Duration::from_secs(3600),
    };

    /// The wait before a retry; they count from 1.
    #[must_use]
    pub fn before(&self, retry: u32) -> Duration {
        let exponent = i32::try_from(retry.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = self.first.as_secs_f64() * self.factor.powi(exponent);
        // Also when it is infinite.
        if seconds < self.max.as_secs_f64() {
            Duration::from_secs_f64(seconds)
        } else {
            self.max
        }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::DEFAULT
    }
}
