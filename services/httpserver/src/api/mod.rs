//! The API: which path does what, and the document that says so.
//!
//! A path that is addressed to a node has `nodes/<id>/` (or the older `targets/<id>/`) behind
//! `/api/`; everything else about it is the same.

mod call;
mod error;
mod extract;
mod forward;
mod internal;
mod log;
mod openapi;
mod requests;
mod rows;
mod stream;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::door::{Door, pass};
pub(crate) use error::{ApiError, LegacyError, Problem};

/// The page that shows the API: it needs nothing but this server.
const PAGE: &str = include_str!("page.html");

/// What may be addressed to a node.
fn of_a_node() -> OpenApiRouter<Arc<Door>> {
    OpenApiRouter::new()
        .routes(routes!(internal::constatus))
        .routes(routes!(internal::thumbprint))
        .routes(routes!(internal::information))
        .routes(routes!(internal::logger))
        .routes(routes!(forward::command))
        .routes(routes!(forward::engine))
        .routes(routes!(forward::cron_list, forward::cron_add))
        .routes(routes!(
            forward::cron_get,
            forward::cron_update,
            forward::cron_delete
        ))
        .routes(routes!(forward::cron_status))
        .routes(routes!(forward::cron_next))
        .routes(routes!(forward::cron_run))
        .routes(routes!(forward::remotecopy))
        .routes(routes!(log::of_token))
}

/// What is this server's own.
fn of_this_server() -> OpenApiRouter<Arc<Door>> {
    OpenApiRouter::new()
        .routes(routes!(log::history))
        .routes(routes!(log::events))
        .routes(routes!(requests::any))
        .routes(routes!(requests::cancel))
        .routes(routes!(requests::targets))
}

/// All of it, behind what every request passes.
pub(crate) fn router(door: &Arc<Door>) -> Router {
    let (router, document) = OpenApiRouter::with_openapi(openapi::head())
        .nest("/api", of_this_server())
        .nest("/api", of_a_node())
        .nest("/api/nodes/{node}", of_a_node())
        .nest("/api/targets/{node}", of_a_node())
        .routes(routes!(internal::status))
        .split_for_parts();
    let document = openapi::complete(document);
    let document = bytes::Bytes::from(serde_json::to_string(&document).unwrap_or_default());
    let json = [(header::CONTENT_TYPE, "application/json")];
    router
        .route(
            "/api/openapi.json",
            get(move || async move { (json, document) }),
        )
        .route("/api/docs", get(page))
        .fallback(forward::unknown)
        .method_not_allowed_fallback(other_method)
        .layer(from_fn_with_state(Arc::clone(door), pass))
        .with_state(Arc::clone(door))
}

/// A path that there is, with a method that it does not have.
async fn other_method(request: Request) -> Response {
    if request.uri().path().starts_with("/api/") {
        ApiError::MethodUnknown.into_response()
    } else {
        ApiError::Forbidden.into_response()
    }
}

async fn page() -> Response {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                  connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, policy),
    ];
    (StatusCode::OK, headers, PAGE).into_response()
}
