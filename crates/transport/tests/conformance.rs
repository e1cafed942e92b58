//! One suite for every backend: what the rest of the program counts on, wherever it runs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod support;

use std::time::Duration;

use bytes::Bytes;
use gorgone_transport::{DealerEvent, Error, RouterEvent, SendError, Why};
use support::{
    Backend, Kind, Net, disconnected, frames, id, message, reply, round_trip, soon, state, text,
};

async fn request_is_answered(net: Net) {
    let (mut router, sender, endpoint) = net.bind();
    let (mut dealer, to_router) = net.connect(&endpoint, "client");
    round_trip(&mut router, &sender, &mut dealer, &to_router, "client").await;
}

async fn parts_of_a_message_stay_apart(net: Net) {
    let (mut router, sender, endpoint) = net.bind();
    let (mut dealer, to_router) = net.connect(&endpoint, "client");
    let parts = vec![
        Bytes::from_static(b"body"),
        Bytes::new(),
        Bytes::from(vec![7; 300_000]),
    ];
    to_router.send(parts.clone()).unwrap();
    let (peer, received) = message(&mut router).await;
    assert_eq!(received, parts);
    sender.send(&peer, parts.clone()).unwrap();
    assert_eq!(reply(&mut dealer).await, parts);
}

async fn messages_of_one_peer_stay_in_order(net: Net) {
    let (mut router, sender, endpoint) = net.bind();
    let (mut dealer, to_router) = net.connect(&endpoint, "client");
    for number in 0..3000 {
        while to_router.send(frames(number.to_string())) == Err(SendError::Full) {
            tokio::task::yield_now().await;
        }
    }
    for number in 0..3000 {
        let (peer, received) = message(&mut router).await;
        assert_eq!(text(&received), number.to_string());
        // No more than 500 unanswered, since a peer may have only so much in flight.
        sender.send(&peer, received).unwrap();
        if number >= 500 {
            assert_eq!(text(&reply(&mut dealer).await), (number - 500).to_string());
        }
    }
    for number in 2500..3000 {
        assert_eq!(text(&reply(&mut dealer).await), number.to_string());
    }
}

async fn many_peers_are_told_apart(net: Net) {
    let (mut router, sender, endpoint) = net.bind();
    let mut dealers = Vec::new();
    for number in 0..30 {
        let (dealer, to_router) = net.connect(&endpoint, &format!("client-{number}"));
        to_router.send(frames(number.to_string())).unwrap();
        dealers.push((dealer, to_router));
    }
    for _ in 0..30 {
        let (peer, received) = message(&mut router).await;
        assert_eq!(peer, id(&format!("client-{}", text(&received))));
        sender.send(&peer, received).unwrap();
    }
    for (number, (dealer, _)) in dealers.iter_mut().enumerate() {
        assert_eq!(text(&reply(dealer).await), number.to_string());
    }
}

async fn message_for_an_absent_peer_comes_back(net: Net) {
    let (mut router, sender, _) = net.bind();
    sender.send(&id("nobody"), frames("lost")).unwrap();
    let event = soon(router.recv()).await;
    let returned = RouterEvent::Undelivered {
        peer: id("nobody"),
        frames: frames("lost"),
        why: Why::Gone,
    };
    assert_eq!(event, Some(returned));
}

async fn message_for_a_peer_that_left_comes_back(net: Net) {
    let (mut router, sender, endpoint) = net.bind();
    let (mut dealer, to_router) = net.connect(&endpoint, "client");
    round_trip(&mut router, &sender, &mut dealer, &to_router, "client").await;
    dealer.close(Duration::from_secs(1)).await;
    disconnected(&mut router, &id("client")).await;
    // libzmq gives up the name a moment after it tells of the connection's end.
    let why = loop {
        sender.send(&id("client"), frames("late")).unwrap();
        tokio::task::yield_now().await;
        if let Some(RouterEvent::Undelivered { frames, why, .. }) = router.try_recv() {
            assert_eq!(text(&frames), "late");
            break why;
        }
    };
    assert_eq!(why, Why::Gone);
}

