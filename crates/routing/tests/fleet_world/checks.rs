//! The promises, checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use gorgone_protocol::{Code, Headers, Message, NodeId};
use gorgone_routing::{Row, TaskState};
use serde_json::{Value, json};

use super::World;
use super::store::reason;

/// What happened, for people.
#[derive(Default)]
pub struct Summary {
    pub accepted: u64,
    /// Of these, how many went to several nodes.
    pub spread: u64,
    pub refused: u64,
    pub ends: BTreeMap<String, u64>,
    pub starts: u64,
    pub rows_home: u64,
    pub core_kills: u64,
    pub proxy_kills: u64,
    pub cuts: u64,
    pub reinstalled: u64,
}

impl Summary {
    pub fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.spread += other.spread;
        self.refused += other.refused;
        self.starts += other.starts;
        self.rows_home += other.rows_home;
        self.core_kills += other.core_kills;
        self.proxy_kills += other.proxy_kills;
        self.cuts += other.cuts;
        self.reinstalled += other.reinstalled;
        for (reason, count) in other.ends {
            *self.ends.entry(reason).or_default() += count;
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} tokens accepted for nodes, {} of them for several, {} refused; ends: {:?}; {} starts, {} rows came home; \
             {} kills of cores, {} of proxies, {} links cut, {} nodes with an empty database or an older copy",
            self.accepted,
            self.spread,
            self.refused,
            self.ends,
            self.starts,
            self.rows_home,
            self.core_kills,
            self.proxy_kills,
            self.cuts,
            self.reinstalled,
        )
    }
}

impl World {
    /// At each hand-over to a proxy: written down before, in time, and in order.
    pub(super) fn check_delivery(&mut self, core: usize, message: &Message, headers: &Headers) {
        let (Some(token), Some(via), Some(attempt)) =
            (&message.token, headers.via, headers.attempt)
        else {
            return;
        };
        let name = token.as_str().to_owned();
        let Some(stored) = self.cores[core].store.tasks.get(&name) else {
            return self.broken(format!("{name} is handed over and not stored"));
        };
        let (written, place) = (stored.task.attempt, stored.order);
        let node = stored.task.state.node();
        let expires = stored.task.expires_ms;
        if written < attempt || node != Some(via) {
            return self.broken(format!("attempt {attempt} of {name} is not written down"));
        }
        if core != 0 || !self.handed.insert(name.clone()) {
            return;
        }
        if self.moment().unix_ms > expires {
            self.broken(format!("{name} is handed over after its time to live"));
        }
        let last = self
            .last_place
            .entry((self.cores[0].life, via))
            .or_default();
        if place < *last {
            self.broken(format!("{name} is handed over after a later one"));
        } else {
            *last = place;
        }
    }

    /// Whether nothing more is to be done: no task lives, no row is under way, and everybody
    /// has an answer.
    pub(super) fn is_at_rest(&self) -> bool {
        let waits = |ask: &super::Ask| ask.answers == 0 && ask.reached == Some(self.cores[0].life);
        let idle = self.cores.iter().all(|core| {
            let router = core.router.as_ref();
            router.is_some_and(|router| router.live_tasks() == 0 && router.is_idle())
                && core.store.queue.is_empty()
        });
        let home = [(0, 1), (0, 2), (1, 3)].into_iter().all(|(parent, child)| {
            let child = &self.cores[child];
            let mark = self.cores[parent].store.marks.get(&child.id);
            mark.map_or(0, |mark| mark.id) == child.store.rows.len() as i64
        });
        idle && home && !self.asks.iter().any(waits)
    }

    pub(super) fn check_end(&mut self) {
        if self.violation.is_none() {
            self.check_rest();
            self.check_tokens();
            self.check_rows();
        }
    }

