//! The routers and their stores, and the clients of the first.

use std::time::Duration;

use gorgone_protocol::request::cancel::Cancel;
use gorgone_protocol::request::log::Page;
use gorgone_protocol::request::nodes::NodeKind;
use gorgone_protocol::{
    Action, Data, Dialect, Identity, Life, Message, NodeId, Status, Target, Token,
};
use gorgone_routing::{Effect, Event, Origin, Query, Record, Router, Settings, WriteFailure};
use serde_json::json;

use super::store::Store;
use super::{Down, Ev, Said, World};

pub struct Core {
    pub id: NodeId,
    pub router: Option<Router>,
    pub life: u64,
    timer: u64,
    pub store: Store,
    pub busy: bool,
    /// Until when every commit fails.
    pub broken_until: u64,
    last_answer: u64,
    /// A copy of the store, to be put back later.
    pub copy: Option<Store>,
    /// What was sent over connections of before does not reach it.
    pub renewed: u64,
    settings: Settings,
}

impl Core {
    pub fn new(id: NodeId, grace: Duration, window: usize) -> Self {
        Self {
            id,
            router: None,
            life: 0,
            timer: 0,
            store: Store::default(),
            busy: false,
            broken_until: 0,
            last_answer: 0,
            copy: None,
            renewed: 0,
            settings: Settings {
                node: id,
                expected_actions: vec![Action::Command],
                expected_carries: vec![NodeKind::PushZmq],
                module_grace: grace,
                node_window: window,
                ..Settings::default()
            },
        }
    }
}

impl World {
    pub(super) fn start_core(&mut self, core: usize) {
        if self.cores[core].router.is_some() {
            return;
        }
        self.say(|| format!("core {} starts", core + 1));
        let now = self.moment();
        self.counter += 1;
        let life = Life::from_random(self.counter);
        let it = &mut self.cores[core];
        it.store.begin_life(life);
        let restored = it.store.restore();
        if core == 0 {
            // What may have been handed over keeps no place.
            let handed = restored.tasks.iter();
            let handed = handed.filter(|task| task.state.node().is_some());
            self.handed
                .extend(handed.map(|task| task.token.as_str().to_owned()));
        }
        it.router = Some(Router::new(it.settings.clone(), restored, now));
        self.pump(core);
    }

    pub(super) fn kill_core(&mut self, core: usize) {
        let it = &mut self.cores[core];
        if it.router.take().is_none() {
            return;
        }
        it.life += 1;
        it.timer += 1;
        it.store.queue.clear();
        it.busy = false;
        self.summary.core_kills += 1;
        self.say(|| format!("core {} is killed", core + 1));
        self.core_is_gone(core);
    }

    pub(super) fn tell_core(&mut self, core: usize, event: Event) {
        let now = self.moment();
        let id = core + 1;
        if self.trace {
            println!("{:>7} core {id} <- {event:?}", self.now);
        }
        if let Some(router) = &mut self.cores[core].router {
            router.handle(event, now);
            self.pump(core);
        }
    }

    pub(super) fn request(&mut self, core: usize, from: Origin, message: Message) {
        let fresh = self.fresh();
        self.tell_core(
            core,
            Event::Request {
                from,
                dialect: Dialect::Seed,
                message,
                fresh,
                caller: None,
            },
        );
    }

    pub(super) fn pump(&mut self, core: usize) {
        while let Some(effect) = self.cores[core]
            .router
            .as_mut()
            .and_then(Router::poll_effect)
        {
            self.say(|| format!("core {} -> {effect:?}", core + 1));
            self.perform(core, effect);
        }
        let now = self.moment();
        let it = &mut self.cores[core];
        let due = it
            .router
            .as_mut()
            .and_then(|router| router.poll_timeout(now));
        it.timer += 1;
        let timer = it.timer;
        if let Some(due) = due {
            let at = self.now + due.as_micros().div_ceil(1000) as u64;
            self.at(at, Ev::Timer(core, timer));
        }
    }

    pub(super) fn timer(&mut self, core: usize, timer: u64) {
        if self.cores[core].timer == timer {
            self.tell_core(core, Event::Timeout);
        }
    }

    fn perform(&mut self, core: usize, effect: Effect) {
        match effect {
            Effect::Write { batch, records } => {
                self.cores[core].store.queue.push_back((batch, records));
                if !self.cores[core].busy {
                    self.next_commit(core);
                }
            }
            Effect::Answer { to, answer } => match &to {
                Origin::Client(identity) => match ask_of(identity) {
                    Some(ask) => {
                        let ok = answer.status == Status::Ok;
                        self.answered(ask, ok, answer.data.as_str());
                    }
                    None => self.answer_proxy(identity, Said::Answer(answer)),
                },
                Origin::Module(identity) => {
                    let peer = self.peer(identity);
                    self.send_down(peer, Down::Answer(answer));
                }
            },
            Effect::Deliver {
                module,
                message,
                headers,
            } => {
                self.check_delivery(core, &message, &headers);
                let peer = self.peer(&module);
                self.send_down(peer, Down::Message(Box::new(message), headers));
            }
            Effect::Query(query) => self.query(core, query),
            Effect::CancelLookup { to, subject, .. } => {
                let Origin::Client(identity) = &to else {
                    return;
                };
                let life = self.cores[core].life;
                match ask_of(identity) {
                    Some(ask) => self.after(0, 10, Ev::Lookup(core, life, ask, subject)),
                    // Another core asks for its own client, who is told that nobody answers.
                    None => self.say(|| format!("{subject} is looked up for a node")),
                }
            }
            Effect::NewRows => self.tell_parents(core),
            _ => {}
        }
    }

