//! ZMTP 3 as a DEALER without security speaks it: bytes to frames and back, without IO.
//!
//! ```text
//! greeting   64 bytes each way: signature, version, mechanism NULL
//! READY      a command each way: the kind of socket, our identity
//! then       frames: flags, length, body; PING is answered with PONG
//! ```
//! Memory is taken for bytes that came, never for a length that was announced.

use bytes::Bytes;

use super::Lost;
use crate::{Frames, MAX_PARTS};

const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;

/// How the command begins that asks whether we are there, and how its answer does.
const ASKED: &[u8] = b"\x04PING";
const ANSWERED: &[u8] = b"\x04PONG";

/// Longest command that means anything to us.
const MAX_COMMAND: usize = 4096;
/// Most bytes of a PING that its answer repeats.
const MAX_CONTEXT: usize = 16;
/// Bodies up to this length get their memory at once.
const AT_ONCE: usize = 16 * 1024;

/// What a connection begins with.
pub(super) const GREETING: [u8; 64] = {
    let mut greeting = [0; 64];
    greeting[0] = 0xff;
    greeting[9] = 0x7f;
    greeting[10] = 3;
    greeting[12] = b'N';
    greeting[13] = b'U';
    greeting[14] = b'L';
    greeting[15] = b'L';
    greeting
};

/// The command that says who we are.
pub(super) fn ready(identity: &[u8]) -> Vec<u8> {
    let mut body = b"\x05READY".to_vec();
    for (name, value) in [
        (&b"Socket-Type"[..], &b"DEALER"[..]),
        (b"Identity", identity),
    ] {
        body.push(short(name.len()));
        body.extend_from_slice(name);
        body.extend_from_slice(&u32::from(short(value.len())).to_be_bytes());
        body.extend_from_slice(value);
    }
    let mut out = Vec::new();
    frame(COMMAND, &body, &mut out);
    out
}

/// The answer to a PING.
pub(super) fn pong(context: &[u8]) -> Vec<u8> {
    let mut body = ANSWERED.to_vec();
    body.extend_from_slice(context);
    let mut out = Vec::new();
    frame(COMMAND, &body, &mut out);
    out
}

/// Writes a message.
pub(super) fn write(frames: &Frames, out: &mut Vec<u8>) {
    let last = frames.len().saturating_sub(1);
    for (index, part) in frames.iter().enumerate() {
        frame(if index == last { 0 } else { MORE }, part, out);
    }
}

fn frame(flags: u8, body: &[u8], out: &mut Vec<u8>) {
    out.reserve(body.len() + 9);
    if let Ok(length) = u8::try_from(body.len()) {
        out.extend_from_slice(&[flags, length]);
    } else {
        out.push(flags | LONG);
        out.extend_from_slice(&(body.len() as u64).to_be_bytes());
    }
    out.extend_from_slice(body);
}

/// Names and identities are checked to be shorter than this.
fn short(length: usize) -> u8 {
    u8::try_from(length).unwrap_or(u8::MAX)
}

/// Something whole that came in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// The other side speaks ZMTP 3 without security.
    Greeting,
    /// The other side is a socket that answers a DEALER.
    Ready,
    /// A message.
    Message(Frames),
    /// It asks whether we are there, and wants these bytes back.
    Ping(Bytes),
}

#[derive(Clone, Copy)]
enum State {
    Greeting,
    /// The first bytes of a frame: flags and length, and how many of them are there.
    Header([u8; 9], usize),
    Body {
        flags: u8,
        length: usize,
    },
}

/// Takes bytes as they come.
pub(super) struct Decoder {
    state: State,
    held: Vec<u8>,
    parts: Frames,
    /// Bytes of the parts before the last one.
    before: usize,
    ready: bool,
    max: usize,
}

const HEADER: State = State::Header([0; 9], 0);

impl Decoder {
    /// For messages of at most `max` bytes.
    pub(super) const fn new(max: usize) -> Self {
        Self {
            state: State::Greeting,
            held: Vec::new(),
            parts: Frames::new(),
            before: 0,
            ready: false,
            max,
        }
    }

