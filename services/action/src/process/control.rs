//! Telling a running process from outside that it shall end.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{read, write};

/// Who wants it to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Why {
    /// CANCEL.
    Cancelled,
    /// The service stops, and its deadline is near.
    Stopping,
}

/// Shared by whoever runs a request and whoever may end it.
#[derive(Debug)]
pub(crate) struct Control {
    why: Mutex<Option<Why>>,
    bell: OwnedFd,
}

impl Control {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            why: Mutex::new(None),
            bell: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    /// Asks for the end; the first reason stays.
    pub(crate) fn end(&self, why: Why) {
        self.why
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(why);
        let _ = write(&self.bell, &1u64.to_ne_bytes());
    }

    pub(crate) fn wanted(&self) -> Option<Why> {
        *self.why.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Readable once the end is wanted.
    pub(crate) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Forgets that the bell rang; what it rang for stays.
    pub(crate) fn silence(&self) {
        let _ = read(&self.bell, &mut [0u8; 8]);
    }
}
