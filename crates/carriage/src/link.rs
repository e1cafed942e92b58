//! The connection to a node and its handshake: how far it is, and where it goes from there.

use std::time::Duration;

use bytes::Bytes;
use gorgone_crypto::PublicKey;
use gorgone_protocol::request::node_state::LinkState;
use gorgone_protocol::{Dialect, Moment};
use gorgone_session::{Client, ClientConfig, ClientEvent, SERVER_KEY_QUESTION, read_server_key};

use super::{Effect, Node, Product, Setup, Work};

/// How far the connection is. The session goes along with the RSA work that is done for it.
pub(super) enum Link {
    /// The definition is being read.
    Resolving {
        /// Of the connection before.
        session: Option<Box<Client>>,
    },
    /// Until the next attempt.
    Waiting {
        /// When that is.
        until: Duration,
        /// Of the connection before: the node may still know it.
        session: Option<Box<Client>>,
    },
    /// The connection is being made.
    Dialling(Plan),
    /// It was asked for its public key.
    Asking {
        /// What to greet it with.
        setup: Box<Setup>,
        /// When to go on without an answer.
        until: Duration,
    },
    /// HELO is being made, or KEY opened: the session is with the work of this number.
    Working(u64),
    /// HELO was sent.
    Greeting {
        /// Without a key yet.
        session: Box<Client>,
        /// When the node has been silent for too long.
        until: Duration,
    },
    /// There is a key, or none is needed; PING was sent.
    Proving {
        /// How to speak.
        voice: Voice,
        /// When the node has been silent for too long.
        until: Duration,
        /// The key is from a connection before: it may be forgotten.
        resumed: bool,
    },
    /// The node answers.
    Talking {
        /// How to speak.
        voice: Voice,
        /// Since when.
        since: Duration,
    },
}

/// How to speak over a connection.
pub(super) enum Voice {
    /// Under the key of a session.
    Sealed(Box<Client>),
    /// In clear, with somebody who is trusted.
    Plain,
}

impl Voice {
    pub(super) fn seal(&self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Sealed(session) => session.seal(text),
            Self::Plain => Some(text.as_bytes().to_vec()),
        }
    }

    fn read(&mut self, frame: &Bytes) -> ClientEvent {
        match self {
            Self::Sealed(session) => session.read(frame),
            Self::Plain => ClientEvent::Message(frame.to_vec()),
        }
    }

    fn into_session(self) -> Option<Box<Client>> {
        match self {
            Self::Sealed(session) => Some(session),
            Self::Plain => None,
        }
    }
}

/// What to do with a connection once it stands.
pub(super) enum Plan {
    /// Speak at once, in clear.
    Trust,
    /// Go on with the session of before: the node may know it.
    Resume(Box<Client>),
    /// Begin from nothing.
    Greet(Box<Setup>),
}

impl Link {
    pub(super) fn deadline(&self) -> Option<Duration> {
        match self {
            Self::Waiting { until, .. }
            | Self::Asking { until, .. }
            | Self::Greeting { until, .. }
            | Self::Proving { until, .. } => Some(*until),
            Self::Resolving { .. }
            | Self::Dialling(_)
            | Self::Working(_)
            | Self::Talking { .. } => None,
        }
    }

    /// The session, where it is here and has or had a key.
    fn into_session(self) -> Option<Box<Client>> {
        match self {
            Self::Resolving { session } | Self::Waiting { session, .. } => session,
            Self::Dialling(Plan::Resume(session)) => Some(session),
            Self::Proving { voice, .. } | Self::Talking { voice, .. } => voice.into_session(),
            Self::Dialling(Plan::Greet(_) | Plan::Trust)
            | Self::Asking { .. }
            | Self::Working(_)
            | Self::Greeting { .. } => None,
        }
    }
}

impl Node {
    /// Takes the link and leaves the one that waits for nothing in its place.
    fn take_link(&mut self) -> Link {
        std::mem::replace(&mut self.link, Link::Resolving { session: None })
    }

    pub(super) fn resolved(&mut self, setup: Result<Box<Setup>, String>, now: Moment) {
        let Link::Resolving { session } = &mut self.link else {
            return;
        };
        let session = session.take();
        match setup {
            Ok(setup) => {
                self.dialect = setup.dialect;
                self.link = Link::Dialling(match session {
                    Some(session) => Plan::Resume(session),
                    None => Plan::Greet(setup),
                });
                self.effects.push_back(Effect::Dial);
            }
            Err(problem) => {
                self.rest(None, now);
                self.show(LinkState::Down, Some(problem), now);
            }
        }
    }

    /// There is nothing to read in a definition.
    pub(super) fn trusted(&mut self) {
        if matches!(self.link, Link::Resolving { .. }) {
            self.dialect = Dialect::Seed;
            self.link = Link::Dialling(Plan::Trust);
            self.effects.push_back(Effect::Dial);
        }
    }

