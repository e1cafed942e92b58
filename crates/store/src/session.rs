//! Sessions: what becomes of several changes to one of them, and how it reads back.

use std::collections::BTreeMap;

use gorgone_crypto::SessionKey;
use gorgone_protocol::{Dialect, Identity, Thumbprint};
use gorgone_session::{Record, StoredSession};

use crate::Error;

/// What a group does to one session; later changes swallow earlier ones.
#[derive(Debug)]
pub(crate) enum SessionChange<'a> {
    /// Replaced by this one.
    Open {
        session: &'a StoredSession,
        last_seen: i64,
        parent_until: i64,
    },
    /// Only its times changed.
    Touch { last_seen: i64, parent_until: i64 },
    /// Over.
    Close,
}

impl<'a> SessionChange<'a> {
    pub(crate) fn merge(into: &mut BTreeMap<String, Self>, record: &'a Record) {
        match record {
            Record::Open(session) => {
                let open = Self::Open {
                    session,
                    last_seen: session.last_seen,
                    parent_until: session.parent_until,
                };
                into.insert(session.identity.to_text(), open);
            }
            Record::Touch {
                identity,
                last_seen: seen,
                parent_until: until,
            } => {
                let touch = Self::Touch {
                    last_seen: *seen,
                    parent_until: *until,
                };
                match into.entry(identity.to_text()).or_insert(touch) {
                    Self::Open {
                        last_seen,
                        parent_until,
                        ..
                    }
                    | Self::Touch {
                        last_seen,
                        parent_until,
                    } => {
                        *last_seen = *seen;
                        *parent_until = *until;
                    }
                    Self::Close => {}
                }
            }
            Record::Close(identity) => {
                into.insert(identity.to_text(), Self::Close);
            }
        }
    }
}

pub(crate) const fn dialect_column(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Seed => "seed",
        Dialect::Centreon => "centreon",
    }
}

/// The columns of a session as they stand in its two tables.
pub(crate) struct Columns<'r> {
    pub(crate) identity: &'r str,
    pub(crate) thumbprint: &'r str,
    pub(crate) dialect: &'r str,
    pub(crate) key: &'r str,
    pub(crate) vector: &'r str,
    pub(crate) created: i64,
    pub(crate) last_seen: i64,
    pub(crate) parent_until: i64,
}

impl Columns<'_> {
    pub(crate) fn session(&self) -> Result<StoredSession, Error> {
        let dialect = match self.dialect {
            "seed" => Dialect::Seed,
            "centreon" => Dialect::Centreon,
            other => return Err(Error::unreadable("the dialect of a session", other)),
        };
        // A broken key is told without the key.
        let broken = || Error::unreadable("the key of the session of", self.identity);
        let key = hex::decode(self.key).map_err(|_| broken())?;
        let vector = hex::decode(self.vector).map_err(|_| broken())?;
        Ok(StoredSession {
            identity: Identity::from_text(self.identity),
            thumbprint: Thumbprint::parse(self.thumbprint)
                .map_err(|_| Error::unreadable("the thumbprint of a session", self.thumbprint))?,
            dialect,
            key: <[u8; 16]>::try_from(vector)
                .ok()
                .and_then(|vector| SessionKey::from_parts(&key, vector).ok())
                .ok_or_else(broken)?,
            created: self.created,
            last_seen: self.last_seen,
            parent_until: self.parent_until,
        })
    }
}
