//! Takes connections in.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::door::Door;
use crate::net::connection::Serve;
use crate::net::counted::{Connections, Counted, room_for_connections};
use crate::net::stalls::Times;
use crate::net::tls::Certificate;

/// Connections that may wait to be taken in.
const BACKLOG: u32 = 4096;
/// How long to wait after the system had no descriptor left.
const PAUSE: Duration = Duration::from_millis(50);
/// What somebody is told in clear who is one too many.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
    content-length: 0\r\n\r\n";

/// A bound port.
pub(crate) struct Listener {
    socket: TcpListener,
    tls: Option<Certificate>,
}

/// What is served to whom, and how long.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) router: Router,
    pub(crate) door: Arc<Door>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) tasks: TaskTracker,
    /// Cancelled when running requests are to be the last ones.
    pub(crate) drain: CancellationToken,
    /// Cancelled when connections end, whatever they do.
    pub(crate) cut: CancellationToken,
}

impl Listener {
    /// Binds a port.
    ///
    /// # Errors
    /// When the system says no.
    pub(crate) fn bind(address: SocketAddr, tls: Option<Certificate>) -> io::Result<Self> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Self {
            socket: socket.listen(BACKLOG)?,
            tls,
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()
    }

    /// Takes connections in until the drain begins.
    pub(crate) async fn run(self, service: Service) {
        let mut wanted = 0;
        let mut room = 0;
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = service.drain.cancelled() => return,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Whoever gave up before we came, or no descriptor left for a moment.
                    tracing::debug!(%error, "a connection could not be taken in");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let rules = service.door.rules();
            if wanted != rules.limits.max_connections {
                wanted = rules.limits.max_connections;
                room = room_for_connections(wanted);
            }
            let limits = (room, rules.limits.max_connections_per_peer);
            let Some(counted) = service.connections.enter(peer.ip(), limits) else {
                if self.tls.is_none() {
                    // Whether it can be told or not, it is one too many.
                    let _ = stream.try_write(FULL);
                }
                continue;
            };
            let times = Times {
                header: rules.limits.header_timeout,
                keep_alive: rules.limits.keep_alive_timeout,
                write: rules.limits.write_timeout,
            };
            let (tls, service) = (self.tls.clone(), service.clone());
            let (tasks, cut) = (service.tasks.clone(), service.cut.clone());
            tasks.spawn(async move {
                tokio::select! {
                    () = serve(stream, peer, (tls, times), service, counted) => {}
                    () = cut.cancelled() => {}
                }
            });
        }
    }
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    (tls, times): (Option<Certificate>, Times),
    service: Service,
    _counted: Counted,
) {
    // Without it small answers wait for the peer's acknowledgements; with a socket that refuses
    // it they do.
    let _ = stream.set_nodelay(true);
    let serve = Serve {
        router: service.router,
        peer,
        times,
        drain: service.drain,
    };
    let Some(tls) = tls else {
        return Box::pin(serve.http1(stream)).await;
    };
    let handshake = Box::pin(TlsAcceptor::from(tls.current()).accept(stream));
    match tokio::time::timeout(times.header, handshake).await {
        Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
            Box::pin(serve.http2(stream)).await;
        }
        Ok(Ok(stream)) => Box::pin(serve.http1(stream)).await,
        Ok(Err(_)) | Err(_) => {
            let metrics = &service.door.metrics;
            metrics
                .tls_failures
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
}
