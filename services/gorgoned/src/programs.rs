//! Which programs there are, and where.

use std::path::{Path, PathBuf};

use anyhow::bail;
use gorgone_runtime::config::Config;

/// Core, without which nothing else starts.
pub(crate) const CORE: &str = "gorgone-core";
const ACTION: &str = "gorgone-action";
const CRON: &str = "gorgone-cron";
const PROXY: &str = "gorgone-proxy";
const PULL: &str = "gorgone-pull";
const HTTPSERVER: &str = "gorgone-httpserver";

/// The modules that the configuration enables, by their programs' names.
pub(crate) fn enabled(config: &Config) -> Vec<&'static str> {
    let mut programs = Vec::new();
    if config.modules.action.enable {
        programs.push(ACTION);
    }
    if config.modules.cron.enable {
        programs.push(CRON);
    }
    if config.modules.proxy.enable {
        programs.push(PROXY);
    }
    if config.modules.pull.enable {
        programs.push(PULL);
    }
    if config.modules.httpserver.enable {
        programs.push(HTTPSERVER);
    }
    programs
}

/// Whether a running program must start anew to follow the change: it follows all others by
/// itself, on SIGHUP.
pub(crate) fn must_restart(program: &str, old: &Config, new: &Config) -> bool {
    if program == CORE {
        // Who may come in and ask for what is followed at once, and so are times that are read
        // anew.
        let mut followed = old.core.clone();
        followed
            .authorized_clients
            .clone_from(&new.core.authorized_clients);
        followed.timeout = new.core.timeout;
        followed.audit.clone_from(&new.core.audit);
        return followed != new.core;
    }
    let shared = old.core.id != new.core.id
        || old.core.internal != new.core.internal
        || old.core.hostname != new.core.hostname;
    shared
        || match program {
            ACTION => old.modules.action != new.modules.action,
            CRON => {
                // Jobs are followed.
                let mut followed = old.modules.cron.clone();
                followed.jobs.clone_from(&new.modules.cron.jobs);
                followed != new.modules.cron
            }
            PROXY => {
                old.modules.proxy != new.modules.proxy
                    || old.core.limits.max_frame_size != new.core.limits.max_frame_size
            }
            PULL => {
                let limit = |config: &Config| config.core.limits.max_frame_size;
                old.modules.pull != new.modules.pull
                    || old.core.privkey != new.core.privkey
                    || limit(old) != limit(new)
            }
            HTTPSERVER => {
                // Credentials, limits and the rest are followed at once.
                let ports = |config: &Config| {
                    let http = &config.modules.httpserver;
                    let instance = http.instance.clone();
                    (http.listen, http.metrics, http.tls.clone(), instance)
                };
                ports(old) != ports(new)
            }
            _ => false,
        }
}

/// Finds programs: in the folder that was named, else beside gorgoned, else in PATH.
#[derive(Debug)]
pub(crate) struct Programs {
    folder: Option<PathBuf>,
}

impl Programs {
    pub(crate) const fn new(folder: Option<PathBuf>) -> Self {
        Self { folder }
    }

    /// The file of a program.
    pub(crate) fn find(&self, name: &str) -> anyhow::Result<PathBuf> {
        if let Some(folder) = &self.folder {
            let file = folder.join(name);
            if file.is_file() {
                return Ok(file);
            }
            bail!("{} is missing", file.display());
        }
        let own = std::env::current_exe().ok();
        let beside = own.as_deref().and_then(Path::parent).map(Path::to_owned);
        let path = std::env::var_os("PATH").unwrap_or_default();
        beside
            .into_iter()
            .chain(std::env::split_paths(&path))
            .map(|folder| folder.join(name))
            .find(|file| file.is_file())
            .ok_or_else(|| {
                anyhow::anyhow!(
                    "cannot find the program {name} beside gorgoned or in PATH; \
                     'cargo build --bins' makes it, --bin-dir names its folder"
                )
            })
    }
}
