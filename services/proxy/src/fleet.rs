//! The nodes of this instance: gives each what happens to it, and does what it wants done.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gorgone_client::Asker;
use gorgone_client::carrier::{CarrierEvent, Teller};
use gorgone_protocol::request::carried::{Carried, Outcome};
use gorgone_protocol::request::nodes::{NodeDefinition, NodeKind};
use gorgone_protocol::request::owned::{OwnedNode, OwnedNodes};
use gorgone_protocol::request::put_rows::{PutRows, mark_of};
use gorgone_protocol::{
    Action, Answer, Endpoint, Errand, Headers, Identity, Message, NodeId, Status,
};
use gorgone_runtime::Clock;
use gorgone_transport::SendError;
use gorgone_transport::dial::{Dialer, Line, LineEvent, LineId};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedSender;

use crate::definition::{Home, Print};
use crate::rsa::{Done, Job, Rsa};
use gorgone_carriage::{Effect, Event, Node, Settings, Stored};

/// Pages of rows that are with core at one time.
const PUTS: usize = 16;
/// How long core may take to store a page.
const PUT_PATIENCE: Duration = Duration::from_secs(60);

struct Slot {
    node: Node,
    definition: NodeDefinition,
    place: Option<(Endpoint, Identity)>,
    print: Option<Print>,
    line: Option<Line>,
    wake: Option<Duration>,
}

/// What core said to a page.
pub(crate) struct PutDone {
    node: NodeId,
    number: u64,
    stored: Stored,
}

/// The handles that nodes' wishes go to.
pub(crate) struct Hands {
    pub(crate) dialer: Dialer,
    pub(crate) rsa: Rsa,
    pub(crate) teller: Teller,
    pub(crate) asker: Asker,
    pub(crate) puts: UnboundedSender<PutDone>,
}

/// See the module's doc.
pub(crate) struct Fleet {
    slots: HashMap<NodeId, Slot>,
    lines: HashMap<LineId, NodeId>,
    timers: BTreeSet<(Duration, NodeId)>,
    /// Nodes that an account which is not complete has named so far.
    account: Option<HashSet<NodeId>>,
    hands: Hands,
    home: Home,
    settings: Arc<Settings>,
    /// What our tokens begin with.
    prefix: String,
    /// How many nodes have become ours so far.
    serial: u32,
    turns: Arc<Semaphore>,
    clock: Clock,
}

impl Fleet {
    pub(crate) fn new(hands: Hands, home: Home, settings: Settings, clock: Clock) -> Self {
        let prefix = format!("gorgone-proxy-{}-{:016x}", home.id, rand::random::<u64>());
        Self {
            slots: HashMap::new(),
            lines: HashMap::new(),
            timers: BTreeSet::new(),
            account: None,
            hands,
            home,
            settings: Arc::new(settings),
            prefix,
            serial: 0,
            turns: Arc::new(Semaphore::new(PUTS)),
            clock,
        }
    }

    /// When to call [`Fleet::timeouts`], from now.
    pub(crate) fn wait(&self) -> Option<Duration> {
        let (at, _) = self.timers.first()?;
        Some(at.saturating_sub(self.clock.now().monotonic))
    }

    /// Wakes the nodes whose time has come.
    pub(crate) fn timeouts(&mut self) {
        let now = self.clock.now().monotonic;
        let due = self.timers.iter().take_while(|(at, _)| *at <= now);
        let due: Vec<_> = due.copied().collect();
        for (at, id) in due {
            // An earlier one of these may have changed it.
            if self.timers.remove(&(at, id)) {
                if let Some(slot) = self.slots.get_mut(&id) {
                    slot.wake = None;
                }
                self.happen(id, Event::Timeout);
            }
        }
    }

    /// Something came from core.
    pub(crate) fn core(&mut self, event: CarrierEvent) {
        match event {
            CarrierEvent::Nodes(nodes) => self.nodes(nodes),
            CarrierEvent::Errand(errand) if self.slots.contains_key(&errand.via) => {
                self.happen(errand.via, Event::Errand(errand));
            }
            CarrierEvent::Errand(errand) => self.stray(errand),
        }
    }

