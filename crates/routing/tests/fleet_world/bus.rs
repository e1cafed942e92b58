//! The bus between each core and its runner and proxies, and what runners do.

use gorgone_protocol::{Action, Code, Identity, Message, Status, Token};
use gorgone_routing::{Event, Origin};

use super::module::{Module, Step};
use super::proxy::Proxy;
use super::{Down, Ev, Up, World};

/// How long a module waits for core's word about a row.
const PATIENCE_MS: u64 = 4000;

pub enum Role {
    Runner(Box<Module>),
    Proxy(Proxy),
}

/// One module on the bus of one core.
pub struct Peer {
    pub core: usize,
    pub identity: Identity,
    pub alive: bool,
    pub life: u64,
    pub connection: u64,
    /// As the module sees the connection, and as core does.
    pub up: bool,
    pub seen: Option<u64>,
    arrival_up: u64,
    arrival_down: u64,
    pub role: Role,
}

impl Peer {
    pub fn new(core: usize, name: &str, role: Role) -> Self {
        Self {
            core,
            identity: Identity::new(name.as_bytes()),
            alive: false,
            life: 0,
            connection: 0,
            up: false,
            seen: None,
            arrival_up: 0,
            arrival_down: 0,
            role,
        }
    }
}

impl World {
    pub(super) fn peer(&self, identity: &Identity) -> usize {
        let at = self
            .peers
            .iter()
            .position(|peer| peer.identity == *identity);
        at.expect("core speaks to modules that there are")
    }

    pub(super) fn runner(&mut self, peer: usize) -> &mut Module {
        match &mut self.peers[peer].role {
            Role::Runner(module) => module,
            Role::Proxy(_) => panic!("peer {peer} is no runner"),
        }
    }

    pub(super) fn start_peer(&mut self, peer: usize) {
        let it = &mut self.peers[peer];
        if it.alive {
            return;
        }
        it.alive = true;
        it.life += 1;
        let life = it.life;
        match &mut it.role {
            Role::Runner(module) => module.life = life,
            Role::Proxy(proxy) => proxy.life = life,
        }
        self.say(|| format!("peer {peer} starts"));
        self.at(self.now, Ev::Connect(peer, life));
        self.at(self.now, Ev::Heartbeat(peer, life));
        self.at(self.now, Ev::Tick(peer, life));
    }

    pub(super) fn kill_peer(&mut self, peer: usize) {
        let it = &mut self.peers[peer];
        if !it.alive {
            return;
        }
        it.alive = false;
        it.up = false;
        let connection = it.connection;
        self.say(|| format!("peer {peer} is killed"));
        match &mut self.peers[peer].role {
            Role::Runner(module) => {
                module.die();
                self.runner_fault = true;
            }
            Role::Proxy(proxy) => {
                proxy.die();
                self.summary.proxy_kills += 1;
            }
        }
        self.after(0, 3000, Ev::Notice(peer, connection));
    }

    pub(super) fn core_is_gone(&mut self, core: usize) {
        for peer in 0..self.peers.len() {
            let it = &mut self.peers[peer];
            if it.core == core {
                it.up = false;
                it.seen = None;
                let life = it.life;
                if it.alive {
                    self.after(10, 600, Ev::Connect(peer, life));
                }
            }
        }
        self.node_is_gone(core);
        if core == 0 {
            self.ask_again();
        }
    }

    pub(super) fn connect(&mut self, peer: usize, life: u64) {
        let it = &mut self.peers[peer];
        if !it.alive || it.up || it.life != life {
            return;
        }
        if self.cores[it.core].router.is_none() {
            return self.after(50, 300, Ev::Connect(peer, life));
        }
        let replaced = it.seen.is_some();
        it.connection += 1;
        it.up = true;
        it.seen = Some(it.connection);
        if replaced && self.rng.percent(50) {
            self.gone(peer);
        }
        self.say_ready(peer, true);
        match &self.peers[peer].role {
            Role::Runner(module) => {
                let held: Vec<_> = module.held.keys().cloned().collect();
                for token in held {
                    self.say_row(peer, &token);
                }
            }
            Role::Proxy(_) => self.say_all_again(peer),
        }
    }

    fn say_ready(&mut self, peer: usize, with_running: bool) {
        let ready = match &self.peers[peer].role {
            Role::Runner(module) => module.ready(with_running),
            Role::Proxy(proxy) => proxy.ready(with_running),
        };
        self.send_up(peer, Up::Message(ready));
    }

    fn gone(&mut self, peer: usize) {
        let gone = Event::ModuleGone(self.peers[peer].identity.clone());
        self.tell_core(self.peers[peer].core, gone);
    }

    /// The connection breaks; what is on its way is lost. Core hears of it late, or never.
    pub(super) fn cut_bus(&mut self, peer: usize) {
        let it = &mut self.peers[peer];
        if !it.up {
            return;
        }
        it.up = false;
        let (life, connection) = (it.life, it.connection);
        if let Role::Runner(_) = it.role {
            self.runner_fault = true;
        }
        self.say(|| format!("bus of peer {peer} is cut"));
        if self.rng.percent(70) {
            self.after(0, 3000, Ev::Notice(peer, connection));
        }
        let longest = if self.rng.percent(70) { 800 } else { 9000 };
        self.after(10, longest, Ev::Connect(peer, life));
    }

    pub(super) fn notice(&mut self, peer: usize, connection: u64) {
        let it = &mut self.peers[peer];
        if it.seen == Some(connection) && !(it.up && it.connection == connection) {
            it.seen = None;
            self.gone(peer);
        }
    }

