//! What can go wrong on the way to an HTTP door.

use std::error::Error;
use std::io;

use tokio_rustls::rustls;

/// Why there is no answer, or none that makes sense.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("cannot connect to {server}: {error}; is gorgone-httpserver running there?")]
    Connect { server: String, error: io::Error },
    #[error(
        "no answer from {server} within {seconds} s; is gorgone-httpserver running there, and the port open?"
    )]
    Silent { server: String, seconds: u64 },
    #[error(
        "the certificate of {server} is not trusted: {why}; name the one that issued it with --ca-file"
    )]
    Untrusted { server: String, why: String },
    #[error("{server} does not speak TLS as it should: {why}; is it http:// that is meant?")]
    Tls { server: String, why: String },
    #[error("the connection to {server} broke: {why}")]
    Broken { server: String, why: String },
    #[error("{server} does not know this user or its password; check --login and --password-file")]
    UnknownUser { server: String },
    #[error("{server} does not know this bearer token; check --bearer-file")]
    UnknownBearer { server: String },
    #[error("{server} wants to know who asks; give --login and --password-file, or --bearer-file")]
    Nobody { server: String },
    #[error("{server} lets nobody in from this address; see allowed_hosts in its configuration")]
    Outside { server: String },
    #[error("what answers at {server} is no gorgone: {why}")]
    NotGorgone { server: String, why: String },
}

/// What a failed TLS handshake means.
pub(super) fn of_handshake(server: String, error: &io::Error) -> HttpError {
    let cause = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(why)) => HttpError::Untrusted {
            server,
            why: why.to_string(),
        },
        Some(why) => HttpError::Tls {
            server,
            why: why.to_string(),
        },
        None => HttpError::Broken {
            server,
            why: error.to_string(),
        },
    }
}

/// What an error of hyper means: its deepest cause says most.
pub(super) fn of_hyper(server: String, error: &hyper::Error) -> HttpError {
    if error.is_parse() {
        return HttpError::NotGorgone {
            server,
            why: "it does not speak HTTP".to_owned(),
        };
    }
    let mut cause: &dyn Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    HttpError::Broken {
        server,
        why: cause.to_string(),
    }
}
