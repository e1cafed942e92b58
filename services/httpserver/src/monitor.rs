//! How the server is, on a port of its own: in clear, without credentials, and without a word
//! about what anybody asked.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, http};
use serde_json::json;
use tokio::sync::watch;

use crate::door::Door;

#[derive(Clone)]
struct Monitor {
    door: Arc<Door>,
    ready: watch::Receiver<bool>,
}

/// `/healthz`, `/readyz` and `/metrics`.
pub(crate) fn router(door: Arc<Door>, ready: watch::Receiver<bool>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Monitor { door, ready })
}

/// Whoever gets this answer knows that the loop turns.
async fn healthz() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

/// Whether requests can be served now, and if not, why.
async fn readyz(State(monitor): State<Monitor>) -> Response {
    let core = *monitor.ready.borrow();
    let stopping = monitor.door.stopping.is_cancelled();
    let status = match core && !stopping {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let reason = match (core, stopping) {
        (_, true) => "the server is about to stop",
        (false, false) => "core does not know this server at the moment",
        (true, false) => "ready",
    };
    let body = json!({ "status": if status == StatusCode::OK { "ok" } else { "unavailable" },
        "reason": reason, "core": core, "stopping": stopping });
    (status, Json(body)).into_response()
}

async fn metrics(State(monitor): State<Monitor>) -> Response {
    let waiters = monitor.door.waiters.count();
    let text = monitor.door.metrics.text(waiters, *monitor.ready.borrow());
    let kind = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}
