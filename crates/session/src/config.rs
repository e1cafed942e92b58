//! What a server must be told.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use gorgone_crypto::VECTOR_BYTES;
use gorgone_protocol::{Identity, Thumbprint};

/// How a server introduces itself, whom it lets in, and how much of it all.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The name in the KEY message.
    pub hostname: String,
    /// This server's public key as PEM, for peers of the newer dialect, which may ask for it
    /// before they greet. Without it their question is refused.
    pub public_pem: Option<String>,
    /// The vector that begins every message of the seed's dialect.
    pub vector: [u8; VECTOR_BYTES],
    /// The length of new session keys in bytes: 16, 24 or 32. With any other, every handshake
    /// is refused.
    pub keysize: usize,
    /// `authorized_clients`: whoever is not among them is refused. Empty: nobody comes in.
    pub authorized: HashSet<Thumbprint>,
    /// Names that only the owner of one key may have, whoever else is let in.
    pub reserved: HashMap<Identity, Thumbprint>,
    /// How long a session outlives the peer's last message.
    pub ttl: Duration,
    /// Most live sessions; when they are there, new identities are refused.
    pub max_sessions: usize,
    /// Most keys that were handed out and not yet proved; the oldest makes room for the next.
    pub max_offered: usize,
    /// How long a key waits to be proved. Old clients greet, and ping a minute later.
    pub offered_ttl: Duration,
    /// Most handshakes that wait for their RSA; over it they are refused.
    pub handshake_queue: usize,
    /// Most handshakes whose RSA is handed out at the same time.
    pub handshakes_running: usize,
    /// How long the RSA of one handshake may take before it is given up.
    pub handshake_timeout: Duration,
    /// Most handshakes begun per second, in the long run; 0 means any number.
    pub handshake_rate: u32,
    /// How many may begin at once after a pause.
    pub handshake_burst: u32,
    /// Longest frame that is looked at as a handshake, in bytes.
    pub max_hello: usize,
}

impl Default for ServerConfig {
    /// The seed's values; nobody is authorised.
    fn default() -> Self {
        Self {
            hostname: String::new(),
            public_pem: None,
            vector: *b"0123456789012345",
            keysize: 32,
            authorized: HashSet::new(),
            reserved: HashMap::new(),
            ttl: Duration::from_secs(24 * 3600),
            max_sessions: 100_000,
            max_offered: 10_000,
            offered_ttl: Duration::from_secs(300),
            handshake_queue: 10_000,
            handshakes_running: 16,
            handshake_timeout: Duration::from_secs(60),
            handshake_rate: 200,
            handshake_burst: 200,
            max_hello: 16 * 1024,
        }
    }
}
