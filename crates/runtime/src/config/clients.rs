//! `gorgonecore.authorized_clients`: whose keys open a session, and what each may ask for.

use std::collections::HashSet;

use gorgone_protocol::{Rights, Thumbprint};

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
}

pub(super) fn read(section: &Section<'_>) -> Vec<AuthorizedClient> {
    let mut seen = HashSet::new();
    section
        .sections("authorized_clients")
        .into_iter()
        .filter_map(|client| {
            if !client.has("key") {
                client.problem("key", "is missing; write '- key: THUMBPRINT'");
            }
            let key = client.parsed("key", |text| {
                Thumbprint::parse(text).map_err(|error| {
                    format!("'{text}': {error}; 'gorgonectl keys thumbprint FILE' prints it")
                })
            });
            let name = client.text("name");
            let rights = rights::read(&client);
            // Two entries for a key would leave it to chance what it may do.
            if let Some(key) = &key
                && !seen.insert(key.clone())
            {
                client.problem("key", "this key stands here twice; keep one");
            }
            client.finish();
            Some(AuthorizedClient {
                key: key?,
                name,
                rights,
            })
        })
        .collect()
}
