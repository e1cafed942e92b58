//! The set of services: core first, then the modules; the other way round at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use gorgone_runtime::config::Config;
use gorgone_runtime::{Context, notify_service_manager};
use tokio::sync::mpsc;

use crate::keeper::{Event, Keeper};
use crate::lock::Lock;
use crate::ports;
use crate::programs::{self, CORE, Programs};

/// What is kept back of the drain's time for the last steps.
const RESERVE: Duration = Duration::from_millis(500);

/// Starts what the configuration enables, and returns when all of it has stopped.
///
/// # Errors
/// When another gorgoned runs with this configuration, a port is taken, a program is missing,
/// or a service refuses the configuration at the first start.
pub(crate) async fn supervise(context: Context, programs: Programs) -> anyhow::Result<()> {
    let config = context.config();
    programs.find(CORE)?;
    for name in programs::enabled(&config) {
        programs.find(name)?;
    }
    let _lock = Lock::take(&config)?;
    tokio::select! {
        free = ports::free(&config) => free?,
        () = context.shutdown.begun() => return Ok(()),
    }
    let (sender, events) = mpsc::channel(16);
    let mut set = Set {
        args: context.flags.to_args(),
        context,
        programs,
        config,
        keepers: BTreeMap::new(),
        awaited: BTreeSet::new(),
        announced: false,
        sender,
    };
    let result = set.live(events).await;
    notify_service_manager("STOPPING=1");
    set.stop().await;
    result
}

struct Set {
    context: Context,
    programs: Programs,
    args: Vec<String>,
    config: Arc<Config>,
    keepers: BTreeMap<&'static str, Keeper>,
    /// Which services were started and have not been ready yet.
    awaited: BTreeSet<&'static str>,
    /// Whether it was said that all are ready.
    announced: bool,
    sender: mpsc::Sender<Event>,
}

impl Set {
    async fn live(&mut self, mut events: mpsc::Receiver<Event>) -> anyhow::Result<()> {
        let shutdown = self.context.shutdown.clone();
        let mut reloads = self.context.reloads();
        let mut pulse = self.context.health.pulse();
        self.start(CORE)?;
        loop {
            tokio::select! {
                () = shutdown.begun() => return Ok(()),
                Some(event) = events.recv() => self.hear(event)?,
                Ok(()) = reloads.changed() => self.reload().await,
                () = pulse.asked() => pulse.beat(),
            }
        }
    }

    fn start(&mut self, name: &'static str) -> anyhow::Result<()> {
        let file = self.programs.find(name)?;
        let keeper = Keeper::start(name, file, self.args.clone(), self.sender.clone());
        self.keepers.insert(name, keeper);
        self.awaited.insert(name);
        self.context.health.broken(name, "is starting");
        Ok(())
    }

    fn hear(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::Ready(name) => {
                tracing::info!(service = name, "service is ready");
                self.awaited.remove(name);
                self.context.health.fine(name);
                if name == CORE && !self.announced {
                    for module in programs::enabled(&self.config) {
                        if !self.keepers.contains_key(module) {
                            self.start(module)?;
                        }
                    }
                }
                if self.awaited.is_empty() && !self.announced {
                    self.announced = true;
                    self.context.ready();
                }
            }
            Event::Lost(name) if self.keepers.contains_key(name) => {
                self.context
                    .health
                    .broken(name, "has ended, and is started again");
            }
            Event::Lost(_) => {}
            Event::Refused(name) if !self.announced => {
                bail!("{name} refuses the configuration; its messages above say why");
            }
            Event::Refused(name) => {
                let words = "refuses its configuration";
                self.context.health.broken(name, words);
            }
        }
        Ok(())
    }

    /// Follows a configuration that was read again and is valid.
    async fn reload(&mut self) {
        let new = self.context.config();
        let old = std::mem::replace(&mut self.config, new.clone());
        let wanted = programs::enabled(&new);
        let surplus: Vec<_> = self
            .keepers
            .keys()
            .copied()
            .filter(|name| *name != CORE && !wanted.contains(name))
            .collect();
        for name in surplus {
            if let Some(keeper) = self.keepers.remove(name) {
                tracing::info!(service = name, "is not enabled any more; it stops");
                keeper.stop(new.core.timeout).await;
                self.awaited.remove(name);
                self.context.health.fine(name);
            }
        }
        for (name, keeper) in &self.keepers {
            if programs::must_restart(name, &old, &new) {
                tracing::info!(service = name, "starts anew to follow the configuration");
                keeper.restart(old.core.timeout).await;
            } else {
                keeper.reload().await;
            }
        }
        for name in wanted {
            if !self.keepers.contains_key(name)
                && self.announced
                && let Err(error) = self.start(name)
            {
                tracing::error!(service = name, %error, "cannot be started");
            }
        }
    }

    /// Modules first, so that core can take their last rows; then core.
    async fn stop(&mut self) {
        let left = self.context.shutdown.left().min(self.config.core.timeout);
        let core = self.keepers.remove(CORE);
        let modules = std::mem::take(&mut self.keepers);
        let grace = left.saturating_sub(RESERVE).mul_f64(0.8);
        let stops: Vec<_> = modules
            .into_values()
            .map(|keeper| tokio::spawn(keeper.stop(grace)))
            .collect();
        for stop in stops {
            let _ = stop.await;
        }
        if let Some(core) = core {
            let left = self.context.shutdown.left().min(self.config.core.timeout);
            core.stop(left.saturating_sub(RESERVE)).await;
        }
    }
}