    pub(super) fn connected(&mut self, now: Moment) {
        match self.take_link() {
            Link::Dialling(Plan::Trust) => self.prove(Voice::Plain, false, now),
            Link::Dialling(Plan::Resume(session)) => {
                self.prove(Voice::Sealed(session), true, now);
            }
            Link::Dialling(Plan::Greet(setup)) => {
                let until = now.monotonic + self.settings.greeting / 2;
                self.link = Link::Asking { setup, until };
                let question = SERVER_KEY_QUESTION.to_vec();
                self.effects.push_back(Effect::Send(question));
            }
            other => self.link = other,
        }
    }

    /// The node named its public key, or did not: that of old daemons which do not know the
    /// question must be known.
    fn key_named(&mut self, setup: Box<Setup>, named: Option<PublicKey>, now: Moment) {
        let key = match (&setup.server_key, named) {
            (Some(known), Some(named)) if *known != named => {
                let words = format!(
                    "its public key is another one than in {}: {} and not {}. Somebody may have \
                     put himself in its place; if it has a new key, put that there",
                    setup.known_from,
                    named.thumbprint(),
                    known.thumbprint()
                );
                return self.part(LinkState::KeyChanged, words, now);
            }
            (Some(known), _) => known.clone(),
            (None, Some(named)) => {
                self.effects.push_back(Effect::Pin(named.clone()));
                named
            }
            (None, None) => {
                let words = "server_pubkey is missing in its definition, and it does not tell its \
                             public key: name the file of its key, or write its PEM";
                return self.part(LinkState::Refused, words.to_owned(), now);
            }
        };
        let Setup {
            hostname,
            key: own,
            vector,
            keysize,
            dialect,
            ..
        } = *setup;
        let config = ClientConfig {
            hostname,
            server_key: key,
            key: own,
            vector,
            keysize,
        };
        let session = Box::new(Client::with_dialect(config, dialect));
        self.work(session, Work::Hello);
    }

    /// Hands the session over to be worked on.
    fn work(&mut self, session: Box<Client>, work: Work) {
        self.work += 1;
        self.link = Link::Working(self.work);
        self.effects
            .push_back(Effect::Work(self.work, session, work));
    }

    pub(super) fn worked(
        &mut self,
        number: u64,
        session: Box<Client>,
        product: Product,
        now: Moment,
    ) {
        if !matches!(self.link, Link::Working(current) if current == number) {
            return;
        }
        match product {
            Product::Hello(Ok(frame)) => {
                let until = now.monotonic + self.settings.greeting;
                self.link = Link::Greeting { session, until };
                self.effects.push_back(Effect::Send(frame));
            }
            Product::Hello(Err(problem)) => {
                let why = format!("a key cannot be used: {problem}");
                self.part(LinkState::Down, why, now);
            }
            Product::Opened(ClientEvent::Established) => {
                self.prove(Voice::Sealed(session), false, now);
            }
            Product::Opened(ClientEvent::Refused) => {
                let ours = session.thumbprint();
                let words = format!(
                    "the node refuses the handshake; check that its authorized_clients has our \
                     thumbprint {ours} and that server_pubkey is its public key"
                );
                self.part(LinkState::Refused, words, now);
            }
            Product::Opened(_) => {
                // Something else, such as a notice under a session that we gave up.
                let until = now.monotonic + self.settings.greeting;
                self.link = Link::Greeting { session, until };
            }
        }
    }

    /// Asks under the session's key: the answer shows that the node has it, too.
    fn prove(&mut self, voice: Voice, resumed: bool, now: Moment) {
        let until = now.monotonic + self.settings.greeting;
        self.link = Link::Proving {
            voice,
            until,
            resumed,
        };
        self.ping(now);
    }

    pub(super) fn frame(&mut self, frame: Bytes, now: Moment) {
        match self.take_link() {
            Link::Asking { setup, .. } => self.key_named(setup, read_server_key(&frame), now),
            Link::Greeting { session, .. } => self.work(session, Work::Open(frame)),
            Link::Proving {
                mut voice,
                until,
                resumed,
            } => match (voice.read(&frame), voice) {
                (ClientEvent::Refused, Voice::Sealed(session)) if resumed => {
                    self.work(session, Work::Hello);
                }
                (event, voice) => {
                    self.link = Link::Proving {
                        voice,
                        until,
                        resumed,
                    };
                    self.read(event, now);
                }
            },
            Link::Talking { mut voice, since } => match (voice.read(&frame), voice) {
                // It has forgotten us. One that does so again and again is given time.
                (ClientEvent::Refused, Voice::Sealed(session))
                    if now.monotonic >= since + self.settings.reconnect =>
                {
                    let why = "the node has forgotten the session";
                    self.fall_back(why, now);
                    self.show(LinkState::Connecting, Some(why.to_owned()), now);
                    self.work(session, Work::Hello);
                }
                (event, voice) => {
                    self.link = Link::Talking { voice, since };
                    self.read(event, now);
                }
            },
            // Nothing was asked that it could answer, or the session is with the RSA.
            other => self.link = other,
        }
    }

