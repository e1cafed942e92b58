//! The promises, checked.

use std::collections::{BTreeMap, BTreeSet};

use gorgone_protocol::request::log::{Row, WaitFor};
use gorgone_protocol::{Action, Dialect, Identity, Message, Token};
use gorgone_routing::{Event, Origin, Query};

use super::World;
use super::clients::Kind;
use super::store::reason;

/// What happened, for people.
#[derive(Default)]
pub struct Summary {
    pub accepted: u64,
    pub ends: BTreeMap<String, u64>,
    pub refused: u64,
    pub unanswered: u64,
    pub asks: u64,
    pub starts: u64,
    pub again: u64,
    pub core_kills: u64,
    pub module_kills: u64,
    pub stops: u64,
    pub store_failures: u64,
}

impl Summary {
    pub fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.unanswered += other.unanswered;
        self.asks += other.asks;
        self.starts += other.starts;
        self.again += other.again;
        self.core_kills += other.core_kills;
        self.module_kills += other.module_kills;
        self.stops += other.stops;
        self.store_failures += other.store_failures;
        for (reason, count) in other.ends {
            *self.ends.entry(reason).or_default() += count;
        }
    }
}

impl World {
    /// At each hand-over: in time, in order, and written down before.
    pub(super) fn check_delivery(&mut self, module: usize, token: &Token, attempt: u32) {
        let name = token.as_str();
        let Some(stored) = self.store.tasks.get(name) else {
            return self.broken(format!("{name} is handed over and not stored"));
        };
        let written = stored.task.attempt;
        let (place, action, expires) = (
            stored.order,
            stored.task.action.clone(),
            stored.task.expires_ms,
        );
        if attempt > written {
            self.broken(format!("attempt {attempt} of {name} is not written down"));
        }
        if let Some((_, to)) = self.delivered.get_mut(name) {
            to.push(module);
            return;
        }
        self.delivered
            .insert(name.to_owned(), (self.now, vec![module]));
        if self.restored_sent.contains(name) {
            return;
        }
        // Effects may be asked for up to two milliseconds after they were decided.
        if self.moment().unix_ms > expires + 2 {
            self.broken(format!("{name} is handed over after its time to live"));
        }
        let last = self.last_place.entry((self.life, action)).or_default();
        if place < *last {
            self.broken(format!(
                "{name} is handed over after one that was accepted later"
            ));
        } else {
            *last = place;
        }
    }

    /// Who waits for an end is answered when it comes.
    pub(super) fn check_wait(&mut self, query: &Query) {
        let waits = query.filter.wait.is_some() && query.filter.wait_for == WaitFor::End;
        // A repeated token is looked up in the store, which takes as long as it takes: up to a
        // second where it is slow to fail.
        if !waits || self.now < self.broken_until + 3000 {
            return;
        }
        let asked = query.to.to_text();
        let asked = asked
            .strip_prefix("ask-")
            .and_then(|n| n.parse::<usize>().ok());
        let asked = asked.and_then(|index| self.asks.get(index));
        let token = query.filter.token.as_deref().unwrap_or_default();
        if let (Some(ask), Some(ended)) = (asked, self.ended_at.get(token))
            && self.now > ask.asked_at.max(*ended) + 1500
        {
            self.broken(format!(
                "who waited for {token} was not told that it had ended"
            ));
        }
    }

    pub(super) fn check_end(&mut self) {
        if self.violation.is_none() {
            self.check_rest();
            self.check_answers();
            self.check_tokens();
            self.check_rows();
        }
    }

    /// Core holds nothing any more.
    fn check_rest(&mut self) {
        let Some(core) = &self.core else {
            return self.broken("core is not there at the end".to_owned());
        };
        if core.live_tasks() > 0 {
            let live: Vec<_> = self.store.tasks.values().filter(|t| !t.finished).collect();
            let live: Vec<_> = live.iter().map(|t| t.task.token.as_str()).collect();
            return self.broken(format!("tasks never end: {live:?}"));
        }
        if !core.is_idle() {
            return self.broken("core is not idle at the end".to_owned());
        }
        let index = self.new_ask(None, None);
        let identity = Identity::new(format!("ask-{index}").as_bytes());
        let fresh = self.fresh();
        self.now = super::END_MS;
        let now = self.moment();
        let event = Event::Request {
            from: Origin::Client(identity),
            dialect: Dialect::Seed,
            message: Message::new(Action::Information, None, gorgone_protocol::Data::empty()),
            fresh,
            caller: None,
        };
        if let Some(core) = &mut self.core {
            core.handle(event, now);
        }
        self.pump();
        let about: serde_json::Value =
            serde_json::from_str(&self.asks[index].words).unwrap_or_default();
        let about = &about["data"];
        let held: i64 = about["modules"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(_, module)| module["running"].as_i64())
            .sum();
        if about["waiters"] != 0 || about["tasks"]["bytes"] != 0 || held != 0 {
            self.broken(format!("core still holds something: {about}"));
        }
    }

