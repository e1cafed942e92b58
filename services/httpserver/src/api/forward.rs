//! Endpoints that hand a request to whichever module offers its action.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use gorgone_protocol::{Action, Target};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use crate::api::ApiError;
use crate::api::call::{TokenAnswer, call, data};
use crate::api::extract::{JsonBody, OptionalJsonBody, PathParts, Query, decoded, target};
use crate::api::rows::LogAnswer;
use crate::caller::Caller;
use crate::door::Door;

/// What is forwarded: method, path without its variables, action.
static FORWARDED: [(Method, &str, Action); 9] = [
    (Method::POST, "core/action/command", Action::Command),
    (
        Method::POST,
        "centreon/engine/command",
        Action::EngineCommand,
    ),
    (Method::POST, "core/action/engine", Action::EngineCommand),
    (Method::GET, "core/cron/definitions", Action::GetCron),
    (Method::POST, "core/cron/definitions", Action::AddCron),
    (Method::PATCH, "core/cron/definitions", Action::UpdateCron),
    (Method::DELETE, "core/cron/definitions", Action::DeleteCron),
    (Method::POST, "core/proxy/remotecopy", Action::RemoteCopy),
    (Method::POST, "internal/logger", Action::BcastLogger),
];

/// What core answers at once.
static TOLD: [(Method, &str, Action); 3] = [
    (Method::GET, "internal/constatus", Action::ConStatus),
    (Method::GET, "internal/thumbprint", Action::GetThumbprint),
    (Method::GET, "internal/information", Action::Information),
];

/// Everything that stands for an action, for INFORMATION.
pub(crate) fn endpoints() -> impl Iterator<Item = &'static (Method, &'static str, Action)> {
    FORWARDED.iter().chain(&TOLD)
}

/// The path of a request in whole, and what it says.
pub(crate) struct Parts {
    door: Arc<Door>,
    caller: Caller,
    target: Target,
    query: Query,
}

impl FromRequestParts<Arc<Door>> for Parts {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        door: &Arc<Door>,
    ) -> Result<Self, ApiError> {
        let path = PathParts::from_request_parts(parts, door).await?;
        Ok(Self {
            door: Arc::clone(door),
            caller: Caller::from_request_parts(parts, door).await?,
            target: path.target()?,
            query: Query::from_request_parts(parts, door).await?,
        })
    }
}

impl Parts {
    async fn forward(
        self,
        action: Action,
        content: Option<&RawValue>,
        variables: &[String],
    ) -> Result<Response, ApiError> {
        let data = data(content, variables, &self.query)?;
        call(
            &self.door,
            &self.caller,
            (action, self.target, data),
            &self.query,
        )
        .await
    }
}

/// How to wait for what a call starts.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query; Query reads it")]
pub(crate) struct WaitParams {
    /// Wait until the request has ended, at most that long, and answer with its rows: `30s`,
    /// `500ms`, `2m`; a number alone is seconds.
    #[param(
        example = "30s",
        pattern = r"^[0-9]{1,6}(\.[0-9]{1,3})?(ms|us|s|m|h|d)?$",
        required = false
    )]
    wait: String,
    /// The same in microseconds.
    #[param(pattern = "^[0-9]{0,12}$", required = false)]
    log_wait: String,
    /// Microseconds that a node has for bringing its rows home, beyond the usual ones.
    #[param(pattern = "^[0-9]{0,12}$", required = false)]
    sync_wait: String,
}

/// How a call is delivered.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query; Query reads it")]
pub(crate) struct CallParams {
    /// Seconds within which the request must begin; it expires otherwise.
    #[param(minimum = 0, maximum = 31_622_400, required = false)]
    ttl: u32,
    /// How often it may be run again where its runner died in the middle.
    #[param(minimum = 0, maximum = 100, required = false)]
    retries: u32,
}

/// The answer to a call: its token, or with `wait` its rows.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes what calls answer")]
pub(crate) enum CallAnswer {
    /// Without `wait`.
    Accepted(TokenAnswer),
    /// With `wait`.
    Waited(LogAnswer),
}

/// Run commands
///
/// The body is one command or a list of them: `{"command":"ls /"}`, and perhaps `timeout`,
/// `continue_on_error`, `metadata` and more. What becomes of them is told by the token's rows.
#[utoipa::path(
    post, path = "/core/action/command", tag = "action", params(WaitParams, CallParams),
    request_body(content = serde_json::Value, example = json!([{"command": "uptime", "timeout": 5}])),
    responses((status = 200, description = "Accepted, or ended", body = CallAnswer))
)]
pub(crate) async fn command(parts: Parts, JsonBody(body): JsonBody) -> Result<Response, ApiError> {
    parts.forward(Action::Command, Some(&body), &[]).await
}

