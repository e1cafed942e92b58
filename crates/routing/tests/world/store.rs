//! What `Record` and `Written` promise, in memory. It survives every kill; batches that are not
//! committed do not.

use std::collections::{BTreeMap, HashMap, VecDeque};

use gorgone_protocol::request::audit::Outcome;
use gorgone_protocol::request::log::{GetLog, Row};
use gorgone_protocol::{Code, History, Life, Mark, NodeId, Target, Token, Verdict};
use gorgone_routing::{
    BatchId, EndedPart, Fetched, NewAudit, NewRow, NodeBegan, Record, Restored, Task, Written,
};

#[derive(Clone)]
pub struct Stored {
    pub task: Task,
    /// As it was accepted.
    pub retries: u32,
    pub finished: bool,
    pub verdict: Option<Verdict>,
    pub order: usize,
    counted: HashMap<u32, u64>,
}

#[derive(Clone, Default)]
pub struct Store {
    pub tasks: HashMap<String, Stored>,
    pub rows: Vec<Row>,
    pub queue: VecDeque<(BatchId, Vec<Record>)>,
    pub nodes: BTreeMap<NodeId, String>,
    pub marks: BTreeMap<NodeId, Mark>,
    /// The lives of this history, each with how many rows there were when it began.
    pub lives: Vec<(Life, i64)>,
    /// Which rows came from other nodes: whose, of which life, and which there.
    pub origins: Vec<(NodeId, Option<Life>, i64)>,
    /// What the audit says, by who asked.
    pub audit: HashMap<String, Vec<NewAudit>>,
}

