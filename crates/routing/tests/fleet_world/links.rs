//! The connections of proxies to nodes: they drop, repeat and delay what goes over them.

use gorgone_protocol::request::carried::Outcome;
use gorgone_protocol::request::log::{GetLog, Page};
use gorgone_protocol::request::pong::Pong;
use gorgone_protocol::request::put_rows::{Begun, PutRows};
use gorgone_protocol::{
    Action, Answer, AnswerName, Data, Dialect, Identity, Message, NodeId, Status, Token,
};
use gorgone_routing::Origin;
use serde_json::Value;

use super::bus::Role;
use super::{ACTIVE_MS, Ev, Said, Up, World};

/// How many rows one page has.
const ROWS: u32 = 7;

impl World {
    fn is_old(&self, id: NodeId) -> bool {
        self.old && id == NodeId::new(3)
    }

    fn is_cut(&self, id: NodeId) -> bool {
        self.cut_until
            .get(&id)
            .is_some_and(|until| self.now < *until)
    }

    pub(super) fn is_link(&mut self, peer: usize, id: NodeId, link: u64) -> bool {
        self.peers[peer].alive
            && matches!(self.peers[peer].role, Role::Proxy(_))
            && self
                .proxy(peer)
                .nodes
                .get(&id)
                .is_some_and(|conn| conn.link == Some(link))
    }

    /// A proxy looks after its nodes: connects, pings, fetches.
    pub(super) fn tick(&mut self, peer: usize, life: u64) {
        let it = &self.peers[peer];
        if !it.alive || it.life != life || self.now > super::END_MS - 1000 {
            return;
        }
        let Role::Proxy(proxy) = &it.role else {
            return;
        };
        let nodes: Vec<NodeId> = proxy.nodes.keys().copied().collect();
        for id in nodes {
            self.look_after(peer, id);
        }
        self.after(100, 700, Ev::Tick(peer, life));
    }

    fn look_after(&mut self, peer: usize, id: NodeId) {
        let there = self.cores[Self::core_of(id)].router.is_some() && !self.is_cut(id);
        let now = self.now;
        self.counter += 1;
        let link = self.counter;
        let Some(conn) = self.proxy(peer).nodes.get_mut(&id) else {
            return;
        };
        match conn.link {
            None if there => {
                conn.link = Some(link);
                self.ping(peer, id);
            }
            None => {}
            // Core has to write down the life that the node is in.
            Some(_) if !conn.up && conn.fetching.is_some_and(|since| now < since + 2000) => {}
            // The greeting was lost.
            Some(_) if !conn.up => {
                conn.link = None;
                conn.fetching = None;
                conn.put = None;
            }
            Some(_) => {
                let late = conn.fetching.is_some_and(|since| now > since + 2000);
                if conn.fetching.is_none() || late {
                    conn.fetching = None;
                    conn.put = None;
                    if self.rng.percent(30) {
                        self.fetch(peer, id);
                    }
                }
            }
        }
    }

    pub(super) fn ping(&mut self, peer: usize, id: NodeId) {
        let Some(conn) = self.proxy(peer).nodes.get(&id) else {
            return;
        };
        let known = Data::from_value(&conn.mark);
        self.counter += 1;
        let token = Token::parse(&format!("ping-{}", self.counter)).ok();
        self.send_to_node(peer, id, Message::new(Action::Ping, token, known));
    }

    fn fetch(&mut self, peer: usize, id: NodeId) {
        let now = self.now;
        let old = self.is_old(id);
        let Some(conn) = self.proxy(peer).nodes.get_mut(&id) else {
            return;
        };
        if !conn.up || conn.fetching.is_some() {
            conn.stale = true;
            return;
        }
        conn.fetching = Some(now);
        conn.stale = false;
        let filter = GetLog {
            id: Some(conn.mark.id),
            limit: Some(ROWS),
            life: conn.mark.life.filter(|_| !old),
            ..GetLog::default()
        };
        let token = Token::parse(&format!("get-{}", conn.mark.id)).ok();
        let message = Message::new(Action::GetLog, token, filter.encode(Dialect::Seed));
        self.send_to_node(peer, id, message);
    }

