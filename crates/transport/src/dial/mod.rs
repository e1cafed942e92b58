//! Outgoing connections by the thousand: a DEALER's side of ZMTP 3, on the caller's runtime.
//!
//! A socket of libzmq that connects to 2,000 peers takes 29 kB for each of them when they have
//! just connected and 85 kB after 600 messages each way, since its queues are made of chunks of
//! 16 kB; it connects again by itself, at times of its own, and does not tell whose connection was lost.
//! Here a connection is a task with no buffer of its own while nothing is under way, one attempt
//! is one [`Line`], and whoever wants another one dials again.
//!
//! # What a line may count on
//!
//! - Messages leave in order. A peer that does not read fills the outbox of its own line, and
//!   stops nobody else.
//! - A peer that says what no ZMTP peer says, or a message above [`Options::max_message`], ends
//!   its own line, before memory is taken for it.
//! - Events of all lines share one inbox. While it is full, nothing is read from any line.
//! - The first connection of an identity has the name, see [`crate::edge`]: one that comes
//!   while an older one is believed alive is left aside, and hears nothing.

mod line;
mod zmtp;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gorgone_protocol::{Endpoint, Identity};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::handle::check_identity;
use crate::queue::{self, Producer};
use crate::{Bound, Error, Frames, SendError, files};

/// Which attempt to connect: never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct LineId(u64);

/// What happens to a line.
#[derive(Debug, PartialEq, Eq)]
pub enum LineEvent {
    /// The connection stands. Messages go out from here on.
    Connected,
    /// The peer sent a message.
    Message(Frames),
    /// The line is over. Messages that were sent may be lost with it.
    Lost(Lost),
}

/// Why a line is over.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Lost {
    /// The host is there, and nobody listens on the port.
    #[error("cannot connect: nobody listens on this port; does gorgoned run there?")]
    NobodyListens,
    /// The name has no address, or there is no way to it.
    #[error("cannot connect: {0}")]
    Unreachable(String),
    /// No answer to the attempt to connect.
    #[error("cannot connect: no answer; is the host up, and does a firewall let the port through?")]
    NoAnswer,
    /// It is connected, and says nothing.
    #[error("connected, but no answer; does something else listen on this port?")]
    Silent,
    /// It does not speak ZeroMQ, or a version from before 4.0.
    #[error("whoever answers on this port does not speak ZeroMQ (4.0 or later)")]
    NotZmtp,
    /// It wants CURVE or the like.
    #[error("the peer wants a security of ZeroMQ's own, which gorgone does not use")]
    Secured,
    /// A socket that does not answer a DEALER, or that said so.
    #[error("the peer's ZeroMQ socket is of a kind that takes no requests")]
    TurnedAway,
    /// What came is no ZMTP.
    #[error("what the peer sent makes no sense")]
    Malformed,
    /// A message that is longer than any may be.
    #[error("the peer sent a message of {bytes} bytes; at most {max} are taken")]
    TooLong {
        /// Its length, as far as it was announced.
        bytes: u64,
        /// The limit.
        max: usize,
    },
    /// The connection broke, or was ended by the other side.
    #[error("the connection was lost: {0}")]
    Closed(String),
}

/// What all lines hold to.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many lines there may be: the limit of open files is raised for them, as far as it
    /// goes. One more than it allows is lost at once.
    pub lines: usize,
    /// Longest message, in bytes.
    pub max_message: usize,
    /// Bound of what waits for one peer.
    pub outbox: Bound,
    /// Bound of the inbox of all lines.
    pub inbox: Bound,
    /// How long connecting may take.
    pub connect: Duration,
    /// How long the peer may take to greet.
    pub greeting: Duration,
    /// How long sent bytes may stay without a sign of the other host.
    pub unanswered: Duration,
    /// How long queued messages may take to leave when a line is dropped.
    pub linger: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lines: 10_000,
            max_message: 16 * 1024 * 1024,
            outbox: Bound {
                messages: 1000,
                bytes: 32 * 1024 * 1024,
            },
            inbox: Bound::DEFAULT,
            connect: Duration::from_secs(10),
            greeting: Duration::from_secs(10),
            unanswered: Duration::from_secs(30),
            linger: Duration::from_millis(500),
        }
    }
}

