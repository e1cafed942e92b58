//! What core decides: who gets a request, what is written down first, and what its sender is
//! told.
//!
//! ```text
//!   Event ──▶ handle(event, now) ──▶ poll_effect() ──▶ Write · Answer · Deliver · Query
//!                  ▲                                        │
//!                  └──────────── Written, QueryDone ◀───────┘
//! ```
//! A request that starts something is answered when its record is durable, and handed to a
//! module when the hand-over is durable: whatever is killed, the store knows who may have
//! begun what. The router does not know what ZeroMQ, SQL or a clock is.

use std::collections::BTreeMap;
use std::time::Duration;

use gorgone_protocol::request::audit::Outcome;
use gorgone_protocol::request::cancel::Cancel;
use gorgone_protocol::request::logger;
use gorgone_protocol::request::nodes::{NodeDefinition, NodeKind};
use gorgone_protocol::request::ready::Ready;
use gorgone_protocol::{
    Action, Answer, AnswerName, Code, Data, Dialect, Headers, History, Message, Moment, Reason,
    STOPPING, Selection, Target, Token, not_known,
};
use serde_json::json;

use crate::counters::Counters;
use crate::entry::Line;
use crate::event::{Effect, Event, Origin, Restored, Settings};
use crate::fleet::{Nodes, Relays, other_node};
use crate::leases::Leases;
use crate::ledger::Ledger;
use crate::modules::{Modules, Welcome};
use crate::outbox::{Ack, After, Outbox};
use crate::spread::Spreads;
use crate::waiters::Waiters;
use crate::{Caller, Record, Redactor};

/// How long after a failed write what can wait is tried again.
pub(crate) const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How long CANCEL waits for the runner's word before it is answered without.
pub(crate) const CANCEL_PATIENCE: Duration = Duration::from_secs(10);
/// The wall clock is looked at again at least this often while something can expire by it.
const WALL_CLOCK_CHECK: Duration = Duration::from_secs(5);

/// Somebody who asked for a task's end and waits to be told.
#[derive(Debug)]
pub(crate) struct CancelWaiter {
    pub(crate) ack: Ack,
    pub(crate) deadline: Duration,
    /// Whether the runner was told.
    pub(crate) told: bool,
}

/// The state machine behind core.
#[derive(Debug)]
pub struct Router {
    pub(crate) settings: Settings,
    pub(crate) now: Moment,
    started: Moment,
    pub(crate) out: Outbox,
    pub(crate) ledger: Ledger,
    pub(crate) modules: Modules,
    pub(crate) nodes: Nodes,
    pub(crate) relays: Relays,
    pub(crate) waiters: Waiters,
    /// The lives of our own history.
    pub(crate) history: Option<History>,
    pub(crate) leases: Leases,
    pub(crate) spreads: Spreads,
    pub(crate) cancels: BTreeMap<Token, Vec<CancelWaiter>>,
    pub(crate) counters: Counters,
    /// After a failed write: when to try again what can wait.
    pub(crate) retry_at: Option<Duration>,
    pub(crate) stopping: bool,
}

impl Router {
    /// Starts with what the store knows.
    #[must_use]
    pub fn new(settings: Settings, restored: Restored, now: Moment) -> Self {
        let mut router = Self {
            settings,
            now,
            started: now,
            out: Outbox::default(),
            ledger: Ledger::default(),
            modules: Modules::default(),
            nodes: Nodes::default(),
            relays: Relays::default(),
            waiters: Waiters::default(),
            history: restored.history,
            leases: Leases::default(),
            spreads: Spreads::default(),
            cancels: BTreeMap::new(),
            counters: Counters::default(),
            retry_at: None,
            stopping: false,
        };
        router.out.audits.configure(router.settings.audit.clone());
        for definition in restored.nodes {
            if let Ok(definition) = serde_json::from_str::<NodeDefinition>(&definition) {
                router.nodes.put(definition);
            }
        }
        router.leases.restore(restored.leases, now.monotonic);
        for (id, mark) in restored.marks {
            router.nodes.set_mark(id, mark);
        }
        for task in restored.tasks {
            router.restore(task);
        }
        router.restore_parts(restored.ended_parts);
        router
    }