    /// Takes what it needs of the input. Nothing, when the input is used up and nothing whole
    /// came of it.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Incoming>, Lost> {
        loop {
            match self.state {
                State::Greeting => {
                    let whole = self.take(input, GREETING.len());
                    check_greeting(whole.as_deref().unwrap_or(&self.held))?;
                    if whole.is_none() {
                        return Ok(None);
                    }
                    self.state = HEADER;
                    return Ok(Some(Incoming::Greeting));
                }
                State::Header(mut bytes, mut count) => {
                    let Some((first, rest)) = input.split_first() else {
                        return Ok(None);
                    };
                    *input = rest;
                    bytes[count] = *first;
                    count += 1;
                    let flags = bytes[0];
                    if flags & !(MORE | LONG | COMMAND) != 0 {
                        return Err(Lost::Malformed);
                    }
                    let long = flags & LONG != 0;
                    self.state = State::Header(bytes, count);
                    if count == if long { 9 } else { 2 } {
                        let length = if long {
                            let [_, length @ ..] = bytes;
                            u64::from_be_bytes(length)
                        } else {
                            u64::from(bytes[1])
                        };
                        self.state = self.body(flags, length)?;
                    }
                }
                State::Body { flags, length } => {
                    let Some(body) = self.take(input, length) else {
                        return Ok(None);
                    };
                    self.state = HEADER;
                    if let Some(whole) = self.whole(flags, body)? {
                        return Ok(Some(whole));
                    }
                }
            }
        }
    }

    /// A body of exactly this length, once all of it is there.
    fn take(&mut self, input: &mut &[u8], length: usize) -> Option<Vec<u8>> {
        let missing = length - self.held.len();
        if self.held.is_empty() && length <= AT_ONCE {
            self.held.reserve_exact(length);
        }
        let (now, later) = input.split_at(missing.min(input.len()));
        self.held.extend_from_slice(now);
        *input = later;
        (self.held.len() == length).then(|| std::mem::take(&mut self.held))
    }

    fn body(&self, flags: u8, length: u64) -> Result<State, Lost> {
        let command = flags & COMMAND != 0;
        // Before READY there are commands only, and a command is one frame, between messages.
        let allowed = if command {
            flags & MORE == 0 && self.parts.is_empty() && length <= MAX_COMMAND as u64
        } else {
            self.ready && self.parts.len() < MAX_PARTS
        };
        if !allowed {
            return Err(Lost::Malformed);
        }
        match usize::try_from(length) {
            Ok(length) if length <= self.max.saturating_sub(self.before) || command => {
                Ok(State::Body { flags, length })
            }
            _ => Err(Lost::TooLong {
                bytes: length,
                max: self.max,
            }),
        }
    }

    fn whole(&mut self, flags: u8, body: Vec<u8>) -> Result<Option<Incoming>, Lost> {
        if flags & COMMAND != 0 {
            return self.command(&body);
        }
        self.before += body.len();
        self.parts.push(Bytes::from(body));
        if flags & MORE != 0 {
            return Ok(None);
        }
        self.before = 0;
        Ok(Some(Incoming::Message(std::mem::take(&mut self.parts))))
    }

    fn command(&mut self, body: &[u8]) -> Result<Option<Incoming>, Lost> {
        if let Some(rest) = body.strip_prefix(ASKED) {
            let context = rest.get(2..).ok_or(Lost::Malformed)?;
            let context = &context[..context.len().min(MAX_CONTEXT)];
            return Ok(Some(Incoming::Ping(Bytes::copy_from_slice(context))));
        }
        // The answer to a question that we never ask; others may come from later versions.
        if self.ready {
            return Ok(None);
        }
        match counted(body).ok_or(Lost::Malformed)? {
            (b"READY", properties) => {
                check_socket(properties)?;
                self.ready = true;
                Ok(Some(Incoming::Ready))
            }
            (b"ERROR", _) => Err(Lost::TurnedAway),
            _ => Err(Lost::Malformed),
        }
    }
}

/// A length in one byte, and so many bytes after it.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

/// Looks at as much of a greeting as is there.
fn check_greeting(bytes: &[u8]) -> Result<(), Lost> {
    let signature = bytes.first().is_none_or(|first| *first == 0xff)
        && bytes.get(9).is_none_or(|last| last & 1 == 1);
    if !signature || bytes.get(10).is_some_and(|version| *version < 3) {
        return Err(Lost::NotZmtp);
    }
    match bytes.get(12..32) {
        Some(mechanism) if mechanism != &GREETING[12..32] => Err(Lost::Secured),
        _ => Ok(()),
    }
}

