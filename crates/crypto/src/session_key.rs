//! The symmetric key of a session: AES in CBC mode with PKCS#7 padding.
//!
//! The same vector begins every message, as peers in the field expect it. The protocol has no
//! message authentication: that a frame decrypts to text is the only sign that its sender knew
//! the key.

use std::fmt;

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use aes::{Aes128, Aes192, Aes256};
use cbc::{Decryptor, Encryptor};

use crate::{CryptoRng, Error};

/// Bytes in the initialisation vector: one AES block.
pub const VECTOR_BYTES: usize = 16;

/// The key and vector of one session, without an allocation; its `Debug` shows neither.
///
/// The key schedule is computed anew for each message: that costs less than what the schedules
/// of thousands of idle sessions would hold in memory.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKey {
    key: Key,
    iv: [u8; VECTOR_BYTES],
}

#[derive(Clone, PartialEq, Eq)]
enum Key {
    Aes128([u8; 16]),
    Aes192([u8; 24]),
    Aes256([u8; 32]),
}

impl SessionKey {
    /// Takes a key that was made or stored earlier.
    ///
    /// # Errors
    /// [`Error::KeySize`] when the key has not 16, 24 or 32 bytes.
    pub fn from_parts(key: &[u8], iv: [u8; VECTOR_BYTES]) -> Result<Self, Error> {
        let wrong = || Error::KeySize { bytes: key.len() };
        let key = None
            .or_else(|| key.try_into().ok().map(Key::Aes128))
            .or_else(|| key.try_into().ok().map(Key::Aes192))
            .or_else(|| key.try_into().ok().map(Key::Aes256))
            .ok_or_else(wrong)?;
        Ok(Self { key, iv })
    }

    /// Makes a key of so many bytes.
    ///
    /// # Errors
    /// [`Error::KeySize`] when that is not 16, 24 or 32.
    pub fn generate<R: CryptoRng + ?Sized>(
        rng: &mut R,
        bytes: usize,
        iv: [u8; VECTOR_BYTES],
    ) -> Result<Self, Error> {
        let mut random = [0; 32];
        rng.fill_bytes(&mut random);
        let key = random.get(..bytes).ok_or(Error::KeySize { bytes })?;
        Self::from_parts(key, iv)
    }

    /// The key, for the store and for the message that hands it to the client.
    #[must_use]
    pub const fn key_bytes(&self) -> &[u8] {
        match &self.key {
            Key::Aes128(key) => key,
            Key::Aes192(key) => key,
            Key::Aes256(key) => key,
        }
    }

    /// The initialisation vector.
    #[must_use]
    pub const fn iv(&self) -> [u8; VECTOR_BYTES] {
        self.iv
    }

    /// Encrypts a message. The result is 1 to 16 bytes longer.
    #[must_use]
    pub fn seal(&self, plain: &[u8]) -> Vec<u8> {
        let iv = (&self.iv).into();
        match &self.key {
            Key::Aes128(key) => {
                Encryptor::<Aes128>::new(key.into(), iv).encrypt_padded_vec::<Pkcs7>(plain)
            }
            Key::Aes192(key) => {
                Encryptor::<Aes192>::new(key.into(), iv).encrypt_padded_vec::<Pkcs7>(plain)
            }
            Key::Aes256(key) => {
                Encryptor::<Aes256>::new(key.into(), iv).encrypt_padded_vec::<Pkcs7>(plain)
            }
        }
    }

    /// Decrypts a message.
    ///
    /// # Errors
    /// [`Error::Decrypt`] when it was not sealed with this key. One in about 256 foreign
    /// messages slips through and opens to nonsense: look at what comes out.
    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let iv = (&self.iv).into();
        match &self.key {
            Key::Aes128(key) => {
                Decryptor::<Aes128>::new(key.into(), iv).decrypt_padded_vec::<Pkcs7>(sealed)
            }
            Key::Aes192(key) => {
                Decryptor::<Aes192>::new(key.into(), iv).decrypt_padded_vec::<Pkcs7>(sealed)
            }
            Key::Aes256(key) => {
                Decryptor::<Aes256>::new(key.into(), iv).decrypt_padded_vec::<Pkcs7>(sealed)
            }
        }
        .map_err(|_| Error::Decrypt)
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionKey(AES-{})", self.key_bytes().len() * 8)
    }
}
