//! One server over HTTP/1.1: connections, TLS, credentials.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::address::Address;
use super::error::{self, HttpError};
use crate::settings::{Credentials, Key, Settings};

/// Longest body of an answer: more than the server's largest page.
const MAX_BODY: usize = 64 << 20;

/// A request that is about to be sent.
pub(super) struct Ask {
    pub(super) method: Method,
    /// Below `/api/`, percent-encoded.
    pub(super) path: String,
    /// JSON; nothing where it is empty.
    pub(super) body: String,
    /// The row after which an event stream goes on.
    pub(super) last_event: Option<i64>,
}

/// What came back.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// See the module's doc.
pub(super) struct Client {
    address: Address,
    tls: Option<TlsConnector>,
    authorization: Option<HeaderValue>,
    credentials: Kind,
    patience: Duration,
    /// A connection that waits for the next request.
    idle: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

/// As whom we speak, for the words of a refusal.
enum Kind {
    Nobody,
    User,
    Bearer,
}

impl Client {
    pub(super) fn new(settings: &Settings) -> anyhow::Result<Self> {
        let address = settings.server(Address::parse)?;
        let tls = address.tls.then(|| tls(settings)).transpose()?;
        let (credentials, text) = match settings.credentials()? {
            Credentials::Nobody => (Kind::Nobody, None),
            Credentials::Basic { user, password } => {
                let pair = STANDARD.encode(format!("{user}:{}", password.expose()));
                (Kind::User, Some(format!("Basic {pair}")))
            }
            Credentials::Bearer(token) => {
                (Kind::Bearer, Some(format!("Bearer {}", token.expose())))
            }
        };
        let authorization = text
            .map(|text| {
                let mut value = HeaderValue::try_from(text)
                    .context("the bearer token holds what no header may hold")?;
                value.set_sensitive(true);
                anyhow::Ok(value)
            })
            .transpose()?;
        Ok(Self {
            address,
            tls,
            authorization,
            credentials,
            patience: settings.patience()?,
            idle: Mutex::default(),
        })
    }

    /// How long to wait for any one answer.
    pub(super) const fn patience(&self) -> Duration {
        self.patience
    }

    fn server(&self) -> String {
        self.address.to_string()
    }

    /// Asks and reads the whole answer. `extra`: how long the server may wait before it answers.
    ///
    /// # Errors
    /// When there is no answer, or the server does not let us in.
    pub(super) async fn ask(&self, ask: &Ask, extra: Duration) -> Result<Reply, HttpError> {
        let whole = async {
            let (sender, response) = self.send(ask).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
            let body = body.map_err(|error| HttpError::Broken {
                server: self.server(),
                why: error.to_string(),
            })?;
            self.keep(sender);
            Ok(Reply {
                status,
                body: body.to_bytes(),
            })
        };
        let patience = self.patience + extra;
        match tokio::time::timeout(patience, whole).await {
            Ok(reply) => self.admitted(reply?),
            Err(_) => Err(HttpError::Silent {
                server: self.server(),
                seconds: patience.as_secs(),
            }),
        }
    }

    /// Asks for a stream, whose body the caller reads. A status that is no success comes with
    /// its whole body instead.
    ///
    /// # Errors
    /// See [`Client::ask`].
    pub(super) async fn open(&self, ask: &Ask) -> Result<Result<Incoming, Reply>, HttpError> {
        let sent = tokio::time::timeout(self.patience, self.send(ask)).await;
        let (_, response) = sent.map_err(|_| HttpError::Silent {
            server: self.server(),
            seconds: self.patience.as_secs(),
        })??;
        let status = response.status();
        if status.is_success() {
            return Ok(Ok(response.into_body()));
        }
        let body = Limited::new(response.into_body(), MAX_BODY).collect();
        let body = tokio::time::timeout(self.patience, body).await;
        let body = match body {
            Ok(Ok(body)) => body.to_bytes(),
            // Its status says enough.
            Ok(Err(_)) | Err(_) => Bytes::new(),
        };
        self.admitted(Reply { status, body }).map(Err)
    }

    /// An answer that makes no sense, in words.
    pub(super) fn senseless(&self, reply: &Reply) -> HttpError {
        HttpError::NotGorgone {
            server: self.server(),
            why: format!(
                "it answers with status {} and no JSON of ours",
                reply.status
            ),
        }
    }

