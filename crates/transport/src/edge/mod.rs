//! The edge: libzmq, for a port that anybody can reach.
//!
//! # Who may use an identity
//!
//! The first connection with an identity has it until it ends. A second one completes its
//! handshake, and then libzmq leaves it aside: nothing it sends is read, nothing is sent to it,
//! and the first one notices nothing (there is no ROUTER_HANDOVER). So nobody can take a
//! client's place, or kick it out, by knowing its name.
//!
//! A client that lost its connection without the server noticing (a cable, a NAT table) meets
//! its own old connection in this way. It comes back as follows:
//!
//! 1. the heartbeat finds the old connection dead ([`Tuning::heartbeat`] and
//!    [`Tuning::heartbeat_timeout`]: 20 s by default);
//! 2. from that moment, every connection from the same address that is younger than the dead one
//!    and has delivered no message yet has 1 s to deliver one, and is closed then: libzmq leaves
//!    aside for ever what it has left aside once, even though the name is free now. Its client
//!    connects again at once and is served;
//! 3. a client whose address changed as well waits for [`BindOptions::first_message`] at most:
//!    a connection that has delivered no message by then is closed. Clients of the protocol speak first,
//!    and a client that had nothing to say just connects again.
//!
//! # Limits
//!
//! - A frame above [`Tuning::max_frame`] ends its connection before memory is taken for it.
//! - A connection above [`BindOptions::max_connections`] is closed as soon as it is accepted.
//! - A peer that does not read holds at most [`Tuning::send_queue`] messages and
//!   [`Tuning::send_bytes`]; a sender that is read too slowly is held back by TCP after
//!   [`Tuning::receive_queue`].
//! - Known and left to libzmq: it keeps the parts of an unfinished message without a limit of
//!   their own, and what a connection that is left aside had sent until the socket closes.

mod connections;
mod dealer;
mod monitor;
mod router;
mod waiting;
mod wire;

use std::net::{Ipv4Addr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use gorgone_protocol::{Endpoint, Identity};
use tokio::sync::oneshot;

use crate::handle::{DealerOut, Life, RouterOut, check_identity};
use crate::queue;
use crate::signal::Signal;
use crate::{Bound, Dealer, DealerSender, Error, Router, RouterSender, ipc};

/// What both sides of a connection hold to.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// Largest frame, in bytes; a larger one ends its connection.
    pub max_frame: usize,
    /// Most messages that wait for one peer.
    pub send_queue: usize,
    /// Most bytes that wait for one peer of a ROUTER. A single message may always wait, and libzmq
    /// has a few more.
    pub send_bytes: usize,
    /// Most messages of one peer that wait to be taken from it.
    pub receive_queue: usize,
    /// How long a connection may take for its ZMTP handshake.
    pub handshake: Duration,
    /// How often a silent connection is asked whether it is there.
    pub heartbeat: Duration,
    /// How long it may take to answer.
    pub heartbeat_timeout: Duration,
    /// Bound of the inbox: what came in and was not received by the program yet.
    pub inbox: Bound,
    /// Bound of the outbox: what was sent by the program and not given to libzmq yet.
    pub outbox: Bound,
    /// How long queued messages may take to leave when the handles are dropped.
    pub linger: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            max_frame: 16 * 1024 * 1024,
            send_queue: 1000,
            send_bytes: 16 * 1024 * 1024,
            receive_queue: 100,
            handshake: Duration::from_secs(10),
            heartbeat: Duration::from_secs(10),
            heartbeat_timeout: Duration::from_secs(10),
            inbox: Bound::DEFAULT,
            outbox: Bound::DEFAULT,
            linger: Duration::from_millis(500),
        }
    }
}

/// How a ROUTER is bound.
#[derive(Debug, Clone)]
pub struct BindOptions {
    /// Where. The host `*` is every interface, IPv4 and IPv6; port 0 is any free port.
    pub endpoints: Vec<Endpoint>,
    /// Most connections at a time, of any kind. Lowered (with a warning) to what the process may
    /// have in open files.
    pub max_connections: usize,
    /// Length of the listen queue.
    pub backlog: usize,
    /// How long a connection may stay without delivering its first message.
    pub first_message: Duration,
    /// What both sides hold to.
    pub tuning: Tuning,
}

