//! `/api/internal/…`: what core tells of itself and of the nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use gorgone_protocol::{Action, Target};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::extract::{JsonBody, PathParts};
use crate::api::{ApiError, forward};
use crate::caller::Caller;
use crate::core::Ask;
use crate::door::Door;

/// What core tells at once.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Told {
    /// The action, in lower case.
    #[schema(example = "constatus")]
    action: String,
    /// `ok`.
    #[schema(example = "ok")]
    message: String,
    /// What was asked for.
    data: Value,
}

/// How much is to be logged.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes what core reads")]
pub(crate) struct LoggerBody {
    /// The least severe lines that are logged; `default` is what the services were started with.
    severity: LoggerSeverity,
}

/// A severity.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes what core reads")]
pub(crate) enum LoggerSeverity {
    /// Everything.
    Debug,
    /// What an administrator follows in ordinary times.
    Info,
    /// What may need a look.
    Warning,
    /// What needs one.
    Error,
    /// As much as at the start.
    Default,
}

fn json(body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn told(
    door: &Arc<Door>,
    caller: &Caller,
    action: Action,
    target: Target,
) -> Result<Bytes, ApiError> {
    let reads = &door.reads;
    reads
        .ask(&door.core, caller, (action, target), door.patience())
        .await
}

/// The nodes: how they are connected, and when they were last heard of
///
/// `data` has a member for each registered node.
#[utoipa::path(
    get, path = "/internal/constatus", tag = "internal",
    responses(
        (status = 200, description = "What is known of each node", body = Told),
    )
)]
pub(crate) async fn constatus(
    State(door): State<Arc<Door>>,
    caller: Caller,
    path: PathParts,
) -> Result<Response, ApiError> {
    told(&door, &caller, Action::ConStatus, path.one_node()?)
        .await
        .map(json)
}

/// The thumbprint of the node's key
#[utoipa::path(
    get, path = "/internal/thumbprint", tag = "internal",
    responses(
        (status = 200, description = "`data.thumbprint` is the RFC 7638 thumbprint", body = Told),
    )
)]
pub(crate) async fn thumbprint(
    State(door): State<Arc<Door>>,
    caller: Caller,
    path: PathParts,
) -> Result<Response, ApiError> {
    told(&door, &caller, Action::GetThumbprint, path.one_node()?)
        .await
        .map(json)
}

/// Counters per action and origin, modules, endpoints
#[utoipa::path(
    get, path = "/internal/information", tag = "internal",
    responses(
        (status = 200, description = "`data` has `counters` (internal, external, proxy), `modules`, `endpoints`, `api_endpoints` and more", body = Told),
    )
)]
pub(crate) async fn information(
    State(door): State<Arc<Door>>,
    caller: Caller,
    path: PathParts,
) -> Result<Response, ApiError> {
    let body = told(&door, &caller, Action::Information, path.one_node()?).await?;
    let Ok(mut told) = serde_json::from_slice::<Value>(&body) else {
        return Ok(json(body));
    };
    let endpoints: BTreeMap<String, String> = forward::endpoints()
        .map(|(method, path, action)| (format!("{method}_/{path}"), action.to_string()))
        .collect();
    if let Some(data) = told.get_mut("data").and_then(Value::as_object_mut) {
        data.insert("api_endpoints".to_owned(), serde_json::json!(endpoints));
    }
    Ok(json(told.to_string().into()))
}

/// Change how much all services log, from now on
#[utoipa::path(
    post, path = "/internal/logger", tag = "internal",
    request_body(content = LoggerBody),
    responses(
        (status = 204, description = "Every service that is there was told"),
    )
)]
pub(crate) async fn logger(
    State(door): State<Arc<Door>>,
    caller: Caller,
    path: PathParts,
    JsonBody(body): JsonBody,
) -> Result<StatusCode, ApiError> {
    let data = crate::api::call::data(Some(&body), &[], &Default::default())?;
    let ask = Ask::new(Action::BcastLogger, path.one_node()?, data);
    door.core.take(&caller, ask, door.patience()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// When core was started, and the modules
///
/// The one path that is not below `/api/`.
#[utoipa::path(
    get, path = "/status", tag = "internal",
    responses(
        (status = 200, description = "`starttime` in seconds since 1970, and `modules` by their names on the bus", body = Value),
    )
)]
pub(crate) async fn status(
    State(door): State<Arc<Door>>,
    caller: Caller,
) -> Result<Response, ApiError> {
    let body = told(&door, &caller, Action::Information, Target::Here).await?;
    let told: Value = serde_json::from_slice(&body).unwrap_or_default();
    let data = &told["data"];
    let status = serde_json::json!({ "starttime": data["started"], "modules": data["modules"] });
    Ok(json(status.to_string().into()))
}
