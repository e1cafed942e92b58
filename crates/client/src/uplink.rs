//! A session with a core on another machine that is kept for as long as anybody wants it, and that
//! a module can speak over as if it were the bus.
//!
//! ```text
//! resting ─▶ dialling ─▶ asking its key ─▶ greeting ─KEY─▶ talking ──lost, silent──▶ resting
//!     ▲         └────────── with a session ──────────────────▲ │                        │
//!     │                                            └─forgotten: greeting                │
//!     └─────────────────────────────────────────────────────────────────────────────────┘
//! ```
//! A session outlives its connection: what comes after a cut needs no RSA, unless the other side
//! has forgotten it. What is to be sent while nobody listens is refused; whoever says it keeps it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use gorgone_crypto::{PrivateKey, PublicKey, VECTOR_BYTES};
use gorgone_protocol::request::node_state::LinkState;
use gorgone_protocol::{Endpoint, Headers, Identity};
use gorgone_session::{Client, ClientConfig, ClientEvent, SERVER_KEY_QUESTION, read_server_key};
use gorgone_transport::dial::{self, Dialer, Line, LineEvent, Lines};
use gorgone_transport::{DealerEvent, Frames, SendError};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use crate::wire::{Receiver, Sender};

/// How long the other side may take for a step of the handshake, and for its first word.
const STEP: Duration = Duration::from_secs(10);
/// A session that lasted so long shows that all is well again.
const STEADY: Duration = Duration::from_secs(10);
/// Messages on their way in or out.
const QUEUE: usize = 256;
/// What headers and encryption add to the longest message, at most.
const OVERHEAD: usize = 64 * 1024;

/// Whose public key the other side must have.
pub trait KnownKey: Send + Sync {
    /// The key, where it is known.
    ///
    /// # Errors
    /// When it cannot be read, in words.
    fn get(&self) -> Result<Option<PublicKey>, String>;
    /// Keeps the key that was seen first.
    ///
    /// # Errors
    /// When it cannot be kept, in words.
    fn keep(&self, key: &PublicKey) -> Result<(), String>;
    /// Where it is kept, for people.
    fn place(&self) -> String;
}

/// Whom to speak with, and as whom.
pub struct UplinkOptions {
    /// The core's external endpoint.
    pub endpoint: Endpoint,
    /// The ZeroMQ identity to connect with: the same after a restart.
    pub identity: Identity,
    /// Our key.
    pub key: PrivateKey,
    /// The core's vector.
    pub vector: [u8; VECTOR_BYTES],
    /// The length of its session keys, in bytes.
    pub keysize: usize,
    /// Whose key it must have.
    pub known: Box<dyn KnownKey>,
    /// First wait before a lost connection is made anew; it doubles …
    pub reconnect: Duration,
    /// … up to this. Each wait is shortened by chance, by up to a half.
    pub reconnect_max: Duration,
    /// Longest message of the protocol, in bytes.
    pub max_message: usize,
}

/// How the connection is, and why.
pub type UplinkState = (LinkState, Option<String>);

/// Where messages are put that are to be sent.
#[derive(Clone)]
pub(crate) struct Letters {
    queue: mpsc::Sender<Frames>,
    open: Arc<AtomicBool>,
    hang_up: Arc<Notify>,
}

impl Letters {
    pub(crate) fn send(&self, frames: Frames) -> Result<(), SendError> {
        if !self.open.load(Ordering::Acquire) {
            return Err(SendError::Full);
        }
        self.queue.try_send(frames).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SendError::Full,
            mpsc::error::TrySendError::Closed(_) => SendError::Closed,
        })
    }

    /// The other side does not answer: connect anew, if there is a connection.
    pub(crate) fn hang_up(&self) -> bool {
        let open = self.open.load(Ordering::Acquire);
        if open {
            self.hang_up.notify_one();
        }
        open
    }
}

/// Begins to connect.
pub(crate) fn open(options: UplinkOptions) -> (Receiver, Sender, watch::Receiver<UplinkState>) {
    let (events, receiver) = mpsc::channel(QUEUE);
    let (queue, letters) = mpsc::channel(QUEUE);
    let (state, seen) = watch::channel((LinkState::Connecting, None));
    let open = Arc::new(AtomicBool::new(false));
    let hang_up = Arc::new(Notify::new());
    let (dialer, lines) = dial::dialer(dial::Options {
        lines: 16,
        max_message: options.max_message + OVERHEAD,
        ..dial::Options::default()
    });
    let uplink = Uplink {
        wait: options.reconnect,
        options,
        dialer,
        lines,
        line: None,
        session: None,
        letters,
        events: events.clone(),
        state,
        open: Arc::clone(&open),
    };
    tokio::spawn(uplink.run(events, Arc::clone(&hang_up)));
    let letters = Letters {
        queue,
        open,
        hang_up,
    };
    (Receiver::Uplink(receiver), Sender::Uplink(letters), seen)
}

/// Why an attempt, or a connection, is over.
struct Ended {
    state: LinkState,
    why: String,
}

