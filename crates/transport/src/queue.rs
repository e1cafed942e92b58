//! The queues between handles and socket threads: bounded in messages and in bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::mpsc;

use crate::signal::Signal;
use crate::{Frames, SendError};

/// How much a queue may hold. One message always fits into an empty queue, however large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// Most messages.
    pub messages: usize,
    /// Most bytes of payload.
    pub bytes: usize,
}

impl Bound {
    /// 16,384 messages, 64 MiB.
    pub const DEFAULT: Self = Self {
        messages: 16 * 1024,
        bytes: 64 * 1024 * 1024,
    };
}

impl Default for Bound {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What an entry counts for in bytes.
pub(crate) trait Weigh {
    fn weight(&self) -> usize;
}

/// The bytes of a message.
pub(crate) fn weight(frames: &Frames) -> usize {
    frames.iter().map(bytes::Bytes::len).sum()
}

struct Shared {
    bytes: AtomicUsize,
    max_bytes: usize,
    /// The producer waits for room and wants `room` raised when there is some.
    stalled: AtomicBool,
    room: Option<Arc<Signal>>,
}

/// The producing half.
pub(crate) struct Producer<T> {
    channel: mpsc::Sender<T>,
    shared: Arc<Shared>,
}

impl<T> Clone for Producer<T> {
    fn clone(&self) -> Self {
        Self {
            channel: self.channel.clone(),
            shared: Arc::clone(&self.shared),
        }
    }
}

/// The consuming half.
pub(crate) struct Consumer<T> {
    channel: mpsc::Receiver<T>,
    shared: Arc<Shared>,
}

/// A queue. `room` is raised when a producer that was refused can try again.
pub(crate) fn bounded<T: Weigh>(
    bound: Bound,
    room: Option<Arc<Signal>>,
) -> (Producer<T>, Consumer<T>) {
    let (sender, receiver) = mpsc::channel(bound.messages.max(1));
    let shared = Arc::new(Shared {
        bytes: AtomicUsize::new(0),
        max_bytes: bound.bytes,
        stalled: AtomicBool::new(false),
        room,
    });
    let producer = Producer {
        channel: sender,
        shared: Arc::clone(&shared),
    };
    let consumer = Consumer {
        channel: receiver,
        shared,
    };
    (producer, consumer)
}

impl<T: Weigh> Producer<T> {
    /// Puts an entry in, or gives it back.
    pub(crate) fn push(&self, entry: T) -> Result<(), (T, SendError)> {
        let weight = entry.weight();
        let before = self.shared.bytes.fetch_add(weight, Ordering::SeqCst);
        if before != 0 && before.saturating_add(weight) > self.shared.max_bytes {
            self.shared.bytes.fetch_sub(weight, Ordering::SeqCst);
            let why = if self.channel.is_closed() {
                SendError::Closed
            } else {
                SendError::Full
            };
            return Err((entry, why));
        }
        self.channel.try_send(entry).map_err(|refused| {
            self.shared.bytes.fetch_sub(weight, Ordering::SeqCst);
            match refused {
                mpsc::error::TrySendError::Full(entry) => (entry, SendError::Full),
                mpsc::error::TrySendError::Closed(entry) => (entry, SendError::Closed),
            }
        })
    }

    /// Says that this producer waits for room. Try once more after it, then wait for the signal.
    pub(crate) fn stall(&self) {
        self.shared.stalled.store(true, Ordering::SeqCst);
    }

    /// The consumer is gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.channel.is_closed()
    }
}

impl<T: Weigh> Consumer<T> {
    fn taken(&self, entry: &T) {
        self.shared
            .bytes
            .fetch_sub(entry.weight(), Ordering::SeqCst);
        if self.shared.stalled.load(Ordering::SeqCst)
            && self.shared.stalled.swap(false, Ordering::SeqCst)
            && let Some(room) = &self.shared.room
        {
            room.raise();
        }
    }

    /// The next entry; `None` when every producer is gone. Cancel-safe.
    pub(crate) async fn recv(&mut self) -> Option<T> {
        let entry = self.channel.recv().await?;
        self.taken(&entry);
        Some(entry)
    }

    /// The next entry, if there is one.
    pub(crate) fn try_recv(&mut self) -> Option<T> {
        let entry = self.channel.try_recv().ok()?;
        self.taken(&entry);
        Some(entry)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.channel.is_empty()
    }

    /// Takes no more entries; what is in can still be received.
    pub(crate) fn close(&mut self) {
        self.channel.close();
    }
}