    pub(super) fn send_up(&mut self, peer: usize, up: Up) {
        let latency = self.rng.between(0, 4);
        let it = &mut self.peers[peer];
        if it.up {
            it.arrival_up = it.arrival_up.max(self.now + latency);
            let (at, connection) = (it.arrival_up, it.connection);
            self.at(at, Ev::Up(peer, connection, up));
        }
    }

    pub(super) fn arrive_up(&mut self, peer: usize, connection: u64, up: Up) {
        let it = &self.peers[peer];
        if !it.up || it.connection != connection {
            return;
        }
        let (core, from) = (it.core, it.identity.clone());
        match up {
            Up::Message(message) => self.request(core, Origin::Module(from), message),
            Up::Answer(answer) => self.tell_core(core, Event::Answered { from, answer }),
        }
    }

    pub(super) fn send_down(&mut self, peer: usize, down: Down) {
        let latency = self.rng.between(0, 4);
        let full = self.rng.percent(1) && self.faults && self.now < super::ACTIVE_MS;
        let it = &mut self.peers[peer];
        if it.seen.is_none() || full {
            let module = it.identity.clone();
            let event = match down {
                Down::Message(message, _) if message.token.is_some() => Event::Undelivered {
                    module,
                    token: message.token.expect("was looked at"),
                },
                _ => Event::ModuleGone(module),
            };
            let (core, life) = (it.core, self.cores[it.core].life);
            return self.after(0, 2, Ev::Core(core, life, Box::new(event)));
        }
        it.arrival_down = it.arrival_down.max(self.now + latency);
        let (at, connection) = (it.arrival_down, it.connection);
        self.at(at, Ev::Down(peer, connection, down));
    }

    pub(super) fn arrive_down(&mut self, peer: usize, connection: u64, down: Down) {
        let it = &self.peers[peer];
        if !it.up || it.connection != connection {
            return;
        }
        match (&it.role, down) {
            (Role::Proxy(_), down) => self.told_proxy(peer, down),
            (Role::Runner(_), Down::Message(message, headers)) => {
                self.told_runner(peer, &message, headers.attempt.unwrap_or(1));
            }
            (Role::Runner(_), Down::Answer(answer)) => {
                let Some(token) = answer.token else {
                    return;
                };
                let life = self.peers[peer].life;
                if self.runner(peer).about(&token).is_none() {
                    return;
                }
                if answer.status != Status::Ok {
                    return self.after(500, 500, Ev::SayAgain(peer, life, token));
                }
                if let Some((_, Some(message))) = self.runner(peer).acknowledged(&token) {
                    self.say_message(peer, message);
                }
            }
        }
    }

    fn told_runner(&mut self, peer: usize, message: &Message, attempt: u32) {
        if message.action == Action::Cancel {
            if let Ok(cancel) = message
                .data
                .decode::<gorgone_protocol::request::cancel::Cancel>()
            {
                self.report(peer, &cancel.token, Code::Ko, Some("cancelled"));
            }
            return;
        }
        let Some(token) = message.token.clone() else {
            return;
        };
        self.counter += 1;
        let run = self.counter;
        if self.runner(peer).take(&token, attempt, run) {
            self.say(|| format!("peer {peer} starts {token}"));
            *self.starts.entry(token.as_str().to_owned()).or_default() += 1;
            let left = self.rng.between(0, 1);
            self.next_step(peer, Step { token, run, left });
        }
    }

    fn next_step(&mut self, peer: usize, step: Step) {
        let life = self.peers[peer].life;
        let longest = if self.rng.percent(5) { 4000 } else { 300 };
        self.after(1, longest, Ev::Step(peer, life, step));
    }

    pub(super) fn step(&mut self, peer: usize, life: u64, step: Step) {
        if self.peers[peer].life != life {
            return;
        }
        let held = self.runner(peer).held.get(&step.token);
        if held.is_none_or(|held| held.run != step.run || held.ended) {
            return;
        }
        if step.left > 0 {
            self.report(peer, &step.token, Code::Proceed, None);
            let left = step.left - 1;
            return self.next_step(peer, Step { left, ..step });
        }
        if self.rng.percent(85) {
            self.report(peer, &step.token, Code::Ok, None);
        } else {
            self.report(peer, &step.token, Code::Ko, Some("failed"));
        }
    }

    fn report(&mut self, peer: usize, token: &Token, code: Code, reason: Option<&str>) {
        if let Some(message) = self.runner(peer).report(token, code, reason) {
            self.say_message(peer, message);
        }
    }

    fn say_row(&mut self, peer: usize, token: &Token) {
        if let Some(message) = self.runner(peer).say(token) {
            self.say_message(peer, message);
        }
    }

    fn say_message(&mut self, peer: usize, message: Message) {
        let life = self.peers[peer].life;
        if let Some(id) = &message.token {
            let again = Ev::SayAgain(peer, life, id.clone());
            self.after(PATIENCE_MS, PATIENCE_MS, again);
        }
        self.send_up(peer, Up::Message(message));
    }

    pub(super) fn say_again(&mut self, peer: usize, life: u64, message: &Token) {
        if self.peers[peer].life != life || !self.peers[peer].alive {
            return;
        }
        match &self.peers[peer].role {
            Role::Runner(module) => {
                if let Some(token) = module.about(message) {
                    self.say_row(peer, &token);
                }
            }
            Role::Proxy(_) => self.say_carried_again(peer, message),
        }
    }

    pub(super) fn heartbeat(&mut self, peer: usize, life: u64) {
        let it = &self.peers[peer];
        if !it.alive || it.life != life || self.now > super::END_MS - 2000 {
            return;
        }
        if it.up {
            self.say_ready(peer, false);
        }
        self.after(2000, 2000, Ev::Heartbeat(peer, life));
    }
}
