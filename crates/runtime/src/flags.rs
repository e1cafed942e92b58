//! The flags that every service has.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::config::Sources;

/// The variable of the environment behind `--monitor`. It is about one process: gorgoned hands it
/// on to none of those that it starts.
pub const MONITOR: &str = "GORGONE_MONITOR";

/// How much is logged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Severity {
    /// Everything, payloads included.
    Debug,
    /// What an administrator follows in ordinary times.
    Info,
    /// What may need a look.
    #[value(alias = "warn", alias = "notice")]
    Warning,
    /// What needs one.
    #[value(alias = "critical", alias = "fatal")]
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// How log lines are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// The flags that every service has.
#[derive(Clone, PartialEq, Eq, Debug, Args)]
pub struct Flags {
    /// The configuration's YAML file
    #[arg(
        long,
        value_name = "FILE",
        env = "GORGONE_CONFIG",
        default_value = "config/gorgoned.yml",
        global = true
    )]
    pub config: PathBuf,
    /// How much is logged
    #[arg(
        long,
        value_enum,
        env = "GORGONE_SEVERITY",
        default_value_t = Severity::Info,
        ignore_case = true,
        global = true
    )]
    pub severity: Severity,
    /// How log lines are written; text on a terminal, JSON elsewhere
    #[arg(long, value_enum, env = "GORGONE_LOG_FORMAT", global = true)]
    pub log_format: Option<LogFormat>,
    /// Where this service tells how it is (/healthz, /readyz, /metrics), whatever its section of the
    /// configuration says
    #[arg(long, value_name = "HOST:PORT", env = MONITOR, global = true)]
    pub monitor: Option<SocketAddr>,
    /// Overrides a key by its path, as in --set gorgonecore.timeout=5
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting, global = true)]
    pub set: Vec<(String, String)>,
    /// Only checks the configuration
    #[arg(long)]
    pub check: bool,
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as key.path=value".to_owned()),
    }
}

impl Flags {
    /// Where the configuration is read from, the process's environment included.
    #[must_use]
    pub fn sources(&self) -> Sources {
        Sources {
            settings: self.set.clone(),
            ..Sources::from_environment(self.config.clone())
        }
    }

    /// The same flags for a child process.
    #[must_use]
    pub fn to_args(&self) -> Vec<String> {
        let mut args = vec![
            format!("--config={}", self.config.display()),
            format!("--severity={}", self.severity),
        ];
        if let Some(format) = self.log_format {
            args.push(format!("--log-format={format}"));
        }
        for (key, value) in &self.set {
            args.push(format!("--set={key}={value}"));
        }
        args
    }
}