    /// Rows came: they go to core, in order.
    fn rows_came(&mut self, peer: usize, id: NodeId, asked: &Token, page: Page) {
        let Some(conn) = self.proxy(peer).nodes.get_mut(&id) else {
            return;
        };
        let after = asked
            .as_str()
            .strip_prefix("get-")
            .and_then(|n| n.parse::<i64>().ok());
        let Some(after) = after.filter(|after| *after == conn.mark.id && conn.put.is_none()) else {
            return;
        };
        let last = page.rows.last().map(|row| row.id).max(page.upto);
        let Some(upto) = last.filter(|last| *last > after) else {
            conn.fetching = None;
            return;
        };
        let put = PutRows {
            node: id,
            after,
            known: conn.mark.life,
            life: page.life,
            upto,
            rows: page.rows,
            begun: None,
        };
        self.put_rows(peer, id, put);
    }

    fn put_rows(&mut self, peer: usize, id: NodeId, put: PutRows) {
        let now = self.now;
        let Some(conn) = self.proxy(peer).nodes.get_mut(&id) else {
            return;
        };
        conn.fetching = Some(now);
        self.counter += 1;
        let token = Token::parse(&format!("rows-{id}-{}", self.counter)).expect("is a token");
        let message = Message::new(Action::PutRows, Some(token.clone()), put.encode());
        if let Some(conn) = self.proxy(peer).nodes.get_mut(&id) {
            conn.put = Some((token, put));
        }
        // Also pages travel twice.
        if self.rng.percent(3) {
            self.send_up(peer, Up::Message(message.clone()));
        }
        self.send_up(peer, Up::Message(message));
    }

    pub(super) fn send_to_node(&mut self, peer: usize, id: NodeId, message: Message) {
        let Some(link) = self.proxy(peer).nodes.get(&id).and_then(|conn| conn.link) else {
            return;
        };
        let shaky = self.faults && self.now < ACTIVE_MS;
        if shaky && self.rng.percent(1) {
            return self.say(|| format!("lost on its way to node {id}: {message:?}"));
        }
        // What would run twice is not repeated by a network.
        let twice = shaky && self.rng.percent(1) && !self.is_old(id);
        let copies = if twice { 2 } else { 1 };
        for _ in 0..copies {
            // In order, but for what is repeated.
            let at = self.link_time(id);
            self.at(at, Ev::LinkUp(peer, id, link, message.clone()));
        }
    }

    fn link_time(&mut self, _: NodeId) -> u64 {
        let slow = self.faults && self.now < ACTIVE_MS && self.rng.percent(2);
        let latency = if slow { 1500 } else { 3 };
        self.now + latency
    }

    pub(super) fn arrive_at_node(&mut self, peer: usize, id: NodeId, link: u64, message: Message) {
        let core = Self::core_of(id);
        let it = &self.cores[core];
        if it.router.is_none() || link < it.renewed || self.is_cut(id) {
            return;
        }
        if self.is_old(id)
            && message.action == Action::Command
            && let Some(token) = &message.token
            && !self.arrived.insert(token.as_str().to_owned())
        {
            return self.broken(format!(
                "{token} was sent twice to a node that would run it twice"
            ));
        }
        let own = self.cores[self.peers[peer].core].id;
        let identity = Identity::new(format!("gorgone-proxy-{own}-{id}-{peer}x{link}").as_bytes());
        self.request(core, Origin::Client(identity), message);
    }

    /// A node answers a proxy of another.
    pub(super) fn answer_proxy(&mut self, to: &Identity, said: Said) {
        let text = to.to_text();
        let mut parts = text.split('-').skip(3);
        let id = parts.next().and_then(|id| NodeId::parse(id).ok());
        let rest = parts.next().and_then(|rest| rest.split_once('x'));
        let (Some(id), Some((peer, link))) = (id, rest) else {
            return self.broken(format!("core answers somebody unknown: {text}"));
        };
        let (Ok(peer), Ok(link)) = (peer.parse(), link.parse()) else {
            return;
        };
        let shaky = self.faults && self.now < ACTIVE_MS;
        if shaky && self.rng.percent(1) {
            return self.say(|| format!("lost on its way from node {id}: {said:?}"));
        }
        if shaky && self.rng.percent(1) {
            let at = self.link_time(id);
            self.at(at, Ev::LinkDown(peer, id, link, said.clone()));
        }
        let at = self.link_time(id);
        self.at(at, Ev::LinkDown(peer, id, link, said));
    }

