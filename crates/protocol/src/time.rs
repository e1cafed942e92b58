//! Time as it is handed to state machines: they never look at a clock themselves.

use std::time::Duration;

/// One reading of both clocks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Moment {
    /// Milliseconds since 1970 by the system's clock, which may jump. For what is written
    /// down and must hold across restarts.
    pub unix_ms: i64,
    /// Time since some fixed moment, which never jumps. For how long to wait.
    pub monotonic: Duration,
}

impl Moment {
    /// Seconds since 1970: the unit of the seed's `ctime` and `etime`.
    #[must_use]
    pub const fn unix(self) -> i64 {
        self.unix_ms.div_euclid(1000)
    }

    /// The moment that much later by both clocks.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self {
            unix_ms: self
                .unix_ms
                .saturating_add(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX)),
            monotonic: self.monotonic.saturating_add(delay),
        }
    }
}
