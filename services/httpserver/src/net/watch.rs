//! Tells when files change, without looking again and again: the system says it.
//!
//! The folders are watched and not the files, since certificates are renewed by putting new
//! files, or new links, in the place of the old ones.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::net::unix::pipe::Receiver;

/// Folders that are watched.
pub(crate) struct Watch {
    /// The system's events are read like the bytes of a pipe; what they say does not matter.
    events: Receiver,
}

impl Watch {
    /// Watches the folders of these files.
    ///
    /// # Errors
    /// When the system lets nobody watch any more, or a folder is not there.
    pub(crate) fn of(files: &[&Path]) -> io::Result<Self> {
        let flags = InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC;
        let inotify = Inotify::init(flags)?;
        let folders: BTreeSet<&Path> = files
            .iter()
            .map(|file| match file.parent() {
                Some(folder) if folder != Path::new("") => folder,
                _ => Path::new("."),
            })
            .collect();
        let changes = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_DELETE;
        for folder in folders {
            inotify.add_watch(folder, changes)?;
        }
        Ok(Self {
            events: Receiver::from_owned_fd_unchecked(OwnedFd::from(inotify))?,
        })
    }

    /// Waits until something in the folders has changed. Cancel-safe.
    ///
    /// # Errors
    /// When the system does not tell any more.
    pub(crate) async fn changed(&self) -> io::Result<()> {
        let mut events = [0; 4096];
        loop {
            self.events.readable().await?;
            match self.events.try_read(&mut events) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}
