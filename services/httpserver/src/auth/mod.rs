//! Who a caller is.
//!
//! ```text
//! peer ─▶ brake ─▶ Authorization ─▶ verified lately? ──────────────────▶ user
//!                                     └─▶ fast secret ─▶ slow hashes ─▶ user | refused, and noted
//! ```
//! A name that does not exist costs the same as a wrong password: whoever fails pays for every
//! kind of slow hash that the configuration has. These run beside the threads that serve, a few
//! at a time, and what they found is remembered for a while.

mod buckets;
mod secrets;

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gorgone_runtime::config::HttpServerConfig;
use subtle::Choice;
use tokio::sync::Semaphore;

pub(crate) use buckets::Buckets;
pub use secrets::{BadHash, hash};
use secrets::{Fingerprint, Pepper, Proof, SlowHash};

/// Verified credentials that are remembered.
const REMEMBERED: usize = 1024;
/// Verifications that may wait for their turn.
const MAX_WAITING: usize = 256;

/// Why nobody is let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Denied {
    /// No credentials, or wrong ones.
    Wrong,
    /// The peer has failed too often; after that long it may try again.
    TooManyFailures(Duration),
    /// Too many verifications wait.
    Busy,
}

/// A credential that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("modules.httpserver.users: '{name}': {problem}")]
pub struct BadCredential {
    name: String,
    problem: BadHash,
}

struct User {
    name: Arc<str>,
    password: Option<Proof>,
    token: Option<Proof>,
}

/// Everybody who may come in.
pub struct Auth {
    users: Vec<User>,
    by_name: HashMap<Arc<str>, usize>,
    pepper: Pepper,
    /// One slow hash of each cost, which no secret has to fit.
    costs: Vec<SlowHash>,
    verified: Mutex<Verified>,
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
    slow: Arc<AtomicU64>,
    brake: Buckets<IpAddr>,
}

/// The credentials that were verified lately.
#[derive(Default)]
struct Verified {
    users: HashMap<Fingerprint, usize>,
    order: VecDeque<Fingerprint>,
}

/// What a caller presents.
enum Presented {
    Basic { name: String, password: Vec<u8> },
    Bearer(Vec<u8>),
}

