//! Outgoing lines, against the edge's libzmq and against peers that are none.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are not inside a test function"
)]

mod support;

use std::time::Duration;

use bytes::Bytes;
use gorgone_protocol::Endpoint;
use gorgone_transport::dial::{Dialer, Line, LineEvent, LineId, Lines, Lost, Options, dialer};
use gorgone_transport::{Bound, Router, RouterEvent, RouterSender, SendError, edge};
use support::{frames, id, message, soon, text};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn bind(options: impl FnOnce(&mut edge::BindOptions)) -> (Router, RouterSender, Endpoint) {
    let mut bind = edge::BindOptions::new(vec![Endpoint::parse("tcp://127.0.0.1:0").unwrap()]);
    options(&mut bind);
    let (router, sender) = edge::bind(bind).unwrap();
    let endpoint = router.local_endpoints()[0].clone();
    (router, sender, endpoint)
}

fn quick() -> Options {
    Options {
        greeting: Duration::from_millis(200),
        ..Options::default()
    }
}

async fn next(lines: &mut Lines, line: &Line) -> LineEvent {
    let (from, event) = soon(lines.recv()).await.unwrap();
    assert_eq!(from, line.id());
    event
}

async fn connected(dialer: &Dialer, lines: &mut Lines, endpoint: &Endpoint, name: &str) -> Line {
    let line = dialer.dial(endpoint, &id(name)).unwrap();
    assert_eq!(next(lines, &line).await, LineEvent::Connected);
    line
}

async fn lost(lines: &mut Lines, line: &Line) -> Lost {
    loop {
        if let LineEvent::Lost(why) = next(lines, line).await {
            return why;
        }
    }
}

#[tokio::test]
async fn request_under_our_identity_is_answered_part_by_part() {
    let (mut router, sender, endpoint) = bind(|_| {});
    let (dialer, mut lines) = dialer(Options::default());
    let line = connected(&dialer, &mut lines, &endpoint, "gorgone-proxy-1-4").await;
    line.send(vec![
        Bytes::from("one"),
        Bytes::new(),
        Bytes::from(vec![3; 70_000]),
    ])
    .unwrap();
    let (peer, parts) = message(&mut router).await;
    assert_eq!(peer, id("gorgone-proxy-1-4"));
    assert_eq!(parts.len(), 3);
    sender.send(&peer, parts.clone()).unwrap();
    assert_eq!(next(&mut lines, &line).await, LineEvent::Message(parts));
}

#[tokio::test]
async fn messages_of_many_lines_stay_in_order_and_are_told_apart() {
    let (mut router, sender, endpoint) = bind(|_| {});
    let (dialer, mut lines) = dialer(Options::default());
    let mut open = Vec::new();
    for number in 0..20 {
        open.push(connected(&dialer, &mut lines, &endpoint, &number.to_string()).await);
    }
    for round in 0..50 {
        for line in &open {
            line.send(frames(round.to_string())).unwrap();
        }
    }
    let mut seen = std::collections::HashMap::<_, usize>::new();
    for _ in 0..1000 {
        let (peer, parts) = message(&mut router).await;
        let count = seen.entry(peer.clone()).or_default();
        assert_eq!(text(&parts), count.to_string());
        *count += 1;
        sender.send(&peer, frames(peer.to_text())).unwrap();
    }
    for _ in 0..1000 {
        let (from, event) = soon(lines.recv()).await.unwrap();
        let number = open.iter().position(|line| line.id() == from).unwrap();
        assert_eq!(event, LineEvent::Message(frames(number.to_string())));
    }
}

#[tokio::test]
async fn line_that_was_lost_is_told_and_dialled_anew() {
    let (mut router, _sender, endpoint) = bind(|_| {});
    let (dialer, mut lines) = dialer(Options::default());
    let line = connected(&dialer, &mut lines, &endpoint, "node").await;
    line.send(frames("first")).unwrap();
    assert_eq!(text(&message(&mut router).await.1), "first");
    router.close(Duration::from_secs(1)).await;
    assert!(matches!(lost(&mut lines, &line).await, Lost::Closed(_)));
    assert_eq!(line.send(frames("late")), Err(SendError::Closed));
    let refused = dialer.dial(&endpoint, &id("node")).unwrap();
    assert_eq!(lost(&mut lines, &refused).await, Lost::NobodyListens);
    let (mut router, _sender) = edge::bind(edge::BindOptions::new(vec![endpoint.clone()])).unwrap();
    let line = connected(&dialer, &mut lines, &endpoint, "node").await;
    line.send(frames("again")).unwrap();
    assert_eq!(text(&message(&mut router).await.1), "again");
}

#[tokio::test]
async fn dropping_a_line_sends_what_is_queued_and_ends_the_connection() {
    let (mut router, _sender, endpoint) = bind(|_| {});
    let (dialer, mut lines) = dialer(Options::default());
    let line = connected(&dialer, &mut lines, &endpoint, "node").await;
    for number in 0..200 {
        line.send(frames(number.to_string())).unwrap();
    }
    drop(line);
    for number in 0..200 {
        assert_eq!(text(&message(&mut router).await.1), number.to_string());
    }
    // Nothing is left of the line once its last message has left.
    drop(dialer);
    assert_eq!(soon(lines.recv()).await, None);
}