/// Looks for the kind of socket among the properties of READY.
fn check_socket(mut properties: &[u8]) -> Result<(), Lost> {
    while let Some((name, rest)) = counted(properties) {
        let value = rest.split_first_chunk::<4>().and_then(|(length, rest)| {
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            rest.split_at_checked(length)
        });
        let (value, rest) = value.ok_or(Lost::Malformed)?;
        if name.eq_ignore_ascii_case(b"Socket-Type") {
            return match value {
                b"ROUTER" | b"DEALER" | b"REP" => Ok(()),
                _ => Err(Lost::TurnedAway),
            };
        }
        properties = rest;
    }
    Err(Lost::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeted(max: usize) -> Decoder {
        let mut decoder = Decoder::new(max);
        let mut bytes = GREETING.to_vec();
        let mut body = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06ROUTER".to_vec();
        body.extend_from_slice(b"\x08Identity\x00\x00\x00\x00");
        frame(COMMAND, &body, &mut bytes);
        let mut input = &bytes[..];
        assert_eq!(decoder.next(&mut input), Ok(Some(Incoming::Greeting)));
        assert_eq!(decoder.next(&mut input), Ok(Some(Incoming::Ready)));
        assert_eq!(decoder.next(&mut input), Ok(None));
        decoder
    }

    #[test]
    fn message_is_read_however_its_bytes_are_cut() {
        let message: Frames = vec![Bytes::from("one"), Bytes::from(vec![7; 300])];
        let mut bytes = Vec::new();
        write(&message, &mut bytes);
        for cut in 1..bytes.len() {
            let mut decoder = greeted(1000);
            let (mut first, mut second) = bytes.split_at(cut);
            assert_eq!(decoder.next(&mut first), Ok(None), "cut at {cut}");
            let whole = Some(Incoming::Message(message.clone()));
            assert_eq!(decoder.next(&mut second), Ok(whole), "cut at {cut}");
        }
    }

    #[test]
    fn announced_length_takes_no_memory() {
        let mut decoder = greeted(1 << 30);
        let mut input: &[u8] = &[LONG, 0, 0, 0, 0, 0x3f, 0xff, 0xff, 0xff, 1, 2, 3];
        assert_eq!(decoder.next(&mut input), Ok(None));
        assert!(decoder.held.capacity() < 100);
        let mut decoder = greeted(1000);
        let mut input: &[u8] = &[LONG, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        let refused = decoder.next(&mut input);
        assert!(matches!(refused, Err(Lost::TooLong { .. })), "{refused:?}");
        // The parts of one message share its limit.
        let mut decoder = greeted(1000);
        let mut bytes = Vec::new();
        write(
            &vec![Bytes::from(vec![0; 600]), Bytes::from(vec![0; 600])],
            &mut bytes,
        );
        let refused = decoder.next(&mut &bytes[..]);
        assert!(matches!(refused, Err(Lost::TooLong { .. })), "{refused:?}");
    }

    #[test]
    fn whoever_speaks_something_else_is_told_apart_by_its_first_bytes() {
        let of = |bytes: &[u8]| Decoder::new(1000).next(&mut &bytes[..]);
        assert_eq!(of(b"HTTP/1.1 400 Bad Request"), Err(Lost::NotZmtp));
        assert_eq!(of(b"S"), Err(Lost::NotZmtp));
        assert_eq!(
            of(&[0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 1]),
            Err(Lost::NotZmtp)
        );
        let mut curve = GREETING;
        curve[12..17].copy_from_slice(b"CURVE");
        assert_eq!(of(&curve), Err(Lost::Secured));
        // A message before READY, unknown flags, too many parts.
        for bytes in [
            &[0, 1, b'x'][..],
            &[COMMAND | MORE, 1, 0],
            &[COMMAND, 6, 5, b'O', b'T', b'H', b'E', b'R'],
        ] {
            let mut decoder = Decoder::new(1000);
            assert!(decoder.next(&mut &GREETING[..]).is_ok());
            assert_eq!(decoder.next(&mut &*bytes), Err(Lost::Malformed));
        }
        let parts = [MORE, 0].repeat(MAX_PARTS + 1);
        assert_eq!(greeted(9).next(&mut &parts[..]), Err(Lost::Malformed));
        assert_eq!(greeted(9).next(&mut &[0x80, 0][..]), Err(Lost::Malformed));
    }

    #[test]
    fn ping_is_answered_with_its_own_bytes() {
        let mut bytes = Vec::new();
        frame(COMMAND, b"\x04PING\x00\x64context", &mut bytes);
        let ping = greeted(1000).next(&mut &bytes[..]);
        assert_eq!(
            ping,
            Ok(Some(Incoming::Ping(Bytes::from_static(b"context"))))
        );
        assert_eq!(pong(b"context"), b"\x04\x0c\x04PONGcontext");
    }
}
