//! The monitoring engine's pipe: writing lines to it without ever hanging on it.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gorgone_protocol::Reason;
use gorgone_protocol::request::engine::EngineLine;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::process::{Control, Why};

/// Writes of up to this size are whole or not at all, so that lines of several writers do not
/// mix: `PIPE_BUF` of Linux.
const ATOMIC: usize = 4096;
/// How often is looked again for a reader.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Lines that did not reach the engine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineFailure {
    #[error("engine pipe '{}' is missing", .0.display())]
    Missing(PathBuf),
    #[error("engine pipe '{}' is not a pipe", .0.display())]
    NotAPipe(PathBuf),
    #[error("engine pipe '{}' is not writable: {error}", .path.display())]
    NotWritable { path: PathBuf, error: io::Error },
    #[error("nobody reads the engine pipe '{}': timed out after {seconds} s{written}", .path.display())]
    TimedOut {
        path: PathBuf,
        seconds: f64,
        written: Written,
    },
    #[error("engine pipe '{}' is not allowed", .0.display())]
    NotAllowed(PathBuf),
    #[error("the request was ended{0}")]
    Ended(Written),
}

/// How far it came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Written {
    pub(crate) done: usize,
    pub(crate) all: usize,
}

impl std::fmt::Display for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.all > 1 {
            write!(f, " ({} of {} lines were submitted)", self.done, self.all)
        } else {
            Ok(())
        }
    }
}

impl EngineFailure {
    pub(crate) const fn reason(&self) -> Reason {
        match self {
            Self::NotAllowed(_) => Reason::Rejected,
            Self::Missing(_) | Self::NotAPipe(_) | Self::NotWritable { .. } => Reason::Failed,
            Self::TimedOut { .. } => Reason::Timeout,
            Self::Ended(_) => Reason::Cancelled,
        }
    }

    /// A word for programs.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Missing(_) => "missing",
            Self::NotAPipe(_) => "not_a_pipe",
            Self::NotWritable { .. } => "not_writable",
            Self::TimedOut { .. } => "timed_out",
            Self::NotAllowed(_) => "not_allowed",
            Self::Ended(_) => "ended",
        }
    }
}

/// Which pipes, and for how long.
#[derive(Clone, Debug)]
pub(crate) struct EnginePipe {
    /// Where a line names none.
    pub(crate) default: PathBuf,
    /// Whether only that one may be written to.
    pub(crate) only_default: bool,
    pub(crate) timeout: Duration,
}

impl EnginePipe {
    /// Writes lines in order. Waits for a reader and for room until the timeout, counted from
    /// `since`; looks at each pipe at least once.
    pub(crate) fn submit(
        &self,
        lines: &[EngineLine],
        since: Instant,
        control: &Control,
    ) -> Result<(), EngineFailure> {
        let path_of = |line: &EngineLine| {
            line.pipe
                .as_deref()
                .map_or_else(|| self.default.clone(), PathBuf::from)
        };
        if self.only_default
            && let Some(path) = lines.iter().map(path_of).find(|path| *path != self.default)
        {
            return Err(EngineFailure::NotAllowed(path));
        }
        let mut writing = Writing {
            until: since + self.timeout,
            timeout: self.timeout,
            control,
            written: Written {
                done: 0,
                all: lines.len(),
            },
        };
        let mut rest = lines;
        while let Some(first) = rest.first() {
            let path = path_of(first);
            let same = rest
                .iter()
                .take_while(|line| line.pipe == first.pipe)
                .count();
            let (run, behind) = rest.split_at(same);
            writing.write(&path, run)?;
            rest = behind;
        }
        Ok(())
    }
}

struct Writing<'a> {
    until: Instant,
    timeout: Duration,
    control: &'a Control,
    written: Written,
}

impl Writing<'_> {
    fn write(&mut self, path: &Path, lines: &[EngineLine]) -> Result<(), EngineFailure> {
        let mut pipe = self.open(path)?;
        let mut batch = Vec::with_capacity(ATOMIC);
        let mut count = 0;
        for line in lines {
            if !batch.is_empty() && batch.len() + line.command.len() + 1 > ATOMIC {
                self.put(path, &mut pipe, &batch)?;
                self.written.done += count;
                batch.clear();
                count = 0;
            }
            batch.extend_from_slice(line.command.as_bytes());
            batch.push(b'\n');
            count += 1;
        }
        self.put(path, &mut pipe, &batch)?;
        self.written.done += count;
        Ok(())
    }

    /// Opens the pipe once somebody reads it. What is no pipe is not opened: opening a device
    /// may already do something.
    fn open(&self, path: &Path) -> Result<OwnedFd, EngineFailure> {
        loop {
            let not_writable = |error| EngineFailure::NotWritable {
                path: path.to_owned(),
                error,
            };
            match std::fs::metadata(path) {
                Ok(found) if found.file_type().is_fifo() => {}
                Ok(_) => return Err(EngineFailure::NotAPipe(path.to_owned())),
                Err(error) => return Err(missing(path, error)),
            }
            let nonblock = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits());
            match OpenOptions::new()
                .write(true)
                .custom_flags(nonblock.unwrap_or_default())
                .open(path)
            {
                Ok(file) => {
                    // It may have been replaced since it was looked at.
                    let found = file.metadata().map_err(not_writable)?;
                    if !found.file_type().is_fifo() {
                        return Err(EngineFailure::NotAPipe(path.to_owned()));
                    }
                    return Ok(file.into());
                }
                Err(error) if Errno::from_io_error(&error) == Some(Errno::NXIO) => {}
                Err(error) => return Err(missing(path, error)),
            }
            self.pause(path, None, LOOK_AGAIN)?;
        }
    }

    fn put(&self, path: &Path, pipe: &mut OwnedFd, mut bytes: &[u8]) -> Result<(), EngineFailure> {
        while !bytes.is_empty() {
            match rustix::io::write(&*pipe, bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.pause(path, Some(pipe), self.timeout)?,
                // The reader went away: wait for the next one.
                Err(Errno::PIPE) => {
                    self.pause(path, None, LOOK_AGAIN)?;
                    *pipe = self.open(path)?;
                }
                Err(error) => {
                    return Err(EngineFailure::NotWritable {
                        path: path.to_owned(),
                        error: error.into(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Waits for room in the pipe, or just waits; not beyond the deadline, nor when the
    /// request is to end.
    fn pause(
        &self,
        path: &Path,
        pipe: Option<&OwnedFd>,
        most: Duration,
    ) -> Result<(), EngineFailure> {
        if self.control.wanted().is_some() {
            return Err(EngineFailure::Ended(self.written));
        }
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(EngineFailure::TimedOut {
                path: path.to_owned(),
                seconds: self.timeout.as_secs_f64(),
                written: self.written,
            });
        }
        let wait = left.min(most);
        let timeout = Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: wait.subsec_nanos().into(),
        };
        let mut fds = vec![PollFd::from_borrowed_fd(self.control.bell(), PollFlags::IN)];
        if let Some(pipe) = pipe {
            fds.push(PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::OUT));
        }
        let _ = poll(&mut fds, Some(&timeout));
        Ok(())
    }
}

fn missing(path: &Path, error: io::Error) -> EngineFailure {
    if error.kind() == io::ErrorKind::NotFound {
        EngineFailure::Missing(path.to_owned())
    } else {
        EngineFailure::NotWritable {
            path: path.to_owned(),
            error,
        }
    }
}

/// Said where the service's own end is the cause.
pub(crate) const fn ended_message(why: Why) -> &'static str {
    match why {
        Why::Cancelled => "cancelled",
        Why::Stopping => "the action module is stopping",
    }
}
