//! The service: waits for what happens next, and stops in order.

use std::time::Duration;

use anyhow::Context as _;
use gorgone_carriage::Settings;
use gorgone_client::carrier::Carrier;
use gorgone_client::module::{Module, ModuleEvent, ModuleOptions};
use gorgone_client::{KnownKey, UplinkOptions, UplinkState};
use gorgone_crypto::PrivateKey;
use gorgone_protocol::Identity;
use gorgone_protocol::request::node_state::LinkState;
use gorgone_runtime::config::{Config, PullConfig};
use gorgone_runtime::{Context, Shutdown};
use gorgone_transport::DealerEvent;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;

use crate::known::KnownFile;
use crate::poller::{Hands, Poller, PutDone};

/// The parts of the service's health: the ways to both cores.
const CORE: &str = "core";
const CENTRAL: &str = "central";
/// Of the drain's time, what is kept for the central to write down what became of tasks.
const FOR_CENTRAL: Duration = Duration::from_secs(2);
/// How long our core may take to answer what was sent before the end.
const FOR_CORE: Duration = Duration::from_secs(10);

/// The service, on its way to the central.
pub struct Service {
    poller: Poller,
    /// To our core, where it offers nothing.
    local: Module,
    /// To the central's.
    central: Module,
    state: watch::Receiver<UplinkState>,
    carrier: Carrier,
    stored: UnboundedReceiver<PutDone>,
}

fn settings(config: &PullConfig) -> Settings {
    Settings {
        ping: config.ping,
        silence: config.ping * 5,
        sync_every: config.synchistory_time,
        sync_timeout: config.synchistory_timeout,
        window: config.window,
        // Our own core, on this host.
        reconnect: Duration::from_millis(200),
        reconnect_max: Duration::from_secs(2),
        ..Settings::default()
    }
}

fn uplink(config: &Config) -> anyhow::Result<UplinkOptions> {
    let pull = &config.modules.pull;
    let endpoint = pull
        .target
        .clone()
        .context("modules.pull.target is missing")?;
    let path = pull
        .client_privkey
        .as_ref()
        .or(config.core.privkey.as_ref());
    let path = path.context("modules.pull.client_privkey is missing")?;
    let pem = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the private key {}", path.display()))?;
    let key = PrivateKey::from_pem(&pem)
        .with_context(|| format!("the private key {} cannot be used", path.display()))?;
    let known: Box<dyn KnownKey> = match &pull.central_pubkey {
        Some(path) => Box::new(KnownFile::given(path.clone())),
        None => Box::new(KnownFile::first_seen(pull.known_central.clone())),
    };
    Ok(UplinkOptions {
        endpoint,
        identity: Identity::of_poller(config.core.id),
        key,
        vector: pull.vector,
        keysize: pull.keysize,
        known,
        reconnect: pull.reconnect,
        reconnect_max: pull.reconnect_max,
        max_message: config.core.limits.max_frame_size,
    })
}

impl Service {
    /// Puts the service together. Both cores may be away yet.
    ///
    /// # Errors
    /// When a key cannot be read, or the system has no room for a socket.
    pub fn build(context: &Context) -> anyhow::Result<Self> {
        let config = context.config();
        let pull = &config.modules.pull;
        let options = ModuleOptions {
            endpoint: config.core.internal.clone(),
            identity: Identity::new(pull.instance.as_bytes()),
            name: "PULL".to_owned(),
            actions: Vec::new(),
            slots: 0,
        };
        let local = Module::connect(options).context("cannot connect to core")?;
        let uplink = uplink(&config)?;
        tracing::info!(central = %uplink.endpoint, thumbprint = %uplink.key.public().thumbprint(), node = %config.core.id, "connecting");
        let (central, carrier, state) = Module::poller(uplink, pull.ping);
        let (puts, stored) = unbounded_channel();
        let hands = Hands {
            teller: central.teller(),
            asker: central.asker(),
            puts,
        };
        let poller = Poller::new(
            config.core.id,
            config.core.internal.clone(),
            hands,
            settings(pull),
            context.clock,
        );
        Ok(Self {
            poller,
            local,
            central,
            state,
            carrier,
            stored,
        })
    }

