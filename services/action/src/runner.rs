//! Who works on requests: a few threads, each with one request at a time.
//!
//! Threads, because starting a process suspends the thread that does it until the new program
//! is loaded: an event loop would start one at a time and do nothing else meanwhile. They are
//! made when they are needed, and sleep in the kernel while their process runs.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gorgone_protocol::{Code, Data, Reason, Token};
use serde_json::json;
use tokio::sync::{mpsc, watch};

use crate::engine::EnginePipe;
use crate::helper::Guard;
use crate::policy::{BadPattern, Policy};
use crate::process::{Control, Limits, Why};
use crate::report::{Row, Rows};
use crate::settings::{MAX_OUTPUT, Settings};
use crate::work::{self, Bench, Shop};

/// Settings that nothing can be run with.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// A pattern of the allow-list does not compile.
    #[error(transparent)]
    Pattern(#[from] BadPattern),
    /// The guard does not start.
    #[error("the guard of running commands does not start: {0}")]
    Guard(io::Error),
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// COMMAND.
    Command,
    /// ENGINECOMMAND.
    Engine,
}

/// A request as it was handed over.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its key.
    pub token: Token,
    /// Which hand-over of the token this is; the same one twice is run once.
    pub attempt: u32,
    /// What is to be done.
    pub kind: Kind,
    /// With what.
    pub data: Data,
}

/// Runs requests. Clones are the same runner; the rows come out of the receiver that
/// [`Runner::new`] gives.
#[derive(Clone)]
pub struct Runner(Arc<Inner>);

/// How much a runner has to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Depths {
    /// Requests that are being worked on.
    pub running: usize,
    /// Commands that wait for their turn.
    pub waiting: usize,
    /// Lines that wait for the engine's pipe.
    pub engine: usize,
    /// How many commands may run at one time.
    pub slots: usize,
}

struct Inner {
    shop: Arc<Shop>,
    slots: usize,
    queue: usize,
    kill_delay: Duration,
    rows: mpsc::Sender<Row>,
    state: Mutex<State>,
    work: Condvar,
    engine_work: Condvar,
    /// How many requests are not over.
    active: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    commands: VecDeque<Job>,
    /// The engine's lines keep their order: one thread writes them.
    engine: VecDeque<Job>,
    running: HashMap<Token, Arc<Control>>,
    seen: Seen,
    idle: usize,
    threads: usize,
    engine_thread: bool,
    closed: bool,
}

struct Job {
    request: Request,
    since: Instant,
    control: Arc<Control>,
}

/// The tokens of late, so that one that is handed over again is not run again.
#[derive(Default)]
struct Seen {
    order: VecDeque<(Token, u32)>,
    known: HashSet<(Token, u32)>,
}

/// How many tokens are remembered. What core hands over again, it does at once or after this
/// process died.
const REMEMBERED: usize = 4096;
/// Rows that wait for core; a command with more output waits.
const ROWS: usize = 64;
/// A worker only calls itself seldom deep: much less than the default is enough.
const STACK: usize = 256 * 1024;

