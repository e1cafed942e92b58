//! The edge among strangers: whatever they do, others are served and memory stays bounded.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use gorgone_protocol::Endpoint;
use gorgone_transport::{
    Counters, Dealer, DealerEvent, DealerSender, Router, RouterEvent, RouterSender, edge,
};
use support::{disconnected, event, frames, id, message, round_trip, state, text};

/// A served edge with one honest client.
struct Edge {
    router: Router,
    sender: RouterSender,
    endpoint: Endpoint,
    address: SocketAddr,
    honest: Dealer,
    to_router: DealerSender,
}

impl Edge {
    async fn start(adjust: impl FnOnce(&mut edge::BindOptions)) -> Self {
        let any = Endpoint::parse("tcp://127.0.0.1:0").unwrap();
        let mut options = edge::BindOptions::new(vec![any]);
        adjust(&mut options);
        let (router, sender) = edge::bind(options).unwrap();
        let endpoint = router.local_endpoints()[0].clone();
        let Endpoint::Tcp { host, port } = &endpoint else {
            panic!("not bound to TCP");
        };
        let address = format!("{host}:{port}").parse().unwrap();
        let (honest, to_router) = connect(&endpoint, "honest");
        let mut edge = Self {
            router,
            sender,
            endpoint,
            address,
            honest,
            to_router,
        };
        edge.serves().await;
        edge
    }

    async fn serves(&mut self) {
        let Self {
            router,
            sender,
            honest,
            to_router,
            ..
        } = self;
        round_trip(router, sender, honest, to_router, "honest").await;
    }

    fn raw(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream
    }

    /// A connection that has done its ZMTP handshake as a DEALER.
    fn shaken(&self, identity: &[u8]) -> TcpStream {
        self.shaken_as(&[("Socket-Type", b"DEALER"), ("Identity", identity)])
    }

    /// The same with any properties.
    fn shaken_as(&self, properties: &[(&str, &[u8])]) -> TcpStream {
        let mut stream = self.raw();
        let mut greeting = [0; 64];
        greeting[0] = 0xff;
        greeting[8] = 1;
        greeting[9] = 0x7f;
        greeting[10] = 3;
        greeting[12..16].copy_from_slice(b"NULL");
        stream.write_all(&greeting).unwrap();
        stream.write_all(&ready(properties)).unwrap();
        stream.read_exact(&mut greeting).unwrap();
        let mut head = [0; 2];
        stream.read_exact(&mut head).unwrap();
        let mut body = vec![0; head[1].into()];
        stream.read_exact(&mut body).unwrap();
        assert_eq!(&body[..6], b"\x05READY");
        stream
    }
}

fn connect(endpoint: &Endpoint, identity: &str) -> (Dealer, DealerSender) {
    edge::connect(edge::ConnectOptions::new(endpoint.clone(), id(identity))).unwrap()
}

fn ready(properties: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = b"\x05READY".to_vec();
    for (name, value) in properties {
        body.push(u8::try_from(name.len()).unwrap());
        body.extend(name.as_bytes());
        body.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
        body.extend(*value);
    }
    let mut command = vec![4, u8::try_from(body.len()).unwrap()];
    command.extend(body);
    command
}

/// A short frame.
fn frame(text: &str, more: bool) -> Vec<u8> {
    let mut bytes = vec![u8::from(more), u8::try_from(text.len()).unwrap()];
    bytes.extend(text.as_bytes());
    bytes
}

/// Reads until the other side ends the connection.
fn is_closed(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

/// Reads what has come so far.
fn arrived(stream: &mut TcpStream) -> Vec<u8> {
    stream.set_nonblocking(true).unwrap();
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        all.extend(&buffer[..count]);
    }
    all
}

#[tokio::test]
async fn random_bytes_disturb_nobody() {
    let mut edge = Edge::start(|_| {}).await;
    for seed in 0..100_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        })
        .take(500)
        .collect();
        // Before and after the handshake. The connection may be closed before all is written.
        let _ = edge.raw().write_all(&noise);
        let _ = edge.shaken(&seed.to_be_bytes()).write_all(&noise);
    }
    let Edge {
        to_router,
        honest,
        sender,
        router,
        ..
    } = &mut edge;
    // Noise may hold frames; they are messages like others.
    round_trip(router, sender, honest, to_router, "honest").await;
}

