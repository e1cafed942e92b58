//! What handlers take out of a request.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use bytes::BytesMut;
use gorgone_protocol::{NodeId, Selection, Target, Token};
use http_body_util::BodyExt;
use percent_encoding::percent_decode_str;
use serde_json::Map;
use serde_json::value::RawValue;

use crate::api::ApiError;
use crate::caller::Caller;
use crate::door::Door;

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        // Everybody who comes this far was let in.
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or(ApiError::Unauthorized)
    }
}

/// What stands in the path, percent-encoding undone.
#[derive(Clone, Debug, Default)]
pub(crate) struct PathParts(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for PathParts {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|_| ApiError::parameter("the path", "is not UTF-8"))?;
        let owned = params.iter();
        let owned = owned.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(Self(owned.collect()))
    }
}

impl PathParts {
    /// A part that the route has.
    pub(crate) fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// The node that the path addresses, or the selection of nodes.
    pub(crate) fn target(&self) -> Result<Target, ApiError> {
        match self.get("node") {
            "" => Ok(Target::Here),
            text => target(text),
        }
    }

    /// The node that the path addresses, where one has to answer.
    pub(crate) fn one_node(&self) -> Result<Target, ApiError> {
        match self.get("node") {
            "" => Ok(Target::Here),
            text => node(text).map(Target::Node),
        }
    }

    /// The part `token` as a token.
    pub(crate) fn token(&self) -> Result<Token, ApiError> {
        let text = self.get("token");
        Token::parse(text).map_err(|error| ApiError::parameter("token", error))
    }
}

/// A node's id, or a selection of nodes.
pub(crate) fn target(text: &str) -> Result<Target, ApiError> {
    match NodeId::parse(text) {
        Ok(id) => Ok(Target::Node(id)),
        Err(_) => Selection::parse(text)
            .map(Target::Many)
            .map_err(|error| bad_node(error.to_string())),
    }
}

fn bad_node(words: String) -> ApiError {
    ApiError::problem(StatusCode::BAD_REQUEST, "bad_node", words)
}

/// A node's id.
pub(crate) fn node(text: &str) -> Result<NodeId, ApiError> {
    NodeId::parse(text).map_err(|_| {
        bad_node(format!(
            "'{text}' is not the id of a node: write a whole number; this is asked of one node at a time"
        ))
    })
}

/// The query: of a name that stands there twice the last one counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Map<String, serde_json::Value>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut query = Map::new();
        for pair in parts.uri.query().unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !name.is_empty() {
                query.insert(of_query(name)?, of_query(value)?.into());
            }
        }
        Ok(Self(query))
    }
}

fn of_query(text: &str) -> Result<String, ApiError> {
    decoded(&text.replace('+', " ")).ok_or_else(|| ApiError::parameter("the query", "is not UTF-8"))
}

/// A text without its percent-encoding; none where it is not UTF-8.
pub(crate) fn decoded(text: &str) -> Option<String> {
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

impl Query {
    /// As the member `parameters` of a request's DATA.
    pub(crate) const fn parameters(&self) -> &Map<String, serde_json::Value> {
        &self.0
    }

    /// A parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(serde_json::Value::as_str)
    }

    /// A whole number.
    pub(crate) fn integer(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let number = self.get(name).map(|text| {
            let wrong = || ApiError::parameter(name, format!("'{text}' is not a whole number"));
            text.trim().parse().map_err(|_| wrong())
        });
        number.transpose()
    }

    /// A whole number within a range.
    pub(crate) fn within(
        &self,
        name: &str,
        range: RangeInclusive<i64>,
    ) -> Result<Option<i64>, ApiError> {
        match self.integer(name)? {
            Some(number) if !range.contains(&number) => {
                let problem = format!("must be from {} to {}", range.start(), range.end());
                Err(ApiError::parameter(name, problem))
            }
            number => Ok(number),
        }
    }

    /// Microseconds, as older clients write them; nothing written is nothing wanted.
    pub(crate) fn microseconds(&self, name: &str) -> Result<Option<Duration>, ApiError> {
        if self.get(name) == Some("") {
            return Ok(None);
        }
        let Some(number) = self.integer(name)? else {
            return Ok(None);
        };
        let wrong = |_| ApiError::parameter(name, "is less than nothing");
        u64::try_from(number)
            .map(Duration::from_micros)
            .map(Some)
            .map_err(wrong)
    }

    /// A length of time: `30`, `30s`, `500ms`, `2m`, `1h`.
    pub(crate) fn duration(&self, name: &str) -> Result<Option<Duration>, ApiError> {
        let length = self.get(name).map(|text| {
            length(text).ok_or_else(|| {
                let problem = format!("'{text}' is no length of time; write 30s, 500ms or 2m");
                ApiError::parameter(name, problem)
            })
        });
        length.transpose()
    }
}

