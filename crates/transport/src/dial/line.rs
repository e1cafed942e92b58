//! The task that owns one connection.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gorgone_protocol::Identity;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::zmtp::{self, Decoder, Incoming};
use super::{Entry, LineEvent, LineId, Lost, Shared};
use crate::Frames;
use crate::queue::{Consumer, weight};

/// Bytes that one read takes at most.
const READ: usize = 64 * 1024;
/// An empty buffer of this size or less is kept for the next message.
const KEPT: usize = 1024;

thread_local! {
    /// One for all lines of a thread: a line has bytes in it only while it runs.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// See the module's doc.
pub(super) struct Task {
    pub(super) id: LineId,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) identity: Identity,
    pub(super) shared: Arc<Shared>,
    pub(super) inbox: mpsc::Sender<Entry>,
    pub(super) letters: Consumer<Frames>,
}

impl Task {
    /// Lives until the connection is lost or its line is dropped.
    pub(super) async fn run(mut self, mut hung_up: oneshot::Receiver<()>) {
        let connected = tokio::select! {
            connected = self.connect() => connected,
            _ = &mut hung_up => return,
        };
        let (mut link, early) = match connected {
            Ok(connected) => connected,
            Err(why) => return self.tell(LineEvent::Lost(why)).await,
        };
        self.tell(LineEvent::Connected).await;
        let lost = tokio::select! {
            lost = self.serve(&mut link, early) => lost,
            _ = &mut hung_up => return self.farewell(&mut link).await,
        };
        self.tell(LineEvent::Lost(lost)).await;
    }

    /// Waits for room in the inbox. An inbox that is gone wants nothing more.
    async fn tell(&self, event: LineEvent) {
        let bytes = match &event {
            LineEvent::Message(frames) => weight(frames),
            LineEvent::Connected | LineEvent::Lost(_) => 0,
        };
        let room = match bytes.min(self.shared.options.inbox.bytes) {
            0 => None,
            bytes => {
                let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
                Arc::clone(&self.shared.room)
                    .acquire_many_owned(bytes)
                    .await
                    .ok()
            }
        };
        let entry = Entry {
            line: self.id,
            event,
            _room: room,
        };
        let _ = self.inbox.send(entry).await;
    }

    async fn connect(&self) -> Result<(Link, Vec<Frames>), Lost> {
        let options = &self.shared.options;
        let opened = timeout(options.connect, async {
            let address = self.resolve().await?;
            TcpStream::connect(address).await
        });
        let stream = match opened.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                return Err(Lost::NobodyListens);
            }
            Ok(Err(error)) => return Err(Lost::Unreachable(error.to_string())),
            Err(_) => return Err(Lost::NoAnswer),
        };
        tune(&stream, options.unanswered).map_err(|error| Lost::Unreachable(error.to_string()))?;
        let mut link = Link {
            stream,
            decoder: Decoder::new(options.max_message),
            out: zmtp::GREETING.to_vec(),
            written: 0,
            pong: None,
        };
        match timeout(options.greeting, link.greet(&self.identity)).await {
            Ok(Ok(early)) => Ok((link, early)),
            Ok(Err(lost)) => Err(lost),
            Err(_) => Err(Lost::Silent),
        }
    }

    async fn resolve(&self) -> io::Result<SocketAddr> {
        if let Ok(address) = self.host.parse::<IpAddr>() {
            return Ok((address, self.port).into());
        }
        let _turn = self.shared.lookups.acquire().await;
        let mut found = tokio::net::lookup_host((self.host.as_str(), self.port)).await?;
        found
            .next()
            .ok_or_else(|| io::Error::other(format!("{} has no address", self.host)))
    }

    async fn serve(&mut self, link: &mut Link, early: Vec<Frames>) -> Lost {
        self.hand_on(early).await;
        loop {
            let idle = link.out.is_empty();
            let done = tokio::select! {
                letter = self.letters.recv(), if idle => match letter {
                    Some(frames) => {
                        zmtp::write(&frames, &mut link.out);
                        link.write()
                    }
                    // The line was dropped, which its other signal tells.
                    None => std::future::pending().await,
                },
                ready = link.stream.writable(), if !idle => ready.and_then(|()| link.write()),
                ready = link.stream.readable() => match ready {
                    Ok(()) => match link.read() {
                        Ok(heard) => {
                            self.hand_on(heard.messages).await;
                            // A PING may have come, too.
                            link.write()
                        }
                        Err(lost) => return lost,
                    },
                    Err(error) => Err(error),
                },
            };
            if let Err(error) = done {
                return error.into();
            }
        }
    }

    async fn hand_on(&self, messages: Vec<Frames>) {
        for frames in messages {
            self.tell(LineEvent::Message(frames)).await;
        }
    }

    /// Lets go what was sent before the line was dropped.
    async fn farewell(&mut self, link: &mut Link) {
        let leaving = async {
            loop {
                if link.out.is_empty() {
                    let Some(frames) = self.letters.try_recv() else {
                        return;
                    };
                    zmtp::write(&frames, &mut link.out);
                }
                if link.stream.writable().await.is_err() || link.write().is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = leaving => {}
            () = sleep(self.shared.options.linger) => {}
        }
    }
}

