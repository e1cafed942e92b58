//! Four cores with their stores, runners and proxies, and the links between them.
//!
//! Everything happens at a virtual millisecond, in an order that the seed decides. What arrives
//! in the past of a connection or of a life is lost, as it is outside.

mod bus;
mod checks;
mod cores;
mod faults;
mod links;
#[path = "../world/module.rs"]
mod module;
mod proxy;
#[path = "../world/rng.rs"]
mod rng;
#[path = "../world/store.rs"]
mod store;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::time::Duration;

use gorgone_protocol::request::log::Page;
use gorgone_protocol::{Answer, Headers, Message, Moment, NodeId, Token};
use gorgone_routing::Event;

use bus::Peer;
use cores::Core;
use faults::Fault;
use module::Step;
use rng::Rng;

pub use checks::Summary;

/// When the faults end and everything heals.
pub const ACTIVE_MS: u64 = 25_000;
/// By then everything has come to rest.
pub const END_MS: u64 = 130_000;

/// What core says to a module.
#[derive(Clone, Debug)]
pub enum Down {
    Message(Box<Message>, Headers),
    Answer(Answer),
}

/// What a module says to core.
#[derive(Clone, Debug)]
pub enum Up {
    Message(Message),
    Answer(Answer),
}

/// What a node says to the proxy of another.
#[derive(Clone, Debug)]
pub enum Said {
    Answer(Answer),
    /// To GETLOG, with its token.
    Rows(Token, Page),
    SyncLogs,
}