impl BindOptions {
    /// Binds to these endpoints with the defaults: 10,000 connections, a listen queue of
    /// 1,024, 60 s until the first message.
    #[must_use]
    pub fn new(endpoints: Vec<Endpoint>) -> Self {
        Self {
            endpoints,
            max_connections: 10_000,
            backlog: 1024,
            first_message: Duration::from_secs(60),
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
    /// Shortest wait before a lost connection is tried again; it doubles up to the longest.
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
/// Resolves host names, so it may take as long as the resolver does.
///
/// # Errors
/// When an endpoint cannot be bound, or the system has no room for the socket.
pub fn bind(options: BindOptions) -> Result<(Router, RouterSender), Error> {
    if options.endpoints.is_empty() {
        return Err(Error::NoEndpoint);
    }
    let signal = Arc::new(Signal::for_poll().map_err(resources)?);
    let linger = options.tuning.linger;
    let (inbox, events) = queue::bounded(options.tuning.inbox, Some(Arc::clone(&signal)));
    let (outbox, letters) = queue::bounded(options.tuning.outbox, None);
    let (ready, bound) = sync_channel(1);
    let (finished, done) = oneshot::channel();
    let thread_signal = Arc::clone(&signal);
    std::thread::Builder::new()
        .name("edge-router".to_owned())
        .spawn(move || {
            match router::Socket::open(&options, thread_signal, inbox, letters) {
                Ok((socket, endpoints)) => {
                    let _ = ready.send(Ok(endpoints));
                    socket.run();
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            }
            let _ = finished.send(());
        })
        .map_err(|error| Error::Resources(error.to_string()))?;
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
/// When the endpoint or the identity is not one, or the system has no room for the socket.
pub fn connect(options: ConnectOptions) -> Result<(Dealer, DealerSender), Error> {
    check_identity(&options.identity)?;
    let signal = Arc::new(Signal::for_poll().map_err(resources)?);
    let linger = options.tuning.linger;
    let (inbox, events) = queue::bounded(options.tuning.inbox, Some(Arc::clone(&signal)));
    let (outbox, letters) = queue::bounded(options.tuning.outbox, None);
    let (ready, connected) = sync_channel(1);
    let (finished, done) = oneshot::channel();
    let thread_signal = Arc::clone(&signal);
    std::thread::Builder::new()
        .name("edge-dealer".to_owned())
        .spawn(move || {
            match dealer::Socket::open(&options, thread_signal, inbox, letters) {
                Ok(socket) => {
                    let _ = ready.send(Ok(()));
                    socket.run();
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            }
            let _ = finished.send(());
        })
        .map_err(|error| Error::Resources(error.to_string()))?;
    connected
        .recv()
        .map_err(|_| Error::Resources("the socket's thread ended".to_owned()))??;
    let dealer = Dealer {
        inbox: events,
        life: Life::new(Arc::clone(&signal), linger, Some(done)),
        _place: None,
    };
    let out = DealerOut::Thread { outbox, signal };
    Ok((dealer, DealerSender { out }))
}

fn resources(error: nix::Error) -> Error {
    Error::Resources(error.to_string())
}

/// Sets what both sides hold to.
fn tune(socket: &zmq::Socket, tuning: &Tuning) -> Result<(), zmq::Error> {
    socket.set_maxmsgsize(i64::try_from(tuning.max_frame).unwrap_or(i64::MAX))?;
    socket.set_sndhwm(count(tuning.send_queue))?;
    socket.set_rcvhwm(count(tuning.receive_queue))?;
    socket.set_handshake_ivl(millis(tuning.handshake))?;
    socket.set_heartbeat_ivl(millis(tuning.heartbeat))?;
    socket.set_heartbeat_timeout(millis(tuning.heartbeat_timeout))?;
    // What the other side is told: without a sign of us for so long, we are gone.
    let ttl = millis(tuning.heartbeat + tuning.heartbeat_timeout);
    socket.set_heartbeat_ttl(ttl.min(6_000_000))?;
    socket.set_tcp_keepalive(1)?;
    socket.set_tcp_keepalive_idle(30)?;
    socket.set_tcp_keepalive_intvl(10)?;
    socket.set_tcp_keepalive_cnt(3)
}

/// Whether libzmq should speak IPv6 for this endpoint. For an IPv4 address it need not, which
/// also works where the kernel has no IPv6.
fn wants_ipv6(endpoint: &Endpoint) -> bool {
    match endpoint {
        Endpoint::Tcp { host, .. } => host.parse::<Ipv4Addr>().is_err(),
        Endpoint::Ipc { .. } => false,
    }
}

/// At least 1: for libzmq 0 is "without limit".
fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX).max(1)
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

/// The endpoint in libzmq's words, ready to be bound: libzmq does not resolve names here, and
/// would take over a Unix socket that is in use.
fn bind_address(endpoint: &Endpoint) -> Result<String, Error> {
    match endpoint {
        Endpoint::Tcp { host, port } if host == "*" => Ok(format!("tcp://*:{port}")),
        Endpoint::Tcp { host, port } => {
            let mut addresses = (host.as_str(), *port)
                .to_socket_addrs()
                .map_err(|_| Error::NotAvailable(endpoint.clone()))?;
            let address = addresses
                .next()
                .ok_or_else(|| Error::NotAvailable(endpoint.clone()))?;
            Ok(format!("tcp://{address}"))
        }
        Endpoint::Ipc { path } => {
            ipc::clear_stale(endpoint, path)?;
            connect_address(endpoint)
        }
    }
}

/// The endpoint in libzmq's words, to be connected to.
fn connect_address(endpoint: &Endpoint) -> Result<String, Error> {
    let address = endpoint.to_string();
    if address.contains('\0') {
        return Err(Error::Unusable {
            endpoint: endpoint.clone(),
            problem: "it contains a zero byte".to_owned(),
        });
    }
    Ok(address)
}
