//! A world around one router: a store, clients, modules, links, and what goes wrong with them.
//!
//! Everything happens at a virtual millisecond, in an order that the seed decides. Whatever
//! arrives in the past of a connection or of a life of core is lost, as it is outside.

mod checks;
mod clients;
mod faults;
mod links;
mod module;
mod rng;
mod store;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::sync::LazyLock;
use std::time::Duration;

use gorgone_protocol::{Message, Moment, Token};
use gorgone_routing::{
    BatchId, Effect, Event, Origin, Query, Record, Redactor, Router, Settings, WriteFailure,
    Written,
};

use clients::{Ask, Kind};
use faults::Fault;
use module::{Down, Module, Step};
use rng::Rng;
use store::Store;

pub use checks::Summary;

/// It takes a while to make one.
static REDACTOR: LazyLock<Redactor> =
    LazyLock::new(|| Redactor::new(&[]).expect("its own patterns are good"));

/// When the faults end and everything heals.
pub const ACTIVE_MS: u64 = 25_000;
/// By then everything has come to rest.
pub const END_MS: u64 = 80_000;

enum Ev {
    Ask(usize),
    /// For one life of core.
    Core(u64, Box<Event>),
    Poll(u64),
    Timer(u64),
    Commit(u64),
    Query(u64, Query),
    Lookup(u64, Origin, Token),
    Up(usize, u64, Message),
    Down(usize, u64, Down),
    Connect(usize, u64),
    Notice(usize, u64),
    Heartbeat(usize, u64),
    Step(usize, u64, Step),
    SayAgain(usize, u64, Token),
    Fault(Fault),
    Heal,
}

struct Due(u64, u64, Ev);

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

pub struct World {
    rng: Rng,
    now: u64,
    wall_ms: i64,
    due: BinaryHeap<Reverse<Due>>,
    counter: u64,
    settings: Settings,
    core: Option<Router>,
    life: u64,
    stopping: bool,
    timer: u64,
    timer_armed: Option<u64>,
    vain_timeouts: u64,
    store: Store,
    store_busy: bool,
    /// Until when every commit fails.
    broken_until: u64,
    last_answer: u64,
    modules: Vec<Module>,
    asks: Vec<Ask>,
    faults: bool,
    trace: bool,
    violation: Option<String>,
    starts: BTreeMap<String, u32>,
    /// First hand-over of each token: when, and to whom it went at any time.
    delivered: HashMap<String, (u64, Vec<usize>)>,
    /// Per life of core and action: the place of the last task that was handed over first.
    last_place: HashMap<(u64, gorgone_protocol::Action), usize>,
    /// Tokens that a restored core had to take for handed over.
    restored_sent: HashSet<String>,
    /// Tokens that waited to be run again when core was killed: nobody remembers who had them,
    /// so that a runner which is back in the same life counts its rows anew, and may have one
    /// stored again whose acknowledgement it never got.
    restored_waiting: HashSet<String>,
    /// When each token ended, as the store knows it.
    ended_at: HashMap<String, u64>,
    acknowledged_rows: Vec<String>,
    summary: Summary,
}

impl World {
    /// Runs one world to its end.
    ///
    /// # Errors
    /// Tells which promise was broken.
    pub fn run(seed: u64, trace: bool) -> Result<Summary, String> {
        let mut world = Self::new(seed, trace);
        world.plan();
        world.start_core();
        while let Some(Reverse(Due(at, _, event))) = world.due.pop() {
            if at > END_MS || world.violation.is_some() {
                break;
            }
            world.now = at;
            world.happen(event);
        }
        world.check_end();
        match world.violation {
            Some(violation) => Err(violation),
            None => Ok(world.summary),
        }
    }

    fn new(seed: u64, trace: bool) -> Self {
        let mut rng = Rng::new(seed);
        let settings = Settings {
            expected_actions: vec![clients::action("COMMAND"), clients::action("X")],
            default_ttl: Duration::from_secs(3600),
            max_tasks: if rng.percent(20) { 6 } else { 1000 },
            module_grace: Duration::from_secs(rng.between(2, 6)),
            audit: Some(REDACTOR.clone()),
            ..Settings::default()
        };
        Self {
            now: 0,
            wall_ms: 1_700_000_000_000,
            due: BinaryHeap::new(),
            counter: 0,
            settings,
            core: None,
            life: 0,
            stopping: false,
            timer: 0,
            timer_armed: None,
            vain_timeouts: 0,
            store: Store::default(),
            store_busy: false,
            broken_until: 0,
            last_answer: 0,
            modules: Vec::new(),
            asks: Vec::new(),
            faults: rng.percent(90),
            trace,
            violation: None,
            starts: BTreeMap::new(),
            delivered: HashMap::new(),
            last_place: HashMap::new(),
            restored_sent: HashSet::new(),
            restored_waiting: HashSet::new(),
            ended_at: HashMap::new(),
            acknowledged_rows: Vec::new(),
            summary: Summary::default(),
            rng,
        }
    }