async fn peer_that_never_reads_stops_nobody(mut net: Net) {
    net.tight = true;
    let (mut router, sender, endpoint) = net.bind();
    let (_lazy, to_router) = net.connect(&endpoint, "lazy");
    to_router.send(frames("here")).unwrap();
    message(&mut router).await;
    let large = vec![Bytes::from(vec![0; 256 * 1024])];
    let mut sent = 0;
    let why = loop {
        match sender.send(&id("lazy"), large.clone()) {
            Ok(()) => sent += 1,
            Err(SendError::Full) => tokio::task::yield_now().await,
            Err(SendError::Closed) => panic!("the router is closed"),
        }
        assert!(
            sent < 1000,
            "a peer that does not read holds {sent} messages"
        );
        if let Some(RouterEvent::Undelivered { peer, why, .. }) = router.try_recv() {
            assert_eq!(peer, id("lazy"));
            break why;
        }
    };
    assert_eq!(why, Why::Full);
    let (mut busy, to_router) = net.connect(&endpoint, "busy");
    for _ in 0..10 {
        round_trip(&mut router, &sender, &mut busy, &to_router, "busy").await;
    }
}

async fn sender_without_a_reader_is_told_full(mut net: Net) {
    net.tight = true;
    let endpoint = net.known_endpoint();
    let (_dealer, to_router) = net.connect(&endpoint, "client");
    let refused = (0..1000).find_map(|_| to_router.send(frames("x")).err());
    assert_eq!(refused, Some(SendError::Full));
}

async fn messages_wait_for_the_router_to_be_bound(net: Net) {
    let endpoint = net.known_endpoint();
    let (mut dealer, to_router) = net.connect(&endpoint, "early");
    to_router.send(frames("first")).unwrap();
    to_router.send(frames("second")).unwrap();
    let (mut router, _sender) = net.try_bind(&endpoint).unwrap();
    assert_eq!(text(&message(&mut router).await.1), "first");
    assert_eq!(text(&message(&mut router).await.1), "second");
    state(&mut dealer, DealerEvent::Connected).await;
}

async fn clients_come_back_after_a_restart(net: Net) {
    let (mut router, sender, endpoint) = net.bind();
    let mut dealers = Vec::new();
    for name in ["one", "two", "three"] {
        let (mut dealer, to_router) = net.connect(&endpoint, name);
        round_trip(&mut router, &sender, &mut dealer, &to_router, name).await;
        dealers.push((dealer, to_router, name));
    }
    router.close(Duration::from_secs(1)).await;
    for (dealer, _, _) in &mut dealers {
        state(dealer, DealerEvent::Disconnected).await;
    }
    let (mut router, sender) = net.try_bind(&endpoint).unwrap();
    for (dealer, to_router, name) in &mut dealers {
        state(dealer, DealerEvent::Connected).await;
        round_trip(&mut router, &sender, dealer, to_router, name).await;
    }
}

async fn receiving_can_be_cancelled(net: Net) {
    let (mut router, _sender, endpoint) = net.bind();
    let (_dealer, to_router) = net.connect(&endpoint, "client");
    let total = 2000;
    let (mut sent, mut received) = (0, 0);
    while received < total {
        if sent < total && to_router.send(frames(sent.to_string())).is_ok() {
            sent += 1;
        }
        tokio::select! {
            biased;
            () = tokio::task::yield_now() => {}
            event = router.recv() => {
                if let Some(RouterEvent::Message { frames, .. }) = event {
                    assert_eq!(text(&frames), received.to_string());
                    received += 1;
                }
            }
        }
    }
}

