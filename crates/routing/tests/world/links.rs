//! The bus between core and its modules, and what modules do.

use gorgone_protocol::{Action, Code, Dialect, Message, Token};
use gorgone_routing::{Event, Origin};

use super::module::{Down, Step};
use super::{Ev, World};

/// How long a module waits for core's word about a row.
const PATIENCE_MS: u64 = 10_000;

impl World {
    pub(super) fn connect(&mut self, index: usize, life: u64) {
        let module = &mut self.modules[index];
        if !module.alive || module.up || module.life != life {
            return;
        }
        if self.core.is_none() {
            return self.after(50, 300, Ev::Connect(index, life));
        }
        let replaced = module.seen.is_some();
        module.connection += 1;
        module.up = true;
        module.seen = Some(module.connection);
        self.say(|| format!("{} connects", self.modules[index].name));
        // The end of a connection is told before anything that comes over the next one; a
        // module that names its epoch does without.
        if replaced && (!self.modules[index].own || self.rng.percent(50)) {
            self.gone(index);
        }
        for message in std::mem::take(&mut self.modules[index].outbox) {
            self.send_up(index, message);
        }
        if self.modules[index].own {
            let ready = self.modules[index].ready(true);
            self.send_up(index, ready);
            let held: Vec<_> = self.modules[index].held.keys().cloned().collect();
            for token in held {
                self.say_row(index, &token);
            }
        } else if !self.modules[index].announced {
            let ready = self.modules[index].ready(false);
            self.modules[index].announced = true;
            self.send_up(index, ready);
        }
    }

    fn gone(&mut self, index: usize) {
        let gone = Event::ModuleGone(self.modules[index].identity.clone());
        self.tell_core(gone);
    }

    /// The connection breaks; what is on its way is lost. Core hears of it late, or never.
    pub(super) fn cut(&mut self, index: usize, again_in: u64) {
        let module = &mut self.modules[index];
        if !module.up {
            return;
        }
        module.up = false;
        module.last_fault = Some(self.now);
        module.forgotten = true;
        let (life, connection, own) = (module.life, module.connection, module.own);
        self.say(|| format!("link of module {index} is cut"));
        if !own || self.rng.percent(70) {
            self.after(0, 3000, Ev::Notice(index, connection));
        }
        self.after(10, again_in, Ev::Connect(index, life));
    }

    pub(super) fn notice(&mut self, index: usize, connection: u64) {
        let module = &mut self.modules[index];
        if module.seen == Some(connection) && !(module.up && module.connection == connection) {
            module.seen = None;
            self.gone(index);
        }
    }

    pub(super) fn send_up(&mut self, index: usize, message: Message) {
        let latency = self.rng.between(0, 4);
        let module = &mut self.modules[index];
        if !module.up {
            module.outbox.push(message);
            return;
        }
        module.arrival_up = module.arrival_up.max(self.now + latency);
        let (at, connection) = (module.arrival_up, module.connection);
        self.at(at, Ev::Up(index, connection, message));
    }

    pub(super) fn arrive_up(&mut self, index: usize, connection: u64, message: Message) {
        let module = &self.modules[index];
        if !module.up || module.connection != connection {
            return;
        }
        let from = Origin::Module(module.identity.clone());
        let fresh = self.fresh();
        self.tell_core(Event::Request {
            from,
            dialect: Dialect::Seed,
            message,
            fresh,
            caller: None,
        });
    }

    pub(super) fn send_down(&mut self, index: usize, down: Down) {
        let latency = self.rng.between(0, 4);
        let full = self.rng.percent(1) && self.faults && self.now < super::ACTIVE_MS;
        let module = &mut self.modules[index];
        if module.seen.is_none() || (full && module.own) {
            let module = module.identity.clone();
            let event = match down {
                Down::Work { token, .. } => Event::Undelivered { module, token },
                _ => Event::ModuleGone(module),
            };
            self.modules[index].last_fault = Some(self.now);
            return self.after(0, 2, Ev::Core(self.life, Box::new(event)));
        }
        if !module.up || module.seen != Some(module.connection) {
            // Core does not know yet that nobody is there.
            module.last_fault = Some(self.now);
        }
        module.arrival_down = module.arrival_down.max(self.now + latency);
        let (at, connection) = (module.arrival_down, module.connection);
        self.at(at, Ev::Down(index, connection, down));
    }

