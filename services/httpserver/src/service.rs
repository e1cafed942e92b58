//! The service: opens its ports, connects to core, follows the configuration, stops in order.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gorgone_client::module::{Module, ModuleEvent, ModuleOptions};
use gorgone_protocol::Identity;
use gorgone_runtime::Context;
use gorgone_runtime::config::HttpServerConfig;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api;
use crate::auth::BadCredential;
use crate::core::Core;
use crate::door::{Door, Rules};
use crate::metrics::Metrics;
use crate::net::{Certificate, Connections, Listener, Service, TlsError};

/// The part of the service's health that is the way to core.
const CORE: &str = "core";
/// Of the drain's time, what is kept for taking leave of core.
const FOR_CORE: Duration = Duration::from_secs(1);
/// Renewed certificates come as two files: after the first the second is waited for.
const SETTLE: Duration = Duration::from_millis(300);

/// Why the service cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It would let everybody in.
    #[error("modules.httpserver.address {0}")]
    Open(&'static str),
    /// A credential cannot be used.
    #[error(transparent)]
    Credential(#[from] BadCredential),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A port cannot be opened.
    #[error(
        "modules.httpserver.{key}: cannot bind {address}: {error}; 'ss -ltnp' shows who has the port"
    )]
    Bind {
        /// Which key names it.
        key: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// There is no way to core.
    #[error("cannot connect to core: {0}")]
    Connect(#[from] gorgone_transport::Error),
}

/// Serves until the shutdown begins, and then lets running requests finish.
///
/// # Errors
/// When the configuration cannot be used, or a port cannot be opened. A core that is away is
/// waited for.
pub async fn run(context: Context) -> Result<(), Error> {
    let config = context.config();
    let http = &config.modules.httpserver;
    if http.is_open_by_mistake() {
        return Err(Error::Open(HttpServerConfig::OPEN));
    }
    let certificate = http.tls.as_ref().map(Certificate::load).transpose()?;
    let rules = Rules::new(http)?;
    let listener = bind("port", http.listen, certificate.clone())?;
    let mut module = Module::connect(ModuleOptions {
        endpoint: config.core.internal.clone(),
        identity: Identity::new(http.instance.as_bytes()),
        name: "HTTPSERVER".to_owned(),
        actions: Vec::new(),
        slots: 0,
    })?;
    let metrics = Arc::new(Metrics::default());
    let stopping = CancellationToken::new();
    let door = Arc::new(Door::new(
        rules,
        Core::new(module.asker()),
        Arc::clone(&metrics),
        stopping.clone(),
        config.core.id,
    ));
    let service = Service {
        router: api::router(&door),
        door: Arc::clone(&door),
        connections: Arc::new(Connections::new(metrics)),
        tasks: TaskTracker::new(),
        drain: CancellationToken::new(),
        cut: CancellationToken::new(),
    };
    if let Some(address) = listener.address() {
        tracing::info!(%address, tls = certificate.is_some(), "HTTP API");
    }
    context.health.tell({
        let door = Arc::clone(&door);
        move |text| door.metrics.write(text, door.waiters.count())
    });
    let listening = tokio::spawn(listener.run(service.clone()));
    if let Some(certificate) = &certificate {
        tokio::spawn(follow_files(certificate.clone(), stopping.clone()));
    }
    live(&context, &mut module, &door, certificate.as_ref()).await;

    stopping.cancel();
    service.drain.cancel();
    // An error is a listener that has ended already.
    let _ = listening.await;
    service.tasks.close();
    let left = context.shutdown.left().saturating_sub(FOR_CORE);
    tokio::select! {
        () = service.tasks.wait() => {}
        () = go_on(&mut module) => {}
        () = tokio::time::sleep(left) => {
            tracing::warn!("requests that did not finish in time are cut off");
        }
    }
    service.cut.cancel();
    module.drain().await;
    module.close(FOR_CORE).await;
    Ok(())
}

/// Running requests need core until they are answered.
async fn go_on(module: &mut Module) {
    while module.next().await.is_some() {}
}

fn bind(
    key: &'static str,
    address: SocketAddr,
    tls: Option<Certificate>,
) -> Result<Listener, Error> {
    Listener::bind(address, tls).map_err(|error| Error::Bind {
        key,
        address,
        error,
    })
}

/// Until the shutdown begins: what core says, and what the configuration says.
async fn live(
    context: &Context,
    module: &mut Module,
    door: &Door,
    certificate: Option<&Certificate>,
) {
    let mut reloads = context.reloads();
    let mut announced = false;
    context.health.broken(CORE, "has not answered yet");
    let mut pulse = context.health.pulse();
    loop {
        tokio::select! {
            event = module.next() => match event {
                Some(ModuleEvent::Ready) => {
                    context.health.fine(CORE);
                    if !std::mem::replace(&mut announced, true) {
                        context.ready();
                    }
                }
                Some(ModuleEvent::Lost) => {
                    context.health.broken(CORE, "the connection is lost");
                    tracing::warn!("lost core; requests wait for it");
                }
                Some(ModuleEvent::Logger(severity)) => context.log.follow(severity),
                Some(other) => tracing::debug!(?other, "core said what is nothing for an HTTP door"),
                None => return,
            },
            Ok(()) = reloads.changed() => {
                let config = reloads.borrow_and_update().clone();
                follow(door, &config.modules.httpserver);
                if let Some(certificate) = certificate {
                    certificate.reload();
                }
            }
            () = pulse.asked() => pulse.beat(),
            () = context.shutdown.begun() => return,
        }
    }
}

/// Credentials, limits and allowed hosts of a configuration that was read again.
fn follow(door: &Door, config: &HttpServerConfig) {
    if config.is_open_by_mistake() {
        tracing::error!(
            "modules.httpserver.address {}; nothing was changed",
            HttpServerConfig::OPEN
        );
        return;
    }
    match Rules::new(config) {
        Ok(rules) => door.follow(rules),
        Err(error) => {
            tracing::error!(%error, "the new credentials cannot be used; the old ones stay")
        }
    }
}

/// Reads the certificate again when its files change.
async fn follow_files(certificate: Certificate, stop: CancellationToken) {
    use crate::net::Watch;
    let files = certificate.files();
    let paths: [&Path; 2] = [&files.certificate, &files.key];
    let watched = async {
        let watch = Watch::of(&paths)?;
        loop {
            watch.changed().await?;
            tokio::time::sleep(SETTLE).await;
            certificate.reload_if_changed();
        }
    };
    tokio::select! {
        error = watched => {
            let error: Result<(), io::Error> = error;
            if let Err(error) = error {
                tracing::warn!(%error, "the certificate's files cannot be watched; SIGHUP reads them again");
            }
        }
        () = stop.cancelled() => {}
    }
}
