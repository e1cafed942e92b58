//! What the writer has done, counted: for whoever watches.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What was written since the store was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Figures {
    /// Transactions that were tried.
    pub groups: u64,
    /// Of these, how many failed.
    pub failed: u64,
    /// Batches in all of them: what those who wrote had given, each.
    pub batches: u64,
    /// How long they took, together.
    pub took: Duration,
    /// Bytes that wait to be written.
    pub queued: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Meter {
    groups: AtomicU64,
    failed: AtomicU64,
    batches: AtomicU64,
    micros: AtomicU64,
}

impl Meter {
    pub(crate) fn wrote(&self, batches: usize, took: Duration, well: bool) {
        let add = |to: &AtomicU64, value: u64| to.fetch_add(value, Ordering::Relaxed);
        add(&self.groups, 1);
        add(&self.failed, u64::from(!well));
        add(&self.batches, batches as u64);
        add(&self.micros, u64::try_from(took.as_micros()).unwrap_or(0));
    }

    pub(crate) fn figures(&self, queued: usize) -> Figures {
        let load = |value: &AtomicU64| value.load(Ordering::Relaxed);
        Figures {
            groups: load(&self.groups),
            failed: load(&self.failed),
            batches: load(&self.batches),
            took: Duration::from_micros(load(&self.micros)),
            queued,
        }
    }
}
