//! Instances of cron, and what stands around each of them outside.

use std::collections::BTreeMap;
use std::time::Duration;

use gorgone_client::AskError;
use gorgone_client::module::Request;
use gorgone_cron::{AskId, Effect, Event, Instance};
use gorgone_protocol::request::log::PutLog;
use gorgone_protocol::request::ready::Ready;
use gorgone_protocol::{Action, Data, Dialect, Headers, Message, Token};

use super::{Down, Ev, Peer, World, identity};

pub struct Cron {
    pub instance: Option<Instance>,
    pub life: u64,
    pub(super) connection: u64,
    pub(super) last_up: u64,
    timer: u64,
    actions: Vec<Action>,
    /// Questions by their tokens.
    asks: BTreeMap<Token, (AskId, Message)>,
    sequences: BTreeMap<Token, u64>,
    /// Rows that core has not acknowledged, by the token of their message.
    rows: BTreeMap<Token, Message>,
    /// Stopped: everything waits until it goes on.
    asleep: Option<Vec<Asleep>>,
    pub stopped: bool,
}

enum Asleep {
    Hears(Down),
    Event(Event),
}

impl Cron {
    pub(super) fn new(_: usize) -> Self {
        Self {
            instance: None,
            life: 0,
            connection: 0,
            last_up: 0,
            timer: 0,
            actions: Vec::new(),
            asks: BTreeMap::new(),
            sequences: BTreeMap::new(),
            rows: BTreeMap::new(),
            asleep: None,
            stopped: false,
        }
    }

    pub fn leads(&self) -> bool {
        self.asleep.is_none() && self.instance.as_ref().is_some_and(Instance::leads)
    }
}

impl World {
    /// The instance that fires, if one does.
    pub fn leader(&self) -> Option<usize> {
        self.crons.iter().position(Cron::leads)
    }

    pub(super) fn start_cron(&mut self, index: usize) {
        if self.crons[index].instance.is_some() {
            return;
        }
        self.say(|| format!("cron-{index} starts"));
        let instance = Instance::new(self.settings(), self.jobs.clone(), self.moment());
        let old = &self.crons[index];
        let cron = Cron {
            instance: Some(instance),
            life: old.life + 1,
            connection: old.connection + 1,
            last_up: self.now,
            ..Cron::new(index)
        };
        self.crons[index] = cron;
        self.cron_connects(index);
    }

    /// `kill -9` of an instance, which comes back after a while.
    pub fn kill_cron(&mut self, index: usize, back_after: u64) {
        if self.crons[index].instance.take().is_some() {
            self.say(|| format!("cron-{index} is killed"));
            let cron = &mut self.crons[index];
            cron.life += 1;
            cron.connection += 1;
            cron.asleep = None;
            self.lost(Peer::Cron(index));
            self.after(back_after, back_after, Ev::CronStarts(index));
        }
    }

    /// An instance is stopped, as with SIGSTOP, for a while.
    pub fn freeze_cron(&mut self, index: usize, milliseconds: u64) {
        let cron = &mut self.crons[index];
        if cron.instance.is_some() && cron.asleep.is_none() {
            cron.asleep = Some(Vec::new());
            let life = cron.life;
            self.say(|| format!("cron-{index} freezes for {milliseconds} ms"));
            self.after(milliseconds, milliseconds, Ev::CronWakes(index, life));
        }
    }

    pub(super) fn cron_wakes(&mut self, index: usize, life: u64) {
        if self.crons[index].life != life {
            return;
        }
        self.say(|| format!("cron-{index} goes on"));
        for slept in self.crons[index].asleep.take().into_iter().flatten() {
            match slept {
                Asleep::Hears(down) => self.cron_hears(index, down),
                Asleep::Event(event) => self.tell_cron(index, event),
            }
        }
        self.tell_cron(index, Event::Timeout);
    }

    /// One that has ended is started again after a while.
    pub fn restart(&mut self, index: usize, after: u64) {
        self.after(after, after, Ev::CronStarts(index));
    }

    /// SIGTERM: it ends in order.
    pub fn stop_cron(&mut self, index: usize) {
        self.tell_cron(index, Event::Stop);
    }

    /// The connection of an instance is cut, and made anew after a while.
    pub fn cut_cron(&mut self, index: usize, milliseconds: u64) {
        if self.crons[index].instance.is_some() {
            self.say(|| format!("cron-{index} is cut off"));
            self.crons[index].connection += 1;
            self.lost(Peer::Cron(index));
            let life = self.crons[index].life;
            self.after(
                milliseconds,
                milliseconds,
                Ev::Silent(index, life, AskIdOrConnect::CONNECT),
            );
        }
    }

    /// The configuration is read again.
    pub fn configure(&mut self, jobs: Vec<gorgone_schedule::Definition>) {
        self.jobs = jobs;
        for index in 0..self.crons.len() {
            let jobs = self.jobs.clone();
            self.tell_cron(index, Event::Configured(jobs));
        }
    }

    pub(super) fn clock_set(&mut self, index: usize) {
        self.tell_cron(index, Event::ClockSet);
    }

    pub(super) fn cron_connects(&mut self, index: usize) {
        if self.crons[index].instance.is_none() || self.core.is_none() {
            return;
        }
        self.crons[index].connection += 1;
        self.say_ready(index);
        let again: Vec<Message> = self.crons[index]
            .asks
            .values()
            .map(|(_, message)| message.clone())
            .chain(self.crons[index].rows.values().cloned())
            .collect();
        for message in again {
            self.send_up(Peer::Cron(index), message);
        }
    }

