//! What of a session must outlive the server's process.

use gorgone_crypto::SessionKey;
use gorgone_protocol::{Dialect, Identity, Thumbprint};

/// A session as it is written down. Its `Debug` shows no key.
#[derive(Clone, Debug)]
pub struct StoredSession {
    /// Under which ZeroMQ identity the peer speaks.
    pub identity: Identity,
    /// Which key it proved to own at the handshake.
    pub thumbprint: Thumbprint,
    /// How it spells things.
    pub dialect: Dialect,
    /// The symmetric key and vector.
    pub key: SessionKey,
    /// When the session began, in seconds since 1970.
    pub created: i64,
    /// When the peer last said something, in seconds since 1970.
    pub last_seen: i64,
    /// Until when the peer counts as a parent (it pinged), in seconds since 1970; 0 for never.
    pub parent_until: i64,
}

/// A change to write down.
#[derive(Clone, Debug)]
pub enum Record {
    /// A session began, or its key changed: replaces what stands under the same identity.
    Open(StoredSession),
    /// The peer spoke.
    Touch {
        /// Whose session.
        identity: Identity,
        /// Seconds since 1970.
        last_seen: i64,
        /// See [`StoredSession::parent_until`].
        parent_until: i64,
    },
    /// The session is over.
    Close(Identity),
}
