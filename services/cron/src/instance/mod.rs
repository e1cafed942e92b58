//! One of several instances: it waits for the lease, reads the state, fires while it holds the
//! lease, and waits again when it has lost it.
//!
//! ```text
//! away ──READY──▶ waiting ──granted──▶ reading ──all read──▶ leading ──stop──▶ leaving ──▶ gone
//!                  ▲   ▲                  │                    │
//!                  │   └──refused, pause──┘                    │
//!                  └──── time over, fenced, somebody else's ───┘
//! ```
//! While it leads it renews the lease three times in its time. When that time is over by its own
//! clock, counted from when it asked, it stops at once. Whatever it may still do wrong then is
//! bounded by the fence.

mod event;
mod outbox;

use std::time::Duration;

use gorgone_client::AskError;
use gorgone_client::module::Request;
use gorgone_protocol::request::lease::{Grant, Lease, LeaseName};
use gorgone_protocol::request::state::{Fence, GetState, StatePage};
use gorgone_protocol::{Action, Answer, Code, Moment, Status};
use gorgone_schedule::{Definition, Zones};
use serde_json::json;

use crate::leader::{Figures, Leader, Loaded, Rules};
use crate::stored::LOADED;

pub use event::{AskId, Effect, Event, Wake};
pub(crate) use outbox::Outbox;

/// How long one question for the lease waits in core.
const WAIT: Duration = Duration::from_secs(600);
/// How long core may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait after core could not answer as it should.
const PAUSE: Duration = Duration::from_secs(1);
/// Renewals in the lease's time.
const RENEWALS: u32 = 3;

/// What an instance goes by.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This node's id.
    pub node: u64,
    /// The lease that decides who fires.
    pub lease: LeaseName,
    /// How long it is held without a word.
    pub lease_time: Duration,
    /// The zones that jobs may name.
    pub zones: Zones,
    /// How long core remembers what it has accepted.
    pub memory: Duration,
}

/// See the module's doc.
#[derive(Debug)]
pub struct Instance {
    settings: Settings,
    /// The jobs of the configuration.
    files: Vec<Definition>,
    role: Role,
    out: Outbox,
    now: Moment,
    stopping: bool,
}

#[derive(Debug)]
enum Role {
    /// Core does not know it yet.
    Away,
    /// It has asked for the lease.
    Waiting {
        ask: AskId,
    },
    /// It asks for the lease again at this time.
    Pausing {
        until: Duration,
    },
    /// It has the lease, and reads.
    Reading {
        term: Term,
        read: Reading,
    },
    /// It fires.
    Leading {
        term: Term,
        leader: Box<Leader>,
    },
    /// It gives the lease back.
    Leaving {
        ask: AskId,
        until: Duration,
    },
    Gone,
}

/// The time for which the lease is held.
#[derive(Clone, Debug)]
struct Term {
    fence: u64,
    /// Monotonic, as all here.
    until: Duration,
    renew_at: Duration,
    /// The renewal that is on its way, and when it was asked for.
    renewal: Option<(AskId, Duration)>,
}

#[derive(Debug, Default)]
struct Reading {
    /// Which of the prefixes is being read.
    place: usize,
    after: Option<String>,
    ask: Option<AskId>,
    /// When to ask again.
    again: Option<Duration>,
    loaded: Loaded,
}

impl Instance {
    /// An instance that knows the jobs of the configuration.
    #[must_use]
    pub fn new(settings: Settings, files: Vec<Definition>, now: Moment) -> Self {
        Self {
            settings,
            files,
            role: Role::Away,
            out: Outbox::default(),
            now,
            stopping: false,
        }
    }

    /// How things stand, in the instance that fires.
    #[must_use]
    pub fn figures(&self) -> Option<Figures> {
        match &self.role {
            Role::Leading { leader, .. } => Some(leader.figures()),
            Role::Away
            | Role::Waiting { .. }
            | Role::Pausing { .. }
            | Role::Reading { .. }
            | Role::Leaving { .. }
            | Role::Gone => None,
        }
    }

