//! What a service says about itself, and whether its loop still turns.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::exposition::Exposition;
use super::process;
use crate::shutdown::Shutdown;

/// How long a loop may take to its next turn before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a service says about itself. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Health {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shutdown: Shutdown,
    started: AtomicBool,
    parts: Mutex<BTreeMap<&'static str, Option<Fault>>>,
    /// Counts how often the loop was asked for a sign of life.
    asked: watch::Sender<u64>,
    /// The last of these that it answered; absent before there is a loop.
    answered: watch::Sender<Option<u64>>,
    figures: Mutex<Option<Figures>>,
}

/// Writes a service's own figures.
struct Figures(Box<dyn Fn(&mut Exposition) + Send>);

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Figures")
    }
}

#[derive(Clone, Debug)]
struct Fault {
    why: String,
    /// From then on it is no longer news.
    until: Option<Instant>,
}

/// Whether something holds, and in words why not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Verdict {
    pub(super) fine: bool,
    pub(super) reason: String,
    /// What each part says, `ok` where nothing is wrong.
    pub(super) parts: BTreeMap<&'static str, String>,
}

impl Health {
    pub(crate) fn new(shutdown: Shutdown) -> Self {
        Self {
            inner: Arc::new(Inner {
                shutdown,
                started: AtomicBool::new(false),
                parts: Mutex::default(),
                asked: watch::Sender::new(0),
                answered: watch::Sender::new(None),
                figures: Mutex::default(),
            }),
        }
    }

    /// Nothing is wrong with this part of the service: the store, the way to core.
    pub fn fine(&self, part: &'static str) {
        self.set(part, None);
    }

    /// The service cannot be used because of this part, until it is said to be fine.
    pub fn broken(&self, part: &'static str, why: impl Into<String>) {
        let why = why.into();
        self.set(part, Some(Fault { why, until: None }));
    }

    /// Like [`Health::broken`], for a fault that shows only when the part is used: it counts for
    /// so long, since a service that nobody uses for its fault's sake would never find out that
    /// it is over.
    pub fn broken_for(&self, part: &'static str, why: impl Into<String>, lasting: Duration) {
        let until = Some(Instant::now() + lasting);
        let why = why.into();
        self.set(part, Some(Fault { why, until }));
    }

    fn set(&self, part: &'static str, fault: Option<Fault>) {
        let mut parts = self
            .inner
            .parts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        parts.insert(part, fault);
    }

    pub(crate) fn started(&self) {
        self.inner.started.store(true, Ordering::Release);
    }

    /// For the service's loop, which answers from now on whether it turns.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        let mut asked = self.inner.asked.subscribe();
        let current = *asked.borrow_and_update();
        self.inner.answered.send_replace(Some(current));
        Pulse {
            asked,
            health: self.clone(),
        }
    }

    /// Whether the loop turns: asks it, and waits for its answer.
    pub(super) async fn turns(&self) -> Verdict {
        let (fine, reason) = self.turn().await;
        Verdict {
            fine,
            reason: reason.to_owned(),
            parts: BTreeMap::new(),
        }
    }

    async fn turn(&self) -> (bool, &'static str) {
        // Draining has a deadline of its own, after which the process is cut off.
        if self.inner.shutdown.reason().is_some() {
            return (true, "is stopping");
        }
        let mut answered = self.inner.answered.subscribe();
        if answered.borrow().is_none() {
            return (true, "is starting");
        }
        let mut number = 0;
        self.inner.asked.send_modify(|asked| {
            *asked += 1;
            number = *asked;
        });
        let answer = answered.wait_for(|answer| *answer >= Some(number));
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(_) => (true, "the loop turns"),
            Err(_) => (false, "the loop does not turn"),
        }
    }

    /// What `/metrics` tells beside what it tells of every service. It is asked after each
    /// [`Pulse::beat`] that somebody waited for.
    pub fn tell(&self, figures: impl Fn(&mut Exposition) + Send + 'static) {
        let mut told = self
            .inner
            .figures
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *told = Some(Figures(Box::new(figures)));
    }

    /// Like [`Health::tell`], for figures that only the loop can take: it leaves them before it
    /// says that it turns. Until then there are none.
    pub fn tell_last<T: Send + 'static>(
        &self,
        write: impl Fn(&mut Exposition, &T) + Send + 'static,
    ) -> Last<T> {
        let last = Last(Arc::new(Mutex::new(None)));
        let told = Arc::clone(&last.0);
        self.tell(move |text| {
            if let Some(figures) = &*told.lock().unwrap_or_else(PoisonError::into_inner) {
                write(text, figures);
            }
        });
        last
    }

    /// The text that Prometheus reads.
    pub(super) fn figures(&self, turns: bool) -> String {
        let mut text = Exposition::default();
        text.gauge("gorgone_build_info", "1, with the release as its label.")
            .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        text.gauge(
            "gorgone_ready",
            "1 while /readyz says that the service can be used.",
        )
        .count(u64::from(self.ready().fine));
        text.gauge(
            "gorgone_loop_turns",
            "1 while /healthz says that the loop turns.",
        )
        .count(u64::from(turns));
        process::write(&mut text);
        let told = self
            .inner
            .figures
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(Figures(write)) = &*told {
            write(&mut text);
        }
        text.finish()
    }

    /// Whether the service can be used.
    pub(super) fn ready(&self) -> Verdict {
        let now = Instant::now();
        let parts = self
            .inner
            .parts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let parts: BTreeMap<&'static str, String> = parts
            .iter()
            .map(|(part, fault)| {
                let fault = fault
                    .as_ref()
                    .filter(|fault| fault.until.is_none_or(|until| now < until));
                let words = fault.map_or_else(|| "ok".to_owned(), |fault| fault.why.clone());
                (*part, words)
            })
            .collect();
        let mut faults: Vec<String> = parts
            .iter()
            .filter(|(_, words)| *words != "ok")
            .map(|(part, words)| format!("{part}: {words}"))
            .collect();
        if self.inner.shutdown.reason().is_some() {
            faults.insert(0, "is about to stop".to_owned());
        } else if faults.is_empty() && !self.inner.started.load(Ordering::Acquire) {
            faults.push("is starting".to_owned());
        }
        Verdict {
            fine: faults.is_empty(),
            reason: match faults.is_empty() {
                true => "ready".to_owned(),
                false => faults.join("; "),
            },
            parts,
        }
    }
}