    /// Serves until the shutdown begins, then waits for what is under way and gives the rest
    /// back to the central.
    ///
    /// # Errors
    /// Never so far: whoever is away is waited for.
    pub async fn run(mut self, context: Context) -> anyhow::Result<()> {
        context.health.broken(CORE, "has not answered yet");
        context.health.broken(CENTRAL, "has not answered yet");
        let mut pulse = context.health.pulse();
        let mut ready = false;
        loop {
            tokio::select! {
                biased;
                () = context.shutdown.begun() => break,
                event = self.local.next() => match event {
                    Some(ModuleEvent::Ready) => {
                        context.health.fine(CORE);
                        if !std::mem::replace(&mut ready, true) {
                            context.ready();
                        }
                    }
                    Some(ModuleEvent::Lost) => {
                        context.health.broken(CORE, "the connection is lost");
                        tracing::warn!("lost core; the central stays connected");
                    }
                    Some(ModuleEvent::Logger(severity)) => context.log.follow(severity),
                    Some(_) => {}
                    None => break,
                },
                event = self.central.next() => match event {
                    Some(ModuleEvent::Ready) => {
                        context.health.fine(CENTRAL);
                        self.local.note("central: up");
                    }
                    Some(ModuleEvent::Refused(why)) => {
                        context.health.broken(CENTRAL, format!("refused: {why}"));
                        self.local.note(&format!("central: refused: {why}"));
                    }
                    Some(_) => {}
                    None => break,
                },
                Ok(()) = self.state.changed() => {
                    let (state, why) = self.state.borrow_and_update().clone();
                    show(state, why.as_deref());
                    // Whether it takes us, too, its answer to READY tells.
                    if state != LinkState::Up {
                        let words = words(state, why.as_deref());
                        context.health.broken(CENTRAL, words.clone());
                        self.local.note(&format!("central: {words}"));
                    }
                }
                () = pulse.asked() => pulse.beat(),
                step = Self::step(&mut self.poller, &mut self.carrier, &mut self.stored) => self.take(step),
            }
        }
        self.finish(&context.shutdown).await;
        Ok(())
    }

    /// The next thing that concerns the node. Cancel-safe.
    async fn step(
        poller: &mut Poller,
        carrier: &mut Carrier,
        stored: &mut UnboundedReceiver<PutDone>,
    ) -> Step {
        let wait = poller.wait();
        let timeout = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(event) = carrier.next() => Step::Central(event),
            Some(done) = stored.recv() => Step::Stored(done),
            event = poller.local() => Step::Local(event),
            () = timeout => Step::Timeout,
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Central(event) => self.poller.central(event),
            Step::Stored(done) => self.poller.stored(&done),
            Step::Local(event) => self.poller.heard(event),
            Step::Timeout => self.poller.timeout(),
        }
    }

    async fn finish(mut self, shutdown: &Shutdown) {
        self.central.drain().await;
        // What the central had handed over before it knew.
        while let Some(event) = self.carrier.try_next() {
            self.poller.central(event);
        }
        let left = shutdown.left().saturating_sub(FOR_CENTRAL).min(FOR_CORE);
        let end = tokio::time::Instant::now() + left;
        while self.poller.under_way() > 0 {
            let step = Self::step(&mut self.poller, &mut self.carrier, &mut self.stored);
            match tokio::time::timeout_at(end, step).await {
                Ok(step) => self.take(step),
                Err(_) => break,
            }
        }
        self.poller.give_up();
        drop(self.poller);
        if !self.central.close(shutdown.left().min(FOR_CENTRAL)).await {
            // It hands them over again, and our core knows them by their tokens.
            tracing::info!("the central did not write down what became of every task");
        }
        self.local.close(Duration::ZERO).await;
    }
}

/// Something that concerns the node.
enum Step {
    Central(gorgone_client::carrier::CarrierEvent),
    Stored(PutDone),
    Local(Option<DealerEvent>),
    Timeout,
}

fn words(state: LinkState, why: Option<&str>) -> String {
    match why {
        Some(why) => format!("{}: {why}", state.as_str()),
        None => state.as_str().to_owned(),
    }
}

fn show(state: LinkState, why: Option<&str>) {
    let state_text = state.as_str();
    match state {
        LinkState::Up => tracing::info!("connected to the central"),
        LinkState::Connecting => tracing::info!(why, "connecting to the central"),
        LinkState::Down => tracing::warn!(why, "the central cannot be reached; tried again"),
        LinkState::Refused | LinkState::KeyChanged => {
            tracing::error!(
                state = state_text,
                why,
                "nothing is said to the central; tried again"
            );
        }
    }
}