    /// Takes one event. Ask for effects afterwards; several events may come first, and what
    /// they want written is then one batch.
    pub fn handle(&mut self, event: Event, now: Moment) {
        self.now = now;
        self.out.audits.set_time(now);
        match event {
            Event::Request {
                from,
                dialect,
                message,
                fresh,
                caller,
            } => {
                self.request(from, dialect, message, fresh, caller.as_ref());
                self.out.lay_aside();
            }
            Event::Malformed {
                from,
                text,
                token,
                caller,
            } => {
                if let Some(caller) = &caller {
                    let what = (text.as_slice(), token.as_ref());
                    let own = self.settings.node;
                    self.out.audits.begin_unread(&from, caller, what, own);
                }
                self.refuse(from, token, "request not well formatted");
            }
            Event::FileOfNodes(definitions) => self.follow_file(definitions),
            Event::Answered { from, answer } => self.answered(&from, answer),
            Event::ModuleGone(module) => self.modules.away(&module, now.monotonic),
            Event::Undelivered { module, token } => self.undelivered(&module, &token),
            Event::Written { batch, result } => self.written(batch, result),
            Event::QueryDone { waiter, answered } => {
                self.waiters.query_done(waiter, answered, &mut self.out);
            }
            Event::Stopping => {
                self.stopping = true;
                self.waiters.release_all(&mut self.out);
                self.expire_lease_waits(true);
                self.out.sum_up(true);
            }
            Event::Timeout => self.timeout(),
        }
        self.settle_owners();
    }

