//! The bus: the `zeromq` crate, for a few trusted peers inside a host, a pod or a network of
//! containers.
//!
//! Not for a port that strangers can reach: the crate has no limit on the size of a frame, and ends the
//! process on some malformed ones.
//!
//! A dealer that connects with an identity in use takes the place of the older connection: it is
//! a module that came back before its old connection was found dead. [`crate::RouterEvent::Connected`]
//! tells of it, without a [`crate::RouterEvent::Disconnected`] for the one that was replaced.

mod dealer;
mod load;
mod router;

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use gorgone_protocol::{Endpoint, Identity};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::handle::{DealerOut, Life, RouterOut, check_identity};
use crate::queue;
use crate::signal::Signal;
use crate::{Bound, Dealer, DealerSender, Error, Router, RouterSender};

/// What both sides of a connection hold to.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// Most that one peer may have in flight: handed to its connection, not yet written to the
    /// network.
    pub in_flight: Bound,
    /// Bound of the inbox: what came in and was not received by the program yet.
    pub inbox: Bound,
    /// Bound of the outbox: what was sent by the program and not handed to a connection yet.
    pub outbox: Bound,
    /// How long queued messages may take to leave when the handles are dropped.
    pub linger: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            in_flight: Bound {
                messages: 4096,
                bytes: 64 * 1024 * 1024,
            },
            inbox: Bound::DEFAULT,
            outbox: Bound::DEFAULT,
            linger: Duration::from_millis(500),
        }
    }
}

/// How a ROUTER is bound.
#[derive(Debug, Clone)]
pub struct BindOptions {
    /// Where. The host `*` is every interface; port 0 is any free port. The file of a Unix
    /// socket that nobody listens on any more is replaced.
    pub endpoints: Vec<Endpoint>,
    /// What both sides hold to.
    pub tuning: Tuning,
}

impl BindOptions {
    /// Binds to these endpoints with the defaults.
    #[must_use]
    pub fn new(endpoints: Vec<Endpoint>) -> Self {
        Self {
            endpoints,
            tuning: Tuning::default(),
        }
    }
}

/// How a DEALER connects.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// Where to.
    pub endpoint: Endpoint,
    /// The identity to connect with.
    pub identity: Identity,
    /// Shortest wait before a lost connection is tried again; it doubles up to the longest, and
    /// each wait is drawn between half of it and all of it.
    pub reconnect: Duration,
    /// Longest wait before a lost connection is tried again.
    pub reconnect_max: Duration,
    /// What both sides hold to.
    pub tuning: Tuning,
}

impl ConnectOptions {
    /// Connects with the defaults: lost connections are tried again after 50 ms to 1 s.
    #[must_use]
    pub fn new(endpoint: Endpoint, identity: Identity) -> Self {
        Self {
            endpoint,
            identity,
            reconnect: Duration::from_millis(50),
            reconnect_max: Duration::from_secs(1),
            tuning: Tuning::default(),
        }
    }
}

/// Binds a ROUTER on a thread of its own.
///
/// # Errors
/// When an endpoint cannot be bound, or the system has no room for the socket.
pub fn bind(options: BindOptions) -> Result<(Router, RouterSender), Error> {
    if options.endpoints.is_empty() {
        return Err(Error::NoEndpoint);
    }
    let signal = Arc::new(Signal::for_task());
    let linger = options.tuning.linger;
    let (inbox, events) = queue::bounded(options.tuning.inbox, Some(Arc::clone(&signal)));
    let (outbox, letters) = queue::bounded(options.tuning.outbox, None);
    let (ready, bound) = sync_channel(1);
    let thread_signal = Arc::clone(&signal);
    let done = spawn("bus-router", move |runtime| {
        match runtime.block_on(router::Socket::open(
            &options,
            thread_signal,
            inbox,
            letters,
        )) {
            Ok((socket, endpoints)) => {
                let _ = ready.send(Ok(endpoints));
                runtime.block_on(socket.run());
            }
            Err(error) => {
                let _ = ready.send(Err(error));
            }
        }
    })?;
    let endpoints = bound
        .recv()
        .map_err(|_| Error::Resources("the socket's thread ended".to_owned()))??;
    let router = Router {
        inbox: events,
        endpoints,
        life: Life::new(Arc::clone(&signal), linger, Some(done)),
        _place: None,
    };
    let out = RouterOut::Thread { outbox, signal };
    Ok((router, RouterSender { out }))
}

/// Connects a DEALER on a thread of its own. Returns at once; the connection is reported by
/// [`crate::DealerEvent::Connected`], and tried again without end.
///
/// # Errors
/// When the identity is not one, or the system has no room for the socket.
pub fn connect(options: ConnectOptions) -> Result<(Dealer, DealerSender), Error> {
    check_identity(&options.identity)?;
    let signal = Arc::new(Signal::for_task());
    let linger = options.tuning.linger;
    let (inbox, events) = queue::bounded(options.tuning.inbox, Some(Arc::clone(&signal)));
    let (outbox, letters) = queue::bounded(options.tuning.outbox, None);
    let socket = dealer::Socket::new(options, Arc::clone(&signal), inbox, letters);
    let done = spawn("bus-dealer", move |runtime| {
        runtime.block_on(socket.run());
    })?;
    let dealer = Dealer {
        inbox: events,
        life: Life::new(Arc::clone(&signal), linger, Some(done)),
        _place: None,
    };
    let out = DealerOut::Thread { outbox, signal };
    Ok((dealer, DealerSender { out }))
}

/// Runs a socket on a thread with a runtime of its own: on a shared one the crate can hang when
/// many peers come and go. Returns what resolves when the thread has ended.
fn spawn(
    name: &str,
    work: impl FnOnce(&Runtime) + Send + 'static,
) -> Result<oneshot::Receiver<()>, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Resources(error.to_string()))?;
    let (finished, done) = oneshot::channel();
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            work(&runtime);
            // What has not left by now does not: its tasks end here, and with them its sockets.
            runtime.shutdown_timeout(Duration::ZERO);
            let _ = finished.send(());
        })
        .map_err(|error| Error::Resources(error.to_string()))?;
    Ok(done)
}

/// Waits until the connections have written what was handed to them and have ended, or until
/// `linger` is over. The socket's halves must be gone already.
async fn drained(linger: Duration) {
    let tasks = tokio::runtime::Handle::current();
    let all_ended = async {
        while tasks.metrics().num_alive_tasks() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let _ = tokio::time::timeout(linger, all_ended).await;
}
