//! Who of several instances of a module is the one that acts.
//!
//! ```text
//! free ──asked for──▶ granting ──written──▶ held ──ttl passed, given back, reborn──▶ free
//!   ▲                    │                   │ ▲
//!   └────not written─────┘                   └─┘ renewed
//! ```
//! A holder is one life of one instance. A new holder has a higher fence, which is written down
//! before anybody is told; a renewal is not written, so after a restart of core whoever is
//! recorded holds the lease for one `ttl`. Nobody's lease ends because its connection does: it
//! may be at work behind it. It ends before its time only when its instance is there again in
//! another life. What one who is wrong about itself may still do is bounded by the fence.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use gorgone_protocol::request::lease::{Grant, Lease, LeaseName};
use gorgone_protocol::request::state::Fence;
use gorgone_protocol::{Answer, Data, Token};
use serde_json::{Value, json};

use crate::event::Origin;
use crate::outbox::{Ack, After};
use crate::router::Router;
use crate::{Record, Runner, StoredLease, Written};

/// Everybody's leases.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    by_name: BTreeMap<LeaseName, Entry>,
}

#[derive(Debug)]
struct Entry {
    /// Of the last holder.
    fence: u64,
    standing: Standing,
    /// In the order in which they asked; each life once.
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
enum Standing {
    Free,
    Granting {
        holder: Runner,
        ttl: Duration,
        acks: Vec<Ack>,
        /// It was given back, or its holder was born anew, before the holder was told.
        unwanted: bool,
    },
    Held {
        holder: Runner,
        ttl: Duration,
        until: Duration,
    },
}

/// Who waits for somebody else's lease to end.
#[derive(Debug)]
struct Waiting {
    runner: Runner,
    ttl: Duration,
    ack: Ack,
    deadline: Duration,
}

impl Entry {
    fn new(fence: u64, standing: Standing) -> Self {
        Self {
            fence,
            standing,
            waiting: VecDeque::new(),
        }
    }

    /// What somebody is told who does not hold it.
    fn taken(&self, now: Duration) -> Grant {
        let (holder, left) = match &self.standing {
            Standing::Free => (None, Duration::ZERO),
            Standing::Granting { holder, ttl, .. } => (Some(holder), *ttl),
            Standing::Held { holder, until, .. } => (Some(holder), until.saturating_sub(now)),
        };
        Grant::Free {
            holder: holder.map(|holder| holder.instance.clone()),
            left: left
                .as_millis()
                .div_ceil(1000)
                .try_into()
                .unwrap_or(u64::MAX),
        }
    }
}

impl Leases {
    /// What was written down: whoever holds one has its whole time from now.
    pub(crate) fn restore(&mut self, leases: Vec<StoredLease>, now: Duration) {
        for lease in leases {
            let standing = match lease.holder {
                Some(holder) => Standing::Held {
                    holder,
                    ttl: lease.ttl,
                    until: now + lease.ttl,
                },
                None => Standing::Free,
            };
            let entry = Entry::new(lease.fence, standing);
            self.by_name.insert(lease.name, entry);
        }
    }

    /// When something is to be done for somebody who waits. Without `grants` nobody can be given
    /// anything at the moment.
    pub(crate) fn next_deadline(&self, grants: bool) -> Option<Duration> {
        self.by_name
            .values()
            .filter_map(|entry| {
                let patience = entry.waiting.iter().map(|waiting| waiting.deadline).min()?;
                Some(match &entry.standing {
                    Standing::Held { until, .. } if grants => patience.min(*until),
                    Standing::Free | Standing::Held { .. } | Standing::Granting { .. } => patience,
                })
            })
            .min()
    }