    fn check_rest(&mut self) {
        let mut broken = Vec::new();
        for core in &self.cores {
            let live: Vec<_> = core
                .store
                .tasks
                .values()
                .filter(|task| !task.finished)
                // In an older copy it may wait for a node whose word was fetched before.
                .filter(|task| !self.revived.contains(task.task.token.as_str()))
                .collect();
            let live: Vec<_> = live
                .iter()
                .map(|stored| format!("{} {:?}", stored.task.token, stored.task.state))
                .collect();
            if !live.is_empty() {
                broken.push(format!("node {}: tasks never end: {live:?}", core.id));
            } else if core
                .router
                .as_ref()
                .is_none_or(|router| router.live_tasks() > 0)
                && self.revived.is_empty()
            {
                broken.push(format!("node {} holds tasks that have ended", core.id));
            }
        }
        let life = self.cores[0].life;
        for (index, ask) in self.asks.iter().enumerate() {
            if ask.reached == Some(life) && ask.answers == 0 && !ask.cancel {
                broken.push(format!("ask-{index} has no answer"));
            }
        }
        broken.into_iter().for_each(|promise| self.broken(promise));
    }

    fn check_tokens(&mut self) {
        let mut broken = Vec::new();
        let central = &self.cores[0].store;
        for ask in self.asks.iter().filter(|ask| !ask.cancel) {
            let token = ask.token.as_str();
            if ask.ok && !central.tasks.contains_key(token) {
                broken.push(format!("{token} was accepted and is lost"));
            }
        }
        let refused = self.asks.iter().filter(|ask| !ask.cancel && !ask.ok);
        self.summary.refused += refused.count() as u64;
        for (token, count) in &self.starts {
            if *count > 1 && !self.revived.contains(token) {
                broken.push(format!("{token} was started {count} times"));
            }
            self.summary.starts += u64::from(*count);
        }
        for core in &self.cores {
            for token in core.store.tasks.keys() {
                // A request that was refused, and came again later, has the row of its refusal.
                let ends = core.store.terminal(token);
                let ends: Vec<&Row> = ends.filter(|row| !is_refusal(row)).collect();
                let central = core.id == NodeId::new(1);
                if ends.is_empty() && !central && self.revived.contains(token) {
                    continue;
                }
                let [end] = ends[..] else {
                    broken.push(format!(
                        "{token} has {} ends on node {}",
                        ends.len(),
                        core.id
                    ));
                    continue;
                };
                if !central {
                    continue;
                }
                let mut after = core.store.rows.iter().filter(|row| row.id > end.id);
                if let Some(row) = after.find(|row| row.token == *token && row.node.is_none()) {
                    broken.push(format!("a row of {token} follows its end: {}", row.data));
                }
                let reason = reason(end);
                if let Some(lie) = self.lie_of_whole(token, end) {
                    broken.push(lie);
                }
                let starts = self.starts.get(token).copied().unwrap_or(0);
                if let Some(lie) = self.lie(token, end, &reason, starts) {
                    broken.push(lie);
                }
                self.summary.accepted += 1;
                let spread = core.store.tasks[token].task.state == TaskState::Spread;
                self.summary.spread += u64::from(spread);
                *self.summary.ends.entry(reason).or_default() += 1;
            }
        }
        broken.into_iter().for_each(|promise| self.broken(promise));
    }

    /// What is not true about an end at the central.
    fn lie(&self, token: &str, end: &Row, reason: &str, starts: u32) -> Option<String> {
        let unbegun = matches!(reason, "expired" | "rejected" | "unreachable")
            || end.data.contains("before it began");
        // A node that is put back to an older copy may run again what had ended in between.
        if unbegun && starts > 0 && self.summary.reinstalled == 0 {
            return Some(format!("{token} was started and ended {}", end.data));
        }
        let central = &self.cores[0].store.tasks;
        let whole = central[token].task.state == TaskState::Spread;
        if whole && starts > 0 {
            return Some(format!(
                "{token} is for several nodes and was started itself"
            ));
        }
        if matches!(reason, "OK" | "failed") && starts == 0 && !whole {
            return Some(format!("{token} ended {reason} and was never started"));
        }
        let of = token.split('@').next().unwrap_or(token);
        let ask = self.asks.iter().find(|ask| ask.token.as_str() == of)?;
        let target = central[token].task.target.to_string();
        if reason == "rejected" {
            return Some(format!("{token} was refused by a node: {}", end.data));
        }
        if reason == "unknown" {
            let excused = if end.data.contains("time to live") {
                ask.ttl.is_some()
            } else if end.data.contains("would not recognise") {
                self.old && target == "3"
            } else if end.data.contains("has lost its history") {
                self.summary.reinstalled > 0
            } else {
                self.runner_fault
            };
            if !excused {
                return Some(format!(
                    "{token} ended unknown without a reason: {}",
                    end.data
                ));
            }
        }
        None
    }

