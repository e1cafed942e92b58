//! Rates: how often something may happen, for each of many keys.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Keys that are remembered; beyond, those are forgotten that have rested long enough, and if
/// that does not help, all of them.
const CAPACITY: usize = 65_536;

/// One bucket per key: it is full after a rest, every event takes something out of it, and it
/// fills up again evenly (GCRA). A bucket is one point in time: when it will be full.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    full_at: Mutex<HashMap<K, Instant>>,
    /// What one event takes, as the time in which it fills up again.
    cost: Duration,
    /// What a full bucket holds.
    volume: Duration,
}

impl<K: Eq + Hash + Clone> Buckets<K> {
    /// `burst` events at once after a rest, and one more after every `cost`.
    pub(crate) fn new(cost: Duration, burst: u32) -> Self {
        Self {
            full_at: Mutex::new(HashMap::new()),
            cost,
            volume: cost.saturating_mul(burst.max(1)),
        }
    }

    /// Lets one event happen, or says after how long it may.
    pub(crate) fn take(&self, key: &K, now: Instant) -> Result<(), Duration> {
        self.look(key, now, true)
    }

    /// Whether an event might happen, without letting it.
    pub(crate) fn peek(&self, key: &K, now: Instant) -> Result<(), Duration> {
        self.look(key, now, false)
    }

    fn look(&self, key: &K, now: Instant, take: bool) -> Result<(), Duration> {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let due = full_at.get(key).copied().unwrap_or(now).max(now);
        let after = due + self.cost;
        if let Some(late) = after.checked_duration_since(now + self.volume)
            && !late.is_zero()
        {
            return Err(late);
        }
        if take {
            if full_at.len() >= CAPACITY && !full_at.contains_key(key) {
                full_at.retain(|_, full| *full > now);
                if full_at.len() >= CAPACITY {
                    full_at.clear();
                }
            }
            full_at.insert(key.clone(), after);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_comes_at_once_and_the_rest_evenly() {
        let buckets = Buckets::new(Duration::from_secs(1), 3);
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(buckets.take(&"a", start), Ok(()));
        }
        assert_eq!(buckets.peek(&"a", start), Err(Duration::from_secs(1)));
        assert_eq!(buckets.take(&"b", start), Ok(()), "others notice nothing");
        let later = start + Duration::from_secs(1);
        assert_eq!(buckets.take(&"a", later), Ok(()));
        assert!(buckets.take(&"a", later).is_err());
        let rested = start + Duration::from_secs(60);
        for _ in 0..3 {
            assert_eq!(buckets.take(&"a", rested), Ok(()));
        }
        assert!(buckets.take(&"a", rested).is_err(), "no more than a bucket");
    }

    #[test]
    fn memory_is_bounded_whoever_comes() {
        let buckets = Buckets::new(Duration::from_secs(1), 1);
        let now = Instant::now();
        for key in 0..3 * CAPACITY {
            assert_eq!(buckets.take(&key, now), Ok(()));
        }
        assert!(buckets.full_at.lock().unwrap().len() <= CAPACITY);
    }
}
