//! Rows of the history as callers see them.

use gorgone_protocol::Dialect;
use gorgone_protocol::request::log::Row as LogRow;
use serde::Serialize;
use utoipa::ToSchema;

/// One step of a request, or what became of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Row {
    /// The row's number; a later row has a higher one.
    #[schema(example = 17)]
    id: i64,
    /// The request that it tells about.
    token: String,
    /// 0: it proceeds; 1: it finished OK; 2: it finished KO; others belong to modules.
    #[schema(example = 1)]
    code: i64,
    /// When it happened, seconds since 1970.
    #[schema(example = 1_700_000_000)]
    etime: i64,
    /// When it was stored, seconds since 1970.
    #[schema(example = 1_700_000_000)]
    ctime: i64,
    /// What it says: JSON, as text.
    #[schema(example = r#"{"message":"proceed"}"#)]
    data: String,
}

impl From<LogRow> for Row {
    fn from(row: LogRow) -> Self {
        Self {
            id: row.id,
            token: row.token,
            code: row.code.number(Dialect::Seed),
            etime: row.etime,
            ctime: row.ctime,
            data: row.data,
        }
    }
}

/// Rows of a token.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Logs {
    /// `Logs found`.
    #[schema(example = "Logs found")]
    message: &'static str,
    /// The token that was asked for.
    token: String,
    /// Its rows, in their order.
    data: Vec<Row>,
    /// Only where not all rows are here, or the node could not be asked for its newest: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

/// No row of a token yet. The status is 200 all the same: clients depend on it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoLogs {
    /// `no_log`.
    #[schema(example = "no_log")]
    error: &'static str,
    /// `No log found for token`.
    #[schema(example = "No log found for token")]
    message: &'static str,
    /// Empty.
    data: Vec<Row>,
    /// The token that was asked for.
    token: String,
    /// Only where the node could not be asked for its newest rows: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

/// What the log endpoint answers.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum LogAnswer {
    /// There are rows.
    Found(Logs),
    /// There is none.
    None(NoLogs),
}

impl LogAnswer {
    pub(crate) fn new(token: &str, rows: Vec<Row>, warning: Option<String>) -> Self {
        let token = token.to_owned();
        if rows.is_empty() {
            return Self::None(NoLogs {
                error: "no_log",
                message: "No log found for token",
                data: rows,
                token,
                warning,
            });
        }
        Self::Found(Logs {
            message: "Logs found",
            token,
            data: rows,
            warning,
        })
    }
}

/// A page of the history, newest row first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct HistoryPage {
    /// `Logs found`, or `No log found`.
    #[schema(example = "Logs found")]
    pub(crate) message: &'static str,
    /// The rows, newest first.
    pub(crate) data: Vec<Row>,
    /// `after` of the next page; null where this is the last one.
    pub(crate) next: Option<i64>,
}
