//! GETLOGs that wait for a token to end, or for its next row.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use gorgone_protocol::Token;
use gorgone_protocol::request::log::{GetLog, WaitFor};

use crate::event::{Effect, Origin, Query, WaiterId};
use crate::outbox::Outbox;

/// ```text
/// idle ──rows──▶ asking ──no rows──▶ idle
///                  │ └──rows──▶ gone
/// idle ──end, deadline──▶ gone (answered with what there is)
/// ```
#[derive(Debug)]
struct Waiter {
    to: Origin,
    token: Token,
    filter: GetLog,
    deadline: Duration,
    asking: bool,
    /// Rows came while the store was being asked.
    again: bool,
    /// The token ended, or time is up, while the store was being asked.
    last: bool,
    /// The token ended.
    ended: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Waiters {
    next: u64,
    all: BTreeMap<WaiterId, Waiter>,
    by_token: HashMap<String, Vec<WaiterId>>,
    /// By who asked, and the token of the GETLOG itself.
    by_request: HashMap<(Origin, Token), WaiterId>,
    by_deadline: BTreeSet<(Duration, WaiterId)>,
}

impl Waiters {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.by_deadline.first().map(|(deadline, _)| *deadline)
    }

    /// Starts to wait for `subject`.
    pub(crate) fn add(
        &mut self,
        subject: &str,
        query: (Origin, Token, GetLog),
        deadline: Duration,
        out: &mut Outbox,
    ) {
        let (to, token, filter) = query;
        let id = WaiterId(self.next);
        self.next += 1;
        let wants_rows = filter.wait_for == WaitFor::Row;
        let request = (to.clone(), token.clone());
        self.all.insert(
            id,
            Waiter {
                to,
                token,
                filter,
                deadline,
                asking: false,
                again: false,
                last: false,
                ended: false,
            },
        );
        self.by_token
            .entry(subject.to_owned())
            .or_default()
            .push(id);
        self.by_request.insert(request, id);
        self.by_deadline.insert((deadline, id));
        if wants_rows {
            self.ask(id, out);
        }
    }

    fn ask(&mut self, id: WaiterId, out: &mut Outbox) {
        let Some(waiter) = self.all.get_mut(&id) else {
            return;
        };
        if waiter.asking {
            waiter.again = true;
            return;
        }
        waiter.asking = true;
        waiter.again = false;
        out.push(Effect::Query(Query {
            life: None,
            to: waiter.to.clone(),
            token: waiter.token.clone(),
            filter: waiter.filter.clone(),
            live: Some(!waiter.ended),
            waiter: Some(id),
        }));
    }

    /// Answers with what there is, now or as soon as the question on its way comes back empty.
    fn release(&mut self, id: WaiterId, out: &mut Outbox) {
        match self.all.get_mut(&id) {
            Some(waiter) if waiter.asking => {
                waiter.last = true;
                self.by_deadline.remove(&(waiter.deadline, id));
            }
            Some(_) => {
                if let Some(waiter) = self.remove(id) {
                    out.push(Effect::Query(Query {
                        life: None,
                        to: waiter.to,
                        token: waiter.token,
                        filter: waiter.filter,
                        live: Some(!waiter.ended),
                        waiter: None,
                    }));
                }
            }
            None => {}
        }
    }

    fn remove(&mut self, id: WaiterId) -> Option<Waiter> {
        let waiter = self.all.remove(&id)?;
        self.by_deadline.remove(&(waiter.deadline, id));
        let request = (waiter.to.clone(), waiter.token.clone());
        if self.by_request.get(&request) == Some(&id) {
            self.by_request.remove(&request);
        }
        if let Some(subject) = &waiter.filter.token
            && let Some(ids) = self.by_token.get_mut(subject)
        {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_token.remove(subject);
            }
        }
        Some(waiter)
    }

    /// Whoever asked does not wait any more, and is not answered. False where nobody waits
    /// under this token.
    pub(crate) fn forget(&mut self, from: &Origin, token: &Token) -> bool {
        let request = (from.clone(), token.clone());
        let waiter = self.by_request.get(&request).copied();
        waiter.is_some_and(|id| self.remove(id).is_some())
    }

    pub(crate) fn row_arrived(&mut self, subject: &str, out: &mut Outbox) {
        let Some(ids) = self.by_token.get(subject) else {
            return;
        };
        for id in ids.clone() {
            if self
                .all
                .get(&id)
                .is_some_and(|waiter| waiter.filter.wait_for == WaitFor::Row)
            {
                self.ask(id, out);
            }
        }
    }

    pub(crate) fn token_ended(&mut self, subject: &str, out: &mut Outbox) {
        let Some(ids) = self.by_token.get(subject) else {
            return;
        };
        for id in ids.clone() {
            if let Some(waiter) = self.all.get_mut(&id) {
                waiter.ended = true;
            }
            self.release(id, out);
        }
    }

    pub(crate) fn query_done(&mut self, id: WaiterId, answered: bool, out: &mut Outbox) {
        if answered {
            self.remove(id);
            return;
        }
        let Some(waiter) = self.all.get_mut(&id) else {
            return;
        };
        waiter.asking = false;
        if waiter.last {
            self.release(id, out);
        } else if waiter.again {
            self.ask(id, out);
        }
    }

    pub(crate) fn expire(&mut self, now: Duration, out: &mut Outbox) {
        while let Some((deadline, id)) = self.by_deadline.first().copied()
            && deadline <= now
        {
            self.by_deadline.remove(&(deadline, id));
            self.release(id, out);
        }
    }

    /// Everybody is answered with what there is: the process is about to end.
    pub(crate) fn release_all(&mut self, out: &mut Outbox) {
        let ids: Vec<_> = self.all.keys().copied().collect();
        for id in ids {
            self.release(id, out);
        }
    }
}
