//! Sessions with an existing daemon, recorded frame by frame, against both of our sides.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may fail by panicking"
)]

mod common;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::{Guest, Host, Out, START, client_config, config, peer, recording};
use gorgone_crypto::{PrivateKey, PublicKey, SessionKey};
use gorgone_protocol::{Dialect, decode, decode_answer, encode};
use gorgone_session::{ClientEvent, HANDSHAKE_ISSUE, ServerConfig, StoredSession};
use serde_json::Value;

/// One recorded frame.
struct Frame {
    from_client: bool,
    bytes: Vec<u8>,
    plain: Option<String>,
}

fn frames(list: &Value) -> Vec<Frame> {
    let mut frames = Vec::new();
    for one in list.as_array().unwrap() {
        // Entries without a frame are remarks.
        if let Some(hex) = one["frames_hex"][0].as_str() {
            frames.push(Frame {
                from_client: one["dir"] == "client->server",
                bytes: hex::decode(hex).unwrap(),
                plain: one["plaintext"].as_str().map(str::to_owned),
            });
        }
    }
    frames
}

/// A recording, and what it tells about its two sides.
struct Session {
    recording: Value,
    dialect: Dialect,
    client: PrivateKey,
    server: PrivateKey,
    /// Which message is HELO; the next is KEY, and after them all are encrypted.
    hello: usize,
}

impl Session {
    fn seed() -> Self {
        Self::read("seed-dialect", Dialect::Seed, "poller", 0)
    }

    fn centreon() -> Self {
        Self::read("centreon-dialect", Dialect::Centreon, "central", 2)
    }

    fn read(file: &str, dialect: Dialect, server: &str, hello: usize) -> Self {
        let recording = recording(file);
        let key = |name: &str| {
            let pem = recording["keys"][format!("{name}.priv")].as_str().unwrap();
            PrivateKey::from_pem(pem).unwrap()
        };
        Self {
            dialect,
            client: key("client"),
            server: key(server),
            hello,
            recording,
        }
    }

    fn frames(&self) -> Vec<Frame> {
        frames(&self.recording["messages"])
    }

    fn name(&self) -> &str {
        self.recording["client_identity"].as_str().unwrap()
    }

    fn key(&self) -> SessionKey {
        let bytes = |name: &str| hex::decode(self.recording[name].as_str().unwrap()).unwrap();
        let iv = bytes("iv_hex").try_into().unwrap();
        SessionKey::from_parts(&bytes("session_key_hex"), iv).unwrap()
    }

    fn config(&self) -> ServerConfig {
        ServerConfig {
            authorized: [self.client.public().thumbprint()].into(),
            public_pem: Some(self.server.public().to_pem().unwrap()),
            ..config()
        }
    }

    fn guest(&self) -> Guest {
        let config = client_config(self.client.clone(), self.server.public().clone());
        Guest::with("gorgone-transcript-1", self.dialect, config)
    }

    /// A server that holds the recorded session.
    fn host(&self) -> Host {
        let stored = StoredSession {
            identity: peer(self.name()),
            thumbprint: self.client.public().thumbprint(),
            dialect: self.dialect,
            key: self.key(),
            created: START.unix(),
            last_seen: START.unix(),
            parent_until: 0,
        };
        let mut host = Host::restored(self.config(), vec![stored], START);
        host.key = self.server.clone();
        host
    }
}

#[test]
fn keys_have_the_recorded_thumbprints() {
    for session in [Session::seed(), Session::centreon()] {
        let recorded = &session.recording["thumbprints"];
        let client = session.client.public().thumbprint();
        assert_eq!(recorded["client"], client.as_str());
        let server = session.server.public().thumbprint();
        let name = ["poller", "central"].map(|name| recorded[name].as_str());
        assert!(name.contains(&Some(server.as_str())));
    }
}

#[test]
fn server_reads_every_recorded_request_and_writes_every_recorded_answer() {
    for session in [Session::seed(), Session::centreon()] {
        let mut host = session.host();
        let mut seen = 0;
        for frame in session.frames().into_iter().skip(session.hello + 2) {
            let plain = frame.plain.unwrap();
            if !frame.from_client {
                let sealed = host.server.seal(&peer(session.name()), &plain, host.now);
                let is_clear = frame.bytes.starts_with(b"[ACK]");
                assert!(is_clear || sealed == Some(frame.bytes), "{plain}");
            } else if plain.starts_with('[') {
                host.assert_hears(session.name(), &frame.bytes, &plain);
            } else {
                // The recorded daemon too answers it in clear, and keeps the session.
                host.assert_refuses(session.name(), &frame.bytes);
            }
            seen += 1;
        }
        assert!(seen > 60);
        assert_eq!(host.server.len(), 1);
    }
}

