//! Bodies that nobody wanted to read.
//!
//! A request may be answered without a look at its body: who asks for what is not there, or may
//! not come in. The connection can only go on when the body is out of the way, so a small one
//! is read and thrown away; of a large one the connection ends, and the answer says so. HTTP/2
//! could do without, but some of its clients take the end of a stream that they still write to
//! for an error, answered or not.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderValue, Request, Response, header};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming, SizeHint};

/// What is read and thrown away of one body.
const SMALL: u64 = 256 * 1024;
/// How long its arrival may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a client of HTTP/2 may go on writing after it was answered, and how much.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 16 << 20;

/// What is left of a body when whoever had it is done with it.
#[derive(Clone, Default)]
pub(crate) struct Rest {
    body: Option<Arc<Mutex<Option<Incoming>>>>,
    /// The peer sends its body only when it is told to go on: reading would tell it.
    asks_first: bool,
}

/// Hands a request's body out in a way that its rest comes back.
pub(crate) fn keep(request: Request<Incoming>) -> (Request<Body>, Rest) {
    if request.body().is_end_stream() {
        return (request.map(Body::new), Rest::default());
    }
    let back = Arc::new(Mutex::new(None));
    let rest = Rest {
        body: Some(Arc::clone(&back)),
        asks_first: request.headers().contains_key(header::EXPECT),
    };
    let request = request.map(|body| {
        let body = Some(body);
        Body::new(Lent { body, back })
    });
    (request, rest)
}

/// Gets the rest of a body out of the way when its request is answered.
pub(crate) fn settle<B: Send + 'static>(
    answer: impl Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    rest: Rest,
) -> Pin<Box<dyn Future<Output = Result<Response<B>, Infallible>> + Send>> {
    Box::pin(async move {
        let mut response = answer.await?;
        if let Some(back) = rest.body {
            let left = back.lock().unwrap_or_else(PoisonError::into_inner).take();
            let ends = response.headers().contains_key(header::CONNECTION);
            if let Some(body) = left
                && !ends
                && (rest.asks_first || !thrown_away(body).await)
            {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
        }
        Ok(response)
    })
}

/// The same for HTTP/2: the answer goes out, and what still comes is thrown away for a while.
pub(crate) fn settle_later<B: Send + 'static>(
    answer: impl Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    rest: Rest,
) -> Pin<Box<dyn Future<Output = Result<Response<B>, Infallible>> + Send>> {
    Box::pin(async move {
        let response = answer.await?;
        if let Some(back) = rest.body
            && let Some(mut body) = back.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            tokio::spawn(tokio::time::timeout(LINGER, async move {
                let mut left = LINGER_BYTES;
                while let (Some(Ok(frame)), 1..) = (body.frame().await, left) {
                    left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
                }
            }));
        }
        Ok(response)
    })
}

/// Whether the body was small and is gone.
async fn thrown_away(mut body: Incoming) -> bool {
    if body.size_hint().lower() > SMALL {
        return false;
    }
    let reading = async {
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                return false;
            };
            bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
            if bytes > SMALL {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(PATIENCE, reading)
        .await
        .unwrap_or(false)
}

/// A body that comes back when it is dropped before its end.
struct Lent {
    body: Option<Incoming>,
    back: Arc<Mutex<Option<Incoming>>>,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let left = self.body.take().filter(|body| !body.is_end_stream());
        if left.is_some() {
            *self.back.lock().unwrap_or_else(PoisonError::into_inner) = left;
        }
    }
}
