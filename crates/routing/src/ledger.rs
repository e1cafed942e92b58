//! The tasks that were accepted and have not ended, and who waits in line.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

use gorgone_protocol::{Action, Token};

use crate::entry::Entry;
use crate::outbox::{Ack, Ending};
use crate::{NewRow, TaskState};

/// An end that the store refused to write; it is tried again.
#[derive(Debug)]
pub(crate) struct Unwritten {
    pub(crate) token: Token,
    pub(crate) ending: Ending,
    /// The runner's own row, where the runner does not say it again.
    pub(crate) row: Option<(NewRow, Option<Ack>)>,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    tasks: HashMap<Token, Entry>,
    /// Per action who waits, by place: also those whose acceptance is on its way to the store.
    lines: BTreeMap<Action, BTreeMap<u64, Token>>,
    /// Per action the places of those whose hand-over is on its way to the store.
    leaving: BTreeMap<Action, BTreeSet<u64>>,
    next_place: u64,
    expiry: BinaryHeap<Reverse<(i64, Token)>>,
    bytes: usize,
    pub(crate) unwritten: Vec<Unwritten>,
}

impl Ledger {
    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn get(&self, token: &Token) -> Option<&Entry> {
        self.tasks.get(token)
    }

    pub(crate) fn get_mut(&mut self, token: &Token) -> Option<&mut Entry> {
        self.tasks.get_mut(token)
    }

    /// Adds a task; behind all others, if it is to wait in line.
    pub(crate) fn insert(&mut self, mut entry: Entry) {
        entry.place = self.next_place();
        self.bytes += entry.task.data.as_str().len();
        if entry.runner().is_some() && !entry.delivered {
            self.leaving
                .entry(entry.task.action.clone())
                .or_default()
                .insert(entry.place);
        }
        if entry.task.state == TaskState::Queued {
            self.lines
                .entry(entry.task.action.clone())
                .or_default()
                .insert(entry.place, entry.task.token.clone());
        }
        self.tasks.insert(entry.task.token.clone(), entry);
    }

    pub(crate) fn remove(&mut self, token: &Token) -> Option<Entry> {
        let entry = self.tasks.remove(token)?;
        self.bytes = self.bytes.saturating_sub(entry.task.data.as_str().len());
        self.leave_line(&entry.task.action, entry.place);
        self.has_left(&entry.task.action, entry.place);
        Some(entry)
    }

    fn next_place(&mut self) -> u64 {
        self.next_place += 1;
        self.next_place
    }

    /// Puts a task that nobody has any more back to its place in line.
    pub(crate) fn line_up(&mut self, token: &Token) {
        if let Some(entry) = self.tasks.get_mut(token) {
            let (action, place) = (entry.task.action.clone(), entry.place);
            entry.task.state = TaskState::Queued;
            entry.delivered = false;
            entry.repeated = false;
            entry.again = false;
            self.has_left(&action, place);
            self.lines
                .entry(action)
                .or_default()
                .insert(place, token.clone());
            self.watch_expiry(token);
        }
    }

    /// Puts a task that is to be run again behind all others.
    pub(crate) fn line_up_last(&mut self, token: &Token) {
        let place = self.next_place();
        if let Some(entry) = self.tasks.get_mut(token) {
            entry.place = place;
        }
        self.line_up(token);
    }

    pub(crate) fn leave_line(&mut self, action: &Action, place: u64) {
        if let Some(line) = self.lines.get_mut(action) {
            line.remove(&place);
            if line.is_empty() {
                self.lines.remove(action);
            }
        }
    }

    /// Takes the first out of its line, for a runner.
    pub(crate) fn leave_for_runner(&mut self, action: &Action, place: u64) {
        self.leave_line(action, place);
        self.leaving
            .entry(action.clone())
            .or_default()
            .insert(place);
    }

    /// It is with its runner, or will not get there.
    pub(crate) fn has_left(&mut self, action: &Action, place: u64) {
        if let Some(leaving) = self.leaving.get_mut(action) {
            leaving.remove(&place);
            if leaving.is_empty() {
                self.leaving.remove(action);
            }
        }
    }

    /// Whether nobody who was accepted earlier waits, or waits to leave.
    pub(crate) fn is_its_turn(&mut self, action: &Action, place: u64) -> bool {
        let leaving = self.leaving.get(action).and_then(BTreeSet::first);
        leaving.is_none_or(|first| *first >= place)
            && !matches!(self.first(action), Some((first, _, true)) if first < place)
    }

    /// Remembers when a task that waits expires.
    pub(crate) fn watch_expiry(&mut self, token: &Token) {
        let Some(entry) = self.tasks.get(token) else {
            return;
        };
        let expiry = Reverse((entry.task.expires_ms, token.clone()));
        // Entries of tasks that left the line stay in the heap until their time; they must not
        // outnumber the tasks that are alive.
        if self.expiry.len() > 2 * self.tasks.len() + 1024 {
            let mut kept = std::mem::take(&mut self.expiry).into_vec();
            kept.retain(|Reverse((_, token))| self.waits(token));
            self.expiry = kept.into();
        }
        self.expiry.push(expiry);
    }

    fn waits(&self, token: &Token) -> bool {
        self.tasks.get(token).is_some_and(|entry| {
            entry.durable && !entry.ending && entry.task.state == TaskState::Queued
        })
    }

    /// Who is first in an action's line, with its place, and whether it may be handed over:
    /// not while its acceptance is on its way to the store.
    pub(crate) fn first(&mut self, action: &Action) -> Option<(u64, Token, bool)> {
        loop {
            let (place, token) = self.lines.get(action)?.first_key_value()?;
            let (place, token) = (*place, token.clone());
            match self.tasks.get(&token) {
                Some(entry) if !entry.ending => return Some((place, token, entry.durable)),
                _ => self.leave_line(action, place),
            }
        }
    }

    /// Where a task stands or stood in line.
    pub(crate) fn place(&self, token: &Token) -> u64 {
        self.tasks.get(token).map_or(0, |entry| entry.place)
    }

    pub(crate) fn waiting_actions(&self) -> Vec<Action> {
        self.lines.keys().cloned().collect()
    }

    /// A waiting task whose time has passed.
    pub(crate) fn pop_expired(&mut self, now_ms: i64) -> Option<Token> {
        while let Some(Reverse((expires_ms, _))) = self.expiry.peek()
            && *expires_ms <= now_ms
        {
            if let Some(Reverse((_, token))) = self.expiry.pop()
                && self.waits(&token)
            {
                return Some(token);
            }
        }
        None
    }

    /// When the next waiting task expires, milliseconds since 1970.
    pub(crate) fn next_expiry(&mut self) -> Option<i64> {
        while let Some(Reverse((expires_ms, token))) = self.expiry.peek() {
            if self.waits(token) {
                return Some(*expires_ms);
            }
            self.expiry.pop();
        }
        None
    }

    /// How many tasks wait, and how many are with a runner.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let waiting = self
            .tasks
            .values()
            .filter(|entry| entry.task.state == TaskState::Queued)
            .count();
        (waiting, self.tasks.len() - waiting)
    }
}
