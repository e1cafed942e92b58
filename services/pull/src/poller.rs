//! This host as a node of its central: gives it what happens, and does what it wants done.

use std::sync::Arc;
use std::time::Duration;

use gorgone_carriage::{Effect, Event, Node, Settings, Stored};
use gorgone_client::Asker;
use gorgone_client::carrier::{CarrierEvent, Teller};
use gorgone_protocol::request::carried::{Carried, Outcome};
use gorgone_protocol::request::owned::OwnedNodes;
use gorgone_protocol::request::put_rows::{PutRows, mark_of};
use gorgone_protocol::{Action, Answer, Endpoint, Errand, Headers, Message, NodeId, Status};
use gorgone_runtime::Clock;
use gorgone_transport::{DealerEvent, SendError};
use serde_json::json;
use tokio::sync::mpsc::UnboundedSender;

use crate::local::Local;

/// How long the central may take to store a page of rows.
const PUT_PATIENCE: Duration = Duration::from_secs(60);

/// What the central said to a page.
pub(crate) struct PutDone {
    number: u64,
    stored: Stored,
}

/// The handles that the node's wishes go to.
pub(crate) struct Hands {
    pub(crate) teller: Teller,
    pub(crate) asker: Asker,
    pub(crate) puts: UnboundedSender<PutDone>,
}

/// See the module's doc.
pub(crate) struct Poller {
    id: NodeId,
    core: Endpoint,
    /// While the central says that the node is ours to carry.
    node: Option<Node>,
    local: Option<Local>,
    /// Which central that is.
    central: NodeId,
    hands: Hands,
    settings: Arc<Settings>,
    prefix: String,
    serial: u32,
    clock: Clock,
}

impl Poller {
    pub(crate) fn new(
        id: NodeId,
        core: Endpoint,
        hands: Hands,
        settings: Settings,
        clock: Clock,
    ) -> Self {
        Self {
            id,
            core,
            node: None,
            local: None,
            central: NodeId::new(0),
            hands,
            settings: Arc::new(settings),
            prefix: format!("gorgone-pull-{id}-{:016x}", rand::random::<u64>()),
            serial: 0,
            clock,
        }
    }

    /// What our core says, or what becomes of the connection to it. Pending where there is none.
    /// Cancel-safe.
    pub(crate) async fn local(&mut self) -> Option<DealerEvent> {
        match &mut self.local {
            Some(local) => local.recv().await,
            None => std::future::pending().await,
        }
    }

    /// Takes what [`Poller::local`] gave.
    pub(crate) fn heard(&mut self, event: Option<DealerEvent>) {
        let event = match event {
            Some(DealerEvent::Connected) => Event::Connected,
            Some(DealerEvent::Message(frames)) => match frames.into_iter().next() {
                Some(frame) => Event::Frame(frame),
                None => return,
            },
            Some(DealerEvent::Disconnected) | None => {
                self.local = None;
                Event::Lost("its core is not there".to_owned())
            }
        };
        self.happen(event);
    }

    /// When to call [`Poller::timeout`], from now.
    pub(crate) fn wait(&self) -> Option<Duration> {
        let at = self.node.as_ref()?.poll_timeout()?;
        Some(at.saturating_sub(self.clock.now().monotonic))
    }

    pub(crate) fn timeout(&mut self) {
        self.happen(Event::Timeout);
    }

    pub(crate) fn stored(&mut self, done: &PutDone) {
        self.happen(Event::Stored(done.number, done.stored.clone()));
    }

    /// How many tasks wait for our core's answer.
    pub(crate) fn under_way(&self) -> usize {
        self.node.as_ref().map_or(0, Node::under_way)
    }

    /// Gives everything back to the central.
    pub(crate) fn give_up(&mut self) {
        self.happen(Event::Dropped);
        self.node = None;
        self.local = None;
    }

    /// Something came from the central.
    pub(crate) fn central(&mut self, event: CarrierEvent) {
        match event {
            CarrierEvent::Nodes(nodes) => self.nodes(nodes),
            CarrierEvent::Errand(errand) if self.node.is_some() && errand.via == self.id => {
                self.happen(Event::Errand(errand));
            }
            CarrierEvent::Errand(errand) => self.stray(errand),
        }
    }

