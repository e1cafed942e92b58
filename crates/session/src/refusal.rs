//! Why a peer was turned away: for counters and logs, never for the peer.

use gorgone_crypto as crypto;
use gorgone_protocol::Thumbprint;

/// Why a frame was answered with `handshake issue`. The peer learns only that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It opens under no key of this peer, and is no handshake.
    #[error("neither a message under the session key nor a handshake")]
    Nonsense,
    /// A handshake that is longer than one can be.
    #[error("too long for a handshake ({bytes} bytes)")]
    TooLong {
        /// The frame's length.
        bytes: usize,
    },
    /// The client's public key cannot be used.
    #[error("the client's public key: {0}")]
    ClientKey(crypto::Error),
    /// The client's key is not among the authorised ones.
    #[error("the key {0} is not among authorized_clients")]
    Unauthorized(Thumbprint),
    /// The name is kept for the owner of another key.
    #[error("the name is kept for another key than {0}")]
    Reserved(Thumbprint),
    /// The third field does not decrypt to `HELO`: the client has another server's key.
    #[error("HELO was not encrypted with this server's public key")]
    NotHelo,
    /// No session key could be made: the configured length is none that AES has.
    #[error("the session key: {0}")]
    SessionKey(crypto::Error),
    /// The KEY message is too long for the client's RSA key.
    #[error("the client's RSA key is too short for the session key")]
    KeyTooShort,
    /// A handshake of this peer is under way already.
    #[error("a handshake of this peer is under way already")]
    UnderWay,
    /// Too many handshakes wait.
    #[error("too many handshakes wait")]
    Busy,
    /// As many sessions as there may be are live.
    #[error("as many sessions as there may be are live")]
    Full,
    /// The RSA part never came back.
    #[error("the handshake was given up")]
    GivenUp,
}

impl Refusal {
    /// A word for counters: the same for every peer.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Nonsense => "nonsense",
            Self::TooLong { .. } => "too_long",
            Self::ClientKey(_) => "client_key",
            Self::Unauthorized(_) => "unauthorized",
            Self::Reserved(_) => "reserved",
            Self::NotHelo => "wrong_server_key",
            Self::SessionKey(_) => "session_key",
            Self::KeyTooShort => "key_too_short",
            Self::UnderWay => "under_way",
            Self::Busy => "busy",
            Self::Full => "full",
            Self::GivenUp => "given_up",
        }
    }
}
