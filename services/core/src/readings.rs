//! Readings of the store that wait: a few are under way at a time, and each asker has its turn, so
//! that one who asks for much at once holds up nobody but itself.

use std::collections::{HashMap, VecDeque};

use gorgone_routing::Origin;

/// How many are under way at a time: those that the store's readers work on, and as many whose
/// answers are just being put together.
const UNDER_WAY: usize = 4;

/// How many may wait in all.
const MAX_WAITING: usize = 1024;

/// How many of one client may wait. A module asks for many.
const MAX_OF_CLIENT: usize = 256;

/// See the module's doc. A reading is whatever `R` is.
pub(crate) struct Readings<R> {
    waiting: HashMap<Origin, VecDeque<R>>,
    /// Whoever has something waiting, once, the next one first.
    turns: VecDeque<Origin>,
    count: usize,
    under_way: usize,
}

impl<R> Default for Readings<R> {
    fn default() -> Self {
        Self {
            waiting: HashMap::new(),
            turns: VecDeque::new(),
            count: 0,
            under_way: 0,
        }
    }
}

impl<R> Readings<R> {
    /// Lets a reading wait for its turn, or gives it back.
    pub(crate) fn push(&mut self, asker: Origin, reading: R) -> Result<(), R> {
        let most = match &asker {
            Origin::Client(_) => MAX_OF_CLIENT,
            Origin::Module(_) => MAX_WAITING,
        };
        let of_asker = self.waiting.get(&asker).map_or(0, VecDeque::len);
        if self.count >= MAX_WAITING || of_asker >= most {
            return Err(reading);
        }
        if of_asker == 0 {
            self.turns.push_back(asker.clone());
        }
        self.count += 1;
        self.waiting.entry(asker).or_default().push_back(reading);
        Ok(())
    }

    /// The next reading to begin, if one may.
    pub(crate) fn next(&mut self) -> Option<R> {
        if self.under_way >= UNDER_WAY {
            return None;
        }
        let asker = self.turns.pop_front()?;
        let queue = self.waiting.get_mut(&asker)?;
        let reading = queue.pop_front()?;
        if queue.is_empty() {
            self.waiting.remove(&asker);
        } else {
            self.turns.push_back(asker);
        }
        self.count -= 1;
        self.under_way += 1;
        Some(reading)
    }

    /// One that was begun has come to its end.
    pub(crate) fn finished(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use gorgone_protocol::Identity;

    use super::*;

    fn client(name: &str) -> Origin {
        Origin::Client(Identity::new(name.as_bytes()))
    }

    #[test]
    fn who_asks_for_much_waits_behind_who_asks_for_little() {
        let mut readings = Readings::default();
        for number in 0..100 {
            assert_eq!(readings.push(client("greedy"), number), Ok(()));
        }
        for expected in 0..UNDER_WAY {
            assert_eq!(readings.next(), Some(expected));
        }
        assert_eq!(readings.next(), None, "as many are under way as may be");
        assert_eq!(readings.push(client("modest"), 1000), Ok(()));
        readings.finished();
        readings.finished();
        let next = [readings.next(), readings.next()];
        assert!(next.contains(&Some(1000)), "{next:?}");
    }

    #[test]
    fn every_reading_begins_once_and_the_bounds_hold() {
        let mut readings = Readings::default();
        let mut taken = 0;
        for asker in 0..10 {
            let of_asker = (0..300)
                .filter(|number| readings.push(client(&asker.to_string()), *number).is_ok())
                .count();
            assert!(of_asker <= MAX_OF_CLIENT);
            taken += of_asker;
        }
        assert_eq!(taken, MAX_WAITING);
        let mut begun = 0;
        while readings.next().is_some() {
            begun += 1;
            readings.finished();
        }
        assert_eq!(begun, taken);
        assert!(readings.waiting.is_empty() && readings.turns.is_empty());
    }
}
