//! RSA private keys: who this node or client is.

use std::fmt;
use std::sync::Arc;

use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use rsa::{Pkcs1v15Encrypt, RsaPrivateKey};

use crate::{CryptoRng, Error, PublicKey, pem};

/// An RSA private key. Cheap to clone. Its `Debug` shows the public half only.
#[derive(Clone)]
pub struct PrivateKey {
    key: Arc<RsaPrivateKey>,
    public: PublicKey,
}

impl PrivateKey {
    /// Shorter keys are read (old nodes have them) and never made.
    pub const MIN_GENERATED_BITS: usize = 2048;

    /// Reads PEM: PKCS#8 or PKCS#1, whatever the label says.
    ///
    /// # Errors
    /// [`Error::NotPem`], [`Error::Encrypted`], [`Error::NotPrivateKey`], [`Error::RsaSize`].
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        let der = pem::read(text)?;
        RsaPrivateKey::from_pkcs8_der(&der)
            .ok()
            .or_else(|| RsaPrivateKey::from_pkcs1_der(&der).ok())
            .ok_or(Error::NotPrivateKey)
            .and_then(Self::checked)
    }

    /// Makes a new key. Takes seconds: not for an event loop.
    ///
    /// # Errors
    /// [`Error::Generate`] when the size is out of range.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R, bits: usize) -> Result<Self, Error> {
        if !(Self::MIN_GENERATED_BITS..=PublicKey::MAX_BITS).contains(&bits) {
            return Err(Error::Generate { bits });
        }
        RsaPrivateKey::new(rng, bits)
            .map_err(|_| Error::Generate { bits })
            .and_then(Self::checked)
    }

    fn checked(key: RsaPrivateKey) -> Result<Self, Error> {
        let public = PublicKey::checked(key.to_public_key())?;
        Ok(Self {
            key: Arc::new(key),
            public,
        })
    }

    /// Writes PEM as PKCS#8 (`PRIVATE KEY`), without a password.
    ///
    /// # Errors
    /// [`Error::Write`] when the key cannot be encoded.
    pub fn to_pem(&self) -> Result<String, Error> {
        let der = self.key.to_pkcs8_der().map_err(|_| Error::Write)?;
        Ok(pem::write("PRIVATE KEY", der.as_bytes()))
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Decrypts RSAES-PKCS1-v1_5. The computation is blinded with the random numbers, so that
    /// its duration tells nothing about the key.
    ///
    /// Wrong padding is not an error: it gives bytes that depend on the key and the input, the
    /// same each time, so that a peer cannot tell wrong padding from a wrong text. What comes
    /// out means something only if the caller recognises it.
    ///
    /// # Errors
    /// [`Error::Decrypt`] for everything else that can be wrong.
    pub fn decrypt<R: CryptoRng + ?Sized>(
        &self,
        rng: &mut R,
        sealed: &[u8],
    ) -> Result<Vec<u8>, Error> {
        self.key
            .decrypt_blinded(rng, Pkcs1v15Encrypt, sealed)
            .map_err(|_| Error::Decrypt)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey(of {:?})", self.public)
    }
}
