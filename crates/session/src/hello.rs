//! The first message of a handshake, and the RSA work that it costs.
//!
//! ```text
//! seed       [HOSTNAME] [PEM, newlines as the two characters \n] [hex of RSA(HELO)]
//! centreon   [IDENTITY] [base64 of PEM]                          [base64 of RSA(HELO)]
//! ```

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gorgone_crypto::{CryptoRng, PrivateKey, PublicKey, SessionKey, VECTOR_BYTES};
use gorgone_protocol::Dialect;

use crate::{Refusal, envelope};

/// What the third field says once it is decrypted.
pub(crate) const HELO: &[u8] = b"HELO";

/// A handshake's first message, read but not believed.
#[derive(Debug)]
pub(crate) struct Hello {
    pub(crate) dialect: Dialect,
    pub(crate) client: PublicKey,
    pub(crate) sealed: Vec<u8>,
}

impl Hello {
    /// Reads the message. The name in the first field is not looked at: it proves nothing, and
    /// the peer is known by its ZeroMQ identity.
    pub(crate) fn parse(frame: &[u8]) -> Result<Self, Refusal> {
        let [_, key, sealed] = fields(frame).ok_or(Refusal::Nonsense)?;
        let (dialect, pem, sealed) = if key.trim_start().starts_with("-----BEGIN") {
            let sealed = hex::decode(sealed.trim()).map_err(|_| Refusal::Nonsense)?;
            (Dialect::Seed, key.to_owned(), sealed)
        } else {
            let pem = STANDARD.decode(key).map_err(|_| Refusal::Nonsense)?;
            let pem = String::from_utf8(pem).map_err(|_| Refusal::Nonsense)?;
            let sealed = STANDARD.decode(sealed).map_err(|_| Refusal::Nonsense)?;
            (Dialect::Centreon, pem, sealed)
        };
        let client = PublicKey::from_pem(&pem).map_err(Refusal::ClientKey)?;
        Ok(Self {
            dialect,
            client,
            sealed,
        })
    }
}

/// Three fields and nothing after them. None of them holds a `]`.
fn fields(frame: &[u8]) -> Option<[&str; 3]> {
    let text = std::str::from_utf8(frame).ok()?;
    let (first, rest) = text.strip_prefix('[')?.split_once(']')?;
    let (second, rest) = rest.trim_start().strip_prefix('[')?.split_once(']')?;
    let (third, rest) = rest.trim_start().strip_prefix('[')?.split_once(']')?;
    rest.trim().is_empty().then_some([first, second, third])
}

/// Which handshake an outcome belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct JobId(pub(crate) u64);

/// The RSA work of one handshake: milliseconds, so it runs beside the loop.
#[derive(Debug)]
pub struct HelloJob {
    pub(crate) id: JobId,
    pub(crate) hello: Hello,
    pub(crate) hostname: Arc<str>,
    pub(crate) keysize: usize,
    pub(crate) vector: [u8; VECTOR_BYTES],
}

/// How the RSA work of one handshake ended. Hand it back as an event.
#[derive(Debug)]
pub struct HelloOutcome(pub(crate) Result<Offer, Refusal>);

/// A key that was made for a peer, and the frame that hands it over.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) key: SessionKey,
    pub(crate) frame: Vec<u8>,
}

impl HelloJob {
    /// Which handshake this is.
    #[must_use]
    pub const fn id(&self) -> JobId {
        self.id
    }

    /// Decrypts HELO, makes a session key and encrypts it for the client.
    pub fn run<R: CryptoRng + ?Sized>(self, server: &PrivateKey, rng: &mut R) -> HelloOutcome {
        HelloOutcome(self.offer(server, rng))
    }

    fn offer<R: CryptoRng + ?Sized>(
        &self,
        server: &PrivateKey,
        rng: &mut R,
    ) -> Result<Offer, Refusal> {
        let plain = server
            .decrypt(rng, &self.hello.sealed)
            .map_err(|_| Refusal::NotHelo)?;
        if plain != HELO {
            return Err(Refusal::NotHelo);
        }
        let dialect = self.hello.dialect;
        let vector = match dialect {
            Dialect::Seed => self.vector,
            Dialect::Centreon => {
                let mut fresh = [0; VECTOR_BYTES];
                rng.fill_bytes(&mut fresh);
                fresh
            }
        };
        let key = SessionKey::generate(rng, self.keysize, vector).map_err(Refusal::SessionKey)?;
        let text = envelope::write_key(dialect, &self.hostname, &key);
        let sealed = self
            .hello
            .client
            .encrypt(rng, &text)
            .map_err(|_| Refusal::KeyTooShort)?;
        let frame = match dialect {
            Dialect::Seed => sealed,
            Dialect::Centreon => STANDARD.encode(sealed).into_bytes(),
        };
        Ok(Offer { key, frame })
    }
}
