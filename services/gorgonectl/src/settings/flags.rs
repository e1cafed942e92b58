//! The flags that say whom to talk to, and as whom.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::key::Key;

/// Flags of every verb that talks to a server.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Server")]
pub(crate) struct Flags {
    /// The server: tcp://HOST:PORT, ipc://PATH, http://HOST:PORT or https://HOST:PORT
    /// [env: GORGONECTL_SERVER] [default: tcp://127.0.0.1:5555]
    #[arg(long, global = true, display_order = 1000, value_name = "URL", value_hint = ValueHint::Url)]
    server: Option<String>,
    /// A server and what it needs, by its name in the profile file [env: GORGONECTL_PROFILE]
    #[arg(long, global = true, display_order = 1001, value_name = "NAME")]
    pub(super) profile: Option<String>,
    /// The profile file [env: GORGONECTL_PROFILES] [default: ~/.config/gorgone/ctl.yml]
    #[arg(long, global = true, display_order = 1002, value_name = "FILE", hide_short_help = true, value_hint = ValueHint::FilePath)]
    pub(super) profiles: Option<PathBuf>,
    /// ZeroMQ: the server's public key (PEM) [env: GORGONECTL_SERVER_KEY]
    #[arg(long, global = true, display_order = 1003, value_name = "FILE", hide_short_help = true, value_hint = ValueHint::FilePath)]
    server_key: Option<String>,
    /// ZeroMQ: your private key (PEM); its thumbprint stands in the server's authorized_clients
    /// [env: GORGONECTL_KEY]
    #[arg(long, global = true, display_order = 1004, value_name = "FILE", hide_short_help = true, value_hint = ValueHint::FilePath)]
    key: Option<String>,
    /// ZeroMQ: the vector of the session cipher, as in the server's configuration
    /// [env: GORGONECTL_VECTOR] [default: 0123456789012345]
    #[arg(
        long,
        global = true,
        display_order = 1005,
        value_name = "TEXT",
        hide_short_help = true
    )]
    vector: Option<String>,
    /// ZeroMQ: length of the session key in bytes, as in the server's configuration
    /// [env: GORGONECTL_KEYSIZE] [default: 32]
    #[arg(
        long,
        global = true,
        display_order = 1006,
        value_name = "BYTES",
        hide_short_help = true
    )]
    keysize: Option<String>,
    /// HTTP: the user [env: GORGONECTL_LOGIN]
    #[arg(
        long,
        global = true,
        display_order = 1007,
        value_name = "USER",
        hide_short_help = true
    )]
    login: Option<String>,
    /// HTTP: a file that holds the user's password [env: GORGONECTL_PASSWORD_FILE, or
    /// GORGONECTL_PASSWORD for the password itself]
    #[arg(long, global = true, display_order = 1008, value_name = "FILE", hide_short_help = true, value_hint = ValueHint::FilePath)]
    password_file: Option<String>,
    /// HTTP: a file that holds a bearer token [env: GORGONECTL_BEARER_FILE, or
    /// GORGONECTL_BEARER for the token itself]
    #[arg(long, global = true, display_order = 1009, value_name = "FILE", hide_short_help = true, value_hint = ValueHint::FilePath)]
    bearer_file: Option<String>,
    /// HTTPS: the certificates to trust instead of the system's (PEM) [env: GORGONECTL_CA_FILE]
    #[arg(long, global = true, display_order = 1010, value_name = "FILE", hide_short_help = true, value_hint = ValueHint::FilePath)]
    ca_file: Option<String>,
    /// How many seconds to wait for any one answer [env: GORGONECTL_PATIENCE] [default: 10]
    #[arg(
        long,
        global = true,
        display_order = 1011,
        value_name = "SECONDS",
        hide_short_help = true
    )]
    patience: Option<String>,
}

impl Flags {
    /// What the command line says about this key.
    pub(super) fn value(&self, key: Key) -> Option<&str> {
        match key {
            Key::Server => self.server.as_deref(),
            Key::ServerPublic => self.server_key.as_deref(),
            Key::OwnPrivate => self.key.as_deref(),
            Key::Vector => self.vector.as_deref(),
            Key::SessionBytes => self.keysize.as_deref(),
            Key::Login => self.login.as_deref(),
            Key::PasswordFile => self.password_file.as_deref(),
            Key::BearerFile => self.bearer_file.as_deref(),
            Key::CaFile => self.ca_file.as_deref(),
            Key::Patience => self.patience.as_deref(),
            Key::Password | Key::Bearer => None,
        }
    }
}