pub enum Ev {
    Ask(usize),
    /// For one life of a core.
    Core(usize, u64, Box<Event>),
    Timer(usize, u64),
    Commit(usize, u64),
    Lookup(usize, u64, usize, Token),
    Up(usize, u64, Up),
    Down(usize, u64, Down),
    Connect(usize, u64),
    Notice(usize, u64),
    Heartbeat(usize, u64),
    Step(usize, u64, Step),
    SayAgain(usize, u64, Token),
    /// A proxy looks after its nodes.
    Tick(usize, u64),
    /// On one connection of a proxy to a node.
    LinkUp(usize, NodeId, u64, Message),
    LinkDown(usize, NodeId, u64, Said),
    LinkNotice(usize, NodeId, u64),
    /// A task was not answered for long.
    Overdue(usize, NodeId, u64, Token),
    Fault(Fault),
    Heal,
    /// Everything healed a while ago: it ends as soon as all is at rest.
    Rest,
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

/// One request of a client of the central.
pub struct Ask {
    pub token: Token,
    /// Of one node or of several, as it is written.
    pub target: String,
    pub ttl: Option<u64>,
    pub cancel: bool,
    pub reached: Option<u64>,
    pub answers: u32,
    pub ok: bool,
    pub words: String,
}

pub struct World {
    pub rng: Rng,
    pub now: u64,
    due: BinaryHeap<Reverse<Due>>,
    pub counter: u64,
    pub cores: Vec<Core>,
    pub peers: Vec<Peer>,
    pub asks: Vec<Ask>,
    /// Until when the link to each node is cut.
    pub cut_until: BTreeMap<NodeId, u64>,
    /// Whether node 3 says that it recognises what comes again.
    pub old: bool,
    pub faults: bool,
    pub trace: bool,
    pub violation: Option<String>,
    /// What arrived at a node that runs it again when it comes again.
    pub arrived: HashSet<String>,
    /// How often each token was started, anywhere.
    pub starts: HashMap<String, u32>,
    /// When a runner last died, or its core did.
    pub runner_fault: bool,
    /// First hand-overs to the proxies: the place of the last one per life of the central and
    /// node.
    pub last_place: HashMap<(u64, NodeId), usize>,
    pub handed: HashSet<String>,
    /// Tokens that an older copy of a node's database brought back to life there.
    pub revived: HashSet<String>,
    pub summary: Summary,
}

impl World {
    /// Runs one world to its end.
    ///
    /// # Errors
    /// Tells which promise was broken.
    pub fn run(seed: u64, trace: bool) -> Result<Summary, String> {
        let mut world = Self::new(seed, trace);
        world.plan();
        while let Some(Reverse(Due(at, _, event))) = world.due.pop() {
            if at > END_MS || world.violation.is_some() {
                break;
            }
            world.now = at;
            if matches!(event, Ev::Rest) {
                if world.is_at_rest() {
                    break;
                }
                world.after(1000, 1000, Ev::Rest);
                continue;
            }
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
        let grace = rng.between(3, 6);
        let window = [1, 2, 64][rng.index(3)];
        Self {
            now: 0,
            due: BinaryHeap::new(),
            counter: 0,
            cores: (1..=4)
                .map(|id| Core::new(NodeId::new(id), Duration::from_secs(grace), window))
                .collect(),
            peers: Vec::new(),
            asks: Vec::new(),
            cut_until: BTreeMap::new(),
            old: rng.percent(30),
            faults: rng.percent(92),
            trace,
            violation: None,
            arrived: HashSet::new(),
            starts: HashMap::new(),
            runner_fault: false,
            last_place: HashMap::new(),
            handed: HashSet::new(),
            revived: HashSet::new(),
            summary: Summary::default(),
            rng,
        }
    }

    pub fn moment(&self) -> Moment {
        Moment {
            unix_ms: 1_700_000_000_000 + i64::try_from(self.now).unwrap_or(0),
            monotonic: Duration::from_millis(self.now),
        }
    }

    pub fn at(&mut self, at: u64, event: Ev) {
        self.counter += 1;
        self.due.push(Reverse(Due(at, self.counter, event)));
    }

    pub fn after(&mut self, low: u64, high: u64, event: Ev) {
        let at = self.now + self.rng.between(low, high);
        self.at(at, event);
    }

    pub fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>7} {}", self.now, what());
        }
    }

    pub fn broken(&mut self, promise: String) {
        self.say(|| format!("BROKEN {promise}"));
        self.violation.get_or_insert(promise);
    }

    pub fn fresh(&mut self) -> Token {
        self.counter += 1;
        Token::parse(&format!("fresh-{}", self.counter)).expect("is a token")
    }

    /// Which core has this id.
    pub fn core_of(id: NodeId) -> usize {
        usize::try_from(id.get()).expect("is small") - 1
    }

    fn happen(&mut self, event: Ev) {
        match event {
            Ev::Ask(index) => self.ask(index),
            Ev::Core(core, life, event) => {
                if life == self.cores[core].life {
                    self.tell_core(core, *event);
                }
            }
            Ev::Timer(core, timer) => self.timer(core, timer),
            Ev::Commit(core, life) => self.commit(core, life),
            Ev::Lookup(core, life, ask, subject) => {
                if life == self.cores[core].life {
                    let over = self.cores[core].store.finished(subject.as_str());
                    self.answered(ask, false, if over { "over" } else { "not known" });
                }
            }
            Ev::Up(peer, connection, up) => self.arrive_up(peer, connection, up),
            Ev::Down(peer, connection, down) => self.arrive_down(peer, connection, down),
            Ev::Connect(peer, life) => self.connect(peer, life),
            Ev::Notice(peer, connection) => self.notice(peer, connection),
            Ev::Heartbeat(peer, life) => self.heartbeat(peer, life),
            Ev::Step(peer, life, step) => self.step(peer, life, step),
            Ev::SayAgain(peer, life, message) => self.say_again(peer, life, &message),
            Ev::Tick(peer, life) => self.tick(peer, life),
            Ev::LinkUp(peer, node, link, message) => self.arrive_at_node(peer, node, link, message),
            Ev::LinkDown(peer, node, link, said) => self.arrive_from_node(peer, node, link, said),
            Ev::LinkNotice(peer, node, link) | Ev::Overdue(peer, node, link, _)
                if !self.is_link(peer, node, link) => {}
            Ev::LinkNotice(peer, node, _) => self.link_lost(peer, node, "lost"),
            Ev::Overdue(peer, node, _, token) => self.overdue(peer, node, &token),
            Ev::Fault(fault) => self.fault(fault),
            Ev::Heal => self.heal(),
            Ev::Rest => {}
        }
    }
}
