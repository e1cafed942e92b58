//! Core and its store, and the connections to it.

use gorgone_protocol::request::log::{self, Page};
use gorgone_protocol::{Answer, Dialect, Message, Token};
use gorgone_routing::{Effect, Event, Origin, Query, Router, StateQuery, WriteFailure};

use super::{Down, Ev, Peer, World, identity};

impl World {
    pub(super) fn start_core(&mut self) {
        if self.core.is_some() {
            return;
        }
        self.say(|| "core starts".to_owned());
        self.core_life += 1;
        self.committing = false;
        self.store.queue.clear();
        let restored = self.store.restore();
        self.core = Some(Router::new(self.core_settings(), restored, self.moment()));
        self.pump_core();
        let mut peers = vec![Peer::Runner, Peer::Probe];
        peers.extend((0..self.crons.len()).map(Peer::Cron));
        for peer in peers {
            self.connect(peer);
        }
    }

    /// `kill -9` of core, which comes back after a while.
    pub fn kill_core(&mut self, back_after: u64) {
        if self.core.take().is_some() {
            self.say(|| "core is killed".to_owned());
            self.core_life += 1;
            self.after(back_after, back_after, Ev::CoreStarts);
        }
    }

    pub(super) fn tell_core(&mut self, event: Event) {
        let now = self.moment();
        if let Some(core) = &mut self.core {
            core.handle(event, now);
            self.pump_core();
        }
    }

    fn pump_core(&mut self) {
        while let Some(effect) = self.core.as_mut().and_then(Router::poll_effect) {
            self.core_wants(effect);
        }
        let now = self.moment();
        self.core_timer += 1;
        let due = self.core.as_mut().and_then(|core| core.poll_timeout(now));
        if let Some(due) = due {
            let at = self.now + due.as_micros().div_ceil(1000) as u64;
            self.at(at, Ev::CoreTimer(self.core_timer));
        }
    }

    fn core_wants(&mut self, effect: Effect) {
        match effect {
            Effect::Write { batch, records } => {
                self.store.queue.push_back((batch, records));
                if !self.committing {
                    self.next_commit();
                }
            }
            Effect::Answer { to, answer } => self.answer(&to, answer),
            Effect::Deliver {
                module, message, ..
            } => {
                let peer = self.peer(&module);
                self.send_down(peer, Down::Deliver(message));
            }
            Effect::Query(query) => self.after(0, self.latency, Ev::Query(self.core_life, query)),
            Effect::ReadState(query) => {
                self.after(0, self.latency, Ev::State(self.core_life, query));
            }
            Effect::CancelLookup { to, token, .. } => {
                self.answer(&to, Answer::refused(Some(token), "it was already over"));
            }
            _ => {}
        }
    }

    fn answer(&mut self, to: &Origin, answer: Answer) {
        if let Origin::Module(identity) = to {
            let peer = self.peer(identity);
            self.send_down(peer, Down::Answer(answer));
        }
    }

    fn peer(&self, who: &gorgone_protocol::Identity) -> Peer {
        let crons = (0..self.crons.len()).map(Peer::Cron);
        let mut all = crons.chain([Peer::Runner, Peer::Probe]);
        all.find(|peer| identity(*peer) == *who).unwrap()
    }

    fn next_commit(&mut self) {
        self.committing = true;
        self.after(1, 1 + self.latency, Ev::Commit(self.core_life));
    }

    /// All batches that wait are one group.
    pub(super) fn commit(&mut self) {
        self.committing = false;
        for (batch, records) in std::mem::take(&mut self.store.queue) {
            let result = if self.store_fails {
                Err(WriteFailure {
                    message: "the disk is full".to_owned(),
                })
            } else {
                Ok(self.store.commit(records))
            };
            let event = Box::new(Event::Written { batch, result });
            self.at(self.now, Ev::Core(self.core_life, event));
        }
    }

