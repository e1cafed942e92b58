//! Who comes in, and what it costs to be refused.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may fail by panicking"
)]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{Guest, Host, Out, START, client_config, client_key, config, peer, server_key};
use gorgone_crypto::{PrivateKey, SessionKey};
use gorgone_protocol::Dialect;
use gorgone_session::{ClientEvent, Event, HANDSHAKE_ISSUE, Refusal, Server, ServerConfig};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A thousand HELOs differ in nothing but their identity.
fn hello() -> Vec<u8> {
    Guest::new("client").hello()
}

#[test]
fn client_and_server_talk_in_either_dialect() {
    for dialect in [Dialect::Seed, Dialect::Centreon] {
        let mut host = Host::new(config());
        let config = client_config(client_key(), server_key().public().clone());
        let mut guest = Guest::with("client", dialect, config);
        guest.greet(&mut host);
        guest.talks(&mut host);
        assert_eq!(host.server.dialect(&peer("client")), Some(dialect));
        assert_eq!(host.stored().dialect, dialect);
    }
}

#[test]
fn every_key_size_works() {
    for keysize in [16, 24, 32] {
        let mut host = Host::new(ServerConfig {
            keysize,
            ..config()
        });
        let mut config = client_config(client_key(), server_key().public().clone());
        config.keysize = keysize;
        let mut guest = Guest::with("client", Dialect::Seed, config);
        guest.greet(&mut host);
        guest.talks(&mut host);
        assert_eq!(host.stored().key.key_bytes().len(), keysize);
    }
}

#[test]
fn client_reads_a_key_that_is_full_of_brackets() {
    let mut rng = StdRng::seed_from_u64(3);
    for key in [[b']'; 32], [b'['; 32], *b"] [abc] [KEY] [host] [][][][][] "] {
        let mut guest = Guest::new("client");
        guest.hello();
        let text = [&b"[KEY] [server] ["[..], &key, b"]"].concat();
        let frame = client_key().public().encrypt(&mut rng, &text).unwrap();
        assert_eq!(guest.hear(&frame), ClientEvent::Established);
        let key = SessionKey::from_parts(&key, *b"0123456789012345").unwrap();
        assert_eq!(
            key.open(&guest.seal("[PING] [] [] ")).unwrap(),
            b"[PING] [] [] "
        );
    }
}

#[test]
fn client_takes_no_key_that_is_none() {
    let mut rng = StdRng::seed_from_u64(3);
    let mut guest = Guest::new("client");
    guest.hello();
    for text in [
        &b""[..],
        b"]",
        b"[KEY] [server] [short]",
        b"[NOKEY] [server] [0123456789abcdef0123456789abcdef]",
        b"[KEY] server [0123456789abcdef0123456789abcdef]",
    ] {
        let frame = client_key().public().encrypt(&mut rng, text).unwrap();
        assert_eq!(guest.hear(&frame), ClientEvent::Unreadable);
    }
    for frame in [&b""[..], b"nonsense", &[0xff; 256], &[0; 256]] {
        assert_eq!(guest.hear(frame), ClientEvent::Unreadable);
    }
}

#[test]
fn server_refuses_unknown_thumbprint_before_any_rsa() {
    let mut host = Host::new(ServerConfig {
        authorized: [server_key().public().thumbprint()].into(),
        ..config()
    });
    host.hold_jobs = true;
    let why = host.assert_refuses("client", &hello());
    assert_eq!(
        why,
        Refusal::Unauthorized(client_key().public().thumbprint())
    );
    assert!(host.jobs.is_empty());
}

#[test]
fn server_refuses_a_greeting_for_another_server() {
    let mut host = Host::new(config());
    let wrong = client_config(client_key(), client_key().public().clone());
    let hello = Guest::with("client", Dialect::Seed, wrong).hello();
    assert_eq!(host.assert_refuses("client", &hello), Refusal::NotHelo);
    assert_eq!(host.server.len(), 0);
    assert!(host.records.is_empty());
}

#[test]
fn server_refuses_a_client_key_that_cannot_hold_the_answer() {
    let small = include_str!("../../crypto/tests/keys/private-pkcs8.pem");
    let small = PrivateKey::from_pem(small).unwrap();
    let mut host = Host::new(ServerConfig {
        hostname: "h".repeat(200),
        authorized: [small.public().thumbprint()].into(),
        ..config()
    });
    let config = client_config(small, server_key().public().clone());
    let hello = Guest::with("client", Dialect::Seed, config).hello();
    assert_eq!(host.assert_refuses("client", &hello), Refusal::KeyTooShort);
}

