//! Keys: the RSA pairs that nodes and clients are known by, and the symmetric keys of sessions.
//!
//! Nothing here draws random numbers or reads files: both are arguments. Nothing here knows
//! what a handshake is; that is the session crate's.

mod error;
mod pem;
mod private_key;
mod public_key;
mod session_key;

pub use error::Error;
pub use private_key::PrivateKey;
pub use public_key::PublicKey;
pub use session_key::{SessionKey, VECTOR_BYTES};

/// What every source of randomness that is handed to this crate must be.
pub use rsa::rand_core::CryptoRng;
