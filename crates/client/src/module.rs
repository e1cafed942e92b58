//! The module's side of the bus: offers actions, takes requests, and brings their rows home.
//!
//! ```text
//! module → core   [XREADY] [t] [] {"actions":[…],"slots":8,"epoch":…,"heartbeat":5}
//! core → module   [X] [TOKEN] [] DATA
//! module → core   [PUTLOG] [t] [] {"token":"TOKEN","code":…,"data":…,"attempt":1,"sequence":1}
//! core → module   [ACK] [t] {"code":0,…}                     the row is durable
//! ```
//! A row is kept until core has acknowledged it and is said again after a lost connection, a
//! restart of core, or a refusal. A request that is handed over twice is given out once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use gorgone_protocol::request::cancel::Cancel;
use gorgone_protocol::request::carried::Carried;
use gorgone_protocol::request::logger::{self, Severity};
use gorgone_protocol::request::nodes::NodeKind;
use gorgone_protocol::request::ready::Ready;
use gorgone_protocol::{
    Action, Answer, Code, Data, Endpoint, Headers, Identity, Message, Status, Token, decode,
    decode_answer, encode,
};
use gorgone_transport::{DealerEvent, Frames, SendError};
use serde_json::Value;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::asker::{Asker, Question, Questions};
use crate::carrier::{Carrier, Carrying, Teller};
use crate::client::words;
use crate::ledger::Ledger;
use crate::uplink::{self, UplinkOptions, UplinkState};
use crate::wire::{self, Receiver, Sender};

/// How often READY is said again, in seconds.
const HEARTBEAT: u32 = 5;
/// After so many heartbeats without an answer the connection is made anew.
const MISSED: u32 = 3;
/// How long a row waits after core could not write it.
const REFUSED_DELAY: Duration = Duration::from_millis(500);
/// Rows that wait may hold this much before [`Reporter::room`] makes reporters wait.
const ROOM: usize = 16 << 20;

/// How a module introduces itself.
#[derive(Clone, Debug)]
pub struct ModuleOptions {
    /// Core's internal endpoint.
    pub endpoint: Endpoint,
    /// The name of this instance on the bus: unique, and the same after a restart.
    pub identity: Identity,
    /// The kind of module: READY is spelled `[<name>READY]`.
    pub name: String,
    /// What it offers; [`Module::offer`] changes it.
    pub actions: Vec<Action>,
    /// How many requests core may hand over at once.
    pub slots: u32,
}

/// A request that core handed over. It may begin at once: that it does is written down.
#[derive(Clone, Debug)]
pub struct Request {
    /// The key under which its rows are stored.
    pub token: Token,
    /// What to do.
    pub action: Action,
    /// With what.
    pub data: Data,
    /// What came beside it.
    pub headers: Headers,
}

/// What happens to a module.
#[derive(Clone, Debug)]
pub enum ModuleEvent {
    /// Core knows the module and hands over work.
    Ready,
    /// Core does not take the module as it is, in these words; it is asked again without end.
    Refused(String),
    /// A request to take up.
    Request(Request),
    /// Somebody wants the request with this token to end.
    Cancel(Token),
    /// How much is to be logged from now on.
    Logger(Severity),
    /// The connection to core is lost; it is tried again without end, and what runs goes on.
    Lost,
}

pub(crate) enum Order {
    Report(Token, Code, Value),
    Ask(Box<Question>),
    Forget(Token),
    Carried(Carried),
    Tell(String),
    Offer(Vec<Action>),
    Note(String),
    Drain(oneshot::Sender<()>),
    Close(Duration, oneshot::Sender<bool>),
}

struct Shared {
    /// Bytes of rows on their way to core.
    waiting: AtomicUsize,
    room: Notify,
}

/// A module's connection to core.
pub struct Module {
    events: mpsc::UnboundedReceiver<ModuleEvent>,
    orders: mpsc::UnboundedSender<Order>,
    shared: Arc<Shared>,
}

/// Reports what becomes of requests. Cheap to clone.
#[derive(Clone)]
pub struct Reporter {
    orders: mpsc::UnboundedSender<Order>,
    shared: Arc<Shared>,
}

impl Module {
    /// Connects, and goes on trying for as long as the module lives.
    ///
    /// # Errors
    /// When the socket cannot be opened at all: a wrong identity, no descriptors left.
    pub fn connect(options: ModuleOptions) -> Result<Self, gorgone_transport::Error> {
        Self::carrying(options, Vec::new()).map(|(module, _)| module)
    }

