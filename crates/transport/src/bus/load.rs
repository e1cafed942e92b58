//! What a connection has in flight. The `zeromq` crate queues 100,000 messages of any size for a
//! peer that does not read; here they are counted until it has let go of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use zeromq::ZmqMessage;

use crate::queue::weight;
use crate::signal::Signal;
use crate::{Bound, Frames};

/// What one connection has in flight.
pub(super) struct Load {
    bound: Bound,
    messages: AtomicUsize,
    bytes: AtomicUsize,
    /// Raised when something has left, if somebody waits for it.
    left: Option<Arc<Signal>>,
    waiting: AtomicBool,
}

/// Below what the crate itself queues for a peer, so that it always takes what has room here.
const MOST_MESSAGES: usize = 50_000;

impl Load {
    pub(super) fn new(bound: Bound, left: Option<Arc<Signal>>) -> Arc<Self> {
        Arc::new(Self {
            bound: Bound {
                messages: bound.messages.min(MOST_MESSAGES),
                bytes: bound.bytes,
            },
            waiting: AtomicBool::new(false),
            messages: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            left,
        })
    }

    /// Whether a message may be added. One message always may, however large.
    pub(super) fn has_room_for(&self, frames: &Frames) -> bool {
        let messages = self.messages.load(Ordering::SeqCst);
        let bytes = self.bytes.load(Ordering::SeqCst);
        messages == 0
            || (messages < self.bound.messages
                && bytes.saturating_add(weight(frames)) <= self.bound.bytes)
    }

    /// Asks for the signal at the next departure. Look for room once more after it.
    pub(super) fn wait_for_room(&self) {
        self.waiting.store(true, Ordering::SeqCst);
    }

    /// The message for the crate, after the frames in `head`; it counts until the crate has
    /// written or dropped it.
    pub(super) fn wrap(
        self: &Arc<Self>,
        head: Option<Bytes>,
        frames: &Frames,
    ) -> Option<ZmqMessage> {
        let weight = weight(frames);
        let (last, first) = frames.split_last()?;
        self.messages.fetch_add(1, Ordering::SeqCst);
        self.bytes.fetch_add(weight, Ordering::SeqCst);
        let counted = Bytes::from_owner(Counted {
            frame: last.clone(),
            weight,
            load: Arc::clone(self),
        });
        let parts: Vec<Bytes> = head
            .into_iter()
            .chain(first.iter().cloned())
            .chain([counted])
            .collect();
        ZmqMessage::try_from(parts).ok()
    }
}

/// A message's last frame, counted as in flight until it is dropped.
struct Counted {
    frame: Bytes,
    weight: usize,
    load: Arc<Load>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.frame
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.load.bytes.fetch_sub(self.weight, Ordering::SeqCst);
        self.load.messages.fetch_sub(1, Ordering::SeqCst);
        if self.load.waiting.swap(false, Ordering::SeqCst)
            && let Some(left) = &self.load.left
        {
            left.raise();
        }
    }
}
