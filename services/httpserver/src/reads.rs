//! Answers that many ask for at once: the state of the nodes, counters, the thumbprint.
//!
//! A caller gets an answer that core gave after the caller had asked, or at most [`FRESH`]
//! before. Of those who ask for the same as the same user, one asks core, and the others share
//! what it learns: a crowd of status pages costs core next to nothing. Whatever else is asked
//! through this door makes it forget, so that a caller always sees what it has just changed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use gorgone_protocol::{Action, Data, Target};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::api::ApiError;
use crate::caller::Caller;
use crate::core::{Ask, Core, body};

/// How old a shared answer may be.
const FRESH: Duration = Duration::from_millis(20);
/// Beyond so many different questions at one time each is asked by itself.
const MAX_QUESTIONS: usize = 1024;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Question {
    caller: Caller,
    action: Action,
    target: Target,
}

type Outcome = Result<Bytes, ApiError>;

/// An answer that is on its way, or has just come.
#[derive(Clone)]
struct Shared {
    asked: Instant,
    outcome: watch::Receiver<Option<Outcome>>,
}

/// See the module's doc.
#[derive(Default)]
pub(crate) struct Reads {
    shared: Mutex<HashMap<Question, Shared>>,
}

impl Reads {
    /// Something is about to change: answers that were asked for before do not count.
    pub(crate) fn forget(&self) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if !shared.is_empty() {
            shared.clear();
        }
    }

    /// The answer to a question without a body.
    ///
    /// # Errors
    /// When core refuses, or does not answer.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        core: &Core,
        caller: &Caller,
        (action, target): (Action, Target),
        patience: Duration,
    ) -> Outcome {
        let question = Question {
            caller: caller.clone(),
            action: action.clone(),
            target: target.clone(),
        };
        let mut outcome = match self.join(&question) {
            Joined::Shared(outcome) => outcome,
            Joined::First(sender) => {
                let receiver = sender.subscribe();
                let (core, caller) = (core.clone(), caller.clone());
                // A task of its own: the others wait for it, whether or not the first one does.
                tokio::spawn(async move {
                    let ask = Ask::new(action, target, Data::empty());
                    let answer = core.take(&caller, ask, patience).await;
                    sender.send_replace(Some(answer.map(|answer| body(&answer))));
                });
                receiver
            }
        };
        let known = outcome.wait_for(Option::is_some).await;
        match known.as_deref() {
            Ok(Some(outcome)) => outcome.clone(),
            Ok(None) | Err(_) => Err(ApiError::unavailable("this server is about to stop")),
        }
    }

    fn join(&self, question: &Question) -> Joined {
        let now = Instant::now();
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(one) = shared.get(question)
            && now < one.asked + FRESH
            && !matches!(&*one.outcome.borrow(), Some(Err(_)))
        {
            return Joined::Shared(one.outcome.clone());
        }
        shared.retain(|_, one| now < one.asked + FRESH);
        let (sender, outcome) = watch::channel(None);
        if shared.len() < MAX_QUESTIONS {
            let one = Shared {
                asked: now,
                outcome,
            };
            shared.insert(question.clone(), one);
        }
        Joined::First(sender)
    }
}

enum Joined {
    Shared(watch::Receiver<Option<Outcome>>),
    First(watch::Sender<Option<Outcome>>),
}