    /// Like [`Module::connect`], for a module that makes the connections to nodes of these
    /// kinds.
    ///
    /// # Errors
    /// See [`Module::connect`].
    pub fn carrying(
        options: ModuleOptions,
        kinds: Vec<NodeKind>,
    ) -> Result<(Self, Carrier), gorgone_transport::Error> {
        let wire = wire::bus(&options.endpoint, &options.identity)?;
        Ok(Self::start(options, kinds, wire, HEARTBEAT))
    }

    /// Like [`Module::carrying`], for a poller that connects to its central: it carries what is for
    /// itself. It says READY every `ping`, and is gone for its central after three times that.
    pub fn poller(
        options: UplinkOptions,
        ping: Duration,
    ) -> (Self, Carrier, watch::Receiver<UplinkState>) {
        let module = ModuleOptions {
            endpoint: options.endpoint.clone(),
            identity: options.identity.clone(),
            name: "PULL".to_owned(),
            actions: Vec::new(),
            slots: 0,
        };
        let (receiver, sender, state) = uplink::open(options);
        let heartbeat = u32::try_from(ping.as_secs()).unwrap_or(u32::MAX).max(1);
        let wire = (receiver, sender);
        let (module, carrier) = Self::start(module, vec![NodeKind::Pull], wire, heartbeat);
        (module, carrier, state)
    }

    fn start(
        options: ModuleOptions,
        kinds: Vec<NodeKind>,
        (receiver, sender): (Receiver, Sender),
        heartbeat: u32,
    ) -> (Self, Carrier) {
        let (event_sender, events) = mpsc::unbounded_channel();
        let (orders, order_receiver) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            waiting: AtomicUsize::new(0),
            room: Notify::new(),
        });
        // A new life, told apart from all others.
        let epoch = format!("{:016x}", rand::random::<u64>());
        let (carrying, carried) = Carrying::new(kinds, epoch.clone());
        let pump = Pump {
            ledger: Ledger::new(epoch.clone()),
            carrying,
            questions: Questions::default(),
            events: event_sender,
            shared: Arc::clone(&shared),
            started: Instant::now(),
            next_ready: 0,
            unanswered: 0,
            draining: None,
            standby: false,
            note: None,
            options,
            epoch,
            sender,
            heartbeat,
        };
        tokio::spawn(pump.run(receiver, order_receiver));
        let module = Self {
            events,
            orders,
            shared,
        };
        (module, Carrier { events: carried })
    }

    /// The next event. Cancel-safe.
    pub async fn next(&mut self) -> Option<ModuleEvent> {
        self.events.recv().await
    }

    /// A handle to report with.
    #[must_use]
    pub fn reporter(&self) -> Reporter {
        Reporter {
            orders: self.orders.clone(),
            shared: Arc::clone(&self.shared),
        }
    }

    /// A handle to tell core about nodes with.
    #[must_use]
    pub fn teller(&self) -> Teller {
        Teller {
            orders: self.orders.clone(),
        }
    }

    /// A handle to ask core with.
    #[must_use]
    pub fn asker(&self) -> Asker {
        Asker::new(self.orders.clone())
    }

    /// Offers other actions from now on; none: a module that stands by.
    pub fn offer(&self, actions: Vec<Action>) {
        // An error is a module that is closed.
        let _ = self.orders.send(Order::Offer(actions));
    }

    /// What INFORMATION shows beside the module from now on.
    pub fn note(&self, words: &str) {
        // An error is a module that is closed.
        let _ = self.orders.send(Order::Note(words.to_owned()));
    }

    /// Asks core to hand over nothing more, and returns when it knows (or after two seconds
    /// without an answer). Requests that were under way by then come out of
    /// [`Module::next`] before.
    pub async fn drain(&self) {
        let (done, answer) = oneshot::channel();
        if self.orders.send(Order::Drain(done)).is_ok() {
            // An error is a time-out or a pump that ended: there is nobody to wait for.
            let _ = tokio::time::timeout(Duration::from_secs(2), answer).await;
        }
    }

    /// Waits until every row, and what became of every task, is durable, at most `linger`, and ends the connection. Returns
    /// whether nothing was left.
    pub async fn close(self, linger: Duration) -> bool {
        let (done, answer) = oneshot::channel();
        self.orders.send(Order::Close(linger, done)).is_ok() && answer.await.unwrap_or(false)
    }
}

impl Reporter {
    /// Keeps a row until it is durable with core. A terminal code ends the request and frees
    /// its slot. Never waits; see [`Reporter::room`].
    pub fn report(&self, token: &Token, code: Code, data: Value) {
        // An error is a module that is closed: nobody is there to report to.
        let _ = self.orders.send(Order::Report(token.clone(), code, data));
    }

    /// Waits until core has taken enough of what was reported. Call it before reporting what
    /// there may be much of, so that a core that is away makes output wait and not memory grow.
    pub async fn room(&self) {
        loop {
            let freed = self.shared.room.notified();
            if self.shared.waiting.load(Ordering::Acquire) < ROOM {
                return;
            }
            freed.await;
        }
    }
}

