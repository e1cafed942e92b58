//! How long to wait before the next attempt to connect.

use std::time::Duration;

/// Waits that double up to a bound, each between half of itself and all of it: nodes that were
/// lost together do not come back together.
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
    random: u64,
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration, seed: u64) -> Self {
        Self {
            first,
            longest,
            next: first,
            // The generator stands still at 0.
            random: seed | 1,
        }
    }

    /// The next wait.
    pub(super) fn next(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.longest).max(self.first);
        // Marsaglia's xorshift: chance enough to keep nodes apart.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let thousandths = u32::try_from(self.random % 1000).unwrap_or(0);
        wait / 2 + wait / 2 * thousandths / 1000
    }

    /// It went well: begin anew.
    pub(super) fn reset(&mut self) {
        self.next = self.first;
    }
}
