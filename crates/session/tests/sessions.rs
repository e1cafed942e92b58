//! How a session lives, is replaced, and ends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may fail by panicking"
)]

mod common;

use std::time::Duration;

use common::{Guest, Host, Out, START, config, peer};
use gorgone_protocol::Moment;
use gorgone_session::{ClientEvent, Record, Refusal, ServerConfig};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const PING: &str = "[PING] [] [] {}";

#[test]
fn forged_greeting_cuts_nobody_off() {
    let mut host = Host::new(config());
    let mut guest = Guest::at(&mut host, "client");
    // Whoever recorded a greeting, or knows an authorised public key, can send one.
    let forged = Guest::new("forger").hello();
    for _ in 0..3 {
        let key = host.frame("client", &forged);
        assert_eq!(guest.hear(&key), ClientEvent::Unreadable);
        guest.talks(&mut host);
    }
    assert_eq!(host.server.len(), 1);
    host.wait(HOUR);
    guest.talks(&mut host);
}

#[test]
fn new_session_replaces_the_old_one_once_its_key_is_proved() {
    let mut host = Host::new(config());
    let mut old = Guest::at(&mut host, "client");
    let mut new = Guest::new("client");
    new.greet(&mut host);
    // Both keys are good until the new one is used.
    old.talks(&mut host);
    let opened = host.records.len();
    new.talks(&mut host);
    assert!(matches!(host.records[opened..], [Record::Open(_)]));
    let why = host.assert_refuses("client", &old.seal(PING));
    assert_eq!(why, Refusal::Nonsense);
    new.talks(&mut host);
    assert_eq!(host.server.len(), 1);
}

#[test]
fn client_is_told_that_the_server_forgot_it_and_comes_back() {
    let mut host = Host::new(config());
    let mut guest = Guest::at(&mut host, "client");
    let mut host = Host::new(config());
    let answer = host.frame("client", &guest.seal(PING));
    assert_eq!(guest.hear(&answer), ClientEvent::Refused);
    assert_eq!(guest.client.seal(PING), None);
    guest.greet(&mut host);
    guest.talks(&mut host);
}

#[test]
fn client_hears_its_old_session_while_it_greets_anew() {
    let mut host = Host::new(config());
    let mut guest = Guest::at(&mut host, "client");
    let hello = guest.hello();
    let notice = host
        .server
        .seal(&peer("client"), "[SYNCLOGS] [] [] {}", host.now);
    assert_eq!(
        guest.hear(&notice.unwrap()),
        ClientEvent::Message(b"[SYNCLOGS] [] [] {}".to_vec())
    );
    let key = host.frame("client", &hello);
    assert_eq!(guest.hear(&key), ClientEvent::Established);
    guest.talks(&mut host);
}

#[test]
fn session_is_recorded_before_its_first_message_and_not_before_its_proof() {
    let mut host = Host::new(config());
    let mut guest = Guest::new("client");
    guest.greet(&mut host);
    assert!(host.records.is_empty());
    assert_eq!(host.server.len(), 0);
    assert_eq!(host.server.seal(&peer("client"), PING, host.now), None);
    guest.talks(&mut host);
    assert!(matches!(host.records[..], [Record::Open(_)]));
    let stored = host.stored();
    assert_eq!(
        (stored.created, stored.last_seen),
        (START.unix(), START.unix())
    );
}

#[test]
fn session_survives_a_restart() {
    let mut host = Host::new(config());
    let mut guest = Guest::at(&mut host, "client");
    let later = Moment {
        unix_ms: START.unix_ms + 3_600_000,
        monotonic: Duration::from_secs(1),
    };
    let mut host = Host::restored(config(), vec![host.stored()], later);
    guest.talks(&mut host);
    assert_eq!(host.server.len(), 1);
}

#[test]
fn session_ends_a_day_after_the_last_message() {
    let mut host = Host::new(config());
    let mut guest = Guest::at(&mut host, "client");
    host.now = host.now.after(DAY - Duration::from_secs(1));
    guest.talks(&mut host);
    host.now = host.now.after(DAY);
    assert_eq!(host.server.seal(&peer("client"), PING, host.now), None);
    host.assert_refuses("client", &guest.seal(PING));
    assert!(matches!(host.records.last(), Some(Record::Close(_))));
    assert_eq!(host.server.len(), 0);
}

