//! The handles that the rest of the program holds, the same for every backend.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gorgone_protocol::{Endpoint, Identity};
use tokio::sync::oneshot;

use crate::queue::{Consumer, Producer, Weigh, weight};
use crate::signal::Signal;
use crate::{Frames, MAX_PARTS, SendError, memory};

/// What happens on the bound side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouterEvent {
    /// A peer sent a message.
    Message {
        /// Who says to be the sender.
        peer: Identity,
        /// The message's parts.
        frames: Frames,
        /// The IP address that its connection comes from; known on the edge, over TCP.
        from: Option<Arc<str>>,
    },
    /// A peer connected, or a connection took the place of an older one with the same identity.
    /// Comes before the connection's first message. Not reported by the edge, where libzmq
    /// tells of a peer only when it speaks.
    Connected(Identity),
    /// A peer's connection ended. On the edge only for connections that had spoken, and
    /// messages that the peer sent before may still follow.
    Disconnected(Identity),
    /// A message that was not handed to any connection: the peer has not received it.
    Undelivered {
        /// Who it was for.
        peer: Identity,
        /// The message as it was given.
        frames: Frames,
        /// Why it came back.
        why: Why,
    },
}

/// Why a message came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// No connection has this identity.
    Gone,
    /// The connection has as much in flight as it may have: the peer reads too slowly.
    Full,
}

/// What happens on the connecting side. Messages queued while there is no connection go out, in
/// order, once there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DealerEvent {
    /// The router sent a message.
    Message(Frames),
    /// The connection stands, for the first time or again.
    Connected,
    /// The connection is lost; it is tried again without end. Messages that had been handed to
    /// the connection may be lost with it.
    Disconnected,
}

impl Weigh for RouterEvent {
    fn weight(&self) -> usize {
        match self {
            Self::Message { frames, .. } | Self::Undelivered { frames, .. } => weight(frames),
            Self::Connected(_) | Self::Disconnected(_) => 0,
        }
    }
}

impl Weigh for DealerEvent {
    fn weight(&self) -> usize {
        match self {
            Self::Message(frames) => weight(frames),
            Self::Connected | Self::Disconnected => 0,
        }
    }
}

/// A message on its way to a peer.
pub(crate) struct Letter {
    pub(crate) peer: Identity,
    pub(crate) frames: Frames,
}

impl Weigh for Letter {
    fn weight(&self) -> usize {
        weight(&self.frames)
    }
}

impl Weigh for Frames {
    fn weight(&self) -> usize {
        weight(self)
    }
}

/// What a socket has counted since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages dropped because they had no part or more than [`MAX_PARTS`].
    pub malformed: usize,
    /// Connections closed because there were too many.
    pub refused: usize,
    /// Connections closed because they stayed silent.
    pub silent: usize,
}

/// The life of a socket's thread: it ends when this is dropped.
pub(crate) struct Life {
    signal: Arc<Signal>,
    linger: Duration,
    done: Option<oneshot::Receiver<()>>,
}

impl Life {
    pub(crate) fn new(
        signal: Arc<Signal>,
        linger: Duration,
        done: Option<oneshot::Receiver<()>>,
    ) -> Self {
        Self {
            signal,
            linger,
            done,
        }
    }

    fn counters(&self) -> Counters {
        Counters {
            malformed: self.signal.malformed.load(Ordering::Relaxed),
            refused: self.signal.refused.load(Ordering::Relaxed),
            silent: self.signal.silent.load(Ordering::Relaxed),
        }
    }

    async fn close(mut self, linger: Duration) {
        self.signal.stop(linger);
        if let Some(done) = self.done.take() {
            // An error is a thread that is gone: as closed as it gets.
            let _ = done.await;
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.signal.stop(self.linger);
    }
}

/// The receiving half of a bound ROUTER. Dropping it closes the socket.
pub struct Router {
    pub(crate) inbox: Consumer<RouterEvent>,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) life: Life,
    /// Keeps the place in the hub, for the backend in memory.
    pub(crate) _place: Option<memory::Place>,
}

impl Router {
    /// The next event; `None` when the socket is closed. Cancel-safe: an event is either
    /// returned or still there.
    pub async fn recv(&mut self) -> Option<RouterEvent> {
        self.inbox.recv().await
    }

    /// The next event, if there is one already.
    pub fn try_recv(&mut self) -> Option<RouterEvent> {
        self.inbox.try_recv()
    }

