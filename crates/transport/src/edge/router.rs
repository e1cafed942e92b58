//! The thread that owns a bound ROUTER.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use gorgone_protocol::Endpoint;

use super::connections::Connections;
use super::monitor::{Change, Monitor};
use super::wire::{Incoming, read_parts, write_parts};
use super::{BindOptions, bind_address, count, millis, tune, wants_ipv6};
use crate::handle::Letter;
use crate::queue::{Consumer, Producer};
use crate::signal::Signal;
use crate::{Error, RouterEvent, SendError, Why};

/// Most messages that are moved in one direction before the other has its turn.
const BATCH: usize = 256;

/// Most of our own events (returned messages, ends of connections) that wait for the inbox
/// before no more letters are taken.
const MAX_HELD: usize = 1024;

/// A bound ROUTER and the queues it serves.
pub(super) struct Socket {
    context: zmq::Context,
    socket: zmq::Socket,
    monitor: Monitor,
    connections: Connections,
    signal: Arc<Signal>,
    inbox: Producer<RouterEvent>,
    outbox: Consumer<Letter>,
    /// Events that the inbox had no room for. Bounded: nothing is read while there are any, no
    /// letter is taken above `MAX_HELD`, and a connection ends only once.
    held: std::collections::VecDeque<RouterEvent>,
}

impl Socket {
    pub(super) fn open(
        options: &BindOptions,
        signal: Arc<Signal>,
        inbox: Producer<RouterEvent>,
        outbox: Consumer<Letter>,
    ) -> Result<(Self, Vec<Endpoint>), Error> {
        let context = zmq::Context::new();
        let configured = || -> Result<_, zmq::Error> {
            let socket = context.socket(zmq::ROUTER)?;
            tune(&socket, &options.tuning)?;
            socket.set_backlog(count(options.backlog))?;
            socket.set_router_mandatory(true)?;
            socket.set_router_handover(false)?;
            let monitor = Monitor::attach(&context, &socket)?;
            Ok((socket, monitor))
        };
        let (socket, monitor) = configured().map_err(|e| Error::Resources(e.to_string()))?;
        let mut endpoints = Vec::with_capacity(options.endpoints.len());
        for endpoint in &options.endpoints {
            let address = bind_address(endpoint)?;
            socket
                .set_ipv6(wants_ipv6(endpoint))
                .and_then(|()| socket.bind(&address))
                .map_err(|error| Error::from_zmq(endpoint, error))?;
            let local = socket.get_last_endpoint().ok().and_then(Result::ok);
            endpoints.push(
                local
                    .and_then(|text| Endpoint::parse(&text).ok())
                    .unwrap_or_else(|| endpoint.clone()),
            );
        }
        let socket = Self {
            context,
            socket,
            monitor,
            connections: Connections::new(options.max_connections, options.first_message),
            signal,
            inbox,
            outbox,
            held: std::collections::VecDeque::new(),
        };
        Ok((socket, endpoints))
    }