/// Reads `30`, `30s`, `500ms`, `2m`, `1h`, `1d`.
pub(crate) fn length(text: &str) -> Option<Duration> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().ok()?;
    let factor = match unit {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "us" | "µs" => 0.000_001,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * factor).ok()
}

/// A body that is JSON, carried as the text that it is.
#[derive(Debug)]
pub(crate) struct JsonBody(pub(crate) Box<RawValue>);

impl FromRequest<Arc<Door>> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, door: &Arc<Door>) -> Result<Self, ApiError> {
        let body = read(request.into_body(), door).await?;
        let text = String::from_utf8(body).map_err(|_| ApiError::Decode)?;
        let json = serde_json::from_str::<&RawValue>(&text).map_err(|_| ApiError::Decode)?;
        Ok(Self(json.to_owned()))
    }
}

/// A body that is JSON, or not there.
#[derive(Debug)]
pub(crate) struct OptionalJsonBody(pub(crate) Option<Box<RawValue>>);

impl FromRequest<Arc<Door>> for OptionalJsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, door: &Arc<Door>) -> Result<Self, ApiError> {
        let body = read(request.into_body(), door).await?;
        if body.trim_ascii().is_empty() {
            return Ok(Self(None));
        }
        let text = String::from_utf8(body).map_err(|_| ApiError::Decode)?;
        let json = serde_json::from_str::<&RawValue>(&text).map_err(|_| ApiError::Decode)?;
        Ok(Self(Some(json.to_owned())))
    }
}

/// Reads a body within its limits of size and time, and within what all bodies may have
/// together.
async fn read(body: Body, door: &Door) -> Result<Vec<u8>, ApiError> {
    let rules = door.rules();
    let max = rules.limits.max_body_size;
    let too_large = || {
        ApiError::problem(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            format!("the body is longer than {max} bytes (modules.httpserver.max_body_size)"),
        )
        .closing()
    };
    let announced = body.size_hint().lower();
    if announced > max as u64 {
        return Err(too_large());
    }
    let reading = async {
        let mut share = door.bodies.share();
        let mut body = body;
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| {
                let words = "the body did not arrive whole";
                ApiError::problem(StatusCode::BAD_REQUEST, "bad_body", words).closing()
            })?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if whole.len() + data.len() > max {
                return Err(too_large());
            }
            if !share.grow(data.len()) {
                let words = "too many bodies are being read at once; try again later";
                let busy = ApiError::problem(StatusCode::SERVICE_UNAVAILABLE, "busy", words);
                return Err(busy.retry_after(Duration::from_secs(1)).closing());
            }
            whole.extend_from_slice(&data);
        }
        Ok(whole.into())
    };
    match tokio::time::timeout(rules.limits.body_timeout, reading).await {
        Ok(read) => read,
        Err(_) => {
            let words = "the body did not arrive in time (modules.httpserver.body_timeout)";
            Err(ApiError::problem(StatusCode::REQUEST_TIMEOUT, "timeout", words).closing())
        }
    }
}

/// The row after which an event source goes on.
pub(crate) fn last_event_id(headers: &HeaderMap) -> Result<Option<i64>, ApiError> {
    let id = headers.get("last-event-id").map(|value| {
        let text = value.to_str().unwrap_or_default();
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|_| digits);
        number.ok_or_else(|| ApiError::parameter("Last-Event-ID", "is not the id of an event"))
    });
    id.transpose()
}
