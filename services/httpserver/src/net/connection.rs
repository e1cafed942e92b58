//! One connection: HTTP/1.1 or HTTP/2 over whatever it is carried by.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::http::{Request, Response, Uri};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use crate::door::Peer;
use crate::net::stalls::{self, Busy, Stalls, Times};
use crate::net::unread;

/// A request's head may be that large.
const MAX_HEAD: usize = 64 * 1024;
/// Requests of one HTTP/2 connection at one time.
const MAX_STREAMS: u32 = 250;
/// How often an HTTP/2 peer is asked whether it is still there.
const PING: Duration = Duration::from_secs(20);
/// After the last answer what the peer still sends is thrown away for so long, and so much of it,
/// so that the answer reaches it.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 16 << 20;

/// How to serve a connection.
#[derive(Clone)]
pub(crate) struct Serve {
    pub(crate) router: Router,
    pub(crate) peer: SocketAddr,
    pub(crate) times: Times,
    /// Cancelled when running requests are to be the last ones.
    pub(crate) drain: CancellationToken,
}

impl Serve {
    /// Serves HTTP/1.1 until the connection ends.
    pub(crate) async fn http1<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let busy = Busy::default();
        let stream = TokioIo::new(Stalls::new(stream, self.times, busy.clone()));
        let service = service_fn(|request| {
            let (request, rest) = unread::keep(request);
            let answer = self.answer(request, busy.begin());
            unread::settle(answer, rest)
        });
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // Stalls knows idling from dawdling.
            .header_read_timeout(None)
            .max_buf_size(MAX_HEAD)
            .serve_connection(stream, service);
        let mut draining = false;
        let served = loop {
            tokio::select! {
                served = poll_fn(|cx| connection.poll_without_shutdown(cx)) => break served,
                () = self.drain.cancelled(), if !draining => {
                    draining = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
            }
        };
        match served {
            // Boxed, like all that few connections need: a future is as large as all it may become.
            Ok(()) => Box::pin(linger(connection.into_parts().io.into_inner())).await,
            Err(error) => tracing::debug!(peer = %self.peer, %error, "a connection ended badly"),
        }
    }

    /// Serves HTTP/2 until the connection ends.
    pub(crate) async fn http2<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let busy = Busy::default();
        // What comes between requests is no head of one.
        let times = Times {
            header: self.times.keep_alive,
            ..self.times
        };
        let stream = TokioIo::new(Stalls::new(stream, times, busy.clone()));
        let service = service_fn(|request| {
            let (request, rest) = unread::keep(request);
            let answer = self.answer(request, busy.begin());
            unread::settle_later(answer, rest)
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
            .keep_alive_interval(PING)
            .serve_connection(stream, service);
        let mut connection = pin!(connection);
        let mut draining = false;
        loop {
            tokio::select! {
                served = &mut connection => {
                    if let Err(error) = served {
                        tracing::debug!(peer = %self.peer, %error, "a connection ended badly");
                    }
                    return;
                }
                () = self.drain.cancelled(), if !draining => {
                    draining = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }

    fn answer(
        &self,
        mut request: Request<Body>,
        busy: stalls::Request,
    ) -> impl Future<Output = Result<Response<Answered>, Infallible>> + Send + use<> {
        request.extensions_mut().insert(Peer(self.peer));
        without_last_slash(request.uri_mut());
        let answer = self.router.clone().call(request);
        async move {
            let response = answer.await?;
            Ok(response.map(|body| Answered { body, _busy: busy }))
        }
    }
}

/// `/api/x/` is `/api/x`, as it was for older daemons.
fn without_last_slash(uri: &mut Uri) {
    let path = uri.path();
    if path.len() < 2 || !path.ends_with('/') {
        return;
    }
    let shorter = path.trim_end_matches('/');
    let shorter = if shorter.is_empty() { "/" } else { shorter };
    let text = match uri.query() {
        Some(query) => format!("{shorter}?{query}"),
        None => shorter.to_owned(),
    };
    if let Ok(path_and_query) = text.parse() {
        let mut parts = std::mem::take(uri).into_parts();
        parts.path_and_query = Some(path_and_query);
        *uri = Uri::from_parts(parts).unwrap_or_default();
    }
}

/// A body, until whose end its request counts as being answered.
pub(crate) struct Answered {
    body: Body,
    _busy: stalls::Request,
}

impl HttpBody for Answered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Ends a connection so that the peer reads the last answer, even where it is still sending: a
/// socket that is closed with something unread in it makes the peer forget what it was sent.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let rest = async {
        stream.shutdown().await?;
        let mut waste = vec![0; 16 * 1024];
        let mut left = LINGER_BYTES;
        while left > 0 {
            match stream.read(&mut waste).await? {
                0 => break,
                bytes => left = left.saturating_sub(bytes),
            }
        }
        Ok::<(), std::io::Error>(())
    };
    // Whichever way it ends, there is nobody to tell.
    let _ = tokio::time::timeout(LINGER, rest).await;
}
