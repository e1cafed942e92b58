//! One gorgoned per database: a lock that goes with its process, however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use gorgone_runtime::config::{Config, DatabaseConfig};

/// Held as long as gorgoned lives. The file stays; it means nothing without the lock.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, and writes our process id into its file.
    pub(crate) fn take(config: &Config) -> anyhow::Result<Self> {
        let path = path_of(config);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid);
                bail!(
                    "gorgoned with pid {} already runs with this configuration (it holds {}); \
                     stop it first, or give this one a database and ports of its own",
                    pid.trim(),
                    path.display()
                );
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { _file: file })
    }
}

fn path_of(config: &Config) -> PathBuf {
    match &config.core.database {
        DatabaseConfig::Sqlite { path } => beside(path),
        DatabaseConfig::Server { .. } => {
            std::env::temp_dir().join(format!("gorgoned-{}.lock", config.core.id))
        }
    }
}

fn beside(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}