    /// Something happened to a line. One that was hung up means nothing any more.
    pub(crate) fn line(&mut self, line: LineId, event: LineEvent) {
        let Some(id) = self.lines.get(&line).copied() else {
            return;
        };
        let event = match event {
            LineEvent::Connected => Event::Connected,
            LineEvent::Message(frames) => match frames.into_iter().next() {
                Some(frame) => Event::Frame(frame),
                None => return,
            },
            LineEvent::Lost(why) => {
                self.hang_up(id);
                Event::Lost(why.to_string())
            }
        };
        self.happen(id, event);
    }

    /// RSA work is done.
    pub(crate) fn worked(&mut self, done: Done) {
        let event = Event::Worked(done.number, done.session, done.product);
        self.happen(done.node, event);
    }

    /// Core has answered to a page.
    pub(crate) fn stored(&mut self, done: &PutDone) {
        self.happen(done.node, Event::Stored(done.number, done.stored.clone()));
    }

    /// How many tasks wait for a node's answer.
    pub(crate) fn under_way(&self) -> usize {
        let counts = self.slots.values().map(|slot| slot.node.under_way());
        counts.sum()
    }

    /// Gives everything back to core.
    pub(crate) fn give_up(&mut self) {
        let all: Vec<_> = self.slots.keys().copied().collect();
        for id in all {
            self.drop_node(id);
        }
    }

    /// Keys and definitions are read again; nodes for which they differ connect anew.
    pub(crate) fn reload(&mut self, home: Home) {
        self.home = home;
        let mut changed = Vec::new();
        for (id, slot) in &self.slots {
            let now = self.home.resolve(&slot.definition);
            if now.ok().map(|resolved| resolved.print()) != slot.print {
                changed.push(*id);
            }
        }
        for id in changed {
            self.happen(id, Event::Renew);
        }
    }

    fn nodes(&mut self, nodes: OwnedNodes) {
        if nodes.all {
            self.account = Some(HashSet::new());
        }
        for node in nodes.nodes {
            if let Some(account) = &mut self.account {
                account.insert(node.definition.id);
            }
            self.own(node);
        }
        for id in nodes.drop {
            self.drop_node(id);
        }
        if !nodes.more
            && let Some(account) = self.account.take()
        {
            let known = self.slots.keys().copied();
            let surplus: Vec<_> = known.filter(|id| !account.contains(id)).collect();
            for id in surplus {
                self.drop_node(id);
            }
        }
    }

    fn own(&mut self, owned: OwnedNode) {
        let OwnedNode { definition, mark } = owned;
        let id = definition.id;
        if definition.kind != NodeKind::PushZmq {
            tracing::error!(node = %id, "core gave us a node of a kind that we do not connect");
            return;
        }
        if let Some(slot) = self.slots.get_mut(&id) {
            let event = if slot.definition.rest == definition.rest {
                Event::Owned(mark)
            } else {
                Event::Renew
            };
            slot.definition = definition;
            return self.happen(id, event);
        }
        let now = self.clock.now();
        self.serial = self.serial.wrapping_add(1);
        let tokens = (&*self.prefix, self.serial);
        let settings = Arc::clone(&self.settings);
        let slot = Slot {
            node: Node::new(id, mark, tokens, rand::random(), settings, now),
            definition,
            place: None,
            print: None,
            line: None,
            wake: None,
        };
        self.slots.insert(id, slot);
        self.effects(id);
    }

    fn drop_node(&mut self, id: NodeId) {
        self.happen(id, Event::Dropped);
        if let Some(slot) = self.slots.remove(&id)
            && let Some(at) = slot.wake
        {
            self.timers.remove(&(at, id));
        }
    }

    /// Something for a node that is not ours (any more).
    fn stray(&self, errand: Errand) {
        let words = format!("node {} is not this proxy's", errand.via);
        match errand.attempt {
            Some(attempt) => self.hands.teller.carried(Carried {
                token: errand.token,
                node: errand.via,
                attempt,
                outcome: Outcome::Unsent,
                message: words,
            }),
            None => {
                let data = json!({ "message": words, "error": "unreachable" });
                let answer = Answer::refused_with(Some(errand.token), data);
                self.hands.teller.answer(&answer);
            }
        }
    }

