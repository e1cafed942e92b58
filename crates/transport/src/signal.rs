//! Waking a socket's thread.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::sync::Notify;

/// Tells the thread that owns a socket that there is something to do: a message to send, room in
/// the inbox, or the wish to stop. Raising it costs a system call only when the thread sleeps.
pub(crate) struct Signal {
    awake: AtomicBool,
    bell: Bell,
    stop: OnceLock<Duration>,
    /// Messages dropped because they had no parts or too many; see `handle::Counters`.
    pub(crate) malformed: AtomicUsize,
    /// Connections closed because there were too many.
    pub(crate) refused: AtomicUsize,
    /// Connections closed because they stayed silent.
    pub(crate) silent: AtomicUsize,
}

enum Bell {
    /// For a thread in poll(2).
    Event(EventFd),
    /// For a task on a runtime.
    Task(Notify),
    /// For nobody: the backend in memory has no thread.
    None,
}

impl Signal {
    fn new(bell: Bell) -> Self {
        Self {
            awake: AtomicBool::new(true),
            bell,
            stop: OnceLock::new(),
            malformed: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            silent: AtomicUsize::new(0),
        }
    }

    pub(crate) fn for_poll() -> nix::Result<Self> {
        let event = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
        Ok(Self::new(Bell::Event(event)))
    }

    pub(crate) fn for_task() -> Self {
        Self::new(Bell::Task(Notify::new()))
    }

    pub(crate) fn none() -> Self {
        Self::new(Bell::None)
    }

    pub(crate) fn raise(&self) {
        match &self.bell {
            Bell::Event(event) => {
                if !self.awake.swap(true, Ordering::SeqCst) {
                    // A full counter wakes as well, so a failed write is no lost wake-up.
                    let _ = event.write(1);
                }
            }
            Bell::Task(notify) => notify.notify_one(),
            Bell::None => {}
        }
    }

    /// Like [`Signal::raise`], for what a task hears from its queue anyway.
    pub(crate) fn raise_thread(&self) {
        if matches!(self.bell, Bell::Event(_)) {
            self.raise();
        }
    }

    /// From here on [`Signal::raise`] rings. Look for work once more before sleeping.
    pub(crate) fn before_sleep(&self) {
        self.awake.store(false, Ordering::SeqCst);
    }

    /// The thread is up: no more ringing, and an old ring is forgotten.
    pub(crate) fn after_sleep(&self) {
        self.awake.store(true, Ordering::SeqCst);
        if let Bell::Event(event) = &self.bell {
            let _ = event.read();
        }
    }

    /// What to poll for reading. -1, which poll(2) ignores, where nothing is to be polled.
    pub(crate) fn fd(&self) -> RawFd {
        match &self.bell {
            Bell::Event(event) => event.as_fd().as_raw_fd(),
            Bell::Task(_) | Bell::None => -1,
        }
    }

    /// Resolves after the next [`Signal::raise`] (cancel-safe).
    pub(crate) async fn raised(&self) {
        match &self.bell {
            Bell::Task(notify) => notify.notified().await,
            Bell::Event(_) | Bell::None => std::future::pending().await,
        }
    }

    /// Asks the thread to stop, and to flush what is queued for at most `linger`.
    pub(crate) fn stop(&self, linger: Duration) {
        let _ = self.stop.set(linger);
        self.raise();
    }

    pub(crate) fn stopping(&self) -> Option<Duration> {
        self.stop.get().copied()
    }
}