struct Pump {
    options: ModuleOptions,
    epoch: String,
    ledger: Ledger,
    carrying: Carrying,
    questions: Questions,
    events: mpsc::UnboundedSender<ModuleEvent>,
    shared: Arc<Shared>,
    sender: Sender,
    /// How often READY is said again, in seconds.
    heartbeat: u32,
    started: Instant,
    next_ready: u64,
    /// Heartbeats that core has not answered.
    unanswered: u32,
    draining: Option<Vec<oneshot::Sender<()>>>,
    /// Whether it was told to offer nothing.
    standby: bool,
    note: Option<String>,
}

impl Pump {
    async fn run(mut self, mut receiver: Receiver, mut orders: mpsc::UnboundedReceiver<Order>) {
        let mut heartbeat = tokio::time::interval(Duration::from_secs(u64::from(self.heartbeat)));
        heartbeat.reset();
        let mut closing: Option<(Instant, oneshot::Sender<bool>)> = None;
        loop {
            self.flush();
            if let Some((deadline, _)) = &closing
                && (self.is_settled() || *deadline <= Instant::now())
            {
                break;
            }
            let checks = [self.ledger.next_check, self.carrying.next_check];
            let check = checks.into_iter().flatten().min();
            let check = check.map(|at| self.started + at);
            let deadline = closing.as_ref().map(|(deadline, _)| *deadline);
            let wake = [check, deadline].into_iter().flatten().min();
            tokio::select! {
                event = receiver.recv() => match event {
                    Some(event) => self.transport(event),
                    None => break,
                },
                order = orders.recv() => match order {
                    Some(Order::Report(token, code, data)) => self.report(&token, code, &data),
                    Some(Order::Ask(question)) => self.questions.ask(*question, &self.sender),
                    Some(Order::Forget(token)) => self.questions.forget(&token, &self.sender),
                    Some(Order::Carried(carried)) => {
                        let message = self.carrying.carried(carried, self.started.elapsed());
                        self.say_all(message);
                    }
                    Some(Order::Tell(text)) => {
                        // A full outbox is a core that is away: it is told anew when it is back.
                        let _ = self.sender.send(vec![Bytes::from(text)]);
                    }
                    Some(Order::Offer(actions)) => {
                        self.standby = actions.is_empty();
                        self.options.actions = actions;
                        self.say_ready(None);
                    }
                    Some(Order::Note(words)) => {
                        let words = Some(words);
                        if self.note != words {
                            self.note = words;
                            self.say_ready(None);
                        }
                    }
                    Some(Order::Drain(done)) => {
                        self.draining.get_or_insert_default().push(done);
                        self.say_ready(None);
                    }
                    Some(Order::Close(linger, done)) => {
                        closing = Some((Instant::now() + linger, done));
                    }
                    None => break,
                },
                _ = heartbeat.tick() => {
                    if self.unanswered < MISSED || !self.connect_anew(&mut receiver) {
                        self.say_ready(None);
                    }
                }
                () = sleep_until(wake) => {
                    let now = self.now();
                    self.ledger.repeat(now, false);
                    let again = self.carrying.repeat(now, false);
                    self.say_all(again);
                }
            }
        }
        let settled = self.is_settled();
        receiver.close(Duration::from_millis(500)).await;
        if let Some((_, done)) = closing {
            let _ = done.send(settled);
        }
    }

    /// Core does not answer. Returns whether another connection is being made.
    fn connect_anew(&mut self, receiver: &mut Receiver) -> bool {
        let anew = match &self.sender {
            Sender::Uplink(letters) => letters.hang_up(),
            Sender::Bus(_) => match wire::bus(&self.options.endpoint, &self.options.identity) {
                Ok((fresh, sender)) => {
                    *receiver = fresh;
                    self.sender = sender;
                    self.questions.lost();
                    true
                }
                Err(_) => false,
            },
        };
        if anew {
            tracing::warn!("core does not answer; connecting again");
            self.unanswered = 0;
        }
        anew
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn is_settled(&self) -> bool {
        self.ledger.is_empty() && self.carrying.is_settled()
    }

    /// Says what the carrying half keeps. What finds no room is said again when it is due.
    fn say_all(&self, messages: impl IntoIterator<Item = Message>) {
        for message in messages {
            if self.send(&message).is_err() {
                break;
            }
        }
    }

    fn flush(&mut self) {
        let now = self.now();
        while let Some(message) = self.ledger.next_message(now) {
            if let Err(SendError::Full | SendError::Closed) = self.send(&message) {
                // It stays in the ledger, and is said again when its patience ends.
                break;
            }
        }
        let waiting = self.ledger.bytes();
        let before = self.shared.waiting.swap(waiting, Ordering::AcqRel);
        if before >= ROOM && waiting < ROOM {
            self.shared.room.notify_waiters();
        }
    }

    fn send(&self, message: &Message) -> Result<(), SendError> {
        self.sender.send(vec![Bytes::from(encode(message))])
    }

    fn report(&mut self, token: &Token, code: Code, data: &Value) {
        let etime = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| {
                i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
            });
        self.ledger.report(token, code, etime, data.to_string());
    }

