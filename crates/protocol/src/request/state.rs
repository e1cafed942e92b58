//! PUTSTATE and GETSTATE: what a module keeps with core, so that another instance of it can go on.
//!
//! ```text
//! module → core   [PUTSTATE] [t] [] {"fence":{"name":"cron","number":7},
//!                     "put":{"cron/a":{…}}, "drop":["cron/b"], "rows":[{"token":…,"code":0,"data":…}]}
//! core → module   [ACK] [t] {"code":0,"data":{"message":"state written"}}
//!                 [ACK] [t] {"code":1,"data":{"error":"fenced","fence":8,"message":…}}
//! module → core   [GETSTATE] [t] [] {"prefix":"cron/","after":"cron/a","limit":100}
//! core → module   [ACK] [t] {"code":0,"data":{"state":{"cron/c":{…}},"more":true}}
//! ```
//! A PUTSTATE is written whole or not at all, and only while its fence is the current one of the
//! lease; keys begin with the lease's name and a slash. Rows are like those of PUTLOG. With a
//! `sequence` it is written once, however often it comes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::lease::LeaseName;
use super::lenient;
use super::log::{PutLog, PutLogIn, PutLogOut};
use crate::{Answer, Data, DataError, Dialect, Token};

/// The right to write: which lease, and under which of its fences.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fence {
    /// The lease.
    pub name: LeaseName,
    /// What the holder was told when it got the lease.
    pub number: u64,
}

/// The body of PUTSTATE.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PutState {
    /// Under which fence.
    pub fence: Fence,
    /// The sender's number for it within the fence, from 1: one that is not above the last one
    /// written was written already. Send the next only after this one was answered.
    pub sequence: Option<u64>,
    /// What is to stand under each key: JSON text.
    pub put: BTreeMap<String, String>,
    /// Keys that are to be gone, before the others are put.
    pub drop: BTreeSet<String>,
    /// Rows for the history, with a token each that belongs to no request.
    pub rows: Vec<PutLog>,
}

/// A body of PUTSTATE that cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It does not have the form.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A key that may not be written under this lease.
    #[error("key '{key}' {problem}")]
    Key {
        /// The key, cut where it is long.
        key: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// More at once than may be.
    #[error("too much at once: {0}; split it")]
    TooMuch(&'static str),
    /// A row that names no token.
    #[error("a row names no token")]
    Row,
}

#[derive(Deserialize)]
struct PutIn {
    fence: Fence,
    #[serde(default)]
    sequence: Option<u64>,
    #[serde(default)]
    put: BTreeMap<String, Box<RawValue>>,
    #[serde(default)]
    drop: BTreeSet<String>,
    #[serde(default)]
    rows: Vec<PutLogIn>,
}

#[derive(Serialize)]
struct PutOut<'a> {
    fence: &'a Fence,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    put: BTreeMap<&'a str, &'a RawValue>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    drop: &'a BTreeSet<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rows: Vec<PutLogOut<'a>>,
}

impl PutState {
    /// Longest key in bytes.
    pub const KEY_BYTES: usize = 512;
    /// Largest value in bytes.
    pub const VALUE_BYTES: usize = 256 * 1024;
    /// Keys and rows in one request, all together.
    pub const ENTRIES: usize = 4096;
    /// Bytes of one request's DATA.
    pub const BYTES: usize = 8 * 1024 * 1024;

    /// Reads the body and checks its limits.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(data: &Data) -> Result<Self, StateError> {
        if data.as_str().len() > Self::BYTES {
            return Err(StateError::TooMuch("8 MiB is the most"));
        }
        let body: PutIn = data.decode()?;
        if body.put.len() + body.drop.len() + body.rows.len() > Self::ENTRIES {
            return Err(StateError::TooMuch("4096 keys and rows are the most"));
        }
        let prefix = format!("{}/", body.fence.name.as_str());
        for key in body.put.keys().chain(&body.drop) {
            check_key(key, &prefix)?;
        }
        let large = |value: &RawValue| value.get().len() > Self::VALUE_BYTES;
        if body.put.values().any(|value| large(value)) {
            return Err(StateError::TooMuch("256 KiB under one key are the most"));
        }
        let rows = body
            .rows
            .into_iter()
            .map(|row| {
                let row = row.check(Dialect::Seed)?;
                // A number would make it a row of a request that a module runs.
                let row = PutLog {
                    sequence: None,
                    attempt: None,
                    ..row
                };
                row.token.is_some().then_some(row).ok_or(StateError::Row)
            })
            .collect::<Result<Vec<_>, StateError>>()?;
        Ok(Self {
            fence: body.fence,
            sequence: body.sequence,
            put: body
                .put
                .into_iter()
                .map(|(key, value)| (key, value.get().to_owned()))
                .collect(),
            drop: body.drop,
            rows,
        })
    }

    /// Writes the body. A value that is no JSON text becomes `null`.
    #[must_use]
    pub fn encode(&self) -> Data {
        let raw = |text: &str| {
            serde_json::from_str::<&RawValue>(text)
                .map_or(RawValue::NULL.to_owned(), ToOwned::to_owned)
        };
        let values: Vec<Box<RawValue>> = self.put.values().map(|value| raw(value)).collect();
        let rows: Vec<Box<RawValue>> = self.rows.iter().map(|row| raw(&row.data)).collect();
        Data::from_value(&PutOut {
            fence: &self.fence,
            sequence: self.sequence,
            put: self
                .put
                .keys()
                .map(String::as_str)
                .zip(values.iter().map(AsRef::as_ref))
                .collect(),
            drop: &self.drop,
            rows: self
                .rows
                .iter()
                .zip(&rows)
                .map(|(row, data)| row.out(data, Dialect::Seed))
                .collect(),
        })
    }
}

