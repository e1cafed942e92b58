//! The loop: wait for what happens next, let the state machines decide, do what they want.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gorgone_crypto::PublicKey;
use gorgone_protocol::request::nodes::NodeKind;
use gorgone_protocol::request::owned::OwnedNodes;
use gorgone_protocol::{
    Action, Data, DecodeError, Dialect, Headers, Identity, Message, Moment, NodeId, Target, Token,
    decode, decode_answer,
};
use gorgone_routing::{Caller, Event, Origin, Router};
use gorgone_runtime::{Clock, Context, Last, LogHandle};
use gorgone_session::Server;
use gorgone_transport::{Frames, RouterEvent, RouterSender};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::beside::{Beside, Done};
use crate::build::{expects_pollers, redactor, session_config};
use crate::credentials::Credentials;
use crate::figures::{Counted, Figures};
use crate::handshakes::Handshakes;
use crate::housekeeping;
use crate::nodes_file;

/// How many events one turn takes before it does what they want: what they write is one batch.
const TURN: usize = 256;
/// How long a peer of the internal side counts as a parent after a PING.
const PARENT: Duration = Duration::from_secs(30 * 60);
/// How many of them there may be.
const MAX_BUS_PARENTS: usize = 16;
/// How long the last answers and rows may take to leave when core stops.
const FAREWELL: Duration = Duration::from_secs(5);

/// A bound ROUTER and its sender.
pub(crate) struct Socket {
    pub(crate) router: gorgone_transport::Router,
    pub(crate) sender: RouterSender,
}

impl Socket {
    pub(crate) fn new((router, sender): (gorgone_transport::Router, RouterSender)) -> Self {
        Self { router, sender }
    }
}

/// The external side: there where the configuration names an endpoint.
pub(crate) struct Edge {
    pub(crate) socket: Socket,
    pub(crate) session: Server,
    pub(crate) handshakes: Handshakes,
    /// For the sessions of a configuration that is read again.
    pub(crate) public_key: PublicKey,
}

/// Core, with everything open.
pub struct Core {
    pub(crate) router: Router,
    pub(crate) bus: Socket,
    pub(crate) edge: Option<Edge>,
    pub(crate) beside: Beside,
    pub(crate) done: UnboundedReceiver<Done>,
    pub(crate) credentials: Credentials,
    pub(crate) session_records: Vec<gorgone_session::Record>,
    /// When the first row came that parents were not told of.
    pub(crate) new_rows: Option<Duration>,
    pub(crate) counted: Counted,
    pub(crate) figures: Last<Figures>,
    /// Who pinged on the internal side, and until when it counts as a parent.
    pub(crate) bus_parents: BTreeMap<Identity, Duration>,
    pub(crate) clock: Clock,
    pub(crate) log: LogHandle,
    pub(crate) node: NodeId,
}

/// Whatever happens next.
pub(crate) enum Input {
    Edge(Option<RouterEvent>),
    Bus(Option<RouterEvent>),
    Done(Done),
    Timeout,
}

