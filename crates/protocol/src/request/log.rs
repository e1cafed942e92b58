//! GETLOG and PUTLOG: reading and writing the history.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::lenient;
use crate::{Answer, Code, Data, DataError, Dialect, Life, NodeId, Token};

/// A row of the history as it stands in the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// The store's number for it; grows, and is never used twice.
    pub id: i64,
    /// The token that it tells about; may be empty.
    pub token: String,
    /// What it says.
    pub code: Code,
    /// When it happened, seconds since 1970.
    pub etime: i64,
    /// When it was stored, seconds since 1970.
    pub ctime: i64,
    /// JSON text.
    pub data: String,
    /// The node that it was fetched from; none where it was written on the node that tells it.
    pub node: Option<NodeId>,
}

impl Row {
    /// Reads one row as it is written in answers and in streams: a JSON object. Ids as numbers or
    /// texts, and data as text or as JSON, are accepted.
    ///
    /// # Errors
    /// When it does not have the form.
    pub fn decode(text: &str, dialect: Dialect) -> Result<Self, DataError> {
        let row: RowIn = serde_json::from_str(text).map_err(DataError::from)?;
        Ok(row.into_row(dialect))
    }
}

/// Rows of the history, as an answer to GETLOG holds them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Page {
    /// In the order of their ids.
    pub rows: Vec<Row>,
    /// Whether rows were left out.
    pub more: bool,
    /// Where GETLOG was asked to wait: whether the token still runs.
    pub live: Option<bool>,
    /// Where GETLOG named a life: the one in which the rows were written.
    pub life: Option<Life>,
    /// Where that life is over, and no more of its rows follow: its last row.
    pub upto: Option<i64>,
}

/// The body of GETLOG: which rows. The seed's five filters, and those that page and wait.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GetLog {
    /// Rows with this code.
    pub code: Option<Code>,
    /// Rows of this token.
    pub token: Option<String>,
    /// Rows of the parts of this token, which went to many nodes.
    pub parent: Option<String>,
    /// Rows stored at this second or later.
    pub ctime: Option<i64>,
    /// Rows of events at this second or later.
    pub etime: Option<i64>,
    /// Rows after this one.
    pub id: Option<i64>,
    /// Rows stored at this second or earlier.
    pub until: Option<i64>,
    /// Rows before this one.
    pub before: Option<i64>,
    /// Rows of this node; of every node where it is absent.
    pub node: Option<NodeId>,
    /// At most so many rows.
    pub limit: Option<u32>,
    /// Where the limit cuts: away from the newest rows instead of the oldest. A page of these
    /// goes on with its smallest id as `before`.
    pub newest: bool,
    /// Do not answer before there is something to say, or this much time has passed.
    pub wait: Option<Duration>,
    /// What to wait for.
    pub wait_for: WaitFor,
    /// The life that the asker was told last: the answer has rows of one life only, and says of
    /// which. It is refused where the history is another one.
    pub life: Option<Life>,
}

/// What a GETLOG with `wait` waits for. It waits only for tokens that have not ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WaitFor {
    /// The token's end.
    #[default]
    End,
    /// Any row that the filters let through.
    Row,
}

#[derive(Deserialize)]
struct GetLogBody {
    #[serde(default, deserialize_with = "lenient::integer")]
    code: Option<i64>,
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    parent: Option<String>,
    #[serde(default, deserialize_with = "lenient::integer")]
    ctime: Option<i64>,
    #[serde(default, deserialize_with = "lenient::integer")]
    etime: Option<i64>,
    #[serde(default, deserialize_with = "lenient::integer")]
    id: Option<i64>,
    #[serde(default, deserialize_with = "lenient::integer")]
    until: Option<i64>,
    #[serde(default, deserialize_with = "lenient::integer")]
    before: Option<i64>,
    #[serde(default)]
    node: Option<NodeId>,
    #[serde(default, deserialize_with = "lenient::integer")]
    limit: Option<i64>,
    #[serde(default)]
    newest: bool,
    #[serde(default, deserialize_with = "lenient::seconds")]
    wait: Option<Duration>,
    #[serde(default)]
    wait_for: WaitFor,
    #[serde(default)]
    life: Option<Life>,
}

/// Longest time that a GETLOG may wait: proxies and clients give up long before.
const MAX_WAIT: Duration = Duration::from_secs(3600);