    pub(super) fn arrive_from_node(&mut self, peer: usize, id: NodeId, link: u64, said: Said) {
        if !self.is_link(peer, id, link) || self.is_cut(id) {
            return;
        }
        match said {
            Said::Rows(token, page) => self.rows_came(peer, id, &token, page),
            Said::SyncLogs => self.fetch(peer, id),
            Said::Answer(answer) if answer.name == AnswerName::Pong => {
                self.node_is_there(peer, id, &answer);
            }
            Said::Answer(answer) if answer.data.as_str().contains(r#""error":"life""#) => {
                self.link_lost(peer, id, "its history is another one");
            }
            Said::Answer(answer) => self.node_answered(peer, answer),
        }
    }

    fn node_is_there(&mut self, peer: usize, id: NodeId, answer: &Answer) {
        let Ok(pong) = Pong::decode(&answer.data) else {
            return self.broken("PONG makes no sense".to_owned());
        };
        let old = self.is_old(id);
        let Some(conn) = self.proxy(peer).nodes.get_mut(&id) else {
            return;
        };
        if conn.up {
            return;
        }
        let begun = pong.life.filter(|_| !old).map(|life| Begun {
            life,
            back_to: pong.back_to,
        });
        if let Some(begun) = begun
            && (conn.mark.life != Some(begun.life) || begun.back_to.is_some())
        {
            return self.node_began(peer, id, begun);
        }
        conn.up = true;
        conn.dedups = Some(pong.dedups && !old);
        conn.learnt = pong.learnt();
        self.say_state(peer, id);
        for (token, _) in self.held_for(peer, id) {
            self.send_task(peer, &token);
        }
        self.fetch(peer, id);
    }

    /// Core is to know first in which life the node is.
    fn node_began(&mut self, peer: usize, id: NodeId, begun: Begun) {
        if begun.back_to.is_some() {
            for (token, sent) in self.held_for(peer, id) {
                if sent {
                    self.say_carried(peer, &token, Outcome::Unknown);
                }
            }
        }
        let Some(conn) = self.proxy(peer).nodes.get(&id) else {
            return;
        };
        if conn.put.is_some() {
            return;
        }
        let put = PutRows {
            node: id,
            after: conn.mark.id,
            known: conn.mark.life,
            life: None,
            upto: conn.mark.id,
            rows: Vec::new(),
            begun: Some(begun),
        };
        self.put_rows(peer, id, put);
    }

    fn node_answered(&mut self, peer: usize, answer: Answer) {
        let Some(token) = answer.token.clone() else {
            return;
        };
        let held = self.proxy(peer).held.get(&token);
        if held.is_none_or(|held| held.said.is_some() || held.sent.is_none()) {
            if token.as_str().starts_with("fresh-") {
                self.send_up(peer, Up::Answer(answer));
            }
            return;
        }
        let data: Value = serde_json::from_str(answer.data.as_str()).unwrap_or_default();
        let outcome = match answer.status {
            Status::Ok => Outcome::Accepted,
            Status::Nok if data["error"].is_string() => Outcome::Busy,
            Status::Nok => Outcome::Refused,
        };
        if outcome == Outcome::Busy {
            self.arrived.remove(token.as_str());
        }
        self.say_carried(peer, &token, outcome);
    }

    /// New rows stand on a node: whoever is connected to it is told.
    pub(super) fn tell_parents(&mut self, core: usize) {
        let id = self.cores[core].id;
        for peer in 0..self.peers.len() {
            let Role::Proxy(proxy) = &self.peers[peer].role else {
                continue;
            };
            let conn = proxy.nodes.get(&id).filter(|conn| conn.up);
            if let Some(link) = conn.and_then(|conn| conn.link)
                && !self.rng.percent(30)
            {
                self.after(0, 200, Ev::LinkDown(peer, id, link, Said::SyncLogs));
            }
        }
    }

    /// A node's core was killed: those who are connected notice.
    pub(super) fn node_is_gone(&mut self, core: usize) {
        let id = self.cores[core].id;
        for peer in 0..self.peers.len() {
            let Role::Proxy(proxy) = &self.peers[peer].role else {
                continue;
            };
            if let Some(link) = proxy.nodes.get(&id).and_then(|conn| conn.link) {
                self.after(0, 1500, Ev::LinkNotice(peer, id, link));
            }
        }
    }

    /// Packets to a node are dropped; sometimes somebody says so.
    pub(super) fn cut_link(&mut self, id: NodeId, until: u64) {
        self.cut_until.insert(id, until);
        if self.rng.percent(60) {
            self.node_is_gone(Self::core_of(id));
        }
    }
}