    /// Whether the server let us in at all.
    fn admitted(&self, reply: Reply) -> Result<Reply, HttpError> {
        let server = || self.server();
        match reply.status {
            StatusCode::UNAUTHORIZED => Err(match self.credentials {
                Kind::Nobody => HttpError::Nobody { server: server() },
                Kind::User => HttpError::UnknownUser { server: server() },
                Kind::Bearer => HttpError::UnknownBearer { server: server() },
            }),
            StatusCode::FORBIDDEN if contains(&reply.body, b"\"http_error_403\"") => {
                Err(HttpError::Outside { server: server() })
            }
            _ => Ok(reply),
        }
    }

    async fn send(
        &self,
        ask: &Ask,
    ) -> Result<(SendRequest<Full<Bytes>>, Response<Incoming>), HttpError> {
        let kept = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(mut sender) = kept
            && sender.ready().await.is_ok()
        {
            match sender.try_send_request(self.request(ask)).await {
                Ok(response) => return Ok((sender, response)),
                // The server has ended a connection that idled: nothing was sent on it.
                Err(error) if error.message().is_some() => {}
                Err(error) => return Err(error::of_hyper(self.server(), error.error())),
            }
        }
        let mut sender = self.connect().await?;
        let response = sender.send_request(self.request(ask)).await;
        let response = response.map_err(|error| error::of_hyper(self.server(), &error))?;
        Ok((sender, response))
    }

    fn keep(&self, sender: SendRequest<Full<Bytes>>) {
        if !sender.is_closed() {
            *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        }
    }

    fn request(&self, ask: &Ask) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(Bytes::from(ask.body.clone())));
        *request.method_mut() = ask.method.clone();
        // Whoever made the path has encoded what a path may not hold.
        *request.uri_mut() = self.address.path(&ask.path).parse().unwrap_or_default();
        let headers = request.headers_mut();
        if let Ok(host) = HeaderValue::from_str(&self.address.authority) {
            headers.insert(header::HOST, host);
        }
        let agent = concat!("gorgonectl/", env!("CARGO_PKG_VERSION"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
        if let Some(authorization) = &self.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        if !ask.body.is_empty() {
            let json = HeaderValue::from_static("application/json");
            headers.insert(header::CONTENT_TYPE, json);
        }
        if let Some(last) = ask.last_event {
            headers.insert("last-event-id", last.into());
        }
        request
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, HttpError> {
        let server = || self.server();
        let connect = TcpStream::connect((self.address.host.as_str(), self.address.port));
        let stream = connect.await.map_err(|error| HttpError::Connect {
            server: server(),
            error,
        })?;
        // What is sent is small, and waited for.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else {
            return self.speak(stream).await;
        };
        let name = ServerName::try_from(self.address.host.clone());
        let name = name.map_err(|_| HttpError::Tls {
            server: server(),
            why: format!(
                "'{}' is no name that a certificate can have",
                self.address.host
            ),
        })?;
        let stream = tls.connect(name, stream).await;
        let stream = stream.map_err(|error| error::of_handshake(server(), &error))?;
        self.speak(stream).await
    }

    async fn speak<S>(&self, stream: S) -> Result<SendRequest<Full<Bytes>>, HttpError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error::of_hyper(self.server(), &error))?;
        // What goes wrong on it shows in the request that it is for.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }
}

fn contains(body: &[u8], word: &[u8]) -> bool {
    body.windows(word.len()).any(|part| part == word)
}

/// Trusts the certificates of --ca-file, or those of the system.
fn tls(settings: &Settings) -> anyhow::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    if settings.get(Key::CaFile).is_some() {
        settings.file(Key::CaFile, |text| {
            for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
                roots.add(certificate.map_err(NoCertificate::Pem)?)?;
            }
            match roots.is_empty() {
                true => Err(NoCertificate::Empty),
                false => Ok(()),
            }
        })?;
    } else {
        // One that cannot be read is one that is not trusted.
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
    }
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// A file that holds no certificate.
#[derive(Debug, thiserror::Error)]
enum NoCertificate {
    #[error("{0}")]
    Pem(tokio_rustls::rustls::pki_types::pem::Error),
    #[error("holds no certificate (PEM)")]
    Empty,
    #[error("holds a certificate that cannot be used: {0}")]
    Unusable(#[from] tokio_rustls::rustls::Error),
}
