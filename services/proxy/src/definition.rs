//! From a node's definition to what a connection needs: the address, and the keys read from
//! their files.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use gorgone_crypto::{PrivateKey, PublicKey};
use gorgone_protocol::request::nodes::NodeDefinition;
use gorgone_protocol::{Dialect, Endpoint, Identity, NodeId, Thumbprint};
use serde_json::Value;

use crate::pins::Pins;
use gorgone_carriage::Setup;

/// Where a node listens whose definition does not say so.
const PORT: u16 = 5556;

/// What definitions fall back on, and keys that were read before.
#[derive(Debug)]
pub struct Home {
    /// This node.
    pub id: NodeId,
    /// Its private key, if it has one.
    pub key: Option<PrivateKey>,
    /// Its vector.
    pub vector: [u8; 16],
    /// The length of its session keys, in bytes.
    pub keysize: usize,
    /// Public keys of nodes whose definition names none.
    pub pins: Pins,
    keys: HashMap<PathBuf, (Option<SystemTime>, PrivateKey)>,
}

/// What a definition says.
#[derive(Debug)]
pub struct Resolved {
    /// Where the node is.
    pub endpoint: Endpoint,
    /// As whom to connect.
    pub identity: Identity,
    /// How to speak with it.
    pub setup: Setup,
}

/// What tells two readings of a definition apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Print {
    endpoint: Endpoint,
    server: Option<Thumbprint>,
    client: Thumbprint,
    vector: [u8; 16],
    keysize: usize,
    dialect: Dialect,
}

impl Print {
    /// The key of the node is this one from now on.
    pub fn pinned(&mut self, key: &PublicKey) {
        self.server = Some(key.thumbprint());
    }
}

impl Resolved {
    /// What tells it apart from another reading.
    #[must_use]
    pub fn print(&self) -> Print {
        let setup = &self.setup;
        Print {
            endpoint: self.endpoint.clone(),
            server: setup.server_key.as_ref().map(PublicKey::thumbprint),
            client: setup.key.public().thumbprint(),
            vector: setup.vector,
            keysize: setup.keysize,
            dialect: setup.dialect,
        }
    }
}

impl Home {
    /// Falls back on these.
    #[must_use]
    pub fn new(
        id: NodeId,
        key: Option<PrivateKey>,
        vector: [u8; 16],
        keysize: usize,
        pins: Pins,
    ) -> Self {
        Self {
            id,
            key,
            vector,
            keysize,
            pins,
            keys: HashMap::new(),
        }
    }

    /// Reads a definition and the keys that it names.
    ///
    /// # Errors
    /// A sentence that says what is wrong, where, and how to mend it.
    pub fn resolve(&mut self, definition: &NodeDefinition) -> Result<Resolved, String> {
        let text = |key: &str| text(definition, key);
        let host = text("address")?.ok_or("its definition has no address")?;
        let port = match text("port")? {
            None => PORT,
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| format!("port: '{port}' is not a port from 1 to 65535"))?,
        };
        let (server_key, known_from) = match text("server_pubkey")? {
            Some(place) => {
                let from = if is_pem(&place) {
                    "server_pubkey of its definition".to_owned()
                } else {
                    format!("server_pubkey ({place})")
                };
                (Some(public_key(&place)?), from)
            }
            None => (self.pins.get(definition.id)?, self.pins.place()),
        };
        let key = match text("client_privkey")? {
            Some(place) => self.private_key(&place)?,
            None => self.key.clone().ok_or(
                "client_privkey is missing, and there is no gorgonecore.privkey to take instead",
            )?,
        };
        if let Some(cipher) = text("cipher")?
            && !matches!(cipher.to_uppercase().as_str(), "CIPHER::AES" | "AES")
        {
            return Err(format!("cipher: '{cipher}' is not known; use Cipher::AES"));
        }
        let keysize = match text("keysize")?.as_deref() {
            None => self.keysize,
            Some("16") => 16,
            Some("24") => 24,
            Some("32") => 32,
            Some(other) => {
                return Err(format!("keysize: '{other}' is none of 16, 24 and 32"));
            }
        };
        let vector = match text("vector")? {
            None => self.vector,
            Some(vector) => vector.as_bytes().try_into().map_err(|_| {
                format!(
                    "vector: '{vector}' is {} bytes long and must be 16; write it in quotes",
                    vector.len()
                )
            })?,
        };
        let dialect = match text("dialect")?.as_deref() {
            None | Some("seed") => Dialect::Seed,
            Some("centreon") => Dialect::Centreon,
            Some(other) => {
                return Err(format!("dialect: '{other}' is neither seed nor centreon"));
            }
        };
        // The same after every restart: the node knows the session by it.
        let name = format!("gorgone-proxy-{}-{}", self.id, definition.id);
        Ok(Resolved {
            endpoint: Endpoint::Tcp { host, port },
            identity: Identity::new(name.as_bytes()),
            setup: Setup {
                hostname: name,
                key,
                vector,
                keysize,
                dialect,
                server_key,
                known_from,
            },
        })
    }

    /// Reads a private key. Checking one takes milliseconds, so a file that did not change is
    /// not read again.
    fn private_key(&mut self, place: &str) -> Result<PrivateKey, String> {
        let read = |pem: &str| {
            PrivateKey::from_pem(pem).map_err(|error| format!("client_privkey: {error}"))
        };
        if is_pem(place) {
            return read(place);
        }
        let path = path(place);
        let changed = path.metadata().and_then(|data| data.modified()).ok();
        if let Some((known, key)) = self.keys.get(&path)
            && *known == changed
            && known.is_some()
        {
            return Ok(key.clone());
        }
        let key = read(&file("client_privkey", &path)?)?;
        self.keys.insert(path, (changed, key.clone()));
        Ok(key)
    }
}

/// A member that is a text or a number.
fn text(definition: &NodeDefinition, key: &str) -> Result<Option<String>, String> {
    match definition.rest.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(format!("{key}: must be a single value")),
    }
}

fn public_key(place: &str) -> Result<PublicKey, String> {
    let pem = if is_pem(place) {
        place.to_owned()
    } else {
        file("server_pubkey", &path(place))?
    };
    PublicKey::from_pem(&pem).map_err(|error| format!("server_pubkey: {error}"))
}

fn is_pem(text: &str) -> bool {
    text.contains("-----BEGIN ")
}

fn path(place: &str) -> PathBuf {
    match place.strip_prefix("~/") {
        Some(rest) => std::env::home_dir().unwrap_or_default().join(rest),
        None => place.into(),
    }
}

fn file(key: &str, path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| {
        format!(
            "{key}: cannot read {}: {error}; relative paths begin at the directory in which the \
             daemon is started",
            path.display()
        )
    })
}