    fn moment(&self) -> Moment {
        Moment {
            unix_ms: self.wall_ms + i64::try_from(self.now).unwrap_or(0),
            monotonic: Duration::from_millis(self.now),
        }
    }

    fn at(&mut self, at: u64, event: Ev) {
        self.counter += 1;
        self.due.push(Reverse(Due(at, self.counter, event)));
    }

    fn after(&mut self, low: u64, high: u64, event: Ev) {
        let at = self.now + self.rng.between(low, high);
        self.at(at, event);
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>7} {}", self.now, what());
        }
    }

    fn broken(&mut self, promise: String) {
        self.say(|| format!("BROKEN {promise}"));
        self.violation.get_or_insert(promise);
    }

    fn happen(&mut self, event: Ev) {
        match event {
            Ev::Ask(index) => self.ask(index),
            Ev::Core(life, event) if life == self.life => self.tell_core(*event),
            Ev::Poll(life) if life == self.life => _ = self.pump(),
            Ev::Timer(timer) if timer == self.timer => self.timeout(),
            Ev::Commit(life) if life == self.life => self.commit(),
            Ev::Query(life, query) if life == self.life => self.query(query),
            Ev::Lookup(life, to, subject) if life == self.life => {
                let over = self.store.finished(subject.as_str());
                self.answered(&to, false, if over { "already over" } else { "not known" });
            }
            Ev::Up(module, connection, message) => self.arrive_up(module, connection, message),
            Ev::Down(module, connection, down) => self.arrive_down(module, connection, down),
            Ev::Connect(module, life) => self.connect(module, life),
            Ev::Notice(module, connection) => self.notice(module, connection),
            Ev::Heartbeat(module, life) => self.heartbeat(module, life),
            Ev::Step(module, life, step) => self.step(module, life, step),
            Ev::SayAgain(module, life, message) => self.say_again(module, life, &message),
            Ev::Fault(fault) => self.fault(fault),
            Ev::Heal => self.heal(),
            Ev::Core(..)
            | Ev::Poll(_)
            | Ev::Timer(_)
            | Ev::Commit(_)
            | Ev::Query(..)
            | Ev::Lookup(..) => {}
        }
    }

    fn start_core(&mut self) {
        if self.core.is_some() {
            return;
        }
        self.say(|| "core starts".to_owned());
        let restored = self.store.restore();
        for task in &restored.tasks {
            let token = task.token.as_str().to_owned();
            if task.state != gorgone_routing::TaskState::Queued {
                self.restored_sent.insert(token);
            } else if task.attempt > 0 {
                self.restored_waiting.insert(token);
            }
        }
        self.core = Some(Router::new(self.settings.clone(), restored, self.moment()));
        self.stopping = false;
        self.pump();
    }

    fn tell_core(&mut self, event: Event) {
        let now = self.moment();
        let Some(core) = &mut self.core else {
            return;
        };
        if self.trace {
            println!("{:>7} core <- {event:?}", self.now);
        }
        core.handle(event, now);
        // Several events may come before the effects are asked for.
        if self.rng.percent(30) {
            self.after(0, 2, Ev::Poll(self.life));
        } else {
            self.pump();
        }
    }

    /// Does all that core wants done. Returns how much that was.
    fn pump(&mut self) -> usize {
        let mut count = 0;
        while let Some(effect) = self.core.as_mut().and_then(Router::poll_effect) {
            count += 1;
            self.say(|| format!("core -> {effect:?}"));
            self.perform(effect);
        }
        let now = self.moment();
        let due = self.core.as_mut().and_then(|core| core.poll_timeout(now));
        self.timer += 1;
        self.timer_armed = due.map(|due| self.now + due.as_micros().div_ceil(1000) as u64);
        if let Some(at) = self.timer_armed {
            self.at(at, Ev::Timer(self.timer));
        }
        count
    }

    fn timeout(&mut self) {
        let now = self.moment();
        if let Some(core) = &mut self.core {
            core.handle(Event::Timeout, now);
        }
        if self.pump() == 0 {
            self.vain_timeouts += 1;
            // One look at the wall clock in five seconds, a missed heartbeat, an old deadline.
            if self.vain_timeouts > 200 + self.now / 1000 {
                self.broken("core wakes up again and again for nothing".to_owned());
            }
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Write { batch, records } => {
                self.store.queue.push_back((batch, records));
                if !self.store_busy {
                    self.next_commit();
                }
            }
            Effect::Answer { to, answer } => {
                let ok = answer.status == gorgone_protocol::Status::Ok;
                match &to {
                    Origin::Client(_) => self.answered(&to, ok, answer.data.as_str()),
                    Origin::Module(identity) => {
                        let inserted = answer.data.as_str().contains("message inserted");
                        let token = answer.token;
                        let module = self.module(identity);
                        self.send_down(
                            module,
                            Down::Answer {
                                token,
                                ok,
                                inserted,
                            },
                        );
                    }
                }
            }
            Effect::Deliver {
                module,
                message,
                headers,
            } => {
                let module = self.module(&module);
                match message.token {
                    Some(token) => {
                        let attempt = headers.attempt.unwrap_or(1);
                        self.check_delivery(module, &token, attempt);
                        self.send_down(module, Down::Work { token, attempt });
                    }
                    None => {
                        if let Ok(cancel) = message
                            .data
                            .decode::<gorgone_protocol::request::cancel::Cancel>()
                        {
                            self.send_down(module, Down::Cancel(cancel.token));
                        }
                    }
                }
            }
            Effect::Query(query) => self.after(0, 10, Ev::Query(self.life, query)),
            Effect::CancelLookup { to, subject, .. } => {
                self.after(0, 10, Ev::Lookup(self.life, to, subject));
            }
            Effect::ReadState(_)
            | Effect::ReadAudit(_)
            | Effect::NewRows
            | Effect::Log(_)
            | Effect::ReadTargets(_)
            | Effect::FileOfNodesRefused(_) => {}
        }
    }

    fn next_commit(&mut self) {
        self.store_busy = true;
        let (low, high) = if self.now < self.broken_until {
            (10, 400)
        } else {
            (1, 12)
        };
        self.after(low, high, Ev::Commit(self.life));
    }

    fn commit(&mut self) {
        self.store_busy = false;
        let Some((batch, records)) = self.store.queue.pop_front() else {
            return;
        };
        let result: Result<Vec<Written>, WriteFailure> = if self.now < self.broken_until {
            Err(WriteFailure {
                message: "the disk is full".to_owned(),
            })
        } else {
            for record in &records {
                if let Record::Finish(row) = record {
                    self.ended_at.entry(row.token.clone()).or_insert(self.now);
                }
            }
            Ok(self.store.commit(records))
        };
        self.written(batch, result);
        if !self.store.queue.is_empty() {
            self.next_commit();
        }
    }

    fn written(&mut self, batch: BatchId, result: Result<Vec<Written>, WriteFailure>) {
        self.last_answer = self.last_answer.max(self.now + self.rng.between(0, 3));
        let event = Box::new(Event::Written { batch, result });
        self.at(self.last_answer, Ev::Core(self.life, event));
    }

    fn query(&mut self, query: Query) {
        let found = self.store.matching(&query.filter);
        if let Some(waiter) = query.waiter {
            let answered = found > 0;
            let event = Box::new(Event::QueryDone { waiter, answered });
            self.after(0, 3, Ev::Core(self.life, event));
            if !answered {
                return;
            }
        }
        self.check_wait(&query);
        self.answered(&query.to, true, &found.to_string());
    }

    fn module(&self, identity: &gorgone_protocol::Identity) -> usize {
        let at = self.modules.iter().position(|m| m.identity == *identity);
        at.expect("core speaks to modules that there are")
    }

    fn fresh(&mut self) -> Token {
        self.counter += 1;
        Token::parse(&format!("fresh-{}", self.counter)).expect("is a token")
    }

    fn is_submit(kind: &Kind) -> bool {
        matches!(kind, Kind::Submit { .. })
    }
}
