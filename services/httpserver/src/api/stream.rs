//! Rows of a token as server-sent events.
//!
//! ```text
//! id: 17
//! event: row | output | end
//! data: {"id":17,"token":"…","code":0,…}
//! ```
//! One GETLOG at a time waits in core for the next row. When it comes back empty the caller gets
//! a comment, so that whatever is in between does not take the connection for dead.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use gorgone_protocol::request::log::{GetLog, Page, Row as LogRow, WaitFor};
use gorgone_protocol::{Target, Token};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::api::ApiError;
use crate::api::rows::Row;
use crate::caller::Caller;
use crate::door::Door;
use crate::limits::Place;

/// How often a comment is sent where no row comes.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long to wait before asking again a core that did not wait.
const PAUSE: Duration = Duration::from_millis(500);
/// Where a stream breaks off, browsers come back after so many milliseconds.
const COME_BACK: &str = "retry: 1000\n\n";

/// An event of a stream.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes what streams send")]
pub(crate) struct Event {
    /// The id of the row.
    id: String,
    /// What it is.
    event: EventKind,
    /// The row as JSON.
    data: String,
}

/// What an event of a stream is.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes what streams send")]
pub(crate) enum EventKind {
    /// It tells how it goes.
    Row,
    /// What a running command wrote.
    Output,
    /// The last one.
    End,
}

struct Rows {
    door: Arc<Door>,
    caller: Caller,
    filter: GetLog,
    /// What was read and not sent yet.
    ready: VecDeque<Bytes>,
    ended: bool,
    _place: Place,
}

/// Answers with the rows of a token after the one that the caller had last.
pub(crate) async fn rows(
    door: Arc<Door>,
    caller: Caller,
    (token, after): (Token, Option<i64>),
    place: Place,
) -> Result<Response, ApiError> {
    let mut rows = Rows {
        filter: GetLog {
            token: Some(token.as_str().to_owned()),
            id: after,
            wait: Some(Duration::ZERO),
            wait_for: WaitFor::Row,
            ..GetLog::default()
        },
        door,
        caller,
        ready: VecDeque::from([Bytes::from_static(COME_BACK.as_bytes())]),
        ended: false,
        _place: place,
    };
    let first = rows.ask().await?;
    if first.rows.is_empty() && first.live != Some(true) {
        return match after {
            // Event sources take it for the end.
            Some(_) => Ok(StatusCode::NO_CONTENT.into_response()),
            None => {
                let words = "nothing is known of this token";
                let unknown = ApiError::problem(StatusCode::NOT_FOUND, "no_log", words);
                Err(unknown.about(&token))
            }
        };
    }
    rows.take(first);
    let events = stream::unfold(rows, |mut rows| async move {
        let event = rows.next().await?;
        Some((Ok::<_, Infallible>(event), rows))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        // nginx and its kin would hold events back.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(events)).into_response())
}

impl Rows {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            let stopping = self.door.stopping.clone();
            let began = tokio::time::Instant::now();
            let asked = tokio::select! {
                asked = self.ask() => asked,
                () = stopping.cancelled() => return None,
            };
            match asked {
                Ok(page) if page.rows.is_empty() && page.live != Some(true) => return None,
                Ok(page) if page.rows.is_empty() => {
                    // Core does not wait: it is about to end, or too many wait already.
                    if began.elapsed() < HEARTBEAT / 2 {
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                    return Some(Bytes::from_static(b": still running\n\n"));
                }
                Ok(page) => self.take(page),
                Err(error) => {
                    // The caller comes back, and goes on after the last row that it had.
                    tracing::debug!(?error, "a stream breaks off");
                    return None;
                }
            }
        }
    }

    async fn ask(&self) -> Result<Page, ApiError> {
        let door = &self.door;
        let core = &door.core;
        core.log(&self.caller, &self.filter, Target::Here, door.patience())
            .await
    }

    fn take(&mut self, page: Page) {
        self.filter.wait = Some(HEARTBEAT);
        for row in page.rows {
            self.filter.id = Some(row.id);
            self.ended |= row.code.is_terminal();
            self.ready.push_back(event(row));
        }
        self.ended |= page.live == Some(false) && !page.more;
    }
}

fn event(row: LogRow) -> Bytes {
    #[derive(Deserialize)]
    struct Output<'a> {
        #[serde(borrow, rename = "output")]
        _output: &'a RawValue,
        #[serde(borrow, rename = "stream")]
        _stream: &'a RawValue,
    }
    let name = if row.code.is_terminal() {
        "end"
    } else if serde_json::from_str::<Output<'_>>(&row.data).is_ok() {
        "output"
    } else {
        "row"
    };
    let id = row.id;
    // JSON has no line breaks of its own, so it is one line.
    let data = serde_json::to_string(&Row::from(row)).unwrap_or_default();
    Bytes::from(format!("id: {id}\nevent: {name}\ndata: {data}\n\n"))
}