    /// For INFORMATION.
    pub(crate) fn describe(&self, now: Duration) -> Value {
        let all: BTreeMap<&str, Value> = self
            .by_name
            .iter()
            .map(|(name, entry)| {
                let mut about = json!({ "fence": entry.fence, "waiting": entry.waiting.len() });
                if let Standing::Held { holder, until, .. } = &entry.standing
                    && *until > now
                {
                    about["holder"] = holder.instance.clone().into();
                    about["left"] = until.saturating_sub(now).as_secs().into();
                }
                (name.as_str(), about)
            })
            .collect();
        json!(all)
    }
}

impl Router {
    /// LEASE of a module.
    pub(crate) fn lease(&mut self, from: Origin, token: Token, data: &Data) {
        let lease = match Lease::decode(data) {
            Ok(lease) => lease,
            Err(error) => {
                let words = format!("LEASE needs {{\"name\":…,\"ttl\":seconds}}: {error}");
                return self.refuse(from, Some(token), &words);
            }
        };
        let Origin::Module(identity) = &from else {
            return;
        };
        let Some(runner) = self.modules.life(identity).cloned() else {
            let data = json!({ "message": "a lease is for a module that has said READY", "error": "not_ready" });
            return self
                .out
                .answer(from, Answer::refused_with(Some(token), data));
        };
        if lease.ttl.is_zero() {
            return self.give_back(&lease.name, &runner, (from, token));
        }
        let known = self.leases.by_name.len();
        if known >= self.settings.max_leases && !self.leases.by_name.contains_key(&lease.name) {
            let words = "there are too many leases";
            return self.out.answer(from, Answer::busy(Some(token), words));
        }
        self.ask_for_lease(lease, runner, (from, token));
    }

    fn ask_for_lease(&mut self, lease: Lease, runner: Runner, ack: Ack) {
        let now = self.now.monotonic;
        let fresh = || Entry::new(0, Standing::Free);
        let entry = self.leases.by_name.entry(lease.name.clone());
        let entry = entry.or_insert_with(fresh);
        entry.waiting.retain(|waiting| waiting.runner != runner);
        if lease.anew
            && matches!(&entry.standing, Standing::Held { holder, .. } if *holder == runner)
        {
            // Whoever waits comes first.
            entry.standing = Standing::Free;
            entry.waiting.push_back(Waiting {
                runner,
                ttl: lease.ttl,
                ack,
                deadline: now + lease.wait,
            });
            return self.grant_next(&lease.name);
        }
        match &mut entry.standing {
            Standing::Held { holder, ttl, until } if *holder == runner => {
                *ttl = lease.ttl;
                *until = now + lease.ttl;
                let held = Grant::Held { fence: entry.fence };
                self.out.answer(ack.0, held.answer(ack.1));
            }
            Standing::Granting { holder, acks, .. } if *holder == runner => acks.push(ack),
            Standing::Held { until, .. } if *until <= now && entry.waiting.is_empty() => {
                self.grant(&lease.name, runner, lease.ttl, ack);
            }
            Standing::Free if entry.waiting.is_empty() => {
                self.grant(&lease.name, runner, lease.ttl, ack);
            }
            _ if lease.wait.is_zero() => {
                let taken = entry.taken(now);
                self.out.answer(ack.0, taken.answer(ack.1));
            }
            _ => entry.waiting.push_back(Waiting {
                runner,
                ttl: lease.ttl,
                ack,
                deadline: now + lease.wait,
            }),
        }
    }

    fn grant(&mut self, name: &LeaseName, holder: Runner, ttl: Duration, ack: Ack) {
        let Some(entry) = self.leases.by_name.get_mut(name) else {
            return;
        };
        let record = Record::Grant {
            name: name.clone(),
            fence: entry.fence + 1,
            holder: holder.clone(),
            ttl,
        };
        entry.standing = Standing::Granting {
            holder,
            ttl,
            acks: vec![ack],
            unwanted: false,
        };
        self.out.write(record, After::Granted(name.clone()));
    }

    /// The store knows the new holder: so does everybody else from now on.
    pub(crate) fn granted(&mut self, name: &LeaseName, written: &Written) {
        let Some(entry) = self.leases.by_name.get_mut(name) else {
            return;
        };
        let standing = std::mem::replace(&mut entry.standing, Standing::Free);
        let Standing::Granting {
            holder,
            ttl,
            acks,
            unwanted,
        } = standing
        else {
            entry.standing = standing;
            return;
        };
        if let Written::Fenced { current } = written {
            // Another core has written to this database.
            entry.fence = *current;
            for (to, token) in acks {
                self.unavailable(to, token, "the lease was given away elsewhere; try again");
            }
            return self.grant_next(name);
        }
        entry.fence += 1;
        let fence = entry.fence;
        let answer = if unwanted {
            self.write_back(name, fence);
            Grant::FREE
        } else {
            entry.standing = Standing::Held {
                holder,
                ttl,
                until: self.now.monotonic + ttl,
            };
            Grant::Held { fence }
        };
        for (to, token) in acks {
            self.out.answer(to, answer.clone().answer(token));
        }
        self.grant_next(name);
    }