    fn say_ready(&mut self, index: usize) {
        let cron = &self.crons[index];
        let actions = cron.actions.iter();
        let ready = Ready {
            actions: actions.map(|action| action.name().into_owned()).collect(),
            slots: Some(16),
            epoch: Some(cron.life.to_string()),
            ..Ready::default()
        };
        self.counter += 1;
        let token = Token::parse(&format!("ready-{}", self.counter)).ok();
        let message = Message::new(Action::parse("CRONREADY"), token, Data::from_value(&ready));
        self.send_up(Peer::Cron(index), message);
    }

    pub(super) fn cron_hears(&mut self, index: usize, down: Down) {
        if let Some(asleep) = &mut self.crons[index].asleep {
            asleep.push(Asleep::Hears(down));
            return;
        }
        match down {
            Down::Answer(answer) => {
                let Some(token) = answer.token.clone() else {
                    return;
                };
                if let Some((ask, _)) = self.crons[index].asks.remove(&token) {
                    let answer = Ok(answer);
                    self.tell_cron(index, Event::Answered { ask, answer });
                } else if token.as_str().starts_with("ready-") {
                    self.tell_cron(index, Event::Ready);
                } else {
                    self.crons[index].rows.remove(&token);
                }
            }
            Down::Deliver(message) => {
                if let Some(token) = message.token {
                    let request = Request {
                        token,
                        action: message.action,
                        data: message.data,
                        headers: Headers::default(),
                    };
                    self.tell_cron(index, Event::Request(request));
                }
            }
        }
    }

    pub(super) fn tell_cron(&mut self, index: usize, event: Event) {
        let now = self.moment();
        let cron = &mut self.crons[index];
        if let Some(asleep) = &mut cron.asleep {
            asleep.push(Asleep::Event(event));
            return;
        }
        let Some(instance) = &mut cron.instance else {
            return;
        };
        instance.handle(event, now);
        while let Some(effect) = self.crons[index]
            .instance
            .as_mut()
            .and_then(Instance::poll_effect)
        {
            self.cron_wants(index, effect);
        }
        let Some(instance) = &self.crons[index].instance else {
            return;
        };
        if instance.is_gone() {
            self.say(|| format!("cron-{index} has ended"));
            self.crons[index].instance = None;
            self.crons[index].stopped = true;
            self.crons[index].connection += 1;
            return self.lost(Peer::Cron(index));
        }
        let wake = instance.poll_timeout(now);
        let wall = wake.wall_ms.map(|at| at.saturating_sub(now.unix_ms));
        let wall = wall.map(|left| u64::try_from(left).unwrap_or(0));
        let after = wake
            .after
            .map(|after| after.as_micros().div_ceil(1000) as u64);
        self.crons[index].timer += 1;
        let (life, timer) = (self.crons[index].life, self.crons[index].timer);
        if let Some(wait) = wall.into_iter().chain(after).min() {
            self.at(self.now + wait, Ev::CronTimer(index, life, timer));
        }
    }

    pub(super) fn cron_timer(&mut self, index: usize, life: u64, timer: u64) {
        let cron = &self.crons[index];
        if cron.life == life && cron.timer == timer {
            self.tell_cron(index, Event::Timeout);
        }
    }

    pub(super) fn silent(&mut self, index: usize, life: u64, ask: AskIdOrConnect) {
        if self.crons[index].life != life {
            return;
        }
        let Some(ask) = ask.0 else {
            return self.cron_connects(index);
        };
        let asks = &self.crons[index].asks;
        let token = asks.iter().find(|(_, (own, _))| *own == ask);
        if let Some(token) = token.map(|(token, _)| token.clone()) {
            self.crons[index].asks.remove(&token);
            let answer = Err(AskError::Silent);
            self.tell_cron(index, Event::Answered { ask, answer });
        }
    }

    fn cron_wants(&mut self, index: usize, effect: Effect) {
        self.say(|| {
            format!("cron-{index} -> {effect:?}")
                .chars()
                .take(300)
                .collect()
        });
        match effect {
            Effect::Ask {
                ask,
                mut message,
                patience,
            } => {
                let fresh = self.fresh();
                let token = message.token.get_or_insert(fresh).clone();
                let cron = &mut self.crons[index];
                cron.asks.insert(token, (ask, message.clone()));
                let life = cron.life;
                self.send_up(Peer::Cron(index), message);
                let patience = patience.min(Duration::from_secs(7200)).as_millis() as u64;
                let silent = Ev::Silent(index, life, AskIdOrConnect(Some(ask)));
                self.at(self.now + patience, silent);
            }
            Effect::Forget => self.crons[index].asks.clear(),
            Effect::Offer(actions) => {
                self.crons[index].actions = actions;
                self.say_ready(index);
            }
            Effect::Report { token, code, data } => {
                let fresh = self.fresh();
                let cron = &mut self.crons[index];
                let sequence = cron.sequences.entry(token.clone()).or_default();
                *sequence += 1;
                let put = PutLog {
                    token: Some(token.as_str().to_owned()),
                    code,
                    etime: None,
                    data: data.to_string(),
                    sequence: Some(*sequence),
                    attempt: None,
                };
                let body = put.encode(Dialect::Seed);
                let message = Message::new(Action::PutLog, Some(fresh.clone()), body);
                cron.rows.insert(fresh, message.clone());
                self.send_up(Peer::Cron(index), message);
            }
        }
    }

    /// How core names the instance.
    pub fn name(index: usize) -> String {
        identity(Peer::Cron(index)).to_text()
    }
}

/// A question whose time is over, or a connection that is made anew.
#[derive(Clone, Copy)]
pub struct AskIdOrConnect(Option<AskId>);

impl AskIdOrConnect {
    const CONNECT: Self = Self(None);
}
