//! What peers have not taken yet, peer by peer, bounded in messages and in bytes.
//!
//! libzmq counts messages, and not how large they are. So it is given few at a time, and the rest
//! waits here.

use std::collections::{HashMap, VecDeque};

use gorgone_protocol::Identity;

use crate::Why;
use crate::handle::Letter;
use crate::queue::Weigh as _;

/// Most messages of one peer that libzmq is given at a time: enough for small ones to travel
/// together, few enough for large ones not to count.
pub(super) const IN_LIBZMQ: usize = 4;

/// Most bytes that wait for all peers together.
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// How much may wait for one peer. A single message may always wait, however large.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bounds {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

#[derive(Default)]
struct Queue {
    letters: VecDeque<Letter>,
    bytes: usize,
}

/// See the module's doc.
#[derive(Default)]
pub(super) struct Waiting {
    bounds: Bounds,
    peers: HashMap<Identity, Queue>,
    bytes: usize,
}

impl Waiting {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            ..Self::default()
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Whether something waits for this peer: what comes later has to wait behind it.
    pub(super) fn has(&self, peer: &Identity) -> bool {
        self.peers.contains_key(peer)
    }

    /// Lets a letter wait, or gives it back where its peer has too much waiting already.
    pub(super) fn push(&mut self, letter: Letter) -> Result<(), Letter> {
        let weight = letter.weight();
        if let Some(queue) = self.peers.get(&letter.peer)
            && (queue.letters.len() >= self.bounds.messages
                || queue.bytes.saturating_add(weight) > self.bounds.bytes)
        {
            return Err(letter);
        }
        if self.bytes != 0 && self.bytes.saturating_add(weight) > MAX_BYTES {
            return Err(letter);
        }
        self.bytes += weight;
        let queue = self.peers.entry(letter.peer.clone()).or_default();
        queue.bytes += weight;
        queue.letters.push_back(letter);
        Ok(())
    }

    /// Offers each peer's letters to `write`, in order, until it says that the peer is full.
    /// Returns whether any was taken, and the letters of peers that are gone.
    pub(super) fn offer(
        &mut self,
        mut write: impl FnMut(&Letter) -> Result<(), Why>,
    ) -> (bool, Vec<Letter>) {
        let mut taken = false;
        let mut gone = Vec::new();
        let bytes = &mut self.bytes;
        self.peers.retain(|_, queue| {
            while let Some(letter) = queue.letters.front() {
                let why = write(letter).err();
                if why == Some(Why::Full) {
                    return true;
                }
                let Some(letter) = queue.letters.pop_front() else {
                    break;
                };
                queue.bytes -= letter.weight();
                *bytes -= letter.weight();
                match why {
                    None => taken = true,
                    Some(_) => gone.push(letter),
                }
            }
            false
        });
        (taken, gone)
    }

    /// Takes out what waits for a peer whose connection ended.
    pub(super) fn forget(&mut self, peer: &Identity) -> impl Iterator<Item = Letter> + use<> {
        let queue = self.peers.remove(peer).unwrap_or_default();
        self.bytes -= queue.bytes;
        queue.letters.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn letter(peer: &str, bytes: usize) -> Letter {
        Letter {
            peer: Identity::new(peer.as_bytes()),
            frames: std::iter::once(Bytes::from(vec![0; bytes])).collect(),
        }
    }

    fn waiting() -> Waiting {
        Waiting::new(Bounds {
            messages: 3,
            bytes: 100,
        })
    }

    #[test]
    fn one_peer_has_its_bounds_and_costs_the_others_nothing() {
        let mut waiting = waiting();
        assert!(waiting.push(letter("a", 1000)).is_ok(), "the first one");
        assert!(waiting.push(letter("a", 1)).is_err(), "in bytes");
        for _ in 0..3 {
            assert!(waiting.push(letter("b", 1)).is_ok());
        }
        assert!(waiting.push(letter("b", 1)).is_err(), "in messages");
        assert!(waiting.push(letter("c", 100)).is_ok());
    }

    #[test]
    fn all_peers_together_have_a_bound() {
        let mut waiting = waiting();
        for number in 0..16 {
            let large = letter(&number.to_string(), MAX_BYTES / 16);
            assert!(waiting.push(large).is_ok());
        }
        assert!(waiting.push(letter("more", 1)).is_err());
        assert_eq!(waiting.forget(&Identity::new(b"0")).count(), 1);
        assert!(waiting.push(letter("more", 1)).is_ok());
        let (taken, gone) = waiting.offer(|_| Ok(()));
        assert!(taken && gone.is_empty());
        assert!(waiting.is_empty() && waiting.bytes == 0);
    }

    #[test]
    fn what_waits_leaves_in_order_and_what_is_for_nobody_comes_back() {
        let mut waiting = waiting();
        for bytes in 1..=3 {
            assert!(waiting.push(letter("slow", bytes)).is_ok());
        }
        assert!(waiting.push(letter("gone", 7)).is_ok());
        let mut written = Vec::new();
        let (taken, gone) = waiting.offer(|letter| {
            if letter.peer.as_bytes() == b"gone" {
                return Err(Why::Gone);
            }
            if written.len() == 2 {
                return Err(Why::Full);
            }
            written.push(letter.weight());
            Ok(())
        });
        assert!(taken);
        assert_eq!(written, [1, 2]);
        assert_eq!(gone.len(), 1);
        assert!(waiting.has(&Identity::new(b"slow")) && !waiting.has(&Identity::new(b"gone")));
        assert!(waiting.offer(|_| Ok(())).0);
        assert!(waiting.is_empty());
    }
}
