//! The way to the server: the few operations that verbs need, whichever door they go through.
//!
//! Verbs do not know which one it is.

mod http;
mod zmq;

use anyhow::anyhow;
use gorgone_client::ClientError;
use gorgone_protocol::request::cancel::Cancel;
use gorgone_protocol::request::log::{GetLog, Page, Row};
use gorgone_protocol::{Action, Answer, Data, Message, Status, Target, Token, Why};
use serde::Deserialize;
use serde_json::Value;

use crate::settings::Settings;
use http::{Http, HttpError};
use zmq::Zmq;

/// An open door.
#[derive(Clone)]
pub(crate) enum Door {
    /// A session with core's external endpoint.
    Zmq(Zmq),
    /// The API of gorgone-httpserver.
    Http(Http),
}

/// The rows of one token, until it has ended.
pub(crate) enum Rows {
    Zmq(zmq::Rows),
    Http(http::Rows),
}

impl Door {
    /// Opens the door that `--server` names.
    ///
    /// # Errors
    /// When a setting is missing or wrong, nobody answers, or the server refuses.
    pub(crate) async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let http =
            settings.server(|url| Ok(url.starts_with("http://") || url.starts_with("https://")))?;
        Ok(match http {
            true => Self::Http(Http::open(settings)?),
            false => Self::Zmq(Zmq::open(settings).await?),
        })
    }

    /// Asks for something and returns the answer, whatever its code.
    ///
    /// # Errors
    /// When there is no answer.
    pub(crate) async fn ask(&self, message: Message) -> anyhow::Result<Answer> {
        match self {
            Self::Zmq(door) => door.ask(message).await,
            Self::Http(door) => door.ask(message).await,
        }
    }

    /// The inner `data` of an answer that only tells something about this node.
    ///
    /// # Errors
    /// Also when the server refuses.
    pub(crate) async fn look(&self, action: Action) -> anyhow::Result<Value> {
        let asked = action.clone();
        let answer = self.ask(Message::new(action, None, Data::empty())).await?;
        if answer.status == Status::Nok {
            return Err(refused(&answer, &asked));
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
        let answer = self
            .ask(message)
            .await
            .map_err(|error| match is_doubtful(&error) {
                true => error.context(format!(
                    "whether the request was accepted is not known, see 'gorgonectl log {token}'"
                )),
                false => error,
            })?;
        match (answer.status, answer.token.clone()) {
            (Status::Ok, Some(token)) => Ok(token),
            _ => Err(anyhow!("not accepted: {}", words(&answer))),
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
            Self::Http(door) => door.log(filter).await,
        }
    }

    /// The rows of a token as they come.
    pub(crate) fn rows(&self, token: &Token) -> Rows {
        match self {
            Self::Zmq(door) => Rows::Zmq(door.rows(token)),
            Self::Http(door) => Rows::Http(door.rows(token)),
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
            Self::Http(rows) => rows.next().await,
        }
    }
}

/// A refusal that may be over in a moment: the server is busy, or about to restart.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Passing(String);

/// Nothing is known of a token, or not yet.
#[derive(Debug, thiserror::Error)]
#[error("nothing is known of a request with token '{0}'; see 'gorgonectl log'")]
pub(crate) struct UnknownToken(String);

/// Whether the server may have got what was asked.
fn is_doubtful(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref::<ClientError>(),
        Some(ClientError::Silent { .. } | ClientError::Closed)
    ) || matches!(
        error.downcast_ref::<HttpError>(),
        Some(HttpError::Silent { .. } | HttpError::Broken { .. })
    )
}

/// Whether trying again in a moment may help.
pub(crate) fn is_passing(error: &anyhow::Error) -> bool {
    error.is::<Passing>()
        || error.is::<UnknownToken>()
        || matches!(
            error.downcast_ref::<HttpError>(),
            Some(HttpError::Connect { .. } | HttpError::Broken { .. })
        )
}

/// A code 1 as an error.
pub(crate) fn refused(answer: &Answer, action: &Action) -> anyhow::Error {
    match answer.refusal(action) {
        Some((words, Why::Busy | Why::Unavailable)) => Passing(words).into(),
        _ => anyhow!(words(answer)),
    }
}

/// What an answer says, and what to do about it where that is known.
pub(crate) fn words(answer: &Answer) -> String {
    #[derive(Deserialize)]
    struct Body {
        message: String,
        #[serde(default)]
        error: Option<String>,
    }
    match answer.data.decode::<Body>() {
        Ok(Body { message, error }) if error.as_deref() == Some("forbidden") => {
            format!("{message}; ask the server's administrator for the right")
        }
        Ok(body) => body.message,
        Err(_) => answer.data.as_str().to_owned(),
    }
}