    /// What is not true about the end of a request to several nodes: it ends after all its parts,
    /// and says how they ended.
    fn lie_of_whole(&self, token: &str, end: &Row) -> Option<String> {
        let store = &self.cores[0].store;
        if let Some(parent) = &store.tasks[token].task.parent
            && !store.tasks.contains_key(parent.as_str())
        {
            return Some(format!("{token} is a part of nothing"));
        }
        if store.tasks[token].task.state != TaskState::Spread {
            return None;
        }
        let parts = store.tasks.values();
        let parts: Vec<_> = parts
            .filter(|stored| {
                stored
                    .task
                    .parent
                    .as_ref()
                    .is_some_and(|of| of.as_str() == token)
            })
            .collect();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for part in &parts {
            let own = store.terminal(part.task.token.as_str()).next()?;
            if own.id > end.id {
                return Some(format!("{token} ended before {}", part.task.token));
            }
            *counts.entry(part.verdict?.as_str()).or_default() += 1;
        }
        let said: Value = serde_json::from_str(&end.data).unwrap_or_default();
        let mut rows = store.rows.iter();
        let Some(first) = rows.find(|row| row.token == token && is_listing(row)) else {
            return Some(format!("{token} has no row that lists its nodes"));
        };
        let listed: Value = serde_json::from_str(&first.data).unwrap_or_default();
        let well = !parts.is_empty()
            && said["counts"] == json!(counts)
            && said["total"] == json!(parts.len())
            && listed["total"] == json!(parts.len())
            && (end.code == Code::Ok) == counts.keys().all(|word| *word == "ok");
        (!well).then(|| format!("{token} says {} of {counts:?}", end.data))
    }

    /// Every row of a node is on the node that it belongs to, once.
    fn check_rows(&mut self) {
        let mut broken = Vec::new();
        let (old, lost) = (self.old, self.summary.reinstalled > 0);
        for (parent, child) in [(0, 1), (0, 2), (1, 3)] {
            let (parent, child) = (&self.cores[parent], &self.cores[child]);
            let came = parent.store.origins.iter();
            let came: Vec<_> = came
                .filter(|(node, ..)| *node == child.id)
                .map(|(_, life, row)| (*life, *row))
                .collect();
            let once: BTreeSet<_> = came.iter().copied().collect();
            if once.len() != came.len() {
                broken.push(format!("rows of node {} came twice", child.id));
            }
            let told = |life| {
                if old && child.id == NodeId::new(3) {
                    None
                } else {
                    life
                }
            };
            let there = child.store.rows.iter();
            let there = there.map(|row| (told(child.store.life_of(row.id)), row.id));
            let there: BTreeSet<_> = there.collect();
            // What a node has lost stays with whoever has fetched it.
            if !once.is_superset(&there) || (once != there && !lost) {
                let missing: Vec<_> = there.difference(&once).take(5).collect();
                broken.push(format!(
                    "rows {missing:?} of node {} did not come",
                    child.id
                ));
            }
            self.summary.rows_home += came.len() as u64;
        }
        broken.into_iter().for_each(|promise| self.broken(promise));
    }
}

fn is_refusal(row: &Row) -> bool {
    row.node.is_none()
        && (row.data.contains("no route to node") || row.data.contains("selects no node"))
}

fn is_listing(row: &Row) -> bool {
    row.data.contains("accepted for")
}
