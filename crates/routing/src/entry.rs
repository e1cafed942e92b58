//! One task that was accepted and has not ended.

use gorgone_protocol::{Message, Target};

use crate::outbox::Ack;
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
    /// Whether it was handed over to the same runner more than once, or before the restart:
    /// one message that did not arrive then proves nothing.
    pub(crate) repeated: bool,
    /// Whether to hand it over again when its runner says READY.
    pub(crate) again: bool,
    /// Who had it last, also while it waits to be run again.
    pub(crate) last_runner: Option<Runner>,
    /// Its place in line: the order of acceptance, or behind all others after its runner died.
    pub(crate) place: u64,
    /// Whether its end is on the way to the store.
    pub(crate) ending: bool,
    /// Whom to acknowledge the acceptance to.
    pub(crate) askers: Vec<Ack>,
}

impl Entry {
    pub(crate) fn new(task: Task, durable: bool, askers: Vec<Ack>) -> Self {
        Self {
            task,
            durable,
            delivered: false,
            repeated: false,
            again: false,
            last_runner: None,
            place: 0,
            ending: false,
            askers,
        }
    }

    pub(crate) fn into_runner(self) -> Option<Runner> {
        match self.task.state {
            TaskState::Queued => None,
            TaskState::Sent(runner) | TaskState::Begun(runner) => Some(runner),
        }
    }

    /// Whether it is meant for a runner that has not been told yet, as an attempt of its own.
    fn is_new_attempt(&self) -> bool {
        self.runner().is_some() && !self.delivered && self.last_runner.as_ref() != self.runner()
    }

    /// Whether a runner may have begun it, in this hand-over or an earlier one.
    pub(crate) fn may_have_begun(&self) -> bool {
        self.task.attempt > u32::from(self.is_new_attempt())
    }

    /// It was not handed over after all.
    pub(crate) fn not_handed_over(&mut self) {
        if self.delivered || self.is_new_attempt() {
            self.task.attempt = self.task.attempt.saturating_sub(1);
        }
        if self.delivered {
            self.last_runner = None;
        }
        self.task.state = TaskState::Queued;
    }

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
