//! What a group of batches comes to: decided here, without SQL, from what the database knows
//! about the tasks that the group names. The result is a handful of multi-row statements.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use gorgone_protocol::request::state::Fence;
use gorgone_protocol::{Code, Dialect, NodeId, Verdict};
use gorgone_routing::{
    NewAudit, NewRow, Record, Runner, Spread, StateChange, Task, TaskState, Written,
};

use crate::audit::End;
use crate::change::{Digest, SyncMark, column_id, digest};
use crate::lives::Synced;
use crate::session::SessionChange;
use crate::{Change, Error};

/// How far a task has come, as its row says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Progress {
    Live(TaskState),
    /// When, in seconds since 1970, and how where that is known: not of tasks that ended under an
    /// older release.
    Finished(i64, Option<Verdict>),
}

/// The part of a task that changes.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) progress: Progress,
    pub(crate) attempt: u32,
    pub(crate) retries: u32,
    /// Per attempt the number of its last row.
    pub(crate) counted: Counted,
}

/// A task that the database has, or that the group adds.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) place: Place,
    pub(crate) digest: Digest,
    pub(crate) standing: Standing,
    pub(crate) changed: bool,
}

#[derive(Debug)]
pub(crate) enum Place {
    /// The row with this id.
    Stored(i64),
    /// Among the plan's new tasks.
    New,
}

/// A lease that the database has, or that the group adds.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct LeaseRow {
    pub(crate) fence: u64,
    pub(crate) holder: Option<Runner>,
    /// Seconds.
    pub(crate) ttl: u64,
    /// The last number of a change under this fence.
    pub(crate) sequence: u64,
    pub(crate) changed: bool,
}

/// A row for the history.
#[derive(Debug)]
pub(crate) struct PlannedRow<'a> {
    pub(crate) token: &'a str,
    pub(crate) code: Code,
    pub(crate) etime: i64,
    pub(crate) ctime: i64,
    pub(crate) data: Cow<'a, str>,
    /// The node that it comes from, its life there, and its id.
    pub(crate) origin: Option<(i64, i64, i64)>,
}

impl<'a> From<&'a NewRow> for PlannedRow<'a> {
    fn from(row: &'a NewRow) -> Self {
        Self {
            token: &row.token,
            code: row.code,
            etime: row.etime,
            ctime: row.ctime,
            data: Cow::Borrowed(&row.data),
            origin: None,
        }
    }
}

/// What is to be written, and what is then to be answered.
#[derive(Default, Debug)]
pub(crate) struct Plan<'a> {
    /// Tasks that the group names and that exist.
    pub(crate) known: HashMap<&'a str, Known>,
    /// Leases that the group names.
    pub(crate) leases: BTreeMap<&'a str, LeaseRow>,
    /// `None`: the key is to be gone.
    pub(crate) state: BTreeMap<&'a str, Option<&'a str>>,
    pub(crate) new_tasks: Vec<&'a Task>,
    pub(crate) rows: Vec<PlannedRow<'a>>,
    /// Nodes whose rows the group brings.
    pub(crate) synced: BTreeMap<i64, Synced>,
    pub(crate) audits: Vec<&'a NewAudit>,
    /// What the audit is told of tasks.
    pub(crate) ends: Vec<End<'a>>,
    /// Whether the change before was written.
    done: bool,
    /// `None`: forget the node.
    pub(crate) nodes: BTreeMap<i64, Option<&'a str>>,
    pub(crate) marks: BTreeMap<i64, SyncMark>,
    pub(crate) sessions: BTreeMap<String, SessionChange<'a>>,
}

/// The tokens whose tasks must be known before the group can be planned.
pub(crate) fn tokens<'a>(changes: impl Iterator<Item = &'a Change>) -> Vec<&'a str> {
    let mut tokens: Vec<&str> = Vec::new();
    for change in changes {
        match change {
            Change::Routing(Record::Accept(task)) => tokens.push(task.token.as_str()),
            Change::Routing(Record::Spread(spread)) => {
                tokens.push(spread.whole.token.as_str());
                tokens.extend(spread.parts.iter().map(|part| part.token.as_str()));
            }
            Change::Routing(Record::Advance { token, .. }) => tokens.push(token.as_str()),
            Change::Routing(Record::Note(row) | Record::Put(row) | Record::Finish(row)) => {
                tokens.push(&row.token);
            }
            Change::Routing(Record::PutState(change)) => {
                tokens.extend(change.rows.iter().map(|row| row.token.as_str()));
            }
            Change::Routing(Record::Fetched(page)) => {
                tokens.extend(page.rows.iter().map(|row| row.token.as_str()));
            }
            Change::Routing(
                Record::Began(_)
                | Record::PutNode { .. }
                | Record::DropNode(_)
                | Record::Grant { .. }
                | Record::GiveBack(_)
                | Record::Audit(_)
                | Record::AuditOf(_),
            )
            | Change::Session(_)
            | Change::Mark(_) => {}
        }
    }
    tokens.retain(|token| !token.is_empty());
    tokens.sort_unstable();
    tokens.dedup();
    tokens
}

