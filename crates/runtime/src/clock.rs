//! The clock that services read; state machines below them are handed its moments.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use gorgone_protocol::Moment;

/// Reads both clocks of the system. Cheap to clone.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock whose monotonic time begins now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// This moment.
    #[must_use]
    pub fn now(&self) -> Moment {
        let unix_ms = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
        };
        Moment {
            unix_ms,
            monotonic: self.start.elapsed(),
        }
    }
}
