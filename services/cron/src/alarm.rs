//! An alarm by the system's clock. It rings when the clock shows a time, also where the machine
//! slept over it, and when somebody sets the clock. A thread of its own sleeps in the kernel
//! until then: tokio has no such timer, and its way to a foreign descriptor is not safe code.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::sync::mpsc;

/// The furthest that it is set, in milliseconds since 1970: a setting of the clock is told only
/// to an alarm that is set.
const NEVER_MS: i64 = 32_503_680_000_000;
/// Rings that may wait to be heard. Each setting of the alarm brings one, and each setting of
/// the clock.
const RINGS: usize = 16;

/// An alarm that is set to one time after another.
#[derive(Debug)]
pub struct Alarm {
    fd: Arc<OwnedFd>,
    rings: mpsc::Receiver<io::Result<Ring>>,
    set_to: Option<i64>,
}

/// Why it rang.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ring {
    /// It is time.
    Time,
    /// The clock was set.
    ClockSet,
}

impl Alarm {
    /// An alarm that only rings when the clock is set.
    ///
    /// # Errors
    /// When the system has none left.
    pub fn new() -> io::Result<Self> {
        let fd = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::CLOEXEC)?;
        let fd = Arc::new(fd);
        let (sender, rings) = mpsc::channel(RINGS);
        let mut alarm = Self {
            fd: Arc::clone(&fd),
            rings,
            set_to: None,
        };
        alarm.set(None)?;
        std::thread::Builder::new()
            .name("alarm".to_owned())
            .spawn(move || listen(&fd, &sender))?;
        Ok(alarm)
    }

    /// Sets it to a time, in milliseconds since 1970.
    ///
    /// # Errors
    /// When the system refuses, which it does not.
    pub fn set(&mut self, at_ms: Option<i64>) -> io::Result<()> {
        let at_ms = at_ms.unwrap_or(NEVER_MS).clamp(1, NEVER_MS);
        if self.set_to == Some(at_ms) {
            return Ok(());
        }
        let at = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec {
                tv_sec: at_ms.div_euclid(1000),
                tv_nsec: at_ms.rem_euclid(1000) * 1_000_000,
            },
        };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        timerfd_settime(&self.fd, flags, &at)?;
        self.set_to = Some(at_ms);
        Ok(())
    }

    /// Waits until it rings. Cancel-safe.
    ///
    /// # Errors
    /// When the alarm is broken.
    pub async fn rings(&mut self) -> io::Result<Ring> {
        let gone = || io::Error::other("the alarm's thread is gone");
        let ring = self.rings.recv().await.ok_or_else(gone)?;
        self.set_to = None;
        ring
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        // The thread hears this last ring, and that nobody listens.
        self.rings.close();
        let _ = self.set(Some(1));
    }
}

fn listen(fd: &OwnedFd, rings: &mpsc::Sender<io::Result<Ring>>) {
    loop {
        let ring = match rustix::io::read(fd, &mut [0; 8]) {
            Ok(_) => Ok(Ring::Time),
            Err(Errno::CANCELED) => Ok(Ring::ClockSet),
            Err(Errno::INTR) => continue,
            Err(error) => Err(error.into()),
        };
        let broken = ring.is_err();
        if rings.blocking_send(ring).is_err() || broken {
            return;
        }
    }
}
