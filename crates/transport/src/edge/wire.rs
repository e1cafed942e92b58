//! Messages between libzmq's and ours.

use std::net::IpAddr;
use std::os::fd::RawFd;

use bytes::Bytes;

use crate::{Frames, MAX_PARTS};

/// Which connection a message came over, by libzmq's word in the message itself: what the monitor
/// tells of descriptors may come later than a message.
#[derive(Clone, Copy, Default)]
pub(super) struct Source {
    pub(super) fd: Option<RawFd>,
    /// The peer's address; none where it is not an IP connection.
    pub(super) address: Option<IpAddr>,
}

impl Source {
    /// Reads the properties that libzmq gives a message of a connection; "__fd" is what
    /// ZMQ_SRCFD reads.
    fn of(part: &mut zmq::Message) -> Self {
        let address = part.gets("Peer-Address").and_then(|text| {
            let without_scope = text.split('%').next().unwrap_or(text);
            without_scope.parse::<IpAddr>().ok()
        });
        Self {
            fd: part.gets("__fd").and_then(|fd| fd.parse().ok()),
            address: address.map(|address| address.to_canonical()),
        }
    }
}

/// A message as it comes out of libzmq.
pub(super) enum Incoming {
    /// Nothing to read now.
    Nothing,
    /// A message with no part or too many; it has been read and dropped.
    Malformed(Source),
    /// A message.
    Whole(Frames, Source),
}

/// Reads the parts that follow (a ROUTER's identity, already read) or a whole message.
pub(super) fn read_parts(socket: &zmq::Socket) -> Incoming {
    let mut frames = Frames::with_capacity(1);
    let mut source = Source::default();
    let mut count = 0;
    loop {
        let Ok(mut part) = socket.recv_msg(zmq::DONTWAIT) else {
            return Incoming::Nothing;
        };
        count += 1;
        if count == 1 {
            source = Source::of(&mut part);
        }
        if count <= MAX_PARTS {
            frames.push(Bytes::copy_from_slice(&part));
        } else {
            frames = Frames::new();
        }
        if !part.get_more() {
            break;
        }
    }
    if count > MAX_PARTS {
        Incoming::Malformed(source)
    } else {
        Incoming::Whole(frames, source)
    }
}

/// Writes a message whose first part may be refused; the others go where the first one went.
pub(super) fn write_parts(socket: &zmq::Socket, frames: &Frames) -> Result<(), zmq::Error> {
    let last = frames.len().saturating_sub(1);
    for (index, frame) in frames.iter().enumerate() {
        let flags = if index == last {
            zmq::DONTWAIT
        } else {
            zmq::DONTWAIT | zmq::SNDMORE
        };
        socket.send(&frame[..], flags)?;
    }
    Ok(())
}
