//! The client's side: from a greeting to a session, and back when the server forgot it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gorgone_crypto::{self as crypto, CryptoRng, PrivateKey, PublicKey, SessionKey, VECTOR_BYTES};
use gorgone_protocol::{AnswerName, Dialect, Status, Thumbprint, decode_answer};
use serde::Deserialize;

use crate::hello::HELO;
use crate::{HANDSHAKE_ISSUE, envelope};

/// Who the client is, and whom it speaks to.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The name in the greeting; a `]` in it is left out.
    pub hostname: String,
    /// The server's public key.
    pub server_key: PublicKey,
    /// The client's own key, whose thumbprint the server has among `authorized_clients`.
    pub key: PrivateKey,
    /// The vector that begins every message of the seed's dialect, as on the server.
    pub vector: [u8; VECTOR_BYTES],
    /// Bytes of the session key in the seed's dialect, as on the server.
    pub keysize: usize,
}

/// What a frame from the server meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClientEvent {
    /// The server accepted: messages can be sealed from here on.
    Established,
    /// The server said something under the session key: UTF-8 that begins with `[`.
    Message(Vec<u8>),
    /// The server changed the key, as the newer dialect does from time to time. There is
    /// nothing to do.
    Rotated,
    /// `handshake issue`: it did not accept the greeting, or has forgotten the session. Greet
    /// again, and not at once for ever.
    Refused,
    /// Neither of these: not for this session, or forged.
    Unreadable,
}

/// One client's conversation with one server.
///
/// ```text
/// Fresh ─hello─▶ Greeting ─KEY─▶ Talking ─hello─▶ Greeting …
///                   │ handshake issue  │ handshake issue
///                   └───────▶ Fresh ◀──┘
/// ```
/// RSA is done in place: a client has nobody else to serve meanwhile.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    dialect: Dialect,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing was said, or the server does not know us any more.
    Fresh,
    /// HELO was sent. The server still accepts the key of before, and may speak under it.
    Greeting { before: Option<Keys> },
    /// There is a session.
    Talking(Keys),
}

#[derive(Clone, Debug)]
struct Keys {
    current: SessionKey,
    /// The one before the last rotation, which the server may still use for a while.
    previous: Option<SessionKey>,
}

impl Keys {
    fn open(&self, dialect: Dialect, frame: &[u8]) -> Option<Vec<u8>> {
        envelope::open(&self.current, dialect, frame)
            .or_else(|| envelope::open(self.previous.as_ref()?, dialect, frame))
    }
}

impl Client {
    /// A client that speaks the seed's dialect.
    #[must_use]
    pub const fn new(config: ClientConfig) -> Self {
        Self::with_dialect(config, Dialect::Seed)
    }

    /// A client that speaks this dialect.
    #[must_use]
    pub const fn with_dialect(config: ClientConfig, dialect: Dialect) -> Self {
        Self {
            config,
            dialect,
            state: State::Fresh,
        }
    }

    /// The frame that begins a handshake, for the first time or anew.
    ///
    /// # Errors
    /// [`crypto::Error`] when one of the keys cannot be used.
    pub fn hello<R: CryptoRng + ?Sized>(&mut self, rng: &mut R) -> Result<Vec<u8>, crypto::Error> {
        let hostname = self.config.hostname.replace(']', "");
        let pem = self.config.key.public().to_pem()?;
        let sealed = self.config.server_key.encrypt(rng, HELO)?;
        let frame = match self.dialect {
            Dialect::Seed => {
                let pem = pem.replace('\n', "\\n");
                format!("[{hostname}] [{pem}] [{}]", hex::encode(sealed))
            }
            Dialect::Centreon => {
                let (pem, sealed) = (STANDARD.encode(pem), STANDARD.encode(sealed));
                format!("[{hostname}] [{pem}] [{sealed}]")
            }
        };
        let before = match std::mem::replace(&mut self.state, State::Fresh) {
            State::Fresh => None,
            State::Greeting { before } => before,
            State::Talking(keys) => Some(keys),
        };
        self.state = State::Greeting { before };
        Ok(frame.into_bytes())
    }

    /// The thumbprint by which the server knows this client.
    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        self.config.key.public().thumbprint()
    }

    /// Takes a frame from the server, other than one that brings the key of a handshake: no RSA
    /// is done.
    pub fn read(&mut self, frame: &[u8]) -> ClientEvent {
        if is_refusal(frame) {
            self.state = State::Fresh;
            return ClientEvent::Refused;
        }
        let keys = match &self.state {
            State::Fresh => None,
            State::Greeting { before } => before.as_ref(),
            State::Talking(keys) => Some(keys),
        };
        match keys.and_then(|keys| keys.open(self.dialect, frame)) {
            None => ClientEvent::Unreadable,
            Some(text) if self.rotate(&text) => ClientEvent::Rotated,
            Some(text) => ClientEvent::Message(text),
        }
    }

    /// Takes a frame from the server. The random numbers blind the RSA of a KEY.
    pub fn handle<R: CryptoRng + ?Sized>(&mut self, frame: &[u8], rng: &mut R) -> ClientEvent {
        let event = self.read(frame);
        if event == ClientEvent::Unreadable
            && let State::Greeting { .. } = self.state
            && let Some(key) = self.read_key(frame, rng)
        {
            self.state = State::Talking(Keys {
                current: key,
                previous: None,
            });
            return ClientEvent::Established;
        }
        event
    }

    /// Wraps a text for the server; nothing, while there is no session.
    #[must_use]
    pub fn seal(&self, text: &str) -> Option<Vec<u8>> {
        match &self.state {
            State::Talking(keys) => Some(envelope::seal(&keys.current, self.dialect, text)),
            State::Fresh | State::Greeting { .. } => None,
        }
    }

    fn read_key<R: CryptoRng + ?Sized>(&self, frame: &[u8], rng: &mut R) -> Option<SessionKey> {
        match self.dialect {
            Dialect::Seed => {
                let text = self.config.key.decrypt(rng, frame).ok()?;
                envelope::read_seed_key(&text, self.config.keysize, self.config.vector)
            }
            Dialect::Centreon => {
                let sealed = STANDARD.decode(frame.trim_ascii()).ok()?;
                let text = self.config.key.decrypt(rng, &sealed).ok()?;
                envelope::read_centreon_key(&text)
            }
        }
    }

    /// In the newer dialect the server changes the key from time to time, and says so in a
    /// message under the old one.
    fn rotate(&mut self, text: &[u8]) -> bool {
        let (Dialect::Centreon, State::Talking(keys)) = (self.dialect, &mut self.state) else {
            return false;
        };
        let Some(key) = envelope::read_centreon_key(text) else {
            return false;
        };
        keys.previous = Some(std::mem::replace(&mut keys.current, key));
        true
    }
}

/// Servers write the members of the answer in any order.
fn is_refusal(frame: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Body {
        message: String,
    }
    if frame == HANDSHAKE_ISSUE.as_bytes() {
        return true;
    }
    // Only what looks like one is worth a JSON parser.
    frame.starts_with(b"[ACK]")
        && frame.len() < 256
        && decode_answer(frame).is_ok_and(|answer| {
            answer.name == AnswerName::Ack
                && answer.status == Status::Nok
                && answer
                    .data
                    .decode::<Body>()
                    .is_ok_and(|body| body.message == "handshake issue")
        })
}