#[test]
fn client_opens_the_recorded_key_reads_every_answer_and_writes_every_request() {
    for session in [Session::seed(), Session::centreon()] {
        let mut guest = session.guest();
        guest.hello();
        for frame in session.frames().into_iter().skip(session.hello + 1) {
            let plain = frame.plain.unwrap_or_default();
            if frame.from_client {
                assert_eq!(guest.seal(&plain), frame.bytes, "{plain}");
                continue;
            }
            let expected = if plain.starts_with("[KEY]") || plain.is_empty() {
                ClientEvent::Established
            } else if frame.bytes.starts_with(b"[ACK]") {
                ClientEvent::Refused
            } else {
                ClientEvent::Message(plain.clone().into_bytes())
            };
            assert_eq!(guest.hear(&frame.bytes), expected, "{plain}");
        }
    }
}

#[test]
fn server_accepts_the_recorded_greeting() {
    for session in [Session::seed(), Session::centreon()] {
        let mut host = Host::with_key(session.config(), session.server.clone());
        let mut guest = session.guest();
        guest.hello();
        let frames = session.frames();
        let key = host.frame(session.name(), &frames[session.hello].bytes);
        assert_eq!(guest.hear(&key), ClientEvent::Established);
        let request = guest.seal("[PING] [] [] {}");
        host.assert_hears(session.name(), &request, "[PING] [] [] {}");
    }
}

#[test]
fn server_hands_out_its_public_key_when_asked_in_the_newer_dialect() {
    let session = Session::centreon();
    let mut host = Host::with_key(session.config(), session.server.clone());
    let recorded = &session.frames()[..2];
    let answer = host.frame("gorgone-1", &recorded[0].bytes);
    let key = |frame: &[u8]| {
        let text = String::from_utf8(frame.to_vec()).unwrap();
        let pem = text
            .strip_prefix("[PUBKEY] [")
            .unwrap()
            .trim_end_matches(']')
            .to_owned();
        let pem = String::from_utf8(STANDARD.decode(pem).unwrap()).unwrap();
        PublicKey::from_pem(&pem).unwrap()
    };
    assert_eq!(key(&answer), key(&recorded[1].bytes));
}

#[test]
fn server_refuses_what_the_recorded_daemon_refused() {
    for session in [Session::seed(), Session::centreon()] {
        let frames = frames(&session.recording["refused"]);
        let mut refused = 0;
        for (place, pair) in frames.windows(2).enumerate() {
            let [question, answer] = pair else {
                continue;
            };
            if !question.from_client || answer.from_client {
                continue;
            }
            let mut host = Host::with_key(session.config(), session.server.clone());
            let name = format!("gorgone-{place}");
            if answer.bytes.starts_with(b"[ACK]") {
                host.assert_refuses(&name, &question.bytes);
                let same = |frame: &[u8]| decode_answer(frame).unwrap().data;
                assert_eq!(same(HANDSHAKE_ISSUE.as_bytes()), same(&answer.bytes));
                refused += 1;
            } else {
                assert!(matches!(
                    host.say(&name, &question.bytes)[..],
                    [Out::Frame(..)]
                ));
            }
        }
        assert_eq!(refused, 5);
    }
}

#[test]
fn client_follows_the_recorded_rotation() {
    let rotation = recording("centreon-rotation");
    let mut guest = Session::centreon().guest();
    guest.hello();
    let frames = frames(&rotation["messages"]);
    assert_eq!(guest.hear(&frames[3].bytes), ClientEvent::Established);
    assert_eq!(guest.hear(&frames[4].bytes), ClientEvent::Rotated);
    assert_eq!(
        guest.seal(frames[5].plain.as_deref().unwrap()),
        frames[5].bytes
    );
    let pong = frames[6].plain.clone().unwrap().into_bytes();
    assert_eq!(guest.hear(&frames[6].bytes), ClientEvent::Message(pong));
}

#[test]
fn codec_reads_recorded_messages_and_writes_requests_back() {
    for session in [Session::seed(), Session::centreon()] {
        let frames = session.frames();
        let mut requests = 0;
        for frame in frames.into_iter().skip(session.hello + 2) {
            let plain = frame.plain.unwrap();
            if frame.from_client {
                let Ok(message) = decode(plain.as_bytes()) else {
                    assert!(!plain.ends_with('}'), "{plain}");
                    continue;
                };
                if plain.ends_with('}') {
                    assert_eq!(encode(&message), plain);
                }
                requests += 1;
            } else if plain.starts_with("[ACK]") || plain.starts_with("[PONG]") {
                assert!(decode_answer(plain.as_bytes()).is_ok(), "{plain}");
            }
        }
        assert!(requests > 25);
    }
}
