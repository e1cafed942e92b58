//! Text to message and back.
//!
//! ```text
//! message = "[" action "]" ws "[" token "]" ws "[" target "]" ws data
//! ```
//! Fields hold anything but `]`; between them is white space. Peers that write no space before
//! an empty DATA are malformed (`[PING] [x] []`), as they are for the daemons in the field.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{Action, Answer, AnswerName, Data, Dialect, Message, Status, Target, Token};

/// Why a text is not a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not `[A] [T] [X] DATA`, not UTF-8, or a token that is none.
    #[error("not of the form [ACTION] [TOKEN] [TARGET] DATA")]
    Form,
    /// The header is fine, but DATA is not JSON.
    #[error("DATA is not JSON: {problem}")]
    Json {
        /// The request's token, if it had one: the answer carries it.
        token: Option<Token>,
        /// What is wrong, and where.
        problem: String,
    },
}

/// Reads a request, or anything said on the internal side.
///
/// # Errors
/// When the text does not have the form, or its DATA is not JSON.
pub fn decode(text: &[u8]) -> Result<Message, DecodeError> {
    let text = std::str::from_utf8(text).map_err(|_| DecodeError::Form)?;
    let (action, rest) = field(text).ok_or(DecodeError::Form)?;
    let (token, rest) = field(space(rest).ok_or(DecodeError::Form)?).ok_or(DecodeError::Form)?;
    let (target, rest) = field(space(rest).ok_or(DecodeError::Form)?).ok_or(DecodeError::Form)?;
    let data = space(rest).ok_or(DecodeError::Form)?;
    if action.is_empty() {
        return Err(DecodeError::Form);
    }
    let token = match token {
        "" => None,
        token => Some(Token::parse(token).map_err(|_| DecodeError::Form)?),
    };
    let data = Data::parse(data).map_err(|error| DecodeError::Json {
        token: token.clone(),
        problem: error.to_string(),
    })?;
    Ok(Message {
        action: Action::parse(action),
        token,
        target: Target::parse(target),
        data,
    })
}

fn field(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('[')?.split_once(']')
}

fn space(text: &str) -> Option<&str> {
    let rest = text.trim_start();
    (rest.len() < text.len()).then_some(rest)
}

/// The action of a text that starts like a message, whatever the rest of it is.
#[must_use]
pub fn peek_action(text: &[u8]) -> Option<Action> {
    let text = std::str::from_utf8(text).ok()?;
    field(text).map(|(action, _)| Action::parse(action))
}

/// Writes a request, or anything said on the internal side.
#[must_use]
pub fn encode(message: &Message) -> String {
    let token = message.token.as_ref().map_or("", Token::as_str);
    format!(
        "[{}] [{}] [{}] {}",
        message.action,
        token,
        message.target,
        message.data.as_str()
    )
}

/// Writes an answer as a peer of this dialect expects it.
#[must_use]
pub fn encode_answer(answer: &Answer, dialect: Dialect) -> String {
    let name = match (answer.name, dialect) {
        (AnswerName::Pong, _) => "PONG",
        (AnswerName::SyncLogs, _) => "SYNCLOGS",
        (AnswerName::ConStatus, Dialect::Centreon) => "CONSTATUS",
        (AnswerName::Information, Dialect::Centreon) => "INFORMATION",
        (AnswerName::GetThumbprint, Dialect::Centreon) => "GETTHUMBPRINT",
        _ => "ACK",
    };
    let target = match answer.name {
        AnswerName::Pong | AnswerName::SyncLogs => " []",
        _ => "",
    };
    format!(
        "[{name}] [{}]{target} {{\"code\":{},\"data\":{}}}",
        answer.token.as_ref().map_or("", Token::as_str),
        answer.status.number(),
        answer.data.as_str()
    )
}

/// Reads an answer, as a client does.
///
/// # Errors
/// When the text does not have the form of an answer.
pub fn decode_answer(text: &[u8]) -> Result<Answer, DecodeError> {
    #[derive(Deserialize)]
    struct Body<'a> {
        code: serde_json::Value,
        #[serde(borrow)]
        data: Option<&'a RawValue>,
    }
    let text = std::str::from_utf8(text).map_err(|_| DecodeError::Form)?;
    let (name, rest) = field(text).ok_or(DecodeError::Form)?;
    let (token, rest) = field(space(rest).ok_or(DecodeError::Form)?).ok_or(DecodeError::Form)?;
    let mut rest = space(rest).ok_or(DecodeError::Form)?;
    let name = match name {
        "ACK" => AnswerName::Ack,
        "PONG" => AnswerName::Pong,
        "SYNCLOGS" => AnswerName::SyncLogs,
        "CONSTATUS" => AnswerName::ConStatus,
        "INFORMATION" => AnswerName::Information,
        "GETTHUMBPRINT" => AnswerName::GetThumbprint,
        _ => return Err(DecodeError::Form),
    };
    if let Some((_, after)) = field(rest) {
        rest = space(after).ok_or(DecodeError::Form)?;
    }
    let token = Token::parse(token).ok();
    let json_error = |problem: String| DecodeError::Json {
        token: token.clone(),
        problem,
    };
    let body: Body<'_> =
        serde_json::from_str(rest).map_err(|error| json_error(error.to_string()))?;
    let status = match body
        .code
        .as_i64()
        .or_else(|| body.code.as_str()?.parse().ok())
    {
        Some(0) => Status::Ok,
        Some(_) => Status::Nok,
        None => return Err(json_error("code is not a number".to_owned())),
    };
    let data = body.data.map_or_else(
        || Ok(Data::from_value(&())),
        |raw| Data::parse(raw.get()).map_err(|error| json_error(error.to_string())),
    )?;
    Ok(Answer {
        name,
        token,
        status,
        data,
    })
}
