//! What happens to a server, and what it wants done.

use std::sync::Arc;

use bytes::Bytes;
use gorgone_protocol::{Dialect, Identity, Thumbprint};

use crate::{HelloJob, HelloOutcome, JobId, Record, Refusal};

/// Something happened.
#[derive(Debug)]
pub enum Event {
    /// A peer sent a frame.
    Received {
        /// Under which name.
        peer: Identity,
        /// As it came.
        frame: Bytes,
    },
    /// The RSA part of a handshake is done.
    HelloOpened {
        /// Which.
        job: JobId,
        /// What came out.
        outcome: HelloOutcome,
    },
    /// The time that `poll_timeout` named has come.
    Timeout,
}

/// Something is to be done, in the order in which it is fetched.
#[derive(Debug)]
pub enum Effect {
    /// Run this beside the loop, and hand back its outcome.
    OpenHello(HelloJob),
    /// Send a frame as it is.
    Send {
        /// To whom.
        peer: Identity,
        /// Ready to be sent.
        frame: Vec<u8>,
    },
    /// A peer with a live session said something.
    Message {
        /// Who.
        peer: Identity,
        /// In which spelling.
        dialect: Dialect,
        /// Whose key the session stands for.
        thumbprint: Arc<Thumbprint>,
        /// The message: UTF-8 that begins with `[`. Whether it is well formed is for the codec to say.
        text: Vec<u8>,
    },
    /// Write this down. It precedes the message that caused it: whoever acknowledges messages
    /// in the order of the commits promises nothing under a session that a crash forgets.
    Record(Record),
    /// A peer was turned away: for counters and logs. What the peer is told follows as a
    /// `Send`.
    Refused {
        /// Who.
        peer: Identity,
        /// The truth, which the peer does not learn.
        why: Refusal,
    },
}
