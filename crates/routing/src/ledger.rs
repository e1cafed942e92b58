//! The tasks that were accepted and have not ended, and who waits in line.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

use gorgone_protocol::Token;

use crate::entry::{Entry, Line};
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
    /// Who waits, by place: also those whose acceptance is on its way to the store.
    lines: BTreeMap<Line, BTreeMap<u64, Token>>,
    /// The places of those whose hand-over is on its way to the store.
    leaving: BTreeMap<Line, BTreeSet<u64>>,
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
        self.bytes += entry.bytes();
        if entry.runner().is_some() && !entry.delivered {
            self.leaving
                .entry(entry.line.clone())
                .or_default()
                .insert(entry.place);
        }
        if matches!(entry.task.state, TaskState::Queued | TaskState::Doubtful(_)) {
            self.lines
                .entry(entry.line.clone())
                .or_default()
                .insert(entry.place, entry.task.token.clone());
        }
        self.tasks.insert(entry.task.token.clone(), entry);
    }

    pub(crate) fn remove(&mut self, token: &Token) -> Option<Entry> {
        let entry = self.tasks.remove(token)?;
        self.bytes = self.bytes.saturating_sub(entry.bytes());
        self.leave_line(&entry.line, entry.place);
        self.has_left(&entry.line, entry.place);
        Some(entry)
    }

    fn next_place(&mut self) -> u64 {
        self.next_place += 1;
        self.next_place
    }

    /// Puts a task that nobody runs any more back to its place in line, in this state.
    pub(crate) fn line_up(&mut self, token: &Token, state: TaskState) {
        if let Some(entry) = self.tasks.get_mut(token) {
            let (line, place) = (entry.line.clone(), entry.place);
            entry.task.state = state;
            entry.delivered = false;
            entry.repeated = false;
            entry.again = false;
            self.has_left(&line, place);
            self.lines
                .entry(line)
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
        self.line_up(token, TaskState::Queued);
    }

    /// Moves a task that waits to another line; its place tells where in it.
    pub(crate) fn change_line(&mut self, token: &Token, to: Line) {
        let Some(entry) = self.tasks.get_mut(token) else {
            return;
        };
        let place = entry.place;
        let from = std::mem::replace(&mut entry.line, to.clone());
        self.leave_line(&from, place);
        self.lines
            .entry(to)
            .or_default()
            .insert(place, token.clone());
    }

    pub(crate) fn leave_line(&mut self, line: &Line, place: u64) {
        if let Some(waiting) = self.lines.get_mut(line) {
            waiting.remove(&place);
            if waiting.is_empty() {
                self.lines.remove(line);
            }
        }
    }

    /// Takes the first out of its line, for a runner.
    pub(crate) fn leave_for_runner(&mut self, line: &Line, place: u64) {
        self.leave_line(line, place);
        self.leaving.entry(line.clone()).or_default().insert(place);
    }

    /// It is with its runner, or will not get there.
    pub(crate) fn has_left(&mut self, line: &Line, place: u64) {
        if let Some(leaving) = self.leaving.get_mut(line) {
            leaving.remove(&place);
            if leaving.is_empty() {
                self.leaving.remove(line);
            }
        }
    }

    /// Whether nobody who was accepted earlier waits, or waits to leave.
    pub(crate) fn is_its_turn(&mut self, line: &Line, place: u64) -> bool {
        let leaving = self.leaving.get(line).and_then(BTreeSet::first);
        leaving.is_none_or(|first| *first >= place)
            && !matches!(self.first(line), Some((first, _, true)) if first < place)
    }

    /// Remembers when something is to be done about a task because its time to live has passed.
    pub(crate) fn watch_expiry(&mut self, token: &Token) {
        let Some(deadline) = self.tasks.get(token).and_then(Entry::deadline) else {
            return;
        };
        // Entries of tasks that went on stay in the heap until their time; they must not
        // outnumber the tasks that are alive.
        if self.expiry.len() > 2 * self.tasks.len() + 1024 {
            let mut kept = std::mem::take(&mut self.expiry).into_vec();
            kept.retain(|Reverse((deadline, token))| self.is_due_at(token, *deadline));
            self.expiry = kept.into();
        }
        self.expiry.push(Reverse((deadline, token.clone())));
    }

    fn is_due_at(&self, token: &Token, deadline: i64) -> bool {
        self.tasks.get(token).and_then(Entry::deadline) == Some(deadline)
    }

    /// Who is first in a line, with its place, and whether it may be handed over:
    /// not while its acceptance is on its way to the store.
    pub(crate) fn first(&mut self, line: &Line) -> Option<(u64, Token, bool)> {
        loop {
            let (place, token) = self.lines.get(line)?.first_key_value()?;
            let (place, token) = (*place, token.clone());
            match self.tasks.get(&token) {
                Some(entry) if !entry.ending => return Some((place, token, entry.durable)),
                _ => self.leave_line(line, place),
            }
        }
    }

    /// Where a task stands or stood in line.
    pub(crate) fn place(&self, token: &Token) -> u64 {
        self.tasks.get(token).map_or(0, |entry| entry.place)
    }

    pub(crate) fn waiting_lines(&self) -> Vec<Line> {
        self.lines.keys().cloned().collect()
    }

    /// How many wait in a line.
    pub(crate) fn line_len(&self, line: &Line) -> usize {
        self.lines.get(line).map_or(0, BTreeMap::len)
    }

    /// Who waits in a line, in order.
    pub(crate) fn line_tokens(&self, line: &Line) -> Vec<Token> {
        let waiting = self.lines.get(line).into_iter().flatten();
        waiting.map(|(_, token)| token.clone()).collect()
    }

    /// All tasks, in no order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.tasks.values()
    }

    /// A task whose time has passed.
    pub(crate) fn pop_expired(&mut self, now_ms: i64) -> Option<Token> {
        while let Some(Reverse((deadline, _))) = self.expiry.peek()
            && *deadline <= now_ms
        {
            if let Some(Reverse((deadline, token))) = self.expiry.pop()
                && self.is_due_at(&token, deadline)
            {
                return Some(token);
            }
        }
        None
    }

    /// When the time of the next task passes, milliseconds since 1970.
    pub(crate) fn next_expiry(&mut self) -> Option<i64> {
        while let Some(Reverse((deadline, token))) = self.expiry.peek() {
            if self.is_due_at(token, *deadline) {
                return Some(*deadline);
            }
            self.expiry.pop();
        }
        None
    }

    /// How many tasks wait, how many are with a runner, how many with a node, and how many are
    /// spread over many.
    pub(crate) fn counts(&self) -> (usize, usize, usize, usize) {
        let count = |wanted: fn(&TaskState) -> bool| {
            let states = self.tasks.values().map(|entry| &entry.task.state);
            states.filter(|state| wanted(state)).count()
        };
        let away = count(|state| matches!(state, TaskState::Away(_)));
        let running = count(|state| state.runner().is_some());
        let spread = count(|state| *state == TaskState::Spread);
        let waiting = self.tasks.len() - running - away - spread;
        (waiting, running, away, spread)
    }
}