    pub(super) fn query(&mut self, query: Query) {
        let rows = self.store.matching(&query.filter);
        if let Some(waiter) = query.waiter {
            let answered = !rows.is_empty();
            let event = Box::new(Event::QueryDone { waiter, answered });
            self.at(self.now, Ev::Core(self.core_life, event));
            if !answered {
                return;
            }
        }
        let node = gorgone_protocol::NodeId::new(1);
        let page = Page {
            rows,
            more: false,
            live: query.live,
            life: None,
            upto: None,
        };
        let answer = log::answer(Some(query.token), node, &page, Dialect::Seed);
        self.answer(&query.to, answer);
    }

    pub(super) fn read_state(&mut self, query: StateQuery) {
        // Small pages, so that there are several.
        let most = query.keys.limit.unwrap_or(1000).min(5) as usize;
        let page = self.store.page(&query.keys, most);
        self.answer(&query.to, page.answer(query.token));
    }

    pub(super) fn send_down(&mut self, peer: Peer, down: Down) {
        let connection = self.connection(peer);
        self.after(0, self.latency, Ev::Down(peer, connection, down));
    }

    pub(super) fn send_up(&mut self, peer: Peer, message: Message) {
        if self.core.is_some() {
            let connection = self.connection(peer);
            // One after another: what is sent first arrives first.
            let at = self
                .last_up(peer)
                .max(self.now + self.rng.between(0, self.latency));
            self.set_last_up(peer, at);
            self.at(at, Ev::Up(peer, connection, message));
        }
    }

    pub(super) fn arrive_up(&mut self, peer: Peer, connection: u64, message: Message) {
        if self.core.is_none() || connection != self.connection(peer) {
            return;
        }
        let fresh = self.fresh();
        self.tell_core(Event::Request {
            from: Origin::Module(identity(peer)),
            dialect: Dialect::Seed,
            message,
            fresh,
            caller: None,
        });
    }

    pub(super) fn arrive_down(&mut self, peer: Peer, connection: u64, down: Down) {
        if connection != self.connection(peer) {
            if let Down::Deliver(message) = down
                && let Some(token) = message.token
                && self.core.is_some()
            {
                let module = identity(peer);
                self.tell_core(Event::Undelivered { module, token });
            }
            return;
        }
        match peer {
            Peer::Cron(index) => self.cron_hears(index, down),
            Peer::Runner => self.runner_hears(down),
            Peer::Probe => {
                if let Down::Answer(answer) = down
                    && let Some(token) = &answer.token
                {
                    self.answers
                        .insert(token.as_str().to_owned(), answer.clone());
                }
            }
        }
    }

    fn connection(&self, peer: Peer) -> u64 {
        match peer {
            Peer::Cron(index) => self.crons[index].connection,
            Peer::Runner => self.runner.connection,
            Peer::Probe => self.core_life,
        }
    }

    fn last_up(&self, peer: Peer) -> u64 {
        match peer {
            Peer::Cron(index) => self.crons[index].last_up,
            Peer::Runner => self.runner.last_up,
            Peer::Probe => 0,
        }
    }

    fn set_last_up(&mut self, peer: Peer, at: u64) {
        match peer {
            Peer::Cron(index) => self.crons[index].last_up = at,
            Peer::Runner => self.runner.last_up = at,
            Peer::Probe => {}
        }
    }

    /// A peer has a connection, for the first time or again.
    pub(super) fn connect(&mut self, peer: Peer) {
        match peer {
            Peer::Cron(index) => self.cron_connects(index),
            Peer::Runner => self.runner_connects(),
            Peer::Probe => {}
        }
    }

    /// Core learns that a connection is lost.
    pub(super) fn lost(&mut self, peer: Peer) {
        self.after(0, 20, Ev::Gone(peer, self.core_life));
    }

    /// The answer to a question of the probe.
    pub fn asked(&mut self, message: Message) -> Answer {
        let token = self.fresh();
        let message = Message {
            token: Some(token.clone()),
            ..message
        };
        self.send_up(Peer::Probe, message);
        self.pass(100);
        self.answers.remove(token.as_str()).unwrap()
    }
}

/// A token of a text.
pub fn token(text: &str) -> Token {
    Token::parse(text).unwrap()
}
