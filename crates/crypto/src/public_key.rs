//! RSA public keys: whom a peer claims to be.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gorgone_protocol::Thumbprint;
use rsa::pkcs1::DecodeRsaPublicKey;
use rsa::pkcs8::{DecodePublicKey, EncodePublicKey};
use rsa::traits::PublicKeyParts;
use rsa::{Pkcs1v15Encrypt, RsaPublicKey};
use sha2::{Digest, Sha256};

use crate::{CryptoRng, Error, pem};

/// An RSA public key of [`PublicKey::MIN_BITS`] to [`PublicKey::MAX_BITS`] bits.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    key: RsaPublicKey,
    thumbprint: Thumbprint,
}

impl PublicKey {
    /// Shorter keys can be broken.
    pub const MIN_BITS: usize = 1024;
    /// Longer keys would let a peer choose how long this side computes.
    pub const MAX_BITS: usize = 8192;

    /// Reads PEM: SPKI or PKCS#1, whatever the label says. Its newlines may be the two
    /// characters `\n`, as they are inside a handshake message.
    ///
    /// # Errors
    /// [`Error::NotPem`], [`Error::NotPublicKey`], [`Error::RsaSize`].
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        let der = pem::read(text)?;
        // The modulus cannot be longer than its encoding, so a refusal for its size can tell
        // from the body alone, before any arithmetic.
        if der.len() > Self::MAX_BITS / 8 + 64 {
            return Err(Error::RsaSize {
                bits: der.len() * 8,
            });
        }
        RsaPublicKey::from_public_key_der(&der)
            .ok()
            .or_else(|| RsaPublicKey::from_pkcs1_der(&der).ok())
            .ok_or(Error::NotPublicKey)
            .and_then(Self::checked)
    }

    pub(crate) fn checked(key: RsaPublicKey) -> Result<Self, Error> {
        let bits = key.n().bits_vartime() as usize;
        if !(Self::MIN_BITS..=Self::MAX_BITS).contains(&bits) {
            return Err(Error::RsaSize { bits });
        }
        let thumbprint = thumbprint(&key)?;
        Ok(Self { key, thumbprint })
    }

    /// Writes PEM as SPKI (`PUBLIC KEY`).
    ///
    /// # Errors
    /// [`Error::Write`] when the key cannot be encoded.
    pub fn to_pem(&self) -> Result<String, Error> {
        let der = self.key.to_public_key_der().map_err(|_| Error::Write)?;
        Ok(pem::write("PUBLIC KEY", der.as_bytes()))
    }

    /// The thumbprint of RFC 7638 with SHA-256: what `authorized_clients` names a key by.
    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        self.thumbprint.clone()
    }

    /// Bits of the modulus.
    #[must_use]
    pub fn bits(&self) -> usize {
        self.key.n().bits_vartime() as usize
    }

    /// Encrypts with RSAES-PKCS1-v1_5.
    ///
    /// # Errors
    /// [`Error::Encrypt`] when the text is longer than the key's bytes less 11.
    pub fn encrypt<R: CryptoRng + ?Sized>(
        &self,
        rng: &mut R,
        plain: &[u8],
    ) -> Result<Vec<u8>, Error> {
        self.key
            .encrypt(rng, Pkcs1v15Encrypt, plain)
            .map_err(|_| Error::Encrypt)
    }
}

/// SHA-256 of the key as a JSON Web Key with its members in alphabetical order.
fn thumbprint(key: &RsaPublicKey) -> Result<Thumbprint, Error> {
    let jwk = format!(
        r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#,
        URL_SAFE_NO_PAD.encode(key.e().to_be_bytes_trimmed_vartime()),
        URL_SAFE_NO_PAD.encode(key.n().to_be_bytes_trimmed_vartime()),
    );
    let digest = URL_SAFE_NO_PAD.encode(Sha256::digest(jwk.as_bytes()));
    Thumbprint::parse(&digest).map_err(|_| Error::NotPublicKey)
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} bits, {})", self.bits(), self.thumbprint())
    }
}
