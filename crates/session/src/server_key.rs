//! Asking a server for its public key, in clear and before a handshake.
//!
//! ```text
//! client → server   [GETPUBKEY]
//! server → client   [PUBKEY] [base64 of PEM]
//! ```
//! Whoever answers can answer anything: what is learnt in this way is compared with what is
//! known, or kept to be compared with later.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gorgone_crypto::PublicKey;

/// The question. Servers that do not know it answer `handshake issue`, or nothing.
pub const SERVER_KEY_QUESTION: &[u8] = b"[GETPUBKEY]";

/// Writes the answer.
pub(crate) fn write(pem: &str) -> Vec<u8> {
    format!("[PUBKEY] [{}]", STANDARD.encode(pem)).into_bytes()
}

/// Reads the answer; nothing, where the frame is none.
#[must_use]
pub fn read_server_key(frame: &[u8]) -> Option<PublicKey> {
    let text = std::str::from_utf8(frame).ok()?.trim();
    let field = text.strip_prefix("[PUBKEY]")?.trim_start();
    let field = field.strip_prefix('[')?.strip_suffix(']')?;
    let pem = STANDARD.decode(field).ok()?;
    PublicKey::from_pem(std::str::from_utf8(&pem).ok()?).ok()
}
