//! Log lines on stderr: text for a terminal, JSON for a collector, the level changeable while
//! the service runs.

use std::io::IsTerminal;

use gorgone_protocol::request::logger;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::flags::{Flags, LogFormat, Severity};

/// Changes how much is logged while the service runs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogHandle {
    handle: Handle<LevelFilter, Registry>,
    /// What the service was started with.
    default: Severity,
}

impl LogHandle {
    /// From now on logs as much as BCASTLOGGER says.
    pub fn follow(&self, severity: logger::Severity) {
        let severity = match severity {
            logger::Severity::Debug => Severity::Debug,
            logger::Severity::Info => Severity::Info,
            logger::Severity::Warning => Severity::Warning,
            logger::Severity::Error => Severity::Error,
            logger::Severity::Default => self.default,
        };
        tracing::warn!(%severity, "the log level is changed");
        self.set(severity);
    }

    /// From now on logs that much.
    pub fn set(&self, severity: Severity) {
        if let Err(error) = self.handle.modify(|level| *level = level_of(severity)) {
            tracing::warn!(%error, "cannot change the log level");
        }
    }
}

const fn level_of(severity: Severity) -> LevelFilter {
    match severity {
        Severity::Debug => LevelFilter::DEBUG,
        Severity::Info => LevelFilter::INFO,
        Severity::Warning => LevelFilter::WARN,
        Severity::Error => LevelFilter::ERROR,
    }
}

/// Starts logging for this process, panics included. Once per process; a second call changes
/// nothing.
#[must_use]
pub fn init(flags: &Flags) -> LogHandle {
    let terminal = std::io::stderr().is_terminal();
    let format = flags.log_format.unwrap_or(if terminal {
        LogFormat::Text
    } else {
        LogFormat::Json
    });
    let (filter, handle) = reload::Layer::new(level_of(flags.severity));
    let lines = match format {
        LogFormat::Text => fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(terminal)
            .boxed(),
        LogFormat::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(std::io::stderr)
            .boxed(),
    };
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init();
    log_panics();
    LogHandle {
        handle,
        default: flags.severity,
    }
}

/// A panic is a log line like any other, before the process ends.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("(no message)");
        tracing::error!(place, message, "panicked; this is a bug");
    }));
}
