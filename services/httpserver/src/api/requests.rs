//! Any request, and ending one.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use gorgone_protocol::request::cancel::Cancel;
use gorgone_protocol::request::log::GetLog;
use gorgone_protocol::request::targets::{self, GetTargets, Targets};
use gorgone_protocol::{Action, Data, DataError, Dialect, Target, Token};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use crate::api::ApiError;
use crate::api::call::{Patience, log};
use crate::api::extract::{JsonBody, PathParts, Query, node, target};
use crate::api::log::TokenParams;
use crate::api::rows::LogAnswer;
use crate::caller::Caller;
use crate::core::Ask;
use crate::door::Door;

/// Core waits so long for the runner's word before it answers CANCEL without.
const CANCEL: Duration = Duration::from_secs(15);

/// A request, its members as those of a message.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AnyRequest {
    /// What is asked for.
    #[schema(
        example = "INFORMATION",
        min_length = 1,
        max_length = 64,
        pattern = "^[A-Za-z0-9_-]+$"
    )]
    action: String,
    /// The node that is to do it; this one where it is absent.
    #[serde(default)]
    #[schema(value_type = Option<u64>, maximum = 9_223_372_036_854_775_807_i64)]
    target: Option<Value>,
    /// What follows it; made here where it is absent. The same token with the same content is
    /// accepted once, however often it is sent.
    #[serde(default)]
    #[schema(min_length = 1, pattern = r"^[^\]\x00-\x1f\x7f-\x9f]+$")]
    token: Option<String>,
    /// What it takes.
    #[serde(default)]
    #[schema(value_type = Option<Value>)]
    data: Option<Box<RawValue>>,
}

/// What may be sent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the body; AnyRequest reads it")]
pub(crate) enum RequestSchema {
    /// To this node, or to another one.
    ToOne(AnyRequest),
    /// To many nodes.
    ToMany(RequestToMany),
}

/// A request to many nodes. Actions of modules of your own may go to many nodes, too.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the body; AnyRequest reads it")]
pub(crate) struct RequestToMany {
    /// What is to be done.
    action: ToMany,
    /// The nodes: `4,7,10-20`, `site=paris`, `*`.
    #[schema(example = "site=paris", format = "selection")]
    target: String,
    /// What follows all parts of it; made here where it is absent.
    #[serde(default)]
    #[schema(min_length = 1, pattern = r"^[^\]\x00-\x1f\x7f-\x9f]+$")]
    token: Option<String>,
    /// What it takes.
    #[serde(default)]
    data: Option<Value>,
}

/// Actions that start something.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum ToMany {
    Command,
    EngineCommand,
}

/// Core's answer, its members as those of an ACK.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AnyAnswer {
    /// 0: it was taken.
    code: i64,
    /// The token of the request.
    #[schema(value_type = String)]
    token: Token,
    /// What core says.
    #[schema(value_type = Value)]
    data: Box<RawValue>,
    /// With `wait`: its rows, as the log endpoint answers with them.
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<LogAnswer>,
}

/// Any request
///
/// For what has no endpoint of its own, such as an action that a module of yours offers. A
/// refusal of core is answered with problem details that have its `code`.
#[utoipa::path(
    post, path = "/requests", tag = "requests",
    params(crate::api::forward::WaitParams),
    request_body(content = RequestSchema),
    responses((status = 200, description = "Core took it", body = AnyAnswer))
)]
pub(crate) async fn any(
    State(door): State<Arc<Door>>,
    caller: Caller,
    query: Query,
    JsonBody(body): JsonBody,
) -> Result<Json<AnyAnswer>, ApiError> {
    let request: AnyRequest = serde_json::from_str(body.get()).map_err(|error| wrong(&error))?;
    let ask = request.ask()?;
    let patience = Patience::read(&query, &door)?;
    // A GETLOG may wait by itself.
    let own_wait = match ask.action {
        Action::GetLog => GetLog::decode(&ask.data, Dialect::Seed).ok(),
        _ => None,
    };
    let own_wait = own_wait.and_then(|filter| filter.wait);
    let waits = patience.wait.is_some() || own_wait.is_some_and(|wait| !wait.is_zero());
    let _place = waits.then(|| door.wait(&caller)).transpose()?;
    let until_answered = match ask.action {
        Action::Cancel => door.patience().max(CANCEL),
        _ => door.patience() + own_wait.unwrap_or_default(),
    };
    let (token, target) = (ask.token.clone(), ask.target.clone());
    let taken = door.core.take(&caller, ask, until_answered).await;
    door.reads.forget();
    let answer = taken?;
    let log = match patience.wait {
        None => None,
        Some(_) => {
            let filter = GetLog {
                token: Some(token.as_str().to_owned()),
                ..GetLog::default()
            };
            let log = log(&door, &caller, (filter, target), patience).await;
            Some(log.map_err(|error| error.about(&token))?)
        }
    };
    let data = RawValue::from_string(answer.data.as_str().to_owned());
    Ok(Json(AnyAnswer {
        code: answer.status.number(),
        token,
        data: data.unwrap_or_else(|_| RawValue::NULL.to_owned()),
        log,
    }))
}

