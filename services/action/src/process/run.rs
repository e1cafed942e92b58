//! Watching a process: its output, its time, its end.
//!
//! ```text
//! running ──exit──▶ lingering (its children hold the pipes) ──closed, or a moment──▶ over
//!    │ timeout, or asked to end: TERM to the group
//!    ▼
//! ending ──the kill delay──▶ killed: KILL to the group ──▶ over
//! ```

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, kill_process_group};

use super::control::{Control, Why};
use super::output::{Output, Stream};
use super::start::Running;

/// How long and how much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) timeout: Duration,
    pub(crate) kill_delay: Duration,
    pub(crate) linger: Duration,
    pub(crate) max_output: usize,
}

/// Takes output as it comes. Says no when there is no room: it is then asked again later, and
/// the process waits.
pub(crate) type Sink<'a> = dyn FnMut(&'static str, String) -> bool + 'a;

/// How it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// By itself.
    Exit(i32),
    /// By a signal from elsewhere.
    Signal(i32),
    /// By us, because its time was over.
    Timeout,
    /// By us, because somebody wanted it.
    Ended(Why),
}

/// What there is to say about a process that is over.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) end: End,
    /// What the system says; absent if the process cannot even be killed.
    pub(crate) status: Option<ExitStatus>,
    pub(crate) output: Output,
}

/// Output waits that long before it is shown, so that short commands show theirs at their end.
const SHOW_AFTER: Duration = Duration::from_millis(100);
/// Unless that much of it waits.
const SHOW_SIZE: usize = 64 * 1024;
/// With that much not shown, the process waits until it is.
const PAUSE_SIZE: usize = 256 * 1024;
/// How often a sink without room is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(20);
/// A process that KILL does not end (it hangs in the kernel) is given up after that.
const GIVE_UP: Duration = Duration::from_secs(5);

enum Phase {
    Running { deadline: Instant },
    Ending { end: End, kill_at: Instant },
    Killed { end: End, give_up: Instant },
}

/// Follows a process until it is over. `leave` is called just before its number becomes free.
pub(crate) fn watch(
    running: Running,
    limits: Limits,
    control: &Control,
    buffer: &mut [u8],
    sink: &mut Sink<'_>,
    leave: impl FnOnce(),
) -> Outcome {
    let now = Instant::now();
    let mut watch = Watch {
        group: running.group,
        pipes: [running.out, running.err],
        pidfd: running.pidfd,
        exited: None,
        phase: Phase::Running {
            deadline: now + limits.timeout,
        },
        output: Output::new(limits.max_output),
        next_show: now + SHOW_AFTER,
        limits,
    };
    watch.follow(control, buffer, sink);
    leave();
    let mut child = running.child;
    let status = match watch.exited {
        Some(_) => child.wait().ok(),
        None => child.try_wait().ok().flatten(),
    };
    let end = match watch.phase {
        Phase::Ending { end, .. } | Phase::Killed { end, .. } => end,
        Phase::Running { .. } => match status.map(|s| (s.code(), s.signal())) {
            Some((Some(code), _)) => End::Exit(code),
            Some((None, Some(signal))) => End::Signal(signal),
            _ => End::Signal(0),
        },
    };
    Outcome {
        end,
        status,
        output: watch.output,
    }
}

struct Watch {
    group: rustix::process::Pid,
    pipes: [Option<OwnedFd>; 2],
    pidfd: OwnedFd,
    exited: Option<Instant>,
    phase: Phase,
    output: Output,
    next_show: Instant,
    limits: Limits,
}

impl Watch {
    fn follow(&mut self, control: &Control, buffer: &mut [u8], sink: &mut Sink<'_>) {
        loop {
            let now = Instant::now();
            if self.is_over(now) {
                return;
            }
            self.step(now, control);
            self.show(now, sink);
            self.wait(now, control, buffer);
        }
    }

    fn is_over(&mut self, now: Instant) -> bool {
        let closed = self.pipes.iter().all(Option::is_none);
        match (&self.phase, self.exited) {
            (Phase::Killed { give_up, .. }, None) => now >= *give_up,
            (_, None) => false,
            (Phase::Running { .. }, Some(at)) => closed || now >= at + self.limits.linger,
            (Phase::Ending { .. }, Some(_)) if closed => {
                // Whoever of the group is left keeps no pipe, but is of the group.
                self.signal(Signal::KILL);
                true
            }
            (Phase::Ending { .. }, Some(_)) => false,
            (Phase::Killed { .. }, Some(at)) => closed || now >= at + self.limits.linger,
        }
    }

