//! Any sequence of what may happen to a server and to its clients: frames of strangers and of
//! peers with keys, RSA that ends late or never, timeouts, jumps of the clock, changes of the
//! configuration.
//!
//! ```text
//! input = step { 0xFF 0xFF step }       step = operation argument { byte }
//! ```
#![no_main]

use std::collections::HashSet;
use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gorgone_crypto::{PrivateKey, SessionKey};
use gorgone_fuzz::bounded;
use gorgone_protocol::{Dialect, Identity, Moment};
use gorgone_session::{
    Client, ClientConfig, Effect, Event, HANDSHAKE_ISSUE, HelloJob, HelloOutcome, JobId, Record,
    Server, ServerConfig, StoredSession,
};
use libfuzzer_sys::fuzz_target;
use rand::SeedableRng;
use rand::rngs::StdRng;

const VECTOR: [u8; 16] = *b"0123456789012345";
const MAX_SESSIONS: usize = 3;

/// RSA takes most of the time: a few rounds of it show what there is to see.
const RSA_ROUNDS: usize = 5;

/// Who stands around: two clients that may come in, one that may not, two with a session from
/// before, in either dialect.
const PEERS: usize = 5;
const RESTORED: [(usize, Dialect); 2] = [(3, Dialect::Seed), (4, Dialect::Centreon)];

static SERVER: LazyLock<PrivateKey> = LazyLock::new(|| key(include_str!("../keys/server.pem")));
static CLIENT: LazyLock<PrivateKey> = LazyLock::new(|| key(include_str!("../keys/client.pem")));

fn key(pem: &str) -> PrivateKey {
    PrivateKey::from_pem(pem).expect("a key of the fuzzer can be read")
}

fuzz_target!(|input: &[u8]| {
    LazyLock::force(&SERVER);
    LazyLock::force(&CLIENT);
    bounded(input, 512 * 1024, 64, || {
        let mut world = World::new();
        for step in steps(input).take(64) {
            if let [operation, argument, rest @ ..] = step {
                world.step(*operation, *argument, rest);
            }
        }
    });
});

fn steps(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(input);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = text.windows(2).position(|pair| pair == [0xff, 0xff]);
        rest = end.map(|end| &text[end + 2..]);
        Some(&text[..end.unwrap_or(text.len())])
    })
}

fn config(authorized: bool) -> ServerConfig {
    ServerConfig {
        hostname: "server".to_owned(),
        public_pem: Some("pem".to_owned()),
        authorized: authorized
            .then(|| CLIENT.public().thumbprint())
            .into_iter()
            .collect(),
        max_sessions: MAX_SESSIONS,
        max_offered: 2,
        handshake_queue: 2,
        handshakes_running: 2,
        handshake_rate: 5,
        handshake_burst: 5,
        max_hello: 4096,
        ..ServerConfig::default()
    }
}

struct World {
    server: Server,
    clients: Vec<Client>,
    /// The key under which each peer's session was last written down.
    keys: Vec<Option<(SessionKey, Dialect)>>,
    /// Whose sessions stand in the store.
    open: HashSet<Identity>,
    jobs: Vec<HelloJob>,
    outcomes: Vec<(JobId, HelloOutcome)>,
    now: Moment,
    rng: StdRng,
    rsa_left: usize,
}

impl World {
    fn new() -> Self {
        let now = Moment {
            unix_ms: 1_800_000_000_000,
            monotonic: Duration::from_secs(100),
        };
        let clients = (0..PEERS).map(|peer| {
            let key: &PrivateKey = if peer == 2 { &SERVER } else { &CLIENT };
            let config = ClientConfig {
                hostname: format!("client {peer}"),
                server_key: SERVER.public().clone(),
                key: key.clone(),
                vector: VECTOR,
                keysize: 32,
            };
            let dialect = match peer {
                1 | 4 => Dialect::Centreon,
                _ => Dialect::Seed,
            };
            Client::with_dialect(config, dialect)
        });
        let mut world = Self {
            server: Server::new(config(true)),
            clients: clients.collect(),
            keys: vec![None; PEERS],
            open: HashSet::new(),
            jobs: Vec::new(),
            outcomes: Vec::new(),
            now,
            rng: StdRng::seed_from_u64(7),
            rsa_left: RSA_ROUNDS,
        };
        let stored = RESTORED.map(|(peer, dialect)| {
            let key = SessionKey::from_parts(&[peer as u8; 32], VECTOR).expect("32 bytes");
            world.keys[peer] = Some((key.clone(), dialect));
            world.open.insert(identity(peer));
            StoredSession {
                identity: identity(peer),
                thumbprint: CLIENT.public().thumbprint(),
                dialect,
                key,
                created: now.unix() - 100,
                last_seen: now.unix() - 50,
                parent_until: 0,
            }
        });
        world.server.restore(stored.into(), now);
        world.effects();
        world
    }

