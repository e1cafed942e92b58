//! From the configuration to everything that core needs, in the order in which it is opened.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use gorgone_crypto::{PrivateKey, PublicKey};
use gorgone_protocol::request::nodes::NodeKind;
use gorgone_protocol::{Action, Endpoint, Identity};
use gorgone_routing::{Redactor, Restored, Router, Settings};
use gorgone_runtime::Context;
use gorgone_runtime::config::{AuditConfig, Config, CoreConfig, DatabaseConfig};
use gorgone_session::{Server, ServerConfig};
use gorgone_store::{Options, Store};
use gorgone_transport::{Bound, bus, edge};

use crate::beside::Beside;
use crate::core::{Core, Edge, Socket};
use crate::credentials::Credentials;
use crate::figures::{self, Counted};
use crate::handshakes::{self, Handshakes};

impl Core {
    /// Opens the store, reads what it knows, and binds the endpoints: first what may fail for
    /// good, last what others can see.
    ///
    /// # Errors
    /// When a key cannot be read, the store cannot be opened, or an endpoint cannot be bound.
    pub async fn build(context: &Context) -> anyhow::Result<Self> {
        let config = context.config();
        let core = &config.core;
        let key = read_key(core)?;
        let store = open_store(core).await?;
        let now = context.clock.now();
        let history = store.begin_life().await?;
        let restored = Restored {
            history: Some(history),
            tasks: store.live_tasks().await?,
            ended_parts: store.ended_parts().await?,
            nodes: store.nodes().await?,
            marks: store.sync_marks().await?,
            leases: store.leases().await?,
        };
        tracing::debug!(
            tasks = restored.tasks.len(),
            nodes = restored.nodes.len(),
            "restored"
        );
        let router = Router::new(settings(&config, context, key.as_ref())?, restored, now);
        let sessions = store.sessions().await?;
        let (bus_router, bus_sender) =
            bus::bind(bus_options(core)).with_context(|| bind_help("internal_com_path"))?;
        let (beside, done) = Beside::new(store, &config, context.health.clone());
        let edge = match (&core.external, key) {
            (Some(endpoint), Some(key)) => {
                let public_key = key.public().clone();
                let session_config = session_config(&config, context, &public_key)?;
                let mut session = Server::new(session_config);
                session.restore(sessions, now);
                let bound = edge::bind(edge_options(core, endpoint.clone()))
                    .with_context(|| bind_help("external_com_path"))?;
                Some(Edge {
                    socket: Socket::new(bound),
                    session,
                    handshakes: Handshakes::start(key, beside.done.clone()),
                    public_key,
                })
            }
            _ => None,
        };
        for endpoint in bus_router.local_endpoints() {
            tracing::info!(%endpoint, "internal endpoint");
        }
        for endpoint in edge
            .iter()
            .flat_map(|edge| edge.socket.router.local_endpoints())
        {
            tracing::info!(%endpoint, "external endpoint");
        }
        context.health.fine("listeners");
        context.health.fine("store");
        let figures = figures::tell(&context.health, beside.store.clone());
        Ok(Self {
            router,
            bus: Socket::new((bus_router, bus_sender)),
            edge,
            beside,
            done,
            credentials: Credentials::new(&config),
            session_records: Vec::new(),
            new_rows: None,
            counted: Counted::default(),
            figures,
            bus_parents: BTreeMap::new(),
            clock: context.clock,
            log: context.log.clone(),
            node: core.id,
        })
    }
}

fn bind_help(key: &str) -> String {
    format!(
        "cannot open the endpoint of gorgonecore.{key}; is another gorgoned running, or the \
         port used by another program? ('ss -ltnp' tells)"
    )
}

fn read_key(core: &CoreConfig) -> anyhow::Result<Option<PrivateKey>> {
    core.privkey
        .as_ref()
        .map(|path| {
            let pem = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read gorgonecore.privkey {}", path.display()))?;
            PrivateKey::from_pem(&pem)
                .with_context(|| format!("gorgonecore.privkey {}", path.display()))
        })
        .transpose()
}

async fn open_store(core: &CoreConfig) -> anyhow::Result<Store> {
    match &core.database {
        DatabaseConfig::Sqlite { path } => Ok(Store::open(Options::new(path)).await?),
        DatabaseConfig::Server { kind, .. } => bail!(
            "gorgonecore.gorgone_db_type: this release stores in SQLite only, not in {kind:?}; \
             use 'SQLite'"
        ),
    }
}