    /// Takes one event. Ask for effects afterwards.
    pub fn handle(&mut self, event: Event, now: Moment) {
        self.now = now;
        self.mind_the_term();
        match event {
            Event::Ready => {
                if matches!(self.role, Role::Away) {
                    self.ask_for_lease();
                }
            }
            Event::Answered { ask, answer } => self.answered(ask, &answer),
            Event::Request(request) => self.request(request),
            Event::Configured(files) => {
                if let Role::Leading { leader, .. } = &mut self.role {
                    leader.configured(&files, now);
                }
                self.files = files;
            }
            Event::ClockSet => {
                if let Role::Leading { leader, .. } = &mut self.role {
                    tracing::warn!("the clock was set; looks at every job anew");
                    leader.clock_set(now);
                }
            }
            Event::Timeout => {}
            Event::Stop => self.stop(),
        }
        self.work();
    }

    /// What is to be done next; none until the next event.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.out.poll()
    }

    /// When [`Event::Timeout`] is due, if nothing else happens.
    #[must_use]
    pub fn poll_timeout(&self, now: Moment) -> Wake {
        let (wall_ms, monotonic) = match &self.role {
            Role::Away | Role::Waiting { .. } | Role::Gone => (None, None),
            Role::Pausing { until } | Role::Leaving { until, .. } => (None, Some(*until)),
            Role::Reading { term, read } => {
                let again = read.again.unwrap_or(Duration::MAX);
                (None, Some(term.next().min(again)))
            }
            Role::Leading { term, leader } => {
                let (wall, monotonic) = leader.wake();
                let monotonic = monotonic.map_or(term.next(), |at| at.min(term.next()));
                (wall, Some(monotonic))
            }
        };
        Wake {
            wall_ms,
            after: monotonic.map(|at| at.saturating_sub(now.monotonic)),
        }
    }

    /// Whether it fires.
    #[must_use]
    pub const fn leads(&self) -> bool {
        matches!(self.role, Role::Leading { .. })
    }

    /// Whether it was told to stop, and has.
    #[must_use]
    pub const fn is_gone(&self) -> bool {
        matches!(self.role, Role::Gone)
    }

    fn ask_for_lease(&mut self) {
        let lease = Lease {
            name: self.settings.lease.clone(),
            ttl: self.settings.lease_time,
            wait: WAIT,
            // What was on its way under an earlier fence must not arrive any more.
            anew: true,
        };
        let ask = self.out.ask(Action::Lease, lease.encode(), WAIT + PATIENCE);
        self.role = Role::Waiting { ask };
    }

    /// What has no term any more does not act any more.
    fn mind_the_term(&mut self) {
        let (Role::Reading { term, .. } | Role::Leading { term, .. }) = &self.role else {
            return;
        };
        if term.until <= self.now.monotonic {
            tracing::warn!("could not renew the lease in time; another instance may fire by now");
            self.lose(false);
        }
    }

    /// It does not fire any more, and asks for the lease again. `clean`: nothing of what was
    /// not answered has been written.
    fn lose(&mut self, clean: bool) {
        let role = std::mem::replace(&mut self.role, Role::Away);
        self.out.push(Effect::Forget);
        if let Role::Leading { leader, .. } = role {
            self.out.push(Effect::Offer(Vec::new()));
            let (reason, words) = if clean {
                (
                    "failed",
                    "another instance fires by now; nothing was changed, ask again",
                )
            } else {
                (
                    "unknown",
                    "another instance fires by now; whether this was done is not known",
                )
            };
            for token in leader.unanswered() {
                let data = json!({ "message": words, "reason": reason });
                self.out.report(token, Code::Ko, data);
            }
        }
        if self.stopping {
            self.role = Role::Gone;
        } else {
            self.ask_for_lease();
        }
    }

    fn answered(&mut self, ask: AskId, answer: &Result<Answer, AskError>) {
        match &mut self.role {
            Role::Waiting { ask: own } if *own == ask => self.lease_answered(answer),
            Role::Reading { term, .. } | Role::Leading { term, .. }
                if term.renewal.as_ref().is_some_and(|(own, _)| *own == ask) =>
            {
                self.renewal_answered(answer);
            }
            Role::Reading { read, .. } if read.ask == Some(ask) => {
                read.ask = None;
                if !read.take(answer) {
                    read.again = Some(self.now.monotonic + PAUSE);
                }
            }
            Role::Leading { leader, .. } => {
                leader.answered(ask, answer, self.now, &mut self.out);
                if leader.is_fenced() {
                    tracing::warn!("another instance fires by now");
                    self.lose(true);
                }
            }
            Role::Leaving { ask: own, .. } if *own == ask => self.role = Role::Gone,
            Role::Away
            | Role::Waiting { .. }
            | Role::Pausing { .. }
            | Role::Reading { .. }
            | Role::Leaving { .. }
            | Role::Gone => {}
        }
    }

    fn lease_answered(&mut self, answer: &Result<Answer, AskError>) {
        match granted(answer) {
            Some(Grant::Held { fence }) => {
                tracing::info!(fence, "fires from now on");
                // It may have waited long for this; the first renewal says how long it has.
                let now = self.now.monotonic;
                let term = Term {
                    fence,
                    until: now + self.settings.lease_time,
                    renew_at: now,
                    renewal: None,
                };
                let read = Reading::default();
                self.role = Role::Reading { term, read };
            }
            Some(Grant::Free { .. }) => self.ask_for_lease(),
            None => {
                let until = self.now.monotonic + PAUSE;
                self.role = Role::Pausing { until };
            }
        }
    }

    fn renewal_answered(&mut self, answer: &Result<Answer, AskError>) {
        let ttl = self.settings.lease_time;
        let (Role::Reading { term, .. } | Role::Leading { term, .. }) = &mut self.role else {
            return;
        };
        let Some((_, asked_at)) = term.renewal.take() else {
            return;
        };
        match granted(answer) {
            Some(Grant::Held { fence }) if fence == term.fence => term.until = asked_at + ttl,
            // Somebody has had it in between, or has it.
            Some(_) => {
                tracing::warn!("the lease was given to another instance");
                self.lose(false);
            }
            None => {}
        }
    }

    fn request(&mut self, request: Request) {
        match &mut self.role {
            Role::Leading { leader, .. } => leader.request(request, self.now, &mut self.out),
            Role::Away
            | Role::Waiting { .. }
            | Role::Pausing { .. }
            | Role::Reading { .. }
            | Role::Leaving { .. }
            | Role::Gone => {
                let words = "another instance fires by now; nothing was changed, ask again";
                let data = json!({ "message": words, "reason": "failed" });
                self.out.report(request.token, Code::Ko, data);
            }
        }
    }

    fn stop(&mut self) {
        self.stopping = true;
        match &mut self.role {
            Role::Leading { leader, .. } => {
                self.out.push(Effect::Offer(Vec::new()));
                leader.stop();
            }
            Role::Reading { .. } => self.leave(),
            // Also where a grant is on its way: core takes a lease back that it cannot give.
            Role::Waiting { .. } => self.leave(),
            Role::Away | Role::Pausing { .. } | Role::Gone => self.role = Role::Gone,
            Role::Leaving { .. } => {}
        }
    }

    /// Gives the lease back, so that another instance need not wait for its time to pass.
    fn leave(&mut self) {
        self.out.push(Effect::Forget);
        let lease = Lease {
            name: self.settings.lease.clone(),
            ttl: Duration::ZERO,
            wait: Duration::ZERO,
            anew: false,
        };
        let ask = self.out.ask(Action::Lease, lease.encode(), PATIENCE);
        let until = self.now.monotonic + PATIENCE;
        self.role = Role::Leaving { ask, until };
    }

    /// Does what is due by now.
    fn work(&mut self) {
        let now = self.now;
        match &mut self.role {
            Role::Pausing { until } if *until <= now.monotonic => self.ask_for_lease(),
            Role::Leaving { until, .. } if *until <= now.monotonic => self.role = Role::Gone,
            Role::Reading { term, read } => {
                term.renew(&self.settings, now.monotonic, &mut self.out);
                if let Some(loaded) = read.go_on(now.monotonic, &mut self.out) {
                    let term = term.clone();
                    self.lead(term, loaded);
                }
            }
            Role::Leading { term, leader } => {
                term.renew(&self.settings, now.monotonic, &mut self.out);
                leader.work(now, &mut self.out);
                if self.stopping && leader.is_settled() {
                    self.leave();
                }
            }
            Role::Away
            | Role::Waiting { .. }
            | Role::Pausing { .. }
            | Role::Leaving { .. }
            | Role::Gone => {}
        }
    }

    fn lead(&mut self, term: Term, loaded: Loaded) {
        let rules = Rules {
            node: self.settings.node,
            zones: self.settings.zones.clone(),
            memory: self.settings.memory,
        };
        let fence = Fence {
            name: self.settings.lease.clone(),
            number: term.fence,
        };
        let mut leader = Leader::load(rules, fence, loaded, &self.files, self.now);
        leader.work(self.now, &mut self.out);
        let leader = Box::new(leader);
        self.role = Role::Leading { term, leader };
        self.out.push(Effect::Offer(vec![
            Action::GetCron,
            Action::AddCron,
            Action::UpdateCron,
            Action::DeleteCron,
            Action::RunCron,
        ]));
    }
}

