//! Many clients on one thread, each with a connection, an identity and a session of its own.

use std::time::{Duration, Instant};

use gorgone_integration_tests::keys;
use gorgone_protocol::{Answer, Message, Token, decode_answer, encode};
use gorgone_session::{Client, ClientConfig, ClientEvent};

use crate::sample::Sample;

/// How long an answer may take before the measurement has failed.
const PATIENCE: i64 = 30_000;

/// Connections that are driven together.
pub(crate) struct Crowd {
    sockets: Vec<zmq::Socket>,
    sessions: Vec<Client>,
    /// Kept as long as its sockets.
    _context: zmq::Context,
}

impl Crowd {
    /// So many connections; nothing is said over them yet.
    pub(crate) fn connect(endpoint: &str, count: usize) -> Self {
        let context = zmq::Context::new();
        let sockets = (0..count)
            .map(|_| {
                let socket = context.socket(zmq::DEALER).unwrap();
                let name = format!("bench-{:016x}", rand::random::<u64>());
                socket.set_identity(name.as_bytes()).unwrap();
                socket.set_linger(0).unwrap();
                // Who waits for a server to start should not wait for itself.
                socket.set_reconnect_ivl(1).unwrap();
                socket.connect(endpoint).unwrap();
                socket
            })
            .collect();
        Self {
            sockets,
            sessions: (0..count).map(|_| session()).collect(),
            _context: context,
        }
    }

    /// So many connections with a session each.
    pub(crate) fn with_sessions(endpoint: &str, count: usize) -> Self {
        let mut crowd = Self::connect(endpoint, count);
        crowd.greet();
        crowd
    }

    /// Opens a session for everybody.
    pub(crate) fn greet(&mut self) {
        let sessions = &mut self.sessions;
        pump(&self.sockets, |client, frame| match frame {
            None => Some(sessions[client].hello(&mut rand::rng()).unwrap()),
            Some(frame) => {
                let event = sessions[client].handle(frame, &mut rand::rng());
                assert_eq!(event, ClientEvent::Established);
                None
            }
        });
    }

    /// Says frames as they are: `next` is given a client and what it was answered (nothing at
    /// first), and returns what the client says then, nothing when it is done.
    pub(crate) fn frames(&self, next: impl FnMut(usize, Option<&[u8]>) -> Option<Vec<u8>>) {
        pump(&self.sockets, next);
    }

    /// Lets every client do one thing after the other for so long. `next` is given what a
    /// client was answered, nothing at the beginning of a thing; it returns what the client
    /// asks then, nothing when the thing is done.
    pub(crate) fn work(
        &mut self,
        span: Duration,
        mut next: impl FnMut(usize, Option<&Answer>) -> Option<Message>,
    ) -> Sample {
        let began = Instant::now();
        let mut times = Vec::new();
        let mut since = vec![began; self.sockets.len()];
        let sessions = &mut self.sessions;
        pump(&self.sockets, |client, frame| {
            let session = &mut sessions[client];
            let message = frame.and_then(|frame| {
                let ClientEvent::Message(text) = session.handle(frame, &mut rand::rng()) else {
                    panic!("the server said something that is no message");
                };
                next(client, Some(&decode_answer(&text).unwrap()))
            });
            let message = match message {
                Some(message) => message,
                None => {
                    let now = Instant::now();
                    if frame.is_some() {
                        times.push(now - since[client]);
                    }
                    if now - began >= span {
                        return None;
                    }
                    since[client] = now;
                    next(client, None).unwrap()
                }
            };
            session.seal(&encode(&message))
        });
        Sample::new(times, began)
    }
}

/// A token that nobody has used.
pub(crate) fn token() -> Token {
    Token::from_random(rand::random())
}

fn session() -> Client {
    Client::new(ClientConfig {
        hostname: "bench".to_owned(),
        server_key: keys().server.public().clone(),
        key: keys().client.clone(),
        vector: *b"0123456789012345",
        keysize: 32,
    })
}

/// Sends what `next` says to what comes, until nobody has anything to say.
fn pump(sockets: &[zmq::Socket], mut next: impl FnMut(usize, Option<&[u8]>) -> Option<Vec<u8>>) {
    let mut busy = 0;
    for (client, socket) in sockets.iter().enumerate() {
        if let Some(frame) = next(client, None) {
            socket.send(frame, 0).unwrap();
            busy += 1;
        }
    }
    let mut items: Vec<_> = sockets
        .iter()
        .map(|socket| socket.as_poll_item(zmq::POLLIN))
        .collect();
    while busy > 0 {
        let ready = zmq::poll(&mut items, PATIENCE).unwrap();
        assert!(ready > 0, "{busy} clients got no answer");
        for (client, socket) in sockets.iter().enumerate() {
            if !items[client].is_readable() {
                continue;
            }
            while let Ok(frame) = socket.recv_bytes(zmq::DONTWAIT) {
                match next(client, Some(&frame)) {
                    Some(frame) => socket.send(frame, 0).unwrap(),
                    None => busy -= 1,
                }
            }
        }
    }
}
