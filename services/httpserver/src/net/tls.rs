//! The certificate, read again when its files change.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use gorgone_runtime::config::TlsFiles;
use tokio_rustls::rustls;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate's file.
    #[error(
        "modules.httpserver.ssl_cert_file: cannot read {path}: {error}; it must hold certificates as PEM"
    )]
    Certificate {
        /// Which file.
        path: String,
        /// What is wrong with it.
        error: pem::Error,
    },
    /// The key's file.
    #[error(
        "modules.httpserver.ssl_key_file: cannot read {path}: {error}; it must hold a private key as PEM, without a password"
    )]
    Key {
        /// Which file.
        path: String,
        /// What is wrong with it.
        error: pem::Error,
    },
    /// The two do not make a pair.
    #[error("modules.httpserver.ssl_cert_file and ssl_key_file: {0}")]
    Pair(#[from] rustls::Error),
}

/// The certificate that new connections get. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Certificate {
    files: TlsFiles,
    current: Arc<RwLock<Arc<ServerConfig>>>,
    /// What the files were like when they were read last.
    seen: Arc<Mutex<[Option<Stamp>; 2]>>,
}

/// What a file is like: another one in its place, or another text in it, is not like it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    written: (i64, i64),
    length: u64,
}

fn stamps(files: &TlsFiles) -> [Option<Stamp>; 2] {
    [&files.certificate, &files.key].map(|path| {
        let file = std::fs::metadata(path).ok()?;
        Some(Stamp {
            file: (file.dev(), file.ino()),
            written: (file.mtime(), file.mtime_nsec()),
            length: file.len(),
        })
    })
}

impl Certificate {
    /// Reads both files.
    ///
    /// # Errors
    /// When they cannot be used.
    pub(crate) fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let seen = stamps(files);
        let config = read(files)?;
        Ok(Self {
            files: files.clone(),
            seen: Arc::new(Mutex::new(seen)),
            current: Arc::new(RwLock::new(config)),
        })
    }

    /// What new connections are encrypted with.
    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The two files.
    pub(crate) const fn files(&self) -> &TlsFiles {
        &self.files
    }

    /// Reads both files again if they are not what they were.
    pub(crate) fn reload_if_changed(&self) {
        let now = stamps(&self.files);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen != now {
            *seen = now;
            drop(seen);
            self.reload();
        }
    }

    /// Reads both files again; a pair that cannot be used is told, and the old one stays.
    pub(crate) fn reload(&self) {
        match read(&self.files) {
            Ok(config) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
                let file = self.files.certificate.display();
                tracing::info!(%file, "the certificate was read again");
            }
            Err(error) => {
                tracing::error!(%error, "the new certificate cannot be used; the old one stays");
            }
        }
    }
}

fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let shown = |path: &Path| path.display().to_string();
    let certificate = |error| TlsError::Certificate {
        path: shown(&files.certificate),
        error,
    };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(certificate)?;
    if chain.is_empty() {
        return Err(certificate(pem::Error::NoItemsFound));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| TlsError::Key {
        path: shown(&files.key),
        error,
    })?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