struct Entry {
    line: LineId,
    event: LineEvent,
    /// Its place in the inbox.
    _room: Option<OwnedSemaphorePermit>,
}

/// What the lines of one dialer share.
struct Shared {
    options: Options,
    /// Bytes that the inbox has room for.
    room: Arc<Semaphore>,
    /// Names that are looked up at one time: each takes a thread meanwhile.
    lookups: Semaphore,
}

const LOOKUPS: usize = 4;

/// Makes lines. Cheap to clone.
#[derive(Clone)]
pub struct Dialer {
    shared: Arc<Shared>,
    inbox: mpsc::Sender<Entry>,
    next: Arc<AtomicU64>,
}

/// Receives what happens to all lines of a dialer.
pub struct Lines {
    inbox: mpsc::Receiver<Entry>,
}

/// A dialer, and what happens to its lines.
#[must_use]
pub fn dialer(options: Options) -> (Dialer, Lines) {
    files::affordable(options.lines);
    let (sender, inbox) = mpsc::channel(options.inbox.messages.max(1));
    let room = options.inbox.bytes.clamp(1, Semaphore::MAX_PERMITS);
    let shared = Shared {
        options,
        room: Arc::new(Semaphore::new(room)),
        lookups: Semaphore::new(LOOKUPS),
    };
    let dialer = Dialer {
        shared: Arc::new(shared),
        inbox: sender,
        next: Arc::new(AtomicU64::new(1)),
    };
    (dialer, Lines { inbox })
}

impl Dialer {
    /// Begins to connect, once: how it goes is told by the line's events, the last of which is
    /// [`LineEvent::Lost`].
    ///
    /// # Errors
    /// When the identity is none, or the endpoint is not TCP.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn dial(&self, endpoint: &Endpoint, identity: &Identity) -> Result<Line, Error> {
        check_identity(identity)?;
        let Endpoint::Tcp { host, port } = endpoint else {
            return Err(Error::Unusable {
                endpoint: endpoint.clone(),
                problem: "other machines are reached by tcp only".to_owned(),
            });
        };
        let id = LineId(self.next.fetch_add(1, Ordering::Relaxed));
        let (outbox, letters) = queue::bounded(self.shared.options.outbox, None);
        let (up, hung_up) = oneshot::channel();
        let task = line::Task {
            id,
            host: host.clone(),
            port: *port,
            identity: identity.clone(),
            shared: Arc::clone(&self.shared),
            inbox: self.inbox.clone(),
            letters,
        };
        tokio::spawn(task.run(hung_up));
        Ok(Line {
            id,
            outbox,
            _up: up,
        })
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").finish_non_exhaustive()
    }
}

impl Lines {
    /// The next event; nothing when the dialer and all its lines are gone. Cancel-safe.
    pub async fn recv(&mut self) -> Option<(LineId, LineEvent)> {
        let entry = self.inbox.recv().await?;
        Some((entry.line, entry.event))
    }

    /// The next event, if there is one already.
    pub fn try_recv(&mut self) -> Option<(LineId, LineEvent)> {
        let entry = self.inbox.try_recv().ok()?;
        Some((entry.line, entry.event))
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").finish_non_exhaustive()
    }
}

/// One attempt to connect, and the connection that comes of it. Dropping it hangs up: what was
/// sent has [`Options::linger`] to leave, and no event follows.
pub struct Line {
    id: LineId,
    outbox: Producer<Frames>,
    _up: oneshot::Sender<()>,
}

impl Line {
    /// Which one.
    #[must_use]
    pub const fn id(&self) -> LineId {
        self.id
    }

    /// Queues a message. Never waits.
    ///
    /// # Errors
    /// When the outbox is full (the peer reads too slowly) or the line is over; the message is
    /// not sent then.
    pub fn send(&self, frames: Frames) -> Result<(), SendError> {
        self.outbox.push(frames).map_err(|(_, why)| why)
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
