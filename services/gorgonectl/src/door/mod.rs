//! The way to the server: the few operations that verbs need, whichever door they go through.
//!
//! Verbs do not know which one it is; what a door cannot do is an error that says so.

mod zmq;

use anyhow::anyhow;
use gorgone_protocol::request::cancel::Cancel;
use gorgone_protocol::request::log::{GetLog, Page, Row};
use gorgone_protocol::{Action, Answer, Data, Message, Status, Target, Token};
use serde_json::Value;

use crate::settings::Settings;
use zmq::Zmq;

/// An open door.
#[derive(Clone)]
pub(crate) enum Door {
    /// A session with core's external endpoint.
    Zmq(Zmq),
}

/// The rows of one token, until it has ended.
pub(crate) enum Rows {
    Zmq(zmq::Rows),
}

impl Door {
    /// Opens the door that `--server` names.
    ///
    /// # Errors
    /// When a setting is missing or wrong, nobody answers, or the server refuses.
    pub(crate) async fn open(settings: &Settings) -> anyhow::Result<Self> {
        Ok(Self::Zmq(Zmq::open(settings).await?))
    }

    /// Asks for something and returns the answer, whatever its code.
    ///
    /// # Errors
    /// When there is no answer.
    pub(crate) async fn ask(&self, message: Message) -> anyhow::Result<Answer> {
        match self {
            Self::Zmq(door) => door.ask(message).await,
        }
    }

    /// The inner `data` of an answer that only tells something about this node.
    ///
    /// # Errors
    /// Also when the server refuses.
    pub(crate) async fn look(&self, action: Action) -> anyhow::Result<Value> {
        let answer = self.ask(Message::new(action, None, Data::empty())).await?;
        if answer.status == Status::Nok {
            return Err(refused(&answer));
        }
        let mut data: Value = answer.data.decode()?;
        Ok(data["data"].take())
    }

    /// Has a request accepted that ends in a terminal row, under a token of our own: whatever
    /// happens to the answer, the token finds the request.
    ///
    /// # Errors
    /// When it is not accepted, or nobody says whether it is.
    pub(crate) async fn submit(
        &self,
        action: Action,
        target: Target,
        data: Data,
    ) -> anyhow::Result<Token> {
        let token = Token::from_random(rand::random());
        let message = Message {
            action,
            token: Some(token.clone()),
            target,
            data,
        };
        let answer = self.ask(message).await.map_err(|error| {
            error.context(format!(
                "whether the request was accepted is not known, see 'gorgonectl log {token}'"
            ))
        })?;
        match (answer.status, answer.token.clone()) {
            (Status::Ok, Some(token)) => Ok(token),
            _ => Err(anyhow!("not accepted: {}", refusal(&answer))),
        }
    }

    /// Ends a request that was accepted; says what became of it.
    ///
    /// # Errors
    /// When there is no answer.
    pub(crate) async fn cancel(&self, token: Token) -> anyhow::Result<Answer> {
        let data = Data::from_value(&Cancel { token });
        self.ask(Message::new(Action::Cancel, None, data)).await
    }

    /// A page of the history.
    ///
    /// # Errors
    /// When there is no answer, or the server refuses.
    pub(crate) async fn log(&self, filter: &GetLog) -> anyhow::Result<Page> {
        match self {
            Self::Zmq(door) => door.log(filter).await,
        }
    }

    /// The rows of a token as they come.
    pub(crate) fn rows(&self, token: &Token) -> Rows {
        match self {
            Self::Zmq(door) => Rows::Zmq(door.rows(token)),
        }
    }
}

impl Rows {
    /// The next row; none after the terminal one.
    ///
    /// # Errors
    /// When there is no answer, or the server refuses.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Row>> {
        match self {
            Self::Zmq(rows) => rows.next().await,
        }
    }
}

/// A refusal that may be over in a moment: the server is busy, or about to restart.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Passing(String);

/// A code 1 as an error.
fn refused(answer: &Answer) -> anyhow::Error {
    let said: Value = answer.data.decode().unwrap_or_default();
    match said["error"].as_str() {
        Some("forbidden") => anyhow!(refusal(answer)),
        _ => Passing(refusal(answer)).into(),
    }
}

/// Why the server refuses, and what to do where that is known.
pub(crate) fn refusal(answer: &Answer) -> String {
    let said: Value = answer.data.decode().unwrap_or_default();
    let words = said["message"].as_str().unwrap_or(answer.data.as_str());
    match said["error"].as_str() {
        Some("forbidden") => format!("{words}; ask the server's administrator for the right"),
        _ => words.to_owned(),
    }
}
