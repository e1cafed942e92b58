//! The task that owns a bound ROUTER of the bus.

use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures::channel::mpsc;
use futures::{FutureExt, StreamExt};
use gorgone_protocol::{Endpoint, Identity};
use zeromq::{
    RouterRecvHalf, RouterSendHalf, RouterSocket, Socket as _, SocketEvent, SocketRecv, SocketSend,
    ZmqMessage,
};

use super::load::Load;
use super::{BindOptions, drained};
use crate::handle::Letter;
use crate::queue::{Consumer, Producer};
use crate::signal::Signal;
use crate::{Bound, Error, Frames, MAX_PARTS, RouterEvent, SendError, Why, ipc};

/// Most messages that are moved in one direction before the other has its turn.
const BATCH: usize = 128;

/// Most of our own events that wait for the inbox before no more letters are taken.
const MAX_HELD: usize = 1024;

/// A bound ROUTER and the queues it serves.
pub(super) struct Socket {
    incoming: RouterRecvHalf,
    outgoing: RouterSendHalf,
    monitor: mpsc::Receiver<SocketEvent>,
    peers: HashMap<Identity, Peer>,
    in_flight: Bound,
    signal: Arc<Signal>,
    inbox: Producer<RouterEvent>,
    outbox: Consumer<Letter>,
    /// Events that the inbox had no room for. Nothing is read while there are any, no letter is
    /// taken above `MAX_HELD`.
    held: VecDeque<RouterEvent>,
}

struct Peer {
    load: Arc<Load>,
    /// Known by its first message, which came before the monitor told of the connection.
    early: bool,
}

impl Socket {
    pub(super) async fn open(
        options: &BindOptions,
        signal: Arc<Signal>,
        inbox: Producer<RouterEvent>,
        outbox: Consumer<Letter>,
    ) -> Result<(Self, Vec<Endpoint>), Error> {
        let mut socket = RouterSocket::new();
        let monitor = socket.monitor();
        let mut endpoints = Vec::with_capacity(options.endpoints.len());
        for endpoint in &options.endpoints {
            endpoints.push(bind(&mut socket, endpoint).await?);
        }
        let (outgoing, incoming) = socket.split();
        let socket = Self {
            incoming,
            outgoing,
            monitor,
            peers: HashMap::new(),
            in_flight: options.tuning.in_flight,
            signal,
            inbox,
            outbox,
            held: VecDeque::new(),
        };
        Ok((socket, endpoints))
    }

    /// Serves until the handles are gone, then flushes and frees the port.
    pub(super) async fn run(mut self) {
        let linger = loop {
            if let Some(linger) = self.signal.stopping() {
                break linger;
            }
            self.watch();
            self.read_ready();
            self.send_ready();
            // Lets the crate's own tasks write and accept between two batches.
            tokio::task::yield_now().await;
            self.wait().await;
        };
        self.outbox.close();
        while let Some(letter) = self.outbox.try_recv() {
            let _ = self.write(&letter);
        }
        let Self {
            incoming, outgoing, ..
        } = self;
        drop((incoming, outgoing));
        drained(linger).await;
    }

    /// Waits for anything to do, and does the first of it.
    async fn wait(&mut self) {
        if !self.flush_held() {
            self.inbox.stall();
        }
        let open = self.flush_held();
        if self.signal.stopping().is_some() {
            return;
        }
        let takes = self.held.len() < MAX_HELD;
        tokio::select! {
            biased;
            Some(event) = self.monitor.next() => self.note(event),
            letter = self.outbox.recv(), if takes => match letter {
                Some(letter) => self.deliver(letter),
                // Every sender is gone; what comes in is still wanted.
                None => self.receive_or_signal(open).await,
            },
            message = self.incoming.recv(), if open => self.take(message),
            () = self.signal.raised() => {}
        }
    }

    async fn receive_or_signal(&mut self, open: bool) {
        tokio::select! {
            biased;
            Some(event) = self.monitor.next() => self.note(event),
            message = self.incoming.recv(), if open => self.take(message),
            () = self.signal.raised() => {}
        }
    }

    /// Hears who came and went.
    fn watch(&mut self) {
        while let Some(Some(event)) = self.monitor.next().now_or_never() {
            self.note(event);
        }
    }

    fn note(&mut self, event: SocketEvent) {
        match event {
            SocketEvent::Accepted(_, peer) => {
                let identity = Identity::new(&peer);
                match self.peers.get_mut(&identity) {
                    Some(known) if known.early => known.early = false,
                    _ => self.enter(identity, false),
                }
            }
            SocketEvent::Disconnected(peer) => {
                let identity = Identity::new(&peer);
                if self.peers.remove(&identity).is_some() {
                    self.report(RouterEvent::Disconnected(identity));
                }
            }
            SocketEvent::AcceptFailed(error) => {
                tracing::debug!(%error, "a connection to the bus failed");
            }
            SocketEvent::Connected(..)
            | SocketEvent::ConnectDelayed
            | SocketEvent::ConnectRetried
            | SocketEvent::Listening(_)
            | SocketEvent::Closed
            | SocketEvent::CloseFailed => {}
        }
    }