    /// Where the socket really listens: ports chosen by the system are filled in, names resolved.
    #[must_use]
    pub fn local_endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// What was counted since the socket was opened.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.life.counters()
    }

    /// Closes the socket: takes no more messages, sends what is queued for at most `linger`, and
    /// returns when the port is free again. Senders answer [`SendError::Closed`] from then on.
    pub async fn close(mut self, linger: Duration) {
        // What still comes in is not wanted; an inbox that nobody empties must not hold up the end.
        self.inbox.close();
        self.life.close(linger).await;
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("endpoints", &self.endpoints)
            .finish_non_exhaustive()
    }
}

/// The sending half of a bound ROUTER. Cheap to clone.
#[derive(Clone)]
pub struct RouterSender {
    pub(crate) out: RouterOut,
}

#[derive(Clone)]
pub(crate) enum RouterOut {
    Thread {
        outbox: Producer<Letter>,
        signal: Arc<Signal>,
    },
    Memory(memory::RouterPort),
}

impl RouterSender {
    /// Queues a message for a peer. Never waits. Whether it could be handed to the peer's
    /// connection is told by [`RouterEvent::Undelivered`] if it could not.
    ///
    /// # Errors
    /// When the outbox is full or the socket is closed; the message is not sent then.
    ///
    /// # Panics
    /// Never; a message without parts or with more than [`MAX_PARTS`] is a bug of the caller and
    /// is refused in tests (debug builds).
    pub fn send(&self, peer: &Identity, frames: Frames) -> Result<(), SendError> {
        debug_assert!((1..=MAX_PARTS).contains(&frames.len()));
        match &self.out {
            RouterOut::Thread { outbox, signal } => {
                let letter = Letter {
                    peer: peer.clone(),
                    frames,
                };
                outbox.push(letter).map_err(|(_, why)| why)?;
                signal.raise_thread();
                Ok(())
            }
            RouterOut::Memory(port) => port.send(peer, frames),
        }
    }
}

impl fmt::Debug for RouterSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterSender").finish_non_exhaustive()
    }
}

/// The receiving half of a connecting DEALER. Dropping it closes the socket.
pub struct Dealer {
    pub(crate) inbox: Consumer<DealerEvent>,
    pub(crate) life: Life,
    /// Keeps the place in the hub, for the backend in memory.
    pub(crate) _place: Option<memory::Place>,
}

impl Dealer {
    /// The next event; `None` when the socket is closed. Cancel-safe: an event is either
    /// returned or still there.
    pub async fn recv(&mut self) -> Option<DealerEvent> {
        self.inbox.recv().await
    }

    /// The next event, if there is one already.
    pub fn try_recv(&mut self) -> Option<DealerEvent> {
        self.inbox.try_recv()
    }

    /// Closes the socket: takes no more messages, sends what is queued for at most `linger`.
    pub async fn close(mut self, linger: Duration) {
        self.inbox.close();
        self.life.close(linger).await;
    }
}

impl fmt::Debug for Dealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dealer").finish_non_exhaustive()
    }
}

/// The sending half of a connecting DEALER. Cheap to clone.
#[derive(Clone)]
pub struct DealerSender {
    pub(crate) out: DealerOut,
}

#[derive(Clone)]
pub(crate) enum DealerOut {
    Thread {
        outbox: Producer<Frames>,
        signal: Arc<Signal>,
    },
    Memory(memory::DealerPort),
}

impl DealerSender {
    /// Queues a message. Never waits.
    ///
    /// # Errors
    /// When the outbox is full (the router is away or slow) or the socket is closed; the
    /// message is not sent then.
    ///
    /// # Panics
    /// Never; see [`RouterSender::send`].
    pub fn send(&self, frames: Frames) -> Result<(), SendError> {
        debug_assert!((1..=MAX_PARTS).contains(&frames.len()));
        match &self.out {
            DealerOut::Thread { outbox, signal } => {
                outbox.push(frames).map_err(|(_, why)| why)?;
                signal.raise_thread();
                Ok(())
            }
            DealerOut::Memory(port) => port.send(frames),
        }
    }
}

impl fmt::Debug for DealerSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DealerSender").finish_non_exhaustive()
    }
}

/// Checks an identity that a socket is to connect with.
pub(crate) fn check_identity(identity: &Identity) -> Result<(), crate::Error> {
    match identity.as_bytes() {
        // libzmq keeps names that begin with a zero byte for the ones it makes up.
        [] | [0, ..] => Err(crate::Error::Identity),
        bytes if bytes.len() > 255 => Err(crate::Error::Identity),
        _ => Ok(()),
    }
}
