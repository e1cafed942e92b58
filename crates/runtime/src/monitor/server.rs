//! The port: HTTP/1.1, one answer for each connection.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::health::{Health, Verdict};

/// Connections at one time; the others wait.
const CONNECTIONS: usize = 64;
/// From the first byte to the last answer's end.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait after the system had no descriptor left.
const PAUSE: Duration = Duration::from_millis(50);

const JSON: &str = "application/json";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers until the process ends.
pub(super) async fn run(listener: TcpListener, health: Health) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "cannot tell how this service is");
            return;
        }
    };
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let health = health.clone();
                tokio::spawn(async move {
                    // Whoever dawdles is cut off: there is nothing to be lost.
                    let _ = tokio::time::timeout(PATIENCE, serve(stream, health)).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a connection could not be taken in");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, health: Health) {
    let service = service_fn(move |request: Request<Incoming>| {
        let health = health.clone();
        async move { Ok::<_, Infallible>(answer(&request, &health).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended badly");
    }
}

async fn answer(request: &Request<Incoming>, health: &Health) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = words(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here");
        let allow = HeaderValue::from_static("GET, HEAD");
        refusal.headers_mut().insert(ALLOW, allow);
        return refusal;
    }
    match request.uri().path() {
        "/healthz" => verdict(&health.turns().await),
        "/readyz" => verdict(&health.ready()),
        "/metrics" => {
            // The loop brings its figures up to date with the beat.
            let turns = health.turns().await;
            response(StatusCode::OK, PROMETHEUS, health.figures(turns.fine))
        }
        _ => words(
            StatusCode::NOT_FOUND,
            "here are /healthz, /readyz and /metrics",
        ),
    }
}

fn verdict(verdict: &Verdict) -> Response<Full<Bytes>> {
    let (status, word) = match verdict.fine {
        true => (StatusCode::OK, "ok"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    };
    let body = json!({ "status": word, "reason": verdict.reason, "checks": verdict.parts });
    response(status, JSON, body.to_string())
}

fn words(status: StatusCode, reason: &str) -> Response<Full<Bytes>> {
    let body = json!({ "status": "error", "reason": reason });
    response(status, JSON, body.to_string())
}

fn response(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
