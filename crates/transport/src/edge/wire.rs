//! Messages between libzmq's and ours.

use std::os::fd::RawFd;

use bytes::Bytes;

use crate::{Frames, MAX_PARTS};

/// A message as it comes out of libzmq.
pub(super) enum Incoming {
    /// Nothing to read now.
    Nothing,
    /// A message with no part or too many; it has been read and dropped.
    Malformed(Option<RawFd>),
    /// A message.
    Whole(Frames, Option<RawFd>),
}

/// Reads the parts that follow (a ROUTER's identity, already read) or a whole message.
pub(super) fn read_parts(socket: &zmq::Socket) -> Incoming {
    let mut frames = Frames::with_capacity(1);
    let mut from = None;
    let mut count = 0;
    loop {
        let Ok(mut part) = socket.recv_msg(zmq::DONTWAIT) else {
            return Incoming::Nothing;
        };
        count += 1;
        if count == 1 {
            // The connection's descriptor; "__fd" is how libzmq names it in a message's
            // properties (what ZMQ_SRCFD reads).
            from = part.gets("__fd").and_then(|fd| fd.parse().ok());
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
        Incoming::Malformed(from)
    } else {
        Incoming::Whole(frames, from)
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
