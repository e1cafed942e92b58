//! `gorgonecore.authorized_clients`: whose keys open a session, and what each may ask for.

use std::collections::HashSet;

use gorgone_crypto::PublicKey;
use gorgone_protocol::{NodeId, Rights, Thumbprint};

use super::rights;
use super::section::Section;

/// A client of the external endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuthorizedClient {
    /// The thumbprint of its key.
    pub key: Thumbprint,
    /// What its administrator calls it.
    pub name: Option<String>,
    /// What it may ask for.
    pub rights: Rights,
    /// Which node it is, where it is a poller that connects to us.
    pub node: Option<NodeId>,
}

/// Reads the list. `files`: whether the files of keys must be there; where they need not, who is
/// known by one is left out.
pub(super) fn read(section: &Section<'_>, own: NodeId, files: bool) -> Vec<AuthorizedClient> {
    let mut seen = HashSet::new();
    let mut nodes = HashSet::new();
    section
        .sections("authorized_clients")
        .into_iter()
        .filter_map(|client| {
            let (key_name, key) = key(&client, files);
            let name = client.text("name");
            let node = client.parsed("node", NodeId::parse);
            if node == Some(own) {
                client.problem("node", "is the id of this node itself");
            }
            if node.is_some_and(|node| !nodes.insert(node)) {
                client.problem("node", "another key is this node already; keep one");
            }
            // A poller is asked; it need not ask.
            let without = match node {
                Some(_) => Rights::of(Vec::new()),
                None => Rights::everything(),
            };
            let rights = rights::read_or(&client, without);
            // Two entries for a key would leave it to chance what it may do.
            if let Some(key) = &key
                && !seen.insert(key.clone())
            {
                client.problem(key_name, "this key stands here twice; keep one");
            }
            client.finish();
            Some(AuthorizedClient {
                key: key?,
                name,
                rights,
                node,
            })
        })
        .collect()
}

/// The thumbprint under `key`, or of the public key in the file that `key_file` names; and which
/// of the two was written.
fn key(client: &Section<'_>, files: bool) -> (&'static str, Option<Thumbprint>) {
    let file = client.file("key_file");
    match (client.has("key"), file) {
        (true, Some(_)) => {
            client.problem("key_file", "stands beside key; keep one of them");
            ("key_file", None)
        }
        (true, None) => {
            let key = client.parsed("key", |text| {
                Thumbprint::parse(text).map_err(|error| {
                    format!("'{text}': {error}; 'gorgonectl keys thumbprint FILE' prints it")
                })
            });
            ("key", key)
        }
        (false, Some(path)) if files => {
            let shown = path.display();
            let read = std::fs::read_to_string(&path)
                .map_err(|error| format!("cannot read {shown}: {error}"))
                .and_then(|text| {
                    PublicKey::from_pem(&text).map_err(|error| {
                        format!("{shown} is not a public RSA key in PEM form: {error}")
                    })
                });
            let key = read.map_err(|message| client.problem("key_file", message));
            ("key_file", key.ok().map(|key| key.thumbprint()))
        }
        (false, Some(_)) => ("key_file", None),
        (false, None) => {
            client.problem(
                "key",
                "is missing; write '- key: THUMBPRINT', or key_file: and the file of its public key",
            );
            ("key", None)
        }
    }
}
