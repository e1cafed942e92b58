//! Whom the configuration knows, and what each may ask for: facts for `routing`, which decides.

use std::collections::HashMap;
use std::sync::Arc;

use gorgone_protocol::request::audit::Door;
use gorgone_protocol::{Headers, Rights, Thumbprint};
use gorgone_routing::{Caller, Credential};
use gorgone_runtime::config::Config;

/// What somebody is called whom an HTTP door let in without asking who they are.
const ANONYMOUS: &str = "anonymous";

/// The credentials of both doors. Made anew when the configuration is read again, so that
/// changed rights hold from the next request on.
pub(crate) struct Credentials {
    clients: HashMap<Thumbprint, Arc<Credential>>,
    users: HashMap<String, Arc<Credential>>,
    anonymous: Arc<Credential>,
    /// What a central may ask for to which we connect.
    central: Rights,
}

impl Credentials {
    pub(crate) fn new(config: &Config) -> Self {
        let clients = config.core.authorized_clients.iter().map(|client| {
            let name = client.name.as_deref().unwrap_or(client.key.as_str());
            let credential = Credential {
                door: Door::Zeromq,
                name: name.into(),
                rights: client.rights.clone(),
                node: client.node,
            };
            (client.key.clone(), Arc::new(credential))
        });
        let users = config.modules.httpserver.users.iter().flatten();
        let users = users.map(|user| {
            let credential = credential(Door::Http, &user.name, user.rights.clone());
            (user.name.clone(), credential)
        });
        Self {
            clients: clients.collect(),
            users: users.collect(),
            anonymous: credential(Door::Http, ANONYMOUS, Rights::everything()),
            central: config.modules.pull.rights.clone(),
        }
    }

    /// Whoever has a session under this key. A key that the configuration does not know may do
    /// nothing.
    pub(crate) fn client(&self, key: &Thumbprint) -> Arc<Credential> {
        let known = self.clients.get(key);
        known.map_or_else(|| nobody(Door::Zeromq, key.as_str()), Arc::clone)
    }

    /// On whose behalf a module asks; none where it asks for itself. A user that the
    /// configuration does not know may do nothing.
    pub(crate) fn behind(&self, headers: &Headers) -> Option<Caller> {
        let credential = match (&headers.user, &headers.from) {
            _ if headers.central.is_some() => {
                let name = headers.central.map(|node| node.to_string());
                let name = name.unwrap_or_default();
                credential(Door::Pull, &name, self.central.clone())
            }
            (Some(user), _) => {
                let known = self.users.get(user);
                known.map_or_else(|| nobody(Door::Http, user), Arc::clone)
            }
            (None, Some(_)) => Arc::clone(&self.anonymous),
            (None, None) => return None,
        };
        Some(Caller {
            credential,
            from: headers.from.as_deref().map(Arc::from),
        })
    }
}

fn credential(door: Door, name: &str, rights: Rights) -> Arc<Credential> {
    Arc::new(Credential {
        door,
        name: name.into(),
        rights,
        node: None,
    })
}

fn nobody(door: Door, name: &str) -> Arc<Credential> {
    credential(door, name, Rights::of(Vec::new()))
}
