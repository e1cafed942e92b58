//! `/api/log…`: rows of a token, pages through the history, rows as they come.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use gorgone_protocol::request::log::GetLog;
use gorgone_protocol::{Code, Dialect, Target};
use utoipa::IntoParams;

use crate::api::ApiError;
use crate::api::call::{Patience, log};
use crate::api::extract::{PathParts, Query, last_event_id, length, node};
use crate::api::rows::{HistoryPage, LogAnswer, Row};
use crate::api::stream;
use crate::caller::Caller;
use crate::door::Door;

/// Rows of one page where the caller does not say.
const PAGE: i64 = 100;
/// Rows of one page at most.
const MAX_PAGE: i64 = 1000;

/// A token, in the path.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path; PathParts reads it")]
pub(crate) struct TokenParams {
    /// The token. What is special in a path must be percent-encoded.
    #[param(
        example = "5f3c0b6a",
        min_length = 1,
        pattern = r"^[^\]\x00-\x1f\x7f-\x9f]+$"
    )]
    token: String,
}

/// Which rows of a token, and how long to wait for its end.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query; Query reads it")]
pub(crate) struct LogParams {
    /// Wait until the token has ended, at most that long.
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
    /// Only rows with this code.
    #[param(required = false)]
    code: i64,
    /// Only rows stored at this second or later.
    #[param(required = false)]
    ctime: i64,
    /// Only rows of events at this second or later.
    #[param(required = false)]
    etime: i64,
    /// Only rows after this one.
    #[param(required = false)]
    id: i64,
    /// At most so many rows.
    #[param(minimum = 1, maximum = 10_000, required = false)]
    limit: u32,
}

/// Rows of a token
///
/// With a node the node is synchronised first. Where there is no row yet the status is 200 all
/// the same, with `error` `no_log`.
#[utoipa::path(
    get, path = "/log/{token}", tag = "log", params(TokenParams, LogParams),
    responses((status = 200, description = "Rows, or none yet", body = LogAnswer))
)]
pub(crate) async fn of_token(
    State(door): State<Arc<Door>>,
    caller: Caller,
    path: PathParts,
    query: Query,
) -> Result<Json<LogAnswer>, ApiError> {
    let patience = Patience::read(&query, &door)?;
    let filter = GetLog {
        token: Some(path.token()?.as_str().to_owned()),
        code: code(&query)?,
        ctime: query.integer("ctime")?,
        etime: query.integer("etime")?,
        id: query.integer("id")?,
        limit: limit(&query, 10_000)?,
        ..GetLog::default()
    };
    let _place = patience.wait.map(|_| door.wait(&caller)).transpose()?;
    let answer = log(&door, &caller, (filter, path.one_node()?), patience).await?;
    Ok(Json(answer))
}

fn code(query: &Query) -> Result<Option<Code>, ApiError> {
    let number = query.integer("code")?;
    Ok(number.map(|number| Code::from_number(number, Dialect::Seed)))
}

fn limit(query: &Query, max: i64) -> Result<Option<u32>, ApiError> {
    let limit = query.within("limit", 1..=max)?;
    Ok(limit.and_then(|limit| u32::try_from(limit).ok()))
}

/// Which page of the history.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query; Query reads it")]
pub(crate) struct HistoryParams {
    /// Only rows with this code.
    #[param(required = false)]
    code: i64,
    /// Only rows stored at this second (since 1970) or later; or an age such as `15m`.
    #[param(example = "15m", pattern = "^[0-9]{1,10}(s|m|h|d)?$", required = false)]
    since: String,
    /// Only rows stored at this second or earlier; or an age.
    #[param(example = "5m", pattern = "^[0-9]{1,10}(s|m|h|d)?$", required = false)]
    until: String,
    /// Only rows of this node; without, of all.
    #[param(minimum = 0, maximum = 9_223_372_036_854_775_807_i64, required = false)]
    node: u64,
    /// Rows of the page.
    #[param(minimum = 1, maximum = 1000, required = false)]
    limit: u32,
    /// Go on after this row: `next` of the page before.
    #[param(required = false)]
    after: i64,
}