fn settings(
    config: &Config,
    context: &Context,
    key: Option<&PrivateKey>,
) -> anyhow::Result<Settings> {
    let core = &config.core;
    let thumbprint = key
        .map(|key| key.public().thumbprint().as_str().to_owned())
        .unwrap_or_default();
    let mut expected_actions = Vec::new();
    if config.modules.action.enable {
        expected_actions.extend([Action::Command, Action::EngineCommand]);
    }
    if config.modules.cron.enable {
        expected_actions.extend([
            Action::GetCron,
            Action::AddCron,
            Action::UpdateCron,
            Action::DeleteCron,
            Action::RunCron,
        ]);
    }
    let mut expected_carries = Vec::new();
    if config.modules.proxy.enable {
        expected_carries.push(NodeKind::PushZmq);
    }
    if expects_pollers(config) {
        expected_carries.push(NodeKind::Pull);
    }
    let mut endpoints = BTreeMap::from([("internal", core.internal.to_string())]);
    if let Some(external) = &core.external {
        endpoints.insert("external", external.to_string());
    }
    Ok(Settings {
        node: core.id,
        hostname: context.hostname.clone(),
        thumbprint,
        endpoints,
        expected_actions,
        expected_carries,
        default_ttl: core.limits.default_ttl,
        max_tasks: core.limits.max_tasks,
        max_task_bytes: core.limits.max_task_bytes,
        max_waiters: core.limits.max_waiters,
        max_modules: core.limits.max_modules,
        max_nodes: core.limits.max_nodes,
        max_targets: core.limits.max_targets,
        max_node_tasks: core.limits.max_node_tasks,
        node_window: config.modules.proxy.window,
        audit: redactor(&core.audit)?,
        module_grace: core.limits.module_grace,
        ..Settings::default()
    })
}

/// Whether some node connects to us.
pub(crate) fn expects_pollers(config: &Config) -> bool {
    let clients = &config.core.authorized_clients;
    clients.iter().any(|client| client.node.is_some())
}

/// What takes secrets out of the audit, if there is to be one.
pub(crate) fn redactor(audit: &AuditConfig) -> anyhow::Result<Option<Redactor>> {
    audit
        .enable
        .then(|| Redactor::new(&audit.redact))
        .transpose()
        .context("gorgonecore.audit.redact")
}

pub(crate) fn session_config(
    config: &Config,
    context: &Context,
    public_key: &PublicKey,
) -> anyhow::Result<ServerConfig> {
    let core = &config.core;
    Ok(ServerConfig {
        hostname: context.hostname.clone(),
        public_pem: Some(public_key.to_pem()?),
        vector: core.vector,
        keysize: core.keysize,
        authorized: core
            .authorized_clients
            .iter()
            .map(|client| client.key.clone())
            .collect(),
        reserved: core
            .authorized_clients
            .iter()
            .filter_map(|client| Some((Identity::of_poller(client.node?), client.key.clone())))
            .collect(),
        ttl: config.modules.dbcleaner.purge_sessions_time,
        max_sessions: core.limits.max_sessions,
        handshake_queue: core.limits.handshake_queue,
        handshakes_running: handshakes::threads(),
        handshake_rate: core.limits.handshake_rate,
        handshake_burst: core.limits.handshake_rate,
        ..ServerConfig::default()
    })
}

fn bus_options(core: &CoreConfig) -> bus::BindOptions {
    bus::BindOptions::new(vec![core.internal.clone()])
}

fn edge_options(core: &CoreConfig, endpoint: Endpoint) -> edge::BindOptions {
    let mut options = edge::BindOptions::new(vec![endpoint]);
    options.max_connections = core.limits.max_peers;
    options.tuning.max_frame = core.limits.max_frame_size;
    options.tuning.send_queue = core.limits.peer_queue;
    options.tuning.inbox = Bound {
        // At least two of the largest frames, so that one of them never stops the rest.
        bytes: options
            .tuning
            .inbox
            .bytes
            .max(2 * core.limits.max_frame_size),
        ..options.tuning.inbox
    };
    options
}