    fn say_ready(&mut self, running: Option<Vec<Token>>) {
        let draining = self.draining.is_some();
        self.next_ready += 1;
        self.unanswered += 1;
        let ready = Ready {
            actions: if draining {
                Vec::new()
            } else {
                let actions = self.options.actions.iter();
                actions.map(|action| action.name().into_owned()).collect()
            },
            draining,
            standby: self.standby,
            slots: Some(self.options.slots),
            epoch: Some(self.epoch.clone()),
            heartbeat: Some(self.heartbeat),
            running,
            note: self.note.clone(),
            carries: if draining {
                Vec::new()
            } else {
                self.carrying.kinds.clone()
            },
        };
        let token = Token::parse(&format!("{}-ready-{}", self.epoch, self.next_ready)).ok();
        let action = Action::Ready(self.options.name.as_str().into());
        let message = Message::new(action, token, Data::from_value(&ready));
        // A full outbox is a core that is away: READY is said again when it is back.
        let _ = self.send(&message);
    }

    fn transport(&mut self, event: DealerEvent) {
        match event {
            DealerEvent::Connected => {
                self.unanswered = 0;
                let mut running = self.ledger.running();
                running.extend(self.carrying.running());
                self.say_ready(Some(running));
                let now = self.now();
                self.ledger.repeat(now, true);
                let again = self.carrying.repeat(now, true);
                self.say_all(again);
                self.questions.connected(&self.sender);
            }
            DealerEvent::Disconnected => {
                self.questions.disconnected();
                let _ = self.events.send(ModuleEvent::Lost);
            }
            DealerEvent::Message(frames) => self.message(&frames),
        }
    }

    fn message(&mut self, frames: &Frames) {
        let Some(text) = frames.first() else {
            return;
        };
        if let Ok(answer) = decode_answer(text) {
            if !self.questions.answer(&answer) {
                self.answer(&answer);
            }
            return;
        }
        let Ok(message) = decode(text) else {
            tracing::warn!("core said something that is no message");
            return;
        };
        let headers = frames.get(1).map(|frame| Headers::decode(frame));
        let headers = headers.unwrap_or_default();
        let Some(message) = self.carrying.take(message, &headers) else {
            return;
        };
        match (message.action, message.token) {
            (Action::Cancel, _) => {
                if let Ok(cancel) = message.data.decode::<Cancel>() {
                    let _ = self.events.send(ModuleEvent::Cancel(cancel.token));
                }
            }
            (Action::BcastLogger, None) => match logger::decode(&message.data) {
                Ok(severity) => {
                    let _ = self.events.send(ModuleEvent::Logger(severity));
                }
                Err(error) => tracing::warn!(%error, "core said a severity that is none"),
            },
            (action, Some(token)) => {
                let attempt = headers.attempt.unwrap_or(1);
                if self.ledger.take(&token, attempt) {
                    let _ = self.events.send(ModuleEvent::Request(Request {
                        token,
                        action,
                        data: message.data,
                        headers,
                    }));
                }
            }
            (action, None) => tracing::warn!(%action, "core handed over a request without a token"),
        }
    }

    fn answer(&mut self, answer: &Answer) {
        let Some(token) = &answer.token else {
            return;
        };
        let status = answer.status;
        if token.as_str().contains("-ready-") {
            self.unanswered = 0;
            match &mut self.draining {
                Some(waiting) => {
                    for done in std::mem::take(waiting) {
                        let _ = done.send(());
                    }
                }
                None if status == Status::Ok => {
                    let _ = self.events.send(ModuleEvent::Ready);
                }
                None => {
                    let words = words(answer);
                    tracing::warn!(words, "core refused READY; trying again");
                    let _ = self.events.send(ModuleEvent::Refused(words));
                }
            }
            return;
        }
        let now = self.now();
        match status {
            Status::Ok => {
                if !self.carrying.acknowledged(token) {
                    self.ledger.acknowledged(token);
                }
            }
            Status::Nok => {
                if !self.carrying.refused(token, now, REFUSED_DELAY) {
                    self.ledger.refused(token, now, REFUSED_DELAY);
                }
            }
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
