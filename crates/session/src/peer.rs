//! What the server knows of one peer.

use std::sync::Arc;
use std::time::Duration;

use gorgone_crypto::SessionKey;
use gorgone_protocol::{Dialect, Identity, Thumbprint};

use crate::{Effect, Record, StoredSession, envelope};

/// How long a peer counts as a parent after a PING, in seconds.
pub(crate) const PARENT: i64 = 30 * 60;

/// A peer that completed a handshake.
///
/// ```text
/// (unknown) ─offer─▶ Offered ─message under that key─▶ Live ─offer─▶ Renewing
///     ▲                 │ offered_ttl, or pushed out    ▲ ▲            │   │
///     └─────────────────┘                               │ └────────────┘   │ message under
///                                                       │  offered_ttl     │ the offered key
///                                                       └──────────────────┘
/// ```
/// From `Live` and `Renewing` the way out is the session's expiry, or a key that is no longer
/// authorised. A forged or repeated HELO leads to an offer that nobody can prove: it changes
/// nothing for the peer.
#[derive(Debug)]
pub(crate) enum Peer {
    /// A key was handed out; nothing shows that the peer could read it.
    Offered(Box<Offered>),
    /// The peer proved its key.
    Live(Live),
    /// The peer proved its key, and another was handed out: both are accepted.
    Renewing(Live, Box<Offered>),
}

/// A key that waits to be proved.
#[derive(Debug)]
pub(crate) struct Offered {
    pub(crate) number: u64,
    pub(crate) key: SessionKey,
    pub(crate) dialect: Dialect,
    pub(crate) thumbprint: Arc<Thumbprint>,
}

/// A session.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) key: SessionKey,
    pub(crate) dialect: Dialect,
    pub(crate) thumbprint: Arc<Thumbprint>,
    pub(crate) created: i64,
    pub(crate) last_seen: i64,
    /// The `last_seen` that was last written down.
    pub(crate) recorded: i64,
    pub(crate) parent_until: i64,
}

/// What came of trying a frame under the keys of a peer.
pub(crate) enum Opened {
    /// A message under the live key.
    Message(Vec<u8>),
    /// A message under the offered key: it is the live one from here on.
    Proved(Vec<u8>),
    /// Nothing.
    Not,
}

impl Peer {
    pub(crate) const fn live(&self) -> Option<&Live> {
        match self {
            Self::Offered(_) => None,
            Self::Live(live) | Self::Renewing(live, _) => Some(live),
        }
    }

    pub(crate) const fn live_mut(&mut self) -> Option<&mut Live> {
        match self {
            Self::Offered(_) => None,
            Self::Live(live) | Self::Renewing(live, _) => Some(live),
        }
    }

    pub(crate) const fn offered(&self) -> Option<&Offered> {
        match self {
            Self::Offered(offered) | Self::Renewing(_, offered) => Some(offered),
            Self::Live(_) => None,
        }
    }

    /// Whose key it is that the peer stands for.
    pub(crate) fn thumbprint(&self) -> &Thumbprint {
        match self {
            Self::Offered(offered) => &offered.thumbprint,
            Self::Live(live) | Self::Renewing(live, _) => &live.thumbprint,
        }
    }

    /// Tries a frame under the live key, then under the offered one.
    pub(crate) fn open(&self, frame: &[u8]) -> Opened {
        if let Some(live) = self.live()
            && let Some(text) = envelope::open(&live.key, live.dialect, frame)
        {
            return Opened::Message(text);
        }
        if let Some(offered) = self.offered()
            && let Some(text) = envelope::open(&offered.key, offered.dialect, frame)
        {
            return Opened::Proved(text);
        }
        Opened::Not
    }

    /// The peer after another key was handed out to it: a later offer replaces an earlier one.
    pub(crate) fn offer(self, offered: Offered) -> Self {
        match self {
            Self::Offered(_) => Self::Offered(Box::new(offered)),
            Self::Live(live) | Self::Renewing(live, _) => Self::Renewing(live, Box::new(offered)),
        }
    }

    /// The peer after its offered key was proved.
    pub(crate) fn prove(self, unix: i64) -> Self {
        match self {
            Self::Live(live) => Self::Live(live),
            Self::Offered(offered) => Self::Live(offered.prove(unix, 0)),
            Self::Renewing(live, offered) => Self::Live(offered.prove(unix, live.parent_until)),
        }
    }

    /// The peer after its offered key came to nothing.
    pub(crate) fn withdraw(self) -> Option<Self> {
        match self {
            Self::Offered(_) => None,
            Self::Live(live) | Self::Renewing(live, _) => Some(Self::Live(live)),
        }
    }
}

impl Offered {
    fn prove(self, unix: i64, parent_until: i64) -> Live {
        Live {
            key: self.key,
            dialect: self.dialect,
            thumbprint: self.thumbprint,
            created: unix,
            last_seen: unix,
            recorded: unix,
            parent_until,
        }
    }
}

impl Live {
    /// Whether the peer has been silent for too long, by the wall clock, since the session must
    /// end on time across restarts too.
    pub(crate) fn expired(&self, unix: i64, ttl: Duration) -> bool {
        let ttl = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
        unix.saturating_sub(self.last_seen) >= ttl
    }

    /// A clock that was set back must not leave a session (or a parent) behind that lives
    /// until the clock has caught up: from then on it has its full time, and no more.
    pub(crate) fn settle(&mut self, unix: i64) {
        self.last_seen = self.last_seen.min(unix);
        self.parent_until = self.parent_until.min(unix.saturating_add(PARENT));
    }

    pub(crate) fn touch(&self, identity: &Identity) -> Effect {
        Effect::Record(Record::Touch {
            identity: identity.clone(),
            last_seen: self.last_seen,
            parent_until: self.parent_until,
        })
    }

    pub(crate) fn stored(&self, identity: &Identity) -> StoredSession {
        StoredSession {
            identity: identity.clone(),
            thumbprint: (*self.thumbprint).clone(),
            dialect: self.dialect,
            key: self.key.clone(),
            created: self.created,
            last_seen: self.last_seen,
            parent_until: self.parent_until,
        }
    }
}