    fn step(&mut self, operation: u8, argument: u8, rest: &[u8]) {
        let peer = usize::from(argument) % PEERS;
        match operation % 16 {
            // A frame as it comes.
            0 => self.receive(peer, rest.to_vec()),
            // A text under the session's key.
            1 => self.say(peer, rest),
            // A text under the key that the client believes in.
            2 => {
                let text = String::from_utf8_lossy(rest);
                if let Some(frame) = self.clients[peer].seal(&text) {
                    self.receive(peer, frame);
                }
            }
            // A greeting as it should be, and one with changes.
            3 | 4 => self.greet(peer, (operation % 16 == 4).then_some(rest)),
            // A greeting around any sealed text, key or name.
            5 => self.greet_oddly(peer, argument, rest),
            // RSA is done, or its outcome is handed back.
            6 => self.run_job(argument),
            7 => self.hand_back(argument),
            // Time passes.
            8 => {
                if let Some(delay) = self.server.poll_timeout(self.now) {
                    self.now = self.now.after(delay);
                    self.handle(Event::Timeout);
                }
            }
            9 => {
                self.now = self.now.after(Duration::from_millis(number(rest)));
                self.handle(Event::Timeout);
            }
            // The clock on the wall is set, and set back.
            10 => self.now.unix_ms = self.now.unix_ms.wrapping_add(number(rest).cast_signed()),
            11 => self.server.note_ping(&identity(peer), self.now),
            // The configuration changes.
            12 => self.server.reconfigure(config(argument & 1 == 0)),
            // What a client hears: any frame, any KEY, any text under its key.
            13 => self.hear(peer, rest),
            14 => {
                if self.rsa_left > 0
                    && let Ok(frame) = CLIENT.public().encrypt(&mut self.rng, rest)
                {
                    self.rsa_left -= 1;
                    let frame = match argument & 0x80 {
                        0 => frame,
                        _ => STANDARD.encode(frame).into_bytes(),
                    };
                    self.hear(peer, &frame);
                }
            }
            _ => {
                let text = String::from_utf8_lossy(rest);
                if let Some(frame) = self.server.seal(&identity(peer), &text, self.now) {
                    self.hear(peer, &frame);
                }
            }
        }
        self.effects();
        for parent in self.server.parents(self.now) {
            assert!(self.open.contains(&parent));
        }
    }

    fn handle(&mut self, event: Event) {
        self.server.handle(event, self.now);
    }

    fn receive(&mut self, peer: usize, frame: Vec<u8>) {
        let frame = Bytes::from(frame);
        let peer = identity(peer);
        self.handle(Event::Received { peer, frame });
    }

    /// Whoever has a session is understood.
    fn say(&mut self, peer: usize, text: &[u8]) {
        let Some((key, dialect)) = &self.keys[peer] else {
            return;
        };
        let frame = match dialect {
            Dialect::Seed => key.seal(text),
            Dialect::Centreon => STANDARD.encode(key.seal(text)).into_bytes(),
        };
        let is_live = self.server.seal(&identity(peer), "", self.now).is_some();
        let is_text = text.starts_with(b"[") && std::str::from_utf8(text).is_ok();
        self.receive(peer, frame);
        let heard = self.effects();
        if is_live && is_text {
            assert_eq!(heard, [text], "a peer with a session was not heard");
        }
    }

    fn greet(&mut self, peer: usize, changes: Option<&[u8]>) {
        if self.rsa_left == 0 {
            return;
        }
        self.rsa_left -= 1;
        let hello = self.clients[peer].hello(&mut self.rng);
        let mut frame = hello.expect("a client can greet");
        for change in changes.unwrap_or_default().chunks_exact(3) {
            let place = usize::from(u16::from_be_bytes([change[0], change[1]])) % frame.len();
            frame[place] = change[2];
        }
        self.receive(peer, frame);
    }

