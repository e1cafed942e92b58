//! The thread that owns a connecting DEALER.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::monitor::{Change, Monitor};
use super::wire::{Incoming, read_parts, write_parts};
use super::{ConnectOptions, connect_address, millis, tune, wants_ipv6};
use crate::queue::{Consumer, Producer};
use crate::signal::Signal;
use crate::{DealerEvent, Error, Frames, SendError};

/// Most messages that are moved in one direction before the other has its turn.
const BATCH: usize = 256;

/// A connecting DEALER and the queues it serves.
pub(super) struct Socket {
    context: zmq::Context,
    socket: zmq::Socket,
    monitor: Monitor,
    signal: Arc<Signal>,
    inbox: Producer<DealerEvent>,
    outbox: Consumer<Frames>,
    /// A message that libzmq had no room for.
    unsent: Option<Frames>,
    /// An event that the inbox had no room for; nothing is read while there is one.
    held: Option<DealerEvent>,
    connected: bool,
    /// What was last reported, so that an inbox without room loses no change of state.
    reported: bool,
}

impl Socket {
    pub(super) fn open(
        options: &ConnectOptions,
        signal: Arc<Signal>,
        inbox: Producer<DealerEvent>,
        outbox: Consumer<Frames>,
    ) -> Result<Self, Error> {
        let address = connect_address(&options.endpoint)?;
        let context = zmq::Context::new();
        let configured = || -> Result<_, zmq::Error> {
            let socket = context.socket(zmq::DEALER)?;
            tune(&socket, &options.tuning)?;
            socket.set_ipv6(wants_ipv6(&options.endpoint))?;
            socket.set_identity(options.identity.as_bytes())?;
            socket.set_reconnect_ivl(millis(options.reconnect).max(1))?;
            socket.set_reconnect_ivl_max(millis(options.reconnect_max).max(1))?;
            let monitor = Monitor::attach(&context, &socket)?;
            Ok((socket, monitor))
        };
        let (socket, monitor) = configured().map_err(|e| Error::Resources(e.to_string()))?;
        socket
            .connect(&address)
            .map_err(|error| Error::from_zmq(&options.endpoint, error))?;
        Ok(Self {
            context,
            socket,
            monitor,
            signal,
            inbox,
            outbox,
            unsent: None,
            held: None,
            connected: false,
            reported: false,
        })
    }

    /// Serves until the handles are gone, then flushes.
    pub(super) fn run(mut self) {
        let linger = loop {
            if let Some(linger) = self.signal.stopping() {
                break linger;
            }
            self.watch();
            let read = self.receive();
            let written = self.send();
            if read || written {
                continue;
            }
            self.sleep();
        };
        let deadline = Instant::now() + linger;
        self.outbox.close();
        while Instant::now() < deadline {
            if self.send() {
                continue;
            }
            if self.unsent.is_none() {
                break;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let _ = self.socket.poll(zmq::POLLOUT, i64::from(millis(left)));
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
        let _ = context.destroy();
    }

    fn watch(&mut self) {
        while let Some(change) = self.monitor.next() {
            match change {
                Change::HandshakeSucceeded => self.connected = true,
                Change::Disconnected(_) => self.connected = false,
                Change::Accepted(_) => {}
            }
            self.report_state();
        }
        self.report_state();
    }

    fn report_state(&mut self) {
        if self.reported != self.connected && self.flush_held() {
            self.reported = self.connected;
            self.report(if self.connected {
                DealerEvent::Connected
            } else {
                DealerEvent::Disconnected
            });
        }
    }

    fn receive(&mut self) -> bool {
        for done in 0..BATCH {
            if !self.flush_held() {
                return done > 0;
            }
            match read_parts(&self.socket) {
                Incoming::Nothing => return done > 0,
                Incoming::Malformed(_) => {
                    self.signal.malformed.fetch_add(1, Ordering::Relaxed);
                }
                Incoming::Whole(frames, _) => self.report(DealerEvent::Message(frames)),
            }
        }
        true
    }

    fn send(&mut self) -> bool {
        for done in 0..BATCH {
            let Some(frames) = self.unsent.take().or_else(|| self.outbox.try_recv()) else {
                return done > 0;
            };
            match write_parts(&self.socket, &frames) {
                Ok(()) => {}
                Err(zmq::Error::EAGAIN) => {
                    self.unsent = Some(frames);
                    return done > 0;
                }
                Err(error) => tracing::error!(%error, "cannot send to the router"),
            }
        }
        true
    }

    fn report(&mut self, event: DealerEvent) {
        if let Err((event, SendError::Full)) = self.inbox.push(event) {
            self.held = Some(event);
        }
    }

    /// Moves a held event to the inbox. Returns whether there is room for more.
    fn flush_held(&mut self) -> bool {
        if let Some(event) = self.held.take() {
            self.report(event);
        }
        self.held.is_none()
    }

    fn sleep(&mut self) {
        self.signal.before_sleep();
        // What happened before `before_sleep` rang no bell.
        if self.held.is_some() {
            self.inbox.stall();
            self.flush_held();
        }
        let work = self.unsent.is_none() && !self.outbox.is_empty();
        if !work && self.signal.stopping().is_none() {
            let mut wanted = zmq::PollEvents::empty();
            if self.held.is_none() {
                wanted |= zmq::POLLIN;
            }
            if self.unsent.is_some() {
                wanted |= zmq::POLLOUT;
            }
            let mut items = [
                zmq::PollItem::from_fd(self.signal.fd(), zmq::POLLIN),
                self.monitor.socket.as_poll_item(zmq::POLLIN),
                self.socket.as_poll_item(wanted),
            ];
            if let Err(error) = zmq::poll(&mut items, -1)
                && error != zmq::Error::EINTR
            {
                tracing::error!(%error, "cannot poll the dealer's socket");
                self.signal.stop(Duration::ZERO);
            }
        }
        self.signal.after_sleep();
    }
}
