//! Requests with a target that is another node.

use gorgone_protocol::request::log::{GetLog, PutLog};
use gorgone_protocol::{
    Action, AnswerName, Data, Dialect, Identity, Message, NO_PROXY, NodeId, Target, Token, no_route,
};

use super::relays::Then;
use crate::entry::{Entry, Line};
use crate::event::Origin;
use crate::router::Router;

impl Router {
    /// Sends a request on its way to a node: a task is accepted and waits for its turn, a
    /// question is asked there and its answer passed on.
    pub(crate) fn request_for_node(
        &mut self,
        target: NodeId,
        (from, dialect): (Origin, Dialect),
        message: Message,
        (token, fresh): (Token, Token),
    ) {
        // Whoever asks has had it: it does not go back.
        let Some(via) = self.route(target, asking_core(&from)) else {
            let words = if self.nodes.is_empty() || !self.has_proxy() {
                NO_PROXY.to_owned()
            } else {
                no_route(target)
            };
            return self.refuse_with_row(from, Some(token.clone()), &token, &words);
        };
        let name = match &message.action {
            Action::ConStatus => AnswerName::ConStatus,
            Action::GetThumbprint => AnswerName::GetThumbprint,
            Action::Information => AnswerName::Information,
            Action::Ping => AnswerName::Pong,
            Action::RegisterNodes
            | Action::UnregisterNodes
            | Action::Cancel
            | Action::GetAudit
            | Action::Targets => AnswerName::Ack,
            Action::GetLog => {
                return self.get_log_of_node(via, (from, dialect), message, (token, fresh));
            }
            Action::PutLog => {
                return self.put_log_to_node(via, (from, dialect), message, (token, fresh));
            }
            action
                if action.is_for_modules() || matches!(action, Action::Pong | Action::SyncLogs) =>
            {
                let words = format!("action '{action}' is for no target");
                return self.refuse(from, Some(token), &words);
            }
            // Whatever a module runs is a task.
            _ => return self.submit(from, token, message, Line::Node(via)),
        };
        self.relay((from, token), via, message, (fresh, Then::Answer(name)));
    }

    /// Without a filter: fetch the node's rows now. With one: fetch them, then read ours.
    fn get_log_of_node(
        &mut self,
        via: NodeId,
        (from, dialect): (Origin, Dialect),
        mut message: Message,
        (token, fresh): (Token, Token),
    ) {
        let then = match GetLog::decode(&message.data, dialect) {
            Ok(filter) if filter.has_filter() => Then::Read(Box::new(filter)),
            Ok(_) => Then::Answer(AnswerName::Ack),
            Err(error) => {
                let words = format!("a filter is wrong: {error}");
                return self.refuse(from, Some(token), &words);
            }
        };
        message.data = Data::empty();
        self.relay((from, token), via, message, (fresh, then));
    }

    /// The row names its token, since the question bears one of our own.
    fn put_log_to_node(
        &mut self,
        via: NodeId,
        (from, dialect): (Origin, Dialect),
        mut message: Message,
        (token, fresh): (Token, Token),
    ) {
        let mut put = match PutLog::decode(&message.data, dialect) {
            Ok(put) => put,
            Err(error) => {
                let words = format!("the row is wrong: {error}");
                return self.refuse(from, Some(token), &words);
            }
        };
        put.token.get_or_insert_with(|| token.as_str().to_owned());
        message.data = put.encode(Dialect::Seed);
        let then = Then::Answer(AnswerName::Ack);
        self.relay((from, token), via, message, (fresh, then));
    }

    /// Whether a task that is on its way from here comes back from another node: it goes in a
    /// circle. From whoever sent it first it comes again because an answer was lost.
    pub(crate) fn goes_in_a_circle(entry: &Entry, from: &Origin) -> bool {
        let first = asking_core_of(&Identity::from_text(&entry.task.origin));
        let again = asking_core(from);
        matches!(entry.line, Line::Node(_)) && again.is_some() && again != first
    }
}

/// The node whose proxy asks, where it is one.
pub(crate) fn asking_core(from: &Origin) -> Option<NodeId> {
    match from {
        Origin::Client(identity) | Origin::Module(identity) => asking_core_of(identity),
    }
}

/// `gorgone-proxy-<core>-<node>…`, under which proxies connect to nodes, and gorgone-pull to the
/// core that it serves.
fn asking_core_of(identity: &Identity) -> Option<NodeId> {
    let text = identity.to_text();
    let rest = text.strip_prefix("gorgone-proxy-")?;
    let (core, _node) = rest.split_once('-')?;
    NodeId::parse(core).ok()
}

/// The node that a target names, if it is not this one.
pub(crate) fn other_node(target: &Target, own: NodeId) -> Option<NodeId> {
    match target {
        Target::Node(id) if *id != own => Some(*id),
        Target::Here | Target::Node(_) | Target::Many(_) | Target::Unreadable(_) => None,
    }
}