    /// Serves until the handles are gone, then flushes and frees the port.
    pub(super) fn run(mut self) {
        let linger = loop {
            if let Some(linger) = self.signal.stopping() {
                break linger;
            }
            self.watch();
            let next_deadline = self.connections.expire(Instant::now());
            let read = self.receive(BATCH);
            let written = self.send(BATCH);
            if read || written {
                continue;
            }
            self.sleep(next_deadline);
        };
        let deadline = Instant::now() + linger;
        self.outbox.close();
        // An inbox that nobody reads any more must not keep the last letters from leaving.
        while let Some(letter) = self.outbox.try_recv() {
            let _ = self.write(&letter);
            if Instant::now() >= deadline {
                break;
            }
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let _ = self.socket.set_linger(millis(left));
        let Self {
            mut context,
            socket,
            monitor,
            ..
        } = self;
        drop(monitor);
        drop(socket);
        // Returns when the last message has left or `linger` is over, and the port is free.
        let _ = context.destroy();
    }

    /// Hears who came and went.
    fn watch(&mut self) {
        while let Some(change) = self.monitor.next() {
            match change {
                Change::Accepted(fd) => self.connections.accepted(fd, Instant::now()),
                Change::Disconnected(fd) => {
                    if let Some(identity) = self.connections.ended(fd, Instant::now()) {
                        self.report(RouterEvent::Disconnected(identity));
                    }
                }
                Change::HandshakeSucceeded => {}
            }
        }
        for (count, total) in [
            (&mut self.connections.refused, &self.signal.refused),
            (&mut self.connections.silent, &self.signal.silent),
        ] {
            if *count > 0 {
                total.fetch_add(std::mem::take(count), Ordering::Relaxed);
            }
        }
    }

    /// Takes messages from peers. Returns whether there were any.
    fn receive(&mut self, most: usize) -> bool {
        for done in 0..most {
            if !self.flush_held() {
                return done > 0;
            }
            let Ok(identity) = self.socket.recv_msg(zmq::DONTWAIT) else {
                return done > 0;
            };
            if !identity.get_more() {
                self.signal.malformed.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            match read_parts(&self.socket) {
                Incoming::Nothing => return done > 0,
                Incoming::Malformed(source) => {
                    self.connections.spoke(source, &identity);
                    self.signal.malformed.fetch_add(1, Ordering::Relaxed);
                }
                Incoming::Whole(frames, source) => {
                    let (peer, from) = self.connections.spoke(source, &identity);
                    self.report(RouterEvent::Message { peer, frames, from });
                }
            }
        }
        true
    }

    /// Hands letters to libzmq. Returns whether there were any.
    fn send(&mut self, most: usize) -> bool {
        for done in 0..most {
            if self.held.len() >= MAX_HELD {
                return done > 0;
            }
            let Some(letter) = self.outbox.try_recv() else {
                return done > 0;
            };
            if let Err(why) = self.write(&letter) {
                self.report(RouterEvent::Undelivered {
                    peer: letter.peer,
                    frames: letter.frames,
                    why,
                });
            }
        }
        true
    }

    /// With ROUTER_MANDATORY, the identity's part tells whether the peer can take the message;
    /// no part after it is refused.
    fn write(&self, letter: &Letter) -> Result<(), Why> {
        let flags = zmq::DONTWAIT | zmq::SNDMORE;
        match self.socket.send(letter.peer.as_bytes(), flags) {
            Ok(()) => {}
            Err(zmq::Error::EAGAIN) => return Err(Why::Full),
            Err(_) => return Err(Why::Gone),
        }
        write_parts(&self.socket, &letter.frames).map_err(|_| Why::Gone)
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

    fn sleep(&mut self, deadline: Option<Instant>) {
        self.signal.before_sleep();
        // What happened before `before_sleep` rang no bell.
        if !self.held.is_empty() {
            self.inbox.stall();
            self.flush_held();
        }
        let blocked = !self.held.is_empty();
        let work = !self.outbox.is_empty() && self.held.len() < MAX_HELD;
        if !work && self.signal.stopping().is_none() {
            let timeout = deadline.map_or(-1, |at| {
                let wait = at.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
                i64::from(millis(wait))
            });
            let reading = if blocked {
                // The socket stays unread until the inbox has room.
                zmq::PollEvents::empty()
            } else {
                zmq::POLLIN
            };
            let mut items = [
                zmq::PollItem::from_fd(self.signal.fd(), zmq::POLLIN),
                self.monitor.socket.as_poll_item(zmq::POLLIN),
                self.socket.as_poll_item(reading),
            ];
            if let Err(error) = zmq::poll(&mut items, timeout)
                && error != zmq::Error::EINTR
            {
                tracing::error!(%error, "cannot poll the edge's socket");
                self.signal.stop(Duration::ZERO);
            }
        }
        self.signal.after_sleep();
    }
}