async fn closing_sends_what_is_queued_and_frees_the_port(net: Net) {
    let (mut router, sender, endpoint) = net.bind();
    let (mut dealer, to_router) = net.connect(&endpoint, "client");
    round_trip(&mut router, &sender, &mut dealer, &to_router, "client").await;
    for number in 0..200 {
        sender
            .send(&id("client"), frames(number.to_string()))
            .unwrap();
    }
    soon(router.close(Duration::from_secs(10))).await;
    assert_eq!(
        sender.send(&id("client"), frames("x")),
        Err(SendError::Closed)
    );
    let _again = net.try_bind(&endpoint).unwrap();
    for number in 0..200 {
        assert_eq!(text(&reply(&mut dealer).await), number.to_string());
    }
}

async fn closing_a_client_sends_what_is_queued(net: Net) {
    let (mut router, sender, endpoint) = net.bind();
    let (mut dealer, to_router) = net.connect(&endpoint, "client");
    round_trip(&mut router, &sender, &mut dealer, &to_router, "client").await;
    for number in 0..200 {
        to_router.send(frames(number.to_string())).unwrap();
    }
    soon(dealer.close(Duration::from_secs(10))).await;
    assert_eq!(to_router.send(frames("x")), Err(SendError::Closed));
    for number in 0..200 {
        assert_eq!(text(&message(&mut router).await.1), number.to_string());
    }
}

async fn dropping_the_receiver_closes_the_socket(net: Net) {
    let (router, sender, endpoint) = net.bind();
    let (mut dealer, _to_router) = net.connect(&endpoint, "client");
    state(&mut dealer, DealerEvent::Connected).await;
    drop(router);
    state(&mut dealer, DealerEvent::Disconnected).await;
    while sender.send(&id("client"), frames("x")) != Err(SendError::Closed) {
        tokio::task::yield_now().await;
    }
}

async fn endpoint_in_use_is_refused(net: Net) {
    let (mut router, sender, endpoint) = net.bind();
    let error = net.try_bind(&endpoint).err();
    assert!(matches!(error, Some(Error::InUse(_))), "{error:?}");
    let (mut dealer, to_router) = net.connect(&endpoint, "client");
    round_trip(&mut router, &sender, &mut dealer, &to_router, "client").await;
}

async fn end_of_a_peer_is_reported(net: Net) {
    let (mut router, sender, endpoint) = net.bind();
    let (mut dealer, to_router) = net.connect(&endpoint, "client");
    round_trip(&mut router, &sender, &mut dealer, &to_router, "client").await;
    drop(dealer);
    disconnected(&mut router, &id("client")).await;
    // The name is free for the next one.
    let (mut dealer, to_router) = net.connect(&endpoint, "client");
    round_trip(&mut router, &sender, &mut dealer, &to_router, "client").await;
}

macro_rules! suite {
    ($($test:ident),* $(,)?) => {
        suite!(@ edge_tcp Edge Tcp $($test)*);
        suite!(@ edge_ipc Edge Ipc $($test)*);
        suite!(@ bus_tcp Bus Tcp $($test)*);
        suite!(@ bus_ipc Bus Ipc $($test)*);
        suite!(@ memory Memory Tcp $($test)*);
    };
    (@ $name:ident $backend:ident $kind:ident $($test:ident)*) => {
        mod $name {
            use super::{Backend, Kind, Net};
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(Net::new(Backend::$backend, Kind::$kind)).await;
                }
            )*
        }
    };
}

suite!(
    request_is_answered,
    parts_of_a_message_stay_apart,
    messages_of_one_peer_stay_in_order,
    many_peers_are_told_apart,
    message_for_an_absent_peer_comes_back,
    message_for_a_peer_that_left_comes_back,
    peer_that_never_reads_stops_nobody,
    sender_without_a_reader_is_told_full,
    messages_wait_for_the_router_to_be_bound,
    clients_come_back_after_a_restart,
    receiving_can_be_cancelled,
    closing_sends_what_is_queued_and_frees_the_port,
    closing_a_client_sends_what_is_queued,
    dropping_the_receiver_closes_the_socket,
    endpoint_in_use_is_refused,
    end_of_a_peer_is_reported,
);
