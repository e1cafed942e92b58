//! A world around instances of cron: a real router, a store, a module that runs things, and what
//! goes wrong with all of them. Everything happens at a virtual millisecond.

pub mod core;
mod cron;
pub mod rng;
mod runner;
mod store;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use gorgone_cron::Settings;
use gorgone_protocol::request::lease::LeaseName;
use gorgone_protocol::{Answer, Identity, Message, Moment, Token};
use gorgone_routing::{Event as CoreEvent, Query, Router, Settings as CoreSettings, StateQuery};
use gorgone_schedule::{Definition, Zones};
use serde_json::Value;

use cron::Cron;
use rng::Rng;
use runner::Runner;
use store::Store;

/// 2026-01-01T00:00:00Z.
pub const START: i64 = 1_767_225_600;

pub enum Ev {
    /// For one life of core.
    Core(u64, Box<CoreEvent>),
    CoreTimer(u64),
    CoreStarts,
    Commit(u64),
    Query(u64, Query),
    State(u64, StateQuery),
    /// Over one connection of a module.
    Up(Peer, u64, Message),
    Down(Peer, u64, Down),
    Gone(Peer, u64),
    /// For one life of an instance.
    CronStarts(usize),
    CronTimer(usize, u64, u64),
    Silent(usize, u64, cron::AskIdOrConnect),
    CronWakes(usize, u64),
    RunnerEnds(Token, String),
    RunnerReports(Token, u64),
}

/// Who is at the other end of a connection to core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peer {
    Cron(usize),
    Runner,
    Probe,
}

#[derive(Clone)]
pub enum Down {
    Answer(Answer),
    Deliver(Message),
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
    pub rng: Rng,
    pub now: u64,
    /// How far the clock on the wall is from what it should be, in milliseconds.
    pub wrong_by: i64,
    due: BinaryHeap<Reverse<Due>>,
    counter: u64,
    pub core: Option<Router>,
    core_life: u64,
    core_timer: u64,
    pub store: Store,
    committing: bool,
    pub store_fails: bool,
    pub crons: Vec<Cron>,
    pub runner: Runner,
    jobs: Vec<Definition>,
    pub lease_seconds: u64,
    pub max_tasks: usize,
    /// Longest time that anything takes on its way, in milliseconds.
    pub latency: u64,
    pub trace: bool,
    /// What was answered to the probe, by token.
    answers: BTreeMap<String, Answer>,
}

/// A job from JSON.
pub fn job(value: Value) -> Definition {
    Definition::parse(&value, &Zones::bundled()).unwrap_or_else(|error| panic!("{value}: {error}"))
}

impl World {
    /// A world with so many instances and these jobs in the configuration.
    pub fn new(seed: u64, instances: usize, jobs: Vec<Definition>) -> Self {
        let mut world = Self {
            rng: Rng::new(seed),
            now: 0,
            wrong_by: 0,
            due: BinaryHeap::new(),
            counter: 0,
            core: None,
            core_life: 0,
            core_timer: 0,
            store: Store::default(),
            committing: false,
            store_fails: false,
            crons: (0..instances).map(Cron::new).collect(),
            runner: Runner::default(),
            jobs,
            lease_seconds: 3,
            max_tasks: 100_000,
            latency: 3,
            trace: std::env::var("GORGONE_TRACE").is_ok(),
            answers: BTreeMap::new(),
        };
        world.start_core();
        world.connect(Peer::Runner);
        world.connect(Peer::Probe);
        for index in 0..instances {
            world.start_cron(index);
        }
        world
    }

    fn settings(&self) -> Settings {
        Settings {
            node: 1,
            lease: LeaseName::parse("cron").unwrap(),
            lease_time: Duration::from_secs(self.lease_seconds),
            zones: Zones::bundled(),
            memory: Duration::from_secs(86_400),
        }
    }

    fn core_settings(&self) -> CoreSettings {
        CoreSettings {
            expected_actions: [
                "COMMAND",
                "GETCRON",
                "ADDCRON",
                "UPDATECRON",
                "DELETECRON",
                "RUNCRON",
            ]
            .map(gorgone_protocol::Action::parse)
            .to_vec(),
            module_grace: Duration::from_secs(5),
            max_tasks: self.max_tasks,
            ..CoreSettings::default()
        }
    }

