//! libzmq's socket monitor: what happens to connections, by their descriptor.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the monitor tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// A connection was accepted; its handshake is still to come.
    Accepted(RawFd),
    /// A handshake is done. libzmq does not say whose.
    HandshakeSucceeded,
    /// A connection, with or without a handshake, has ended.
    Disconnected(RawFd),
}

/// The receiving end of a monitor.
pub(super) struct Monitor {
    pub(super) socket: zmq::Socket,
}

// The numbers of zmq.h; the crate's own reader panics at a number that it does not know.
const ACCEPTED: u16 = 0x0020;
const DISCONNECTED: u16 = 0x0200;
const HANDSHAKE_SUCCEEDED: u16 = 0x1000;

impl Monitor {
    pub(super) fn attach(context: &zmq::Context, to: &zmq::Socket) -> Result<Self, zmq::Error> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("inproc://monitor-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let events = ACCEPTED | DISCONNECTED | HANDSHAKE_SUCCEEDED;
        to.monitor(&name, i32::from(events))?;
        let socket = context.socket(zmq::PAIR)?;
        // libzmq's IO thread blocks when this queue is full, and with it every connection.
        // Without a limit, since the owner never does anything that could keep it from reading.
        socket.set_rcvhwm(0)?;
        socket.set_linger(0)?;
        socket.connect(&name)?;
        Ok(Self { socket })
    }

    /// The next change, if there is one.
    pub(super) fn next(&self) -> Option<Change> {
        loop {
            let head = self.socket.recv_msg(zmq::DONTWAIT).ok()?;
            let mut more = head.get_more();
            while more {
                more = self.socket.recv_msg(zmq::DONTWAIT).ok()?.get_more();
            }
            let Some(([e0, e1], [v0, v1, v2, v3])) = split(&head) else {
                continue;
            };
            let value = i32::from_ne_bytes([v0, v1, v2, v3]);
            match u16::from_ne_bytes([e0, e1]) {
                ACCEPTED => return Some(Change::Accepted(value)),
                DISCONNECTED => return Some(Change::Disconnected(value)),
                HANDSHAKE_SUCCEEDED => return Some(Change::HandshakeSucceeded),
                _ => {}
            }
        }
    }
}

fn split(head: &[u8]) -> Option<([u8; 2], [u8; 4])> {
    let (event, value) = head.split_first_chunk::<2>()?;
    Some((*event, value.first_chunk().copied()?))
}