impl Term {
    fn next(&self) -> Duration {
        match self.renewal {
            Some(_) => self.until,
            None => self.until.min(self.renew_at),
        }
    }

    fn renew(&mut self, settings: &Settings, now: Duration, out: &mut Outbox) {
        if self.renewal.is_some() || now < self.renew_at {
            return;
        }
        let lease = Lease {
            name: settings.lease.clone(),
            ttl: settings.lease_time,
            wait: Duration::ZERO,
            anew: false,
        };
        let ask = out.ask(Action::Lease, lease.encode(), settings.lease_time);
        self.renewal = Some((ask, now));
        self.renew_at = now + settings.lease_time / RENEWALS;
    }
}

impl Reading {
    /// Takes a page. False where it is none.
    fn take(&mut self, answer: &Result<Answer, AskError>) -> bool {
        let Ok(answer) = answer else {
            return false;
        };
        let page = StatePage::decode(answer);
        let Some(page) = page.ok().filter(|_| answer.status == Status::Ok) else {
            return false;
        };
        for (key, value) in &page.entries {
            self.loaded.take(key, value);
        }
        self.after = page.entries.into_iter().next_back().map(|(key, _)| key);
        if !page.more {
            self.after = None;
            self.place += 1;
        }
        true
    }

    /// Asks for the next page, or gives what was read where there is none.
    fn go_on(&mut self, now: Duration, out: &mut Outbox) -> Option<Loaded> {
        if self.ask.is_some() || self.again.is_some_and(|at| at > now) {
            return None;
        }
        self.again = None;
        let Some(prefix) = LOADED.get(self.place) else {
            return Some(std::mem::take(&mut self.loaded));
        };
        let keys = GetState {
            prefix: (*prefix).to_owned(),
            after: self.after.clone(),
            limit: Some(10_000),
        };
        self.ask = Some(out.ask(Action::GetState, keys.encode(), PATIENCE));
        None
    }
}

fn granted(answer: &Result<Answer, AskError>) -> Option<Grant> {
    let answer = answer.as_ref().ok()?;
    let granted = Grant::decode(answer).ok();
    granted.filter(|_| answer.status == Status::Ok)
}