    /// The store did not take the new holder: there is none.
    pub(crate) fn not_granted(&mut self, name: &LeaseName, words: &str) {
        let Some(entry) = self.leases.by_name.get_mut(name) else {
            return;
        };
        let standing = std::mem::replace(&mut entry.standing, Standing::Free);
        if let Standing::Granting { acks, .. } = standing {
            for (to, token) in acks {
                self.unavailable(to, token, words);
            }
        }
    }

    fn give_back(&mut self, name: &LeaseName, runner: &Runner, (to, token): Ack) {
        let mut written = None;
        if let Some(entry) = self.leases.by_name.get_mut(name) {
            entry.waiting.retain(|waiting| waiting.runner != *runner);
            match &mut entry.standing {
                Standing::Held { holder, .. } if holder == runner => {
                    entry.standing = Standing::Free;
                    written = Some(entry.fence);
                }
                Standing::Granting {
                    holder, unwanted, ..
                } if holder == runner => *unwanted = true,
                Standing::Free | Standing::Held { .. } | Standing::Granting { .. } => {}
            }
        }
        self.out.answer(to, Grant::FREE.answer(token));
        if let Some(fence) = written {
            self.write_back(name, fence);
            self.grant_next(name);
        }
    }

    /// Without the record the lease would count as held after a restart of core, no more.
    fn write_back(&mut self, name: &LeaseName, fence: u64) {
        let fence = Fence {
            name: name.clone(),
            number: fence,
        };
        self.out.write(Record::GiveBack(fence), After::Nothing);
    }

    /// Gives a lease that is free, or whose time is over, to the first who waits and is there.
    fn grant_next(&mut self, name: &LeaseName) {
        // What could not be written a moment ago is not tried before its time.
        if self.stopping || self.retry_at.is_some() {
            return;
        }
        let now = self.now.monotonic;
        let Some(entry) = self.leases.by_name.get_mut(name) else {
            return;
        };
        match &entry.standing {
            Standing::Free => {}
            Standing::Held { until, .. } if *until <= now => {}
            Standing::Held { .. } | Standing::Granting { .. } => return,
        }
        while let Some(next) = entry.waiting.pop_front() {
            // One that is not there asks again when it is.
            if self.modules.address(&next.runner).is_some() {
                return self.grant(name, next.runner, next.ttl, next.ack);
            }
        }
    }

    /// After a time or a failure: whoever waits gets what has become free.
    pub(crate) fn grant_waiting(&mut self) {
        let waiting = self.leases.by_name.iter();
        let waiting = waiting.filter(|(_, entry)| !entry.waiting.is_empty());
        let names: Vec<LeaseName> = waiting.map(|(name, _)| name.clone()).collect();
        for name in names {
            self.grant_next(&name);
        }
    }

    /// Whoever has waited long enough is told that it did not get it.
    pub(crate) fn expire_lease_waits(&mut self, all: bool) {
        let now = self.now.monotonic;
        for entry in self.leases.by_name.values_mut() {
            let taken = entry.taken(now);
            let waiting = std::mem::take(&mut entry.waiting);
            let (over, rest) = waiting
                .into_iter()
                .partition::<VecDeque<_>, _>(|waiting| all || waiting.deadline <= now);
            entry.waiting = rest;
            for Waiting { ack, .. } in over {
                self.out.answer(ack.0, taken.clone().answer(ack.1));
            }
        }
    }

    /// An instance is there in a new life: what an earlier one held is free, for that one is
    /// gone.
    pub(crate) fn lease_holder_reborn(&mut self, life: &Runner) {
        let earlier =
            |runner: &Runner| runner.instance == life.instance && runner.epoch != life.epoch;
        let mut freed = Vec::new();
        for (name, entry) in &mut self.leases.by_name {
            entry.waiting.retain(|waiting| !earlier(&waiting.runner));
            match &mut entry.standing {
                Standing::Held { holder, .. } if earlier(holder) => {
                    entry.standing = Standing::Free;
                    freed.push(name.clone());
                }
                Standing::Granting {
                    holder, unwanted, ..
                } if earlier(holder) => *unwanted = true,
                Standing::Free | Standing::Held { .. } | Standing::Granting { .. } => {}
            }
        }
        for name in freed {
            self.grant_next(&name);
        }
    }
}