#[test]
fn a_host_name_may_hold_anything_but_a_bracket() {
    let mut host = Host::new(config());
    for name in ["", "[[", "a b\tc", "\u{1F980}"] {
        let mut config = client_config(client_key(), server_key().public().clone());
        config.hostname = name.to_owned();
        let mut guest = Guest::with("client", Dialect::Seed, config);
        guest.greet(&mut host);
    }
}

#[test]
fn nonsense_of_every_kind_is_answered_the_same() {
    let mut host = Host::new(config());
    let pem = server_key().public().to_pem().unwrap().replace('\n', "\\n");
    let good = String::from_utf8(hello()).unwrap();
    let frames = [
        String::new(),
        "[".to_owned(),
        "]".to_owned(),
        "[PING] [] [] {}".to_owned(),
        "[] [] []".to_owned(),
        "[GETPUBKEY]".to_owned(),
        format!("[c] [{pem}] []"),
        format!("[c] [{pem}] [zz]"),
        format!("[c] [{pem}] [00] more"),
        "[c] [-----BEGIN PUBLIC KEY-----\\n-----END PUBLIC KEY-----] [00]".to_owned(),
        good[..good.len() - 1].to_owned(),
        good[1..].to_owned(),
        format!("{good}{good}"),
    ];
    for frame in frames {
        host.assert_refuses("client", frame.as_bytes());
    }
    host.assert_refuses("client", &[0xff, 0xfe]);
    // And after all that the same peer is welcome.
    Guest::at(&mut host, "client");
}

#[test]
fn random_and_damaged_frames_never_break_the_server() {
    let mut host = Host::new(config());
    let mut guest = Guest::at(&mut host, "client");
    let mut rng = StdRng::seed_from_u64(5);
    let message = guest.seal("[PING] [] [] {}");
    let hello = hello();
    for round in 0..2000_usize {
        let mut frame = if round % 2 == 0 {
            hello.clone()
        } else {
            message.clone()
        };
        for _ in 0..=rng.next_u32() % 3 {
            let place = rng.next_u32() as usize % frame.len();
            frame[place] = rng.next_u32().to_le_bytes()[0];
        }
        frame.truncate(frame.len() - rng.next_u32() as usize % frame.len() / 2);
        host.say(["client", "stranger"][round / 2 % 2], &frame);
        let mut noise = vec![0; rng.next_u32() as usize % 600];
        rng.fill_bytes(&mut noise);
        host.say("noise", &noise);
    }
    guest.talks(&mut host);
    assert_eq!(host.server.len(), 1);
}

#[test]
fn a_frame_too_long_for_a_handshake_is_refused_without_a_look() {
    let mut host = Host::new(config());
    let frame = vec![b'['; 16 * 1024 + 1];
    let why = host.assert_refuses("client", &frame);
    assert_eq!(why, Refusal::TooLong { bytes: frame.len() });
}

#[test]
fn one_handshake_per_identity_is_under_way() {
    let mut host = Host::new(config());
    host.hold_jobs = true;
    assert_eq!(host.say("client", &hello()), []);
    assert_eq!(host.assert_refuses("client", &hello()), Refusal::UnderWay);
    assert_eq!(host.jobs.len(), 1);
}

#[test]
fn a_storm_of_handshakes_fills_a_queue_and_no_more() {
    let mut host = Host::new(ServerConfig {
        handshake_queue: 20,
        handshakes_running: 3,
        ..config()
    });
    let mut guest = Guest::at(&mut host, "guest");
    host.hold_jobs = true;
    let hello = hello();
    for number in 0..1000 {
        host.say(&format!("storm-{number}"), &hello);
    }
    assert_eq!(host.jobs.len(), 3);
    assert_eq!(host.refused.len(), 1000 - 23);
    assert!(host.refused.iter().all(|why| *why == Refusal::Busy));
    // Whoever has a session notices nothing.
    guest.talks(&mut host);
}

