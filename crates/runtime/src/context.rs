//! What a service is handed when it starts.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::Config;
use crate::flags::Flags;
use crate::log::LogHandle;
use crate::monitor::Health;
use crate::shutdown::Shutdown;
use crate::supervised;

/// What a service is handed when it starts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Context {
    /// When to stop.
    pub shutdown: Shutdown,
    /// Tasks that must have ended before the process does: spawn them here.
    pub tasks: TaskTracker,
    /// The clock.
    pub clock: Clock,
    /// Changes how much is logged.
    pub log: LogHandle,
    /// What the service says about itself.
    pub health: Health,
    /// What this node calls itself: `hostname` of the configuration, or the system's.
    pub hostname: String,
    /// The flags it was started with.
    pub flags: Flags,
    pub(crate) config: watch::Receiver<Arc<Config>>,
}

impl Context {
    /// The configuration as it is now.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        self.config.borrow().clone()
    }

    /// Changes each time a SIGHUP brought a configuration that is valid.
    #[must_use]
    pub fn reloads(&self) -> watch::Receiver<Arc<Config>> {
        let mut reloads = self.config.clone();
        reloads.mark_unchanged();
        reloads
    }

    /// Says that the service can be used: sockets are bound, the store is open, the module's
    /// READY was acknowledged. Tells gorgoned, or the system's service manager.
    pub fn ready(&self) {
        tracing::info!("ready");
        self.health.started();
        if supervised::is_supervised() {
            supervised::tell_supervisor();
        } else {
            supervised::notify_service_manager("READY=1");
        }
    }
}

/// The system's host name.
pub(crate) fn system_hostname() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}