    /// Every request that reached a core which lived on has exactly one answer.
    fn check_answers(&mut self) {
        let mut broken = Vec::new();
        for (index, ask) in self.asks.iter().enumerate() {
            let Some(life) = ask.reached else {
                continue;
            };
            self.summary.asks += 1;
            if ask.answers == 0 {
                self.summary.unanswered += 1;
                if life == self.life {
                    broken.push(format!("ask-{index} has no answer: {:?}", ask.kind));
                }
            }
            if matches!(ask.kind, Some(Kind::PutLog(_) | Kind::Unknown)) && ask.ok {
                broken.push(format!("ask-{index} was accepted: {:?}", ask.kind));
            }
        }
        broken.into_iter().for_each(|promise| self.broken(promise));
    }

    fn check_tokens(&mut self) {
        let submits = || {
            self.asks
                .iter()
                .filter_map(|ask| match (&ask.kind, &ask.token) {
                    (Some(kind), Some(token)) if Self::is_submit(kind) => {
                        Some((token.as_str(), ask))
                    }
                    _ => None,
                })
        };
        let accepted: BTreeSet<&str> = submits()
            .filter(|(_, ask)| ask.ok)
            .map(|(token, _)| token)
            .collect();
        // Nobody knows what became of a request whose answer was lost.
        let maybe: BTreeSet<&str> = submits()
            .filter(|(_, ask)| ask.ok || (ask.reached.is_some() && ask.answers == 0))
            .map(|(token, _)| token)
            .collect();
        let mut broken = Vec::new();
        for (token, _) in
            submits().filter(|(token, ask)| ask.answers == 1 && !maybe.contains(token))
        {
            self.summary.refused += 1;
            if self.starts.contains_key(token) || self.store.tasks.contains_key(token) {
                broken.push(format!("{token} was refused and is there all the same"));
            }
        }
        for token in &accepted {
            if !self.store.tasks.contains_key(*token) {
                broken.push(format!("{token} was accepted and is lost"));
            }
        }
        let acceptances = self.store.acceptances();
        for (token, stored) in &self.store.tasks {
            let audited = acceptances.get(token.as_str()).copied().unwrap_or(0);
            if audited != 1 {
                broken.push(format!("the audit has {audited} acceptances of {token}"));
            }
            let ends: Vec<&Row> = self.store.terminal(token).collect();
            let starts = self.starts.get(token).copied().unwrap_or(0);
            let [end] = ends[..] else {
                broken.push(format!("{token} has {} ends", ends.len()));
                continue;
            };
            if starts > 1 + stored.retries {
                broken.push(format!(
                    "{token} was started {starts} times, retries {}",
                    stored.retries
                ));
            }
            let reason = reason(end);
            if let Some(lie) = self.lie(token, end, &reason, starts) {
                broken.push(lie);
            }
            self.summary.accepted += u64::from(accepted.contains(token.as_str()));
            self.summary.starts += u64::from(starts);
            self.summary.again += u64::from(starts > 1);
            *self.summary.ends.entry(reason).or_default() += 1;
        }
        if acceptances.len() != self.store.tasks.len() {
            broken.push("the audit knows of tasks that there are not".to_owned());
        }
        broken.into_iter().for_each(|promise| self.broken(promise));
    }

    /// What is not true about an end.
    fn lie(&self, token: &str, end: &Row, reason: &str, starts: u32) -> Option<String> {
        let unbegun = reason == "expired" || end.data.contains("before it began");
        if unbegun && starts > 0 {
            return Some(format!(
                "{token} was started {starts} times and ended {}",
                end.data
            ));
        }
        if (reason == "OK" || reason == "failed") && starts == 0 {
            return Some(format!("{token} ended {reason} and was never started"));
        }
        if reason == "unknown" {
            let handed = self.delivered.get(token);
            let excused = self.restored_sent.contains(token)
                || handed.is_some_and(|(at, to)| {
                    to.iter()
                        .any(|&m| self.modules[m].last_fault.is_some_and(|fault| fault >= *at))
                });
            if !excused {
                return Some(format!(
                    "{token} ended unknown and nothing happened to its runner"
                ));
            }
        }
        None
    }

    /// No row twice, and none that was acknowledged is missing.
    fn check_rows(&mut self) {
        let name = |data: &str| {
            let data: serde_json::Value = serde_json::from_str(data).unwrap_or_default();
            data["row"].as_str().map(str::to_owned)
        };
        let mut seen = BTreeSet::new();
        let mut broken = Vec::new();
        for row in &self.store.rows {
            if row.data.contains("forged") {
                broken.push(format!("a forged row stands under {}", row.token));
            }
            if let Some(name) = name(&row.data)
                && !seen.insert(name.clone())
                && !self.restored_waiting.contains(&row.token)
            {
                broken.push(format!("row {name} is stored twice"));
            }
        }
        let missing = |data: &&String| name(data).is_some_and(|name| !seen.contains(&name));
        if let Some(data) = self.acknowledged_rows.iter().find(missing) {
            broken.push(format!(
                "row {data} was acknowledged as inserted and is not there"
            ));
        }
        broken.into_iter().for_each(|promise| self.broken(promise));
    }
}