#[test]
fn handshakes_begin_no_faster_than_the_rate() {
    let mut host = Host::new(ServerConfig {
        handshake_rate: 10,
        handshake_burst: 5,
        ..config()
    });
    let hello = hello();
    let mut keys = 0;
    for number in 0..100 {
        keys += host.say(&format!("storm-{number}"), &hello).len();
    }
    assert_eq!(keys, 5);
    let mut elapsed = Duration::ZERO;
    while keys < 25 {
        let wait = host.server.poll_timeout(host.now).unwrap();
        elapsed += wait;
        keys += host.wait(wait).len();
    }
    assert_eq!(elapsed, Duration::from_secs(2));
    assert!(host.refused.is_empty());
}

#[test]
fn a_handshake_whose_rsa_was_lost_is_given_up() {
    let mut host = Host::new(config());
    host.hold_jobs = true;
    host.say("client", &hello());
    let lost = host.jobs.remove(0);
    let wait = host.server.poll_timeout(host.now).unwrap();
    let refusal = Out::Frame(peer("client"), HANDSHAKE_ISSUE.into());
    assert_eq!(host.wait(wait), [refusal]);
    assert_eq!(host.refused, [Refusal::GivenUp]);
    // It may come back later, and means nothing then.
    let (job, mut rng) = (lost.id(), StdRng::seed_from_u64(1));
    let outcome = lost.run(&server_key(), &mut rng);
    assert_eq!(host.handle(Event::HelloOpened { job, outcome }), []);
    host.hold_jobs = false;
    Guest::at(&mut host, "client");
}

#[test]
fn new_identities_are_refused_when_the_server_is_full_and_old_ones_are_not() {
    let mut host = Host::new(ServerConfig {
        max_sessions: 2,
        ..config()
    });
    let mut first = Guest::at(&mut host, "first");
    let mut second = Guest::at(&mut host, "second");
    host.hold_jobs = true;
    assert_eq!(host.assert_refuses("third", &hello()), Refusal::Full);
    assert!(host.jobs.is_empty());
    host.hold_jobs = false;
    first.talks(&mut host);
    second.greet(&mut host);
    second.talks(&mut host);
    assert_eq!(host.server.len(), 2);
}

#[test]
fn keys_that_nobody_proves_are_bounded_in_number_and_time() {
    let mut host = Host::new(ServerConfig {
        max_offered: 2,
        ..config()
    });
    let mut guests = ["one", "two", "three"].map(Guest::new);
    for guest in &mut guests {
        guest.greet(&mut host);
    }
    let [one, two, three] = &mut guests;
    host.assert_refuses("one", &one.seal("[PING] [] [] {}"));
    two.talks(&mut host);
    host.wait(Duration::from_secs(300));
    host.assert_refuses("three", &three.seal("[PING] [] [] {}"));
    two.talks(&mut host);
}

#[test]
fn a_key_that_is_not_authorised_any_more_ends_its_sessions() {
    let mut host = Host::new(config());
    let live = Guest::at(&mut host, "live");
    let mut offered = Guest::new("offered");
    offered.greet(&mut host);
    host.server.reconfigure(ServerConfig {
        authorized: [].into(),
        ..config()
    });
    host.assert_refuses("live", &live.seal("[PING] [] [] {}"));
    host.assert_refuses("offered", &offered.seal("[PING] [] [] {}"));
    assert_eq!(host.server.len(), 0);
}

#[test]
fn an_idle_server_waits_for_nothing() {
    let server = Server::new(config());
    assert_eq!(server.poll_timeout(START), None);
    assert!(server.is_empty());
}

#[test]
fn debug_of_a_server_shows_no_key() {
    let mut host = Host::new(config());
    Guest::at(&mut host, "client");
    let shown = format!("{:?} {:?}", host.server, host.records);
    assert!(shown.contains("SessionKey(AES-256)"));
    let key = host.stored().key;
    assert!(!shown.contains(&format!("{:?}", key.key_bytes())));
}

#[test]
fn client_key_of_absurd_size_is_refused_without_arithmetic() {
    let mut host = Host::new(config());
    let body = "A".repeat(15_000);
    let frame = format!("[c] [-----BEGIN PUBLIC KEY-----{body}-----END PUBLIC KEY-----] [00]");
    let event = Event::Received {
        peer: peer("client"),
        frame: Bytes::from(frame),
    };
    assert_eq!(host.handle(event).len(), 1);
    assert!(matches!(host.refused[..], [Refusal::ClientKey(_)]));
}
