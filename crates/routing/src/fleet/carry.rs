//! Tasks on their way to a node: handed to the proxy that owns its connection, and what it says
//! became of them.
//!
//! What a node may have got is never handed to another, and only again where the node says that
//! it recognises it. What is provably not there goes back to its place in line.

use std::time::Duration;

use gorgone_protocol::request::carried::{Carried, Outcome};
use gorgone_protocol::request::node_state::NodeState;
use gorgone_protocol::request::nodes::NodeKind;
use gorgone_protocol::{Code, Data, NodeId, Reason, Target, Token};
use serde_json::json;

use super::nodes::Node;
use crate::entry::Line;
use crate::event::Origin;
use crate::outbox::{After, Ending};
use crate::router::Router;
use crate::{Record, Runner, TaskState};

/// How long after a node could not take a task the next one is tried.
const PAUSE: Duration = Duration::from_secs(1);

impl Router {
    /// By which node a target is reached, but not by this one.
    pub(crate) fn route(&self, target: NodeId, not: Option<NodeId>) -> Option<NodeId> {
        let carried = |kind| self.is_carried(kind);
        self.nodes.route(target, carried, not)
    }

    /// Whether a module that is there, or is to come, connects nodes of this kind.
    fn is_carried(&self, kind: NodeKind) -> bool {
        self.settings.expected_carries.contains(&kind) || self.modules.carry(kind)
    }

    /// Whether any node can be connected at all.
    pub(crate) fn has_proxy(&self) -> bool {
        let kinds = [NodeKind::PushZmq, NodeKind::PushSsh, NodeKind::Pull];
        kinds.into_iter().any(|kind| self.is_carried(kind))
    }

    /// The proxy to which a task for this node can be handed now.
    fn carrier(&self, id: NodeId) -> Option<&Runner> {
        let node = self.nodes.get(id)?;
        let open = node.is_up()
            && node.paused_until.is_none()
            && self.nodes.window(id) < self.settings.node_window;
        let owner = node.owner.as_ref().filter(|_| open)?;
        self.modules.address(owner).is_some().then_some(owner)
    }

    /// Takes a place among those on their way to the node.
    pub(crate) fn reserve_carrier(&mut self, id: NodeId, token: &Token) -> Option<Runner> {
        let owner = self.carrier(id)?.clone();
        self.modules.carries_task(&owner, token);
        self.nodes.leaves(token, id);
        Some(owner)
    }

    /// Whether the proxy still has the connection for which it is to get a task.
    pub(crate) fn still_carries(&self, runner: &Runner, id: NodeId) -> bool {
        let node = self.nodes.get(id);
        node.is_some_and(|node| node.is_up() && node.owner.as_ref() == Some(runner))
    }

    /// Hands to the proxy of a node what waits for it, in order, as much as may be under way.
    pub(crate) fn schedule_node(&mut self, id: NodeId) {
        let line = Line::Node(id);
        while let Some((place, token, true)) = self.ledger.first(&line) {
            if self.is_expired(&token) {
                self.ledger.leave_line(&line, place);
                self.expired(&token);
                continue;
            }
            if self.carrier(id).is_none() {
                return;
            }
            if !self.is_recognised(id, &token) {
                self.ledger.leave_line(&line, place);
                let words = format!(
                    "node {id} may have got it, and would not recognise it if it came again"
                );
                self.end(&token, Reason::Unknown, &words);
                continue;
            }
            let Some(runner) = self.reserve_carrier(id, &token) else {
                return;
            };
            self.ledger.leave_for_runner(&line, place);
            if let Some(entry) = self.ledger.get_mut(&token) {
                entry.doubt |= matches!(entry.task.state, TaskState::Doubtful(_));
                entry.repeated = false;
                entry.task.attempt += 1;
                entry.task.state = TaskState::Leaving(runner, id);
            }
            self.advance(&token, After::Handed(token.clone()));
        }
    }

    /// Whether a task may be handed to a node that is up: it has not been there, or the node
    /// knows it then, or its sender allows that it is run again.
    fn is_recognised(&mut self, id: NodeId, token: &Token) -> bool {
        let dedups = self.nodes.get(id).and_then(Node::dedups) == Some(true);
        let Some(entry) = self.ledger.get_mut(token) else {
            return true;
        };
        if dedups || !matches!(entry.task.state, TaskState::Doubtful(_)) {
            return true;
        }
        let again = entry.task.retries > 0;
        entry.task.retries = entry.task.retries.saturating_sub(1);
        again
    }

    /// The proxy that had a task is gone, or cannot find out what became of it: the node may
    /// have it.
    pub(crate) fn in_doubt(&mut self, token: &Token, id: NodeId) {
        self.wait_again(token, TaskState::Doubtful(id), After::Nothing);
    }