impl Ended {
    fn new(state: LinkState, why: impl Into<String>) -> Self {
        Self {
            state,
            why: why.into(),
        }
    }

    fn down(why: impl Into<String>) -> Self {
        Self::new(LinkState::Down, why)
    }
}

struct Uplink {
    options: UplinkOptions,
    dialer: Dialer,
    lines: Lines,
    line: Option<Line>,
    /// With a key, or with one that is being agreed on.
    session: Option<Box<Client>>,
    letters: mpsc::Receiver<Frames>,
    events: mpsc::Sender<DealerEvent>,
    state: watch::Sender<UplinkState>,
    open: Arc<AtomicBool>,
    /// The next wait.
    wait: Duration,
}

impl Uplink {
    async fn run(mut self, events: mpsc::Sender<DealerEvent>, hang_up: Arc<Notify>) {
        loop {
            let ended = tokio::select! {
                // Whoever spoke over it has closed it.
                () = events.closed() => break,
                () = hang_up.notified() => Ended::down("it does not answer"),
                ended = self.attempt() => ended,
            };
            self.line = None;
            let was_open = self.open.swap(false, Ordering::AcqRel);
            self.drop_letters();
            self.show(ended.state, Some(ended.why));
            if was_open && events.send(DealerEvent::Disconnected).await.is_err() {
                return;
            }
            let wait = self.wait;
            self.wait = (wait * 2).min(self.options.reconnect_max);
            let shortened = wait.mul_f64(rand::random_range(0.5..=1.0));
            tokio::select! {
                () = events.closed() => return,
                () = tokio::time::sleep(shortened) => {}
            }
        }
        // What was said last still leaves.
        while let Ok(frames) = self.letters.try_recv() {
            self.send(&frames);
        }
    }

    /// What was meant for a connection that is over is said again by whoever said it.
    fn drop_letters(&mut self) {
        while self.letters.try_recv().is_ok() {}
    }

    fn show(&self, state: LinkState, why: Option<String>) {
        self.state.send_if_modified(|shown| {
            let new = (state, why);
            let differs = *shown != new;
            *shown = new;
            differs
        });
    }