/// The leases that must be known before the group can be planned.
pub(crate) fn leases<'a>(changes: impl Iterator<Item = &'a Change>) -> Vec<&'a str> {
    let mut names: Vec<&str> = changes
        .filter_map(|change| match change {
            Change::Routing(Record::Grant { name, .. }) => Some(name.as_str()),
            Change::Routing(Record::GiveBack(fence)) => Some(fence.name.as_str()),
            Change::Routing(Record::PutState(change)) => Some(change.fence.name.as_str()),
            Change::Routing(_) | Change::Session(_) | Change::Mark(_) => None,
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

impl<'a> Plan<'a> {
    /// Starts with what the database knows.
    pub(crate) fn new(
        known: HashMap<&'a str, Known>,
        leases: BTreeMap<&'a str, LeaseRow>,
        synced: BTreeMap<i64, Synced>,
    ) -> Self {
        Self {
            known,
            leases,
            synced,
            ..Self::default()
        }
    }

    /// Adds one change. The numbers in `Written::Row` count the rows of the plan from 0; the
    /// database gives the true ones.
    pub(crate) fn add(&mut self, change: &'a Change) -> Result<Written, Error> {
        let written = self.add_change(change)?;
        self.done = matches!(written, Written::Done | Written::Row(_));
        Ok(written)
    }

    fn add_change(&mut self, change: &'a Change) -> Result<Written, Error> {
        match change {
            Change::Routing(record) => self.add_record(record),
            Change::Session(record) => {
                SessionChange::merge(&mut self.sessions, record);
                Ok(Written::Done)
            }
            Change::Mark(mark) => {
                self.marks.insert(column_id(mark.node)?, *mark);
                Ok(Written::Done)
            }
        }
    }

    fn add_record(&mut self, record: &'a Record) -> Result<Written, Error> {
        Ok(match record {
            Record::Accept(task) => self.accept(task),
            Record::Spread(spread) => self.spread(spread),
            Record::Advance {
                token,
                state,
                attempt,
                retries,
            } => match self.known.get_mut(token.as_str()) {
                Some(known) if matches!(known.standing.progress, Progress::Live(_)) => {
                    known.advance(state, *attempt, *retries);
                    Written::Done
                }
                _ => Written::Ignored,
            },
            Record::Note(row) => self.note(row)?,
            Record::Put(row) => match self.known.get(row.token.as_str()) {
                None => self.push(row),
                Some(_) => Written::Ignored,
            },
            Record::Finish(row) => match self.known.get_mut(row.token.as_str()) {
                Some(known) if matches!(known.standing.progress, Progress::Live(_)) => {
                    let verdict = Verdict::of(row.code, &row.data);
                    known.standing.progress = Progress::Finished(row.ctime, Some(verdict));
                    known.changed = true;
                    self.ended(&row.token, (row.code, &row.data), row.ctime);
                    self.push(row)
                }
                _ => Written::Ignored,
            },
            Record::Audit(row) => self.audit(row),
            Record::AuditOf(row) if self.done => self.audit(row),
            Record::AuditOf(_) => Written::Ignored,
            Record::Fetched(page) => self.fetched(page)?,
            Record::Began(began) => self.began(began)?,
            Record::PutNode { id, definition } => {
                self.nodes.insert(column_id(*id)?, Some(definition));
                Written::Done
            }
            Record::DropNode(id) => {
                self.nodes.insert(column_id(*id)?, None);
                Written::Done
            }
            Record::Grant {
                name,
                fence,
                holder,
                ttl,
            } => {
                let lease = self.leases.entry(name.as_str()).or_default();
                if lease.fence + 1 != *fence {
                    let current = lease.fence;
                    return Ok(Written::Fenced { current });
                }
                *lease = LeaseRow {
                    fence: *fence,
                    holder: Some(holder.clone()),
                    ttl: ttl.as_secs(),
                    sequence: 0,
                    changed: true,
                };
                Written::Done
            }
            Record::GiveBack(fence) => match self.lease_of(fence) {
                Ok(lease) => {
                    lease.holder = None;
                    lease.changed = true;
                    Written::Done
                }
                Err(_) => Written::Ignored,
            },
            Record::PutState(change) => self.put_state(change),
        })
    }

    /// The lease, if this is its fence.
    fn lease_of(&mut self, fence: &Fence) -> Result<&mut LeaseRow, Written> {
        match self.leases.get_mut(fence.name.as_str()) {
            Some(lease) if lease.fence == fence.number => Ok(lease),
            other => Err(Written::Fenced {
                current: other.map_or(0, |lease| lease.fence),
            }),
        }
    }

    fn put_state(&mut self, change: &'a StateChange) -> Written {
        let lease = match self.lease_of(&change.fence) {
            Ok(lease) => lease,
            Err(fenced) => return fenced,
        };
        if let Some(sequence) = change.sequence {
            if sequence <= lease.sequence {
                return Written::Ignored;
            }
            lease.sequence = sequence;
            lease.changed = true;
        }
        for key in &change.drop {
            self.state.insert(key, None);
        }
        for (key, value) in &change.put {
            self.state.insert(key, Some(value));
        }
        for row in &change.rows {
            if !self.known.contains_key(row.token.as_str()) {
                self.push(row);
            }
        }
        Written::Done
    }

    fn accept(&mut self, task: &'a Task) -> Written {
        let digest = digest(task);
        if let Some(known) = self.known.get(task.token.as_str()) {
            return Written::Duplicate {
                same: known.digest == digest,
            };
        }
        self.add_task(task, digest);
        Written::Done
    }

    /// All of it, or nothing where one of its tokens is taken.
    fn spread(&mut self, spread: &'a Spread) -> Written {
        let whole = digest(&spread.whole);
        if let Some(known) = self.known.get(spread.whole.token.as_str()) {
            return Written::Duplicate {
                same: known.digest == whole,
            };
        }
        let mut parts = spread.parts.iter();
        if parts.any(|part| self.known.contains_key(part.token.as_str())) {
            return Written::Duplicate { same: false };
        }
        self.add_task(&spread.whole, whole);
        for part in &spread.parts {
            self.add_task(part, digest(part));
        }
        self.push(&spread.row)
    }

    fn add_task(&mut self, task: &'a Task, digest: Digest) {
        let known = Known {
            place: Place::New,
            digest,
            standing: Standing {
                progress: Progress::Live(task.state.clone()),
                attempt: task.attempt,
                retries: task.retries,
                counted: Counted::default(),
            },
            changed: false,
        };
        self.new_tasks.push(task);
        self.known.insert(task.token.as_str(), known);
    }

    fn note(&mut self, row: &'a NewRow) -> Result<Written, Error> {
        let sequence = sequence(row)?;
        match (self.known.get_mut(row.token.as_str()), sequence) {
            // Only `Finish` ends a task: a second terminal row must not slip in as a note.
            (Some(_), _) if row.code.is_terminal() => return Ok(Written::Ignored),
            (None, Some(_)) => return Ok(Written::Ignored),
            // Nothing follows the end.
            (Some(known), None) if matches!(known.standing.progress, Progress::Finished(..)) => {
                return Ok(Written::Ignored);
            }
            (Some(known), Some(sequence)) => {
                if !known.standing.counts(row.attempt, sequence) {
                    return Ok(Written::Ignored);
                }
                known.changed = true;
            }
            (_, None) => {}
        }
        Ok(self.push(row))
    }

    fn push(&mut self, row: &'a NewRow) -> Written {
        self.rows.push(row.into());
        Written::Row(self.rows.len() as i64 - 1)
    }
}

impl Standing {
    /// Takes the number of a row, if it is a new one.
    fn counts(&mut self, attempt: Option<u32>, sequence: i64) -> bool {
        let attempt = attempt.unwrap_or(self.attempt);
        self.counted.take(attempt, sequence)
    }
}

/// Rows are numbered within a hand-over, and a runner goes on with its number where the task is
/// handed to it again: also when somebody else has had it in between, and counts on his own.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Counted(BTreeMap<u32, i64>);

impl Counted {
    /// Numbers of so many attempts are remembered, the newest ones.
    const MOST: usize = 16;

    /// `1:3 2:5`, the attempt and its last number.
    pub(crate) fn read(column: &str) -> Option<Self> {
        let pairs = column.split_whitespace().map(|pair| {
            let (attempt, last) = pair.split_once(':')?;
            Some((attempt.parse().ok()?, last.parse().ok()?))
        });
        pairs.collect::<Option<_>>().map(Self)
    }

    /// None where nothing was counted.
    pub(crate) fn column(&self) -> Option<String> {
        let pairs = self.0.iter();
        let pairs: Vec<String> = pairs.map(|(at, last)| format!("{at}:{last}")).collect();
        (!pairs.is_empty()).then(|| pairs.join(" "))
    }

    fn take(&mut self, attempt: u32, sequence: i64) -> bool {
        let last = self.0.entry(attempt).or_default();
        let new = sequence > *last;
        *last = sequence.max(*last);
        while self.0.len() > Self::MOST {
            self.0.pop_first();
        }
        new
    }
}

impl Known {
    fn advance(&mut self, state: &TaskState, attempt: u32, retries: u32) {
        let standing = &mut self.standing;
        standing.progress = Progress::Live(state.clone());
        standing.attempt = attempt;
        standing.retries = retries;
        self.changed = true;
    }
}

impl Progress {
    pub(crate) fn columns(&self) -> ProgressColumns<'_> {
        let state = match self {
            Self::Finished(at, verdict) => {
                return ProgressColumns {
                    state: "finished",
                    finished: Some(*at),
                    verdict: verdict.map(Verdict::as_str),
                    ..ProgressColumns::default()
                };
            }
            Self::Live(state) => state,
        };
        ProgressColumns {
            state: match state {
                TaskState::Queued => "queued",
                TaskState::Sent(_) => "sent",
                TaskState::Begun(_) => "begun",
                TaskState::Leaving(..) => "leaving",
                TaskState::Doubtful(_) => "doubtful",
                TaskState::Away(_) => "away",
                TaskState::Spread => "spread",
            },
            runner: state.runner(),
            finished: None,
            verdict: None,
            // Ids are below 2^63.
            node: state.node().and_then(|node| i64::try_from(node.get()).ok()),
        }
    }

    /// Reads the columns back.
    pub(crate) fn from_columns(
        state: &str,
        runner: Option<Runner>,
        (finished, verdict): (Option<i64>, Option<&str>),
        node: Option<i64>,
    ) -> Result<Self, Error> {
        let node = node.and_then(|id| u64::try_from(id).ok()).map(NodeId::new);
        let live = match (state, runner, node, finished) {
            ("queued", None, None, None) => TaskState::Queued,
            ("sent", Some(runner), None, None) => TaskState::Sent(runner),
            ("begun", Some(runner), None, None) => TaskState::Begun(runner),
            ("leaving", Some(runner), Some(node), None) => TaskState::Leaving(runner, node),
            ("doubtful", None, Some(node), None) => TaskState::Doubtful(node),
            ("away", None, Some(node), None) => TaskState::Away(node),
            ("spread", None, None, None) => TaskState::Spread,
            ("finished", _, _, Some(at)) => {
                return Ok(Self::Finished(at, verdict.and_then(Verdict::parse)));
            }
            (other, ..) => return Err(Error::unreadable("the state of a task", other)),
        };
        Ok(Self::Live(live))
    }
}

/// How far a task has come, in columns.
#[derive(Default)]
pub(crate) struct ProgressColumns<'a> {
    pub(crate) state: &'static str,
    pub(crate) runner: Option<&'a Runner>,
    pub(crate) finished: Option<i64>,
    pub(crate) verdict: Option<&'static str>,
    pub(crate) node: Option<i64>,
}

fn sequence(row: &NewRow) -> Result<Option<i64>, Error> {
    row.sequence
        .map(i64::try_from)
        .transpose()
        .map_err(|_| Error::Refused("a row's sequence is larger than 2^63-1".to_owned()))
}

/// The number under which the store keeps a code: the seed's.
pub(crate) const fn code_column(code: Code) -> i64 {
    code.number(Dialect::Seed)
}