    fn wait_again(&mut self, token: &Token, state: TaskState, after: After) {
        let Some(entry) = self.ledger.get_mut(token) else {
            return;
        };
        entry.doubt |= matches!(state, TaskState::Doubtful(_));
        let runner = entry.runner().cloned();
        self.ledger.line_up(token, state);
        self.advance(token, after);
        if let Some(runner) = runner {
            self.free(&runner, token);
        }
    }

    /// Takes CARRIED.
    pub(crate) fn carried(&mut self, from: Origin, token: Token, data: &Data) {
        let carried: Carried = match data.decode() {
            Ok(carried) => carried,
            Err(error) => {
                let words = format!("CARRIED is wrong: {error}");
                return self.refuse(from, Some(token), &words);
            }
        };
        let (subject, id) = (&carried.token, carried.node);
        let ack = (from.clone(), token);
        let Some(entry) = self.ledger.get(subject) else {
            return self.acknowledge(ack, "the token has ended");
        };
        if entry.ending {
            let words = "its end is being written; say it again";
            return self.unavailable(ack.0, ack.1, words);
        }
        let current = matches!(&entry.task.state, TaskState::Leaving(runner, node)
            if runner.instance == from.to_text() && *node == id)
            && entry.delivered
            && entry.task.attempt == carried.attempt;
        if !current {
            // Known already, or void. What stands here may not be written yet.
            return self.advance(subject, After::Acknowledged(ack));
        }
        let not_there = if entry.doubt {
            TaskState::Doubtful(id)
        } else {
            TaskState::Queued
        };
        match carried.outcome {
            Outcome::Accepted => self.accepted_by_node(subject, id, ack),
            Outcome::Refused => {
                let (reason, when) = if entry.doubt {
                    (Reason::Unknown, "now, and may have got it before")
                } else {
                    (Reason::Rejected, "")
                };
                let words = match when {
                    "" => format!("node {id} refused it: {}", carried.message),
                    when => format!("node {id} refused it {when}: {}", carried.message),
                };
                let ending = Ending::ByCore {
                    reason,
                    message: words,
                };
                self.write_end(subject, ending, Some(ack));
            }
            Outcome::Busy | Outcome::Unsent => {
                let owner = self.nodes.get(id).and_then(|node| node.owner.as_ref());
                if owner.is_some_and(|owner| owner.instance == from.to_text()) {
                    self.nodes.pause(id, self.now.monotonic + PAUSE);
                }
                self.wait_again(subject, not_there, After::Acknowledged(ack));
            }
            Outcome::Unknown => {
                let state = TaskState::Doubtful(id);
                self.wait_again(subject, state, After::Acknowledged(ack));
            }
        }
    }

    fn accepted_by_node(&mut self, token: &Token, id: NodeId, ack: (Origin, Token)) {
        let Some(entry) = self.ledger.get_mut(token) else {
            return;
        };
        let runner = entry.runner().cloned();
        entry.task.state = TaskState::Away(id);
        self.advance(token, After::Nothing);
        let data = json!({ "message": format!("accepted by node {id}"), "node": id }).to_string();
        let row = self.row(token.as_str(), Code::Proceed, data);
        let after = After::Row {
            token: row.token.clone(),
            ack: Some(ack),
        };
        self.out.write(Record::Note(row), after);
        if let Some(runner) = runner {
            self.free(&runner, token);
        }
    }

    /// Takes NODESTATE.
    pub(crate) fn node_state(&mut self, from: &Origin, token: Option<Token>, data: &Data) {
        let state: NodeState = match data.decode() {
            Ok(state) => state,
            Err(error) => {
                let words = format!("NODESTATE is wrong: {error}");
                return self.refuse(from.clone(), token, &words);
            }
        };
        let id = state.id;
        let owner = self.nodes.get(id).and_then(|node| node.owner.as_ref());
        if owner.is_some_and(|owner| owner.instance == from.to_text()) {
            self.nodes.link(state);
            self.schedule_node(id);
        }
    }

    /// What waits goes the way that is best now. What has no way any more stays where it is:
    /// ways are learnt again after a restart.
    pub(crate) fn reroute(&mut self) {
        self.nodes.rerouted = false;
        let mut moving = Vec::new();
        for entry in self.ledger.entries() {
            let (Line::Node(now), Target::Node(target)) = (&entry.line, &entry.task.target) else {
                continue;
            };
            if entry.task.state != TaskState::Queued || entry.ending {
                continue;
            }
            if let Some(new) = self.route(*target, None)
                && new != *now
            {
                moving.push((entry.task.token.clone(), new));
            }
        }
        let mut lines = Vec::new();
        for (token, new) in moving {
            self.ledger.change_line(&token, Line::Node(new));
            lines.push(new);
        }
        lines.sort_unstable();
        lines.dedup();
        for id in lines {
            self.schedule_node(id);
        }
    }
}
