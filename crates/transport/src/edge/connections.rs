//! Who is connected, by descriptor: the cap on connections, and the ones that never speak.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gorgone_protocol::Identity;
use nix::sys::socket::{Shutdown, SockaddrStorage, getpeername, shutdown};

use crate::files;

use super::wire::Source;

/// How long a connection that may have been left aside has to show that it was not.
const GRACE: Duration = Duration::from_secs(1);

struct Connection {
    serial: u64,
    from: Option<IpAddr>,
    /// Whom its messages come from; none until the first one.
    speaker: Option<Identity>,
    /// The address that its messages come from, and its text.
    shown: Option<(IpAddr, Arc<str>)>,
    /// Its deadline was brought forward.
    hurried: bool,
    /// It was asked to end.
    cut: bool,
}

/// The connections of one socket.
pub(super) struct Connections {
    open: HashMap<RawFd, Connection>,
    /// When each connection has to have spoken, soonest first; at most two for each.
    deadlines: BinaryHeap<Reverse<(Instant, RawFd, u64)>>,
    first_message: Duration,
    max: usize,
    next_serial: u64,
    /// Counts of [`crate::Counters`] since they were last taken.
    pub(super) refused: usize,
    pub(super) silent: usize,
}

impl Connections {
    pub(super) fn new(max: usize, first_message: Duration) -> Self {
        Self {
            open: HashMap::new(),
            deadlines: BinaryHeap::new(),
            first_message,
            max: files::affordable(max),
            next_serial: 0,
            refused: 0,
            silent: 0,
        }
    }

    /// A connection was accepted. One too many is closed at once.
    pub(super) fn accepted(&mut self, fd: RawFd, now: Instant) {
        self.next_serial += 1;
        let mut connection = Connection {
            serial: self.next_serial,
            from: peer_address(fd),
            speaker: None,
            shown: None,
            hurried: false,
            cut: false,
        };
        if self.open.len() >= self.max {
            self.refused += 1;
            connection.cut(fd);
        } else {
            let deadline = (now + self.first_message, fd, connection.serial);
            self.deadlines.push(Reverse(deadline));
        }
        self.open.insert(fd, connection);
    }

    /// A message came from a connection. Returns the peer and its address, sharing the texts
    /// that are known.
    pub(super) fn spoke(
        &mut self,
        source: Source,
        identity: &[u8],
    ) -> (Identity, Option<Arc<str>>) {
        let Some(connection) = source.fd.and_then(|fd| self.open.get_mut(&fd)) else {
            let address = source.address.map(|address| address.to_string().into());
            return (Identity::new(identity), address);
        };
        let address = source.address.map(|address| match &connection.shown {
            Some((known, text)) if *known == address => Arc::clone(text),
            _ => {
                let text: Arc<str> = address.to_string().into();
                connection.shown = Some((address, Arc::clone(&text)));
                text
            }
        });
        let peer = match &connection.speaker {
            Some(known) if known.as_bytes() == identity => known.clone(),
            _ => {
                let identity = Identity::new(identity);
                connection.speaker = Some(identity.clone());
                identity
            }
        };
        (peer, address)
    }

    /// A connection ended. Returns whose it was. If it had a name, connections that may have
    /// been left aside because of it have little time left to speak: they are closed then, come
    /// back, and get the name.
    pub(super) fn ended(&mut self, fd: RawFd, now: Instant) -> Option<Identity> {
        let ended = self.open.remove(&fd)?;
        if ended.speaker.is_some() {
            for (fd, other) in &mut self.open {
                if other.speaker.is_none()
                    && !other.cut
                    && !other.hurried
                    && other.serial > ended.serial
                    && other.from == ended.from
                {
                    other.hurried = true;
                    let deadline = (now + GRACE, *fd, other.serial);
                    self.deadlines.push(Reverse(deadline));
                }
            }
        }
        ended.speaker
    }

    /// Closes the connections that have not spoken in time. Returns when to look again.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Instant> {
        while let Some(&Reverse((deadline, fd, serial))) = self.deadlines.peek() {
            let silent = self
                .open
                .get_mut(&fd)
                .filter(|c| c.serial == serial && c.speaker.is_none() && !c.cut);
            match silent {
                Some(_) if deadline > now => return Some(deadline),
                Some(connection) => {
                    self.silent += 1;
                    connection.cut(fd);
                }
                None => {}
            }
            self.deadlines.pop();
        }
        None
    }
}

impl Connection {
    /// Ends the connection: libzmq reads an end of stream from it and closes it. Between our
    /// hearing of a connection and this call the descriptor may have been closed and given to
    /// another connection, which then has to connect again.
    fn cut(&mut self, fd: RawFd) {
        self.cut = true;
        let _ = shutdown(fd, Shutdown::Both);
    }
}

fn peer_address(fd: RawFd) -> Option<IpAddr> {
    let address: SockaddrStorage = getpeername(fd).ok()?;
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(IpAddr::V4(v4.ip()));
    }
    let v6 = address.as_sockaddr_in6()?;
    Some(IpAddr::V6(v6.ip()).to_canonical())
}