fn wrong(error: &serde_json::Error) -> ApiError {
    ApiError::problem(
        StatusCode::UNPROCESSABLE_ENTITY,
        "bad_request",
        format!("write {{\"action\":…,\"target\":…,\"token\":…,\"data\":…}}: {error}"),
    )
}

impl AnyRequest {
    fn ask(self) -> Result<Ask, ApiError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if self.action.is_empty() || self.action.len() > 64 || !self.action.chars().all(plain) {
            let problem = "is no name of an action: at most 64 letters, digits, _ and -";
            return Err(ApiError::parameter("action", problem));
        }
        let action = Action::parse(&self.action);
        let target = match self.target {
            None | Some(Value::Null) => Target::Here,
            Some(Value::String(text)) if text.is_empty() => Target::Here,
            Some(Value::String(text)) if action.is_for_one_node() => Target::Node(node(&text)?),
            Some(Value::String(text)) => target(&text)?,
            // JSON knows no whole numbers: 4.0 is 4.
            Some(other) => Target::Node(node(other.to_string().trim_end_matches(".0"))?),
        };
        let data = match &self.data {
            None => Data::empty(),
            Some(data) => Data::parse(data.get()).map_err(|_: DataError| ApiError::Decode)?,
        };
        let mut ask = Ask::new(action, target, data);
        if let Some(token) = self.token {
            ask.token =
                Token::parse(&token).map_err(|error| ApiError::parameter("token", error))?;
        }
        Ok(ask)
    }
}

/// What became of a cancellation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Cancelled {
    /// The token that was cancelled.
    #[schema(value_type = String)]
    token: Token,
    /// Whether it had begun.
    #[schema(example = "killed while it ran")]
    message: String,
}

/// End a request
///
/// Tells the truth: cancelled before it began, or killed while it ran. What was over is
/// answered 409, what nobody knows 404.
#[utoipa::path(
    delete, path = "/tasks/{token}", tag = "requests", params(TokenParams),
    responses((status = 200, description = "It was ended", body = Cancelled))
)]
pub(crate) async fn cancel(
    State(door): State<Arc<Door>>,
    caller: Caller,
    path: PathParts,
) -> Result<Json<Cancelled>, ApiError> {
    #[derive(Deserialize)]
    struct Words {
        message: String,
    }
    let token = path.token()?;
    let data = Data::from_value(&Cancel {
        token: token.clone(),
    });
    let ask = Ask::new(Action::Cancel, Target::Here, data);
    let patience = door.patience().max(CANCEL);
    let taken = door.core.take(&caller, ask, patience).await;
    door.reads.forget();
    let answer = taken.map_err(|error| error.about(&token))?;
    let words = answer.data.decode::<Words>();
    Ok(Json(Cancelled {
        token,
        message: words.map_or_else(|_| "cancelled".to_owned(), |words| words.message),
    }))
}

/// Which page of the nodes.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query; Query reads it")]
pub(crate) struct TargetsParams {
    /// Nodes of the page.
    #[param(minimum = 1, maximum = 1000, required = false)]
    limit: u32,
    /// Go on after this node: the last one of the page before.
    #[param(minimum = 0, maximum = 9_223_372_036_854_775_807_i64, required = false)]
    after: u64,
}

/// How far a request to many nodes is on each of them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TargetsAnswer {
    /// What was asked for.
    action: String,
    /// Of whom, as it was written.
    #[schema(example = "site=paris")]
    target: String,
    /// Whether it has not ended everywhere.
    live: bool,
    /// How many nodes are in each state: all of them, also those that are not in the page.
    #[schema(example = json!({"ok": 12, "failed": 1}))]
    counts: std::collections::BTreeMap<String, u64>,
    /// In the order of their ids.
    nodes: Vec<TargetAnswer>,
    /// Whether nodes were left out.
    #[serde(default)]
    more: Option<bool>,
}

/// The part of one node.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TargetAnswer {
    /// The node.
    node: u64,
    /// The token of its part.
    #[schema(example = "5f3c0b6a@4")]
    token: String,
    /// `waiting`, `leaving`, `away`, `running`; or how it ended: `ok`, or a reason such as `failed`.
    #[schema(example = "ok")]
    state: String,
    /// When it ended, seconds since 1970.
    #[serde(default)]
    ended: Option<i64>,
}

/// How far a request to many nodes is
///
/// On each of its nodes; `counts` is over all of them.
#[utoipa::path(
    get, path = "/tasks/{token}/targets", tag = "requests", params(TokenParams, TargetsParams),
    responses((status = 200, description = "A page of its nodes", body = TargetsAnswer))
)]
pub(crate) async fn targets(
    State(door): State<Arc<Door>>,
    caller: Caller,
    path: PathParts,
    query: Query,
) -> Result<Json<Targets>, ApiError> {
    let asked = GetTargets {
        token: path.token()?,
        after: query.get("after").map(node).transpose()?,
        limit: query.within("limit", 1..=GetTargets::PAGE)?,
    };
    let ask = Ask::new(Action::Targets, Target::Here, Data::from_value(&asked));
    let answer = door.core.take(&caller, ask, door.patience()).await;
    let answer = answer.map_err(|error| error.about(&asked.token))?;
    let targets = targets::decode_answer(&answer).map_err(|_| ApiError::Decode)?;
    Ok(Json(targets))
}
