//! What a caller is told when it does not get what it asked for.
//!
//! Four answers are those of the older daemons, to the byte: clients look for them. Everything
//! else is problem details (RFC 9457) that also have the older answers' `error` and `message`,
//! so that one piece of a client reads both.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gorgone_client::AskError;
use gorgone_protocol::{Action, Answer, Token, Why};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Denied;
use crate::limits::Full;

/// Why a caller does not get what it asked for.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum ApiError {
    /// Not below `/api/`, or the peer may not come in from there.
    Forbidden,
    /// No such path or method.
    MethodUnknown,
    /// The body is not JSON.
    Decode,
    /// No credentials, or wrong ones.
    Unauthorized,
    /// Anything else.
    Problem(Box<Problem>),
}

/// An error of the older daemons.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct LegacyError {
    /// A word for programs.
    #[schema(example = "method_unknown")]
    error: &'static str,
    /// A sentence for people.
    #[schema(example = "Method not implemented")]
    message: &'static str,
}

/// Problem details (RFC 9457), and the members that older answers have.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// `urn:gorgone:` and the word of `error`.
    #[serde(rename = "type")]
    #[schema(example = "urn:gorgone:busy")]
    kind: String,
    /// The status in words.
    #[schema(example = "Service Unavailable")]
    title: &'static str,
    /// The status of the response.
    #[schema(example = 503)]
    status: u16,
    /// What is wrong with this request, and what to do about it.
    detail: String,
    /// A word for programs.
    #[schema(example = "busy")]
    error: &'static str,
    /// The same as `detail`, where older clients look for it.
    message: String,
    /// The token of the request, where it has one: ask again with it, or look for its rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    token: Option<Token>,
    /// Core's code, where core refused: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i64>,
    /// Seconds after which to try again, as in the header `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    #[serde(skip)]
    close: bool,
}

impl ApiError {
    /// Something that the other variants have no place for.
    pub(crate) fn problem(
        status: StatusCode,
        error: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        let detail = detail.into();
        Self::Problem(Box::new(Problem {
            kind: format!("urn:gorgone:{error}"),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            error,
            message: detail.clone(),
            detail,
            token: None,
            code: None,
            retry_after: None,
            close: false,
        }))
    }

    /// A parameter that cannot be what it is.
    pub(crate) fn parameter(name: &str, problem: impl std::fmt::Display) -> Self {
        Self::problem(
            StatusCode::BAD_REQUEST,
            "bad_parameter",
            format!("{name}: {problem}"),
        )
    }

    /// Core cannot be reached, or is about to end.
    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
            .retry_after(Duration::from_secs(1))
    }

    fn change(mut self, change: impl FnOnce(&mut Problem)) -> Self {
        if let Self::Problem(problem) = &mut self {
            change(problem);
        }
        self
    }

    /// Says when to try again.
    pub(crate) fn retry_after(self, after: Duration) -> Self {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        self.change(|problem| problem.retry_after = Some(seconds.max(1)))
    }

    /// Names the request that it is about.
    pub(crate) fn about(self, token: &Token) -> Self {
        self.change(|problem| problem.token = Some(token.clone()))
    }

    /// Ends the connection with it: the rest of the request is not read.
    pub(crate) fn closing(self) -> Self {
        self.change(|problem| problem.close = true)
    }

    /// Why core refused an action.
    pub(crate) fn refused(words: String, why: Why) -> Self {
        let (status, error) = match why {
            Why::UnknownAction => return Self::MethodUnknown,
            Why::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Why::Unavailable => return Self::unavailable(words).with_code(),
            Why::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
            Why::NoRoute => (StatusCode::NOT_FOUND, "no_route"),
            Why::UnknownToken => (StatusCode::NOT_FOUND, "unknown_token"),
            Why::Over => (StatusCode::CONFLICT, "over"),
            Why::Other => (StatusCode::UNPROCESSABLE_ENTITY, "refused"),
        };
        let problem = Self::problem(status, error, words).with_code();
        match why {
            Why::Busy => problem.retry_after(Duration::from_secs(1)),
            _ => problem,
        }
    }

    fn with_code(self) -> Self {
        self.change(|problem| problem.code = Some(1))
    }

    /// The refusal in an answer of core, if it is one.
    pub(crate) fn of_answer(answer: &Answer, action: &Action) -> Option<Self> {
        let (words, why) = answer.refusal(action)?;
        let problem = Self::refused(words, why);
        Some(match &answer.token {
            Some(token) => problem.about(token),
            None => problem,
        })
    }
}

impl From<AskError> for ApiError {
    fn from(error: AskError) -> Self {
        let detail = match error {
            AskError::Silent => {
                "core does not answer; whether it took the request is not known: its token says so \
                 when core is back"
            }
            AskError::Busy => "too many requests wait for core; nothing was accepted",
            AskError::Closed => "this server is about to stop",
        };
        Self::unavailable(detail)
    }
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Wrong => Self::Unauthorized,
            Denied::TooManyFailures(after) => Self::problem(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_failures",
                "wrong credentials came from this address too often; wait before trying again",
            )
            .retry_after(after),
            Denied::Busy => Self::problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                "too many passwords wait to be verified",
            )
            .retry_after(Duration::from_secs(1)),
        }
    }
}

impl From<Full> for ApiError {
    fn from(full: Full) -> Self {
        let (status, detail) = match full {
            Full::Everybody => (
                StatusCode::SERVICE_UNAVAILABLE,
                "too many callers wait; ask without wait, and look for the token later",
            ),
            Full::Account => (
                StatusCode::TOO_MANY_REQUESTS,
                "too many callers wait with this credential; ask without wait, and look for the token later",
            ),
        };
        Self::problem(status, "busy", detail).retry_after(Duration::from_secs(1))
    }
}

const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, error, message) = match self {
            Self::Problem(problem) => return problem.into_response(),
            Self::Forbidden => (StatusCode::FORBIDDEN, "http_error_403", "forbidden"),
            Self::MethodUnknown => (
                StatusCode::NOT_FOUND,
                "method_unknown",
                "Method not implemented",
            ),
            Self::Decode => (
                StatusCode::BAD_REQUEST,
                "decode_error",
                "POST content must be JSON-formated",
            ),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "http_error_401", "unauthorized"),
        };
        let mut response = (status, Json(LegacyError { error, message })).into_response();
        if status == StatusCode::UNAUTHORIZED {
            for challenge in [
                r#"Basic realm="gorgone", charset="UTF-8""#,
                r#"Bearer realm="gorgone""#,
            ] {
                response.headers_mut().append(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static(challenge),
                );
            }
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(&self)).into_response();
        let headers = response.headers_mut();
        let mut set = |name: HeaderName, value: HeaderValue| headers.insert(name, value);
        set(header::CONTENT_TYPE, PROBLEM);
        if let Some(seconds) = self.retry_after {
            set(header::RETRY_AFTER, seconds.into());
        }
        if self.close {
            set(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
