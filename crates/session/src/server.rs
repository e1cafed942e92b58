//! The server's side: who may speak, and under which key.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gorgone_protocol::{Dialect, Identity, Moment, Thumbprint};

use crate::handshakes::{Handshakes, Running, Waiting};
use crate::hello::{Hello, Offer};
use crate::peer::{Live, Offered, Opened, PARENT, Peer};
use crate::{
    Effect, Event, HANDSHAKE_ISSUE, HelloJob, HelloOutcome, JobId, Record, Refusal,
    SERVER_KEY_QUESTION, ServerConfig, StoredSession, envelope, server_key,
};

/// How often silent sessions are looked for.
const SWEEP: Duration = Duration::from_secs(60);

/// How coarse `last_seen` is written down, in seconds: a session may end that much early after
/// a restart.
const TOUCH: u64 = 60;

/// Sessions with all peers, and the handshakes that lead to them. See [`crate`] for the
/// conversation and `peer.rs` for the states of a peer.
///
/// What a frame is, is found out in this order: a message under the peer's live key; a message
/// under a key that was offered to it, which makes that key the live one; a handshake; nothing,
/// which is answered with `handshake issue`. Before any RSA is done, the thumbprint must be
/// authorised and the bounds must allow it.
///
/// A key is written down when it is proved, not when it is handed out: an unproved key is
/// worth nothing to its peer, and whoever knows an authorised public key could otherwise fill
/// the store. The record precedes the first message, so a session is at least as durable as
/// anything that was acknowledged under it. A server that restarts between KEY and the first
/// message answers that message with `handshake issue`.
///
/// Fetch all effects after each event.
#[derive(Debug)]
pub struct Server {
    config: ServerConfig,
    hostname: Arc<str>,
    authorized: HashSet<Arc<Thumbprint>>,
    peers: HashMap<Identity, Peer>,
    live: usize,
    /// Who pinged lately; their `parent_until` decides.
    parents: HashSet<Identity>,
    handshakes: Handshakes,
    /// Offers in the order of their end: when, to whom, which.
    offers: VecDeque<(Duration, Identity, u64)>,
    next_offer: u64,
    next_sweep: Duration,
    effects: VecDeque<Effect>,
}

impl Server {
    /// A server without sessions.
    #[must_use]
    pub fn new(config: ServerConfig) -> Self {
        let mut server = Self {
            hostname: Arc::default(),
            authorized: HashSet::new(),
            peers: HashMap::new(),
            live: 0,
            parents: HashSet::new(),
            handshakes: Handshakes::new(&config),
            offers: VecDeque::new(),
            next_offer: 0,
            next_sweep: Duration::ZERO,
            effects: VecDeque::new(),
            config: ServerConfig::default(),
        };
        server.reconfigure(config);
        server
    }

    /// Takes up the sessions of an earlier process. Those that have expired meanwhile, and
    /// those whose key is not authorised any more, are closed instead.
    pub fn restore(&mut self, sessions: Vec<StoredSession>, now: Moment) {
        let unix = now.unix();
        for stored in sessions {
            let Ok(thumbprint) = self.authorize(&stored.identity, &stored.thumbprint) else {
                self.effects
                    .push_back(Effect::Record(Record::Close(stored.identity)));
                continue;
            };
            let mut live = Live {
                key: stored.key,
                dialect: stored.dialect,
                thumbprint,
                created: stored.created,
                last_seen: stored.last_seen,
                recorded: stored.last_seen,
                parent_until: stored.parent_until,
            };
            live.settle(unix);
            if live.expired(unix, self.config.ttl) {
                self.effects
                    .push_back(Effect::Record(Record::Close(stored.identity)));
                continue;
            }
            if live.parent_until > unix {
                self.parents.insert(stored.identity.clone());
            }
            let before = self.peers.insert(stored.identity, Peer::Live(live));
            self.live += usize::from(before.is_none());
        }
        self.next_sweep = now.monotonic.saturating_add(SWEEP);
    }