#[test]
fn silent_session_is_closed_without_anybody_asking() {
    let mut host = Host::new(config());
    Guest::at(&mut host, "client");
    // Twice as often as it takes: a session that never ended would never let the server rest.
    for _ in 0..2 * 24 * 60 {
        let Some(wait) = host.server.poll_timeout(host.now) else {
            break;
        };
        host.wait(wait);
    }
    assert_eq!(host.server.len(), 0);
    assert!(matches!(host.records.last(), Some(Record::Close(_))));
    let lived = host.now.unix() - START.unix();
    assert!((24 * 3600..=24 * 3600 + 60).contains(&lived), "{lived}");
}

#[test]
fn session_expires_while_the_server_is_down() {
    let mut host = Host::new(config());
    let guest = Guest::at(&mut host, "client");
    let stored = host.stored();
    let host = Host::restored(config(), vec![stored.clone()], START.after(DAY - HOUR));
    assert_eq!(host.server.len(), 1);
    let mut host = Host::restored(config(), vec![stored], START.after(DAY));
    assert_eq!(host.server.len(), 0);
    assert!(matches!(host.records[..], [Record::Close(_)]));
    host.assert_refuses("client", &guest.seal(PING));
}

#[test]
fn restored_session_whose_key_is_not_authorised_any_more_is_closed() {
    let mut host = Host::new(config());
    Guest::at(&mut host, "client");
    let nobody = ServerConfig {
        authorized: [].into(),
        ..config()
    };
    let host = Host::restored(nobody, vec![host.stored()], START);
    assert_eq!(host.server.len(), 0);
    assert!(matches!(host.records[..], [Record::Close(_)]));
}

#[test]
fn clock_that_is_set_back_neither_ends_a_session_nor_keeps_it_for_ever() {
    let mut host = Host::new(config());
    let mut guest = Guest::at(&mut host, "client");
    let silent = Guest::at(&mut host, "silent");
    // A year back. One peer goes on speaking, the other says nothing more.
    host.now.unix_ms -= 365 * 24 * 3_600_000;
    host.wait(Duration::from_secs(60));
    guest.talks(&mut host);
    host.wait(DAY - HOUR);
    assert_eq!(host.server.len(), 2);
    guest.talks(&mut host);
    host.wait(HOUR);
    assert_eq!(host.server.len(), 1);
    host.assert_refuses("silent", &silent.seal(PING));
    guest.talks(&mut host);
}

#[test]
fn last_message_is_written_down_once_a_minute_at_most() {
    let mut host = Host::new(config());
    let guest = Guest::at(&mut host, "client");
    for _ in 0..600 {
        host.now = host.now.after(Duration::from_secs(1));
        host.say("client", &guest.seal(PING));
    }
    let touches = host.records.iter().filter_map(|record| match record {
        Record::Touch { last_seen, .. } => Some(*last_seen - START.unix()),
        _ => None,
    });
    let expected: Vec<i64> = (1..=10).map(|minute| minute * 60).collect();
    assert_eq!(touches.collect::<Vec<_>>(), expected);
}

#[test]
fn whoever_pinged_is_a_parent_for_half_an_hour_also_after_a_restart() {
    let mut host = Host::new(config());
    Guest::at(&mut host, "child");
    Guest::at(&mut host, "parent");
    host.server.note_ping(&peer("parent"), host.now);
    host.server.note_ping(&peer("nobody"), host.now);
    assert_eq!(host.server.parents(host.now), [peer("parent")]);
    host.wait(Duration::ZERO);
    let Some(Record::Touch { parent_until, .. }) = host.records.last() else {
        panic!("{:?}", host.records);
    };
    let mut stored = host.stored();
    stored.parent_until = *parent_until;
    let half = START.after(Duration::from_secs(30 * 60));
    assert_eq!(host.server.parents(half), []);
    let soon = START.after(Duration::from_secs(60));
    let mut host = Host::restored(config(), vec![stored], soon);
    assert_eq!(host.server.parents(soon), [peer("parent")]);
    assert_eq!(host.server.parents(half), []);
}

#[test]
fn message_that_begins_with_no_bracket_is_refused_and_the_session_stays() {
    let mut host = Host::new(config());
    let mut guest = Guest::at(&mut host, "client");
    for text in ["", "PING", " [PING] [] [] {}"] {
        host.assert_refuses("client", &guest.seal(text));
    }
    guest.talks(&mut host);
}

#[test]
fn peers_do_not_hear_each_other() {
    let mut host = Host::new(config());
    let one = Guest::at(&mut host, "one");
    Guest::at(&mut host, "two");
    host.assert_refuses("two", &one.seal(PING));
    assert_eq!(
        host.say("one", &one.seal(PING)),
        [Out::Message(peer("one"), PING.to_owned())]
    );
}
