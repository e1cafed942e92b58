//! What there is, what goes wrong with it, and how it heals.

use gorgone_protocol::{NodeId, Token};

use super::bus::{Peer, Role};
use super::module::Module;
use super::proxy::Proxy;
use super::{ACTIVE_MS, Ev, World};

#[derive(Clone, Debug)]
pub enum Fault {
    KillCore(usize),
    StartCore(usize),
    KillPeer(usize),
    StartPeer(usize),
    CutBus(usize),
    CutLink(u64),
    StoreBreaks(usize, u64),
    KillEverything,
    /// A node is installed anew, or gets a copy of its database back.
    Reinstall(usize),
    Copy(usize),
}

const RUNNERS: [&str; 4] = ["action-1", "action-2", "action-3", "action-4"];

impl World {
    pub(super) fn plan(&mut self) {
        for (core, name) in RUNNERS.into_iter().enumerate() {
            let mut module = Module::new(name, true, vec!["COMMAND"]);
            module.slots = Some(u32::try_from(self.rng.between(1, 4)).unwrap_or(1));
            let role = Role::Runner(Box::new(module));
            self.peers.push(Peer::new(core, name, role));
        }
        let proxies = if self.rng.percent(60) { 2 } else { 1 };
        for (core, count) in [(0, proxies), (1, 1)] {
            for number in 0..count {
                let name = format!("proxy-{}-{number}", core + 1);
                let role = Role::Proxy(Proxy::new(&name));
                self.peers.push(Peer::new(core, &name, role));
            }
        }
        let registers = self.rng.percent(50);
        let behind = if registers { r#","nodes":[4]"# } else { "" };
        for (core, id, behind) in [(0, 2, behind), (0, 3, ""), (1, 4, "")] {
            let labels = format!(r#"{{"own":"n{id}","site":"paris"}}"#);
            let definition =
                format!(r#"{{"id":{id},"type":"push_zmq","labels":{labels}{behind}}}"#);
            let nodes = &mut self.cores[core].store.nodes;
            nodes.insert(NodeId::new(id), definition);
        }
        for core in 0..self.cores.len() {
            self.start_core(core);
        }
        for peer in 0..self.peers.len() {
            self.after(0, 2000, Ev::Fault(Fault::StartPeer(peer)));
        }
        for number in 0..self.rng.between(10, 35) {
            let token = Token::parse(&format!("t{number}")).expect("is a token");
            let target = self.invent_target();
            let target = target.as_str();
            let ttl = self.rng.percent(15).then(|| self.rng.between(1, 8));
            let ask = self.new_ask(token.clone(), target, ttl, false);
            let at = self.rng.between(0, ACTIVE_MS - 1000);
            let at = if self.rng.percent(60) {
                at / 5000 * 5000 + at % 50
            } else {
                at
            };
            self.at(at, Ev::Ask(ask));
            if self.rng.percent(10) {
                let again = self.new_ask(token.clone(), target, ttl, false);
                self.after(at, at + 8000, Ev::Ask(again));
            }
            if self.rng.percent(10) {
                let cancel = self.new_ask(token, target, None, true);
                let later = self.rng.between(1, 6000);
                self.at(at + later, Ev::Ask(cancel));
            }
        }
        if self.faults {
            for _ in 0..self.rng.between(1, 10) {
                let fault = self.invent_fault();
                self.after(0, ACTIVE_MS - 1000, Ev::Fault(fault));
            }
        }
        self.at(ACTIVE_MS, Ev::Heal);
        self.at(ACTIVE_MS + 8000, Ev::Rest);
    }

    /// One node, or a selection: some of these select nothing while the way to node 4 is not
    /// learnt, and are refused then.
    fn invent_target(&mut self) -> String {
        if self.rng.percent(80) {
            return self.rng.between(2, 4).to_string();
        }
        let selections = [
            "2,3",
            "1,2",
            "2,4",
            "1-4",
            "4-9",
            "*",
            "site=paris",
            "own=n3",
            "own!=n2",
        ];
        selections[self.rng.index(selections.len())].to_owned()
    }

    fn invent_fault(&mut self) -> Fault {
        let core = self.rng.index(self.cores.len());
        let peer = self.rng.index(self.peers.len());
        let proxy = self.rng.index(self.peers.len() - 4) + 4;
        match self.rng.between(0, 99) {
            0..=14 => Fault::KillCore(0),
            15..=29 => Fault::KillCore(core),
            30..=44 => Fault::KillPeer(proxy),
            45..=51 => Fault::KillPeer(peer),
            52..=63 => Fault::CutBus(peer),
            64..=86 => Fault::CutLink(self.rng.between(2, 4)),
            87..=89 => Fault::KillEverything,
            90..=91 => Fault::Reinstall(self.rng.index(3) + 1),
            92..=94 => Fault::Copy(self.rng.index(3) + 1),
            _ => {
                let long = if self.rng.percent(30) { 8000 } else { 800 };
                Fault::StoreBreaks(core, self.rng.between(1, long))
            }
        }
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        if self.now >= ACTIVE_MS {
            return;
        }
        self.say(|| format!("FAULT {fault:?}"));
        match fault {
            Fault::KillCore(core) => {
                self.kill_core(core);
                self.after(20, 4000, Ev::Fault(Fault::StartCore(core)));
            }
            Fault::StartCore(core) => self.start_core(core),
            Fault::KillPeer(peer) => {
                self.kill_peer(peer);
                self.after(50, 9000, Ev::Fault(Fault::StartPeer(peer)));
            }
            Fault::StartPeer(peer) => self.start_peer(peer),
            Fault::CutBus(peer) => self.cut_bus(peer),
            Fault::CutLink(id) => {
                let long = if self.rng.percent(70) { 1500 } else { 15_000 };
                let until = self.now + self.rng.between(10, long);
                self.summary.cuts += 1;
                self.cut_link(NodeId::new(id), until);
            }
            Fault::StoreBreaks(core, long) => {
                self.cores[core].broken_until = self.now + long;
            }
            Fault::Copy(core) => self.copy_store(core),
            Fault::Reinstall(core) => self.reinstall(core),
            Fault::KillEverything => {
                for peer in 0..self.peers.len() {
                    self.fault(Fault::KillPeer(peer));
                }
                for core in 0..self.cores.len() {
                    self.fault(Fault::KillCore(core));
                }
            }
        }
    }

    /// A copy is made of a node's database.
    fn copy_store(&mut self, core: usize) {
        let mut copy = self.cores[core].store.clone();
        copy.queue.clear();
        self.cores[core].copy = Some(copy);
        if self.rng.percent(80) {
            self.after(500, 15_000, Ev::Fault(Fault::Reinstall(core)));
        }
    }

    /// A node begins again with nothing, or with the copy.
    fn reinstall(&mut self, core: usize) {
        let id = self.cores[core].id;
        if self.old && id == NodeId::new(3) {
            // Nobody can tell that of an old daemon.
            return;
        }
        let parent = if core == 3 { 1 } else { 0 };
        let known = self.cores[parent]
            .store
            .marks
            .get(&id)
            .map_or(0, |mark| mark.id);
        let present = self.cores[core].store.lives.last().copied();
        let copy = self.cores[core].copy.take().filter(|copy| {
            // A copy that has all rows that are known elsewhere, and was made in the life that
            // is known, cannot be told from a database that only stood still.
            known > copy.rows.len() as i64 || copy.lives.last().copied() != present
        });
        for peer in 0..self.peers.len() {
            if self.peers[peer].core == core {
                self.fault(Fault::KillPeer(peer));
            }
        }
        self.fault(Fault::KillCore(core));
        // What is on its way there does not reach the one that comes in its place.
        for peer in 0..self.peers.len() {
            let Role::Proxy(proxy) = &self.peers[peer].role else {
                continue;
            };
            if proxy.nodes.get(&id).is_some_and(|conn| conn.link.is_some()) {
                self.link_lost(peer, id, "it is installed anew");
            }
        }
        let nodes = self.cores[core].store.nodes.clone();
        let store = copy.unwrap_or_default();
        let live = store.tasks.values().filter(|task| !task.finished);
        self.revived
            .extend(live.map(|task| task.task.token.as_str().to_owned()));
        self.counter += 1;
        self.cores[core].renewed = self.counter;
        self.cores[core].store = store;
        self.cores[core].store.nodes = nodes;
        self.summary.reinstalled += 1;
    }

    pub(super) fn heal(&mut self) {
        self.say(|| "everything heals".to_owned());
        self.cut_until.clear();
        for core in 0..self.cores.len() {
            self.cores[core].broken_until = 0;
            self.start_core(core);
        }
        for peer in 0..self.peers.len() {
            self.start_peer(peer);
            let life = self.peers[peer].life;
            self.after(1, 500, Ev::Connect(peer, life));
        }
    }
}