impl GetLog {
    /// Reads the body of GETLOG as a peer of this dialect writes it.
    ///
    /// # Errors
    /// When a filter has the wrong type.
    pub fn decode(data: &Data, dialect: Dialect) -> Result<Self, DataError> {
        let body: GetLogBody = data.decode()?;
        Ok(Self {
            code: body.code.map(|number| Code::from_number(number, dialect)),
            token: body.token.filter(|token| !token.is_empty()),
            parent: body.parent.filter(|token| !token.is_empty()),
            ctime: body.ctime,
            etime: body.etime,
            id: body.id,
            until: body.until,
            before: body.before,
            node: body.node,
            newest: body.newest,
            limit: body
                .limit
                .map(|limit| u32::try_from(limit.max(0)).unwrap_or(u32::MAX)),
            wait: body.wait.map(|wait| wait.min(MAX_WAIT)),
            wait_for: body.wait_for,
            life: body.life,
        })
    }

    /// Whether at least one of the seed's five filters is set, or that of the node or of the parent;
    /// without one the request is refused.
    #[must_use]
    pub const fn has_filter(&self) -> bool {
        self.code.is_some()
            || self.token.is_some()
            || self.ctime.is_some()
            || self.etime.is_some()
            || self.id.is_some()
            || self.node.is_some()
            || self.parent.is_some()
    }

    /// Writes the body.
    #[must_use]
    pub fn encode(&self, dialect: Dialect) -> Data {
        let mut body = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(name.to_owned(), value);
            }
        };
        put("code", self.code.map(|code| code.number(dialect).into()));
        put("token", self.token.clone().map(Value::from));
        put("parent", self.parent.clone().map(Value::from));
        put("ctime", self.ctime.map(Value::from));
        put("etime", self.etime.map(Value::from));
        put("id", self.id.map(Value::from));
        put("until", self.until.map(Value::from));
        put("before", self.before.map(Value::from));
        put("node", self.node.map(|node| node.get().into()));
        put("limit", self.limit.map(Value::from));
        put("life", self.life.map(|life| life.to_string().into()));
        put("newest", self.newest.then(|| true.into()));
        put("wait", self.wait.map(whole_or_fraction));
        put(
            "wait_for",
            (self.wait.is_some() && self.wait_for == WaitFor::Row).then(|| "row".into()),
        );
        Data::from_value(&body)
    }
}

/// Seconds, as a whole number where they are one.
fn whole_or_fraction(time: Duration) -> Value {
    match time.subsec_nanos() {
        0 => time.as_secs().into(),
        _ => time.as_secs_f64().into(),
    }
}

/// A row as it is written on the wire.
#[derive(Serialize)]
pub(super) struct RowOut<'a> {
    id: i64,
    token: &'a str,
    code: i64,
    etime: i64,
    ctime: i64,
    data: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<NodeId>,
}

impl<'a> RowOut<'a> {
    pub(super) fn new(row: &'a Row, dialect: Dialect) -> Self {
        Self {
            id: row.id,
            token: &row.token,
            code: row.code.number(dialect),
            etime: row.etime,
            ctime: row.ctime,
            data: &row.data,
            node: row.node,
        }
    }
}

/// A row as peers write it.
#[derive(Deserialize)]
pub(super) struct RowIn {
    #[serde(deserialize_with = "lenient::integer")]
    id: Option<i64>,
    #[serde(default)]
    token: Option<String>,
    #[serde(deserialize_with = "lenient::integer")]
    code: Option<i64>,
    #[serde(default, deserialize_with = "lenient::integer")]
    etime: Option<i64>,
    #[serde(default, deserialize_with = "lenient::integer")]
    ctime: Option<i64>,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    node: Option<NodeId>,
}

impl RowIn {
    pub(super) fn into_row(self, dialect: Dialect) -> Row {
        Row {
            id: self.id.unwrap_or_default(),
            token: self.token.unwrap_or_default(),
            code: Code::from_number(self.code.unwrap_or_default(), dialect),
            etime: self.etime.unwrap_or_default(),
            ctime: self.ctime.unwrap_or_default(),
            data: match self.data {
                Value::String(text) => text,
                other => other.to_string(),
            },
            node: self.node,
        }
    }
}

/// The answer to GETLOG. `result` is an object keyed by row id in the seed's dialect, an array
/// in the other. `more` says that rows were left out: ask again with the last `id`. `live`, where
/// it was asked to wait: whether the token still runs, so that waiting again makes sense.
#[must_use]
pub fn answer(token: Option<Token>, node: NodeId, page: &Page, dialect: Dialect) -> Answer {
    let out = |row: &Row| json!(RowOut::new(row, dialect));
    let result: Value = match dialect {
        Dialect::Seed => page
            .rows
            .iter()
            .map(|row| (row.id.to_string(), out(row)))
            .collect::<Map<_, _>>()
            .into(),
        Dialect::Centreon => page.rows.iter().map(out).collect::<Vec<_>>().into(),
    };
    let mut data = json!({ "action": "getlog", "message": "ok", "id": node, "result": result });
    if let Some(data) = data.as_object_mut() {
        if page.more {
            data.insert("more".to_owned(), true.into());
        }
        if let Some(live) = page.live {
            data.insert("live".to_owned(), live.into());
        }
        if let Some(life) = page.life {
            data.insert("life".to_owned(), json!(life));
        }
        if let Some(upto) = page.upto {
            data.insert("upto".to_owned(), upto.into());
        }
    }
    Answer::ok(token, Data::from_value(&data))
}

