//! The service: takes requests from core, and tells it what becomes of them.

use std::path::PathBuf;
use std::time::Duration;

use gorgone_client::module::{Module, ModuleEvent, ModuleOptions, Reporter};
use gorgone_protocol::{Action, Endpoint, Identity};
use gorgone_runtime::config::Config;
use gorgone_runtime::{Context, Exposition};
use tokio::sync::mpsc;

use crate::report::Row;
use crate::runner::{Depths, Kind, Request, Runner, RunnerError};
use crate::settings::Settings;

/// A service that is ready to run.
pub struct Service {
    options: ModuleOptions,
    runner: Runner,
    rows: mpsc::Receiver<Row>,
}

/// Why the service cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing can be run.
    #[error(transparent)]
    Runner(#[from] RunnerError),
    /// There is no way to core.
    #[error("cannot connect to core: {0}")]
    Connect(#[from] gorgone_transport::Error),
}

/// The service's own program, whatever its file is called by now.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// The part of the service's health that is the way to core.
const CORE: &str = "core";

/// Of the drain's time, what is kept for the last rows to become durable.
const FOR_ROWS: Duration = Duration::from_secs(1);

/// Puts the service together. Opens no socket.
///
/// # Errors
/// When nothing could be run with this configuration.
pub fn build(config: &Config) -> Result<Service, Error> {
    let settings = Settings {
        helper: Some(PathBuf::from(OWN_PROGRAM)),
        ..Settings::from(&config.modules.action)
    };
    let action = &config.modules.action;
    with(&settings, config.core.internal.clone(), &action.instance)
}

/// Puts a service together from its parts.
///
/// # Errors
/// When nothing could be run with these settings.
pub fn with(settings: &Settings, endpoint: Endpoint, identity: &str) -> Result<Service, Error> {
    let (runner, rows) = Runner::new(settings)?;
    Ok(Service {
        options: ModuleOptions {
            endpoint,
            identity: Identity::new(identity.as_bytes()),
            name: "ACTION".to_owned(),
            actions: vec![Action::Command, Action::EngineCommand],
            slots: u32::try_from(settings.slots).unwrap_or(u32::MAX),
        },
        runner,
        rows,
    })
}

impl Service {
    /// Takes requests until the shutdown begins, then lets those that run finish. It is ready
    /// when core first knows the module.
    ///
    /// # Errors
    /// When there is no way to core at all. One that is away is waited for.
    pub async fn run(self, context: Context) -> Result<(), Error> {
        let Self {
            options,
            runner,
            rows,
        } = self;
        let mut module = Module::connect(options)?;
        let told = tokio::spawn(tell(rows, module.reporter()));
        let Context {
            shutdown, health, ..
        } = &context;
        health.broken(CORE, "has not answered yet");
        let mut pulse = health.pulse();
        let depths = health.tell_last(figures);
        let mut ready = false;
        loop {
            tokio::select! {
                event = module.next() => match event {
                    Some(ModuleEvent::Ready) => {
                        health.fine(CORE);
                        if !std::mem::replace(&mut ready, true) {
                            context.ready();
                        }
                    }
                    Some(event) => take(&runner, &context, event).await,
                    None => break,
                },
                () = pulse.asked() => {
                    depths.leave(runner.depths());
                    pulse.beat();
                }
                () = shutdown.begun() => break,
            }
        }
        module.drain().await;
        finish(&runner, &mut module, &context).await;
        runner.close();
        drop(runner);
        // Ends with the last thread of the runner. One that hangs must not hold the service.
        let _ = tokio::time::timeout(FOR_ROWS, told).await;
        if !module.close(shutdown.left().max(FOR_ROWS)).await {
            tracing::warn!("core did not take every row");
        }
        Ok(())
    }
}

fn figures(text: &mut Exposition, depths: &Depths) {
    text.gauge(
        "gorgone_action_running",
        "Requests that are being worked on.",
    )
    .count(depths.running as u64);
    text.gauge("gorgone_action_slots", "Commands that may run at one time.")
        .count(depths.slots as u64);
    text.gauge(
        "gorgone_action_waiting",
        "Commands that wait for their turn.",
    )
    .count(depths.waiting as u64);
    text.gauge(
        "gorgone_action_engine_waiting",
        "Lines that wait for the engine's pipe.",
    )
    .count(depths.engine as u64);
}

/// Lets what runs finish. What came before core knew that nothing more is wanted is run like the
/// rest, and a CANCEL still counts.
async fn finish(runner: &Runner, module: &mut Module, context: &Context) {
    let drained = runner.drain(context.shutdown.left().saturating_sub(FOR_ROWS));
    tokio::pin!(drained);
    loop {
        tokio::select! {
            biased;
            event = module.next() => match event {
                Some(event) => take(runner, context, event).await,
                None => return drained.await,
            },
            () = &mut drained => return,
        }
    }
}

async fn take(runner: &Runner, context: &Context, event: ModuleEvent) {
    match event {
        ModuleEvent::Request(request) => {
            let kind = match request.action {
                Action::Command => Kind::Command,
                Action::EngineCommand => Kind::Engine,
                other => {
                    tracing::error!(action = %other, "core handed over what was not offered");
                    return;
                }
            };
            runner
                .submit(Request {
                    token: request.token,
                    attempt: request.headers.attempt.unwrap_or(1),
                    kind,
                    data: request.data,
                })
                .await;
        }
        ModuleEvent::Cancel(token) => runner.cancel(&token),
        ModuleEvent::Logger(severity) => context.log.follow(severity),
        ModuleEvent::Ready => tracing::info!("core is back"),
        // It says why in the log, and is asked again.
        ModuleEvent::Refused(_) => {}
        ModuleEvent::Lost => {
            context.health.broken(CORE, "the connection is lost");
            tracing::warn!("lost core; what runs goes on");
        }
    }
}

/// Hands rows on for as long as any come. While core is away the channel fills up, and
/// commands that write much wait.
async fn tell(mut rows: mpsc::Receiver<Row>, reporter: Reporter) {
    while let Some(row) = rows.recv().await {
        reporter.room().await;
        reporter.report(&row.token, row.code, row.data);
    }
}