    /// What the clock and others want.
    fn step(&mut self, now: Instant, control: &Control) {
        match self.phase {
            Phase::Running { deadline } => {
                let end = match control.wanted() {
                    Some(why) => End::Ended(why),
                    None if now >= deadline && self.exited.is_none() => End::Timeout,
                    None => return,
                };
                self.signal(Signal::TERM);
                // A stopped process would take TERM only when it is continued.
                self.signal(Signal::CONT);
                self.phase = Phase::Ending {
                    end,
                    kill_at: now + self.limits.kill_delay,
                };
            }
            Phase::Ending { end, kill_at } if now >= kill_at => {
                self.signal(Signal::KILL);
                self.phase = Phase::Killed {
                    end,
                    give_up: now + GIVE_UP,
                };
            }
            Phase::Ending { .. } | Phase::Killed { .. } => {}
        }
    }

    fn signal(&self, signal: Signal) {
        // The leader is waited for last, so the number is still the group's.
        let _ = kill_process_group(self.group, signal);
    }

    fn show(&mut self, now: Instant, sink: &mut Sink<'_>) {
        let waiting = self.output.unshown();
        // What is there when the process is over stands in the finishing row.
        if waiting == 0 || self.exited.is_some() {
            return;
        }
        if now < self.next_show && (waiting < SHOW_SIZE || !self.showed_before()) {
            return;
        }
        for stream in Stream::ALL {
            if let Some((text, upto)) = self.output.unshown_of(stream) {
                if !sink(stream.name(), text) {
                    self.next_show = now + ASK_AGAIN;
                    return;
                }
                self.output.shown(stream, upto);
            }
        }
        self.next_show = now + SHOW_AFTER;
    }

    fn showed_before(&self) -> bool {
        self.output.any_shown()
    }

    fn wait(&mut self, now: Instant, control: &Control, buffer: &mut [u8]) {
        let paused = self.exited.is_none() && self.output.unshown() >= PAUSE_SIZE;
        let ready = {
            let mut fds = Vec::with_capacity(4);
            let mut kinds = [Kind::Bell; 4];
            let mut add = |fd, kind| {
                kinds[fds.len()] = kind;
                fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
            };
            if !paused {
                for stream in Stream::ALL {
                    if let Some(pipe) = &self.pipes[stream as usize] {
                        add(pipe.as_fd(), Kind::Pipe(stream));
                    }
                }
            }
            if self.exited.is_none() {
                add(self.pidfd.as_fd(), Kind::Exit);
            }
            if matches!(self.phase, Phase::Running { .. }) {
                add(control.bell(), Kind::Bell);
            }
            let timeout = self.next_event(paused).map(|at| timespec(at, now));
            // An error is an interruption: the next turn looks at everything anew.
            let _ = poll(&mut fds, timeout.as_ref());
            let mut ready = [None; 4];
            for (index, fd) in fds.iter().enumerate() {
                if !fd.revents().is_empty() {
                    ready[index] = Some(kinds[index]);
                }
            }
            ready
        };
        for kind in ready.into_iter().flatten() {
            match kind {
                Kind::Pipe(stream) => self.read(stream, buffer),
                Kind::Exit => self.exited = Some(Instant::now()),
                Kind::Bell => control.silence(),
            }
        }
    }

    fn read(&mut self, stream: Stream, buffer: &mut [u8]) {
        let Some(pipe) = &self.pipes[stream as usize] else {
            return;
        };
        match rustix::io::read(pipe, &mut *buffer) {
            Ok(0) => self.pipes[stream as usize] = None,
            Ok(count) => self.output.push(stream, &buffer[..count]),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(_) => self.pipes[stream as usize] = None,
        }
    }

    fn next_event(&self, paused: bool) -> Option<Instant> {
        let clock = match (&self.phase, self.exited) {
            (Phase::Running { deadline }, None) => Some(*deadline),
            (Phase::Ending { kill_at, .. }, _) => Some(*kill_at),
            (Phase::Killed { give_up, .. }, None) => Some(*give_up),
            (_, Some(at)) => Some(at + self.limits.linger),
        };
        let show = (self.exited.is_none() && (paused || self.output.unshown() > 0))
            .then_some(self.next_show);
        [clock, show].into_iter().flatten().min()
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Pipe(Stream),
    Exit,
    Bell,
}

fn timespec(at: Instant, now: Instant) -> Timespec {
    let left = at.saturating_duration_since(now);
    Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos().into(),
    }
}
