//! What a presented secret is compared with, always in a time that tells nothing.

use argon2::Argon2;
use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use gorgone_runtime::config::{PasswordRule, Secret, TokenRule};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// Most that one verification may use: hashes beyond are refused, since a few of them at once
/// would take the machine's memory or time.
const MAX_ARGON2_KIB: u32 = 256 * 1024;
const MAX_ARGON2_WORK: u64 = 4 * 1024 * 1024;
const MAX_BCRYPT_COST: u32 = 15;

/// A hash that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadHash {
    /// Not of the form that it seems to have.
    #[error("its hash cannot be read: {0}")]
    Unreadable(String),
    /// It would take too long, or too much memory, each time.
    #[error(
        "its hash takes too much of the machine each time; use m=19456,t=2,p=1 for argon2, or cost \
         12 for bcrypt"
    )]
    TooCostly,
}

/// A key of this process: what is kept to compare with is of no use elsewhere.
#[derive(Clone)]
pub(crate) struct Pepper([u8; 32]);

/// What is kept of a secret, and of one that was verified.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint([u8; 32]);

impl Pepper {
    pub(crate) fn new() -> Self {
        Self(rand::random())
    }

    /// Parts are told apart: `("ab","c")` and `("a","bc")` differ.
    pub(crate) fn fingerprint(&self, parts: &[&[u8]]) -> Fingerprint {
        let mut hash = Sha256::new_with_prefix(self.0);
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Fingerprint(hash.finalize().into())
    }
}

impl Fingerprint {
    pub(crate) fn is(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

/// How a secret is known.
#[derive(Clone)]
pub(crate) enum Proof {
    /// By a fingerprint of it.
    Peppered(Fingerprint),
    /// By its SHA-256.
    Sha256([u8; 32]),
    /// By a hash that is slow on purpose.
    Slow(SlowHash),
}

/// A hash that takes long on purpose.
#[derive(Clone)]
pub(crate) enum SlowHash {
    Argon2(Box<PasswordHash>),
    Bcrypt(Box<str>),
}

impl Proof {
    pub(crate) fn of_password(rule: &PasswordRule, pepper: &Pepper) -> Result<Self, BadHash> {
        match rule {
            PasswordRule::Plain(secret) => Ok(Self::plain(secret, pepper)),
            PasswordRule::Argon2(hash) => SlowHash::argon2(hash).map(Self::Slow),
            PasswordRule::Bcrypt(hash) => SlowHash::bcrypt(hash).map(Self::Slow),
        }
    }

    pub(crate) fn of_token(rule: &TokenRule, pepper: &Pepper) -> Result<Self, BadHash> {
        match rule {
            TokenRule::Plain(secret) => Ok(Self::plain(secret, pepper)),
            TokenRule::Argon2(hash) => SlowHash::argon2(hash).map(Self::Slow),
            TokenRule::Sha256(digits) => hex::decode(digits.expose())
                .ok()
                .and_then(|bytes| bytes.try_into().ok())
                .map(Self::Sha256)
                .ok_or_else(|| BadHash::Unreadable("not 64 hexadecimal digits".to_owned())),
        }
    }

    fn plain(secret: &Secret, pepper: &Pepper) -> Self {
        Self::Peppered(pepper.fingerprint(&[secret.expose().as_bytes()]))
    }

    /// Compares where that is fast; a slow one is none of this.
    pub(crate) fn is_fast(&self, secret: &[u8], pepper: &Pepper) -> Choice {
        match self {
            Self::Peppered(known) => pepper.fingerprint(&[secret]).is(known),
            Self::Sha256(known) => {
                let presented: [u8; 32] = Sha256::digest(secret).into();
                presented.ct_eq(known)
            }
            Self::Slow(_) => Choice::from(0),
        }
    }
}

impl SlowHash {
    fn argon2(hash: &Secret) -> Result<Self, BadHash> {
        let unreadable = |error: &dyn std::fmt::Display| BadHash::Unreadable(error.to_string());
        let hash = PasswordHash::new(hash.expose()).map_err(|error| unreadable(&error))?;
        let params = argon2::Params::try_from(&hash).map_err(|error| unreadable(&error))?;
        let work = u64::from(params.m_cost()) * u64::from(params.t_cost());
        if params.m_cost() > MAX_ARGON2_KIB || work > MAX_ARGON2_WORK {
            return Err(BadHash::TooCostly);
        }
        Ok(Self::Argon2(Box::new(hash)))
    }

    fn bcrypt(hash: &Secret) -> Result<Self, BadHash> {
        let text = hash.expose();
        let parts: bcrypt::HashParts = text
            .parse()
            .map_err(|error: bcrypt::BcryptError| BadHash::Unreadable(error.to_string()))?;
        if parts.get_cost() > MAX_BCRYPT_COST {
            return Err(BadHash::TooCostly);
        }
        Ok(Self::Bcrypt(text.into()))
    }

    /// What it costs, as text: hashes with the same one take equally long.
    pub(crate) fn cost(&self) -> String {
        match self {
            Self::Argon2(hash) => {
                format!("{}${:?}${}", hash.algorithm, hash.version, hash.params)
            }
            Self::Bcrypt(hash) => hash.chars().take(7).collect(),
        }
    }

    /// Takes long: not for the threads that serve.
    pub(crate) fn verify(&self, secret: &[u8]) -> bool {
        match self {
            Self::Argon2(hash) => Argon2::default().verify_password(secret, &**hash).is_ok(),
            Self::Bcrypt(hash) => bcrypt::verify(secret, hash).unwrap_or(false),
        }
    }
}

/// Hashes a password for `password_hash`.
///
/// # Errors
/// When the system has no randomness.
pub fn hash(password: &str) -> Result<String, argon2::password_hash::Error> {
    use argon2::password_hash::PasswordHasher;
    let hash = Argon2::default().hash_password(password.as_bytes())?;
    Ok(hash.to_string())
}