impl Seen {
    /// Whether it is new.
    fn insert(&mut self, key: (Token, u32)) -> bool {
        if !self.known.insert(key.clone()) {
            return false;
        }
        self.order.push_back(key);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

impl Runner {
    /// Makes a runner, and starts its guard.
    ///
    /// # Errors
    /// When a pattern is wrong or the guard does not start.
    pub fn new(settings: &Settings) -> Result<(Self, mpsc::Receiver<Row>), RunnerError> {
        let (rows, receiver) = mpsc::channel(ROWS);
        let policy = Policy::new(settings)?;
        let guard = settings
            .helper
            .as_deref()
            .map(Guard::start)
            .transpose()
            .map_err(RunnerError::Guard)?;
        let shop = Shop {
            engine: EnginePipe {
                default: settings.engine_pipe.clone(),
                only_default: policy.is_whitelisting(),
                timeout: settings.engine_timeout,
            },
            policy,
            limits: Limits {
                timeout: settings.command_timeout,
                kill_delay: settings.kill_delay,
                linger: settings.linger,
                max_output: settings.max_output.min(MAX_OUTPUT),
            },
            helper: settings.helper.clone(),
            guard,
        };
        let inner = Inner {
            shop: Arc::new(shop),
            slots: settings.slots.max(1),
            queue: settings.queue,
            kill_delay: settings.kill_delay,
            rows,
            state: Mutex::default(),
            work: Condvar::new(),
            engine_work: Condvar::new(),
            active: watch::Sender::new(0),
        };
        Ok((Self(Arc::new(inner)), receiver))
    }

    /// Takes a request. Never waits; the same hand-over of a token twice, or a token that still
    /// runs, is left alone. What cannot be taken ends KO.
    pub async fn submit(&self, request: Request) {
        if let Err((token, message)) = self.0.take(request) {
            let row = Row {
                token,
                code: Code::Ko,
                data: json!({ "message": message, "reason": Reason::Rejected.as_str() }),
            };
            let _ = self.0.rows.send(row).await;
        }
    }

    /// Ends a request, with its whole process group. One that is over or unknown is left alone.
    pub fn cancel(&self, token: &Token) {
        if let Some(control) = self.0.lock().running.get(token) {
            control.end(Why::Cancelled);
        }
    }

    /// How many commands run, how many wait for their turn, and how many lines wait for the
    /// engine's pipe.
    #[must_use]
    pub fn depths(&self) -> Depths {
        let state = self.0.lock();
        let (waiting, engine) = (state.commands.len(), state.engine.len());
        Depths {
            running: state.running.len().saturating_sub(waiting + engine),
            waiting,
            engine,
            slots: self.0.slots,
        }
    }

    /// How many requests are not over.
    #[must_use]
    pub fn active(&self) -> usize {
        *self.0.active.borrow()
    }

    /// Waits until nothing runs, and towards the deadline ends what still does. To be called
    /// when nothing more is handed over. The rows must be taken meanwhile.
    pub async fn drain(&self, deadline: Duration) {
        // Room for TERM, KILL and the last rows.
        let reserve = self.0.kill_delay + Duration::from_millis(500);
        let patience = deadline.saturating_sub(reserve);
        if tokio::time::timeout(patience, self.idle()).await.is_ok() {
            return;
        }
        let running: Vec<Arc<Control>> = self.0.lock().running.values().cloned().collect();
        tracing::warn!(
            commands = running.len(),
            "ending what still runs: the drain is over"
        );
        for control in running {
            control.end(Why::Stopping);
        }
        if tokio::time::timeout(reserve * 2, self.idle())
            .await
            .is_err()
        {
            tracing::error!("some commands did not end");
        }
    }

    async fn idle(&self) {
        let mut active = self.0.active.subscribe();
        // The sender lives in this runner.
        let _ = active.wait_for(|count| *count == 0).await;
    }

    /// Lets the threads go. Rows end once the last of them is gone.
    pub fn close(&self) {
        self.0.lock().closed = true;
        self.0.work.notify_all();
        self.0.engine_work.notify_all();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(self: &Arc<Self>, request: Request) -> Result<(), (Token, String)> {
        let token = request.token.clone();
        let mut state = self.lock();
        if state.running.contains_key(&token) {
            tracing::debug!(%token, "handed over again while it runs");
            return Ok(());
        }
        if !state.seen.insert((token.clone(), request.attempt)) {
            tracing::debug!(%token, "handed over again after it ended");
            return Ok(());
        }
        if state.commands.len() + state.engine.len() >= self.queue {
            return Err((token, "too many requests wait already".to_owned()));
        }
        let control = Control::new().map_err(|error| (token.clone(), error.to_string()))?;
        let control = Arc::new(control);
        let kind = request.kind;
        self.ensure_thread(&mut state, kind)
            .map_err(|error| (token.clone(), format!("cannot start a thread: {error}")))?;
        state.running.insert(token, Arc::clone(&control));
        let job = Job {
            request,
            since: Instant::now(),
            control,
        };
        match kind {
            Kind::Command => {
                state.commands.push_back(job);
                self.work.notify_one();
            }
            Kind::Engine => {
                state.engine.push_back(job);
                self.engine_work.notify_one();
            }
        }
        self.active.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Sees to it that a thread will take what is about to be queued.
    fn ensure_thread(self: &Arc<Self>, state: &mut State, kind: Kind) -> io::Result<()> {
        let inner = Arc::clone(self);
        match kind {
            Kind::Command if state.idle > state.commands.len() || state.threads == self.slots => {}
            Kind::Command => {
                let slot = state.threads;
                let made = std::thread::Builder::new()
                    .name(format!("command-{slot}"))
                    .stack_size(STACK)
                    .spawn(move || inner.command_thread(slot));
                match made {
                    Ok(_) => state.threads += 1,
                    // The others will come to it.
                    Err(_) if state.threads > 0 => {}
                    Err(error) => return Err(error),
                }
            }
            Kind::Engine if state.engine_thread => {}
            Kind::Engine => {
                std::thread::Builder::new()
                    .name("engine".to_owned())
                    .stack_size(STACK)
                    .spawn(move || inner.engine_thread())?;
                state.engine_thread = true;
            }
        }
        Ok(())
    }

    fn command_thread(self: Arc<Self>, slot: usize) {
        let mut buffer = Vec::new();
        while let Some(job) = self.next_command() {
            let rows = Rows {
                token: &job.request.token,
                sender: &self.rows,
            };
            let mut bench = Bench {
                shop: &self.shop,
                slot,
                buffer: &mut buffer,
            };
            work::commands(&mut bench, &job.request.data, &job.control, &rows);
            self.over(&job.request.token);
        }
    }

    fn next_command(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.commands.pop_front() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state.idle += 1;
            state = self
                .work
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    fn engine_thread(self: Arc<Self>) {
        while let Some(job) = self.next_engine() {
            let rows = Rows {
                token: &job.request.token,
                sender: &self.rows,
            };
            work::engine(
                &self.shop,
                &job.request.data,
                job.since,
                &job.control,
                &rows,
            );
            self.over(&job.request.token);
        }
    }

    fn next_engine(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.engine.pop_front() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state = self
                .engine_work
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// After the terminal row was given away.
    fn over(&self, token: &Token) {
        self.lock().running.remove(token);
        self.active.send_modify(|count| *count -= 1);
    }
}