    pub fn moment(&self) -> Moment {
        Moment {
            unix_ms: START * 1000 + self.now as i64 + self.wrong_by,
            monotonic: Duration::from_millis(self.now),
        }
    }

    /// What the clock on the wall shows; seconds since 1970.
    pub fn wall(&self) -> i64 {
        self.moment().unix()
    }

    fn at(&mut self, at: u64, event: Ev) {
        self.counter += 1;
        self.due.push(Reverse(Due(at, self.counter, event)));
    }

    fn after(&mut self, low: u64, high: u64, event: Ev) {
        let at = self.now + self.rng.between(low, high.max(low));
        self.at(at, event);
    }

    pub fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>8} {}", self.now, what());
        }
    }

    /// Lets so many milliseconds pass.
    pub fn pass(&mut self, milliseconds: u64) {
        let end = self.now + milliseconds;
        while let Some(Reverse(Due(at, ..))) = self.due.peek()
            && *at <= end
        {
            let Some(Reverse(Due(at, _, event))) = self.due.pop() else {
                break;
            };
            self.now = self.now.max(at);
            self.happen(event);
        }
        self.now = end;
    }

    pub fn pass_seconds(&mut self, seconds: u64) {
        self.pass(seconds * 1000);
    }

    fn happen(&mut self, event: Ev) {
        match event {
            Ev::Core(life, event) if life == self.core_life => self.tell_core(*event),
            Ev::CoreTimer(timer) if timer == self.core_timer => {
                self.tell_core(CoreEvent::Timeout);
            }
            Ev::CoreStarts => self.start_core(),
            Ev::Commit(life) if life == self.core_life => self.commit(),
            Ev::Query(life, query) if life == self.core_life => self.query(query),
            Ev::State(life, query) if life == self.core_life => self.read_state(query),
            Ev::Up(peer, connection, message) => self.arrive_up(peer, connection, message),
            Ev::Down(peer, connection, down) => self.arrive_down(peer, connection, down),
            Ev::Gone(peer, life) if life == self.core_life => {
                self.tell_core(CoreEvent::ModuleGone(identity(peer)));
            }
            Ev::CronStarts(index) => self.start_cron(index),
            Ev::CronTimer(index, life, timer) => self.cron_timer(index, life, timer),
            Ev::Silent(index, life, ask) => self.silent(index, life, ask),
            Ev::CronWakes(index, life) => self.cron_wakes(index, life),
            Ev::RunnerEnds(token, how) => self.runner_ends(&token, &how),
            Ev::RunnerReports(token, sequence) => self.runner_reports(&token, sequence),
            Ev::Core(..)
            | Ev::CoreTimer(_)
            | Ev::Commit(_)
            | Ev::Query(..)
            | Ev::State(..)
            | Ev::Gone(..) => {}
        }
    }

    fn fresh(&mut self) -> Token {
        self.counter += 1;
        Token::parse(&format!("fresh-{}", self.counter)).unwrap()
    }

    /// Sets the clock on the wall by so many seconds.
    pub fn set_clock(&mut self, by_seconds: i64) {
        self.wrong_by += by_seconds * 1000;
        self.say(|| format!("clock set by {by_seconds} s"));
        for index in 0..self.crons.len() {
            self.clock_set(index);
        }
    }

    /// Asks cron for something and returns the data of the finishing row.
    pub fn request(&mut self, action: &str, data: &Value) -> (bool, Value) {
        let token = self.fresh();
        let message = Message::new(
            gorgone_protocol::Action::parse(action),
            Some(token.clone()),
            gorgone_protocol::Data::from_value(data),
        );
        self.send_up(Peer::Probe, message);
        for _ in 0..200 {
            self.pass(50);
            if let Some(end) = self.store.ends(token.as_str()).first() {
                let good = end.code == gorgone_protocol::Code::Ok;
                return (good, serde_json::from_str(&end.data).unwrap());
            }
        }
        panic!("{action} {data} was not answered");
    }
}

pub fn identity(peer: Peer) -> Identity {
    let name = match peer {
        Peer::Cron(index) => format!("cron-{index}"),
        Peer::Runner => "action".to_owned(),
        Peer::Probe => "probe".to_owned(),
    };
    Identity::new(name.as_bytes())
}
