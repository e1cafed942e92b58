//! Does what the state machines want done.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gorgone_protocol::{
    Answer, AnswerName, Data, Dialect, Headers, Identity, Message, Moment, encode, encode_answer,
};
use gorgone_routing::{Caller, Effect, Origin};
use serde_json::json;

use crate::core::Core;

/// Parents are told of new rows this long after the first of them: whoever comes for it finds
/// those, too, that follow at once, such as the last row of a short command.
const NOTICE: Duration = Duration::from_millis(5);

impl Core {
    /// Does everything that is wanted by now.
    pub(crate) fn effects(&mut self) {
        let now = self.clock.now();
        // Sessions first: what a session asked for is never on disk without it.
        if !self.session_records.is_empty() {
            let records = std::mem::take(&mut self.session_records);
            self.beside.write_sessions(records);
        }
        while let Some(effect) = self.router.poll_effect() {
            match effect {
                Effect::Write { batch, records } => self.beside.write(batch, records),
                Effect::Answer { to, answer } => self.answer(&to, &answer),
                Effect::Deliver {
                    module,
                    message,
                    headers,
                } if module.poller().is_some() => {
                    self.hand_out(&module, &message, &headers, now);
                }
                Effect::Deliver {
                    module,
                    message,
                    headers,
                } => {
                    let mut frames = vec![Bytes::from(encode(&message))];
                    frames.extend(headers.encode().map(Bytes::from));
                    if let Err(error) = self.bus.sender.send(&module, frames.clone()) {
                        tracing::warn!(%module, %error, "not delivered");
                        self.undelivered(module, &frames, now);
                    }
                }
                Effect::Query(query) => {
                    let dialect = self.dialect(&query.to);
                    self.beside.query(query, dialect);
                }
                Effect::ReadState(query) => self.beside.read_state(query),
                Effect::ReadTargets(query) => self.beside.read_targets(query),
                Effect::ReadAudit(query) => {
                    let dialect = self.dialect(&query.to);
                    self.beside.read_audit(query, dialect);
                }
                Effect::CancelLookup { to, token, subject } => {
                    self.beside.cancel_lookup(to, token, subject);
                }
                Effect::NewRows => {
                    self.new_rows.get_or_insert(now.monotonic);
                }
                Effect::FileOfNodesRefused(words) => {
                    tracing::error!("the file of nodes is not followed: {words}");
                }
                Effect::Log(severity) => self.log.follow(severity),
            }
        }
        self.notify_parents(now);
    }

    /// `from` is the address of the peer whose event these come of.
    pub(crate) fn session_effects(&mut self, from: Option<Arc<str>>, now: Moment) {
        while let Some(edge) = &mut self.edge
            && let Some(effect) = edge.session.poll_effect()
        {
            match effect {
                gorgone_session::Effect::OpenHello(job) => edge.handshakes.open(job),
                gorgone_session::Effect::Send { peer, frame } => {
                    self.send_out(&peer, frame);
                }
                gorgone_session::Effect::Message {
                    peer,
                    dialect,
                    thumbprint,
                    text,
                } => {
                    let credential = self.credentials.client(&thumbprint);
                    let caller = Caller {
                        credential,
                        from: from.clone(),
                    };
                    self.request(Origin::Client(peer), dialect, &text, Some(caller), now);
                }
                gorgone_session::Effect::Record(record) => self.session_records.push(record),
                gorgone_session::Effect::Refused { peer, why } => {
                    self.counted.refused(why.word());
                    tracing::info!(%peer, %why, "handshake refused");
                }
            }
        }
    }

    fn dialect(&self, origin: &Origin) -> Dialect {
        match origin {
            Origin::Client(peer) => {
                let edge = self.edge.as_ref();
                edge.and_then(|edge| edge.session.dialect(peer))
                    .unwrap_or_default()
            }
            Origin::Module(_) => Dialect::Seed,
        }
    }

    pub(crate) fn answer(&mut self, to: &Origin, answer: &Answer) {
        self.counted.answered(to, answer.status);
        let dialect = self.dialect(to);
        let text = encode_answer(answer, dialect);
        match to {
            Origin::Client(peer) => {
                let now = self.clock.now();
                let edge = self.edge.as_ref();
                if let Some(sealed) = edge.and_then(|edge| edge.session.seal(peer, &text, now)) {
                    self.send_out(peer, sealed);
                }
            }
            Origin::Module(module) => {
                if let Err(error) = self.bus.sender.send(module, vec![Bytes::from(text)]) {
                    tracing::warn!(%module, %error, "an answer was dropped");
                }
            }
        }
    }

    /// Hands a message to a poller that came in over the external side.
    pub(crate) fn hand_out(
        &mut self,
        poller: &Identity,
        message: &Message,
        headers: &Headers,
        now: Moment,
    ) {
        let text = encode(message);
        let edge = self.edge.as_ref();
        let sent = edge.is_some_and(|edge| {
            let sealed = edge
                .session
                .seal(poller, &headers.in_front_of(text.clone()), now);
            let sender = &edge.socket.sender;
            sealed.is_some_and(|frame| sender.send(poller, vec![Bytes::from(frame)]).is_ok())
        });
        if !sent {
            self.undelivered(poller.clone(), &vec![Bytes::from(text)], now);
        }
    }

    fn send_out(&self, peer: &gorgone_protocol::Identity, frame: Vec<u8>) {
        let Some(edge) = &self.edge else {
            return;
        };
        if let Err(error) = edge.socket.sender.send(peer, vec![Bytes::from(frame)]) {
            tracing::warn!(%peer, %error, "an answer was dropped");
        }
    }

    /// When parents are due to be told of new rows.
    pub(crate) fn notice_due(&self) -> Option<Duration> {
        self.new_rows.map(|first| first + NOTICE)
    }

    fn notify_parents(&mut self, now: Moment) {
        if self.notice_due().is_none_or(|due| due > now.monotonic) {
            return;
        }
        self.new_rows = None;
        self.bus_parents.retain(|_, until| *until > now.monotonic);
        let inside: Vec<_> = self.bus_parents.keys().cloned().collect();
        let edge = self.edge.as_mut();
        let parents = edge.map(|edge| edge.session.parents(now));
        let outside = parents.unwrap_or_default().into_iter();
        let outside = outside.map(Origin::Client);
        for parent in outside.chain(inside.into_iter().map(Origin::Module)) {
            let data = Data::from_value(&json!({ "id": self.node }));
            let notice = Answer::ok(None, data).named(AnswerName::SyncLogs);
            self.answer(&parent, &notice);
        }
    }
}