    fn nodes(&mut self, nodes: OwnedNodes) {
        let mut all = nodes.nodes.into_iter();
        let own = all.find(|node| node.definition.id == self.id);
        let mark = own.map(|node| node.mark);
        let gone = nodes.drop.contains(&self.id) || (nodes.all && !nodes.more && mark.is_none());
        if gone {
            self.give_up();
        }
        let Some(mark) = mark else {
            return;
        };
        let central = nodes.core.unwrap_or(NodeId::new(0));
        if self.node.is_some() && central == self.central {
            return self.happen(Event::Owned(mark));
        }
        self.give_up();
        self.central = central;
        self.serial = self.serial.wrapping_add(1);
        let tokens = (&*self.prefix, self.serial);
        let settings = Arc::clone(&self.settings);
        let now = self.clock.now();
        let node = Node::new(self.id, mark, tokens, rand::random(), settings, now);
        self.node = Some(node);
        self.effects();
    }

    /// Something that is not for us (any more).
    fn stray(&self, errand: Errand) {
        let words = format!("node {} is not carried here", errand.via);
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

    fn happen(&mut self, event: Event) {
        if let Some(node) = &mut self.node {
            node.handle(event, self.clock.now());
            self.effects();
        }
    }

    fn effects(&mut self) {
        while let Some(effect) = self.node.as_mut().and_then(Node::poll_effect) {
            if let Some(event) = self.carry_out(effect)
                && let Some(node) = &mut self.node
            {
                node.handle(event, self.clock.now());
            }
        }
    }

    /// Does what the node wants. What comes of it at once is its next event.
    fn carry_out(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Resolve => Some(Event::Trusted),
            Effect::Dial => match Local::dial(&self.core, self.central, self.id) {
                Ok(local) => {
                    self.local = Some(local);
                    None
                }
                Err(error) => Some(Event::Lost(error.to_string())),
            },
            Effect::HangUp => {
                self.local = None;
                None
            }
            Effect::Send(text) => match self.local.as_ref()?.send(text) {
                Ok(()) | Err(SendError::Closed) => None,
                Err(SendError::Full) => {
                    self.local = None;
                    Some(Event::Lost(
                        "its core does not read what it is sent".to_owned(),
                    ))
                }
            },
            Effect::Carried(carried) => {
                self.hands.teller.carried(carried);
                None
            }
            Effect::Answer(answer) => {
                self.hands.teller.answer(&answer);
                None
            }
            Effect::State(state) => {
                tracing::debug!(
                    state = state.state.as_str(),
                    error = state.error,
                    "our core"
                );
                self.hands.teller.state(&state);
                None
            }
            Effect::PutRows(number, rows) => {
                self.put(number, &rows);
                None
            }
            // There is no handshake with our own core.
            Effect::Pin(_) | Effect::Work(..) => None,
        }
    }

    /// Gives a page to the central, beside the loop.
    fn put(&self, number: u64, rows: &PutRows) {
        let message = Message::new(Action::PutRows, None, rows.encode());
        let asker = self.hands.asker.clone();
        let puts = self.hands.puts.clone();
        tokio::spawn(async move {
            let answer = asker.ask(message, Headers::default(), PUT_PATIENCE).await;
            let stored = match answer {
                Ok(answer) if answer.status == Status::Ok => Stored::Done,
                Ok(answer) => match mark_of(&answer) {
                    Some(mark) => Stored::Mark(Box::new(mark)),
                    None => {
                        tracing::warn!(
                            answer = answer.data.as_str(),
                            "the central did not take rows"
                        );
                        Stored::Later
                    }
                },
                Err(error) => {
                    // It is away, most likely: they stay in our store until it is back.
                    tracing::debug!(%error, "the central did not take rows");
                    Stored::Later
                }
            };
            let _ = puts.send(PutDone { number, stored });
        });
    }
}
