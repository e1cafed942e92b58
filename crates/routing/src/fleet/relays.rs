//! Questions to other nodes: nothing is written down; each has a deadline and is answered once.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use gorgone_protocol::request::cancel::Cancel;
use gorgone_protocol::request::log::GetLog;
use gorgone_protocol::request::node_state::LinkState;
use gorgone_protocol::request::nodes::NodeKind;
use gorgone_protocol::{
    Action, Answer, AnswerName, Data, Headers, Identity, Message, NodeId, Status, Target, Token,
};
use serde_json::json;

use super::pollers::NOT_CONNECTED;
use crate::event::Effect;
use crate::outbox::Ack;
use crate::router::Router;

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What follows the answer.
#[derive(Debug)]
pub(crate) enum Then {
    /// It is passed on under this name.
    Answer(AnswerName),
    /// Rows of the history are read here.
    Read(Box<GetLog>),
}

#[derive(Debug)]
struct Relay {
    /// Whom to tell, and what; nobody where only the node is to know.
    asker: Option<(Ack, Then)>,
    node: NodeId,
    module: Identity,
    deadline: Duration,
}

/// By the token that each bears on its way, which is none of the asker's.
#[derive(Debug, Default)]
pub(crate) struct Relays {
    all: HashMap<Token, Relay>,
    by_deadline: BTreeSet<(Duration, Token)>,
}

impl Relays {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.by_deadline.first().map(|(deadline, _)| *deadline)
    }

    fn add(&mut self, token: Token, relay: Relay) {
        self.by_deadline.insert((relay.deadline, token.clone()));
        self.all.insert(token, relay);
    }

    fn remove(&mut self, token: &Token) -> Option<Relay> {
        let relay = self.all.remove(token)?;
        self.by_deadline.remove(&(relay.deadline, token.clone()));
        Some(relay)
    }
}

impl Router {
    /// Asks a node, by its proxy.
    pub(crate) fn relay(
        &mut self,
        asker: Ack,
        node: NodeId,
        message: Message,
        (token, then): (Token, Then),
    ) {
        let Some(module) = self.way_to(node) else {
            let words = self.why_unreachable(node);
            return self.unreachable(asker, &words);
        };
        if self.relays.len() >= self.settings.max_relays {
            let words = "too many questions to nodes are under way; try again later";
            return self.out.answer(asker.0, Answer::busy(Some(asker.1), words));
        }
        self.ask_node(Some((asker, then)), (node, module), message, token);
    }

    fn ask_node(
        &mut self,
        asker: Option<(Ack, Then)>,
        (node, module): (NodeId, Identity),
        message: Message,
        token: Token,
    ) {
        let relay = Relay {
            asker,
            node,
            module: module.clone(),
            deadline: self.now.monotonic + PATIENCE,
        };
        self.relays.add(token.clone(), relay);
        self.out.push(Effect::Deliver {
            module,
            message: Message {
                token: Some(token),
                ..message
            },
            headers: Headers {
                via: Some(node),
                ..Headers::default()
            },
        });
    }

    /// Asks the node that has a task, or may have it, to end it.
    pub(crate) fn cancel_at_node(
        &mut self,
        asker: Ack,
        node: NodeId,
        subject: Token,
        fresh: Token,
    ) {
        let then = Then::Answer(AnswerName::Ack);
        self.relay(asker, node, cancel(node, subject), (fresh, then));
    }

    /// The same, and nobody waits for the answer. False where the node cannot be asked.
    pub(crate) fn tell_node(&mut self, node: NodeId, subject: &Token, fresh: Token) -> bool {
        let way = self.way_to(node);
        let Some(module) = way.filter(|_| self.relays.len() < self.settings.max_relays) else {
            return false;
        };
        let message = cancel(node, subject.clone());
        self.ask_node(None, (node, module), message, fresh);
        true
    }

    /// Who has the connection to a node, if it is up.
    fn way_to(&self, node: NodeId) -> Option<Identity> {
        let node = self.nodes.get(node).filter(|node| node.is_up())?;
        self.modules.address(node.owner.as_ref()?)
    }

    fn why_unreachable(&self, id: NodeId) -> String {
        let node = self.nodes.get(id);
        let owner = node.and_then(|node| node.owner.as_ref());
        if owner.is_none_or(|owner| self.modules.address(owner).is_none()) {
            let why = match node.map(|node| node.definition.kind) {
                Some(NodeKind::Pull) => NOT_CONNECTED,
                _ => "its proxy is not there",
            };
            return format!("node {id} cannot be reached: {why}");
        }
        let link = node.and_then(|node| node.link.as_ref());
        let state = link.map_or(LinkState::Connecting, |link| link.state);
        match link.and_then(|link| link.error.as_ref()) {
            Some(error) => format!("node {id} is {}: {error}", state.as_str()),
            None => format!("node {id} is {}", state.as_str()),
        }
    }

    fn unreachable(&mut self, (to, token): Ack, words: &str) {
        let data = json!({ "message": words, "error": "unreachable" });
        self.out.answer(to, Answer::refused_with(Some(token), data));
    }

    /// A module answers something: a question of somebody's, or nothing that anybody waits for.
    pub(crate) fn answered(&mut self, from: &Identity, answer: Answer) {
        let Some(token) = &answer.token else {
            return;
        };
        let asked = self.relays.all.get(token);
        if asked.is_none_or(|relay| relay.module != *from) {
            return;
        }
        let Some(relay) = self.relays.remove(token) else {
            return;
        };
        let Some(((to, token), then)) = relay.asker else {
            return;
        };
        match then {
            Then::Read(filter) if answer.status == Status::Ok => {
                self.read_log(to, token, *filter);
            }
            Then::Read(_) => self.out.answer(
                to,
                Answer {
                    name: AnswerName::Ack,
                    token: Some(token),
                    ..answer
                },
            ),
            Then::Answer(name) => self.out.answer(
                to,
                Answer {
                    name,
                    token: Some(token),
                    ..answer
                },
            ),
        }
    }

    /// A question that did not reach the proxy. False where the token is none of a question.
    pub(crate) fn question_undelivered(&mut self, token: &Token) -> bool {
        let Some(relay) = self.relays.remove(token) else {
            return false;
        };
        if let Some((asker, _)) = relay.asker {
            let words = self.why_unreachable(relay.node);
            self.unreachable(asker, &words);
        }
        true
    }

    pub(crate) fn expire_relays(&mut self) {
        let now = self.now.monotonic;
        while let Some((deadline, token)) = self.relays.by_deadline.first().cloned()
            && deadline <= now
        {
            if let Some(relay) = self.relays.remove(&token)
                && let Some(((to, token), _)) = relay.asker
            {
                let words = format!(
                    "node {} did not answer within {} s",
                    relay.node,
                    PATIENCE.as_secs()
                );
                let data = json!({ "message": words, "error": "timeout" });
                self.out.answer(to, Answer::refused_with(Some(token), data));
            }
        }
    }
}

/// The wish that a node should end a request that it has.
fn cancel(node: NodeId, subject: Token) -> Message {
    Message {
        action: Action::Cancel,
        token: None,
        target: Target::Node(node),
        data: Data::from_value(&Cancel { token: subject }),
    }
}
