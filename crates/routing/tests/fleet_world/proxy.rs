//! A proxy that follows every rule of its words with core.

use std::collections::{BTreeMap, HashMap};

use gorgone_protocol::request::carried::{Carried, Outcome};
use gorgone_protocol::request::node_state::{LinkState, NodeState};
use gorgone_protocol::request::nodes::NodeKind;
use gorgone_protocol::request::owned::OwnedNodes;
use gorgone_protocol::request::put_rows::{PutRows, mark_of};
use gorgone_protocol::request::ready::Ready;
use gorgone_protocol::{
    Action, Answer, Data, Headers, Mark, Message, NodeId, Status, Target, Token,
};

use super::bus::Role;
use super::{Down, Ev, Up, World};

/// The connection to one node.
#[derive(Default)]
pub struct Conn {
    pub mark: Mark,
    /// Which connection this is, and when it was begun; none where there is none.
    pub link: Option<u64>,
    pub up: bool,
    pub dedups: Option<bool>,
    pub learnt: BTreeMap<NodeId, i64>,
    /// When rows were asked for, and not here yet.
    pub fetching: Option<u64>,
    pub stale: bool,
    /// What is with core, under which token.
    pub put: Option<(Token, PutRows)>,
}

/// A task that core handed over.
pub struct Held {
    pub node: NodeId,
    pub attempt: u32,
    pub message: Message,
    pub expires: i64,
    /// Whether it may have left, and on which connection it went last.
    pub sent: Option<u64>,
    /// The order of hand-over.
    pub number: u64,
    /// What became of it: said until core has acknowledged it.
    pub said: Option<(Token, Outcome)>,
}

#[derive(Default)]
pub struct Proxy {
    pub name: String,
    pub life: u64,
    pub nodes: BTreeMap<NodeId, Conn>,
    pub held: BTreeMap<Token, Held>,
    settled: HashMap<Token, u32>,
    next: u64,
    messages: u64,
}

impl Proxy {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    pub fn die(&mut self) {
        self.nodes.clear();
        self.held.clear();
        self.settled.clear();
    }

    pub fn ready(&self, with_running: bool) -> Message {
        let ready = Ready {
            epoch: Some(format!("{}", self.life)),
            heartbeat: Some(2),
            running: with_running.then(|| self.held.keys().cloned().collect()),
            carries: vec![NodeKind::PushZmq],
            ..Ready::default()
        };
        Message::new(
            Action::Ready("PROXY".into()),
            None,
            Data::from_value(&ready),
        )
    }

    fn message(&mut self) -> Token {
        self.messages += 1;
        let text = format!("{}-{}-{}", self.name, self.life, self.messages);
        Token::parse(&text).expect("is a token")
    }
}

impl World {
    pub(super) fn proxy(&mut self, peer: usize) -> &mut Proxy {
        match &mut self.peers[peer].role {
            Role::Proxy(proxy) => proxy,
            Role::Runner(_) => panic!("peer {peer} is no proxy"),
        }
    }

    pub(super) fn told_proxy(&mut self, peer: usize, down: Down) {
        match down {
            Down::Message(message, headers) => match message.action {
                Action::Nodes => {
                    if let Ok(owned) = message.data.decode::<OwnedNodes>() {
                        self.told_nodes(peer, owned);
                    }
                }
                _ if headers.attempt.is_some() => self.take(peer, *message, &headers),
                _ => self.take_question(peer, *message, &headers),
            },
            Down::Answer(answer) => self.core_answered(peer, answer),
        }
    }

    fn told_nodes(&mut self, peer: usize, owned: OwnedNodes) {
        let kept: Vec<NodeId> = owned.nodes.iter().map(|node| node.definition.id).collect();
        let mut gone = owned.drop;
        if owned.all {
            let all = self.proxy(peer).nodes.keys().copied();
            gone.extend(all.filter(|id| !kept.contains(id)).collect::<Vec<_>>());
        }
        for id in gone {
            self.proxy(peer).nodes.remove(&id);
            self.give_back(peer, id);
        }
        for node in owned.nodes {
            let id = node.definition.id;
            let conn = self.proxy(peer).nodes.entry(id).or_default();
            if conn.fetching.is_none() {
                conn.mark = node.mark;
            }
            self.say_state(peer, id);
        }
    }

