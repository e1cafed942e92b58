//! GETAUDIT: who asked what of which node, from where, and what became of it.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::lenient;
use crate::{Answer, Code, Data, DataError, Dialect, NodeId, Token};

/// Through which door a request came in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Door {
    /// The external endpoint.
    Zeromq,
    /// A module that speaks HTTP.
    Http,
    /// The connection that this node made to its central.
    Pull,
}

impl Door {
    /// The word on the wire and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Zeromq => "zeromq",
            Self::Http => "http",
            Self::Pull => "pull",
        }
    }

    /// The door of this name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Zeromq, Self::Http, Self::Pull]
            .into_iter()
            .find(|door| door.as_str() == text)
    }
}

/// What became of a request at once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was accepted, and runs on by itself: how it ended is told beside it.
    Accepted,
    /// It was done there and then.
    Answered,
    /// Nothing was done, for the reason in the row's message.
    Refused,
    /// Nothing was done: its sender may not ask for that.
    Forbidden,
}

impl Outcome {
    /// The word on the wire and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Forbidden => "forbidden",
        }
    }

    /// The outcome of this name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Accepted,
            Self::Answered,
            Self::Refused,
            Self::Forbidden,
        ]
        .into_iter()
        .find(|outcome| outcome.as_str() == text)
    }
}

/// A row of the audit as it stands in the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditRow {
    /// The store's number for it; grows, and is never used twice.
    pub id: i64,
    /// When it was asked, seconds since 1970.
    pub time: i64,
    /// Where it came in.
    pub door: Door,
    /// The credential: a client's name or else its thumbprint, or a user's name.
    pub who: String,
    /// The address that it came from, where there is one.
    pub from: Option<String>,
    /// What was asked for; `*` in a row that stands for several refused requests.
    pub action: String,
    /// The id of the node that was to do it, also where the request left it empty.
    pub node: String,
    /// The token of the request; empty in a row that stands for several.
    pub token: String,
    /// The request's DATA, without its secrets, and cut where it was long.
    pub request: String,
    /// What became of it at once.
    pub outcome: Outcome,
    /// More about the outcome; may be empty.
    pub message: String,
    /// How what was accepted ended, as soon as it has.
    pub end: Option<AuditEnd>,
}

/// How an accepted request ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditEnd {
    /// OK or KO.
    pub code: Code,
    /// `reason` of a KO's terminal row.
    pub reason: Option<String>,
    /// When that was written down, seconds since 1970.
    pub time: i64,
}

/// The body of GETAUDIT: which rows. All that is set must hold; without anything, all rows.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GetAudit {
    /// Rows of this credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// Rows of requests for this action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Rows of requests to this node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// Rows of requests with this token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Rows of this second or later, since 1970.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::integer"
    )]
    pub since: Option<i64>,
    /// Rows of this second or earlier, since 1970.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::integer"
    )]
    pub until: Option<i64>,
    /// Rows of requests with this outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Rows with a higher id.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::integer"
    )]
    pub id: Option<i64>,
    /// Rows with a lower id.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::integer"
    )]
    pub before: Option<i64>,
    /// At most so many rows.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::integer"
    )]
    pub limit: Option<i64>,
    /// Whether to look from the newest row backwards. The rows come in the order of their ids
    /// either way.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub newest: bool,
}

/// A bounded piece of the audit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AuditPage {
    /// In the order of their ids.
    pub rows: Vec<AuditRow>,
    /// There may be more rows: ask again with this as `id`, or as `before` where the newest
    /// came first. A page may be empty and still not be the last.
    pub next: Option<i64>,
}

/// A row as it is written in an answer.
#[derive(Serialize, Deserialize)]
struct RowOnWire {
    id: i64,
    time: i64,
    door: Door,
    who: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    action: String,
    node: String,
    token: String,
    request: String,
    outcome: Outcome,
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<EndOnWire>,
}

#[derive(Serialize, Deserialize)]
struct EndOnWire {
    code: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    time: i64,
}

/// The answer to GETAUDIT: `result` is an array of rows. `more` says that there may be others:
/// ask again with `next`.
#[must_use]
pub fn answer(token: Option<Token>, node: NodeId, page: AuditPage, dialect: Dialect) -> Answer {
    let rows: Vec<RowOnWire> = page
        .rows
        .into_iter()
        .map(|row| RowOnWire {
            id: row.id,
            time: row.time,
            door: row.door,
            who: row.who,
            from: row.from,
            action: row.action,
            node: row.node,
            token: row.token,
            request: row.request,
            outcome: row.outcome,
            message: row.message,
            end: row.end.map(|end| EndOnWire {
                code: end.code.number(dialect),
                reason: end.reason,
                time: end.time,
            }),
        })
        .collect();
    let mut data = json!({ "action": "getaudit", "message": "ok", "id": node, "result": rows });
    if let Some(next) = page.next {
        data["more"] = true.into();
        data["next"] = next.into();
    }
    Answer::ok(token, Data::from_value(&data))
}

/// Reads the answer to GETAUDIT.
///
/// # Errors
/// When the answer does not have the form.
pub fn decode_answer(answer: &Answer, dialect: Dialect) -> Result<AuditPage, DataError> {
    #[derive(Deserialize)]
    struct Body {
        result: Vec<RowOnWire>,
        #[serde(default)]
        next: Option<i64>,
    }
    let body: Body = answer.data.decode()?;
    let rows = body.result.into_iter().map(|row| AuditRow {
        id: row.id,
        time: row.time,
        door: row.door,
        who: row.who,
        from: row.from,
        action: row.action,
        node: row.node,
        token: row.token,
        request: row.request,
        outcome: row.outcome,
        message: row.message,
        end: row.end.map(|end| AuditEnd {
            code: Code::from_number(end.code, dialect),
            reason: end.reason,
            time: end.time,
        }),
    });
    Ok(AuditPage {
        rows: rows.collect(),
        next: body.next,
    })
}