/// What one read brought.
#[derive(Default)]
struct Heard {
    greeting: bool,
    ready: bool,
    messages: Vec<Frames>,
}

/// A connection and what of it is half done.
struct Link {
    stream: TcpStream,
    decoder: Decoder,
    /// Bytes that are on their way, and how many of them have left.
    out: Vec<u8>,
    written: usize,
    /// The answer to the newest PING. There is one at most: a peer that asks and does not
    /// read must not make us remember more.
    pong: Option<Bytes>,
}

impl Link {
    /// Up to READY of the other side. Returns messages that came with it.
    async fn greet(&mut self, identity: &Identity) -> Result<Vec<Frames>, Lost> {
        loop {
            let idle = self.out.is_empty();
            tokio::select! {
                ready = self.stream.writable(), if !idle => ready?,
                ready = self.stream.readable() => {
                    ready?;
                    let heard = self.read()?;
                    if heard.greeting {
                        self.out.extend_from_slice(&zmtp::ready(identity.as_bytes()));
                    }
                    if heard.ready {
                        return Ok(heard.messages);
                    }
                }
            }
            self.write()?;
        }
    }

    /// Takes what is there; nothing, where there is nothing after all.
    fn read(&mut self) -> Result<Heard, Lost> {
        let Self {
            stream,
            decoder,
            pong,
            ..
        } = self;
        SCRATCH.with_borrow_mut(|scratch| {
            let count = match stream.try_read(scratch) {
                Ok(0) => return Err(ended()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error.into()),
            };
            let mut input = &scratch[..count];
            let mut heard = Heard::default();
            while let Some(incoming) = decoder.next(&mut input)? {
                match incoming {
                    Incoming::Greeting => heard.greeting = true,
                    Incoming::Ready => heard.ready = true,
                    Incoming::Message(frames) => heard.messages.push(frames),
                    Incoming::Ping(context) => *pong = Some(context),
                }
            }
            Ok(heard)
        })
    }

    /// Writes as much as the other side takes now.
    fn write(&mut self) -> io::Result<()> {
        loop {
            if self.written == self.out.len() {
                self.written = 0;
                self.out.clear();
                if self.out.capacity() > KEPT {
                    self.out = Vec::new();
                }
                match self.pong.take() {
                    Some(context) => self.out = zmtp::pong(&context),
                    None => return Ok(()),
                }
            }
            match self.stream.try_write(&self.out[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        Self::Closed(error.to_string())
    }
}

fn ended() -> Lost {
    Lost::Closed("the other side ended it".to_owned())
}

/// A host that is gone must show without anything being sent, and a segment that is not
/// acknowledged must not be waited for as long as TCP would.
fn tune(stream: &TcpStream, unanswered: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    setsockopt(stream, sockopt::KeepAlive, &true)?;
    setsockopt(stream, sockopt::TcpKeepIdle, &30)?;
    setsockopt(stream, sockopt::TcpKeepInterval, &10)?;
    setsockopt(stream, sockopt::TcpKeepCount, &3)?;
    let millis = u32::try_from(unanswered.as_millis()).unwrap_or(u32::MAX);
    setsockopt(stream, sockopt::TcpUserTimeout, &millis)?;
    Ok(())
}