    fn take(&mut self, peer: usize, message: Message, headers: &Headers) {
        let (Some(token), Some(node), Some(attempt)) =
            (message.token.clone(), headers.via, headers.attempt)
        else {
            return self.broken("a task without its headers".to_owned());
        };
        let proxy = self.proxy(peer);
        let had = proxy.held.get(&token).map(|held| held.attempt);
        let had = had.max(proxy.settled.get(&token).copied());
        if had.is_some_and(|had| had >= attempt) {
            return;
        }
        proxy.next += 1;
        let number = proxy.next;
        let held = Held {
            node,
            attempt,
            message,
            expires: headers.expires.unwrap_or(i64::MAX),
            sent: None,
            number,
            said: None,
        };
        proxy.held.insert(token.clone(), held);
        let up = proxy.nodes.get(&node).is_some_and(|conn| conn.up);
        if up {
            self.send_task(peer, &token);
        } else {
            self.say_carried(peer, &token, Outcome::Unsent);
        }
    }

    /// Sends a task to its node, unless its time is over.
    pub(super) fn send_task(&mut self, peer: usize, token: &Token) {
        let now = self.moment().unix_ms;
        let proxy = self.proxy(peer);
        let Some(held) = proxy.held.get_mut(token) else {
            return;
        };
        if held.expires <= now {
            let outcome = match held.sent {
                Some(_) => Outcome::Unknown,
                None => Outcome::Unsent,
            };
            return self.say_carried(peer, token, outcome);
        }
        let node = held.node;
        let Some(link) = proxy.nodes.get(&node).and_then(|conn| conn.link) else {
            return;
        };
        held.sent = Some(link);
        let mut message = held.message.clone();
        if message.target == Target::Node(node) {
            message.target = Target::Here;
        }
        self.send_to_node(peer, node, message);
        self.after(3000, 3000, Ev::Overdue(peer, node, link, token.clone()));
    }

    fn take_question(&mut self, peer: usize, mut message: Message, headers: &Headers) {
        let Some(node) = headers.via else {
            return;
        };
        let up = self
            .proxy(peer)
            .nodes
            .get(&node)
            .is_some_and(|conn| conn.up);
        if !up {
            let answer = Answer::refused(message.token, "not connected");
            return self.send_up(peer, Up::Answer(answer));
        }
        if message.target == Target::Node(node) {
            message.target = Target::Here;
        }
        self.send_to_node(peer, node, message);
    }

    pub(super) fn say_carried(&mut self, peer: usize, token: &Token, outcome: Outcome) {
        let life = self.peers[peer].life;
        let proxy = self.proxy(peer);
        let message = proxy.message();
        let Some(held) = proxy.held.get_mut(token) else {
            return;
        };
        let outcome = held.said.as_ref().map_or(outcome, |(_, said)| *said);
        held.said = Some((message.clone(), outcome));
        let carried = Carried {
            token: token.clone(),
            node: held.node,
            attempt: held.attempt,
            outcome,
            message: "says the node".to_owned(),
        };
        let body = Data::from_value(&carried);
        let up = Message::new(Action::Carried, Some(message.clone()), body);
        self.send_up(peer, Up::Message(up));
        self.after(3000, 3000, Ev::SayAgain(peer, life, message));
    }

    fn carried_by(&mut self, peer: usize, message: &Token) -> Option<(Token, Outcome)> {
        let held = self.proxy(peer).held.iter();
        let mut said = held.filter_map(|(token, held)| Some((token, held.said.as_ref()?)));
        let found = said.find(|(_, (said, _))| said == message);
        found.map(|(token, (_, outcome))| (token.clone(), *outcome))
    }

    pub(super) fn say_carried_again(&mut self, peer: usize, message: &Token) {
        if let Some((token, outcome)) = self.carried_by(peer, message) {
            self.say_carried(peer, &token, outcome);
        }
    }

    /// Core is back: what it did not acknowledge is said again.
    pub(super) fn say_all_again(&mut self, peer: usize) {
        let held = self.proxy(peer).held.iter();
        let said = held.filter_map(|(token, held)| Some((token.clone(), held.said.as_ref()?.1)));
        let said: Vec<_> = said.collect();
        for (token, outcome) in said {
            self.say_carried(peer, &token, outcome);
        }
        let nodes: Vec<NodeId> = self.proxy(peer).nodes.keys().copied().collect();
        for id in nodes {
            self.say_state(peer, id);
        }
    }