    fn greet_oddly(&mut self, peer: usize, argument: u8, rest: &[u8]) {
        if self.rsa_left == 0 {
            return;
        }
        self.rsa_left -= 1;
        let sealed = SERVER
            .public()
            .encrypt(&mut self.rng, rest.get(..90).unwrap_or(rest))
            .expect("a short text can be encrypted");
        let pem = CLIENT.public().to_pem().expect("a key has a PEM");
        let frame = match argument >> 5 {
            0 | 1 => format!("[x] [{}] [{}]", pem.replace('\n', "\\n"), hex(&sealed)),
            2 | 3 => format!(
                "[x] [{}] [{}]",
                STANDARD.encode(pem),
                STANDARD.encode(sealed)
            ),
            4 => format!("[x] [{pem}] [{}]", String::from_utf8_lossy(rest)),
            5 => format!(
                "[x] [{}] [{}]",
                STANDARD.encode(rest),
                STANDARD.encode(sealed)
            ),
            _ => format!(
                "[x] [-----BEGIN PUBLIC KEY-----\\n{}\\n-----END PUBLIC KEY-----] [{}]",
                STANDARD.encode(rest),
                hex(&sealed)
            ),
        };
        self.receive(peer, frame.into_bytes());
    }

    fn run_job(&mut self, which: u8) {
        if self.jobs.is_empty() || self.rsa_left == 0 {
            return;
        }
        self.rsa_left -= 1;
        let job = self.jobs.remove(usize::from(which) % self.jobs.len());
        let id = job.id();
        let outcome = job.run(&SERVER, &mut self.rng);
        self.outcomes.push((id, outcome));
        // Most of the time it is handed back at once.
        if which & 0x80 == 0 {
            self.hand_back(0);
        }
    }

    fn hand_back(&mut self, which: u8) {
        if self.outcomes.is_empty() {
            return;
        }
        let place = usize::from(which) % self.outcomes.len();
        let (job, outcome) = self.outcomes.remove(place);
        self.handle(Event::HelloOpened { job, outcome });
    }

    fn hear(&mut self, peer: usize, frame: &[u8]) {
        let _ = self.clients[peer].handle(frame, &mut self.rng);
    }

    /// Does what the server wants done, and holds it to what it says. Returns the messages.
    fn effects(&mut self) -> Vec<Vec<u8>> {
        let mut heard = Vec::new();
        while let Some(effect) = self.server.poll_effect() {
            match effect {
                Effect::OpenHello(job) => self.jobs.push(job),
                Effect::Send { peer, frame } => {
                    if let Some(peer) = place(&peer)
                        && (self.rsa_left > 0 || frame == HANDSHAKE_ISSUE.as_bytes())
                    {
                        self.rsa_left = self.rsa_left.saturating_sub(1);
                        self.hear(peer, &frame);
                    }
                }
                Effect::Message { peer, text, .. } => {
                    assert!(self.open.contains(&peer), "a message without a session");
                    assert!(text.starts_with(b"[") && std::str::from_utf8(&text).is_ok());
                    heard.push(text);
                }
                Effect::Record(Record::Open(stored)) => {
                    if let Some(peer) = place(&stored.identity) {
                        self.keys[peer] = Some((stored.key, stored.dialect));
                    }
                    self.open.insert(stored.identity);
                }
                Effect::Record(Record::Touch { identity, .. }) => {
                    assert!(self.open.contains(&identity), "no such session");
                }
                Effect::Record(Record::Close(identity)) => {
                    assert!(self.open.remove(&identity), "no such session");
                }
                Effect::Refused { why, .. } => drop(why.to_string()),
            }
        }
        assert_eq!(
            self.server.len(),
            self.open.len(),
            "what is written down differs from what is"
        );
        assert!(self.server.len() <= MAX_SESSIONS);
        heard
    }
}

fn identity(peer: usize) -> Identity {
    Identity::new(&[b'p', peer as u8])
}

fn place(identity: &Identity) -> Option<usize> {
    identity.as_bytes().get(1).map(|byte| usize::from(*byte))
}

fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .take(8)
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
