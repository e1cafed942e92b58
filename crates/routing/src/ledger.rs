//! The tasks that were accepted and have not ended, and who waits in line.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use gorgone_protocol::{Action, Message, Target, Token};

use crate::outbox::{Ack, Ending};
use crate::{Runner, Task, TaskState};

/// A task and what is on its way to the store about it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) task: Task,
    /// Whether its acceptance is written down. Until then nobody was told of it.
    pub(crate) durable: bool,
    /// Whether its runner may have got it: set when the hand-over is sent, which is after the
    /// hand-over is durable.
    pub(crate) delivered: bool,
    /// Whether its end is on the way to the store.
    pub(crate) ending: bool,
    /// Whom to acknowledge the acceptance to.
    pub(crate) askers: Vec<Ack>,
}

impl Entry {
    pub(crate) fn runner(&self) -> Option<&Runner> {
        match &self.task.state {
            TaskState::Queued => None,
            TaskState::Sent(runner) | TaskState::Begun(runner) => Some(runner),
        }
    }

    pub(crate) fn is_same(&self, message: &Message) -> bool {
        self.task.action == message.action
            && self.task.data == message.data
            && self.task.target == message.target
    }

    /// The message that hands the task over.
    pub(crate) fn message(&self) -> Message {
        Message {
            action: self.task.action.clone(),
            token: Some(self.task.token.clone()),
            target: Target::Here,
            data: self.task.data.clone(),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    tasks: HashMap<Token, Entry>,
    queues: HashMap<Action, VecDeque<Token>>,
    expiry: BinaryHeap<Reverse<(i64, Token)>>,
    bytes: usize,
    /// Ends that the store refused to write; they are tried again.
    pub(crate) unwritten: Vec<(Token, Ending)>,
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

    pub(crate) fn insert(&mut self, entry: Entry) {
        self.bytes += entry.task.data.as_str().len();
        self.tasks.insert(entry.task.token.clone(), entry);
    }

    pub(crate) fn remove(&mut self, token: &Token) -> Option<Entry> {
        let entry = self.tasks.remove(token)?;
        self.bytes = self.bytes.saturating_sub(entry.task.data.as_str().len());
        Some(entry)
    }

    /// Puts a queued task at the end of its line.
    pub(crate) fn enqueue(&mut self, token: &Token) {
        if let Some(queue) = self.queue_of(token) {
            queue.push_back(token.clone());
        }
    }

    /// Puts a task that could not be handed over back to the head of its line.
    pub(crate) fn enqueue_first(&mut self, token: &Token) {
        if let Some(queue) = self.queue_of(token) {
            queue.push_front(token.clone());
        }
    }

    fn queue_of(&mut self, token: &Token) -> Option<&mut VecDeque<Token>> {
        let entry = self.tasks.get_mut(token)?;
        entry.delivered = false;
        let expiry = Reverse((entry.task.expires_ms, token.clone()));
        let action = entry.task.action.clone();
        // Entries of tasks that left the line stay in the heap until their time; they must not
        // outnumber the tasks that are alive.
        if self.expiry.len() > 2 * self.tasks.len() + 1024 {
            let mut kept = std::mem::take(&mut self.expiry).into_vec();
            kept.retain(|Reverse((_, token))| self.waits(token));
            self.expiry = kept.into();
        }
        self.expiry.push(expiry);
        Some(self.queues.entry(action).or_default())
    }

    fn waits(&self, token: &Token) -> bool {
        self.tasks.get(token).is_some_and(|entry| {
            entry.durable && !entry.ending && entry.task.state == TaskState::Queued
        })
    }

    /// The head of an action's line, skipping those that are no longer in it.
    pub(crate) fn first(&mut self, action: &Action) -> Option<Token> {
        loop {
            let token = self.queues.get(action)?.front()?.clone();
            if self.waits(&token) {
                return Some(token);
            }
            self.drop_first(action);
        }
    }

    pub(crate) fn drop_first(&mut self, action: &Action) {
        if let Some(queue) = self.queues.get_mut(action) {
            queue.pop_front();
            if queue.is_empty() {
                self.queues.remove(action);
            }
        }
    }

    pub(crate) fn waiting_actions(&self) -> Vec<Action> {
        self.queues.keys().cloned().collect()
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
