//! The HTTP door: the API of gorgone-httpserver.
//!
//! What the server knows of itself is read where everybody reads it, rows of a token come as
//! server-sent events, and everything else goes through `/api/requests`, which takes tokens of
//! our own: a request whose answer is lost can be found again.

mod address;
mod client;
mod error;
mod events;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use gorgone_protocol::request::cancel::Cancel;
use gorgone_protocol::request::log::{self, GetLog, Page, Row};
use gorgone_protocol::{Action, Answer, Data, Dialect, Message, Status, Target, Token, not_known};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::{UnknownToken, is_passing, refused};
use crate::settings::Settings;
use client::{Ask, Client, Reply};
pub(super) use error::HttpError;
use events::Events;

/// The server waits for the runner's word before it answers a CANCEL.
const CANCEL: Duration = Duration::from_secs(15);
/// A stream that says nothing for so long, not even that it is alive, is dead.
const DEAD: Duration = Duration::from_secs(60);
/// How long to wait before a stream is opened again.
const PAUSE: Duration = Duration::from_secs(1);

/// A server, and as whom to speak to it.
#[derive(Clone)]
pub(crate) struct Http {
    client: Arc<Client>,
}

/// What `/api/requests` answers.
#[derive(Deserialize)]
struct AnyAnswer {
    #[serde(default)]
    token: Option<Token>,
    data: Box<RawValue>,
}

/// What the server answers where it refuses.
#[derive(Deserialize)]
struct Refusal {
    error: String,
    message: String,
    #[serde(default)]
    token: Option<Token>,
}

impl Http {
    pub(super) fn open(settings: &Settings) -> anyhow::Result<Self> {
        let client = Arc::new(Client::new(settings)?);
        Ok(Self { client })
    }

    pub(super) async fn ask(&self, message: Message) -> anyhow::Result<Answer> {
        let bare = message.data.as_str() == "{}";
        let node = match &message.target {
            Target::Here => String::new(),
            node => format!("nodes/{node}/"),
        };
        match (&message.action, told(&message.action)) {
            (_, Some(what)) if bare => {
                let path = format!("{node}internal/{what}");
                self.read(Method::GET, path, Duration::ZERO, &message.action)
                    .await
            }
            (Action::Cancel, _) if message.target == Target::Here => {
                let token = message.data.decode::<Cancel>()?.token;
                let path = format!("tasks/{}", encoded(token.as_str()));
                self.read(Method::DELETE, path, CANCEL, &message.action)
                    .await
            }
            _ => self.any(message).await,
        }
    }

    /// Asks an endpoint that answers with what is to be told.
    async fn read(
        &self,
        method: Method,
        path: String,
        extra: Duration,
        action: &Action,
    ) -> anyhow::Result<Answer> {
        let ask = Ask {
            method,
            path,
            body: String::new(),
            last_event: None,
        };
        let reply = self.client.ask(&ask, extra).await?;
        if !reply.status.is_success() {
            return Ok(self.refusal(&reply, action)?);
        }
        let data = self.text(&reply)?;
        Ok(Answer::ok(None, data))
    }

    /// Asks for anything.
    async fn any(&self, message: Message) -> anyhow::Result<Answer> {
        let mut body = json!({ "action": message.action.name() });
        match &message.target {
            Target::Here => {}
            target => body["target"] = target.to_string().into(),
        }
        if let Some(token) = &message.token {
            body["token"] = token.as_str().into();
        }
        // The data goes as the text that it is.
        let data = RawValue::from_string(message.data.as_str().to_owned())?;
        let mut text = body.to_string();
        text.pop();
        text.push_str(&format!(",\"data\":{data}}}"));
        let ask = Ask {
            method: Method::POST,
            path: "requests".to_owned(),
            body: text,
            last_event: None,
        };
        let extra = match message.action {
            Action::Cancel => CANCEL,
            Action::GetLog => GetLog::decode(&message.data, Dialect::Seed)
                .ok()
                .and_then(|filter| filter.wait)
                .unwrap_or_default(),
            _ => Duration::ZERO,
        };
        let reply = self.client.ask(&ask, extra).await?;
        if !reply.status.is_success() {
            return Ok(self.refusal(&reply, &message.action)?);
        }
        let answer: AnyAnswer =
            serde_json::from_slice(&reply.body).map_err(|_| self.client.senseless(&reply))?;
        let data = Data::parse(answer.data.get())?;
        Ok(Answer::ok(answer.token, data))
    }

