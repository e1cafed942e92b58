//! One pair of keys for all tests of a process: making one takes a second.

use std::sync::OnceLock;

use gorgone_crypto::PrivateKey;

/// The keys of the test's server and of its client.
#[derive(Debug)]
pub struct Keys {
    /// The server's.
    pub server: PrivateKey,
    /// The client's; its thumbprint is authorised.
    pub client: PrivateKey,
}

/// The keys of this process.
///
/// # Panics
/// When a key cannot be made.
#[must_use]
#[expect(
    clippy::expect_used,
    reason = "a test that cannot make keys has failed"
)]
pub fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let make = || PrivateKey::generate(&mut rand::rng(), 2048).expect("an RSA key");
        Keys {
            server: make(),
            client: make(),
        }
    })
}
