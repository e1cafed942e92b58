//! What goes wrong, when, and how it heals.

use gorgone_routing::Event;

use super::module::Module;
use super::{ACTIVE_MS, Ev, World};

#[derive(Clone, Debug)]
pub enum Fault {
    KillCore,
    StopCore,
    StartCore,
    KillModule(usize),
    StartModule(usize),
    DrainModule(usize),
    CutLink(usize),
    KillEverything,
    WallJumps(i64),
    StoreBreaks(u64),
}

impl World {
    /// Decides what there is and what is going to happen.
    pub(super) fn plan(&mut self) {
        let first = if self.rng.percent(50) {
            vec!["COMMAND"]
        } else {
            vec!["COMMAND", "X"]
        };
        let alone = first.len() == 1;
        self.modules.push(Module::new("m0", true, first));
        if alone || self.rng.percent(50) {
            let own = self.rng.percent(40);
            self.modules.push(Module::new("m1", own, vec!["X"]));
        }
        if self.rng.percent(40) {
            let own = self.rng.percent(80);
            self.modules
                .push(Module::new("m2", own, vec!["COMMAND", "X"]));
        }
        for index in 0..self.modules.len() {
            if self.rng.percent(85) {
                let slots = u32::try_from(self.rng.between(1, 4)).unwrap_or(1);
                self.modules[index].slots = Some(slots);
            }
            self.modules[index].heartbeat = u32::try_from(self.rng.between(1, 5)).unwrap_or(1);
            self.after(0, 3000, Ev::Fault(Fault::StartModule(index)));
        }
        for _ in 0..self.rng.between(15, 45) {
            let index = self.new_ask(None, None);
            let at = self.rng.between(0, ACTIVE_MS - 1000);
            // Bursts are where lines form.
            let at = if self.rng.percent(50) {
                at / 5000 * 5000 + at % 50
            } else {
                at
            };
            self.at(at, Ev::Ask(index));
        }
        if self.faults {
            let how_many = self.rng.between(1, 10);
            for _ in 0..how_many {
                let fault = self.invent_fault();
                self.after(0, ACTIVE_MS - 1000, Ev::Fault(fault));
            }
        }
        self.at(ACTIVE_MS, Ev::Heal);
    }

    fn invent_fault(&mut self) -> Fault {
        let module = self.rng.index(self.modules.len());
        match self.rng.between(0, 99) {
            0..=17 => Fault::KillCore,
            18..=23 => Fault::StopCore,
            24..=38 => Fault::KillModule(module),
            39..=43 => Fault::DrainModule(module),
            44..=68 => Fault::CutLink(module),
            69..=75 => Fault::KillEverything,
            76..=83 => {
                let hour = 3_600_000;
                Fault::WallJumps(if self.rng.percent(50) { hour } else { -hour })
            }
            _ => {
                let long = if self.rng.percent(30) { 10_000 } else { 800 };
                Fault::StoreBreaks(self.rng.between(1, long))
            }
        }
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        if self.now >= ACTIVE_MS {
            return;
        }
        self.say(|| format!("FAULT {fault:?}"));
        match fault {
            Fault::KillCore => self.kill_core(),
            Fault::StopCore => {
                if self.core.is_some() && !self.stopping {
                    self.stopping = true;
                    self.summary.stops += 1;
                    self.tell_core(Event::Stopping);
                    self.after(100, 2500, Ev::Fault(Fault::KillCore));
                }
            }
            Fault::StartCore => self.start_core(),
            Fault::KillModule(index) => {
                if self.modules[index].alive {
                    self.kill_module(index);
                    self.after(50, 9000, Ev::Fault(Fault::StartModule(index)));
                }
            }
            Fault::StartModule(index) => self.start_module(index),
            Fault::DrainModule(index) => {
                if self.modules[index].alive && self.modules[index].own {
                    self.modules[index].draining = true;
                    let ready = self.modules[index].ready(false);
                    self.send_up(index, ready);
                    self.after(500, 9000, Ev::Fault(Fault::KillModule(index)));
                }
            }
            Fault::CutLink(index) => {
                let again = if self.rng.percent(70) { 800 } else { 12_000 };
                self.cut(index, again);
            }
            Fault::KillEverything => {
                for index in 0..self.modules.len() {
                    self.fault(Fault::KillModule(index));
                }
                self.kill_core();
            }
            Fault::WallJumps(by) => {
                self.pump();
                self.wall_ms += by;
                self.pump();
            }
            Fault::StoreBreaks(long) => {
                self.summary.store_failures += 1;
                self.broken_until = self.broken_until.max(self.now + long);
            }
        }
    }

    fn kill_core(&mut self) {
        if self.core.take().is_none() {
            return;
        }
        self.summary.core_kills += 1;
        self.ask_again_after_a_kill();
        // All that was for this life, or from it, is lost; also what was not committed.
        self.life += 1;
        self.timer += 1;
        self.store.queue.clear();
        self.store_busy = false;
        for index in 0..self.modules.len() {
            let module = &mut self.modules[index];
            module.up = false;
            module.seen = None;
            module.forgotten = true;
            module.last_fault = Some(self.now);
            let life = module.life;
            if module.alive {
                self.after(10, 600, Ev::Connect(index, life));
            }
        }
        if self.now < ACTIVE_MS {
            self.after(20, 4000, Ev::Fault(Fault::StartCore));
        }
    }

    fn kill_module(&mut self, index: usize) {
        self.summary.module_kills += 1;
        let never = self.modules[index].own && self.rng.percent(30);
        let module = &mut self.modules[index];
        let connection = module.connection;
        module.die();
        module.last_fault = Some(self.now);
        if !never {
            self.after(0, 3000, Ev::Notice(index, connection));
        }
    }

    fn start_module(&mut self, index: usize) {
        let module = &mut self.modules[index];
        if module.alive {
            return;
        }
        module.alive = true;
        module.life += 1;
        let life = module.life;
        self.at(self.now, Ev::Connect(index, life));
        self.at(self.now, Ev::Heartbeat(index, life));
    }

    pub(super) fn heal(&mut self) {
        self.say(|| "everything heals".to_owned());
        self.broken_until = 0;
        self.wall_ms = 1_700_000_000_000;
        if self.stopping {
            self.kill_core();
        }
        self.start_core();
        for index in 0..self.modules.len() {
            let module = &self.modules[index];
            // A simple module that lost its core says READY when somebody starts it anew.
            if module.alive && (module.draining || (!module.own && module.forgotten)) {
                self.kill_module(index);
            }
            self.start_module(index);
            let life = self.modules[index].life;
            self.after(1, 500, Ev::Connect(index, life));
        }
    }
}
