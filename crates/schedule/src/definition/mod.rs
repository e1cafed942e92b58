//! A job as it is defined: in the configuration, by ADDCRON, and in the store.
//!
//! ```text
//! {"id":"backup","timespec":"30 2 * * *","action":"COMMAND","parameters":{"command":"…"}}
//! ```
//! A definition is good as a whole or not at all; what is wrong with it is said of every
//! field at once. Whatever a field does, its default is what a plain cron does.

mod backoff;
mod error;
mod id;
mod jitter;
mod read;
mod write;

use std::time::Duration;

use gorgone_protocol::{Action, Data, Target};
use serde_json::{Map, Value};

use crate::timespec::Timespec;
use crate::zone::{Zone, Zones};

pub use backoff::Backoff;
pub use error::{DefinitionError, FieldProblem};
pub use id::{InvalidJobId, JobId};

/// A job.
#[derive(Clone, PartialEq, Debug)]
pub struct Definition {
    /// Its name, unique among the jobs of a node.
    pub id: JobId,
    /// What it is for; free text.
    pub description: String,
    /// When it is due.
    pub timespec: Timespec,
    /// The zone that it names; [`Definition::zone`] is the one that it goes by.
    pub timezone: Option<String>,
    /// What is asked for at that time.
    pub action: Action,
    /// Who is to do it.
    pub target: Target,
    /// The DATA of the request: an object, or a list that stands for its `content`.
    pub parameters: Value,
    /// Whether the result of every run stands under the job's id as its token, too.
    pub keep_token: bool,
    /// What happens when a run is due and the one before has not ended.
    pub overlap: Overlap,
    /// What happens with runs that were due while nobody could begin them.
    pub catchup: Catchup,
    /// Runs that were due longer ago than this are not caught up with.
    pub catchup_window: Duration,
    /// A run that cannot begin within this time after it was due does not begin at all.
    pub start_deadline: Option<Duration>,
    /// Runs begin later than they are due by a time up to this, always the same one for a
    /// job on a node: see [`Definition::delay`].
    pub jitter: Duration,
    /// Whether it rests: nothing is begun, and what would have been is not caught up with.
    pub suspend: bool,
    /// Nothing is due before this; seconds since 1970.
    pub starts_at: Option<i64>,
    /// Nothing is due from this on; seconds since 1970.
    pub expires_at: Option<i64>,
    /// How many times a run that ended KO is begun again.
    pub retries: u32,
    /// How long to wait before that.
    pub retry_backoff: Backoff,
    /// A run that takes longer is cancelled.
    pub max_runtime: Option<Duration>,
    /// How many runs are kept to be shown.
    pub keep_runs: u32,
    zone: Zone,
}

/// What happens when a run is due and the one before has not ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Overlap {
    /// Both go on.
    #[default]
    Allow,
    /// The new one is not begun.
    Forbid,
    /// The old one is cancelled.
    Replace,
    /// The new one is begun when the old one has ended.
    Queue,
}

/// What happens with runs that were due while nobody could begin them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Catchup {
    /// They are left out.
    #[default]
    None,
    /// The latest of them is begun.
    Latest,
    /// Each of them is begun, in order.
    All,
}

impl Definition {
    /// Reads a definition.
    ///
    /// Numbers and truth values may be quoted, as the configuration has them.
    ///
    /// # Errors
    /// With everything that is wrong, each with its field.
    pub fn parse(value: &Value, zones: &Zones) -> Result<Self, DefinitionError> {
        read::definition(value, zones)
    }

    /// The definition with some fields changed, as UPDATECRON does: a field that is there
    /// takes the place of the old one as a whole, `null` brings its default back.
    ///
    /// # Errors
    /// With everything that is wrong, each with its field; the id cannot be changed.
    pub fn patched(
        &self,
        changes: &Map<String, Value>,
        zones: &Zones,
    ) -> Result<Self, DefinitionError> {
        write::patched(self, changes, zones)
    }

    /// Writes the definition so that [`Definition::parse`] reads it back: what is needed, and
    /// what is not at its default.
    #[must_use]
    pub fn to_json(&self) -> Map<String, Value> {
        write::definition(self)
    }

    /// The DATA of its requests.
    #[must_use]
    pub fn data(&self) -> Data {
        match &self.parameters {
            list @ Value::Array(_) => Data::from_value(&serde_json::json!({ "content": list })),
            object => Data::from_value(object),
        }
    }

    /// The zone that it goes by.
    #[must_use]
    pub const fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The first instant after `after` at which it is due, both in seconds since 1970.
    /// Neither `suspend` nor `jitter` changes that.
    #[must_use]
    pub fn next(&self, after: i64) -> Option<i64> {
        let after = match self.starts_at {
            Some(start) => after.max(start.saturating_sub(1)),
            None => after,
        };
        self.timespec
            .next(after, &self.zone)
            .filter(|due| self.expires_at.is_none_or(|end| *due < end))
    }

    /// All instants after `after` at which it is due, in order.
    pub fn after(&self, after: i64) -> impl Iterator<Item = i64> + '_ {
        std::iter::successors(self.next(after), |due| self.next(*due))
    }

    /// When it is due, in English: `every day at midnight (Europe/Paris)`, with the zone that
    /// it names.
    #[must_use]
    pub fn words(&self) -> String {
        match &self.timezone {
            Some(zone) => format!("{} ({zone})", self.timespec.words()),
            None => self.timespec.words(),
        }
    }

    /// How much later than it is due it begins on a node: at most `jitter`, in milliseconds.
    #[must_use]
    pub fn delay(&self, node: u64) -> Duration {
        jitter::delay(&self.id, node, self.jitter)
    }
}