    /// Takes a changed configuration. Sessions whose key is not authorised any more end at
    /// once; the others stay.
    pub fn reconfigure(&mut self, config: ServerConfig) {
        let mut authorized: HashSet<Arc<Thumbprint>> = HashSet::new();
        for thumbprint in &config.authorized {
            let shared = self.authorized.get(thumbprint).cloned();
            authorized.insert(shared.unwrap_or_else(|| Arc::new(thumbprint.clone())));
        }
        self.authorized = authorized;
        self.hostname = config.hostname.as_str().into();
        self.handshakes.reconfigure(&config);
        self.config = config;
        let (authorized, effects) = (&self.authorized, &mut self.effects);
        let reserved = &self.config.reserved;
        self.peers.retain(|identity, peer| {
            let stays = authorized.contains(peer.thumbprint())
                && reserved
                    .get(identity)
                    .is_none_or(|key| key == peer.thumbprint());
            if !stays && peer.live().is_some() {
                effects.push_back(Effect::Record(Record::Close(identity.clone())));
            }
            stays
        });
        self.live = self.peers.values().filter_map(Peer::live).count();
    }

    /// Takes note of an event.
    pub fn handle(&mut self, event: Event, now: Moment) {
        self.advance(now);
        match event {
            Event::Received { peer, frame } => self.received(peer, &frame, now),
            Event::HelloOpened { job, outcome } => self.hello_opened(job, outcome, now),
            Event::Timeout => {}
        }
        self.start_handshakes(now);
    }

    /// How many peers have a live session.
    #[must_use]
    pub const fn sessions(&self) -> usize {
        self.live
    }

