//! What is kept with core, key by key.
//!
//! ```text
//! cron/job/ID        a job that was added at run time
//! cron/set/ID        what was set at run time of a job of the configuration
//! cron/at/ID         how far a job has come
//! cron/run/ID/N      a run that has not ended
//! cron/past/ID/SLOT  runs that have ended, the newest in the place of the oldest
//! ```

use gorgone_protocol::request::lease::LeaseName;
use gorgone_schedule::JobId;
use serde::{Deserialize, Serialize};

/// The lease, and what all keys begin with.
pub(crate) const LEASE: &str = "cron";

/// What a new leader reads.
pub(crate) const LOADED: [&str; 4] = ["cron/job/", "cron/set/", "cron/at/", "cron/run/"];

pub(crate) fn lease() -> Option<LeaseName> {
    LeaseName::parse(LEASE).ok()
}

pub(crate) fn job_key(id: &JobId) -> String {
    format!("{LEASE}/job/{id}")
}

pub(crate) fn set_key(id: &JobId) -> String {
    format!("{LEASE}/set/{id}")
}

pub(crate) fn at_key(id: &JobId) -> String {
    format!("{LEASE}/at/{id}")
}

pub(crate) fn run_key(id: &JobId, number: u64) -> String {
    format!("{LEASE}/run/{id}/{number}")
}

/// The keys of a job's past begin so.
pub(crate) fn past_prefix(id: &JobId) -> String {
    format!("{LEASE}/past/{id}/")
}

pub(crate) fn past_key(id: &JobId, slot: u64) -> String {
    format!("{}{slot}", past_prefix(id))
}

/// A key that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Key {
    Job(JobId),
    Set(JobId),
    At(JobId),
    Run(JobId, u64),
}

impl Key {
    pub(crate) fn parse(key: &str) -> Option<Self> {
        let mut parts = key.splitn(4, '/');
        let (_, kind, id) = (parts.next()?, parts.next()?, parts.next()?);
        let id = JobId::parse(id).ok()?;
        match (kind, parts.next()) {
            ("job", None) => Some(Self::Job(id)),
            ("set", None) => Some(Self::Set(id)),
            ("at", None) => Some(Self::At(id)),
            ("run", Some(number)) => Some(Self::Run(id, number.parse().ok()?)),
            _ => None,
        }
    }
}

/// What was set at run time of a job of the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Setting {
    /// Whether it rests.
    pub(crate) suspend: bool,
    /// What the configuration said of that by then. When it says otherwise, it is followed.
    pub(crate) file: bool,
}

/// How far a job has come.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct At {
    /// All instants up to this one have been decided; seconds since 1970.
    pub(crate) cursor: i64,
    /// How many runs there were.
    pub(crate) count: u64,
    /// When the job was due by then. Where that has changed, nothing was missed.
    pub(crate) spec: String,
    /// How many keys its past may take.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) slots: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last: Option<Past>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) skipped: Option<Skipped>,
}

/// A run that has ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Past {
    pub(crate) number: u64,
    pub(crate) scheduled: i64,
    pub(crate) token: String,
    pub(crate) ok: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) began: Option<i64>,
    pub(crate) ended: i64,
    /// How many times it was begun again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) retry: u32,
}

/// The latest instant that has had no run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Skipped {
    pub(crate) scheduled: i64,
    pub(crate) reason: String,
}

/// A run that has not ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct RunRecord {
    pub(crate) scheduled: i64,
    pub(crate) stage: StageRecord,
    /// When it came to that stage; milliseconds since 1970.
    pub(crate) since_ms: i64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) manual: bool,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) retry: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cancel: Option<Why>,
    /// What is asked for, to the letter: a request that is said again must be the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<RequestRecord>,
}

/// How far a run has come, as far as it is written down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StageRecord {
    /// It waits for the one before it.
    Queued,
    /// It is to be begun again, at this time; milliseconds since 1970.
    Again(i64),
    /// It is asked for, or about to be.
    Asked,
}

/// Why a run is to end early.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Why {
    /// It takes longer than it may.
    MaxRuntime,
    /// The next one takes its place.
    Replaced,
}

/// The request of a run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct RequestRecord {
    pub(crate) action: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) target: String,
    pub(crate) data: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The JSON text of what is kept. These types can all be written.
pub(crate) fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}