    fn read(&mut self, event: ClientEvent, now: Moment) {
        match event {
            ClientEvent::Message(text) => {
                self.pings.heard(now.monotonic);
                self.said(&text, now);
            }
            ClientEvent::Refused => {
                let why = "the node does not know the session that it has just agreed to";
                self.part(LinkState::Refused, why.to_owned(), now);
            }
            // Forged, or from before: pings find out whether it is worse.
            ClientEvent::Unreadable | ClientEvent::Established | ClientEvent::Rotated => {}
        }
    }

    /// The first answer came: from here on there is nothing that it may not be asked.
    pub(super) fn proved(&mut self, now: Moment) {
        match self.take_link() {
            Link::Proving { voice, .. } => {
                let since = now.monotonic;
                self.link = Link::Talking { voice, since };
            }
            other => {
                self.link = other;
                return;
            }
        }
        let back = self.carry.back(self.dedups.unwrap_or(false));
        self.effects.extend(back.map(Effect::Carried));
        self.sync.wanted(now.monotonic);
    }

    /// The connection broke.
    pub(super) fn lost(&mut self, why: String, now: Moment) {
        if matches!(self.link, Link::Waiting { .. } | Link::Resolving { .. }) {
            return;
        }
        let session = self.take_link();
        self.end(session, &why, now);
        self.show(LinkState::Down, Some(why), now);
    }

    /// We end the connection.
    pub(super) fn part(&mut self, shown: LinkState, why: String, now: Moment) {
        self.effects.push_back(Effect::HangUp);
        let link = match self.take_link() {
            talking @ Link::Talking { .. } => talking,
            // A session that did not help is not tried again.
            _ => Link::Resolving { session: None },
        };
        self.end(link, &why, now);
        self.show(shown, Some(why), now);
    }

    fn end(&mut self, link: Link, why: &str, now: Moment) {
        if let Link::Talking { since, .. } = &link
            && now.monotonic >= *since + self.settings.reconnect_max.min(STEADY)
        {
            self.backoff.reset();
        }
        self.fall_back(why, now);
        self.rest(link.into_session(), now);
    }

    /// Waits for the next attempt.
    fn rest(&mut self, session: Option<Box<Client>>, now: Moment) {
        let until = now.monotonic + self.backoff.next();
        self.link = Link::Waiting { until, session };
    }

    /// Nothing goes to the node any more: what is under way goes back, or is kept.
    fn fall_back(&mut self, why: &str, now: Moment) {
        let dedups = self.dedups.unwrap_or(false);
        let back = self.carry.lost(dedups, why, now.monotonic);
        self.effects.extend(back.map(Effect::Carried));
        self.refuse_questions(why);
        self.sync.lost(now.monotonic);
        self.pings.missed();
    }

    pub(super) fn link_timeout(&mut self, now: Moment) {
        if self.link.deadline().is_none_or(|at| now.monotonic < at) {
            return;
        }
        match self.take_link() {
            Link::Waiting { session, .. } => {
                self.link = Link::Resolving { session };
                self.effects.push_back(Effect::Resolve);
            }
            Link::Asking { setup, .. } => self.key_named(setup, None, now),
            // A session that is of no use any more, as far as we can see.
            Link::Proving {
                voice: Voice::Sealed(session),
                resumed: true,
                ..
            } => {
                self.pings.missed();
                self.work(session, Work::Hello);
            }
            Link::Greeting { .. } | Link::Proving { .. } => self.part(
                LinkState::Down,
                "the node does not answer the handshake; an old connection of ours that it \
                 believes alive would be one reason, the wrong cipher, keysize or vector another"
                    .to_owned(),
                now,
            ),
            other => self.link = other,
        }
    }

    /// Connects anew with what the definition says now.
    pub(super) fn renew(&mut self, now: Moment) {
        let why = "its definition or the configuration was read again";
        if !matches!(self.link, Link::Waiting { .. } | Link::Resolving { .. }) {
            self.effects.push_back(Effect::HangUp);
            self.fall_back(why, now);
        }
        self.backoff.reset();
        self.link = Link::Resolving { session: None };
        self.effects.push_back(Effect::Resolve);
        self.show(LinkState::Connecting, None, now);
    }
}

/// A connection that lasted so long shows that all is well again.
const STEADY: Duration = Duration::from_secs(10);