#[tokio::test]
async fn frame_that_says_to_be_huge_ends_its_connection() {
    let mut edge = Edge::start(|_| {}).await;
    for exponent in [24, 32, 40, 62, 63] {
        let mut stream = edge.shaken(b"huge");
        let mut head = vec![2];
        head.extend(((1_u64 << exponent) + 1).to_be_bytes());
        stream.write_all(&head).unwrap();
        assert!(is_closed(&mut stream), "2^{exponent}");
    }
    edge.serves().await;
}

#[tokio::test]
async fn frame_above_the_limit_ends_its_connection() {
    let mut edge = Edge::start(|options| options.tuning.max_frame = 10_000).await;
    let (mut dealer, to_router) = connect(&edge.endpoint, "large");
    to_router.send(frames("x".repeat(10_000))).unwrap();
    let (_, received) = message(&mut edge.router).await;
    assert_eq!(received[0].len(), 10_000);
    to_router.send(frames("x".repeat(10_001))).unwrap();
    state(&mut dealer, DealerEvent::Disconnected).await;
    edge.serves().await;
}

#[tokio::test]
async fn unfinished_handshakes_end_and_hold_up_nobody() {
    let mut edge = Edge::start(|options| {
        options.tuning.handshake = Duration::from_millis(200);
    })
    .await;
    let mut half_open: Vec<TcpStream> = (0..100).map(|_| edge.raw()).collect();
    for stream in half_open.iter_mut().step_by(2) {
        stream.write_all(&[0xff, 0, 0, 0, 0]).unwrap();
    }
    edge.serves().await;
    let closed = tokio::task::spawn_blocking(move || half_open.iter_mut().all(is_closed));
    assert!(closed.await.unwrap());
    edge.serves().await;
}

#[tokio::test]
async fn thousand_connects_and_disconnects_leave_nothing_behind() {
    let files = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let mut edge = Edge::start(|_| {}).await;
    let before = files();
    for number in 0..1000_u32 {
        let mut stream = edge.shaken(&[b'n', number.to_be_bytes()[2], number.to_be_bytes()[3]]);
        if number % 2 == 0 {
            stream.write_all(&frame("hello", false)).unwrap();
        }
    }
    edge.serves().await;
    support::soon(async {
        while files() > before {
            tokio::task::yield_now().await;
        }
    })
    .await;
    edge.serves().await;
}

#[tokio::test]
async fn second_connection_with_an_identity_gets_and_gives_nothing() {
    let mut edge = Edge::start(|_| {}).await;
    let mut thief = edge.shaken(b"honest");
    for number in 0..20 {
        thief
            .write_all(&frame(&format!("stolen {number}"), false))
            .unwrap();
    }
    // Every message that comes is the honest one's, or `round_trip` fails.
    for _ in 0..50 {
        edge.serves().await;
    }
    assert_eq!(arrived(&mut thief), b"");
    drop(thief);
    edge.serves().await;
}

#[tokio::test]
async fn peer_cannot_choose_the_address_that_it_is_known_by() {
    let mut edge = Edge::start(|_| {}).await;
    let mut liar = edge.shaken_as(&[
        ("Socket-Type", b"DEALER"),
        ("Identity", b"liar"),
        ("Peer-Address", b"192.0.2.1"),
    ]);
    for words in ["first", "second"] {
        liar.write_all(&frame(words, false)).unwrap();
        let from = event(&mut edge.router, |event| match event {
            RouterEvent::Message { peer, from, .. } if peer == id("liar") => Some(from),
            _ => None,
        });
        assert_eq!(from.await.as_deref(), Some("127.0.0.1"));
    }
}

