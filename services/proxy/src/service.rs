//! The service: waits for what happens next, and stops in order.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use gorgone_client::carrier::Carrier;
use gorgone_client::module::{Module, ModuleEvent, ModuleOptions};
use gorgone_crypto::PrivateKey;
use gorgone_protocol::Identity;
use gorgone_protocol::request::nodes::NodeKind;
use gorgone_runtime::config::{Config, ProxyConfig};
use gorgone_runtime::{Context, Shutdown};
use gorgone_transport::dial::{self, Lines};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::definition::Home;
use crate::fleet::{Fleet, Hands, PutDone};
use crate::pins::Pins;
use crate::rsa::{Done, Rsa};
use gorgone_carriage::Settings;

/// The part of the service's health that is the way to core.
const CORE: &str = "core";
/// Of the drain's time, what is kept for core to write down what became of tasks.
const FOR_CORE: Duration = Duration::from_secs(2);
/// How long nodes may take to answer what was sent before the end.
const FOR_NODES: Duration = Duration::from_secs(10);

/// The service, connected to core.
pub struct Service {
    fleet: Fleet,
    module: Module,
    events: Events,
}

fn settings(config: &ProxyConfig) -> Settings {
    Settings {
        ping: config.ping,
        silence: config.pong_discard_timeout,
        sync_every: config.synchistory_time,
        sync_timeout: config.synchistory_timeout,
        window: config.window,
        reconnect: config.reconnect,
        reconnect_max: config.reconnect_max,
        ..Settings::default()
    }
}

/// What definitions fall back on.
fn home(config: &Config) -> anyhow::Result<Home> {
    let core = &config.core;
    let key = core.privkey.as_ref().map(|path| {
        let pem = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read gorgonecore.privkey {}", path.display()))?;
        PrivateKey::from_pem(&pem)
            .with_context(|| format!("gorgonecore.privkey {} cannot be used", path.display()))
    });
    Ok(Home::new(
        core.id,
        key.transpose()?,
        core.vector,
        core.keysize,
        Pins::new(config.modules.proxy.known_nodes.clone()),
    ))
}

impl Service {
    /// Puts the service together. Core may be away yet.
    ///
    /// # Errors
    /// When a key cannot be read, or the system has no room for a socket.
    pub fn build(context: &Context) -> anyhow::Result<Self> {
        let config = context.config();
        let home = home(&config)?;
        let options = ModuleOptions {
            endpoint: config.core.internal.clone(),
            identity: Identity::new(config.modules.proxy.instance.as_bytes()),
            name: "PROXY".to_owned(),
            actions: Vec::new(),
            slots: 0,
        };
        let (module, carrier) =
            Module::carrying(options, vec![NodeKind::PushZmq]).context("cannot connect to core")?;
        let (dialer, lines) = dial::dialer(dial::Options {
            max_message: config.core.limits.max_frame_size,
            ..dial::Options::default()
        });
        let (done, worked) = unbounded_channel();
        let (puts, stored) = unbounded_channel();
        let hands = Hands {
            dialer,
            rsa: Rsa::start(done).context("cannot start a thread for handshakes")?,
            teller: module.teller(),
            asker: module.asker(),
            puts,
        };
        let settings = settings(&config.modules.proxy);
        Ok(Self {
            fleet: Fleet::new(hands, home, settings, context.clock),
            module,
            events: Events {
                carrier,
                lines,
                worked,
                stored,
            },
        })
    }

    /// Serves until the shutdown begins, then waits for what is under way and gives the rest
    /// back to core.
    ///
    /// # Errors
    /// Never so far: core that is away is waited for, and a node is a matter of its own.
    pub async fn run(mut self, context: Context) -> anyhow::Result<()> {
        let mut reloads = context.reloads();
        context.health.broken(CORE, "has not answered yet");
        let mut pulse = context.health.pulse();
        let mut ready = false;
        loop {
            tokio::select! {
                biased;
                () = context.shutdown.begun() => break,
                event = self.module.next() => match event {
                    Some(ModuleEvent::Ready) => {
                        context.health.fine(CORE);
                        if !std::mem::replace(&mut ready, true) {
                            context.ready();
                        }
                    }
                    Some(event) => hear(event, &context),
                    None => break,
                },
                () = pulse.asked() => pulse.beat(),
                Ok(()) = reloads.changed() => {
                    let config: Arc<Config> = reloads.borrow_and_update().clone();
                    match home(&config) {
                        Ok(home) => self.fleet.reload(home),
                        Err(error) => tracing::error!("{error:#}; the keys of before stay in force"),
                    }
                }
                () = self.events.step(&mut self.fleet) => {}
            }
        }
        self.finish(&context.shutdown).await;
        Ok(())
    }

    async fn finish(mut self, shutdown: &Shutdown) {
        self.module.drain().await;
        // What core had handed over before it knew.
        while let Some(event) = self.events.carrier.try_next() {
            self.fleet.core(event);
        }
        let left = shutdown.left().saturating_sub(FOR_CORE).min(FOR_NODES);
        let end = tokio::time::Instant::now() + left;
        while self.fleet.under_way() > 0 {
            let step = self.events.step(&mut self.fleet);
            if tokio::time::timeout_at(end, step).await.is_err() {
                break;
            }
        }
        self.fleet.give_up();
        drop(self.fleet);
        if !self.module.close(shutdown.left().min(FOR_CORE)).await {
            tracing::warn!("core did not write down what became of every task");
        }
    }
}

/// What concerns the module and not its nodes.
fn hear(event: ModuleEvent, context: &Context) {
    match event {
        ModuleEvent::Lost => {
            context.health.broken(CORE, "the connection is lost");
            tracing::warn!("lost core; the nodes stay connected");
        }
        ModuleEvent::Logger(severity) => context.log.follow(severity),
        ModuleEvent::Request(request) => {
            tracing::error!(action = %request.action, "core handed over what was not offered");
        }
        ModuleEvent::Ready | ModuleEvent::Refused(_) | ModuleEvent::Cancel(_) => {}
    }
}

/// Where things come from.
struct Events {
    carrier: Carrier,
    lines: Lines,
    worked: UnboundedReceiver<Done>,
    stored: UnboundedReceiver<PutDone>,
}

impl Events {
    /// Takes the next thing that happens. Cancel-safe: what is taken is done.
    async fn step(&mut self, fleet: &mut Fleet) {
        let wait = fleet.wait();
        let timeout = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(event) = self.carrier.next() => fleet.core(event),
            Some((line, event)) = self.lines.recv() => fleet.line(line, event),
            Some(done) = self.worked.recv() => fleet.worked(done),
            Some(done) = self.stored.recv() => fleet.stored(&done),
            () = timeout => fleet.timeouts(),
        }
    }
}
