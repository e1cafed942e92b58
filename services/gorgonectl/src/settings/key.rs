//! What can be set, and how it is called in each place.

/// One setting.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Key {
    Server,
    ServerPublic,
    OwnPrivate,
    Vector,
    SessionBytes,
    Login,
    Password,
    PasswordFile,
    Bearer,
    BearerFile,
    CaFile,
    Patience,
}

impl Key {
    pub(crate) const ALL: [Self; 12] = [
        Self::Server,
        Self::ServerPublic,
        Self::OwnPrivate,
        Self::Vector,
        Self::SessionBytes,
        Self::Login,
        Self::Password,
        Self::PasswordFile,
        Self::Bearer,
        Self::BearerFile,
        Self::CaFile,
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
            Self::Login => "login",
            Self::Password => "password",
            Self::PasswordFile => "password_file",
            Self::Bearer => "bearer",
            Self::BearerFile => "bearer_file",
            Self::CaFile => "ca_file",
            Self::Patience => "patience",
        }
    }

    /// Its flag. Secrets have none: a command line can be read by everybody on the machine.
    pub(crate) const fn flag(self) -> Option<&'static str> {
        match self {
            Self::Server => Some("--server"),
            Self::ServerPublic => Some("--server-key"),
            Self::OwnPrivate => Some("--key"),
            Self::Vector => Some("--vector"),
            Self::SessionBytes => Some("--keysize"),
            Self::Login => Some("--login"),
            Self::PasswordFile => Some("--password-file"),
            Self::BearerFile => Some("--bearer-file"),
            Self::CaFile => Some("--ca-file"),
            Self::Patience => Some("--patience"),
            Self::Password | Self::Bearer => None,
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
            Self::Login => "GORGONECTL_LOGIN",
            Self::Password => "GORGONECTL_PASSWORD",
            Self::PasswordFile => "GORGONECTL_PASSWORD_FILE",
            Self::Bearer => "GORGONECTL_BEARER",
            Self::BearerFile => "GORGONECTL_BEARER_FILE",
            Self::CaFile => "GORGONECTL_CA_FILE",
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

    /// Whether nobody may see it.
    pub(crate) const fn is_secret(self) -> bool {
        matches!(self, Self::Password | Self::Bearer)
    }

    /// Whether it names a file; a profile's stand beside the profile file.
    pub(crate) const fn is_path(self) -> bool {
        matches!(
            self,
            Self::ServerPublic
                | Self::OwnPrivate
                | Self::PasswordFile
                | Self::BearerFile
                | Self::CaFile
        )
    }
}