    fn core_answered(&mut self, peer: usize, answer: Answer) {
        let Some(message) = answer.token.clone() else {
            return;
        };
        if let Some((token, _)) = self.carried_by(peer, &message) {
            if answer.status == Status::Ok {
                let proxy = self.proxy(peer);
                if let Some(held) = proxy.held.remove(&token) {
                    proxy.settled.insert(token, held.attempt);
                }
            } else {
                let life = self.peers[peer].life;
                self.after(500, 500, Ev::SayAgain(peer, life, message));
            }
            return;
        }
        if let Some(id) = message
            .as_str()
            .strip_prefix("rows-")
            .and_then(|rest| NodeId::parse(rest.split('-').next()?).ok())
            && let Some(conn) = self.proxy(peer).nodes.get_mut(&id)
        {
            let Some((_, put)) = conn.put.take_if(|(token, _)| *token == message) else {
                return;
            };
            conn.fetching = None;
            match (answer.status, mark_of(&answer)) {
                (Status::Ok, _) => {
                    conn.stale = true;
                    match put.begun {
                        Some(begun) => conn.mark.began(begun.life, begun.back_to),
                        None => conn.mark.stored(put.life, put.upto),
                    }
                }
                (Status::Nok, Some(mark)) => conn.mark = mark,
                (Status::Nok, None) => {}
            }
            if !conn.up && conn.link.is_some() {
                self.ping(peer, id);
            }
        }
    }

    /// What is held for a node that is not the proxy's any more, or not connected.
    fn give_back(&mut self, peer: usize, id: NodeId) {
        for (token, sent) in self.held_for(peer, id) {
            let outcome = match sent {
                true => Outcome::Unknown,
                false => Outcome::Unsent,
            };
            self.say_carried(peer, &token, outcome);
        }
    }

    /// In order of hand-over: what is not settled, and whether it may have left.
    pub(super) fn held_for(&mut self, peer: usize, id: NodeId) -> Vec<(Token, bool)> {
        let held = self.proxy(peer).held.iter();
        let held = held.filter(|(_, held)| held.node == id && held.said.is_none());
        let mut held: Vec<_> = held
            .map(|(token, held)| (held.number, token.clone(), held.sent.is_some()))
            .collect();
        held.sort();
        held.into_iter()
            .map(|(_, token, sent)| (token, sent))
            .collect()
    }

    /// The connection to a node is lost.
    pub(super) fn link_lost(&mut self, peer: usize, id: NodeId, why: &str) {
        self.say(|| format!("peer {peer} loses node {id}: {why}"));
        let Some(conn) = self.proxy(peer).nodes.get_mut(&id) else {
            return;
        };
        conn.link = None;
        conn.up = false;
        conn.fetching = None;
        conn.put = None;
        let keep = conn.dedups == Some(true);
        self.say_state(peer, id);
        for (token, sent) in self.held_for(peer, id) {
            match (sent, keep) {
                (true, true) => {}
                (true, false) => self.say_carried(peer, &token, Outcome::Unknown),
                (false, _) => self.say_carried(peer, &token, Outcome::Unsent),
            }
        }
    }

    pub(super) fn overdue(&mut self, peer: usize, id: NodeId, token: &Token) {
        let held = self.proxy(peer).held.get(token);
        if held.is_some_and(|held| held.said.is_none() && held.node == id) {
            self.link_lost(peer, id, "no answer");
        }
    }

    pub(super) fn say_state(&mut self, peer: usize, id: NodeId) {
        let Some(conn) = self.proxy(peer).nodes.get(&id) else {
            return;
        };
        let state = NodeState {
            id,
            state: if conn.up {
                LinkState::Up
            } else {
                LinkState::Down
            },
            since: 0,
            error: None,
            dedups: conn.dedups.filter(|_| conn.up),
            hostname: None,
            last_ping_sent: 0,
            last_ping_recv: 0,
            ping_ok: 0,
            ping_failed: 0,
            nodes: conn.learnt.clone(),
            synced_at: 0,
            newest_row: None,
        };
        let message = Message::new(Action::NodeState, None, Data::from_value(&state));
        self.send_up(peer, Up::Message(message));
    }
}
