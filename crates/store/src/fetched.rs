//! Rows of other nodes: each of them once, and none left out.
//!
//! A page is taken only where it follows on the mark that stands, and moves the mark in the same
//! transaction. Rows that are there all the same (somebody deleted the mark) are left out.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use gorgone_protocol::request::log::Row;
use gorgone_protocol::{Code, Token};
use gorgone_routing::{Fetched, Record, Written};

use crate::change::{SyncMark, column_id};
use crate::plan::{Plan, PlannedRow, Progress};
use crate::{Change, Error};

/// What the database knows of a node whose rows the group brings.
#[derive(Default, Debug)]
pub(crate) struct Synced {
    pub(crate) mark: i64,
    /// Ids of rows that are stored, among those that the group brings.
    pub(crate) stored: BTreeSet<i64>,
}

/// The nodes that must be known before the group can be planned, and up to which of their rows.
pub(crate) fn nodes<'a>(
    changes: impl Iterator<Item = &'a Change>,
) -> Result<BTreeMap<i64, (i64, i64)>, Error> {
    let mut nodes = BTreeMap::new();
    for change in changes {
        if let Change::Routing(Record::Fetched(page)) = change {
            let (from, to) = nodes
                .entry(column_id(page.node)?)
                .or_insert((page.after, page.upto));
            *from = page.after.min(*from);
            *to = page.upto.max(*to);
        }
    }
    Ok(nodes)
}

impl<'a> Plan<'a> {
    pub(crate) fn fetched(&mut self, page: &'a Fetched) -> Result<Written, Error> {
        let node = column_id(page.node)?;
        let synced = self.synced.entry(node).or_default();
        if synced.mark != page.after {
            return Ok(Written::Mark(synced.mark));
        }
        synced.mark = page.upto;
        let stored = synced.stored.clone();
        let mark = SyncMark {
            node: page.node,
            ctime: page.at,
            last_id: page.upto,
        };
        self.marks.insert(node, mark);
        let mut ended = Vec::new();
        for row in page.rows.iter().filter(|row| !stored.contains(&row.id)) {
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
                origin: Some((node, row.id)),
            });
        }
        Ok(Written::Fetched { ended })
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

    fn end(&mut self, page: &Fetched, row: &'a Row) -> Option<Token> {
        let known = self.known.get_mut(row.token.as_str())?;
        known.standing.progress = Progress::Finished(page.at);
        known.changed = true;
        self.ended(&row.token, (row.code, &row.data), page.at);
        Token::parse(&row.token).ok()
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
