//! The task that keeps a DEALER of the bus connected. The crate's DEALER does not connect
//! again by itself.
//!
//! ```text
//!            ┌──────── wait (jittered, doubling) ◄──── lost
//!            ▼                                          ▲
//!        connect ──── handshake done ──── split ──── serve
//! ```

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures::channel::mpsc;
use futures::{FutureExt, StreamExt};
use zeromq::util::PeerIdentity;
use zeromq::{
    DealerRecvHalf, DealerSendHalf, DealerSocket, Socket as _, SocketEvent, SocketOptions,
    SocketRecv, SocketSend, ZmqError, ZmqMessage,
};

use super::load::Load;
use super::{ConnectOptions, drained};
use crate::queue::{Consumer, Producer};
use crate::signal::Signal;
use crate::{DealerEvent, Frames, MAX_PARTS, SendError};

/// Most messages that are moved in one direction before the other has its turn.
const BATCH: usize = 128;

/// How long one attempt may take. The crate tries a refused connection again by itself, with
/// waits that grow up to 30 s; ending the attempt keeps them short.
const ATTEMPT: Duration = Duration::from_secs(2);

/// A connecting DEALER and the queues it serves.
pub(super) struct Socket {
    options: ConnectOptions,
    signal: Arc<Signal>,
    inbox: Producer<DealerEvent>,
    outbox: Consumer<Frames>,
    /// A message that the connection had no room for.
    unsent: Option<Frames>,
    /// An event that the inbox had no room for; nothing is read while there is one.
    held: Option<DealerEvent>,
}

/// A connection that stands.
struct Link {
    incoming: DealerRecvHalf,
    outgoing: DealerSendHalf,
    monitor: mpsc::Receiver<SocketEvent>,
    load: Arc<Load>,
}

/// The connection is lost.
struct Lost;

impl Socket {
    pub(super) fn new(
        options: ConnectOptions,
        signal: Arc<Signal>,
        inbox: Producer<DealerEvent>,
        outbox: Consumer<Frames>,
    ) -> Self {
        Self {
            options,
            signal,
            inbox,
            outbox,
            unsent: None,
            held: None,
        }
    }

    /// Serves until the handles are gone, then flushes.
    pub(super) async fn run(mut self) {
        let mut wait = self.options.reconnect;
        loop {
            let link = tokio::select! {
                biased;
                _ = stopped(&self.signal) => return,
                link = connect(&self.options, &self.signal) => link,
            };
            if let Ok(mut link) = link {
                wait = self.options.reconnect;
                self.tell(DealerEvent::Connected).await;
                match self.serve(&mut link).await {
                    Ok(linger) => return self.finish(link, linger).await,
                    Err(Lost) => self.tell(DealerEvent::Disconnected).await,
                }
            }
            let jittered = wait.mul_f64(rand::random_range(0.5..=1.0));
            wait = (wait * 2).min(self.options.reconnect_max);
            tokio::select! {
                biased;
                _ = stopped(&self.signal) => return,
                () = tokio::time::sleep(jittered) => {}
            }
        }
    }

    /// Moves messages until the handles are gone (the time to linger) or the connection is.
    async fn serve(&mut self, link: &mut Link) -> Result<Duration, Lost> {
        loop {
            if let Some(linger) = self.signal.stopping() {
                return Ok(linger);
            }
            while let Some(event) = link.monitor.next().now_or_never() {
                check(event)?;
            }
            self.send_ready(link)?;
            self.read_ready(link)?;
            tokio::task::yield_now().await;
            if self.held.is_some() {
                self.inbox.stall();
            }
            let open = self.flush_held();
            if self.unsent.is_some() {
                link.load.wait_for_room();
            }
            let full = self
                .unsent
                .as_ref()
                .is_some_and(|frames| !link.load.has_room_for(frames));
            if self.unsent.is_some() && !full {
                continue;
            }
            tokio::select! {
                biased;
                event = link.monitor.next() => check(event)?,
                Some(frames) = self.outbox.recv(), if !full => self.unsent = Some(frames),
                message = link.incoming.recv(), if open => self.take(message)?,
                () = self.signal.raised() => {}
            }
        }
    }