    /// Connects, and serves the connection to its end.
    async fn attempt(&mut self) -> Ended {
        let Err(ended) = self.serve().await;
        ended
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, Ended> {
        let options = &self.options;
        let line = self.dialer.dial(&options.endpoint, &options.identity);
        self.line = Some(line.map_err(|error| Ended::down(error.to_string()))?);
        while !matches!(self.event().await?, LineEvent::Connected) {}
        let mut fresh = self.session.is_none();
        if fresh {
            self.greet().await?;
        }
        loop {
            self.connected().await?;
            self.talk(fresh).await?;
            fresh = true;
            // The other side has forgotten the session.
            self.show(
                LinkState::Connecting,
                Some("it has forgotten the session".to_owned()),
            );
            self.open.store(false, Ordering::Release);
            self.drop_letters();
            self.tell(DealerEvent::Disconnected).await?;
            self.greet().await?;
        }
    }

    /// What happens next to our line; lines of before mean nothing any more.
    async fn event(&mut self) -> Result<LineEvent, Ended> {
        loop {
            let Some((id, event)) = self.lines.recv().await else {
                return Err(Ended::down("the connection cannot be made"));
            };
            if self.line.as_ref().is_none_or(|line| line.id() != id) {
                continue;
            }
            return match event {
                LineEvent::Lost(why) => Err(Ended::down(why.to_string())),
                event => Ok(event),
            };
        }
    }

    /// The next frame, at most so long awaited.
    async fn frame(&mut self, patience: Duration) -> Result<Option<Bytes>, Ended> {
        let deadline = Instant::now() + patience;
        loop {
            match tokio::time::timeout_at(deadline, self.event()).await {
                Err(_) => return Ok(None),
                Ok(Ok(LineEvent::Message(frames))) => return Ok(frames.into_iter().next()),
                Ok(Ok(_)) => {}
                Ok(Err(ended)) => return Err(ended),
            }
        }
    }

    async fn tell(&self, event: DealerEvent) -> Result<(), Ended> {
        let told = self.events.send(event).await;
        told.map_err(|_| Ended::down("it was closed"))
    }

    async fn connected(&mut self) -> Result<(), Ended> {
        self.open.store(true, Ordering::Release);
        self.tell(DealerEvent::Connected).await
    }

    /// Agrees on a key. RSA is done in place: nobody else is to be served meanwhile.
    async fn greet(&mut self) -> Result<(), Ended> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => Box::new(Client::new(self.introduce().await?)),
        };
        let hello = session
            .hello(&mut rand::rng())
            .map_err(|error| Ended::down(format!("a key cannot be used: {error}")))?;
        self.put(hello);
        let deadline = Instant::now() + STEP;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(frame) = self.frame(left).await? else {
                return Err(Ended::down(
                    "it does not answer the handshake; an old connection of ours that it believes \
                     alive would be one reason, the wrong keysize or vector another",
                ));
            };
            match session.handle(&frame, &mut rand::rng()) {
                ClientEvent::Established => {
                    self.session = Some(session);
                    return Ok(());
                }
                ClientEvent::Refused => {
                    let words = format!(
                        "it refuses the handshake; check that its authorized_clients has our \
                         thumbprint {} for this node, and that it has the key we know it by",
                        session.thumbprint()
                    );
                    return Err(Ended::new(LinkState::Refused, words));
                }
                // Something under a key of before.
                ClientEvent::Message(_) | ClientEvent::Rotated | ClientEvent::Unreadable => {}
            }
        }
    }

    /// Finds out whose key the other side has.
    async fn introduce(&mut self) -> Result<ClientConfig, Ended> {
        let known = self.options.known.get().map_err(Ended::down)?;
        self.put(SERVER_KEY_QUESTION.to_vec());
        let named = self.frame(STEP / 2).await?;
        let named = named.and_then(|frame| read_server_key(&frame));
        let server_key = match (known, named) {
            (Some(known), Some(named)) if known != named => {
                let words = format!(
                    "its public key is another one than in {}: {} and not {}. Somebody may have \
                     put himself in its place; if it has a new key, put that there",
                    self.options.known.place(),
                    named.thumbprint(),
                    known.thumbprint()
                );
                return Err(Ended::new(LinkState::KeyChanged, words));
            }
            (Some(known), _) => known,
            (None, Some(named)) => {
                self.options.known.keep(&named).map_err(Ended::down)?;
                named
            }
            (None, None) => {
                let words = "it does not tell its public key, and that is not known";
                return Err(Ended::new(LinkState::Refused, words));
            }
        };
        Ok(ClientConfig {
            hostname: self.options.identity.to_text(),
            server_key,
            key: self.options.key.clone(),
            vector: self.options.vector,
            keysize: self.options.keysize,
        })
    }

    /// Carries messages both ways until the other side has forgotten the session.
    async fn talk(&mut self, fresh: bool) -> Result<(), Ended> {
        let since = Instant::now();
        // Whoever speaks over this says something at once: an answer shows that all is well.
        let mut heard = false;
        loop {
            let silent = async {
                if heard {
                    std::future::pending().await
                } else {
                    tokio::time::sleep_until(since + STEP).await
                }
            };
            // Not while what comes in has no room: then nothing is read from the line.
            let room = self.events.clone();
            tokio::select! {
                Some(frames) = self.letters.recv() => self.send(&frames),
                received = async {
                    let place = room.reserve().await;
                    (self.lines.recv().await, place)
                } => {
                    let (Some((id, event)), Ok(place)) = received else {
                        return Err(Ended::down("it was closed"));
                    };
                    if self.line.as_ref().is_none_or(|line| line.id() != id) {
                        continue;
                    }
                    let frame = match event {
                        LineEvent::Message(frames) => frames.into_iter().next(),
                        LineEvent::Connected => None,
                        LineEvent::Lost(why) => return Err(Ended::down(why.to_string())),
                    };
                    let (Some(frame), Some(session)) = (frame, &mut self.session) else {
                        continue;
                    };
                    match session.read(&frame) {
                        ClientEvent::Message(text) => {
                            heard = true;
                            if since.elapsed() >= STEADY {
                                self.wait = self.options.reconnect;
                            }
                            place.send(DealerEvent::Message(parted(text)));
                            self.show(LinkState::Up, None);
                        }
                        // Where it forgets again and again it is given time.
                        ClientEvent::Refused if !fresh || since.elapsed() >= STEADY => {
                            return Ok(());
                        }
                        ClientEvent::Refused => {
                            self.session = None;
                            let words = "it does not know the session that it has agreed to";
                            return Err(Ended::new(LinkState::Refused, words));
                        }
                        ClientEvent::Established | ClientEvent::Rotated | ClientEvent::Unreadable => {}
                    }
                }
                () = silent => {
                    // It may be the session, too, that is of no use any more.
                    self.session = None;
                    return Err(Ended::down(
                        "connected, but it says nothing; an old connection of ours that it believes \
                         alive would be one reason",
                    ));
                }
            }
        }
    }

    fn send(&self, frames: &Frames) {
        let text = frames
            .first()
            .and_then(|text| std::str::from_utf8(text).ok());
        let sealed = text.and_then(|text| self.session.as_ref()?.seal(text));
        if let Some(frame) = sealed {
            self.put(frame);
        }
    }

    fn put(&self, frame: Vec<u8>) {
        if let Some(line) = &self.line
            && line.send(vec![Bytes::from(frame)]).is_err()
        {
            tracing::warn!("the central does not read what it is sent");
        }
    }
}

/// A message as it comes over the bus: with its headers, where it has some, in a second frame.
fn parted(text: Vec<u8>) -> Frames {
    let text = Bytes::from(text);
    let (headers, rest) = Headers::part(&text);
    let mut frames = vec![text.slice_ref(rest)];
    frames.extend(headers.map(|headers| text.slice_ref(headers)));
    frames
}
