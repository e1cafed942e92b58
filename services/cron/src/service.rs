//! The IO around an instance: its questions to core, its clocks, and its end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use gorgone_client::module::{Module, ModuleEvent, ModuleOptions, Reporter};
use gorgone_client::{AskError, Asker};
use gorgone_protocol::request::lease::LeaseName;
use gorgone_protocol::{Answer, Headers, Identity};
use gorgone_runtime::Context;
use gorgone_runtime::config::Config;
use tokio::task::{JoinError, JoinSet};

use crate::alarm::{Alarm, Ring};
use crate::instance::{AskId, Effect, Event, Instance, Settings};
use crate::leader::Figures;
use crate::{figures, stored};

/// The part of the service's health that is the way to core.
const CORE: &str = "core";
/// Requests to cron that core hands over at once.
const SLOTS: u32 = 16;
/// Answers that are taken before anything is done with them: what they bring is written
/// together.
const TURN: usize = 1_000;
/// Of the drain's time, what is kept for the last words.
const FOR_LAST_WORDS: Duration = Duration::from_secs(1);

/// Why the service cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no way to core.
    #[error("cannot connect to core: {0}")]
    Connect(#[from] gorgone_transport::Error),
    /// The system has no alarm for it.
    #[error("cannot watch the clock: {0}")]
    Clock(#[from] io::Error),
    /// The name of its lease is none.
    #[error("'{}' is no name of a lease", stored::LEASE)]
    Lease,
}

type Answered = (AskId, Result<Answer, AskError>);

/// Runs until the shutdown begins; then gives the lease back, so that another instance fires at
/// once.
///
/// # Errors
/// When there is no way to core at all, or no alarm. A core that is away is waited for.
pub async fn run(context: Context) -> Result<(), Error> {
    let config = context.config();
    let lease = stored::lease().ok_or(Error::Lease)?;
    let settings = settings(&config, lease);
    let jobs = config.modules.cron.jobs.clone();
    let module = Module::connect(ModuleOptions {
        endpoint: config.core.internal.clone(),
        identity: Identity::new(config.modules.cron.instance.as_bytes()),
        name: "CRON".to_owned(),
        actions: Vec::new(),
        slots: SLOTS,
    })?;
    // Until it has the lease.
    module.offer(Vec::new());
    Service {
        instance: Instance::new(settings, jobs, context.clock.now()),
        asker: module.asker(),
        reporter: module.reporter(),
        module,
        questions: JoinSet::new(),
        alarm: Alarm::new()?,
        context,
    }
    .run()
    .await
}

fn settings(config: &Config, lease: LeaseName) -> Settings {
    let cron = &config.modules.cron;
    Settings {
        node: config.core.id.get(),
        lease,
        lease_time: cron.lease_time,
        zones: cron.zones.clone(),
        memory: config.modules.dbcleaner.purge_history_time,
    }
}

struct Service {
    context: Context,
    instance: Instance,
    module: Module,
    asker: Asker,
    reporter: Reporter,
    questions: JoinSet<Answered>,
    alarm: Alarm,
}

enum Input {
    Module(Option<ModuleEvent>),
    Answer(Result<Answered, JoinError>),
    Ring(Ring),
    Config(Arc<Config>),
    Timeout,
    Stop,
}

impl Service {
    async fn run(mut self) -> Result<(), Error> {
        let mut reloads = self.context.reloads();
        let stop = self.context.shutdown.token();
        let shutdown = self.context.shutdown.clone();
        self.context.health.broken(CORE, "has not answered yet");
        let mut pulse = self.context.health.pulse();
        let health = self.context.health.clone();
        let figures = health.tell_last(|text, figures: &Option<Figures>| {
            figures::write(text, figures.as_ref());
        });
        let mut announced = false;
        let mut stopping = false;
        while !self.instance.is_gone() {
            self.effects();
            let wake = self.instance.poll_timeout(self.context.clock.now());
            self.alarm.set(wake.wall_ms)?;
            let patience = if stopping {
                Some(shutdown.left().saturating_sub(FOR_LAST_WORDS))
            } else {
                wake.after
            };
            let wait = wake.after.into_iter().chain(patience).min();
            let input = tokio::select! {
                () = stop.cancelled(), if !stopping => Input::Stop,
                event = self.module.next() => Input::Module(event),
                Some(answer) = self.questions.join_next() => Input::Answer(answer),
                ring = self.alarm.rings() => Input::Ring(ring?),
                Ok(()) = reloads.changed() => Input::Config(reloads.borrow_and_update().clone()),
                () = pulse.asked() => {
                    figures.leave(self.instance.figures());
                    pulse.beat();
                    continue;
                }
                () = sleep(wait) => Input::Timeout,
            };
            if stopping && shutdown.left() <= FOR_LAST_WORDS {
                tracing::warn!(
                    "core did not take everything in time; the next one goes on from there"
                );
                break;
            }
            match input {
                Input::Module(Some(ModuleEvent::Ready)) => {
                    self.context.health.fine(CORE);
                    if !announced {
                        announced = true;
                        self.context.ready();
                    }
                    self.happens(Event::Ready);
                }
                Input::Module(Some(ModuleEvent::Request(request))) => {
                    self.happens(Event::Request(request));
                }
                // What is asked of cron is done at once.
                Input::Module(Some(ModuleEvent::Cancel(_) | ModuleEvent::Refused(_))) => {}
                Input::Module(Some(ModuleEvent::Logger(severity))) => {
                    self.context.log.follow(severity);
                }
                Input::Module(Some(ModuleEvent::Lost)) => {
                    self.context.health.broken(CORE, "the connection is lost");
                    tracing::warn!("lost core");
                }
                Input::Module(None) => break,
                Input::Answer(answer) => self.answers(answer),
                Input::Ring(Ring::Time) | Input::Timeout => self.happens(Event::Timeout),
                Input::Ring(Ring::ClockSet) => self.happens(Event::ClockSet),
                Input::Config(config) => {
                    self.happens(Event::Configured(config.modules.cron.jobs.clone()));
                }
                Input::Stop => {
                    stopping = true;
                    self.happens(Event::Stop);
                }
            }
        }
        self.effects();
        self.questions.abort_all();
        self.module.drain().await;
        if !self.module.close(shutdown.left().max(FOR_LAST_WORDS)).await {
            tracing::warn!("core did not take every row");
        }
        Ok(())
    }

    fn happens(&mut self, event: Event) {
        let now = self.context.clock.now();
        self.instance.handle(event, now);
    }

    /// Takes an answer, and those that are there already.
    fn answers(&mut self, first: Result<Answered, JoinError>) {
        let mut next = Some(first);
        for _ in 0..TURN {
            match next {
                Some(Ok((ask, answer))) => self.happens(Event::Answered { ask, answer }),
                // Nobody waits for it any more.
                Some(Err(_)) => {}
                None => return,
            }
            next = self.questions.try_join_next();
        }
        if let Some(Ok((ask, answer))) = next {
            self.happens(Event::Answered { ask, answer });
        }
    }

    fn effects(&mut self) {
        while let Some(effect) = self.instance.poll_effect() {
            match effect {
                Effect::Ask {
                    ask,
                    message,
                    patience,
                } => {
                    let asker = self.asker.clone();
                    self.questions.spawn(async move {
                        let headers = Headers::default();
                        (ask, asker.ask(message, headers, patience).await)
                    });
                }
                Effect::Forget => self.questions.abort_all(),
                Effect::Offer(actions) => self.module.offer(actions),
                Effect::Report { token, code, data } => self.reporter.report(&token, code, data),
            }
        }
    }
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}
