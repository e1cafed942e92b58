//! What the store promises, in memory. It survives every kill; batches that are not committed
//! do not.

use std::collections::{BTreeMap, HashMap, VecDeque};

use gorgone_protocol::Code;
use gorgone_protocol::request::log::{GetLog, Row};
use gorgone_protocol::request::state::{GetState, StatePage};
use gorgone_routing::{BatchId, NewRow, Record, Restored, StateChange, StoredLease, Task, Written};

pub struct Stored {
    pub task: Task,
    pub finished: bool,
    order: usize,
    last_sequence: u64,
}

struct Lease {
    stored: StoredLease,
    sequence: u64,
}

#[derive(Default)]
pub struct Store {
    pub tasks: HashMap<String, Stored>,
    pub rows: Vec<Row>,
    by_token: HashMap<String, Vec<usize>>,
    pub state: BTreeMap<String, String>,
    leases: BTreeMap<String, Lease>,
    pub queue: VecDeque<(BatchId, Vec<Record>)>,
}

impl Store {
    pub fn commit(&mut self, records: Vec<Record>) -> Vec<Written> {
        records.into_iter().map(|record| self.one(record)).collect()
    }

    fn one(&mut self, record: Record) -> Written {
        match record {
            Record::Accept(task) => {
                if let Some(old) = self.tasks.get(task.token.as_str()) {
                    let same = old.task.action == task.action
                        && old.task.data == task.data
                        && old.task.target == task.target;
                    return Written::Duplicate { same };
                }
                let stored = Stored {
                    finished: false,
                    order: self.tasks.len(),
                    last_sequence: 0,
                    task,
                };
                self.tasks
                    .insert(stored.task.token.as_str().to_owned(), stored);
                Written::Done
            }
            Record::Advance {
                token,
                state,
                attempt,
                retries,
            } => match self.tasks.get_mut(token.as_str()) {
                Some(stored) if !stored.finished => {
                    if stored.task.attempt != attempt {
                        stored.last_sequence = 0;
                    }
                    stored.task.state = state;
                    stored.task.attempt = attempt;
                    stored.task.retries = retries;
                    Written::Done
                }
                _ => Written::Ignored,
            },
            Record::Note(row) => self.note(row),
            Record::Put(row) if self.tasks.contains_key(&row.token) => Written::Ignored,
            Record::Put(row) => self.push(row),
            Record::Finish(row) => match self.tasks.get_mut(&row.token) {
                Some(stored) if !stored.finished => {
                    stored.finished = true;
                    self.push(row)
                }
                _ => Written::Ignored,
            },
            Record::Grant {
                name,
                fence,
                holder,
                ttl,
            } => {
                let key = name.as_str().to_owned();
                let current = self.leases.get(&key).map_or(0, |lease| lease.stored.fence);
                if current + 1 != fence {
                    return Written::Fenced { current };
                }
                let stored = StoredLease {
                    name,
                    fence,
                    holder: Some(holder),
                    ttl,
                };
                self.leases.insert(
                    key,
                    Lease {
                        stored,
                        sequence: 0,
                    },
                );
                Written::Done
            }
            Record::GiveBack(fence) => match self.leases.get_mut(fence.name.as_str()) {
                Some(lease) if lease.stored.fence == fence.number => {
                    lease.stored.holder = None;
                    Written::Done
                }
                _ => Written::Ignored,
            },
            Record::PutState(change) => self.put_state(*change),
            // Nobody in this world asks for these.
            _ => Written::Done,
        }
    }

    fn put_state(&mut self, change: StateChange) -> Written {
        let lease = self.leases.get_mut(change.fence.name.as_str());
        let current = lease.as_ref().map_or(0, |lease| lease.stored.fence);
        let Some(lease) = lease.filter(|_| current == change.fence.number) else {
            return Written::Fenced { current };
        };
        if let Some(sequence) = change.sequence {
            if sequence <= lease.sequence {
                return Written::Ignored;
            }
            lease.sequence = sequence;
        }
        for key in &change.drop {
            self.state.remove(key);
        }
        self.state.extend(change.put);
        for row in change.rows {
            if !self.tasks.contains_key(&row.token) {
                self.push(row);
            }
        }
        Written::Done
    }

    fn note(&mut self, row: NewRow) -> Written {
        match (self.tasks.get_mut(&row.token), row.sequence) {
            (Some(_), _) if row.code.is_terminal() => return Written::Ignored,
            (None, Some(_)) => return Written::Ignored,
            (Some(stored), Some(sequence)) => {
                if sequence <= stored.last_sequence {
                    return Written::Ignored;
                }
                stored.last_sequence = sequence;
            }
            (_, None) => {}
        }
        self.push(row)
    }

    fn push(&mut self, row: NewRow) -> Written {
        let id = self.rows.len() as i64 + 1;
        let place = self.rows.len();
        self.by_token
            .entry(row.token.clone())
            .or_default()
            .push(place);
        self.rows.push(Row {
            id,
            node: None,
            token: row.token,
            code: row.code,
            etime: row.etime,
            ctime: row.ctime,
            data: row.data,
        });
        Written::Row(id)
    }

    pub fn restore(&self) -> Restored {
        let mut live: Vec<_> = self.tasks.values().filter(|t| !t.finished).collect();
        live.sort_by_key(|stored| stored.order);
        let leases = self.leases.values();
        Restored {
            tasks: live.into_iter().map(|stored| stored.task.clone()).collect(),
            leases: leases.map(|lease| lease.stored.clone()).collect(),
            ..Restored::default()
        }
    }

    pub fn of(&self, token: &str) -> impl Iterator<Item = &Row> {
        let places = self.by_token.get(token).into_iter().flatten();
        places.map(|place| &self.rows[*place])
    }

    pub fn matching(&self, filter: &GetLog) -> Vec<Row> {
        let token = filter.token.clone().unwrap_or_default();
        let matches = |row: &&Row| {
            filter.code.is_none_or(|code| code == row.code)
                && filter.id.is_none_or(|id| row.id > id)
        };
        let limit = filter.limit.unwrap_or(1000) as usize;
        self.of(&token)
            .filter(matches)
            .take(limit)
            .cloned()
            .collect()
    }

    pub fn page(&self, keys: &GetState, most: usize) -> StatePage {
        let after = keys.after.clone().unwrap_or_default();
        let mut found: Vec<(String, String)> = self
            .state
            .range(keys.prefix.clone()..)
            .take_while(|(key, _)| key.starts_with(&keys.prefix))
            .filter(|(key, _)| **key > after)
            .take(most + 1)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let more = found.len() > most;
        found.truncate(most);
        StatePage {
            entries: found,
            more,
        }
    }

    /// The terminal rows of a token.
    pub fn ends(&self, token: &str) -> Vec<&Row> {
        self.of(token)
            .filter(|row| row.code.is_terminal())
            .collect()
    }

    /// How a token has ended: `OK`, a reason, or nothing.
    pub fn outcome(&self, token: &str) -> Option<String> {
        let end = self.ends(token).first().copied()?;
        if end.code == Code::Ok {
            return Some("OK".to_owned());
        }
        let data: serde_json::Value = serde_json::from_str(&end.data).unwrap_or_default();
        Some(data["reason"].as_str().unwrap_or("none").to_owned())
    }
}
