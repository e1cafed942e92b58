//! What can be set, and how it is called in each place.

/// One setting.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Key {
    Server,
    ServerPublic,
    OwnPrivate,
    Vector,
    SessionBytes,
    Patience,
}

impl Key {
    pub(crate) const ALL: [Self; 6] = [
        Self::Server,
        Self::ServerPublic,
        Self::OwnPrivate,
        Self::Vector,
        Self::SessionBytes,
        Self::Patience,
    ];

    /// Its name in a profile.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::ServerPublic => "server_key",
            Self::OwnPrivate => "key",
            Self::Vector => "vector",
            Self::SessionBytes => "keysize",
            Self::Patience => "patience",
        }
    }

    /// Its flag.
    pub(crate) const fn flag(self) -> &'static str {
        match self {
            Self::Server => "--server",
            Self::ServerPublic => "--server-key",
            Self::OwnPrivate => "--key",
            Self::Vector => "--vector",
            Self::SessionBytes => "--keysize",
            Self::Patience => "--patience",
        }
    }

    /// Its variable in the environment.
    pub(crate) const fn variable(self) -> &'static str {
        match self {
            Self::Server => "GORGONECTL_SERVER",
            Self::ServerPublic => "GORGONECTL_SERVER_KEY",
            Self::OwnPrivate => "GORGONECTL_KEY",
            Self::Vector => "GORGONECTL_VECTOR",
            Self::SessionBytes => "GORGONECTL_KEYSIZE",
            Self::Patience => "GORGONECTL_PATIENCE",
        }
    }

    /// What holds where nobody says anything.
    pub(crate) const fn default(self) -> Option<&'static str> {
        match self {
            Self::Server => Some("tcp://127.0.0.1:5555"),
            Self::Vector => Some("0123456789012345"),
            Self::SessionBytes => Some("32"),
            Self::Patience => Some("10"),
            _ => None,
        }
    }

    /// Whether it names a file; a profile's stand beside the profile file.
    pub(crate) const fn is_path(self) -> bool {
        matches!(self, Self::ServerPublic | Self::OwnPrivate)
    }
}