    /// What is to be done next; none until the next event.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.out.poll()
    }

    /// How long from now [`Event::Timeout`] is due, if nothing else happens.
    pub fn poll_timeout(&mut self, now: Moment) -> Option<Duration> {
        let by_wall = self.ledger.next_expiry().map(|expires_ms| {
            let left = u64::try_from(expires_ms - now.unix_ms).unwrap_or(0);
            Duration::from_millis(left).min(WALL_CLOCK_CHECK)
        });
        let cancel = self
            .cancels
            .values()
            .flatten()
            .map(|waiter| waiter.deadline)
            .min();
        let grace = self.settings.module_grace;
        [
            self.waiters.next_deadline(),
            self.modules.next_deadline(grace),
            self.leases.next_deadline(self.retry_at.is_none()),
            self.out.audits.next_deadline(),
            self.retry_at,
            cancel,
            self.relays.next_deadline(),
            self.nodes.pauses.values().min().copied(),
        ]
        .into_iter()
        .flatten()
        .map(|deadline| deadline.saturating_sub(now.monotonic))
        .chain(by_wall)
        .min()
    }

    /// From now on secrets are taken out of the audit in this way, or there is no audit.
    pub fn set_audit(&mut self, audit: Option<Redactor>) {
        self.out.audits.configure(audit);
    }

    /// From now on nodes of this kind are connected by somebody who is there or to come, or they
    /// are not.
    pub fn expect(&mut self, kind: NodeKind, expected: bool) {
        self.settings
            .expected_carries
            .retain(|known| *known != kind);
        if expected {
            self.settings.expected_carries.push(kind);
        }
    }

    /// Whether nothing is on its way to the store or waits to be done.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.out.is_idle()
    }

    /// How many accepted requests have not ended.
    #[must_use]
    pub fn live_tasks(&self) -> usize {
        self.ledger.len()
    }

    fn timeout(&mut self) {
        let now = self.now;
        self.waiters.expire(now.monotonic, &mut self.out);
        let lost = self
            .modules
            .expire(now.monotonic, self.settings.module_grace);
        self.runners_died(lost);
        while let Some(token) = self.ledger.pop_expired(now.unix_ms) {
            self.expired(&token);
        }
        self.expire_cancels();
        self.grant_waiting();
        self.expire_lease_waits(false);
        self.expire_relays();
        for id in self.nodes.resume(now.monotonic) {
            self.schedule(&Line::Node(id));
        }
        self.out.sum_up(false);
        if self.retry_at.is_some_and(|at| at <= now.monotonic) {
            self.retry();
        }
    }

    fn request(
        &mut self,
        from: Origin,
        dialect: Dialect,
        message: Message,
        fresh: Token,
        caller: Option<&Caller>,
    ) {
        let token = message.token.clone().unwrap_or_else(|| fresh.clone());
        if message.action.is_for_pollers()
            && let Some(caller) = caller
        {
            match (caller.poller(&from), from.identity().poller()) {
                (Some(node), _) => {
                    return self.poller_says(node, from, message, (token, fresh));
                }
                (None, Some(node)) => return self.not_its_node(node, caller, from, token),
                (None, None) => {}
            }
        }
        let offered = self.offers(&message.action);
        let counted = self.counted(&message.action);
        self.counters.count(&from, &counted);
        // What may be asked at all is decided here, for every door, before anything else is.
        let forbidden = caller.and_then(|caller| self.forbidden(caller, &message));
        if let Some(caller) = caller
            && (forbidden.is_some() || !message.action.only_reads())
        {
            let own = self.settings.node;
            self.out.audits.begin(&from, caller, &message, &token, own);
        }
        if let Some(words) = forbidden {
            let answer = Answer::forbidden(Some(token), &words);
            return self.out.answer(from, answer);
        }
        let by_module = matches!(from, Origin::Module(_)) && caller.is_none();
        let goes_on = matches!(
            &message.action,
            Action::PutLog
                | Action::PutState
                | Action::Ready(_)
                | Action::Carried
                | Action::NodeState
                | Action::PutRows
        );
        if self.stopping && !(goes_on && by_module) {
            let data = json!({ "message": STOPPING, "error": "stopping" });
            let answer = Answer::refused_with(Some(token), data);
            return self.out.answer(from, answer);
        }
        if let Target::Unreadable(text) = &message.target {
            let words = match Selection::parse(text) {
                Err(error) => format!("target {error}"),
                Ok(_) => format!("target '{text}' cannot be read"),
            };
            return self.refuse(from, Some(token), &words);
        }
        if let Target::Many(selection) = &message.target {
            let selection = selection.clone();
            return self.request_for_many(&selection, from, message, token);
        }
        if let Some(target) = other_node(&message.target, self.settings.node) {
            return self.request_for_node(target, (from, dialect), message, (token, fresh));
        }
        match &message.action {
            Action::ConStatus => {
                let data =
                    json!({ "action": "constatus", "message": "ok", "data": self.node_status() });
                self.reply(from, token, &data, AnswerName::ConStatus);
            }
            Action::GetThumbprint => {
                let data = json!({ "action": "getthumbprint", "message": "ok",
                    "data": { "thumbprint": self.settings.thumbprint } });
                self.reply(from, token, &data, AnswerName::GetThumbprint);
            }
            Action::Information => {
                let data = self.information();
                self.reply(from, token, &data, AnswerName::Information);
            }
            Action::Ping => {
                let answer = Answer::ok(Some(token), self.pong(&message.data).encode());
                self.out.answer(from, answer.named(AnswerName::Pong));
            }
            Action::GetLog => self.get_log(from, token, &message.data, dialect),
            Action::GetAudit => self.get_audit(from, token, &message.data),
            Action::Targets => self.get_targets(from, token, &message.data),
            Action::PutLog => self.put_log(from, token, &message.data, (dialect, by_module)),
            Action::RegisterNodes => self.register_nodes(from, token, &message.data),
            Action::UnregisterNodes => self.unregister_nodes(from, token, &message.data),
            Action::Cancel => self.cancel(from, token, &message.data, fresh),
            Action::BcastLogger => self.logger(from, token, &message.data),
            action if action.is_for_modules() && !by_module => {
                self.not_known(from, &token, action);
            }
            Action::Lease => self.lease(from, token, &message.data),
            Action::PutState => self.put_state(from, token, &message.data),
            Action::GetState => self.get_state(from, token, &message.data),
            Action::Ready(_) if from.identity().poller().is_some() => {
                let words = "names that begin with 'gorgone-pull-' are those of pollers";
                self.refuse(from, message.token, words);
            }
            Action::Ready(name) => {
                let name = name.clone();
                self.module_ready(from, message.token, &fresh, &name, &message.data);
            }
            Action::Carried => self.carried(from, token, &message.data),
            Action::NodeState => {
                self.node_state(&from, message.token, &message.data);
            }
            Action::PutRows => self.put_rows(from, token, &message.data),
            _ if offered => {
                let line = Line::Module(message.action.clone());
                self.submit(from, token, message, line);
            }
            action => self.not_known(from, &token, action),
        }
    }

    pub(crate) fn not_known(&mut self, from: Origin, token: &Token, action: &Action) {
        let words = not_known(action);
        // Clients have always been told without their token. A module tells its questions apart
        // by it.
        let shown = matches!(from, Origin::Module(_)).then(|| token.clone());
        self.refuse_with_row(from, shown, token, &words);
    }

    pub(crate) fn offers(&self, action: &Action) -> bool {
        self.modules.offers(action) || self.settings.expected_actions.contains(action)
    }

    pub(crate) fn refuse(&mut self, to: Origin, token: Option<Token>, words: &str) {
        self.out.answer(to, Answer::refused(token, words));
    }

    fn reply(&mut self, to: Origin, token: Token, data: &serde_json::Value, name: AnswerName) {
        let answer = Answer::ok(Some(token), Data::from_value(data)).named(name);
        self.out.answer(to, answer);
    }

    /// Refuses a request that leaves a row, so that somebody who looks for its token finds
    /// out. The answer waits for the row.
    pub(crate) fn refuse_with_row(
        &mut self,
        to: Origin,
        shown: Option<Token>,
        token: &Token,
        words: &str,
    ) {
        let row = self.row(
            token.as_str(),
            Code::Ko,
            json!({ "message": words, "reason": Reason::Rejected.as_str() }).to_string(),
        );
        let after = After::Refused {
            token: row.token.clone(),
            to,
            answer: Box::new(Answer::refused(shown, words)),
        };
        self.out.audit(Outcome::Refused, words);
        self.out.write(Record::Put(row), after);
    }

    pub(crate) fn acknowledge(&mut self, (to, token): Ack, words: &str) {
        let data = Data::from_value(&json!({ "message": words }));
        self.out.answer(to, Answer::ok(Some(token), data));
    }

    fn cancel(&mut self, from: Origin, token: Token, data: &Data, fresh: Token) {
        let subject = match data.decode::<Cancel>() {
            Ok(cancel) => cancel.token,
            Err(error) => {
                let words = format!("CANCEL needs {{\"token\":…}}: {error}");
                return self.refuse(from, Some(token), &words);
            }
        };
        if self.waiters.forget(&from, &subject) {
            return self.acknowledge((from, token), "it does not wait any more");
        }
        self.cancel_task((from, token), subject, fresh);
    }

    /// How much is logged: here, and by every module that is there.
    fn logger(&mut self, from: Origin, token: Token, data: &Data) {
        let severity = match logger::decode(data) {
            Ok(severity) => severity,
            Err(error) => {
                let words = format!(
                    "BCASTLOGGER needs {{\"severity\":…}}, one of debug, info, warning, error and default: {error}"
                );
                return self.refuse(from, Some(token), &words);
            }
        };
        self.out.push(Effect::Log(severity));
        // Pollers are other machines.
        let present = self.modules.present().into_iter();
        for module in present.filter(|module| module.poller().is_none()) {
            self.out.push(Effect::Deliver {
                module,
                message: Message::new(Action::BcastLogger, None, logger::encode(severity)),
                headers: Headers::default(),
            });
        }
        self.acknowledge((from, token), "severity changed");
    }

    pub(crate) fn module_ready(
        &mut self,
        from: Origin,
        token: Option<Token>,
        fresh: &Token,
        name: &str,
        data: &Data,
    ) {
        let ready: Ready = match data.decode() {
            Ok(ready) => ready,
            Err(error) => {
                let words = format!("{name}READY needs {{\"actions\":[…]}}: {error}");
                return self.refuse(from, token, &words);
            }
        };
        let identity = from.identity();
        let limits = (self.now.monotonic, self.settings.max_modules);
        match self.modules.ready(identity, name, &ready, fresh, limits) {
            Welcome::Full => {
                let words = "too many modules";
                return self.out.answer(from, Answer::busy(token, words));
            }
            Welcome::Back(mut held) => {
                held.sort_by_key(|(subject, _)| self.ledger.place(subject));
                for (subject, missing) in held {
                    self.welcome_back(&subject, missing);
                }
            }
            Welcome::Reborn(lost) => {
                self.runners_died(lost);
                if let Some(life) = self.modules.life(identity).cloned() {
                    self.lease_holder_reborn(&life);
                }
            }
        }
        let data = Data::from_value(&json!({ "message": "ready" }));
        self.out.answer(from, Answer::ok(token, data));
        for action in ready.actions.iter().map(|name| Action::parse(name)) {
            self.schedule(&Line::Module(action));
        }
    }

    fn information(&self) -> serde_json::Value {
        let (waiting, running, away, spread) = self.ledger.counts();
        json!({ "action": "information", "message": "ok", "data": {
            "id": self.settings.node,
            "hostname": self.settings.hostname,
            "started": self.started.unix(),
            "counters": self.counters.describe(),
            "endpoints": self.settings.endpoints,
            "modules": self.modules.describe(),
            "tasks": { "waiting": waiting, "running": running, "away": away, "spread": spread,
                "bytes": self.ledger.bytes() },
            "waiters": self.waiters.len(),
            "leases": self.leases.describe(self.now.monotonic),
            "questions": self.relays.len(),
        }})
    }

    /// Whether so many more tasks, with so many bytes of data together, are too many.
    pub(crate) fn is_full(&self, tasks: usize, bytes: usize) -> bool {
        self.ledger.len() + tasks > self.settings.max_tasks
            || self.ledger.bytes() + bytes > self.settings.max_task_bytes
    }
}