/// The history, newest row first
///
/// Ask again with `next` as `after`, until it is null. `Link: rel="next"` has the address.
#[utoipa::path(
    get, path = "/log", tag = "log", params(HistoryParams),
    responses((status = 200, description = "A page", body = HistoryPage))
)]
pub(crate) async fn history(
    State(door): State<Arc<Door>>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    query: Query,
) -> Result<Response, ApiError> {
    let limit = limit(&query, MAX_PAGE)?.unwrap_or(u32::try_from(PAGE).unwrap_or(u32::MAX));
    let filter = GetLog {
        id: Some(0),
        code: code(&query)?,
        ctime: moment(&query, "since")?,
        until: moment(&query, "until")?,
        node: query.get("node").map(node).transpose()?,
        before: query.integer("after")?,
        limit: Some(limit),
        newest: true,
        ..GetLog::default()
    };
    let patience = door.patience();
    let page = door
        .core
        .log(&caller, &filter, Target::Here, patience)
        .await?;
    let next = page.rows.first().map(|row| row.id).filter(|_| page.more);
    let data: Vec<Row> = page.rows.into_iter().rev().map(Row::from).collect();
    let message = if data.is_empty() {
        "No log found"
    } else {
        "Logs found"
    };
    let mut response = Json(HistoryPage {
        message,
        data,
        next,
    })
    .into_response();
    if let Some(next) = next
        && let Ok(link) = HeaderValue::from_str(&link(&uri, next))
    {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

/// The address of the next page, as the header `Link` writes it.
fn link(uri: &Uri, next: i64) -> String {
    let kept = uri.query().unwrap_or_default().split('&');
    let kept: Vec<&str> = kept
        .filter(|pair| !pair.is_empty() && !pair.starts_with("after=") && *pair != "after")
        .collect();
    let and = if kept.is_empty() { "" } else { "&" };
    format!(
        "<{}?{}{and}after={next}>; rel=\"next\"",
        uri.path(),
        kept.join("&")
    )
}

/// Seconds since 1970, or an age such as `15m`.
fn moment(query: &Query, name: &str) -> Result<Option<i64>, ApiError> {
    let Some(text) = query.get(name) else {
        return Ok(None);
    };
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Some(i64::try_from(seconds).unwrap_or(i64::MAX)));
    }
    let age = length(text)
        .filter(|_| !text.contains('.'))
        .ok_or_else(|| {
            let problem = format!("'{text}' is neither seconds since 1970 nor an age such as 15m");
            ApiError::parameter(name, problem)
        })?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let then = now.saturating_sub(age).as_secs();
    Ok(Some(i64::try_from(then).unwrap_or(i64::MAX)))
}

/// The row after which a stream goes on.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes the header; last_event_id reads it")]
pub(crate) struct StreamParams {
    /// The id of the last event that came: the stream goes on after it. Browsers send it by themselves.
    #[param(rename = "Last-Event-ID", pattern = "^[0-9]{1,18}$", required = false)]
    last_event_id: String,
}

/// Rows of a token as they come
///
/// Server-sent events; the id of each is the id of its row, its data is the row. `row` is one
/// that tells how it goes, `output` one with what a running command wrote, `end` the last one,
/// after which the stream ends. A stream that goes on after the last row answers 204.
#[utoipa::path(
    get, path = "/log/{token}/stream", tag = "log", params(TokenParams, StreamParams),
    responses(
        (status = 200, description = "Events", body = stream::Event, content_type = "text/event-stream"),
        (status = 204, description = "Nothing comes after the last event that you had"),
        (status = 404, description = "Nothing is known of this token", body = crate::api::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn events(
    State(door): State<Arc<Door>>,
    caller: Caller,
    path: PathParts,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (token, after) = (path.token()?, last_event_id(&headers)?);
    let place = door.wait(&caller)?;
    stream::rows(door, caller, (token, after), place).await
}