fn check_key(key: &str, prefix: &str) -> Result<(), StateError> {
    let problem = if !key.starts_with(prefix) || key.len() == prefix.len() {
        "does not begin with the lease's name, a slash, and something behind it"
    } else if key.len() > PutState::KEY_BYTES {
        "is longer than 512 bytes"
    } else if key.chars().any(char::is_control) {
        "contains a control character"
    } else {
        return Ok(());
    };
    Err(StateError::Key {
        key: key.chars().take(80).collect(),
        problem,
    })
}

/// The answer to a PUTSTATE whose fence is not the current one.
#[must_use]
pub fn fenced(token: Token, name: &LeaseName, current: u64) -> Answer {
    let message = format!(
        "the lease '{}' has another holder by now; nothing was written",
        name.as_str()
    );
    let data = json!({ "message": message, "error": "fenced", "fence": current });
    Answer::refused_with(Some(token), data)
}

/// Whether an answer to PUTSTATE says that the fence is not the current one.
#[must_use]
pub fn is_fenced(answer: &Answer) -> bool {
    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        error: Option<String>,
    }
    let body = answer.data.decode::<Body>().ok();
    body.and_then(|body| body.error).as_deref() == Some("fenced")
}

/// The body of GETSTATE: which keys.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GetState {
    /// Keys that begin so.
    pub prefix: String,
    /// Keys behind this one.
    pub after: Option<String>,
    /// At most so many.
    pub limit: Option<u32>,
}

#[derive(Serialize, Deserialize)]
struct GetBody {
    prefix: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    #[serde(
        default,
        deserialize_with = "lenient::integer",
        skip_serializing_if = "Option::is_none"
    )]
    limit: Option<i64>,
}

impl GetState {
    /// Reads the body.
    ///
    /// # Errors
    /// When `prefix` is missing or a member has the wrong type.
    pub fn decode(data: &Data) -> Result<Self, DataError> {
        let body: GetBody = data.decode()?;
        Ok(Self {
            prefix: body.prefix,
            after: body.after,
            limit: body
                .limit
                .map(|limit| u32::try_from(limit.max(1)).unwrap_or(u32::MAX)),
        })
    }

    /// Writes the body.
    #[must_use]
    pub fn encode(&self) -> Data {
        Data::from_value(&GetBody {
            prefix: self.prefix.clone(),
            after: self.after.clone(),
            limit: self.limit.map(i64::from),
        })
    }
}

/// What a module keeps under some keys: a bounded piece of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StatePage {
    /// Sorted by their keys; the values are JSON text.
    pub entries: Vec<(String, String)>,
    /// Whether there is more: ask again with the last key as `after`.
    pub more: bool,
}

impl StatePage {
    /// The answer to GETSTATE.
    #[must_use]
    pub fn answer(&self, token: Token) -> Answer {
        #[derive(Serialize)]
        struct Out<'a> {
            state: BTreeMap<&'a str, Box<RawValue>>,
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            more: bool,
        }
        let null = || RawValue::NULL.to_owned();
        let state = self.entries.iter().map(|(key, value)| {
            let value = RawValue::from_string(value.clone()).unwrap_or_else(|_| null());
            (key.as_str(), value)
        });
        let out = Out {
            state: state.collect(),
            more: self.more,
        };
        Answer::ok(Some(token), Data::from_value(&out))
    }

    /// Reads the answer.
    ///
    /// # Errors
    /// When it has another form.
    pub fn decode(answer: &Answer) -> Result<Self, DataError> {
        #[derive(Deserialize)]
        struct In {
            state: BTreeMap<String, Box<RawValue>>,
            #[serde(default)]
            more: bool,
        }
        let body: In = answer.data.decode()?;
        Ok(Self {
            entries: body
                .state
                .into_iter()
                .map(|(key, value)| (key, value.get().to_owned()))
                .collect(),
            more: body.more,
        })
    }
}
