//! CANCEL: end a request that was accepted earlier.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{Answer, Token};

/// The body of CANCEL.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cancel {
    /// The token of the request to end.
    pub token: Token,
}

/// The refusal of a CANCEL that came too late.
#[must_use]
pub fn over(token: Option<Token>, message: &str) -> Answer {
    Answer::refused_with(token, json!({ "message": message, "error": OVER }))
}

/// The refusal of a CANCEL of something that nobody knows.
#[must_use]
pub fn unknown(token: Option<Token>) -> Answer {
    let message = "no request with this token is known";
    Answer::refused_with(token, json!({ "message": message, "error": UNKNOWN_TOKEN }))
}

/// `error` of a refusal: the request had ended by itself.
pub const OVER: &str = "over";
/// `error` of a refusal: there is no such request.
pub const UNKNOWN_TOKEN: &str = "unknown_token";
