//! The ZeroMQ door: a session with core's external endpoint.

use std::collections::VecDeque;
use std::time::Duration;

use gorgone_client::{Client, ClientOptions};
use gorgone_crypto::{PrivateKey, PublicKey};
use gorgone_protocol::request::log::{self, GetLog, Page, Row, WaitFor};
use gorgone_protocol::{Action, Answer, Dialect, Endpoint, Identity, Message, Status, Token};
use gorgone_session::ClientConfig;
use tokio::time::Instant;

use super::{UnknownToken, is_passing, refused};

use crate::settings::{Key, Settings};

/// How long one waiting GETLOG waits; then it is asked again.
const WAIT: Duration = Duration::from_secs(30);
/// How often the history is looked at where nothing can be waited for.
const POLL: Duration = Duration::from_secs(1);
/// Core waits for the runner's word before it answers a CANCEL.
const CANCEL: Duration = Duration::from_secs(15);

/// A session, and how long to wait for an answer.
#[derive(Clone)]
pub(crate) struct Zmq {
    client: Client,
    patience: Duration,
}

impl Zmq {
    pub(super) async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let endpoint = settings.server(|url| {
            Endpoint::parse(url).map_err(|words| format!("{words}, or http(s)://host:port"))
        })?;
        let patience = settings.patience()?;
        let hostname = nix::unistd::gethostname()
            .ok()
            .and_then(|name| name.into_string().ok())
            .unwrap_or_else(|| "localhost".to_owned())
            .replace(']', "_");
        let name = format!("gorgonectl-{hostname}-{:016x}", rand::random::<u64>());
        let session = ClientConfig {
            hostname: name.clone(),
            server_key: settings.file(Key::ServerPublic, PublicKey::from_pem)?,
            key: settings.file(Key::OwnPrivate, PrivateKey::from_pem)?,
            vector: settings.vector()?,
            keysize: settings.keysize()?,
        };
        let options = ClientOptions {
            endpoint,
            identity: Identity::new(name.as_bytes()),
            session,
        };
        let client = Client::connect(options, patience).await?;
        Ok(Self { client, patience })
    }

    pub(super) async fn ask(&self, message: Message) -> anyhow::Result<Answer> {
        let patience = match message.action {
            Action::Cancel => self.patience + CANCEL,
            _ => self.patience,
        };
        Ok(self.client.ask(message, patience).await?)
    }

    pub(super) async fn log(&self, filter: &GetLog) -> anyhow::Result<Page> {
        let data = filter.encode(Dialect::Seed);
        let message = Message::new(Action::GetLog, None, data);
        let patience = self.patience + filter.wait.unwrap_or_default();
        let answer = self.client.ask(message, patience).await?;
        match answer.status {
            Status::Ok => Ok(log::decode_answer(&answer, Dialect::Seed)?),
            Status::Nok => Err(refused(&answer, &Action::GetLog)),
        }
    }

    pub(super) fn rows(&self, token: &Token) -> Rows {
        Rows {
            door: self.clone(),
            filter: GetLog {
                token: Some(token.as_str().to_owned()),
                wait: Some(WAIT),
                wait_for: WaitFor::Row,
                ..GetLog::default()
            },
            page: VecDeque::new(),
            ended: false,
            refused: None,
        }
    }
}

/// Rows that are waited for with GETLOG.
pub(crate) struct Rows {
    door: Zmq,
    filter: GetLog,
    page: VecDeque<Row>,
    ended: bool,
    /// Since when the server refuses.
    refused: Option<Instant>,
}

impl Rows {
    async fn page(&self) -> anyhow::Result<Page> {
        let page = self.door.log(&self.filter).await?;
        let unknown = page.rows.is_empty() && page.live == Some(false) && self.filter.id.is_none();
        match (unknown, &self.filter.token) {
            (true, Some(token)) => Err(UnknownToken(token.clone()).into()),
            _ => Ok(page),
        }
    }

    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Row>> {
        loop {
            if self.ended {
                return Ok(None);
            }
            if let Some(row) = self.page.pop_front() {
                self.filter.id = Some(row.id);
                self.ended = row.code.is_terminal();
                return Ok(Some(row));
            }
            let asked = Instant::now();
            let page = match self.page().await {
                Ok(page) => page,
                // A server that restarts refuses for a moment, and a token may be known soon.
                Err(error) if is_passing(&error) => {
                    let since = *self.refused.get_or_insert(asked);
                    if since.elapsed() > self.door.patience {
                        return Err(error);
                    }
                    tokio::time::sleep(POLL).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            self.refused = None;
            self.page = page.rows.into();
            // A token that does not run: there is nothing to wait for.
            if self.page.is_empty() && !page.more && asked.elapsed() < POLL {
                tokio::time::sleep(POLL).await;
            }
        }
    }
}
