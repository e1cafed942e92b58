//! The thread that owns a bound ROUTER.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use gorgone_protocol::Endpoint;

use super::connections::Connections;
use super::monitor::{Change, Monitor};
use super::waiting::{Bounds, IN_LIBZMQ, Waiting};
use super::wire::{Incoming, read_parts, write_parts};
use super::{BindOptions, bind_address, count, millis, tune, wants_ipv6};
use crate::handle::Letter;
use crate::queue::{Consumer, Producer, Weigh as _};
use crate::signal::Signal;
use crate::{Error, RouterEvent, SendError, Why};

/// Most messages that are moved in one direction before the other has its turn.
const BATCH: usize = 256;

/// Most of our own events (returned messages, ends of connections) that wait for the inbox
/// before no more letters are taken.
const MAX_HELD: usize = 1024;

/// Most bytes of such events.
const MAX_HELD_BYTES: usize = 16 * 1024 * 1024;

/// How soon a peer that libzmq took nothing more for is tried again, though nothing was heard of
/// it; doubles up to the second one. libzmq tells when it has room, but once only, and that may be
/// swallowed by another call in between.
const RETRY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));

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
    held_bytes: usize,
    waiting: Waiting,
    retry: Duration,
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
            socket.set_sndhwm(count(options.tuning.send_queue.min(IN_LIBZMQ)))?;
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
            held_bytes: 0,
            waiting: Waiting::new(Bounds {
                messages: options.tuning.send_queue,
                bytes: options.tuning.send_bytes,
            }),
            retry: RETRY.0,
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
            let retried = self.write_waiting();
            if read || written || retried {
                self.retry = RETRY.0;
                continue;
            }
            self.sleep(next_deadline);
        };
        let deadline = Instant::now() + linger;
        self.flush(deadline);
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
                        for letter in self.waiting.forget(&identity) {
                            self.give_back(letter, Why::Gone);
                        }
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

    /// Hands letters to libzmq, or puts them behind those that wait for the same peer. Returns
    /// whether there were any.
    fn send(&mut self, most: usize) -> bool {
        for done in 0..most {
            if self.held.len() >= MAX_HELD || self.held_bytes >= MAX_HELD_BYTES {
                return done > 0;
            }
            let Some(letter) = self.outbox.try_recv() else {
                return done > 0;
            };
            let why = if self.waiting.has(&letter.peer) {
                Why::Full
            } else {
                match self.write(&letter) {
                    Ok(()) => continue,
                    Err(why) => why,
                }
            };
            let refused = match why {
                Why::Full => self.waiting.push(letter).err(),
                Why::Gone => Some(letter),
            };
            if let Some(letter) = refused {
                self.give_back(letter, why);
            }
        }
        true
    }

    /// Hands what waits to libzmq, as far as it takes it. Returns whether it took anything.
    fn write_waiting(&mut self) -> bool {
        let mut waiting = std::mem::take(&mut self.waiting);
        let (taken, gone) = waiting.offer(|letter| self.write(letter));
        self.waiting = waiting;
        for letter in gone {
            self.give_back(letter, Why::Gone);
        }
        taken
    }

    /// Hands over what is left. An inbox that nobody reads any more must not keep it from leaving.
    fn flush(&mut self, deadline: Instant) {
        self.outbox.close();
        loop {
            self.held.clear();
            self.held_bytes = 0;
            let written = self.send(BATCH);
            let retried = self.write_waiting();
            let all = self.outbox.is_empty() && self.waiting.is_empty();
            if all || Instant::now() >= deadline {
                return;
            }
            if !written && !retried {
                std::thread::sleep(RETRY.0);
            }
        }
    }

    fn give_back(&mut self, letter: Letter, why: Why) {
        self.report(RouterEvent::Undelivered {
            peer: letter.peer,
            frames: letter.frames,
            why,
        });
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
        let refused = if self.held.is_empty() {
            match self.inbox.push(event) {
                Err((event, SendError::Full)) => Some(event),
                Ok(()) | Err((_, SendError::Closed)) => None,
            }
        } else {
            Some(event)
        };
        if let Some(event) = refused {
            self.held_bytes += event.weight();
            self.held.push_back(event);
        }
    }

    /// Moves held events to the inbox. Returns whether there is room for more.
    fn flush_held(&mut self) -> bool {
        while let Some(event) = self.held.pop_front() {
            let weight = event.weight();
            if let Err((event, SendError::Full)) = self.inbox.push(event) {
                self.held.push_front(event);
                return false;
            }
            self.held_bytes -= weight;
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
        let full = self.held.len() >= MAX_HELD || self.held_bytes >= MAX_HELD_BYTES;
        let mut work = !self.outbox.is_empty() && !full;
        let mut deadline = deadline;
        if !self.waiting.is_empty() {
            // What the socket's descriptor tells is told once; this is what it told before now.
            let readable = self
                .socket
                .get_events()
                .is_ok_and(|e| e.contains(zmq::POLLIN));
            work |= readable && !blocked;
            let retry = Instant::now() + self.retry;
            deadline = Some(deadline.map_or(retry, |at| at.min(retry)));
            self.retry = (self.retry * 2).min(RETRY.1);
        }
        if !work && self.signal.stopping().is_none() {
            let timeout = deadline.map_or(-1, |at| {
                let wait = at.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
                i64::from(millis(wait))
            });
            let socket = if !self.waiting.is_empty()
                && let Ok(fd) = self.socket.get_fd()
            {
                // Also tells that a peer has room again, which libzmq's own poll does not.
                zmq::PollItem::from_fd(fd, zmq::POLLIN)
            } else if blocked {
                // The socket stays unread until the inbox has room.
                self.socket.as_poll_item(zmq::PollEvents::empty())
            } else {
                self.socket.as_poll_item(zmq::POLLIN)
            };
            let mut items = [
                zmq::PollItem::from_fd(self.signal.fd(), zmq::POLLIN),
                self.monitor.socket.as_poll_item(zmq::POLLIN),
                socket,
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
