//! Core, as callers ask it.
//!
//! Every request has a token that was minted here before it was sent. So it can be said again:
//! the bus does so when its connection was lost, and this does so when core refuses because it
//! is about to be restarted. What was accepted is accepted once.

use std::time::Duration;

use bytes::Bytes;
use gorgone_client::{AskError, Asker};
use gorgone_protocol::request::log::{self, GetLog, Page, WaitFor};
use gorgone_protocol::{Action, Answer, Data, Dialect, Message, Target, Token, Why};
use tokio::time::Instant;

use crate::api::ApiError;
use crate::caller::Caller;

/// How long one GETLOG waits: after that it is asked again, and whatever was lost on the way is
/// made good.
const SLICE: Duration = Duration::from_secs(60);
/// How long to wait before asking again a core that is being restarted, or has no room for
/// another that waits.
const PAUSE: Duration = Duration::from_millis(250);

/// The way to core. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Core {
    asker: Asker,
}

/// A request on behalf of a caller.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) action: Action,
    pub(crate) token: Token,
    pub(crate) target: Target,
    pub(crate) data: Data,
}

impl Ask {
    /// A request with a fresh token.
    pub(crate) fn new(action: Action, target: Target, data: Data) -> Self {
        Self {
            action,
            token: Token::from_random(rand::random()),
            target,
            data,
        }
    }
}

impl Core {
    pub(crate) const fn new(asker: Asker) -> Self {
        Self { asker }
    }

    /// Asks, and returns core's answer whatever its code. A core that is restarted meanwhile is
    /// asked again.
    ///
    /// # Errors
    /// When there is no answer within `patience`.
    pub(crate) async fn ask(
        &self,
        caller: &Caller,
        ask: Ask,
        patience: Duration,
    ) -> Result<Answer, ApiError> {
        let end = Instant::now() + patience;
        let action = ask.action.clone();
        loop {
            let message = Message {
                action: ask.action.clone(),
                token: Some(ask.token.clone()),
                target: ask.target.clone(),
                data: ask.data.clone(),
            };
            let left = end.saturating_duration_since(Instant::now());
            let asked = self.asker.ask(message, caller.headers(), left).await;
            let answer = asked.map_err(|error| match error {
                AskError::Silent => ApiError::from(error).about(&ask.token),
                AskError::Busy | AskError::Closed => error.into(),
            })?;
            let stopping = matches!(answer.refusal(&action), Some((words, Why::Unavailable))
                if words == gorgone_protocol::STOPPING);
            if !stopping || Instant::now() + PAUSE >= end {
                return Ok(answer);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Asks for what is answered at once.
    ///
    /// # Errors
    /// When core refuses, or does not answer.
    pub(crate) async fn take(
        &self,
        caller: &Caller,
        ask: Ask,
        patience: Duration,
    ) -> Result<Answer, ApiError> {
        let action = ask.action.clone();
        let answer = self.ask(caller, ask, patience).await?;
        match ApiError::of_answer(&answer, &action) {
            Some(error) => Err(error),
            None => Ok(answer),
        }
    }

    /// Reads a page of the history. `patience` counts beyond what the filter waits.
    ///
    /// # Errors
    /// When core refuses, or does not answer.
    pub(crate) async fn log(
        &self,
        caller: &Caller,
        filter: &GetLog,
        target: Target,
        patience: Duration,
    ) -> Result<Page, ApiError> {
        let patience = patience + filter.wait.unwrap_or_default();
        let ask = Ask::new(Action::GetLog, target, filter.encode(Dialect::Seed));
        let answer = self.take(caller, ask, patience).await?;
        log::decode_answer(&answer, Dialect::Seed).map_err(|error| {
            ApiError::unavailable(format!("core's answer makes no sense: {error}"))
        })
    }

    /// Waits until the token has ended, at most until `deadline`, and returns the first page
    /// of what there is.
    ///
    /// # Errors
    /// When core refuses, or does not answer.
    pub(crate) async fn wait(
        &self,
        caller: &Caller,
        filter: &GetLog,
        deadline: Instant,
        patience: Duration,
    ) -> Result<Page, ApiError> {
        loop {
            let began = Instant::now();
            let left = deadline.saturating_duration_since(began);
            let slice = left.min(SLICE);
            let asked = GetLog {
                wait: Some(slice),
                wait_for: WaitFor::End,
                ..filter.clone()
            };
            let page = self.log(caller, &asked, Target::Here, patience).await?;
            if page.live != Some(true) || Instant::now() >= deadline {
                return Ok(page);
            }
            if began.elapsed() < slice / 2 {
                // Core does not let us wait: it is about to end, or too many wait already.
                let left = deadline.saturating_duration_since(Instant::now());
                tokio::time::sleep(left.min(PAUSE)).await;
            }
        }
    }
}

/// The JSON that an answer holds, to be sent on as it is.
pub(crate) fn body(answer: &Answer) -> Bytes {
    Bytes::copy_from_slice(answer.data.as_str().as_bytes())
}
