//! Asking a node whether it is there, and what it answered.

use std::time::Duration;

use gorgone_protocol::{Moment, NodeId, Token};

/// When to ask, and how often it was answered.
pub(super) struct Pings {
    every: Duration,
    silence: Duration,
    /// Where in each period this node has its turn, so that not all are asked at once.
    phase: Duration,
    next: Duration,
    awaited: Option<Token>,
    heard: Duration,
    /// Seconds since 1970; 0 is never.
    pub(super) sent_at: i64,
    pub(super) answered_at: i64,
    pub(super) ok: u64,
    pub(super) failed: u64,
}

/// What to do when the time has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing yet.
    Nothing,
    /// Ask. `missed` says that the last question was not answered.
    Ask {
        /// See above.
        missed: bool,
    },
    /// It has been silent for too long.
    Silent,
}

impl Pings {
    pub(super) fn new(node: NodeId, every: Duration, silence: Duration) -> Self {
        let every = every.max(Duration::from_millis(1));
        // Fibonacci hashing spreads neighbouring ids over the period.
        let spread = node.get().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let period = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
        Self {
            every,
            silence,
            phase: Duration::from_millis(spread % period.max(1)),
            next: Duration::ZERO,
            awaited: None,
            heard: Duration::ZERO,
            sent_at: 0,
            answered_at: 0,
            ok: 0,
            failed: 0,
        }
    }

    /// A question with this token goes out now.
    pub(super) fn asked(&mut self, token: Token, now: Moment) {
        self.awaited = Some(token);
        self.sent_at = now.unix();
        let period = self.every.as_millis().max(1);
        let at = now.monotonic + self.every / 2;
        let ahead = (at.saturating_sub(self.phase).as_millis() / period + 1) * period;
        let ahead = Duration::from_millis(u64::try_from(ahead).unwrap_or(u64::MAX));
        self.next = self.phase + ahead;
    }

    /// Whether an answer with this token is the one that is awaited.
    pub(super) fn awaits(&self, token: Option<&Token>) -> bool {
        token.is_some() && self.awaited.as_ref() == token
    }

    /// The question was answered.
    pub(super) fn answered(&mut self, now: Moment) {
        self.awaited = None;
        self.answered_at = now.unix();
        self.ok += 1;
    }

    /// The question came to nothing.
    pub(super) fn missed(&mut self) {
        self.failed += u64::from(self.awaited.take().is_some());
    }

    /// The node said something.
    pub(super) fn heard(&mut self, now: Duration) {
        self.heard = now;
    }

    pub(super) fn deadline(&self) -> Duration {
        self.next.min(self.heard + self.silence)
    }

    pub(super) fn due(&mut self, now: Duration) -> Due {
        if now >= self.heard + self.silence {
            return Due::Silent;
        }
        if now < self.next {
            return Due::Nothing;
        }
        let missed = self.awaited.is_some();
        self.missed();
        Due::Ask { missed }
    }
}
