//! The public key of the central: given, or the first one that it named.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use gorgone_client::KnownKey;
use gorgone_crypto::PublicKey;

/// A file that holds the key as PEM.
#[derive(Debug)]
pub struct KnownFile {
    path: PathBuf,
    given: bool,
}

impl KnownFile {
    /// The administrator's file: it must be there.
    #[must_use]
    pub const fn given(path: PathBuf) -> Self {
        Self { path, given: true }
    }

    /// A file for the first key that is seen. Whoever removes it lets another one in.
    #[must_use]
    pub const fn first_seen(path: PathBuf) -> Self {
        Self { path, given: false }
    }
}

impl KnownKey for KnownFile {
    /// The file is read each time: its administrator may have changed it.
    fn get(&self) -> Result<Option<PublicKey>, String> {
        let place = self.place();
        match std::fs::read_to_string(&self.path) {
            Ok(text) => match PublicKey::from_pem(&text) {
                Ok(key) => Ok(Some(key)),
                Err(error) => Err(format!("{place} is not a public key in PEM form: {error}")),
            },
            Err(error) if error.kind() == ErrorKind::NotFound && !self.given => Ok(None),
            Err(error) => Err(format!("cannot read {place}: {error}")),
        }
    }

    fn keep(&self, key: &PublicKey) -> Result<(), String> {
        let fail = |error: &dyn std::fmt::Display| {
            format!("cannot keep the central's key in {}: {error}", self.place())
        };
        let pem = key.to_pem().map_err(|error| fail(&error))?;
        // Beside it, and then in its place: half a key would keep us out for good.
        let new = self.path.with_added_extension("new");
        OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(&new)
            .and_then(|mut file| {
                file.write_all(pem.as_bytes())?;
                file.sync_all()
            })
            .and_then(|()| std::fs::rename(&new, &self.path))
            .map_err(|error| fail(&error))?;
        tracing::info!(thumbprint = %key.thumbprint(), file = self.place(), "the central is seen for the first time; its key is kept");
        Ok(())
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }
}
