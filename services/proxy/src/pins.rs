//! Public keys of nodes that were first seen, one line for each: what `known_hosts` is for SSH.
//!
//! ```text
//! 4 MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIB…
//! ```
//! The id of the node and its key, as PEM writes it between its first line and its last. Whoever
//! takes a line out lets the next key in that the node names.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use gorgone_crypto::PublicKey;
use gorgone_protocol::NodeId;

/// The file. Several proxies of one host may share it.
#[derive(Debug)]
pub struct Pins {
    path: PathBuf,
}

const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";

impl Pins {
    /// Keeps them in this file, which need not be there yet.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The file, in words.
    #[must_use]
    pub fn place(&self) -> String {
        self.path.display().to_string()
    }

    /// The key of a node, where it is known. The file is read each time: an administrator may
    /// have changed it, and it is needed only when a connection is made.
    ///
    /// # Errors
    /// When the file cannot be read, or the line makes no sense, in words.
    pub fn get(&self, node: NodeId) -> Result<Option<PublicKey>, String> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("cannot read {}: {error}", self.place())),
        };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let id = words.next().and_then(|id| NodeId::parse(id).ok());
            if let (Some(id), Some(body)) = (id, words.next())
                && id == node
            {
                let key = PublicKey::from_pem(&format!("{BEGIN}\n{body}\n{END}\n"));
                return key.map(Some).map_err(|error| {
                    format!("the line of node {node} in {}: {error}", self.place())
                });
            }
        }
        Ok(None)
    }

    /// Keeps the key of a node that had none.
    ///
    /// # Errors
    /// When it cannot be written, in words.
    pub fn put(&self, node: NodeId, key: &PublicKey) -> Result<(), String> {
        let fail = |error: &dyn std::fmt::Display| {
            format!(
                "cannot keep the key of node {node} in {}: {error}",
                self.place()
            )
        };
        let pem = key.to_pem().map_err(|error| fail(&error))?;
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        // One write, so that lines of several proxies do not mix.
        let line = format!("{node} {body}\n");
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path);
        file.and_then(|mut file| file.write_all(line.as_bytes()))
            .map_err(|error| fail(&error))
    }
}
