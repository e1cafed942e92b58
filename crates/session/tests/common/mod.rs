//! A server with its RSA done in place, and keys to use with it.

#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::time::Duration;

use bytes::Bytes;
use gorgone_crypto::{PrivateKey, PublicKey};
use gorgone_protocol::{Dialect, Identity, Moment};
use gorgone_session::{
    Client, ClientConfig, ClientEvent, Effect, Event, HANDSHAKE_ISSUE, HelloJob, Record, Refusal,
    Server, ServerConfig, StoredSession,
};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;

pub(crate) const START: Moment = Moment {
    unix_ms: 1_800_000_000_000,
    monotonic: Duration::from_secs(100),
};

pub(crate) fn recording(name: &str) -> Value {
    let path = format!(
        "{}/../../integration-tests/vectors/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn recorded_key(name: &str) -> PrivateKey {
    PrivateKey::from_pem(recording("seed-dialect")["keys"][name].as_str().unwrap()).unwrap()
}

pub(crate) fn client_key() -> PrivateKey {
    recorded_key("client.priv")
}

pub(crate) fn server_key() -> PrivateKey {
    recorded_key("poller.priv")
}

pub(crate) fn peer(name: &str) -> Identity {
    Identity::new(name.as_bytes())
}

pub(crate) fn config() -> ServerConfig {
    ServerConfig {
        hostname: "server".to_owned(),
        authorized: [client_key().public().thumbprint()].into(),
        ..ServerConfig::default()
    }
}

pub(crate) fn client_config(key: PrivateKey, server: PublicKey) -> ClientConfig {
    ClientConfig {
        hostname: "client".to_owned(),
        server_key: server,
        key,
        vector: *b"0123456789012345",
        keysize: 32,
    }
}

/// A server, its key, its clock, and what came out of it that is no frame and no message.
pub(crate) struct Host {
    pub(crate) server: Server,
    pub(crate) key: PrivateKey,
    pub(crate) rng: StdRng,
    pub(crate) now: Moment,
    pub(crate) jobs: Vec<HelloJob>,
    pub(crate) records: Vec<Record>,
    pub(crate) refused: Vec<Refusal>,
    /// Leave the jobs where they are.
    pub(crate) hold_jobs: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Out {
    Frame(Identity, Vec<u8>),
    Message(Identity, String),
}

impl Host {
    pub(crate) fn new(config: ServerConfig) -> Self {
        Self::with_key(config, server_key())
    }

    pub(crate) fn with_key(config: ServerConfig, key: PrivateKey) -> Self {
        Self {
            server: Server::new(config),
            key,
            rng: StdRng::seed_from_u64(7),
            now: START,
            jobs: Vec::new(),
            records: Vec::new(),
            refused: Vec::new(),
            hold_jobs: false,
        }
    }

    pub(crate) fn restored(
        config: ServerConfig,
        sessions: Vec<StoredSession>,
        now: Moment,
    ) -> Self {
        let mut host = Self::new(config);
        host.now = now;
        host.server.restore(sessions, now);
        assert_eq!(host.collect(), []);
        host
    }

    pub(crate) fn wait(&mut self, delay: Duration) -> Vec<Out> {
        self.now = self.now.after(delay);
        self.handle(Event::Timeout)
    }

    pub(crate) fn say(&mut self, name: &str, frame: &[u8]) -> Vec<Out> {
        self.handle(Event::Received {
            peer: peer(name),
            frame: Bytes::copy_from_slice(frame),
        })
    }

    pub(crate) fn handle(&mut self, event: Event) -> Vec<Out> {
        self.server.handle(event, self.now);
        self.collect()
    }

    fn collect(&mut self) -> Vec<Out> {
        let mut out = Vec::new();
        while let Some(effect) = self.server.poll_effect() {
            match effect {
                Effect::OpenHello(job) if self.hold_jobs => self.jobs.push(job),
                Effect::OpenHello(job) => {
                    let id = job.id();
                    let outcome = job.run(&self.key, &mut self.rng);
                    self.server
                        .handle(Event::HelloOpened { job: id, outcome }, self.now);
                }
                Effect::Send { peer, frame } => out.push(Out::Frame(peer, frame)),
                Effect::Message { peer, text, .. } => {
                    out.push(Out::Message(peer, String::from_utf8(text).unwrap()));
                }
                Effect::Record(record) => self.records.push(record),
                Effect::Refused { why, .. } => self.refused.push(why),
            }
        }
        out
    }

    /// The frames to one peer.
    pub(crate) fn frame(&mut self, name: &str, frame: &[u8]) -> Vec<u8> {
        match self.say(name, frame).as_slice() {
            [Out::Frame(to, frame)] if *to == peer(name) => frame.clone(),
            other => panic!("not one frame to {name}: {other:?}"),
        }
    }

    /// The last session that was written down.
    pub(crate) fn stored(&self) -> StoredSession {
        let open = self.records.iter().rev().find_map(|record| match record {
            Record::Open(stored) => Some(stored.clone()),
            _ => None,
        });
        open.expect("no session was written down")
    }

    pub(crate) fn assert_refuses(&mut self, name: &str, frame: &[u8]) -> Refusal {
        let before = self.refused.len();
        assert_eq!(self.frame(name, frame), HANDSHAKE_ISSUE.as_bytes());
        assert_eq!(self.refused.len(), before + 1);
        self.refused[before].clone()
    }

    pub(crate) fn assert_hears(&mut self, name: &str, frame: &[u8], text: &str) {
        assert_eq!(
            self.say(name, frame),
            [Out::Message(peer(name), text.to_owned())]
        );
    }
}

/// A client under its own identity.
pub(crate) struct Guest {
    pub(crate) client: Client,
    pub(crate) name: &'static str,
    rng: StdRng,
}

impl Guest {
    pub(crate) fn new(name: &'static str) -> Self {
        Self::with(
            name,
            Dialect::Seed,
            client_config(client_key(), server_key().public().clone()),
        )
    }

    pub(crate) fn with(name: &'static str, dialect: Dialect, config: ClientConfig) -> Self {
        Self {
            client: Client::with_dialect(config, dialect),
            name,
            rng: StdRng::seed_from_u64(11),
        }
    }

    /// A guest with a session that it has proved.
    pub(crate) fn at(host: &mut Host, name: &'static str) -> Self {
        let mut guest = Self::new(name);
        guest.greet(host);
        guest.talks(host);
        guest
    }

    pub(crate) fn hello(&mut self) -> Vec<u8> {
        self.client.hello(&mut self.rng).unwrap()
    }

    pub(crate) fn hear(&mut self, frame: &[u8]) -> ClientEvent {
        self.client.handle(frame, &mut self.rng)
    }

    pub(crate) fn seal(&self, text: &str) -> Vec<u8> {
        self.client.seal(text).expect("no session")
    }

    /// A whole handshake.
    pub(crate) fn greet(&mut self, host: &mut Host) {
        let hello = self.hello();
        let key = host.frame(self.name, &hello);
        assert_eq!(self.hear(&key), ClientEvent::Established);
    }

    /// A message there, and one back.
    pub(crate) fn talks(&mut self, host: &mut Host) {
        let request = "[PING] [] [] {}";
        host.assert_hears(self.name, &self.seal(request), request);
        let answer = "[PONG] [] [] {}";
        let sealed = host.server.seal(&peer(self.name), answer, host.now);
        assert_eq!(
            self.hear(&sealed.expect("no session")),
            ClientEvent::Message(answer.into())
        );
    }
}