/// Write lines to the monitoring engine's pipe
#[utoipa::path(
    post, path = "/centreon/engine/command", tag = "action", params(WaitParams, CallParams),
    request_body(content = serde_json::Value, example = json!({"command": "[1417705150] ENABLE_HOST_CHECK;host1"})),
    responses((status = 200, description = "Accepted, or ended", body = CallAnswer))
)]
pub(crate) async fn engine(parts: Parts, JsonBody(body): JsonBody) -> Result<Response, ApiError> {
    parts.forward(Action::EngineCommand, Some(&body), &[]).await
}

/// Copy a file to a node
///
/// The body is `{"source":…,"destination":…}`, and perhaps `cache_dir`, `type`, `owner`, `group`.
#[utoipa::path(
    post, path = "/core/proxy/remotecopy", tag = "files", params(WaitParams, CallParams),
    request_body(content = serde_json::Value, example = json!({"source": "/etc/hosts", "destination": "/tmp/hosts"})),
    responses((status = 200, description = "Accepted, or ended", body = CallAnswer))
)]
pub(crate) async fn remotecopy(
    parts: Parts,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    parts.forward(Action::RemoteCopy, Some(&body), &[]).await
}

/// The scheduled jobs
#[utoipa::path(
    get, path = "/core/cron/definitions", tag = "cron", params(WaitParams, CallParams),
    responses((status = 200, description = "Accepted; the rows have the definitions", body = CallAnswer))
)]
pub(crate) async fn cron_list(parts: Parts) -> Result<Response, ApiError> {
    parts.forward(Action::GetCron, None, &[]).await
}

/// Schedule jobs
///
/// The body is a list of definitions.
#[utoipa::path(
    post, path = "/core/cron/definitions", tag = "cron", params(WaitParams, CallParams),
    request_body(content = serde_json::Value, example = json!([{"id": "notify", "timespec": "0 8 * * 1-5", "action": "ENGINECOMMAND", "parameters": {"command": "[0] ENABLE_NOTIFICATIONS"}}])),
    responses((status = 200, description = "Accepted, or ended", body = CallAnswer))
)]
pub(crate) async fn cron_add(parts: Parts, JsonBody(body): JsonBody) -> Result<Response, ApiError> {
    parts.forward(Action::AddCron, Some(&body), &[]).await
}

/// The id of a job, in the path.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path; PathParts reads it")]
pub(crate) struct JobParams {
    /// The job's id.
    #[param(example = "echo_date", min_length = 1)]
    id: String,
}

/// One scheduled job
#[utoipa::path(
    get, path = "/core/cron/definitions/{id}", tag = "cron", params(JobParams, WaitParams, CallParams),
    responses((status = 200, description = "Accepted; the rows have the definition", body = CallAnswer))
)]
pub(crate) async fn cron_get(parts: Parts, path: PathParts) -> Result<Response, ApiError> {
    let variables = [path.get("id").to_owned()];
    parts.forward(Action::GetCron, None, &variables).await
}

/// Change a scheduled job
///
/// The body has the fields that change.
#[utoipa::path(
    patch, path = "/core/cron/definitions/{id}", tag = "cron", params(JobParams, WaitParams, CallParams),
    request_body(content = serde_json::Value, example = json!({"timespec": "*/5 * * * *"})),
    responses((status = 200, description = "Accepted, or ended", body = CallAnswer))
)]
pub(crate) async fn cron_update(
    parts: Parts,
    path: PathParts,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    let variables = [path.get("id").to_owned()];
    parts
        .forward(Action::UpdateCron, Some(&body), &variables)
        .await
}

/// Schedule a job no more
#[utoipa::path(
    delete, path = "/core/cron/definitions/{id}", tag = "cron", params(JobParams, WaitParams, CallParams),
    responses((status = 200, description = "Accepted, or ended", body = CallAnswer))
)]
pub(crate) async fn cron_delete(parts: Parts, path: PathParts) -> Result<Response, ApiError> {
    let variables = [path.get("id").to_owned()];
    parts.forward(Action::DeleteCron, None, &variables).await
}

