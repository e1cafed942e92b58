//! From the flags to a session.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use gorgone_client::{Client, ClientOptions};
use gorgone_crypto::{PrivateKey, PublicKey};
use gorgone_protocol::{Endpoint, Identity};
use gorgone_session::ClientConfig;

use crate::cli::Server;

impl Server {
    /// How long to wait for any one answer.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.patience)
    }

    /// Opens a session.
    ///
    /// # Errors
    /// When a flag is missing or a key unreadable, nobody answers, or the server refuses.
    pub(crate) async fn connect(&self) -> anyhow::Result<Client> {
        let endpoint =
            Endpoint::parse(&self.server).map_err(|error| anyhow!("--server: {error}"))?;
        let server_key = file(
            self.server_key.as_ref(),
            "--server-key",
            "GORGONECTL_SERVER_KEY",
        )?;
        let key = file(self.key.as_ref(), "--key", "GORGONECTL_KEY")?;
        let vector = <[u8; 16]>::try_from(self.vector.as_bytes()).map_err(|_| {
            anyhow!(
                "--vector: needs 16 bytes, '{}' has {}",
                self.vector,
                self.vector.len()
            )
        })?;
        let hostname = nix::unistd::gethostname()
            .ok()
            .and_then(|name| name.into_string().ok())
            .unwrap_or_else(|| "localhost".to_owned())
            .replace(']', "_");
        let name = format!("gorgonectl-{hostname}-{:016x}", rand::random::<u64>());
        let session = ClientConfig {
            hostname: name.clone(),
            server_key: PublicKey::from_pem(&read(server_key)?)
                .with_context(|| format!("--server-key {}", server_key.display()))?,
            key: PrivateKey::from_pem(&read(key)?)
                .with_context(|| format!("--key {}", key.display()))?,
            vector,
            keysize: self.keysize,
        };
        let options = ClientOptions {
            endpoint,
            identity: Identity::new(name.as_bytes()),
            session,
        };
        Ok(Client::connect(options, self.patience()).await?)
    }
}

fn file<'a>(path: Option<&'a PathBuf>, flag: &str, variable: &str) -> anyhow::Result<&'a PathBuf> {
    path.ok_or_else(|| anyhow!("{flag} is missing; give it, or set {variable}"))
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