/// Reads an answer to GETLOG. Both forms of `result`, and ids as numbers or strings, are accepted.
///
/// # Errors
/// When the answer does not have the form.
pub fn decode_answer(answer: &Answer, dialect: Dialect) -> Result<Page, DataError> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Rows {
        Keyed(std::collections::HashMap<String, RowIn>),
        Listed(Vec<RowIn>),
    }
    #[derive(Deserialize)]
    struct Body {
        result: Rows,
        #[serde(default)]
        more: bool,
        #[serde(default)]
        live: Option<bool>,
        #[serde(default)]
        life: Option<Life>,
        #[serde(default)]
        upto: Option<i64>,
    }
    let body: Body = answer.data.decode()?;
    let rows: Vec<RowIn> = match body.result {
        Rows::Keyed(rows) => rows.into_values().collect(),
        Rows::Listed(rows) => rows,
    };
    let mut rows: Vec<Row> = rows.into_iter().map(|row| row.into_row(dialect)).collect();
    rows.sort_by_key(|row| row.id);
    Ok(Page {
        rows,
        more: body.more,
        live: body.live,
        life: body.life,
        upto: body.upto,
    })
}

/// The body of PUTLOG: a row for the history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PutLog {
    /// The token that it tells about.
    pub token: Option<String>,
    /// What it says.
    pub code: Code,
    /// When it happened, seconds since 1970; the time of arrival where it is absent.
    pub etime: Option<i64>,
    /// JSON text.
    pub data: String,
    /// The sender's number for the row, from 1 within one hand-over of the token: a row that
    /// comes again is stored once.
    pub sequence: Option<u64>,
    /// Which hand-over that is: the first one of those that the sender took for the same.
    pub attempt: Option<u32>,
}

/// The body as it is read.
#[derive(Deserialize)]
pub(crate) struct PutLogIn {
    #[serde(deserialize_with = "lenient::integer")]
    code: Option<i64>,
    #[serde(default)]
    token: Option<String>,
    #[serde(default, deserialize_with = "lenient::integer")]
    etime: Option<i64>,
    #[serde(default)]
    data: Option<Box<RawValue>>,
    #[serde(default)]
    sequence: Option<u64>,
    #[serde(default)]
    attempt: Option<u32>,
}

/// The body as it is written.
#[derive(Serialize)]
pub(crate) struct PutLogOut<'a> {
    code: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    etime: Option<i64>,
    data: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
}

impl PutLog {
    /// Reads the body of PUTLOG as a peer of this dialect writes it.
    ///
    /// # Errors
    /// When `code` is missing or a member has the wrong type.
    pub fn decode(data: &Data, dialect: Dialect) -> Result<Self, DataError> {
        data.decode::<PutLogIn>()?.check(dialect)
    }

    /// Writes the body.
    #[must_use]
    pub fn encode(&self, dialect: Dialect) -> Data {
        let null = RawValue::NULL.to_owned();
        let data = RawValue::from_string(self.data.clone()).unwrap_or(null);
        Data::from_value(&self.out(&data, dialect))
    }

    /// The body with `data` in the place of the text.
    pub(crate) fn out<'a>(&'a self, data: &'a RawValue, dialect: Dialect) -> PutLogOut<'a> {
        PutLogOut {
            code: self.code.number(dialect),
            token: self.token.as_deref(),
            etime: self.etime,
            data,
            sequence: self.sequence,
            attempt: self.attempt,
        }
    }
}

impl PutLogIn {
    pub(crate) fn check(self, dialect: Dialect) -> Result<PutLog, DataError> {
        let code = self
            .code
            .ok_or_else(|| serde::de::Error::custom("'code' is missing"))
            .map_err(|error: serde_json::Error| DataError::from(error))?;
        Ok(PutLog {
            token: self.token.filter(|token| !token.is_empty()),
            code: Code::from_number(code, dialect),
            etime: self.etime,
            data: self
                .data
                .map_or_else(|| "{}".to_owned(), |raw| raw.get().to_owned()),
            sequence: self.sequence,
            attempt: self.attempt,
        })
    }
}
