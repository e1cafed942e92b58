//! A stream that gives up on a peer that dawdles.
//!
//! ```text
//! idle ──first byte of a request──▶ head ──the service has it──▶ busy ──answered──▶ idle
//!  keep_alive_timeout               header_timeout                (the body has a time of its own)
//! ```
//! A peer that does not read what it is sent is given `write_timeout`, whatever it does.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a peer may take for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) header: Duration,
    pub(crate) keep_alive: Duration,
    pub(crate) write: Duration,
}

/// Requests of one connection that are being answered, the last byte of the answer included.
#[derive(Clone, Debug, Default)]
pub(crate) struct Busy(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    now: AtomicUsize,
    ever: AtomicUsize,
}

impl Busy {
    pub(crate) fn begin(&self) -> Request {
        self.0.now.fetch_add(1, Ordering::AcqRel);
        self.0.ever.fetch_add(1, Ordering::AcqRel);
        Request(Arc::clone(&self.0))
    }

    fn is_idle(&self) -> bool {
        self.0.now.load(Ordering::Acquire) == 0
    }

    fn ever(&self) -> usize {
        self.0.ever.load(Ordering::Acquire)
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct Request(Arc<Counts>);

impl Drop for Request {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::AcqRel);
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Idle,
    Head,
    Busy,
}

/// See the module's doc.
pub(crate) struct Stalls<S> {
    stream: S,
    times: Times,
    busy: Busy,
    phase: Phase,
    /// How many requests there had been when the phase was last looked at.
    seen: usize,
    /// When the phase is over; not looked at while busy.
    timer: Pin<Box<Sleep>>,
    /// When the peer must have read something, while it does not.
    stuck: Option<Pin<Box<Sleep>>>,
}

impl<S> Stalls<S> {
    /// A fresh connection must send the head of its first request within its time.
    pub(crate) fn new(stream: S, times: Times, busy: Busy) -> Self {
        Self {
            stream,
            times,
            busy,
            phase: Phase::Head,
            seen: 0,
            timer: Box::pin(sleep_until(Instant::now() + times.header)),
            stuck: None,
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        let time = match phase {
            Phase::Head => self.times.header,
            Phase::Idle | Phase::Busy => self.times.keep_alive,
        };
        self.timer.as_mut().reset(Instant::now() + time);
    }

    /// Follows what became of the connection's requests.
    fn settle(&mut self) {
        let (idle, ever) = (self.busy.is_idle(), self.busy.ever());
        let came = std::mem::replace(&mut self.seen, ever) != ever;
        match self.phase {
            _ if !idle => self.phase = Phase::Busy,
            Phase::Busy => self.enter(Phase::Idle),
            Phase::Idle | Phase::Head if came => self.enter(Phase::Idle),
            Phase::Idle | Phase::Head => {}
        }
    }

    /// Whether the peer, of whom nothing more is there to be read, still has time.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.settle();
        if self.phase != Phase::Busy && self.timer.as_mut().poll(cx).is_ready() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }

    fn wrote<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.stuck = None;
            return poll;
        }
        let deadline = self.times.write;
        let stuck = self
            .stuck
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + deadline)));
        ready!(stuck.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalls<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if read.is_pending() {
            this.check(cx)?;
        } else if buffer.filled().len() > before {
            this.settle();
            if this.phase == Phase::Idle {
                this.enter(Phase::Head);
            }
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalls<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let wrote = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.wrote(cx, wrote)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let wrote = Pin::new(&mut this.stream).poll_write_vectored(cx, parts);
        this.wrote(cx, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        this.wrote(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.wrote(cx, shut)
    }
}
