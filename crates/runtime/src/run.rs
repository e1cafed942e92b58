//! From `main` to the exit code.

use std::error::Error;
use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::{Checks, Config, ConfigError, Loaded};
use crate::context::{Context, system_hostname};
use crate::flags::Flags;
use crate::log;
use crate::monitor::{self, Health};
use crate::shutdown::{Reason, Shutdown};
use crate::supervised;

/// Exit codes of every service.
pub mod exit {
    /// It ended because it was asked to.
    pub const OK: u8 = 0;
    /// It failed while it ran.
    pub const FAILED: u8 = 1;
    /// Its configuration cannot be used; starting it again would not help.
    pub const CONFIGURATION: u8 = 2;
}

/// A kind of service: what differs in its process life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Service {
    /// The binary's name.
    pub name: &'static str,
    /// Its section of the configuration; empty where it has none of its own.
    pub section: &'static str,
    /// Which of the files that the configuration names it needs.
    pub checks: Checks,
    /// Threads of its runtime; 0 for the main thread alone.
    pub workers: usize,
}

impl Service {
    /// gorgone-core.
    pub const CORE: Self = Self {
        name: "gorgone-core",
        section: "gorgonecore",
        checks: Checks {
            keys: true,
            http: false,
        },
        workers: 2,
    };
    /// gorgone-action.
    pub const ACTION: Self = Self {
        name: "gorgone-action",
        section: "modules.action",
        checks: Checks {
            keys: false,
            http: false,
        },
        workers: 0,
    };
    /// gorgone-cron.
    pub const CRON: Self = Self {
        name: "gorgone-cron",
        section: "modules.cron",
        checks: Checks {
            keys: false,
            http: false,
        },
        workers: 0,
    };
    /// gorgone-httpserver.
    pub const HTTPSERVER: Self = Self {
        name: "gorgone-httpserver",
        section: "modules.httpserver",
        checks: Checks {
            keys: false,
            http: true,
        },
        workers: 2,
    };
    /// gorgone-proxy. It has core's private key where a node's definition names none.
    pub const PROXY: Self = Self {
        name: "gorgone-proxy",
        section: "modules.proxy",
        checks: Checks {
            keys: true,
            http: false,
        },
        workers: 0,
    };
    /// gorgone-pull. It has core's private key where it is given none.
    pub const PULL: Self = Self {
        name: "gorgone-pull",
        section: "modules.pull",
        checks: Checks {
            keys: true,
            http: false,
        },
        workers: 0,
    };
    /// gorgoned: it checks for all, and does little itself.
    pub const SUPERVISOR: Self = Self {
        name: "gorgoned",
        section: "",
        checks: Checks {
            keys: true,
            http: true,
        },
        workers: 0,
    };
}

#[derive(Parser)]
#[command(version, about = "A service of gorgone")]
struct CommandLine {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    /// Asks the running service whether it can be used: exits with 0 if so, with 1 and the reason if not
    Health,
}

/// Runs a service: flags, configuration, logs, signals, then `main` until it returns.
///
/// `main` returns when [`Context::shutdown`] began and it has drained. One that takes longer
/// than `gorgonecore.timeout` is cut off, and a second signal cuts it off at once.
pub fn run<M, F, E>(service: Service, main: M) -> ExitCode
where
    M: FnOnce(Context) -> F,
    F: Future<Output = Result<(), E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let line = CommandLine::parse();
    match line.verb {
        Some(Verb::Health) => monitor::ask(service, &line.flags),
        None => run_with(service, line.flags, main),
    }
}

/// Like [`run`], for a service that has flags of its own and parsed them.
pub fn run_with<M, F, E>(service: Service, flags: Flags, main: M) -> ExitCode
where
    M: FnOnce(Context) -> F,
    F: Future<Output = Result<(), E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let log = log::init(&flags);
    let loaded = match Config::load(&flags.sources(), service.checks) {
        Ok(loaded) => loaded,
        Err(error) => {
            report(&error);
            return ExitCode::from(exit::CONFIGURATION);
        }
    };
    if flags.check {
        return check(&flags, &loaded);
    }
    // One voice for what concerns the whole node: a supervised service leaves it to gorgoned.
    if !supervised::is_supervised() {
        start_with(&loaded);
    }
    let runtime = match runtime(service) {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot start");
            return ExitCode::from(exit::FAILED);
        }
    };
    let code = runtime.block_on(live(service, flags, loaded.config, log, main));
    runtime.shutdown_timeout(Duration::from_millis(100));
    ExitCode::from(code)
}

fn runtime(service: Service) -> std::io::Result<Runtime> {
    let mut builder = match service.workers {
        0 => Builder::new_current_thread(),
        workers => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(workers);
            builder
        }
    };
    builder.thread_name(service.name).enable_all().build()
}

struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.term.recv() => Asked::Stop,
            _ = self.int.recv() => Asked::Stop,
            _ = self.hup.recv() => Asked::Reload,
        }
    }
}

enum Asked {
    Stop,
    Reload,
}

async fn live<M, F, E>(
    service: Service,
    flags: Flags,
    config: Config,
    log: crate::LogHandle,
    main: M,
) -> u8
where
    M: FnOnce(Context) -> F,
    F: Future<Output = Result<(), E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!(%error, "cannot listen for signals");
            return exit::FAILED;
        }
    };
    let shutdown = Shutdown::default();
    if supervised::is_supervised() {
        supervised::watch_supervisor(shutdown.clone());
    }
    let health = Health::new(shutdown.clone());
    if let Some(address) = flags.monitor.or_else(|| config.monitor(service)) {
        match monitor::start(address, health.clone()) {
            Ok(address) => tracing::info!(%address, "health and metrics"),
            Err(error) => {
                tracing::error!(%address, %error, "cannot bind {}; 'ss -ltnp' shows who has the port", monitor_key(service, &flags));
                return exit::FAILED;
            }
        }
    }
    let hostname = config.core.hostname.clone().unwrap_or_else(system_hostname);
    let (sender, receiver) = watch::channel(Arc::new(config));
    let context = Context {
        shutdown: shutdown.clone(),
        tasks: TaskTracker::new(),
        clock: Clock::start(),
        log,
        health,
        hostname,
        flags: flags.clone(),
        config: receiver,
    };
    let tasks = context.tasks.clone();
    let main = async {
        let result = main(context).await;
        shutdown.begin(Reason::Asked, sender.borrow().core.timeout);
        tasks.close();
        tasks.wait().await;
        result
    };
    tokio::pin!(main);
    let deadline = async {
        shutdown.begun().await;
        tokio::time::sleep(shutdown.left()).await;
    };
    tokio::pin!(deadline);
    loop {
        tokio::select! {
            result = &mut main => return finished(result),
            asked = signals.next() => match asked {
                Asked::Stop if shutdown.reason().is_some() => {
                    tracing::warn!("asked to stop a second time; ends at once");
                    return exit::FAILED;
                }
                Asked::Stop => {
                    let timeout = sender.borrow().core.timeout;
                    tracing::info!("stopping");
                    shutdown.begin(Reason::Asked, timeout);
                }
                Asked::Reload => reload(service, &flags, &sender),
            },
            () = &mut deadline => {
                tracing::error!("did not drain in time; ends with work unfinished");
                return exit::FAILED;
            }
        }
    }
}

/// What names the address at which a service tells how it is.
fn monitor_key(service: Service, flags: &Flags) -> String {
    match flags.monitor {
        Some(_) => "--monitor".to_owned(),
        None => format!("{}.metrics_port", service.section),
    }
}

fn finished<E: Into<Box<dyn Error + Send + Sync>>>(result: Result<(), E>) -> u8 {
    match result {
        Ok(()) => {
            tracing::info!("stopped");
            exit::OK
        }
        Err(error) => {
            let error: Box<dyn Error + Send + Sync> = error.into();
            let mut text = error.to_string();
            let mut cause = error.source();
            while let Some(error) = cause {
                text = format!("{text}: {error}");
                cause = error.source();
            }
            tracing::error!(error = text, "failed");
            exit::FAILED
        }
    }
}

/// A new configuration takes the place of the old one only if nothing is wrong with it.
fn reload(service: Service, flags: &Flags, sender: &watch::Sender<Arc<Config>>) {
    match Config::load(&flags.sources(), service.checks) {
        Ok(loaded) => {
            if !supervised::is_supervised() {
                start_with(&loaded);
            }
            tracing::info!(file = %flags.config.display(), "configuration read again");
            sender.send_replace(Arc::new(loaded.config));
        }
        Err(error) => {
            report(&error);
            tracing::error!("the configuration was not taken; the one of before stays in force");
        }
    }
}

/// A check lets nothing pass that a start only goes on without.
fn check(flags: &Flags, loaded: &Loaded) -> ExitCode {
    warn(loaded);
    for problem in &loaded.left_out {
        tracing::error!("{problem}");
    }
    if !loaded.left_out.is_empty() {
        return ExitCode::from(exit::CONFIGURATION);
    }
    tracing::info!(file = %flags.config.display(), "configuration is fine");
    ExitCode::from(exit::OK)
}

/// A start goes on without what is wrong in itself.
fn start_with(loaded: &Loaded) {
    warn(loaded);
    for problem in &loaded.left_out {
        tracing::error!("{problem} (left out; the rest is in force)");
    }
}

fn report(error: &ConfigError) {
    for problem in &error.problems {
        tracing::error!("{problem}");
    }
}

fn warn(loaded: &Loaded) {
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
}