impl Store {
    pub fn commit(&mut self, records: Vec<Record>) -> Vec<Written> {
        let mut done = false;
        let mut all = Vec::with_capacity(records.len());
        for record in records {
            let written = match record {
                Record::AuditOf(_) if !done => Written::Ignored,
                record => self.one(record),
            };
            done = matches!(written, Written::Done | Written::Row(_));
            all.push(written);
        }
        all
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
                self.accept(task);
                Written::Done
            }
            Record::Spread(spread) => {
                if let Some(old) = self.tasks.get(spread.whole.token.as_str()) {
                    let same = old.task.action == spread.whole.action
                        && old.task.data == spread.whole.data
                        && old.task.target == spread.whole.target;
                    return Written::Duplicate { same };
                }
                let mut parts = spread.parts.iter();
                if parts.any(|part| self.tasks.contains_key(part.token.as_str())) {
                    return Written::Duplicate { same: false };
                }
                self.accept(spread.whole);
                spread.parts.into_iter().for_each(|part| self.accept(part));
                self.push(spread.row)
            }
            Record::Advance {
                token,
                state,
                attempt,
                retries,
            } => match self.tasks.get_mut(token.as_str()) {
                Some(stored) if !stored.finished => {
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
                    stored.verdict = Some(Verdict::of(row.code, &row.data));
                    self.push(row)
                }
                _ => Written::Ignored,
            },
            Record::Fetched(page) => self.fetched(page),
            Record::Began(began) => self.began(&began),
            Record::PutNode { id, definition } => {
                self.nodes.insert(id, definition);
                Written::Done
            }
            Record::DropNode(id) => {
                self.nodes.remove(&id);
                Written::Done
            }
            Record::Audit(row) | Record::AuditOf(row) => {
                self.audit
                    .entry(row.who.to_string())
                    .or_default()
                    .push(*row);
                Written::Done
            }
            // Nobody in these worlds asks for these.
            Record::Grant { .. } | Record::GiveBack(_) | Record::PutState(_) => Written::Done,
        }
    }

    fn accept(&mut self, task: Task) {
        let stored = Stored {
            retries: task.retries,
            finished: false,
            verdict: None,
            order: self.tasks.len(),
            counted: HashMap::new(),
            task,
        };
        self.tasks
            .insert(stored.task.token.as_str().to_owned(), stored);
    }

    fn fetched(&mut self, page: Fetched) -> Written {
        let mark = self.marks.entry(page.node).or_default();
        if (mark.id, mark.life) != (page.after, page.known) {
            return Written::Mark(Box::new(mark.clone()));
        }
        mark.stored(page.life, page.upto);
        let mut ended = Vec::new();
        for mut row in page.rows.clone() {
            let origin = (page.node, page.life, row.id);
            if self.origins.contains(&origin) {
                continue;
            }
            let stored = self.tasks.get_mut(&row.token);
            if let (Some(stored), true) = (stored, row.code.is_terminal()) {
                if stored.finished || stored.task.state.node() != Some(page.node) {
                    row.data = page.late(&row);
                    row.code = Code::Proceed;
                } else {
                    let verdict = Verdict::of(row.code, &row.data);
                    stored.finished = true;
                    stored.verdict = Some(verdict);
                    ended.push((stored.task.token.clone(), verdict));
                }
            }
            self.origins.push(origin);
            row.id = self.rows.len() as i64 + 1;
            row.node = Some(page.node);
            self.rows.push(row);
        }
        Written::Fetched { ended }
    }

    fn began(&mut self, began: &NodeBegan) -> Written {
        let mark = self.marks.entry(began.node).or_default();
        if (mark.id, mark.life) != (began.after, began.known) {
            return Written::Mark(Box::new(mark.clone()));
        }
        mark.began(began.life, began.back_to);
        Written::Done
    }

    /// Somebody opens the database.
    pub fn begin_life(&mut self, life: Life) {
        self.lives.push((life, self.rows.len() as i64));
    }

    fn history(&self) -> Option<History> {
        let (life, _) = *self.lives.last()?;
        let ends = self.lives.iter().skip(1);
        let past = self.lives.iter().zip(ends);
        let past = past.map(|((life, _), (_, end))| (*life, *end)).collect();
        Some(History { past, life })
    }

    /// In which life a row was written.
    pub fn life_of(&self, row: i64) -> Option<Life> {
        let before = self.lives.iter().rev();
        let mut before = before.filter(|(_, first)| *first < row);
        before.next().map(|(life, _)| *life)
    }

    fn note(&mut self, row: NewRow) -> Written {
        match (self.tasks.get_mut(&row.token), row.sequence) {
            (Some(_), _) if row.code.is_terminal() => return Written::Ignored,
            (None, Some(_)) => return Written::Ignored,
            (Some(stored), None) if stored.finished => return Written::Ignored,
            (Some(stored), Some(sequence)) => {
                let attempt = row.attempt.unwrap_or(stored.task.attempt);
                let last = stored.counted.entry(attempt).or_default();
                if sequence <= *last {
                    return Written::Ignored;
                }
                *last = sequence;
            }
            (_, None) => {}
        }
        self.push(row)
    }

    fn push(&mut self, row: NewRow) -> Written {
        let id = self.rows.len() as i64 + 1;
        self.rows.push(Row {
            id,
            token: row.token,
            code: row.code,
            etime: row.etime,
            ctime: row.ctime,
            data: row.data,
            node: None,
        });
        Written::Row(id)
    }

    pub fn restore(&self) -> Restored {
        let mut live: Vec<_> = self.tasks.values().filter(|t| !t.finished).collect();
        live.sort_by_key(|stored| stored.order);
        Restored {
            tasks: live.into_iter().map(|stored| stored.task.clone()).collect(),
            ended_parts: self.ended_parts(),
            nodes: self.nodes.values().cloned().collect(),
            marks: self.marks.clone().into_iter().collect(),
            history: self.history(),
            ..Restored::default()
        }
    }

    /// Parts that have ended, of tasks that have not.
    fn ended_parts(&self) -> Vec<EndedPart> {
        let ended = self.tasks.values().filter(|stored| stored.finished);
        let ended = ended.filter_map(|stored| {
            let parent = stored.task.parent.clone()?;
            let Target::Node(node) = stored.task.target else {
                return None;
            };
            let verdict = stored.verdict?;
            (!self.finished(parent.as_str())).then_some(EndedPart {
                parent,
                node,
                verdict,
            })
        });
        ended.collect()
    }

    /// How often the audit says that a token was accepted.
    pub fn acceptances(&self) -> HashMap<&str, u32> {
        let mut acceptances = HashMap::new();
        let rows = self.audit.values().flatten();
        for row in rows.filter(|row| row.outcome == Outcome::Accepted) {
            let token = row.token.as_ref().map_or("", Token::as_str);
            *acceptances.entry(token).or_default() += 1;
        }
        acceptances
    }

    pub fn finished(&self, token: &str) -> bool {
        self.tasks.get(token).is_some_and(|stored| stored.finished)
    }

    pub fn matching(&self, filter: &GetLog) -> usize {
        let matches = |row: &&Row| {
            filter
                .token
                .as_ref()
                .is_none_or(|token| *token == row.token)
                && filter.code.is_none_or(|code| code == row.code)
                && filter.id.is_none_or(|id| row.id > id)
        };
        self.rows.iter().filter(matches).count()
    }

    pub fn terminal<'a>(&'a self, token: &'a str) -> impl Iterator<Item = &'a Row> {
        self.rows
            .iter()
            .filter(move |row| row.token == token && row.code.is_terminal())
    }
}

/// `reason` of a terminal row; `OK` for a good one.
pub fn reason(row: &Row) -> String {
    if row.code == Code::Ok {
        return "OK".to_owned();
    }
    let data: serde_json::Value = serde_json::from_str(&row.data).unwrap_or_default();
    data["reason"].as_str().unwrap_or("none").to_owned()
}