impl Auth {
    /// Everybody whom the configuration names; none where nobody is asked.
    ///
    /// # Errors
    /// When a hash cannot be used.
    pub fn new(config: &HttpServerConfig) -> Result<Option<Self>, BadCredential> {
        let Some(named) = &config.users else {
            return Ok(None);
        };
        let pepper = Pepper::new();
        let mut users = Vec::new();
        for user in named {
            let bad = |problem| BadCredential {
                name: user.name.clone(),
                problem,
            };
            let password = user.password.as_ref();
            let password = password.map(|rule| Proof::of_password(rule, &pepper));
            let token = user.token.as_ref();
            let token = token.map(|rule| Proof::of_token(rule, &pepper));
            users.push(User {
                name: user.name.as_str().into(),
                password: password.transpose().map_err(bad)?,
                token: token.transpose().map_err(bad)?,
            });
        }
        let mut costs: HashMap<String, SlowHash> = HashMap::new();
        for proof in users.iter().filter_map(|user| user.password.as_ref()) {
            if let Proof::Slow(hash) = proof {
                costs.entry(hash.cost()).or_insert_with(|| hash.clone());
            }
        }
        let by_name = users.iter().enumerate();
        let by_name = by_name.map(|(index, user)| (Arc::clone(&user.name), index));
        let parallel = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Some(Self {
            by_name: by_name.collect(),
            users,
            pepper,
            costs: costs.into_values().collect(),
            verified: Mutex::default(),
            turns: Arc::new(Semaphore::new(parallel)),
            waiting: AtomicUsize::new(0),
            slow: Arc::default(),
            brake: Buckets::new(
                config.brake.window / config.brake.failures.max(1),
                config.brake.failures,
            ),
        }))
    }

    /// Who comes with this header from this peer. Failures of the peer count against it.
    ///
    /// # Errors
    /// When it is nobody who may come in, or cannot be found out now.
    pub async fn who(&self, peer: IpAddr, header: Option<&[u8]>) -> Result<Arc<str>, Denied> {
        let peer = network_of(peer);
        // A caller who presents nothing is no guesser: browsers do so to be asked.
        let header = header.ok_or(Denied::Wrong)?;
        if let Err(after) = self.brake.peek(&peer, Instant::now()) {
            return Err(Denied::TooManyFailures(after));
        }
        let found = match presented(header) {
            Some(presented) => self.find(presented).await?,
            None => None,
        };
        match found {
            Some(user) => Ok(Arc::clone(&self.users[user].name)),
            None => {
                // An error is a peer that has just been stopped: it is refused all the same.
                let _ = self.brake.take(&peer, Instant::now());
                Err(Denied::Wrong)
            }
        }
    }

    /// How many slow hashes were computed.
    #[must_use]
    pub fn slow_verifications(&self) -> u64 {
        self.slow.load(Ordering::Relaxed)
    }

    async fn find(&self, presented: Presented) -> Result<Option<usize>, Denied> {
        let print = match &presented {
            Presented::Basic { name, password } => {
                self.pepper
                    .fingerprint(&[b"basic", name.as_bytes(), password])
            }
            Presented::Bearer(token) => self.pepper.fingerprint(&[b"bearer", token]),
        };
        if let Some(user) = self.remembered(&print) {
            return Ok(Some(user));
        }
        match presented {
            Presented::Basic { name, password } => self.by_password(&name, password, &print).await,
            Presented::Bearer(token) => self.by_token(token, &print).await,
        }
    }

    async fn by_password(
        &self,
        name: &str,
        password: Vec<u8>,
        print: &Fingerprint,
    ) -> Result<Option<usize>, Denied> {
        let user = self.by_name.get(name).copied();
        let proof = user.and_then(|user| self.users[user].password.as_ref());
        // Somebody who is not there, or has no password, is compared with what nothing equals.
        let nobody = Proof::Peppered(self.pepper.fingerprint(&[]));
        let fast = proof.unwrap_or(&nobody).is_fast(&password, &self.pepper);
        if bool::from(fast) {
            return Ok(user);
        }
        let own = match proof {
            Some(Proof::Slow(hash)) => Some(hash.clone()),
            _ => None,
        };
        if own.is_none() && self.costs.is_empty() {
            return Ok(None);
        }
        let paid = own.as_ref().map(SlowHash::cost);
        let others = self.costs.iter();
        let others = others.filter(|hash| Some(hash.cost()) != paid);
        let others: Vec<SlowHash> = others.cloned().collect();
        let slow = Arc::clone(&self.slow);
        self.slowly(print, move || {
            let verify = |hash: &SlowHash| {
                slow.fetch_add(1, Ordering::Relaxed);
                hash.verify(&password)
            };
            if own.as_ref().is_some_and(verify) {
                return user;
            }
            for hash in &others {
                verify(hash);
            }
            None
        })
        .await
    }

    async fn by_token(&self, token: Vec<u8>, print: &Fingerprint) -> Result<Option<usize>, Denied> {
        let mut found = None;
        for (index, user) in self.users.iter().enumerate() {
            let fits = user
                .token
                .as_ref()
                .map_or(Choice::from(0), |proof| proof.is_fast(&token, &self.pepper));
            // All are compared, whichever fits.
            if bool::from(fits) {
                found = Some(index);
            }
        }
        let slow = self.users.iter().enumerate();
        let slow: Vec<(usize, SlowHash)> = slow
            .filter_map(|(index, user)| match &user.token {
                Some(Proof::Slow(hash)) => Some((index, hash.clone())),
                _ => None,
            })
            .collect();
        if found.is_some() || slow.is_empty() {
            return Ok(found);
        }
        let count = Arc::clone(&self.slow);
        self.slowly(print, move || {
            let verify = |hash: &SlowHash| {
                count.fetch_add(1, Ordering::Relaxed);
                hash.verify(&token)
            };
            let fitting = slow.iter().find(|(_, hash)| verify(hash));
            fitting.map(|(index, _)| *index)
        })
        .await
    }

    /// Runs what takes long beside the threads that serve. Whoever waited while somebody else
    /// verified the same does not do it again.
    async fn slowly(
        &self,
        print: &Fingerprint,
        work: impl FnOnce() -> Option<usize> + Send + 'static,
    ) -> Result<Option<usize>, Denied> {
        let waiting = Waiting::enter(&self.waiting).ok_or(Denied::Busy)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        drop(waiting);
        let turn = turn.map_err(|_| Denied::Busy)?;
        if let Some(user) = self.remembered(print) {
            return Ok(Some(user));
        }
        let done = tokio::task::spawn_blocking(move || {
            let found = work();
            drop(turn);
            found
        });
        let found = done.await.map_err(|_| Denied::Busy)?;
        if let Some(user) = found {
            self.remember(*print, user);
        }
        Ok(found)
    }

    fn remembered(&self, print: &Fingerprint) -> Option<usize> {
        let verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        verified.users.get(print).copied()
    }

    fn remember(&self, print: Fingerprint, user: usize) {
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.users.insert(print, user).is_none() {
            verified.order.push_back(print);
        }
        if verified.order.len() > REMEMBERED
            && let Some(oldest) = verified.order.pop_front()
        {
            verified.users.remove(&oldest);
        }
    }
}

/// A place among those that wait.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Option<Self> {
        let before = count.fetch_add(1, Ordering::AcqRel);
        let place = Self(count);
        (before < MAX_WAITING).then_some(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What counts as one peer: an IPv4 address, or the network that one customer has with IPv6.
pub(crate) fn network_of(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into()
        }
        address => address,
    }
}

/// Reads `Basic dXNlcjpwYXNz` or `Bearer token`.
fn presented(header: &[u8]) -> Option<Presented> {
    let header = std::str::from_utf8(header).ok()?;
    let (scheme, rest) = header.trim().split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("basic") {
        let bytes = STANDARD.decode(rest).ok()?;
        let colon = bytes.iter().position(|byte| *byte == b':')?;
        return Some(Presented::Basic {
            name: String::from_utf8(bytes[..colon].to_vec()).ok()?,
            password: bytes[colon + 1..].to_vec(),
        });
    }
    (scheme.eq_ignore_ascii_case("bearer") && !rest.is_empty())
        .then(|| Presented::Bearer(rest.as_bytes().to_vec()))
}
