//! The handshakes under way: a bounded queue, a bounded number at work, and a rate.
//!
//! ```text
//! enqueue ─▶ waiting ─(the bucket and a free place allow)─▶ running ─▶ take
//!    └─▶ Busy | UnderWay                                      └─(handshake_timeout)─▶ overdue
//! ```

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use gorgone_protocol::{Dialect, Identity, Thumbprint};

use crate::bucket::Bucket;
use crate::hello::{Hello, JobId};
use crate::{Refusal, ServerConfig};

/// A handshake whose thumbprint is authorised and whose RSA has not begun.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) peer: Identity,
    pub(crate) thumbprint: Arc<Thumbprint>,
    pub(crate) hello: Hello,
}

/// A handshake whose RSA is at work somewhere.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) job: JobId,
    pub(crate) peer: Identity,
    pub(crate) thumbprint: Arc<Thumbprint>,
    pub(crate) dialect: Dialect,
    deadline: Duration,
}

#[derive(Debug)]
pub(crate) struct Handshakes {
    queue: usize,
    at_once: usize,
    timeout: Duration,
    bucket: Bucket,
    /// Whoever waits or runs: one handshake per identity.
    peers: HashSet<Identity>,
    waiting: VecDeque<Waiting>,
    running: VecDeque<Running>,
    next_job: u64,
}

impl Handshakes {
    pub(crate) fn new(config: &ServerConfig) -> Self {
        Self {
            queue: config.handshake_queue,
            at_once: config.handshakes_running.max(1),
            timeout: config.handshake_timeout,
            bucket: Bucket::new(config.handshake_rate, config.handshake_burst),
            peers: HashSet::new(),
            waiting: VecDeque::new(),
            running: VecDeque::new(),
            next_job: 0,
        }
    }

    /// Takes new bounds; what is under way stays.
    pub(crate) fn reconfigure(&mut self, config: &ServerConfig) {
        let bounds = Self::new(config);
        self.queue = bounds.queue;
        self.at_once = bounds.at_once;
        self.timeout = bounds.timeout;
        self.bucket = bounds.bucket;
    }

    /// Whether another handshake of this peer would be taken: asked before any work is done
    /// for it.
    pub(crate) fn check(&self, peer: &Identity) -> Result<(), Refusal> {
        if self.peers.contains(peer) {
            return Err(Refusal::UnderWay);
        }
        if self.waiting.len() >= self.queue {
            return Err(Refusal::Busy);
        }
        Ok(())
    }

    pub(crate) fn enqueue(&mut self, waiting: Waiting) -> Result<(), Refusal> {
        self.check(&waiting.peer)?;
        self.peers.insert(waiting.peer.clone());
        self.waiting.push_back(waiting);
        Ok(())
    }

    /// The next handshake whose RSA may begin now.
    pub(crate) fn start(&mut self, now: Duration) -> Option<(JobId, Hello)> {
        if self.running.len() >= self.at_once || self.waiting.is_empty() || !self.bucket.take(now) {
            return None;
        }
        let next = self.waiting.pop_front()?;
        let job = JobId(self.next_job);
        self.next_job += 1;
        self.running.push_back(Running {
            job,
            peer: next.peer,
            thumbprint: next.thumbprint,
            dialect: next.hello.dialect,
            deadline: now.saturating_add(self.timeout),
        });
        Some((job, next.hello))
    }

    /// The handshake that this outcome belongs to, unless it was given up.
    pub(crate) fn take(&mut self, job: JobId) -> Option<Running> {
        let place = self.running.iter().position(|one| one.job == job)?;
        let running = self.running.remove(place)?;
        self.peers.remove(&running.peer);
        Some(running)
    }

    /// A handshake whose RSA never came back.
    pub(crate) fn overdue(&mut self, now: Duration) -> Option<Identity> {
        let job = self.running.front().filter(|one| one.deadline <= now)?.job;
        self.take(job).map(|running| running.peer)
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        let overdue = self.running.front().map(|one| one.deadline);
        let may_start = !self.waiting.is_empty() && self.running.len() < self.at_once;
        let start = may_start.then(|| self.bucket.ready_at());
        overdue.into_iter().chain(start).min()
    }
}