    /// The next thing that is to be done.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// How long to wait for an event before [`Event::Timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self, now: Moment) -> Option<Duration> {
        let offer = self.offers.front().map(|(deadline, _, _)| *deadline);
        let sweep = (self.live > 0).then_some(self.next_sweep);
        [self.handshakes.timeout(), offer, sweep]
            .into_iter()
            .flatten()
            .min()
            .map(|at| at.saturating_sub(now.monotonic))
    }

    /// Wraps a text for a peer; nothing, if it has no session.
    #[must_use]
    pub fn seal(&self, peer: &Identity, text: &str, now: Moment) -> Option<Vec<u8>> {
        let live = self.live(peer, now)?;
        Some(envelope::seal(&live.key, live.dialect, text))
    }

    /// What was sealed for a peer under the key that it has now; nothing, if it was not.
    #[must_use]
    pub fn unseal(&self, peer: &Identity, frame: &[u8]) -> Option<Vec<u8>> {
        let live = self.peers.get(peer)?.live()?;
        envelope::open(&live.key, live.dialect, frame)
    }

    /// How a peer with a live session spells things.
    #[must_use]
    pub fn dialect(&self, peer: &Identity) -> Option<Dialect> {
        Some(self.peers.get(peer)?.live()?.dialect)
    }

    /// Whoever pinged within the last 30 minutes.
    pub fn parents(&mut self, now: Moment) -> Vec<Identity> {
        let (peers, unix, ttl) = (&self.peers, now.unix(), self.config.ttl);
        self.parents.retain(|identity| {
            peers
                .get(identity)
                .and_then(Peer::live)
                .is_some_and(|live| live.parent_until > unix && !live.expired(unix, ttl))
        });
        self.parents.iter().cloned().collect()
    }

    /// Takes note that a message was a PING: its sender counts as a parent from now on.
    pub fn note_ping(&mut self, peer: &Identity, now: Moment) {
        let unix = now.unix();
        let Some(live) = self.peers.get_mut(peer).and_then(Peer::live_mut) else {
            return;
        };
        let is_news = live.parent_until <= unix;
        live.parent_until = unix.saturating_add(PARENT);
        if is_news {
            self.parents.insert(peer.clone());
            live.recorded = live.last_seen;
            self.effects.push_back(live.touch(peer));
        }
    }

    /// How many sessions are live.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.live
    }

    /// Whether no session is live.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.live == 0
    }

    fn live(&self, peer: &Identity, now: Moment) -> Option<&Live> {
        self.peers
            .get(peer)?
            .live()
            .filter(|live| !live.expired(now.unix(), self.config.ttl))
    }

    fn received(&mut self, peer: Identity, frame: &Bytes, now: Moment) {
        if self.live(&peer, now).is_none() {
            self.end(&peer);
        }
        match self
            .peers
            .get(&peer)
            .map_or(Opened::Not, |known| known.open(frame))
        {
            Opened::Message(text) => self.message(peer, text, now),
            Opened::Proved(text) => match self.prove(&peer, now) {
                Ok(()) => self.message(peer, text, now),
                Err(why) => self.refuse(peer, why),
            },
            Opened::Not => match self.greeting(&peer, frame) {
                Ok(Some(frame)) => self.effects.push_back(Effect::Send { peer, frame }),
                Ok(None) => {}
                Err(why) => self.refuse(peer, why),
            },
        }
    }

    fn message(&mut self, peer: Identity, text: Vec<u8>, now: Moment) {
        let Some(live) = self.peers.get_mut(&peer).and_then(Peer::live_mut) else {
            return;
        };
        live.last_seen = now.unix();
        if live.last_seen.abs_diff(live.recorded) >= TOUCH {
            live.recorded = live.last_seen;
            self.effects.push_back(live.touch(&peer));
        }
        self.effects.push_back(Effect::Message {
            dialect: live.dialect,
            thumbprint: Arc::clone(&live.thumbprint),
            peer,
            text,
        });
    }

    /// The offered key becomes the live one.
    fn prove(&mut self, peer: &Identity, now: Moment) -> Result<(), Refusal> {
        let Some(known) = self.peers.remove(peer) else {
            return Err(Refusal::Nonsense);
        };
        let was_live = known.live().is_some();
        let thumbprint = known
            .offered()
            .map(|offered| Arc::clone(&offered.thumbprint));
        let allowed = thumbprint
            .map_or(Err(Refusal::Nonsense), |one| self.authorize(peer, &one))
            .and_then(|_| self.room(was_live));
        if let Err(why) = allowed {
            if let Some(rest) = known.withdraw() {
                self.peers.insert(peer.clone(), rest);
            }
            return Err(why);
        }
        let proved = known.prove(now.unix());
        if let Some(live) = proved.live() {
            let stored = live.stored(peer);
            self.effects.push_back(Effect::Record(Record::Open(stored)));
        }
        self.live += usize::from(!was_live);
        self.peers.insert(peer.clone(), proved);
        Ok(())
    }

    /// Tries a frame as the beginning of a handshake; what is to be answered at once, if
    /// anything is. Whatever is cheap is checked first, and RSA is left for later.
    fn greeting(&mut self, peer: &Identity, frame: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
        if frame.len() > self.config.max_hello {
            return Err(Refusal::TooLong { bytes: frame.len() });
        }
        if frame.trim_ascii() == SERVER_KEY_QUESTION {
            let pem = self.config.public_pem.as_ref().ok_or(Refusal::Nonsense)?;
            return Ok(Some(server_key::write(pem)));
        }
        if !frame.starts_with(b"[") {
            return Err(Refusal::Nonsense);
        }
        self.handshakes.check(peer)?;
        self.room(self.dialect(peer).is_some())?;
        let hello = Hello::parse(frame)?;
        let thumbprint = self.authorize(peer, &hello.client.thumbprint())?;
        self.handshakes.enqueue(Waiting {
            peer: peer.clone(),
            thumbprint,
            hello,
        })?;
        Ok(None)
    }

    fn authorize(
        &self,
        peer: &Identity,
        thumbprint: &Thumbprint,
    ) -> Result<Arc<Thumbprint>, Refusal> {
        let known = self.authorized.get(thumbprint).cloned();
        let known = known.ok_or_else(|| Refusal::Unauthorized(thumbprint.clone()))?;
        match self.config.reserved.get(peer) {
            Some(owner) if owner != thumbprint => Err(Refusal::Reserved(thumbprint.clone())),
            _ => Ok(known),
        }
    }

    const fn room(&self, has_place: bool) -> Result<(), Refusal> {
        if has_place || self.live < self.config.max_sessions {
            Ok(())
        } else {
            Err(Refusal::Full)
        }
    }

    fn start_handshakes(&mut self, now: Moment) {
        while let Some((id, hello)) = self.handshakes.start(now.monotonic) {
            self.effects.push_back(Effect::OpenHello(HelloJob {
                id,
                hello,
                hostname: Arc::clone(&self.hostname),
                keysize: self.config.keysize,
                vector: self.config.vector,
            }));
        }
    }

    fn hello_opened(&mut self, job: JobId, outcome: HelloOutcome, now: Moment) {
        let Some(running) = self.handshakes.take(job) else {
            return;
        };
        let allowed = outcome.0.and_then(|offer| {
            self.authorize(&running.peer, &running.thumbprint)?;
            self.room(self.dialect(&running.peer).is_some())?;
            Ok(offer)
        });
        match allowed {
            Ok(offer) => self.offer(running, offer, now),
            Err(why) => self.refuse(running.peer, why),
        }
    }

    fn offer(&mut self, running: Running, offer: Offer, now: Moment) {
        while self.offers.len() >= self.config.max_offered.max(1) {
            self.withdraw_oldest();
        }
        let number = self.next_offer;
        self.next_offer += 1;
        let deadline = now.monotonic.saturating_add(self.config.offered_ttl);
        self.offers
            .push_back((deadline, running.peer.clone(), number));
        let offered = Offered {
            number,
            key: offer.key,
            dialect: running.dialect,
            thumbprint: running.thumbprint,
        };
        let known = match self.peers.remove(&running.peer) {
            Some(known) => known.offer(offered),
            None => Peer::Offered(Box::new(offered)),
        };
        self.peers.insert(running.peer.clone(), known);
        self.effects.push_back(Effect::Send {
            peer: running.peer,
            frame: offer.frame,
        });
    }

    fn withdraw_oldest(&mut self) {
        let Some((_, peer, number)) = self.offers.pop_front() else {
            return;
        };
        let is_open = |known: &Peer| known.offered().is_some_and(|one| one.number == number);
        if self.peers.get(&peer).is_some_and(is_open)
            && let Some(rest) = self.peers.remove(&peer).and_then(Peer::withdraw)
        {
            self.peers.insert(peer, rest);
        }
    }

    fn refuse(&mut self, peer: Identity, why: Refusal) {
        self.effects.push_back(Effect::Refused {
            peer: peer.clone(),
            why,
        });
        self.effects.push_back(Effect::Send {
            peer,
            frame: HANDSHAKE_ISSUE.as_bytes().to_vec(),
        });
    }

    /// Ends what time has ended.
    fn advance(&mut self, now: Moment) {
        while let Some(peer) = self.handshakes.overdue(now.monotonic) {
            self.refuse(peer, Refusal::GivenUp);
        }
        while self
            .offers
            .front()
            .is_some_and(|(deadline, _, _)| *deadline <= now.monotonic)
        {
            self.withdraw_oldest();
        }
        if self.next_sweep <= now.monotonic {
            self.next_sweep = now.monotonic.saturating_add(SWEEP);
            self.sweep(now);
        }
    }

    fn sweep(&mut self, now: Moment) {
        let (unix, ttl) = (now.unix(), self.config.ttl);
        let mut silent = Vec::new();
        for (identity, peer) in &mut self.peers {
            if let Some(live) = peer.live_mut() {
                live.settle(unix);
                if live.expired(unix, ttl) {
                    silent.push(identity.clone());
                }
            }
        }
        for identity in &silent {
            self.end(identity);
        }
    }

    /// Ends a peer's session, if it has one. A key that was offered to it stays.
    fn end(&mut self, peer: &Identity) {
        if self.dialect(peer).is_none() {
            return;
        }
        if let Some(Peer::Renewing(_, offered)) = self.peers.remove(peer) {
            self.peers.insert(peer.clone(), Peer::Offered(offered));
        }
        self.live -= 1;
        self.effects
            .push_back(Effect::Record(Record::Close(peer.clone())));
    }
}
