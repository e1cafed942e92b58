//! The files of Unix sockets.

use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use gorgone_protocol::Endpoint;

use crate::Error;

/// Removes the socket file that a dead process left behind, so that it can be bound again.
/// A file that is not a socket, or a socket that somebody listens on, is left alone.
pub(crate) fn clear_stale(endpoint: &Endpoint, path: &Path) -> Result<(), Error> {
    let kind = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::from_io(endpoint, &error)),
    };
    if !kind.is_socket() {
        return Err(Error::Unusable {
            endpoint: endpoint.clone(),
            problem: "the path exists and is not a socket".to_owned(),
        });
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    Err(Error::from_io(endpoint, &error))
                }
                _ => Ok(()),
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Err(Error::NotPermitted(endpoint.clone()))
        }
        // Connected, or too busy to connect to: somebody listens.
        _ => Err(Error::InUse(endpoint.clone())),
    }
}