    fn happen(&mut self, id: NodeId, event: Event) {
        let now = self.clock.now();
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.node.handle(event, now);
            self.effects(id);
        }
    }

    fn effects(&mut self, id: NodeId) {
        while let Some(effect) = self
            .slots
            .get_mut(&id)
            .and_then(|slot| slot.node.poll_effect())
        {
            if let Some(event) = self.carry_out(id, effect) {
                let now = self.clock.now();
                if let Some(slot) = self.slots.get_mut(&id) {
                    slot.node.handle(event, now);
                }
            }
        }
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        let wake = slot.node.poll_timeout();
        if wake != slot.wake {
            if let Some(at) = slot.wake {
                self.timers.remove(&(at, id));
            }
            if let Some(at) = wake {
                self.timers.insert((at, id));
            }
            slot.wake = wake;
        }
    }

    /// Does what a node wants. What comes of it at once is its next event.
    fn carry_out(&mut self, id: NodeId, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Resolve => {
                let slot = self.slots.get_mut(&id)?;
                let resolved = self.home.resolve(&slot.definition);
                slot.print = resolved.as_ref().ok().map(|resolved| resolved.print());
                let setup = resolved.map(|resolved| {
                    slot.place = Some((resolved.endpoint, resolved.identity));
                    Box::new(resolved.setup)
                });
                Some(Event::Resolved(setup))
            }
            Effect::Dial => self.dial(id).err().map(Event::Lost),
            Effect::Pin(key) => {
                tracing::info!(node = %id, thumbprint = %key.thumbprint(), "first seen; its key is kept");
                if let Err(error) = self.home.pins.put(id, &key) {
                    tracing::error!("{error}; the next key that it names will be taken as well");
                }
                if let Some(print) = self.slots.get_mut(&id).and_then(|slot| slot.print.as_mut()) {
                    print.pinned(&key);
                }
                None
            }
            Effect::HangUp => {
                self.hang_up(id);
                None
            }
            Effect::Work(number, session, work) => {
                self.hands.rsa.begin(Job {
                    node: id,
                    number,
                    session,
                    work,
                });
                None
            }
            Effect::Send(frame) => self.send(id, frame),
            Effect::Carried(carried) => {
                self.hands.teller.carried(carried);
                None
            }
            Effect::Answer(answer) => {
                self.hands.teller.answer(&answer);
                None
            }
            Effect::State(state) => {
                tracing::debug!(node = %id, state = state.state.as_str(), error = state.error, "node");
                self.hands.teller.state(&state);
                None
            }
            Effect::PutRows(number, rows) => {
                self.put(id, number, &rows);
                None
            }
        }
    }

    fn dial(&mut self, id: NodeId) -> Result<(), String> {
        let slot = self.slots.get_mut(&id).ok_or("it is gone")?;
        let (endpoint, identity) = slot.place.as_ref().ok_or("its address is not known")?;
        let line = self.hands.dialer.dial(endpoint, identity);
        let line = line.map_err(|error| error.to_string())?;
        self.lines.insert(line.id(), id);
        slot.line = Some(line);
        Ok(())
    }

    fn hang_up(&mut self, id: NodeId) {
        let line = self.slots.get_mut(&id).and_then(|slot| slot.line.take());
        if let Some(line) = line {
            self.lines.remove(&line.id());
        }
    }

    fn send(&mut self, id: NodeId, frame: Vec<u8>) -> Option<Event> {
        let line = self.slots.get(&id)?.line.as_ref()?;
        match line.send(vec![Bytes::from(frame)]) {
            // A line that is over says so itself.
            Ok(()) | Err(SendError::Closed) => None,
            Err(SendError::Full) => {
                self.hang_up(id);
                let why = "the node does not read what it is sent";
                Some(Event::Lost(why.to_owned()))
            }
        }
    }

    /// Gives a page to core, beside the loop.
    fn put(&self, node: NodeId, number: u64, rows: &PutRows) {
        let message = Message::new(Action::PutRows, None, rows.encode());
        let asker = self.hands.asker.clone();
        let puts = self.hands.puts.clone();
        let turns = Arc::clone(&self.turns);
        tokio::spawn(async move {
            let _turn = turns.acquire().await;
            let answer = asker.ask(message, Headers::default(), PUT_PATIENCE).await;
            let stored = match answer {
                Ok(answer) if answer.status == Status::Ok => Stored::Done,
                Ok(answer) => match mark_of(&answer) {
                    Some(mark) => Stored::Mark(Box::new(mark)),
                    None => {
                        tracing::warn!(%node, answer = answer.data.as_str(), "core did not take rows");
                        Stored::Later
                    }
                },
                Err(error) => {
                    tracing::warn!(%node, %error, "core did not take rows");
                    Stored::Later
                }
            };
            let _ = puts.send(PutDone {
                node,
                number,
                stored,
            });
        });
    }
}
