//! Keeps one service alive: starts it, listens for its READY, starts it again when it dies.
//!
//! ```text
//! starting ─READY─▶ ready ─died─▶ waiting (backoff) ─▶ starting
//!     └──────────exit 2──────────▶ refused ──reload──▶ starting
//! ```

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use gorgone_runtime::{MONITOR, READY_LINE, SUPERVISED, exit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::backoff::Backoff;

/// What a keeper tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// Its service is ready.
    Ready(&'static str),
    /// Its service has ended, and is to be started again.
    Lost(&'static str),
    /// Its service refuses the configuration.
    Refused(&'static str),
}

#[derive(Debug)]
enum Order {
    Reload,
    Restart { grace: Duration },
    Stop { grace: Duration },
}

/// The handle of a service that is kept alive.
#[derive(Debug)]
pub(crate) struct Keeper {
    orders: mpsc::Sender<Order>,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Starts the service, and keeps it alive from now on.
    pub(crate) fn start(
        name: &'static str,
        file: PathBuf,
        args: Vec<String>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let (orders, receiver) = mpsc::channel(8);
        let life = Life {
            name,
            file,
            args,
            events,
            orders: receiver,
        };
        Self {
            orders,
            task: tokio::spawn(life.keep()),
        }
    }

    /// Lets the service read its configuration again.
    pub(crate) async fn reload(&self) {
        // A keeper that has ended has nothing to reload.
        let _ = self.orders.send(Order::Reload).await;
    }

    /// Ends the service and starts it anew.
    pub(crate) async fn restart(&self, grace: Duration) {
        let _ = self.orders.send(Order::Restart { grace }).await;
    }

    /// Ends the service: SIGTERM, and SIGKILL when the time is over.
    pub(crate) async fn stop(self, grace: Duration) {
        let _ = self.orders.send(Order::Stop { grace }).await;
        let _ = self.task.await;
    }
}

struct Life {
    name: &'static str,
    file: PathBuf,
    args: Vec<String>,
    events: mpsc::Sender<Event>,
    orders: mpsc::Receiver<Order>,
}

/// How one process of the service ended.
enum Ended {
    Stopped,
    Restart,
    Died { ready_for: Option<Duration> },
    Refused,
}

impl Life {
    async fn keep(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let ended = match self.spawn() {
                Ok(process) => self.watch(process).await,
                Err(error) => {
                    tracing::error!(service = self.name, file = %self.file.display(), %error, "cannot be started");
                    Ended::Died { ready_for: None }
                }
            };
            if !matches!(ended, Ended::Stopped) {
                let _ = self.events.send(Event::Lost(self.name)).await;
            }
            let go_on = match ended {
                Ended::Stopped => false,
                Ended::Restart => true,
                Ended::Died { ready_for } => {
                    let delay = backoff.died(ready_for);
                    tracing::warn!(
                        service = self.name,
                        delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
                        "is started again"
                    );
                    self.pause(Some(delay)).await
                }
                Ended::Refused => {
                    tracing::error!(
                        service = self.name,
                        "refuses its configuration; it is started again when SIGHUP brings another"
                    );
                    let _ = self.events.send(Event::Refused(self.name)).await;
                    self.pause(None).await
                }
            };
            if !go_on {
                return;
            }
        }
    }

    fn spawn(&self) -> std::io::Result<Process> {
        let mut child = Command::new(&self.file)
            .args(&self.args)
            .env(SUPERVISED, "1")
            .env_remove("NOTIFY_SOCKET")
            .env_remove(MONITOR)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C in a terminal is for gorgoned, which stops the others in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok());
        tracing::debug!(service = self.name, pid, "started");
        Ok(Process {
            // Taken out: waiting for a child closes the stdin that it still has.
            _stdin: child.stdin.take(),
            lines: child.stdout.take().map(|out| BufReader::new(out).lines()),
            pid: pid.map(Pid::from_raw),
            child,
        })
    }

    async fn watch(&mut self, mut process: Process) -> Ended {
        let mut ready: Option<Instant> = None;
        loop {
            tokio::select! {
                sign = process.sign() => match sign {
                    Sign::Ended(status) => {
                        return self.ended(status, ready.map(|since| since.elapsed()));
                    }
                    Sign::Line(line) if line == READY_LINE && ready.is_none() => {
                        ready = Some(Instant::now());
                        let _ = self.events.send(Event::Ready(self.name)).await;
                    }
                    Sign::Line(line) => tracing::info!(service = self.name, line, "says"),
                },
                order = self.orders.recv() => match order {
                    Some(Order::Reload) => process.signal(Signal::SIGHUP),
                    Some(Order::Restart { grace }) => {
                        self.end(process, grace).await;
                        return Ended::Restart;
                    }
                    Some(Order::Stop { grace }) => {
                        self.end(process, grace).await;
                        return Ended::Stopped;
                    }
                    None => {
                        self.end(process, Duration::ZERO).await;
                        return Ended::Stopped;
                    }
                }
            }
        }
    }

    fn ended(&self, status: std::io::Result<ExitStatus>, ready_for: Option<Duration>) -> Ended {
        match status {
            Ok(status) if status.code() == Some(i32::from(exit::CONFIGURATION)) => Ended::Refused,
            Ok(status) => {
                tracing::error!(service = self.name, %status, "died");
                Ended::Died { ready_for }
            }
            Err(error) => {
                tracing::error!(service = self.name, %error, "cannot be waited for");
                Ended::Died { ready_for }
            }
        }
    }

    /// SIGTERM, and SIGKILL when the time is over.
    async fn end(&self, mut process: Process, grace: Duration) {
        process.signal(Signal::SIGTERM);
        match timeout(grace, process.child.wait()).await {
            Ok(Ok(status)) if status.success() => {
                tracing::debug!(service = self.name, "stopped");
            }
            Ok(Ok(status)) => tracing::warn!(service = self.name, %status, "stopped badly"),
            Ok(Err(error)) => tracing::error!(service = self.name, %error, "cannot be waited for"),
            Err(_) => {
                tracing::error!(service = self.name, "did not stop in time; it is killed");
                if let Err(error) = process.child.kill().await {
                    tracing::error!(service = self.name, %error, "cannot be killed");
                }
            }
        }
    }

    /// Waits for the delay, or for an order that is worth starting for. False to start no
    /// more.
    async fn pause(&mut self, delay: Option<Duration>) -> bool {
        let over = async {
            match delay {
                Some(delay) => sleep(delay).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = over => true,
            order = self.orders.recv() => {
                matches!(order, Some(Order::Reload | Order::Restart { .. }))
            }
        }
    }
}

/// One process of the service, and our ends of its pipes.
struct Process {
    child: Child,
    pid: Option<Pid>,
    /// Open as long as we live: its end tells the service that we are gone.
    _stdin: Option<ChildStdin>,
    lines: Option<Lines<BufReader<ChildStdout>>>,
}

/// What a process lets us know.
enum Sign {
    Ended(std::io::Result<ExitStatus>),
    Line(String),
}

impl Process {
    /// Its end, or the next line that it says.
    async fn sign(&mut self) -> Sign {
        if let Some(lines) = &mut self.lines {
            tokio::select! {
                biased;
                line = lines.next_line() => match line {
                    Ok(Some(line)) => return Sign::Line(line),
                    Ok(None) | Err(_) => self.lines = None,
                },
                status = self.child.wait() => return Sign::Ended(status),
            }
        }
        Sign::Ended(self.child.wait().await)
    }

    fn signal(&self, signal: Signal) {
        // Gone already is as good: its end is noticed by who waits for it. The id cannot be
        // another's, since the child has not been waited for yet.
        if let (Some(pid), Some(_)) = (self.pid, self.child.id()) {
            let _ = kill(pid, signal);
        }
    }
}
