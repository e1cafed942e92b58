//! What a request is answered with.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::request::cancel;
use crate::{Action, Data, NodeId, Selection, Token};

/// `[ACK] [TOKEN] {"code":…,"data":…}`, and the few answers with a name of their own.
#[derive(Clone, PartialEq, Debug)]
pub struct Answer {
    /// The word in the first field.
    pub name: AnswerName,
    /// The token of the request; absent where the request could not be read.
    pub token: Option<Token>,
    /// Whether the request was taken.
    pub status: Status,
    /// What there is to say: the inner `data` of the JSON stream, as JSON text.
    pub data: Data,
}

/// The first field of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AnswerName {
    /// The answer to almost everything.
    Ack,
    /// The answer to PING; has an empty target field.
    Pong,
    /// The answer to CONSTATUS (its own name in the newer dialect only).
    ConStatus,
    /// The answer to INFORMATION (its own name in the newer dialect only).
    Information,
    /// The answer to GETTHUMBPRINT (its own name in the newer dialect only).
    GetThumbprint,
    /// An unasked notice to parents; has an empty target field.
    SyncLogs,
}

/// `code` of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// 0: the request was taken; with a durable record, where it starts something.
    Ok,
    /// 1: it was not.
    Nok,
}

impl Status {
    /// The number on the wire, the same in both dialects.
    #[must_use]
    pub const fn number(self) -> i64 {
        match self {
            Self::Ok => 0,
            Self::Nok => 1,
        }
    }
}

impl Answer {
    /// A plain acknowledgement.
    #[must_use]
    pub fn ok(token: Option<Token>, data: Data) -> Self {
        Self {
            name: AnswerName::Ack,
            token,
            status: Status::Ok,
            data,
        }
    }

    /// A refusal that says why.
    #[must_use]
    pub fn refused(token: Option<Token>, message: &str) -> Self {
        Self::refused_with(token, json!({ "message": message }))
    }

    /// A refusal with more members than a message.
    #[must_use]
    pub fn refused_with(token: Option<Token>, data: Value) -> Self {
        Self {
            name: AnswerName::Ack,
            token,
            status: Status::Nok,
            data: Data::from_value(&data),
        }
    }

    /// A refusal because a bounded queue is full: nothing was accepted, try again later.
    #[must_use]
    pub fn busy(token: Option<Token>, message: &str) -> Self {
        Self::refused_with(token, json!({ "message": message, "error": "busy" }))
    }

    /// A refusal because its sender may not ask for that, whoever else may.
    #[must_use]
    pub fn forbidden(token: Option<Token>, message: &str) -> Self {
        Self::refused_with(token, json!({ "message": message, "error": "forbidden" }))
    }

    /// The same answer under another name.
    #[must_use]
    pub fn named(mut self, name: AnswerName) -> Self {
        self.name = name;
        self
    }
}

/// The words that every daemon in the field uses while it ends.
pub const STOPPING: &str = "gorgone is stopping/restarting. Not proceed request.";

/// The words for an action that nobody offers.
#[must_use]
pub fn not_known(action: &Action) -> String {
    format!("action '{action}' is not known")
}

/// The words for a request to another node where nothing carries requests to any.
pub const NO_PROXY: &str = "no proxy configured. cannot manage target.";

/// The words for a request to a node that no way leads to.
#[must_use]
pub fn no_route(node: NodeId) -> String {
    format!("no route to node {node}")
}

/// The words for a request to a selection that means no node at the moment.
#[must_use]
pub fn no_node(selection: &Selection) -> String {
    format!("'{selection}' {SELECTS_NONE}")
}

const SELECTS_NONE: &str = "selects no node that is registered";

/// Why a request was refused, as far as its sender can do something about it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Why {
    /// Something is full: try again later.
    Busy,
    /// The store does not answer, or core is about to end: try again later.
    Unavailable,
    /// Its sender may not ask for that.
    Forbidden,
    /// Nobody offers the action.
    UnknownAction,
    /// There is no way to the node that it is for.
    NoRoute,
    /// There is no request with the token that it is about.
    UnknownToken,
    /// What it is about had ended.
    Over,
    /// Anything else; the words say what.
    Other,
}

impl Answer {
    /// The words of a refusal, and what they mean. None where the request was taken.
    #[must_use]
    pub fn refusal(&self, action: &Action) -> Option<(String, Why)> {
        #[derive(Deserialize)]
        struct Body {
            message: String,
            #[serde(default)]
            error: Option<String>,
        }
        if self.status == Status::Ok {
            return None;
        }
        let Ok(body) = self.data.decode::<Body>() else {
            return Some((self.data.as_str().to_owned(), Why::Other));
        };
        let why = match body.error.as_deref() {
            Some("busy") => Why::Busy,
            Some("unavailable") => Why::Unavailable,
            Some("forbidden") => Why::Forbidden,
            Some(cancel::UNKNOWN_TOKEN) => Why::UnknownToken,
            Some(cancel::OVER) => Why::Over,
            _ if body.message == STOPPING => Why::Unavailable,
            _ if body.message == not_known(action) => Why::UnknownAction,
            _ if body.message == NO_PROXY
                || body.message.starts_with("no route to node ")
                || body.message.ends_with(SELECTS_NONE) =>
            {
                Why::NoRoute
            }
            _ => Why::Other,
        };
        Some((body.message, why))
    }
}