    pub(super) fn arrive_down(&mut self, index: usize, connection: u64, down: Down) {
        let module = &mut self.modules[index];
        if !module.up || module.connection != connection {
            return;
        }
        let life = module.life;
        match down {
            Down::Work { token, attempt } => {
                self.counter += 1;
                let run = self.counter;
                if !self.modules[index].take(&token, attempt, run) {
                    return self.say(|| format!("module {index} has {token} already"));
                }
                self.say(|| format!("module {index} starts {token}, attempt {attempt}"));
                *self.starts.entry(token.as_str().to_owned()).or_default() += 1;
                let left = self.rng.between(0, 3);
                let step = Step { token, run, left };
                self.next_step(index, step);
            }
            Down::Cancel(token) => {
                if self.modules[index].own {
                    self.report(index, &token, Code::Ko, Some("cancelled"));
                }
            }
            Down::Answer {
                token: Some(token),
                ok,
                inserted,
            } => {
                if self.modules[index].about(&token).is_none() {
                    return;
                }
                if !ok {
                    return self.after(500, 500, Ev::SayAgain(index, life, token));
                }
                if let Some((data, next)) = self.modules[index].acknowledged(&token) {
                    if inserted {
                        self.acknowledged_rows.push(data);
                    }
                    if let Some(message) = next {
                        self.say_message(index, message);
                    }
                }
            }
            Down::Answer { token: None, .. } => {}
        }
    }

    fn next_step(&mut self, index: usize, step: Step) {
        let life = self.modules[index].life;
        let longest = if self.rng.percent(5) { 6000 } else { 700 };
        self.after(1, longest, Ev::Step(index, life, step));
    }

    pub(super) fn step(&mut self, index: usize, life: u64, step: Step) {
        let module = &self.modules[index];
        let goes_on = module.life == life
            && module
                .held
                .get(&step.token)
                .is_some_and(|held| held.run == step.run && !held.ended);
        if !goes_on {
            return;
        }
        if step.left > 0 {
            self.report(index, &step.token, Code::Proceed, None);
            let left = step.left - 1;
            return self.next_step(index, Step { left, ..step });
        }
        if self.rng.percent(85) {
            self.report(index, &step.token, Code::Ok, None);
        } else {
            self.report(index, &step.token, Code::Ko, Some("failed"));
        }
    }

    fn report(&mut self, index: usize, token: &Token, code: Code, reason: Option<&str>) {
        if let Some(message) = self.modules[index].report(token, code, reason) {
            self.say_message(index, message);
        }
    }

    fn say_row(&mut self, index: usize, token: &Token) {
        if let Some(message) = self.modules[index].say(token) {
            self.say_message(index, message);
        }
    }

    fn say_message(&mut self, index: usize, message: Message) {
        let life = self.modules[index].life;
        if let (Some(id), true) = (&message.token, message.action == Action::PutLog) {
            let again = Ev::SayAgain(index, life, id.clone());
            self.after(PATIENCE_MS, PATIENCE_MS, again);
        }
        self.send_up(index, message);
    }

    pub(super) fn say_again(&mut self, index: usize, life: u64, message: &Token) {
        if self.modules[index].life != life {
            return;
        }
        if let Some(token) = self.modules[index].about(message) {
            self.say_row(index, &token);
        }
    }

    pub(super) fn heartbeat(&mut self, index: usize, life: u64) {
        let module = &self.modules[index];
        let every = u64::from(module.heartbeat) * 1000;
        // Towards the end all is quiet.
        let ends = self.now + every > super::END_MS - 1000;
        if !module.alive || module.life != life || !module.own || ends {
            return;
        }
        if module.up || self.rng.percent(20) {
            let ready = self.modules[index].ready(false);
            self.send_up(index, ready);
        }
        self.after(every, every, Ev::Heartbeat(index, life));
    }
}
