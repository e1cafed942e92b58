//! What the service is told, as finished values.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use gorgone_runtime::config::ActionConfig;
pub use gorgone_runtime::config::{AllowedCommand, ArgType, CommandTemplate};

/// What may be run, how long, and how much of it is kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a command may run that does not say so itself.
    pub command_timeout: Duration,
    /// How long a command may run at most, whatever it says.
    pub max_timeout: Duration,
    /// From TERM to KILL when a command is ended.
    pub kill_delay: Duration,
    /// How long output is awaited after a command ended whose children keep its pipes open.
    pub linger: Duration,
    /// Whether only `allowed` and `templates` may run.
    pub whitelist: bool,
    /// What command lines are allowed.
    pub allowed: Vec<AllowedCommand>,
    /// Commands by name.
    pub templates: BTreeMap<String, CommandTemplate>,
    /// Commands that run at one time.
    pub slots: usize,
    /// Requests that wait for a slot; more are refused.
    pub queue: usize,
    /// Bytes kept of each of stdout and stderr, counted as they stand in JSON.
    pub max_output: usize,
    /// The engine's pipe where a request names none.
    pub engine_pipe: PathBuf,
    /// How long a write to the engine's pipe may take.
    pub engine_timeout: Duration,
    /// The program that `gorgone-action` is: it runs a second time as the guard of what it
    /// started, and to change the user. Without it there is no guard, and no user is changed.
    pub helper: Option<PathBuf>,
}

/// Most that is kept of one stream, whatever the configuration says: the finishing row holds
/// each stream twice and must fit in a frame.
pub const MAX_OUTPUT: usize = 3 * 1024 * 1024;

impl Default for Settings {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            command_timeout: Duration::from_secs(30),
            max_timeout: Duration::from_secs(86_400),
            kill_delay: Duration::from_secs(2),
            linger: Duration::from_secs(1),
            whitelist: false,
            allowed: Vec::new(),
            templates: BTreeMap::new(),
            slots: (4 * cores).max(4),
            queue: 10_000,
            max_output: 1024 * 1024,
            engine_pipe: PathBuf::from("/var/lib/centreon-engine/rw/centengine.cmd"),
            engine_timeout: Duration::from_secs(5),
            helper: None,
        }
    }
}

impl From<&ActionConfig> for Settings {
    fn from(config: &ActionConfig) -> Self {
        Self {
            command_timeout: config.command_timeout,
            max_timeout: config.max_timeout,
            kill_delay: config.kill_delay,
            whitelist: config.whitelist_cmds,
            allowed: config.allowed_cmds.clone(),
            templates: config.commands.clone(),
            slots: config.max_parallel,
            queue: config.queue,
            max_output: config.max_output,
            engine_pipe: config.engine_pipe.clone(),
            engine_timeout: config.engine_timeout,
            ..Self::default()
        }
    }
}
