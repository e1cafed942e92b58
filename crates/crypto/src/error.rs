//! What can go wrong with keys.

use crate::{PrivateKey, PublicKey};

/// Why a key could not be read, made or used. Nothing in it is secret, and nothing in it is
/// meant for a peer: a handshake answers the same whatever went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no `-----BEGIN …-----` block, or what stands in it is not base64.
    #[error("not a PEM file (-----BEGIN …-----, base64, -----END …-----)")]
    NotPem,
    /// The file holds an encrypted private key; there is nobody to ask for its password.
    #[error(
        "the key is encrypted with a password; store it without one (openssl pkey -in … -out …)"
    )]
    Encrypted,
    /// The block holds no RSA private key of a size that is worked with, neither as PKCS#8 nor
    /// as PKCS#1.
    #[error(
        "not an RSA private key of {} to {} bits",
        PublicKey::MIN_BITS,
        PublicKey::MAX_BITS
    )]
    NotPrivateKey,
    /// The block holds no RSA public key of a size that is worked with, neither as SPKI nor as
    /// PKCS#1.
    #[error(
        "not an RSA public key of {} to {} bits",
        PublicKey::MIN_BITS,
        PublicKey::MAX_BITS
    )]
    NotPublicKey,
    /// The body is longer than that of any key that is worked with.
    #[error(
        "an RSA key of about {bits} bits; use {} to {}",
        PublicKey::MIN_BITS,
        PublicKey::MAX_BITS
    )]
    RsaSize {
        /// Bits of the whole body.
        bits: usize,
    },
    /// No key pair of that size could be made.
    #[error(
        "cannot make an RSA key of {bits} bits; use {} to {}",
        PrivateKey::MIN_GENERATED_BITS,
        PublicKey::MAX_BITS
    )]
    Generate {
        /// The bits that were asked for.
        bits: usize,
    },
    /// The key could not be written as PEM.
    #[error("the key cannot be written as PEM")]
    Write,
    /// A session key of a length that AES does not have.
    #[error("a session key has 16, 24 or 32 bytes, not {bytes}")]
    KeySize {
        /// The length that was asked for.
        bytes: usize,
    },
    /// The text is too long for the RSA key.
    #[error("the RSA key is too short for what is to be encrypted")]
    Encrypt,
    /// Decryption failed. Which step failed is not told.
    #[error("cannot decrypt")]
    Decrypt,
}