    /// A refusal, as core would have said it.
    fn refusal(&self, reply: &Reply, action: &Action) -> Result<Answer, HttpError> {
        let refusal: Refusal =
            serde_json::from_slice(&reply.body).map_err(|_| self.client.senseless(reply))?;
        let message = match (reply.status, refusal.error.as_str()) {
            (StatusCode::NOT_FOUND, "method_unknown") => not_known(action),
            _ => refusal.message,
        };
        let data = json!({ "message": message, "error": refusal.error });
        Ok(Answer::refused_with(refusal.token, data))
    }

    fn text(&self, reply: &Reply) -> Result<Data, HttpError> {
        std::str::from_utf8(&reply.body)
            .ok()
            .and_then(|text| Data::parse(text).ok())
            .ok_or_else(|| self.client.senseless(reply))
    }

    pub(super) async fn log(&self, filter: &GetLog) -> anyhow::Result<Page> {
        let data = filter.encode(Dialect::Seed);
        let answer = self.any(Message::new(Action::GetLog, None, data)).await?;
        match answer.status {
            Status::Ok => Ok(log::decode_answer(&answer, Dialect::Seed)?),
            Status::Nok => Err(refused(&answer, &Action::GetLog)),
        }
    }

    pub(super) fn rows(&self, token: &Token) -> Rows {
        Rows {
            door: self.clone(),
            token: token.clone(),
            stream: None,
            events: Events::default(),
            ready: VecDeque::new(),
            last: None,
            ended: false,
            failing: None,
        }
    }

    /// Opens the stream of a token's rows after one of them.
    async fn stream(&self, token: &Token, after: Option<i64>) -> anyhow::Result<Incoming> {
        let ask = Ask {
            method: Method::GET,
            path: format!("log/{}/stream", encoded(token.as_str())),
            body: String::new(),
            last_event: after,
        };
        match self.client.open(&ask).await? {
            Ok(body) => Ok(body),
            Err(reply) => {
                let refusal = self.refusal(&reply, &Action::GetLog)?;
                Err(match reply.status {
                    StatusCode::NOT_FOUND => UnknownToken(token.to_string()).into(),
                    _ => refused(&refusal, &Action::GetLog),
                })
            }
        }
    }
}

/// The endpoint that tells what an action without DATA asks for.
const fn told(action: &Action) -> Option<&'static str> {
    match action {
        Action::ConStatus => Some("constatus"),
        Action::GetThumbprint => Some("thumbprint"),
        Action::Information => Some("information"),
        _ => None,
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Rows that come as server-sent events. A stream that breaks is opened again after the last
/// row that came.
pub(crate) struct Rows {
    door: Http,
    token: Token,
    stream: Option<Incoming>,
    events: Events,
    ready: VecDeque<Row>,
    last: Option<i64>,
    ended: bool,
    /// Since when the stream cannot be opened.
    failing: Option<Instant>,
}

impl Rows {
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Row>> {
        loop {
            if let Some(row) = self.ready.pop_front() {
                self.last = Some(row.id);
                self.ended = row.code.is_terminal();
                return Ok(Some(row));
            }
            if self.ended {
                return Ok(None);
            }
            let Some(stream) = &mut self.stream else {
                self.open().await?;
                continue;
            };
            let frame = tokio::time::timeout(DEAD, stream.frame()).await;
            let piece = match frame {
                Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
                // It is over, or broken: whichever, there is more where it came from.
                Ok(Some(Err(_)) | None) | Err(_) => {
                    self.stream = None;
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let Some(events) = self.events.take(&piece) else {
                anyhow::bail!("a row of the history is too long to be read");
            };
            for event in events {
                self.ready.extend(Row::decode(&event.data, Dialect::Seed));
            }
        }
    }

    async fn open(&mut self) -> anyhow::Result<()> {
        self.events = Events::default();
        let asked = Instant::now();
        match self.door.stream(&self.token, self.last).await {
            Ok(stream) => {
                self.stream = Some(stream);
                self.failing = None;
                Ok(())
            }
            // A server that restarts is away for a moment, and a token may be known soon.
            Err(error) if is_passing(&error) => {
                let since = *self.failing.get_or_insert(asked);
                if since.elapsed() > self.door.client.patience() {
                    return Err(error);
                }
                tokio::time::sleep(PAUSE).await;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