#[tokio::test]
async fn idle_line_answers_the_heartbeat_of_the_edge() {
    let (mut router, _sender, endpoint) = bind(|bind| {
        bind.tuning.heartbeat = Duration::from_millis(20);
        bind.tuning.heartbeat_timeout = Duration::from_secs(2);
    });
    let (dialer, mut lines) = dialer(Options::default());
    let line = connected(&dialer, &mut lines, &endpoint, "node").await;
    let quiet = tokio::time::timeout(Duration::from_secs(3), lines.recv()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    line.send(frames("still here")).unwrap();
    assert_eq!(text(&message(&mut router).await.1), "still here");
}

/// A ZeroMQ peer by hand: greets, and then does what the test wants.
async fn greeted(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut greeting = [0; 64];
    greeting[0] = 0xff;
    greeting[9] = 0x7f;
    greeting[10] = 3;
    greeting[12..16].copy_from_slice(b"NULL");
    stream.write_all(&greeting).await.unwrap();
    stream
        .write_all(b"\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06ROUTER")
        .await
        .unwrap();
    stream.read_exact(&mut [0; 64]).await.unwrap();
    stream
}

async fn listen() -> (TcpListener, Endpoint) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let endpoint = Endpoint::parse(&format!("tcp://{address}")).unwrap();
    (listener, endpoint)
}

#[tokio::test]
async fn peer_that_never_reads_fills_its_own_line_and_stops_nobody() {
    let (listener, deaf) = listen().await;
    let (mut router, sender, endpoint) = bind(|_| {});
    let outbox = Bound {
        messages: 4,
        bytes: 1 << 20,
    };
    let (dialer, mut lines) = dialer(Options {
        outbox,
        ..Options::default()
    });
    let line = dialer.dial(&deaf, &id("deaf")).unwrap();
    let _held = greeted(&listener).await;
    assert_eq!(next(&mut lines, &line).await, LineEvent::Connected);
    let large = || vec![Bytes::from(vec![0; 200_000])];
    let mut sent = 0;
    // What the kernel takes for a peer is a few megabytes.
    while sent < 1000 && line.send(large()).is_ok() {
        sent += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(sent < 1000);
    assert_eq!(line.send(large()), Err(SendError::Full));
    let other = connected(&dialer, &mut lines, &endpoint, "other").await;
    for _ in 0..100 {
        other.send(frames("ask")).unwrap();
        let (peer, _) = message(&mut router).await;
        sender.send(&peer, frames("answer")).unwrap();
        let event = next(&mut lines, &other).await;
        assert_eq!(event, LineEvent::Message(frames("answer")));
    }
}

#[tokio::test]
async fn peers_that_are_none_end_their_own_line_and_say_why() {
    let (dialer, mut lines) = dialer(quick());
    for (says, why) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "does not speak"),
        (&[0; 200][..], "does not speak"),
        (b"", "no answer"),
    ] {
        let (listener, endpoint) = listen().await;
        let line = dialer.dial(&endpoint, &id("node")).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(says).await.unwrap();
        let lost = lost(&mut lines, &line).await;
        assert!(lost.to_string().contains(why), "{lost}");
    }
    for (says, why) in [
        (&b"\x02\xff\xff\xff\xff\xff\xff\xff\xff"[..], "at most"),
        (b"\xff\xff\xff", "makes no sense"),
    ] {
        let (listener, endpoint) = listen().await;
        let line = dialer.dial(&endpoint, &id("node")).unwrap();
        let mut stream = greeted(&listener).await;
        stream.write_all(says).await.unwrap();
        let lost = lost(&mut lines, &line).await;
        assert!(lost.to_string().contains(why), "{lost}");
    }
}

#[tokio::test]
async fn inbox_that_nobody_empties_holds_the_peers_back_and_loses_nothing() {
    let (mut router, sender, endpoint) = bind(|_| {});
    let inbox = Bound {
        messages: 2,
        bytes: 1000,
    };
    let (dialer, mut lines) = dialer(Options {
        inbox,
        ..Options::default()
    });
    let line = connected(&dialer, &mut lines, &endpoint, "node").await;
    line.send(frames("hello")).unwrap();
    let (peer, _) = message(&mut router).await;
    for number in 0..500 {
        sender.send(&peer, frames(number.to_string())).unwrap();
    }
    // One that is larger than the whole inbox fits into an empty one.
    sender.send(&peer, frames("x".repeat(5000))).unwrap();
    for number in 0..500 {
        let event = next(&mut lines, &line).await;
        assert_eq!(event, LineEvent::Message(frames(number.to_string())));
    }
    let event = next(&mut lines, &line).await;
    assert_eq!(event, LineEvent::Message(frames("x".repeat(5000))));
}

#[tokio::test]
async fn identity_in_use_is_left_aside_and_takes_nobodys_place() {
    let (mut router, sender, endpoint) = bind(|_| {});
    let (dialer, mut lines) = dialer(Options::default());
    let first = connected(&dialer, &mut lines, &endpoint, "same").await;
    first.send(frames("first")).unwrap();
    let (peer, _) = message(&mut router).await;
    let second = connected(&dialer, &mut lines, &endpoint, "same").await;
    second.send(frames("second")).unwrap();
    sender.send(&peer, frames("for the first")).unwrap();
    let event: (LineId, LineEvent) = soon(lines.recv()).await.unwrap();
    let expected = LineEvent::Message(frames("for the first"));
    assert_eq!(event, (first.id(), expected));
    while let Some(event) = router.try_recv() {
        assert!(
            !matches!(event, RouterEvent::Message { .. }),
            "the second one was heard: {event:?}"
        );
    }
}