    /// Sends what is left for at most `linger`.
    async fn finish(mut self, mut link: Link, linger: Duration) {
        self.outbox.close();
        let started = tokio::time::Instant::now();
        let everything = async {
            loop {
                link.load.wait_for_room();
                if self.send_ready(&mut link).is_err() {
                    break;
                }
                if self.unsent.is_none() {
                    if self.outbox.is_empty() {
                        break;
                    }
                    continue;
                }
                self.signal.raised().await;
            }
        };
        let _ = tokio::time::timeout(linger, everything).await;
        drop(link);
        drained(linger.saturating_sub(started.elapsed())).await;
    }

    fn send_ready(&mut self, link: &mut Link) -> Result<(), Lost> {
        for _ in 0..BATCH {
            let Some(frames) = self.unsent.take().or_else(|| self.outbox.try_recv()) else {
                return Ok(());
            };
            if !link.load.has_room_for(&frames) {
                self.unsent = Some(frames);
                return Ok(());
            }
            let Some(message) = link.load.wrap(None, &frames) else {
                continue;
            };
            match link.outgoing.send(message).now_or_never() {
                Some(Ok(())) => {}
                // Not handed over: it goes out on the next connection.
                Some(Err(_)) => {
                    self.unsent = Some(frames);
                    return Err(Lost);
                }
                None => {
                    self.unsent = Some(frames);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn read_ready(&mut self, link: &mut Link) -> Result<(), Lost> {
        for _ in 0..BATCH {
            if !self.flush_held() {
                return Ok(());
            }
            match link.incoming.recv().now_or_never() {
                Some(message) => self.take(message)?,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    fn take(&mut self, message: Result<ZmqMessage, ZmqError>) -> Result<(), Lost> {
        let parts = message.map_err(|_| Lost)?.into_vecdeque();
        if !(1..=MAX_PARTS).contains(&parts.len()) {
            self.signal.malformed.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        // Frames share the connection's read buffer; a small one must not keep a large one alive.
        let frames = parts
            .iter()
            .map(|part| Bytes::copy_from_slice(part))
            .collect();
        self.put(DealerEvent::Message(frames));
        Ok(())
    }

    fn put(&mut self, event: DealerEvent) {
        if let Err((event, SendError::Full)) = self.inbox.push(event) {
            self.held = Some(event);
        }
    }

    /// Moves a held event to the inbox. Returns whether there is room for more.
    fn flush_held(&mut self) -> bool {
        if let Some(event) = self.held.take() {
            self.put(event);
        }
        self.held.is_none()
    }

    /// Puts a change of state into the inbox, waiting for room: none may be left out.
    async fn tell(&mut self, event: DealerEvent) {
        while !self.flush_held() {
            self.inbox.stall();
            if self.flush_held() || self.signal.stopping().is_some() {
                break;
            }
            self.signal.raised().await;
        }
        self.put(event);
    }
}

/// Resolves when the handles are gone.
async fn stopped(signal: &Signal) {
    while signal.stopping().is_none() {
        signal.raised().await;
    }
}

/// One attempt to connect.
async fn connect(options: &ConnectOptions, signal: &Arc<Signal>) -> Result<Link, ZmqError> {
    let mut socket_options = SocketOptions::default();
    let identity = PeerIdentity::try_from(options.identity.as_bytes())?;
    socket_options.peer_identity(identity);
    socket_options.connect_timeout(ATTEMPT);
    let mut socket = DealerSocket::with_options(socket_options);
    let monitor = socket.monitor();
    socket.connect(&options.endpoint.to_string()).await?;
    let (outgoing, incoming) = socket.split();
    Ok(Link {
        incoming,
        outgoing,
        monitor,
        load: Load::new(options.tuning.in_flight, Some(Arc::clone(signal))),
    })
}

fn check(event: Option<SocketEvent>) -> Result<(), Lost> {
    match event {
        None | Some(SocketEvent::Disconnected(_)) => Err(Lost),
        Some(_) => Ok(()),
    }
}