#[tokio::test]
async fn client_whose_old_connection_is_half_dead_comes_back() {
    let mut edge = Edge::start(|options| {
        options.tuning.heartbeat = Duration::from_millis(200);
        options.tuning.heartbeat_timeout = Duration::from_millis(200);
    })
    .await;
    // Its kernel still answers, its ZeroMQ does not: like a cable that was cut.
    let mut dead = edge.shaken(b"lost");
    dead.write_all(&frame("before", false)).unwrap();
    let said = |event| match event {
        RouterEvent::Message { peer, frames, .. } if peer == id("lost") => Some(text(&frames)),
        _ => None,
    };
    assert_eq!(event(&mut edge.router, said).await, "before");
    let (mut dealer, to_router) = connect(&edge.endpoint, "lost");
    state(&mut dealer, DealerEvent::Connected).await;
    to_router.send(frames("left aside")).unwrap();
    disconnected(&mut edge.router, &id("lost")).await;
    // Left aside until now, closed now, and connected again.
    state(&mut dealer, DealerEvent::Disconnected).await;
    state(&mut dealer, DealerEvent::Connected).await;
    round_trip(
        &mut edge.router,
        &edge.sender,
        &mut dealer,
        &to_router,
        "lost",
    )
    .await;
    edge.serves().await;
}

#[tokio::test]
async fn connection_that_says_nothing_is_closed() {
    let mut edge = Edge::start(|options| {
        options.first_message = Duration::from_millis(200);
    })
    .await;
    let mut silent = edge.shaken(b"silent");
    let closed = tokio::task::spawn_blocking(move || is_closed(&mut silent));
    assert!(closed.await.unwrap());
    edge.serves().await;
    assert_eq!(edge.router.counters().silent, 1);
}

#[tokio::test]
async fn connections_above_the_cap_are_closed_and_hurt_nobody() {
    let mut edge = Edge::start(|options| options.max_connections = 3).await;
    let (mut first, to_router) = connect(&edge.endpoint, "first");
    round_trip(
        &mut edge.router,
        &edge.sender,
        &mut first,
        &to_router,
        "first",
    )
    .await;
    let (mut second, to_router) = connect(&edge.endpoint, "second");
    round_trip(
        &mut edge.router,
        &edge.sender,
        &mut second,
        &to_router,
        "second",
    )
    .await;
    for _ in 0..20 {
        let mut refused = edge.raw();
        let closed = tokio::task::spawn_blocking(move || is_closed(&mut refused));
        assert!(closed.await.unwrap());
    }
    edge.serves().await;
    let Counters { refused, .. } = edge.router.counters();
    assert_eq!(refused, 20);
    // A place that is free is given to the next one.
    drop(second);
    disconnected(&mut edge.router, &id("second")).await;
    let (mut third, to_router) = connect(&edge.endpoint, "third");
    round_trip(
        &mut edge.router,
        &edge.sender,
        &mut third,
        &to_router,
        "third",
    )
    .await;
}

#[tokio::test]
async fn message_of_many_parts_is_dropped_and_counted() {
    let mut edge = Edge::start(|_| {}).await;
    let mut stream = edge.shaken(b"parts");
    for number in 0..50 {
        stream.write_all(&frame("part", number < 49)).unwrap();
    }
    stream.write_all(&frame("whole", false)).unwrap();
    let (peer, received) = message(&mut edge.router).await;
    assert_eq!((peer, text(&received)), (id("parts"), "whole".to_owned()));
    assert_eq!(edge.router.counters().malformed, 1);
    edge.serves().await;
}

#[tokio::test]
async fn connection_without_an_identity_is_answered_under_a_made_up_one() {
    let mut edge = Edge::start(|_| {}).await;
    let mut stream = edge.shaken(b"");
    stream.write_all(&frame("who am I", false)).unwrap();
    let (peer, _) = message(&mut edge.router).await;
    edge.sender.send(&peer, frames("nobody")).unwrap();
    let mut answer = vec![0; 8];
    tokio::task::spawn_blocking(move || {
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, frame("nobody", false));
    })
    .await
    .unwrap();
    edge.serves().await;
}
