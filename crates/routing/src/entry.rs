//! One task that was accepted and has not ended.

use gorgone_protocol::{Action, Message, NodeId, Target};

use crate::outbox::Ack;
use crate::{Runner, Task, TaskState};

/// How long after its time to live a task on its way to a node may take to arrive there.
const CARRY_PATIENCE_MS: i64 = 60_000;

/// Where tasks wait, one behind another.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Line {
    /// For a module that offers this action.
    Module(Action),
    /// For the connection to this node, on their way to it or through it.
    Node(NodeId),
    /// Nowhere: a task to many nodes does not wait, its parts do.
    Parts,
}

/// A task and what is on its way to the store about it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) task: Task,
    /// Whether its acceptance is written down. Until then nobody was told of it.
    pub(crate) durable: bool,
    /// Whether its runner may have got it: set when the hand-over is sent, which is after the
    /// hand-over is durable.
    pub(crate) delivered: bool,
    /// Whether it was handed over to the same runner more than once, or before the restart:
    /// one message that did not arrive then proves nothing.
    pub(crate) repeated: bool,
    /// Whether to hand it over again when its runner says READY.
    pub(crate) again: bool,
    /// Who had it last, also while it waits to be run again.
    pub(crate) last_runner: Option<Runner>,
    /// Whether its node may have got it in an earlier hand-over.
    pub(crate) doubt: bool,
    /// Where it stands when it waits.
    pub(crate) line: Line,
    /// Its place in line: the order of acceptance, or behind all others after its runner died.
    pub(crate) place: u64,
    /// Whether its end is on the way to the store.
    pub(crate) ending: bool,
    /// Whom to acknowledge the acceptance to.
    pub(crate) askers: Vec<Ack>,
}

impl Entry {
    pub(crate) fn new(task: Task, line: Line, durable: bool, askers: Vec<Ack>) -> Self {
        Self {
            task,
            durable,
            line,
            doubt: false,
            delivered: false,
            repeated: false,
            again: false,
            last_runner: None,
            place: 0,
            ending: false,
            askers,
        }
    }

    /// Whether it is meant for a runner that has not been told yet, as an attempt of its own.
    fn is_new_attempt(&self) -> bool {
        self.runner().is_some() && !self.delivered && self.last_runner.as_ref() != self.runner()
    }

    /// Whether somebody may have begun it, in this hand-over or an earlier one.
    pub(crate) fn may_have_begun(&self) -> bool {
        if let Line::Node(_) = self.line {
            return self.doubt || (self.delivered && self.task.state.node().is_some());
        }
        self.task.attempt > u32::from(self.is_new_attempt())
    }

    /// It was not handed over after all. Returns the state in which it waits again.
    pub(crate) fn not_handed_over(&mut self) -> TaskState {
        if let Some(node) = self.task.state.node() {
            // Its attempts are told apart by their number: none is used twice.
            return if self.doubt {
                TaskState::Doubtful(node)
            } else {
                TaskState::Queued
            };
        }
        if self.delivered || self.is_new_attempt() {
            self.task.attempt = self.task.attempt.saturating_sub(1);
        }
        if self.delivered {
            self.last_runner = None;
        }
        TaskState::Queued
    }

    pub(crate) fn runner(&self) -> Option<&Runner> {
        self.task.state.runner()
    }

    /// When something is to be done about it because its time to live has passed, milliseconds
    /// since 1970. What is on its way to a node gets some time to arrive.
    pub(crate) fn deadline(&self) -> Option<i64> {
        if !self.durable || self.ending {
            return None;
        }
        match &self.task.state {
            TaskState::Queued | TaskState::Doubtful(_) => Some(self.task.expires_ms),
            TaskState::Leaving(..) => Some(self.task.expires_ms.saturating_add(CARRY_PATIENCE_MS)),
            TaskState::Sent(_) | TaskState::Begun(_) | TaskState::Away(_) | TaskState::Spread => {
                None
            }
        }
    }

    /// What its data takes. Parts share that of the whole.
    pub(crate) fn bytes(&self) -> usize {
        match &self.task.parent {
            Some(_) => 0,
            None => self.task.data.as_str().len(),
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
            target: match self.line {
                Line::Module(_) => Target::Here,
                Line::Node(_) | Line::Parts => self.task.target.clone(),
            },
            data: self.task.data.clone(),
        }
    }
}
