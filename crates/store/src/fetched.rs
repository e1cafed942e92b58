//! Rows of other nodes: each of them once, and none left out.
//!
//! A page is taken only where it follows on the mark that stands, and moves the mark in the same
//! transaction. Rows that are there all the same (somebody deleted the mark) are left out.

use std::borrow::Cow;
use std::collections::BTreeMap;

use gorgone_protocol::request::log::Row;
use gorgone_protocol::{Code, Token, Verdict};
use gorgone_routing::{Fetched, NodeBegan, Record, Written};

use crate::change::{SyncMark, column_id};
use crate::lives::life_column;
use crate::plan::{Plan, PlannedRow, Progress};
use crate::{Change, Error};

/// Rows of a node: of which life, above which id, and up to which.
pub(crate) type Span = (i64, i64, i64);

/// The nodes that must be known before the group can be planned, and which of their rows.
pub(crate) fn nodes<'a>(
    changes: impl Iterator<Item = &'a Change>,
) -> Result<BTreeMap<i64, Vec<Span>>, Error> {
    let mut nodes: BTreeMap<i64, Vec<Span>> = BTreeMap::new();
    for change in changes {
        match change {
            Change::Routing(Record::Fetched(page)) => {
                let span = (life_column(page.life), page.after, page.upto);
                nodes.entry(column_id(page.node)?).or_default().push(span);
            }
            Change::Routing(Record::Began(began)) => {
                nodes.entry(column_id(began.node)?).or_default();
            }
            _ => {}
        }
    }
    Ok(nodes)
}

impl<'a> Plan<'a> {
    pub(crate) fn fetched(&mut self, page: &'a Fetched) -> Result<Written, Error> {
        let node = column_id(page.node)?;
        let synced = self.synced.entry(node).or_default();
        if (synced.mark.id, synced.mark.life) != (page.after, page.known) {
            return Ok(Written::Mark(Box::new(synced.mark.clone())));
        }
        synced.stored(page.life, page.upto);
        let life = life_column(page.life);
        let stored = synced.stored.clone();
        let mark = SyncMark {
            node: page.node,
            ctime: page.at,
            last_id: page.upto,
        };
        self.marks.insert(node, mark);
        let mut ended = Vec::new();
        for row in page
            .rows
            .iter()
            .filter(|row| !stored.contains(&(life, row.id)))
        {
            let (code, data) = match self.meaning(page, row) {
                Meaning::AsItIs => (row.code, Cow::Borrowed(&*row.data)),
                Meaning::End => {
                    ended.extend(self.end(page, row));
                    (row.code, Cow::Borrowed(&*row.data))
                }
                Meaning::Late => (Code::Proceed, Cow::Owned(page.late(row))),
            };
            self.rows.push(PlannedRow {
                token: &row.token,
                code,
                etime: row.etime,
                ctime: page.at,
                data,
                origin: Some((node, life, row.id)),
            });
        }
        Ok(Written::Fetched { ended })
    }

    /// The node is in another life, and may know less than is stored here.
    pub(crate) fn began(&mut self, began: &NodeBegan) -> Result<Written, Error> {
        let node = column_id(began.node)?;
        let synced = self.synced.entry(node).or_default();
        if (synced.mark.id, synced.mark.life) != (began.after, began.known) {
            return Ok(Written::Mark(Box::new(synced.mark.clone())));
        }
        synced.began(began.life, began.back_to);
        let mark = SyncMark {
            node: began.node,
            ctime: began.at,
            last_id: synced.mark.id,
        };
        self.marks.insert(node, mark);
        Ok(Written::Done)
    }

    fn meaning(&self, page: &Fetched, row: &Row) -> Meaning {
        let known = self.known.get(row.token.as_str());
        let progress = known.map(|known| &known.standing.progress);
        match progress {
            Some(_) if !row.code.is_terminal() => Meaning::AsItIs,
            Some(Progress::Live(state)) if state.node() == Some(page.node) => Meaning::End,
            Some(_) => Meaning::Late,
            None => Meaning::AsItIs,
        }
    }

    fn end(&mut self, page: &Fetched, row: &'a Row) -> Option<(Token, Verdict)> {
        let known = self.known.get_mut(row.token.as_str())?;
        let verdict = Verdict::of(row.code, &row.data);
        known.standing.progress = Progress::Finished(page.at, Some(verdict));
        known.changed = true;
        self.ended(&row.token, (row.code, &row.data), page.at);
        Some((Token::parse(&row.token).ok()?, verdict))
    }
}

/// What a row of a node means here.
enum Meaning {
    AsItIs,
    /// It ends the task that waits for it.
    End,
    /// It would be a second end.
    Late,
}