    /// A proxy fetches rows. Nobody else reads in this world.
    fn query(&mut self, core: usize, query: Query) {
        let Origin::Client(identity) = &query.to else {
            return;
        };
        let after = query.filter.id.unwrap_or(0);
        let limit = query.filter.limit.unwrap_or(1000) as usize;
        let before = query.filter.before.unwrap_or(i64::MAX);
        let rows = self.cores[core].store.rows.iter();
        let rows = rows.filter(|row| row.id > after && row.id < before);
        let mut rows = rows.cloned().peekable();
        let taken = rows.by_ref().take(limit).collect();
        let truncated = rows.peek().is_some();
        let last = query.life.and_then(|life| life.last);
        let page = Page {
            rows: taken,
            more: truncated || last.is_some(),
            life: query.life.map(|life| life.life),
            upto: last.filter(|_| !truncated),
            ..Page::default()
        };
        let said = Said::Rows(query.token.clone(), page);
        self.answer_proxy(identity, said);
    }

    fn next_commit(&mut self, core: usize) {
        let it = &mut self.cores[core];
        it.busy = true;
        let life = it.life;
        let high = if self.now < it.broken_until { 300 } else { 12 };
        self.after(1, high, Ev::Commit(core, life));
    }

    pub(super) fn commit(&mut self, core: usize, life: u64) {
        let it = &mut self.cores[core];
        if it.life != life {
            return;
        }
        it.busy = false;
        let Some((batch, records)) = it.store.queue.pop_front() else {
            return;
        };
        let result = if self.now < it.broken_until {
            Err(WriteFailure {
                message: "the disk is full".to_owned(),
            })
        } else {
            if self.trace {
                let ends = records.iter().filter(|r| matches!(r, Record::Finish(_)));
                println!(
                    "{:>7} core {} commits {} ends",
                    self.now,
                    core + 1,
                    ends.count()
                );
            }
            Ok(it.store.commit(records))
        };
        it.last_answer = it.last_answer.max(self.now + self.rng.between(0, 3));
        let at = it.last_answer;
        let event = Box::new(Event::Written { batch, result });
        self.at(at, Ev::Core(core, life, event));
        if !self.cores[core].store.queue.is_empty() {
            self.next_commit(core);
        }
    }

    pub(super) fn ask(&mut self, index: usize) {
        if self.cores[0].router.is_none() {
            return self.after(100, 800, Ev::Ask(index));
        }
        let life = self.cores[0].life;
        let ask = &mut self.asks[index];
        ask.reached = Some(life);
        let message = if ask.cancel {
            let token = ask.token.clone();
            Message::new(Action::Cancel, None, Data::from_value(&Cancel { token }))
        } else {
            let mut data = json!({ "command": ask.token.as_str() });
            if let Some(ttl) = ask.ttl {
                data["ttl"] = ttl.into();
            }
            Message {
                action: Action::Command,
                token: Some(ask.token.clone()),
                target: Target::parse(&ask.target),
                data: Data::from_value(&data),
            }
        };
        let from = Origin::Client(Identity::new(format!("ask-{index}").as_bytes()));
        self.request(0, from, message);
    }

    pub(super) fn answered(&mut self, index: usize, ok: bool, words: &str) {
        let ask = &mut self.asks[index];
        ask.answers += 1;
        ask.ok |= ok;
        ask.words = words.to_owned();
        if ask.answers > 1 {
            self.broken(format!("ask-{index} was answered twice: {words}"));
        }
    }

    /// The central is gone: who has no answer asks again with the same token.
    pub(super) fn ask_again(&mut self) {
        let life = self.cores[0].life - 1;
        for index in 0..self.asks.len() {
            let ask = &self.asks[index];
            if ask.reached == Some(life) && ask.answers == 0 && !ask.cancel {
                self.after(200, 3000, Ev::Ask(index));
            }
        }
    }

    pub(super) fn new_ask(
        &mut self,
        token: Token,
        target: &str,
        ttl: Option<u64>,
        cancel: bool,
    ) -> usize {
        self.asks.push(super::Ask {
            token,
            target: target.to_owned(),
            ttl,
            cancel,
            reached: None,
            answers: 0,
            ok: false,
            words: String::new(),
        });
        self.asks.len() - 1
    }
}

fn ask_of(identity: &Identity) -> Option<usize> {
    identity.to_text().strip_prefix("ask-")?.parse().ok()
}