    /// A peer is there, new or in the place of an older connection.
    fn enter(&mut self, identity: Identity, early: bool) {
        let load = Load::new(self.in_flight, None);
        self.peers.insert(identity.clone(), Peer { load, early });
        self.report(RouterEvent::Connected(identity));
    }

    fn read_ready(&mut self) {
        for _ in 0..BATCH {
            if !self.flush_held() {
                return;
            }
            match self.incoming.recv().now_or_never() {
                Some(message) => self.take(message),
                None => return,
            }
        }
    }

    fn take(&mut self, message: Result<ZmqMessage, zeromq::ZmqError>) {
        let Ok(message) = message else {
            // The peer's end is told by the monitor.
            return;
        };
        let mut parts = message.into_vecdeque();
        let Some(identity) = parts.pop_front() else {
            return;
        };
        if !(1..=MAX_PARTS).contains(&parts.len()) {
            self.signal.malformed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let peer = match self.peers.get_key_value(&identity[..]) {
            Some((known, _)) => known.clone(),
            None => {
                let identity = Identity::new(&identity);
                self.enter(identity.clone(), true);
                identity
            }
        };
        // Frames share the connection's read buffer; a small one must not keep a large one alive.
        let frames: Frames = parts
            .iter()
            .map(|part| Bytes::copy_from_slice(part))
            .collect();
        self.report(RouterEvent::Message {
            peer,
            frames,
            from: None,
        });
    }

    fn send_ready(&mut self) {
        for _ in 0..BATCH {
            if self.held.len() >= MAX_HELD {
                return;
            }
            match self.outbox.try_recv() {
                Some(letter) => self.deliver(letter),
                None => return,
            }
        }
    }

    fn deliver(&mut self, letter: Letter) {
        if let Err(why) = self.write(&letter) {
            self.report(RouterEvent::Undelivered {
                peer: letter.peer,
                frames: letter.frames,
                why,
            });
        }
    }

    /// Hands a letter to its connection. The crate's send is polled once: where it would wait,
    /// the peer's queue is full, and nobody else waits for that.
    fn write(&mut self, letter: &Letter) -> Result<(), Why> {
        let Some(peer) = self.peers.get(&letter.peer) else {
            return Err(Why::Gone);
        };
        if !peer.load.has_room_for(&letter.frames) {
            return Err(Why::Full);
        }
        let head = Bytes::copy_from_slice(letter.peer.as_bytes());
        let Some(message) = peer.load.wrap(Some(head), &letter.frames) else {
            return Ok(());
        };
        match self.outgoing.send(message).now_or_never() {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) => Err(Why::Gone),
            None => Err(Why::Full),
        }
    }

    fn report(&mut self, event: RouterEvent) {
        if !self.held.is_empty() {
            self.held.push_back(event);
        } else if let Err((event, SendError::Full)) = self.inbox.push(event) {
            self.held.push_back(event);
        }
    }

    /// Moves held events to the inbox. Returns whether there is room for more.
    fn flush_held(&mut self) -> bool {
        while let Some(event) = self.held.pop_front() {
            if let Err((event, SendError::Full)) = self.inbox.push(event) {
                self.held.push_front(event);
                return false;
            }
        }
        true
    }
}

/// Listens on an endpoint. Returns where it really listens.
async fn bind(socket: &mut RouterSocket, endpoint: &Endpoint) -> Result<Endpoint, Error> {
    let failed = |error: std::io::Error| Error::from_io(endpoint, &error);
    let adopted = |error: zeromq::ZmqError| Error::Unusable {
        endpoint: endpoint.clone(),
        problem: error.to_string(),
    };
    match endpoint {
        Endpoint::Tcp { host, port } => {
            let listener = if host == "*" {
                TcpListener::bind((Ipv6Addr::UNSPECIFIED, *port)).or_else(|error| {
                    if error.kind() == std::io::ErrorKind::AddrInUse {
                        return Err(error);
                    }
                    TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port))
                })
            } else {
                TcpListener::bind((host.as_str(), *port))
            }
            .map_err(failed)?;
            let local = listener.local_addr().map_err(failed)?;
            socket.bind_listener(listener).await.map_err(adopted)?;
            Ok(Endpoint::Tcp {
                host: local.ip().to_string(),
                port: local.port(),
            })
        }
        Endpoint::Ipc { path } => {
            ipc::clear_stale(endpoint, path)?;
            let listener = UnixListener::bind(path).map_err(failed)?;
            socket.bind_listener(listener).await.map_err(adopted)?;
            Ok(endpoint.clone())
        }
    }
}
