//! Where a socket is bound or connected.

use std::fmt;
use std::path::PathBuf;

/// A ZeroMQ endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Endpoint {
    /// `tcp://host:port`; the host `*` means every interface, port 0 any free port.
    Tcp {
        /// A name, an address (IPv6 without brackets), or `*`.
        host: String,
        /// The port.
        port: u16,
    },
    /// `ipc://path`: a Unix socket.
    Ipc {
        /// The socket's file.
        path: PathBuf,
    },
}

impl Endpoint {
    /// Reads the pair that configurations hold: `internal_com_type: tcp`,
    /// `internal_com_path: "127.0.0.1:5550"`.
    ///
    /// # Errors
    /// A sentence that says what is wrong and how to write it.
    pub fn from_config(kind: &str, path: &str) -> Result<Self, String> {
        match kind {
            "tcp" => {
                let (host, port) = path
                    .rsplit_once(':')
                    .ok_or_else(|| format!("'{path}' has no port; write it as host:port"))?;
                let port = port
                    .parse()
                    .map_err(|_| format!("'{port}' is not a port from 0 to 65535"))?;
                let host = host.trim_start_matches('[').trim_end_matches(']');
                if host.is_empty() {
                    return Err(format!(
                        "'{path}' has no host; write it as host:port, or *:port for every interface"
                    ));
                }
                Ok(Self::Tcp {
                    host: host.to_owned(),
                    port,
                })
            }
            "ipc" if path.is_empty() => {
                Err("an ipc endpoint needs the path of a socket".to_owned())
            }
            "ipc" => Ok(Self::Ipc { path: path.into() }),
            other => Err(format!("'{other}' is not a transport; use tcp or ipc")),
        }
    }

    /// Reads `tcp://host:port` or `ipc://path`.
    ///
    /// # Errors
    /// A sentence that says what is wrong and how to write it.
    pub fn parse(url: &str) -> Result<Self, String> {
        match url.split_once("://") {
            Some((kind, path)) => Self::from_config(kind, path),
            None => Err(format!(
                "'{url}' is not an endpoint; write tcp://host:port or ipc://path"
            )),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Self::Ipc { path } => write!(f, "ipc://{}", path.display()),
        }
    }
}
