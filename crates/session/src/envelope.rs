//! How a message is wrapped under a session key, by dialect, and how that key is handed over.
//!
//! ```text
//! seed       AES-CBC(text)            KEY: [KEY] [hostname] [raw key bytes]
//! centreon   base64(AES-CBC(text))    KEY: [KEY] {"hostname":…,"key":hex,"iv":hex,…}
//! ```

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gorgone_crypto::{SessionKey, VECTOR_BYTES};
use gorgone_protocol::Dialect;
use serde::Deserialize;

/// Wraps a message.
pub(crate) fn seal(key: &SessionKey, dialect: Dialect, text: &str) -> Vec<u8> {
    let sealed = key.seal(text.as_bytes());
    match dialect {
        Dialect::Seed => sealed,
        Dialect::Centreon => STANDARD.encode(sealed).into_bytes(),
    }
}

/// Unwraps a message. The protocol does not authenticate messages, so one counts as opened
/// when text comes out that begins like a message.
pub(crate) fn open(key: &SessionKey, dialect: Dialect, frame: &[u8]) -> Option<Vec<u8>> {
    let plain = match dialect {
        Dialect::Seed => key.open(frame),
        Dialect::Centreon => key.open(&STANDARD.decode(frame.trim_ascii()).ok()?),
    };
    let text = plain.ok()?;
    (text.starts_with(b"[") && std::str::from_utf8(&text).is_ok()).then_some(text)
}

/// What is needed of the KEY message of the newer dialect; the rest is ignored.
#[derive(Deserialize)]
struct KeyJson {
    key: String,
    iv: String,
}

/// Writes the message that hands a key over, before its RSA encryption.
pub(crate) fn write_key(dialect: Dialect, hostname: &str, key: &SessionKey) -> Vec<u8> {
    match dialect {
        Dialect::Seed => {
            let mut text = format!("[KEY] [{}] [", hostname.replace(']', "")).into_bytes();
            text.extend_from_slice(key.key_bytes());
            text.push(b']');
            text
        }
        Dialect::Centreon => {
            let body = serde_json::json!({
                "hostname": hostname,
                "key": hex::encode(key.key_bytes()),
                "iv": hex::encode(key.iv()),
                "cipher": "AES",
                "padding": 1,
            });
            format!("[KEY] {body}").into_bytes()
        }
    }
}

/// Reads a KEY message of the seed's dialect. The key bytes may be any, `]` and `[` included,
/// so they are counted from the end.
pub(crate) fn read_seed_key(
    text: &[u8],
    size: usize,
    vector: [u8; VECTOR_BYTES],
) -> Option<SessionKey> {
    let text = text.strip_suffix(b"]")?;
    let (head, key) = text.split_at_checked(text.len().checked_sub(size)?)?;
    let head = std::str::from_utf8(head.strip_suffix(b"[")?).ok()?;
    let hostname = head.strip_prefix("[KEY]")?.trim();
    if !(hostname.starts_with('[') && hostname.ends_with(']')) {
        return None;
    }
    SessionKey::from_parts(key, vector).ok()
}

/// Reads a KEY message of the newer dialect, in a handshake or as a rotation.
pub(crate) fn read_centreon_key(text: &[u8]) -> Option<SessionKey> {
    let body = std::str::from_utf8(text).ok()?.strip_prefix("[KEY]")?;
    let body: KeyJson = serde_json::from_str(body.trim()).ok()?;
    let iv = hex::decode(body.iv).ok()?.try_into().ok()?;
    SessionKey::from_parts(&hex::decode(body.key).ok()?, iv).ok()
}
