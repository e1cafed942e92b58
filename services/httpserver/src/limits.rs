//! What is counted while it lasts: callers that wait, bytes of bodies that are being read.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::auth::network_of;
use crate::caller::Caller;

/// Bytes of all bodies that are being read at one time.
const MAX_BODIES: usize = 256 << 20;

/// For whom something is counted: a credential, or a peer where there is none.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Account {
    User(Arc<str>),
    Peer(IpAddr),
}

impl Account {
    pub(crate) fn of(caller: &Caller) -> Self {
        match &caller.user {
            Some(user) => Self::User(Arc::clone(user)),
            None => Self::Peer(network_of(caller.peer)),
        }
    }
}

/// Callers that wait.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    by_account: Mutex<HashMap<Account, usize>>,
    total: AtomicUsize,
}

/// Why somebody may not wait as well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Full {
    /// Too many wait.
    Everybody,
    /// Too many wait with the same credential.
    Account,
}

impl Waiters {
    /// How many wait.
    pub(crate) fn count(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    /// A place for one more, among at most `max`, of which `own` are of the same account.
    pub(crate) fn enter(
        self: &Arc<Self>,
        account: Account,
        (max, own): (usize, usize),
    ) -> Result<Place, Full> {
        let mut by_account = self
            .by_account
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if self.count() >= max {
            return Err(Full::Everybody);
        }
        let count = by_account.entry(account.clone()).or_default();
        if *count >= own {
            return Err(Full::Account);
        }
        *count += 1;
        self.total.fetch_add(1, Ordering::Relaxed);
        Ok(Place {
            waiters: Arc::clone(self),
            account,
        })
    }
}

/// A place among those that wait; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    waiters: Arc<Waiters>,
    account: Account,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_account = self
            .waiters
            .by_account
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_account.get_mut(&self.account) {
            *count -= 1;
            if *count == 0 {
                by_account.remove(&self.account);
            }
        }
        self.waiters.total.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Bytes of bodies that are being read, all together.
#[derive(Debug, Default)]
pub(crate) struct Bodies(AtomicUsize);

impl Bodies {
    /// A share for a body that begins.
    pub(crate) const fn share(&self) -> Share<'_> {
        Share {
            bodies: self,
            bytes: 0,
        }
    }
}

/// What one body has of [`Bodies`].
#[derive(Debug)]
pub(crate) struct Share<'a> {
    bodies: &'a Bodies,
    bytes: usize,
}

impl Share<'_> {
    /// Takes room for more. False where there is none.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        let before = self.bodies.0.fetch_add(bytes, Ordering::Relaxed);
        before + bytes <= MAX_BODIES
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.bodies.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_per_account_and_given_back() {
        let waiters = Arc::new(Waiters::default());
        let account = |name: &str| Account::User(name.into());
        let limits = (3, 2);
        let first = waiters.enter(account("a"), limits).unwrap();
        let _second = waiters.enter(account("a"), limits).unwrap();
        let third = waiters.enter(account("a"), limits);
        assert_eq!(third.unwrap_err(), Full::Account);
        let _fourth = waiters.enter(account("b"), limits).unwrap();
        let fifth = waiters.enter(account("c"), limits);
        assert_eq!(fifth.unwrap_err(), Full::Everybody);
        drop(first);
        assert!(waiters.enter(account("a"), limits).is_ok());
        assert_eq!(waiters.count(), 2);
    }
}