/// Last and next run of a job
#[utoipa::path(
    get, path = "/core/cron/definitions/{id}/status", tag = "cron", params(JobParams, WaitParams, CallParams),
    responses((status = 200, description = "Accepted; the rows have the status", body = CallAnswer))
)]
pub(crate) async fn cron_status(parts: Parts, path: PathParts) -> Result<Response, ApiError> {
    let variables = [path.get("id").to_owned(), "status".to_owned()];
    parts.forward(Action::GetCron, None, &variables).await
}

/// How many instants are wanted.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query; the module reads it")]
pub(crate) struct NextParams {
    /// How many.
    #[param(minimum = 1, maximum = 1000, required = false)]
    n: u32,
}

/// The next instants at which a job will run
#[utoipa::path(
    get, path = "/core/cron/definitions/{id}/next", tag = "cron",
    params(JobParams, NextParams, WaitParams, CallParams),
    responses((status = 200, description = "Accepted; the rows have the instants", body = CallAnswer))
)]
pub(crate) async fn cron_next(parts: Parts, path: PathParts) -> Result<Response, ApiError> {
    let variables = [path.get("id").to_owned(), "next".to_owned()];
    parts.forward(Action::GetCron, None, &variables).await
}

/// Run a job now
///
/// The body may be empty.
#[utoipa::path(
    post, path = "/core/cron/definitions/{id}/run", tag = "cron", params(JobParams, WaitParams, CallParams),
    request_body(content = Option<serde_json::Value>, description = "Nothing, or what the module takes"),
    responses((status = 200, description = "Accepted, or ended", body = CallAnswer))
)]
pub(crate) async fn cron_run(
    parts: Parts,
    path: PathParts,
    OptionalJsonBody(body): OptionalJsonBody,
) -> Result<Response, ApiError> {
    let variables = [path.get("id").to_owned(), "run".to_owned()];
    parts
        .forward(Action::RunCron, body.as_deref(), &variables)
        .await
}

/// Whatever no route is for: more variables behind an endpoint's path, as older clients may
/// write them, or nothing that there is.
pub(crate) async fn unknown(
    State(door): State<Arc<Door>>,
    caller: Caller,
    request: Request,
) -> Response {
    let path = request.uri().path();
    if path != "/api" && !path.starts_with("/api/") {
        return ApiError::Forbidden.into_response();
    }
    forwarded(door, caller, request)
        .await
        .unwrap_or_else(ApiError::into_response)
}

async fn forwarded(
    door: Arc<Door>,
    caller: Caller,
    request: Request,
) -> Result<Response, ApiError> {
    let path = request.uri().path().to_owned();
    let (target, rest) = addressed(path.strip_prefix("/api/").unwrap_or_default())?;
    let (action, variables) = endpoint(request.method(), rest).ok_or(ApiError::MethodUnknown)?;
    let (mut head, body) = request.into_parts();
    let query = Query::from_request_parts(&mut head, &door).await?;
    let has_body = matches!(head.method, Method::POST | Method::PATCH);
    let content = match has_body {
        true => {
            let request = Request::from_parts(head, body);
            let JsonBody(content) = JsonBody::from_request(request, &door).await?;
            Some(content)
        }
        false => None,
    };
    let data = data(content.as_deref(), &variables, &query)?;
    call(&door, &caller, (action, target, data), &query).await
}

/// The node, or the selection of nodes, of `nodes/<id>/…`, and the rest.
fn addressed(path: &str) -> Result<(Target, &str), ApiError> {
    for prefix in ["nodes/", "targets/"] {
        if let Some(rest) = path.strip_prefix(prefix) {
            let (id, rest) = rest.split_once('/').ok_or(ApiError::MethodUnknown)?;
            let id = decoded(id).ok_or(ApiError::MethodUnknown)?;
            return Ok((target(&id)?, rest));
        }
    }
    Ok((Target::Here, path))
}

/// The action of `namespace/module/function/…`, and what follows as its variables.
fn endpoint(method: &Method, path: &str) -> Option<(Action, Vec<String>)> {
    let (_, found, action) = FORWARDED.iter().find(|(own, start, _)| {
        own == method
            && path
                .strip_prefix(start)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })?;
    let variables = path[found.len()..]
        .split('/')
        .filter(|part| !part.is_empty());
    let variables = variables.map(decoded);
    Some((action.clone(), variables.collect::<Option<_>>()?))
}
