//! Names that travel on the wire. Text becomes one of these once, at the edge.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that cannot be the name it was meant to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {problem}")]
pub struct InvalidName {
    kind: &'static str,
    problem: &'static str,
}

/// What follows one request through the fleet: the key under which its rows stand in the
/// history, and the key by which a repeated request is recognised.
///
/// At most 2048 bytes (the width of the seed's column), not empty, without `]` and without
/// control characters. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(Arc<str>);

impl Token {
    /// Longest token in bytes: the seed's tables have `varchar(2048)`.
    pub const MAX_BYTES: usize = 2048;

    /// Takes a token as a client wrote it.
    ///
    /// # Errors
    /// When the text is empty, too long, or holds `]` or a control character.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        check("token", text, Self::MAX_BYTES)?;
        Ok(Self(text.into()))
    }

    /// Mints a token from random bytes: their hexadecimal digits.
    #[must_use]
    pub fn from_random(bytes: [u8; 32]) -> Self {
        let mut text = String::with_capacity(64);
        for byte in bytes {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
            }
        }
        Self(text.into())
    }

    /// The token as it is written on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check(kind: &'static str, text: &str, max: usize) -> Result<(), InvalidName> {
    let problem = if text.is_empty() {
        "is empty"
    } else if text.len() > max {
        "is too long"
    } else if text.contains(']') {
        "contains ']'"
    } else if text.chars().any(char::is_control) {
        "contains a control character"
    } else {
        return Ok(());
    };
    Err(InvalidName { kind, problem })
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.0)
    }
}

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// The id of a gorgoned in the fleet: the monitoring application's poller id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize)]
#[serde(transparent)]
pub struct NodeId(u64);

impl NodeId {
    /// The node with this number.
    #[must_use]
    pub const fn new(id: u64) -> Self {
        Self(id)
    }

    /// Takes a node id as it is written in a target.
    ///
    /// # Errors
    /// When the text is not a whole number from 0 to 2^63-1.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        text.parse::<u64>()
            .ok()
            .filter(|id| i64::try_from(*id).is_ok())
            .map(Self)
            .ok_or(InvalidName {
                kind: "node id",
                problem: "is not a whole number",
            })
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl<'de> Deserialize<'de> for NodeId {
    /// Old daemons write ids as numbers or as strings; both are accepted.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Spelling {
            Number(u64),
            Text(String),
        }
        match Spelling::deserialize(deserializer)? {
            Spelling::Number(id) => Self::parse(&id.to_string()),
            Spelling::Text(text) => Self::parse(&text),
        }
        .map_err(serde::de::Error::custom)
    }
}

/// How names of pollers begin.
const POLLER: &str = "gorgone-pull-";

/// The ZeroMQ identity (routing id) under which a peer connects: 1 to 255 bytes, any value.
/// It is only a name: nothing is proved by it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity(Arc<[u8]>);

impl Identity {
    /// Takes an identity as ZeroMQ gives it.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The bytes that ZeroMQ routes by.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The form kept in the store: the text itself where it is printable, else `hex:` and
    /// its hexadecimal digits, so that two identities never share a spelling.
    #[must_use]
    pub fn to_text(&self) -> String {
        match std::str::from_utf8(&self.0) {
            Ok(text) if !text.chars().any(char::is_control) && !text.starts_with("hex:") => {
                text.to_owned()
            }
            _ => {
                use fmt::Write;
                self.0.iter().fold(String::from("hex:"), |mut text, byte| {
                    let _ = write!(text, "{byte:02x}");
                    text
                })
            }
        }
    }

    /// Reads back what [`Identity::to_text`] wrote.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let bytes = text.strip_prefix("hex:").and_then(|digits| {
            digits
                .as_bytes()
                .chunks(2)
                .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
                .collect::<Option<Vec<u8>>>()
        });
        Self::new(&bytes.unwrap_or_else(|| text.as_bytes().to_vec()))
    }

    /// Under which name the poller that is this node connects to its central: nobody else may
    /// have it there.
    #[must_use]
    pub fn of_poller(node: NodeId) -> Self {
        Self::new(format!("{POLLER}{node}").as_bytes())
    }

    /// The node whose poller has this name, where it is one of a poller.
    #[must_use]
    pub fn poller(&self) -> Option<NodeId> {
        let number = self.as_bytes().strip_prefix(POLLER.as_bytes())?;
        let only_one_spelling = number.iter().all(u8::is_ascii_digit)
            && (!number.starts_with(b"0") || number.len() == 1);
        let number = std::str::from_utf8(number)
            .ok()
            .filter(|_| only_one_spelling)?;
        NodeId::parse(number).ok()
    }
}

/// Maps keyed by identity can be asked with the bytes that came in.
impl std::borrow::Borrow<[u8]> for Identity {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.to_text())
    }
}

/// The RFC 7638 thumbprint of an RSA public key: SHA-256, base64url without padding.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Thumbprint(String);

impl Thumbprint {
    /// Takes a thumbprint as it is written in `authorized_clients`.
    ///
    /// # Errors
    /// When the text is not 43 characters of base64url.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let valid = text.len() == 43
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName {
                kind: "thumbprint",
                problem: "is not 43 characters of base64url (the SHA-256 thumbprint of RFC 7638)",
            })
        }
    }

    /// The thumbprint as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Thumbprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
