//! Why a socket could not be opened, and why a message was not taken.

use gorgone_protocol::Endpoint;

/// Why a socket could not be bound or connected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process (or another socket of this one) listens there.
    #[error("{0} is already in use")]
    InUse(Endpoint),
    /// The process may not bind there: a port below 1024, a folder it may not write to.
    #[error("{0}: permission denied")]
    NotPermitted(Endpoint),
    /// The host name does not resolve, the address is not of this host, or the socket's folder
    /// does not exist.
    #[error("{0} is not available on this host")]
    NotAvailable(Endpoint),
    /// The endpoint cannot be used at all.
    #[error("{endpoint}: {problem}")]
    Unusable {
        /// The endpoint as it was given.
        endpoint: Endpoint,
        /// What is wrong with it.
        problem: String,
    },
    /// A ROUTER needs at least one endpoint to be bound to.
    #[error("no endpoint to bind")]
    NoEndpoint,
    /// A ZeroMQ identity has 1 to 255 bytes and does not begin with a zero byte.
    #[error("an identity has 1 to 255 bytes and does not begin with a zero byte")]
    Identity,
    /// The system has no more threads, descriptors or memory for a socket.
    #[error("cannot open a socket: {0}")]
    Resources(String),
}

impl Error {
    /// The error for a system error on an endpoint.
    pub(crate) fn from_io(endpoint: &Endpoint, error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        let endpoint = endpoint.clone();
        match error.kind() {
            ErrorKind::AddrInUse => Self::InUse(endpoint),
            ErrorKind::PermissionDenied => Self::NotPermitted(endpoint),
            ErrorKind::AddrNotAvailable | ErrorKind::NotFound => Self::NotAvailable(endpoint),
            _ => Self::Unusable {
                endpoint,
                problem: error.to_string(),
            },
        }
    }

    /// The error for a libzmq error on an endpoint.
    pub(crate) fn from_zmq(endpoint: &Endpoint, error: zmq::Error) -> Self {
        let endpoint = endpoint.clone();
        match error {
            zmq::Error::EADDRINUSE => Self::InUse(endpoint),
            zmq::Error::EACCES => Self::NotPermitted(endpoint),
            zmq::Error::EADDRNOTAVAIL | zmq::Error::ENODEV | zmq::Error::ENOENT => {
                Self::NotAvailable(endpoint)
            }
            other => Self::Unusable {
                endpoint,
                problem: other.to_string(),
            },
        }
    }
}

/// Why a message was not taken for sending. The message was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The outbox holds as many messages or bytes as it may; try again later, or shed load.
    #[error("the outbox is full")]
    Full,
    /// The socket is closed.
    #[error("the socket is closed")]
    Closed,
}