/// Where a loop leaves its figures.
#[derive(Debug)]
pub struct Last<T>(Arc<Mutex<Option<T>>>);

impl<T> Last<T> {
    /// The figures of this moment.
    pub fn leave(&self, figures: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(figures);
    }
}

/// By which a loop shows that it turns: it waits for [`Pulse::asked`] beside everything else.
#[derive(Clone, Debug)]
pub struct Pulse {
    asked: watch::Receiver<u64>,
    health: Health,
}

impl Pulse {
    /// Somebody wants to know; [`Pulse::beat`] answers. Cancel-safe.
    pub async fn asked(&mut self) {
        // The other end lives as long as the handle to it that is held here.
        let _ = self.asked.changed().await;
    }

    /// Says that the loop turns.
    pub fn beat(&mut self) {
        let current = *self.asked.borrow_and_update();
        self.health.inner.answered.send_replace(Some(current));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shutdown::Reason;

    fn health() -> (Health, Shutdown) {
        let shutdown = Shutdown::default();
        (Health::new(shutdown.clone()), shutdown)
    }

    #[test]
    fn ready_is_what_has_started_and_has_no_broken_part() {
        let (health, shutdown) = health();
        assert_eq!(health.ready().reason, "is starting");
        health.broken("core", "does not answer");
        health.started();
        let verdict = health.ready();
        assert!(!verdict.fine);
        assert_eq!(verdict.reason, "core: does not answer");
        health.fine("core");
        assert!(health.ready().fine);
        assert_eq!(health.ready().parts["core"], "ok");
        shutdown.begin(Reason::Asked, Duration::from_secs(1));
        assert_eq!(health.ready().reason, "is about to stop");
    }

    #[test]
    fn fault_that_shows_only_in_use_ends_by_itself() {
        let (health, _) = health();
        health.started();
        health.broken_for("store", "the disk is full", Duration::from_secs(3600));
        assert!(!health.ready().fine);
        health.broken_for("store", "the disk is full", Duration::ZERO);
        assert!(health.ready().fine);
    }

    #[tokio::test(start_paused = true)]
    async fn loop_that_does_not_turn_is_found_out() {
        let (health, _) = health();
        assert_eq!(health.turns().await.reason, "is starting");
        let mut pulse = health.pulse();
        let loop_ = tokio::spawn(async move {
            pulse.asked().await;
            pulse.beat();
            pulse
        });
        assert!(health.turns().await.fine);
        let _still_held = loop_.await.unwrap();
        assert!(!health.turns().await.fine);
    }
}