impl Core {
    /// Runs until shutdown begins, then refuses what is new and lets what was accepted and
    /// decided reach the store and its sender.
    ///
    /// # Errors
    /// When a socket is lost for good.
    pub async fn run(mut self, context: Context) -> anyhow::Result<()> {
        let mut reloads = context.reloads();
        let stop = context.shutdown.token();
        context.tasks.spawn(housekeeping::run(
            self.beside.store.clone(),
            context.clone(),
        ));
        context
            .tasks
            .spawn(nodes_file::run(self.beside.done.clone(), context.clone()));
        self.effects();
        let mut pulse = context.health.pulse();
        while !stop.is_cancelled() {
            let wait = self.next_timeout();
            let input = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = pulse.asked() => {
                    self.take_figures();
                    pulse.beat();
                    continue;
                }
                Ok(()) = reloads.changed() => {
                    let config = reloads.borrow_and_update().clone();
                    self.credentials = Credentials::new(&config);
                    self.router.expect(NodeKind::Pull, expects_pollers(&config));
                    match redactor(&config.core.audit) {
                        Ok(redactor) => self.router.set_audit(redactor),
                        Err(error) => tracing::error!("{error:#}; the audit stays as it was"),
                    }
                    if let Some(edge) = &mut self.edge {
                        let config = session_config(&config, &context, &edge.public_key)?;
                        edge.session.reconfigure(config);
                    }
                    continue;
                }
                input = self.select(wait) => input,
            };
            self.turn(input)?;
        }
        self.farewell().await;
        Ok(())
    }

    fn next_timeout(&mut self) -> Option<Duration> {
        let now = self.clock.now();
        let notice = self.notice_due().map(|at| at.saturating_sub(now.monotonic));
        let session = self
            .edge
            .as_ref()
            .and_then(|edge| edge.session.poll_timeout(now));
        [self.router.poll_timeout(now), session, notice]
            .into_iter()
            .flatten()
            .min()
    }

    /// Waits for the next event. Cancel-safe: nothing is taken that is not returned.
    async fn select(&mut self, wait: Option<Duration>) -> Input {
        let edge = async {
            match &mut self.edge {
                Some(edge) => edge.socket.router.recv().await,
                None => std::future::pending().await,
            }
        };
        let timeout = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(done) = self.done.recv() => Input::Done(done),
            event = self.bus.router.recv() => Input::Bus(event),
            event = edge => Input::Edge(event),
            () = timeout => Input::Timeout,
        }
    }

    /// Takes an event and what else is there already, then does what they want done.
    fn turn(&mut self, first: Input) -> anyhow::Result<()> {
        self.apply(first)?;
        for _ in 1..TURN {
            let mut idle = true;
            if let Ok(done) = self.done.try_recv() {
                idle = false;
                self.apply(Input::Done(done))?;
            }
            if let Some(event) = self.bus.router.try_recv() {
                idle = false;
                self.apply(Input::Bus(Some(event)))?;
            }
            let edge = self.edge.as_mut();
            if let Some(event) = edge.and_then(|edge| edge.socket.router.try_recv()) {
                idle = false;
                self.apply(Input::Edge(Some(event)))?;
            }
            if idle {
                break;
            }
        }
        self.effects();
        Ok(())
    }

    fn apply(&mut self, input: Input) -> anyhow::Result<()> {
        let now = self.clock.now();
        match input {
            Input::Edge(Some(event)) => self.edge_event(event, now),
            Input::Bus(Some(event)) => self.bus_event(event, now),
            Input::Edge(None) => anyhow::bail!("the external endpoint was lost"),
            Input::Bus(None) => anyhow::bail!("the internal endpoint was lost"),
            Input::Done(Done::Written(batch, result)) => {
                self.router.handle(Event::Written { batch, result }, now);
            }
            Input::Done(Done::Read { to, answer, waiter }) => {
                let answered = answer.is_some();
                if let Some(answer) = answer {
                    self.answer(&to, &answer);
                }
                if let Some(waiter) = waiter {
                    self.router
                        .handle(Event::QueryDone { waiter, answered }, now);
                }
            }
            Input::Done(Done::ReaderFree) => self.beside.reader_free(),
            Input::Done(Done::FileOfNodes(nodes)) => {
                self.router.handle(Event::FileOfNodes(nodes), now);
            }
            Input::Done(Done::Hello(job, outcome)) => {
                let event = gorgone_session::Event::HelloOpened { job, outcome };
                self.session_event(event, None, now);
            }
            Input::Timeout => {
                self.session_event(gorgone_session::Event::Timeout, None, now);
                self.router.handle(Event::Timeout, now);
            }
        }
        Ok(())
    }

    fn edge_event(&mut self, event: RouterEvent, now: Moment) {
        match event {
            RouterEvent::Message {
                peer,
                mut frames,
                from,
            } => {
                // The protocol's messages have one part; what else is there has no meaning.
                let frame = frames.swap_remove(0);
                let event = gorgone_session::Event::Received { peer, frame };
                self.session_event(event, from, now);
            }
            RouterEvent::Undelivered { peer, frames, why } if peer.poller().is_some() => {
                tracing::debug!(poller = %peer, ?why, "not delivered");
                let session = self.edge.as_ref().map(|edge| &edge.session);
                let text = frames
                    .first()
                    .and_then(|frame| session?.unseal(&peer, frame));
                let (_, text) = Headers::part(text.as_deref().unwrap_or_default());
                self.undelivered(peer, &vec![Bytes::copy_from_slice(text)], now);
            }
            RouterEvent::Undelivered { peer, why, .. } => {
                tracing::debug!(%peer, ?why, "an answer could not be delivered");
            }
            // It may have come back before we hear that it went: what is said to it now tells.
            RouterEvent::Disconnected(peer) if peer.poller().is_some() => {
                tracing::debug!(poller = %peer, "disconnected");
                let data = Data::from_value(&OwnedNodes::default());
                let nothing = Message::new(Action::Nodes, None, data);
                self.hand_out(&peer, &nothing, &Headers::default(), now);
            }
            RouterEvent::Connected(_) | RouterEvent::Disconnected(_) => {}
        }
    }

    /// `from` is the address of the peer that the event is about.
    fn session_event(
        &mut self,
        event: gorgone_session::Event,
        from: Option<Arc<str>>,
        now: Moment,
    ) {
        if let Some(edge) = &mut self.edge {
            edge.session.handle(event, now);
            self.session_effects(from, now);
        }
    }

    fn bus_event(&mut self, event: RouterEvent, now: Moment) {
        match event {
            RouterEvent::Message { peer, frames, .. } => {
                let Some(text) = frames.first() else {
                    return;
                };
                let headers = frames.get(1).map(|frame| Headers::decode(frame));
                let caller = headers.and_then(|headers| self.credentials.behind(&headers));
                self.request(Origin::Module(peer), Dialect::Seed, text, caller, now);
            }
            RouterEvent::Undelivered { peer, frames, why } => {
                tracing::debug!(module = %peer, ?why, "not delivered");
                self.undelivered(peer, &frames, now);
            }
            RouterEvent::Disconnected(peer) => {
                tracing::debug!(module = %peer, "disconnected");
                self.bus_parents.remove(&peer);
                self.router.handle(Event::ModuleGone(peer), now);
            }
            RouterEvent::Connected(peer) => {
                tracing::debug!(module = %peer, "connected");
                // A connection before it, if there was one, is over; the module says READY on
                // this one, and what it still has.
                self.router.handle(Event::ModuleGone(peer), now);
            }
        }
    }

    pub(crate) fn undelivered(&mut self, module: Identity, frames: &Frames, now: Moment) {
        let message = frames.first().and_then(|text| decode(text).ok());
        match message.and_then(|message| message.token) {
            Some(token) => self
                .router
                .handle(Event::Undelivered { module, token }, now),
            None => self.router.handle(Event::ModuleGone(module), now),
        }
    }

    /// Reads a request and hands it to the router.
    pub(crate) fn request(
        &mut self,
        from: Origin,
        dialect: Dialect,
        text: &[u8],
        caller: Option<Caller>,
        now: Moment,
    ) {
        match decode(text) {
            Ok(message) => {
                self.note_ping(&from, &message, caller.as_ref(), now);
                let fresh = Token::from_random(rand::random());
                let event = Event::Request {
                    from,
                    dialect,
                    message,
                    fresh,
                    caller,
                };
                self.router.handle(event, now);
            }
            // A module answers, or a poller; where it acknowledges something, nobody waits for it.
            Err(_)
                if text.starts_with(b"[ACK]")
                    && let Some(from) = answering(&from, caller.as_ref()) =>
            {
                if let Ok(answer) = decode_answer(text) {
                    self.router.handle(Event::Answered { from, answer }, now);
                }
            }
            Err(error) => {
                tracing::debug!(from = %from.to_text(), %error, "request not well formed");
                let event = Event::Malformed {
                    from,
                    text: text.to_vec(),
                    token: match error {
                        DecodeError::Json { token, .. } => token,
                        DecodeError::Form => None,
                    },
                    caller,
                };
                self.router.handle(event, now);
            }
        }
    }

    /// Whoever pings this node, and may, counts as a parent from now on.
    fn note_ping(
        &mut self,
        from: &Origin,
        message: &Message,
        caller: Option<&Caller>,
        now: Moment,
    ) {
        let here = match &message.target {
            Target::Here => true,
            Target::Node(id) => *id == self.node,
            Target::Many(_) | Target::Unreadable(_) => false,
        };
        let may = |caller: &Caller| {
            let rights = &caller.credential.rights;
            rights.allows(&Action::Ping, &Target::Here, self.node)
        };
        if message.action != Action::Ping || !here {
            return;
        }
        if let (Origin::Module(peer), None) = (from, caller) {
            if self.bus_parents.len() < MAX_BUS_PARENTS {
                self.bus_parents
                    .insert(peer.clone(), now.monotonic + PARENT);
            }
            return;
        }
        if caller.is_none_or(may)
            && let Origin::Client(peer) = from
            && let Some(edge) = &mut self.edge
        {
            edge.session.note_ping(peer, now);
        }
    }

    /// The end: everybody is told, everything that was decided is written and answered.
    async fn farewell(mut self) {
        let now = self.clock.now();
        self.router.handle(Event::Stopping, now);
        self.effects();
        let deadline = tokio::time::Instant::now() + FAREWELL;
        while !self.router.is_idle() {
            let next = tokio::time::timeout_at(deadline, self.select(Some(FAREWELL)));
            let Ok(input) = next.await else {
                tracing::warn!("the store did not answer in time");
                break;
            };
            if self.turn(input).is_err() {
                break;
            }
        }
        if let Some(edge) = self.edge {
            edge.socket.router.close(Duration::from_millis(500)).await;
        }
        self.bus.router.close(Duration::from_millis(500)).await;
        if let Err(error) = self.beside.store.close().await {
            tracing::warn!(%error, "the store could not be closed cleanly; nothing is lost");
        }
    }
}

/// Who answers what core asked: a module, or a poller under its own name.
fn answering(from: &Origin, caller: Option<&Caller>) -> Option<Identity> {
    match from {
        Origin::Module(module) => Some(module.clone()),
        Origin::Client(peer) => caller?.poller(from).map(|_| peer.clone()),
    }
}
