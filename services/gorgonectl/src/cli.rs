//! The words of the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use gorgone_protocol::{NodeId, Token};

/// Talks to gorgone.
#[derive(Parser)]
#[command(name = "gorgonectl", version, about = "Talks to a gorgoned: runs commands, reads its history, asks how it is.", long_about = None)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) server: Server,
    /// Print JSON, one object a line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Whom to talk to, and as whom.
#[derive(Args)]
pub(crate) struct Server {
    /// The external endpoint of gorgone-core.
    #[arg(
        long,
        global = true,
        env = "GORGONECTL_SERVER",
        default_value = "tcp://127.0.0.1:5555",
        value_name = "ENDPOINT"
    )]
    pub(crate) server: String,
    /// The server's public key (PEM).
    #[arg(
        long,
        global = true,
        env = "GORGONECTL_SERVER_KEY",
        value_name = "FILE"
    )]
    pub(crate) server_key: Option<PathBuf>,
    /// Your private key (PEM); its thumbprint stands in the server's authorized_clients.
    #[arg(long, global = true, env = "GORGONECTL_KEY", value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// The vector of the session cipher, as in the server's configuration.
    #[arg(
        long,
        global = true,
        env = "GORGONECTL_VECTOR",
        default_value = "0123456789012345"
    )]
    pub(crate) vector: String,
    /// Length of the session key in bytes, as in the server's configuration.
    #[arg(long, global = true, env = "GORGONECTL_KEYSIZE", default_value_t = 32)]
    pub(crate) keysize: usize,
    /// How many seconds to wait for the server.
    #[arg(long, global = true, default_value_t = 10, value_name = "SECONDS")]
    pub(crate) patience: u64,
}

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Make keys and look at them.
    #[command(subcommand)]
    Keys(Keys),
    /// Run a command and show its output; exits with the command's exit code.
    Command(CommandArgs),
    /// Show rows of the history.
    Log(LogArgs),
    /// How the server is: its nodes, modules and counters.
    Status,
    /// End a request that was accepted.
    Cancel(CancelArgs),
    /// Send any request and show its answer.
    Request(RequestArgs),
}

#[derive(Subcommand)]
pub(crate) enum Keys {
    /// Make a pair of RSA keys: DIR/privkey.pem and DIR/pubkey.pem. Prints the thumbprint.
    Generate {
        /// The folder; made if it is missing.
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// Length of the key in bits.
        #[arg(long, default_value_t = 2048)]
        bits: usize,
    },
    /// Print the thumbprint of a key, for authorized_clients.
    Thumbprint {
        /// A PEM file, public or private.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

#[derive(Args)]
pub(crate) struct CommandArgs {
    /// The node that runs it; the server itself where it is not given.
    #[arg(long)]
    pub(crate) target: Option<NodeIdArg>,
    /// How many seconds the command may run.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    /// How many seconds it may wait to begin.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) ttl: Option<u64>,
    /// Its working directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<String>,
    /// The user that runs it.
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// A variable of its environment; may be given several times.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<String>,
    /// Do not wait: print the token and end.
    #[arg(long)]
    pub(crate) detach: bool,
    /// One argument is a line for the shell; several are a program and its arguments, run
    /// without a shell.
    #[arg(required = true, trailing_var_arg = true)]
    pub(crate) command: Vec<String>,
}

#[derive(Args)]
pub(crate) struct LogArgs {
    /// Only rows of this token.
    pub(crate) token: Option<String>,
    /// Only rows with this code: 0 proceeds, 1 OK, 2 KO.
    #[arg(long)]
    pub(crate) code: Option<i64>,
    /// Only rows stored at this time or later: seconds since 1970, or an age such as 90s, 15m,
    /// 2h, 7d.
    #[arg(long)]
    pub(crate) since: Option<String>,
    /// Only rows after this id.
    #[arg(long)]
    pub(crate) id: Option<i64>,
    /// At most so many rows.
    #[arg(long)]
    pub(crate) limit: Option<u32>,
    /// Go on as rows come; with a token until it has ended.
    #[arg(short, long)]
    pub(crate) follow: bool,
}

#[derive(Args)]
pub(crate) struct CancelArgs {
    /// The token of the request.
    pub(crate) token: TokenArg,
}

#[derive(Args)]
pub(crate) struct RequestArgs {
    /// The action, such as CONSTATUS.
    pub(crate) action: String,
    /// DATA: JSON.
    #[arg(default_value = "{}")]
    pub(crate) data: String,
    /// The node that does it.
    #[arg(long)]
    pub(crate) target: Option<NodeIdArg>,
    /// A token of your own.
    #[arg(long)]
    pub(crate) token: Option<TokenArg>,
    /// Wait until the request has ended, and show its rows.
    #[arg(long)]
    pub(crate) wait: bool,
}

/// A node id on the command line.
#[derive(Clone)]
pub(crate) struct NodeIdArg(pub(crate) NodeId);

impl std::str::FromStr for NodeIdArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        NodeId::parse(text)
            .map(Self)
            .map_err(|error| error.to_string())
    }
}

/// A token on the command line.
#[derive(Clone)]
pub(crate) struct TokenArg(pub(crate) Token);

impl std::str::FromStr for TokenArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Token::parse(text)
            .map(Self)
            .map_err(|error| error.to_string())
    }
}
