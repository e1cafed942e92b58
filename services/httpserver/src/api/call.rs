//! Asking core for something that runs by itself, and perhaps waiting for its end.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use gorgone_protocol::request::log::{GetLog, Page};
use gorgone_protocol::{Action, Data, Target, Token, Why};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::api::ApiError;
use crate::api::extract::Query;
use crate::api::rows::{LogAnswer, Row};
use crate::caller::Caller;
use crate::core::Ask;
use crate::door::Door;

/// Bytes of rows in one answer of the log endpoint; beyond, it says that there are more.
const MAX_ROWS_BYTES: usize = 16 << 20;
/// How long a node may take to bring its rows home where the caller does not say.
const SYNC_PATIENCE: Duration = Duration::from_secs(10);

/// Longest time, in seconds, that a request may wait to begin: a year.
const MAX_TTL: i64 = 31_622_400;
/// How often a request may be run again.
const MAX_RETRIES: i64 = 100;

/// The token of a request that was accepted.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenAnswer {
    /// What follows the request: look for its rows with it.
    #[schema(value_type = String, example = "5f3c0b6a…")]
    pub(crate) token: Token,
}

/// How long a caller wants to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For the end of the token.
    pub(crate) wait: Option<Duration>,
    /// For a node to bring its rows home, beyond what it is given anyway.
    pub(crate) sync: Duration,
}

impl Patience {
    /// `wait`, or `log_wait` of older clients; `sync_wait`.
    pub(crate) fn read(query: &Query, door: &Door) -> Result<Self, ApiError> {
        let log_wait = query.microseconds("log_wait")?;
        let wait = query.duration("wait")?.or(log_wait);
        let max = door.rules().limits.max_wait;
        Ok(Self {
            wait: wait.map(|wait| wait.min(max)),
            sync: query
                .microseconds("sync_wait")?
                .unwrap_or_default()
                .min(max),
        })
    }
}

/// DATA of a forwarded request.
#[derive(Serialize)]
struct Forwarded<'a> {
    content: Option<&'a RawValue>,
    variables: &'a [String],
    parameters: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retries: Option<i64>,
}

/// The body becomes `content`, the rest of the path `variables`, the query `parameters`.
pub(crate) fn data(
    content: Option<&RawValue>,
    variables: &[String],
    query: &Query,
) -> Result<Data, ApiError> {
    Ok(Data::from_value(&Forwarded {
        content,
        variables,
        parameters: query.parameters(),
        ttl: query.within("ttl", 0..=MAX_TTL)?,
        retries: query.within("retries", 0..=MAX_RETRIES)?,
    }))
}

/// Hands a request over and answers with its token; or, where the caller waits, with its rows.
pub(crate) async fn call(
    door: &Door,
    caller: &Caller,
    (action, target, data): (Action, Target, Data),
    query: &Query,
) -> Result<Response, ApiError> {
    let patience = Patience::read(query, door)?;
    // Nothing is accepted for somebody who could not wait for it.
    let place = patience.wait.map(|_| door.wait(caller)).transpose()?;
    let ask = Ask::new(action, target.clone(), data);
    let token = ask.token.clone();
    let accepted = door.core.take(caller, ask, door.patience()).await;
    door.reads.forget();
    accepted?;
    if patience.wait.is_none() {
        return Ok(Json(TokenAnswer { token }).into_response());
    }
    let filter = GetLog {
        token: Some(token.as_str().to_owned()),
        ..GetLog::default()
    };
    let log = log(door, caller, (filter, target), patience).await;
    drop(place);
    Ok(Json(log.map_err(|error| error.about(&token))?).into_response())
}

/// The rows of a token, as the log endpoint answers with them. The caller has a place where it
/// waits.
pub(crate) async fn log(
    door: &Door,
    caller: &Caller,
    (filter, target): (GetLog, Target),
    patience: Patience,
) -> Result<LogAnswer, ApiError> {
    let mut warning = match &target {
        // What was asked of many nodes is followed by core.
        Target::Here | Target::Many(_) => None,
        Target::Node(node) if *node == door.node => None,
        _ => synchronise(door, caller, &target, patience.sync).await?,
    };
    let first = wait(door, caller, &filter, patience.wait).await?;
    let (rows, more) = the_rest(door, caller, &filter, first).await?;
    if more {
        let words = "there are more rows than one answer may hold; ask for those after the last id";
        warning.get_or_insert_with(|| words.to_owned());
    }
    let token = filter.token.as_deref().unwrap_or_default();
    Ok(LogAnswer::new(token, rows, warning))
}

/// Waits for the end of the filter's token; a server that is about to stop waits no longer.
async fn wait(
    door: &Door,
    caller: &Caller,
    filter: &GetLog,
    wait: Option<Duration>,
) -> Result<Page, ApiError> {
    if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
        let deadline = Instant::now() + wait;
        tokio::select! {
            page = door.core.wait(caller, filter, deadline, door.patience()) => return page,
            () = door.stopping.cancelled() => {}
        }
    }
    let core = &door.core;
    core.log(caller, filter, Target::Here, door.patience())
        .await
}

/// The rows of the first page and of those that follow, and whether there are even more.
async fn the_rest(
    door: &Door,
    caller: &Caller,
    filter: &GetLog,
    first: Page,
) -> Result<(Vec<Row>, bool), ApiError> {
    let mut page = first;
    let mut rows: Vec<Row> = Vec::with_capacity(page.rows.len());
    let mut bytes = 0;
    loop {
        let last = page.rows.last().map(|row| row.id);
        bytes += page.rows.iter().map(|row| row.data.len()).sum::<usize>();
        rows.extend(page.rows.into_iter().map(Row::from));
        let asked_for = filter.limit.map(|limit| limit as usize);
        let enough = asked_for.is_some_and(|limit| rows.len() >= limit);
        match last {
            Some(last) if page.more && !enough => {
                if bytes >= MAX_ROWS_BYTES {
                    return Ok((rows, true));
                }
                let left = asked_for.map(|limit| limit - rows.len());
                let next = GetLog {
                    id: Some(last),
                    limit: left.map(|left| u32::try_from(left).unwrap_or(u32::MAX)),
                    ..filter.clone()
                };
                let core = &door.core;
                page = core
                    .log(caller, &next, Target::Here, door.patience())
                    .await?;
            }
            _ => return Ok((rows, false)),
        }
    }
}

/// Has a node bring its newest rows home. One that cannot be reached is no reason not to answer
/// with the rows that are here: the words for it come back.
async fn synchronise(
    door: &Door,
    caller: &Caller,
    target: &Target,
    extra: Duration,
) -> Result<Option<String>, ApiError> {
    let ask = Ask::new(Action::GetLog, target.clone(), Data::empty());
    let patience = SYNC_PATIENCE + extra;
    let asked = door.core.ask(caller, ask, 2 * patience);
    let Ok(answer) = tokio::time::timeout(patience, asked).await else {
        return Ok(Some(format!(
            "node {target} did not bring its rows in time"
        )));
    };
    match answer?.refusal(&Action::GetLog) {
        None => Ok(None),
        Some((words, why @ (Why::Forbidden | Why::Busy | Why::Unavailable))) => {
            Err(ApiError::refused(words, why))
        }
        Some((words, _)) => Ok(Some(format!("node {target} was not synchronised: {words}"))),
    }
}
