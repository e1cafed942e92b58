//! What only the bus does: it trusts its peers, and lets a newcomer replace its old self.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod support;

use std::os::unix::net::UnixListener;

use gorgone_protocol::Endpoint;
use gorgone_transport::{DealerEvent, Error, RouterEvent};
use support::{Backend, Kind, Net, event, frames, id, reply, round_trip, state, text};

#[tokio::test]
async fn newcomer_takes_the_place_of_its_old_connection() {
    let net = Net::new(Backend::Bus, Kind::Tcp);
    let (mut router, sender, endpoint) = net.bind();
    let (mut old, to_router) = net.connect(&endpoint, "module");
    round_trip(&mut router, &sender, &mut old, &to_router, "module").await;
    let (mut new, to_router) = net.connect(&endpoint, "module");
    event(&mut router, |event| {
        (event == RouterEvent::Connected(id("module"))).then_some(())
    })
    .await;
    state(&mut old, DealerEvent::Disconnected).await;
    drop(old);
    to_router.send(frames("I am back")).unwrap();
    event(&mut router, |event| match event {
        RouterEvent::Message { frames, .. } => (text(&frames) == "I am back").then_some(()),
        _ => None,
    })
    .await;
    sender.send(&id("module"), frames("welcome")).unwrap();
    assert_eq!(text(&reply(&mut new).await), "welcome");
}

#[tokio::test]
async fn connection_is_told_before_its_first_message() {
    let net = Net::new(Backend::Bus, Kind::Ipc);
    let (mut router, _sender, endpoint) = net.bind();
    for name in ["one", "two", "three"] {
        let (mut dealer, to_router) = net.connect(&endpoint, name);
        to_router.send(frames("hello")).unwrap();
        let first = support::soon(router.recv()).await;
        assert_eq!(first, Some(RouterEvent::Connected(id(name))));
        let second = support::soon(router.recv()).await;
        let peer = id(name);
        let frames = frames("hello");
        assert_eq!(
            second,
            Some(RouterEvent::Message {
                peer,
                frames,
                from: None
            })
        );
        state(&mut dealer, DealerEvent::Connected).await;
        drop(dealer);
        let third = support::soon(router.recv()).await;
        assert_eq!(third, Some(RouterEvent::Disconnected(id(name))));
    }
}

#[tokio::test]
async fn socket_file_of_a_dead_process_is_replaced() {
    for backend in [Backend::Bus, Backend::Edge] {
        let net = Net::new(backend, Kind::Ipc);
        let Endpoint::Ipc { path } = net.endpoint() else {
            panic!("not a Unix socket");
        };
        // Closed, but its file stays.
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let (mut router, sender, endpoint) = net.bind();
        let (mut dealer, to_router) = net.connect(&endpoint, "client");
        round_trip(&mut router, &sender, &mut dealer, &to_router, "client").await;
    }
}

#[tokio::test]
async fn file_that_is_no_socket_is_left_alone() {
    for backend in [Backend::Bus, Backend::Edge] {
        let net = Net::new(backend, Kind::Ipc);
        let Endpoint::Ipc { path } = net.endpoint() else {
            panic!("not a Unix socket");
        };
        std::fs::write(&path, "precious").unwrap();
        let error = net.try_bind(&net.endpoint()).err();
        assert!(matches!(error, Some(Error::Unusable { .. })), "{error:?}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}
