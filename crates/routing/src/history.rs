//! GETLOG, PUTLOG and GETAUDIT: what is asked and said about the history and the audit.

use gorgone_protocol::request::audit::Outcome;
use gorgone_protocol::request::log::{GetLog, PutLog};
use gorgone_protocol::{Code, Data, Dialect, Token};

use crate::event::{AuditQuery, Effect, Origin, Query};
use crate::outbox::{Ack, After};
use crate::router::Router;
use crate::{NewRow, Record};

impl Router {
    pub(crate) fn get_log(&mut self, from: Origin, token: Token, data: &Data, dialect: Dialect) {
        let filter = match GetLog::decode(data, dialect) {
            Ok(filter) if filter.has_filter() => filter,
            Ok(_) => return self.refuse(from, Some(token), "need at least one filter"),
            Err(error) => {
                let words = format!("a filter is wrong: {error}");
                return self.refuse(from, Some(token), &words);
            }
        };
        self.read_log(from, token, filter);
    }

    /// Reads rows here, and waits for them where the filter says so.
    pub(crate) fn read_log(&mut self, from: Origin, token: Token, filter: GetLog) {
        let subject = filter
            .token
            .as_deref()
            .and_then(|text| Token::parse(text).ok())
            .filter(|subject| self.ledger.get(subject).is_some());
        match (filter.wait, subject) {
            (Some(wait), Some(subject))
                if self.waiters.len() < self.settings.max_waiters && !self.stopping =>
            {
                let deadline = self.now.monotonic + wait;
                self.waiters.add(
                    subject.as_str(),
                    (from, token, filter),
                    deadline,
                    &mut self.out,
                );
            }
            (wait, subject) => self.out.push(Effect::Query(Query {
                to: from,
                token,
                live: wait.map(|_| subject.is_some()),
                filter,
                waiter: None,
            })),
        }
    }

    pub(crate) fn get_audit(&mut self, to: Origin, token: Token, data: &Data) {
        match data.decode() {
            Ok(filter) => self
                .out
                .push(Effect::ReadAudit(AuditQuery { to, token, filter })),
            Err(error) => {
                let words = format!("a filter is wrong: {error}");
                self.refuse(to, Some(token), &words);
            }
        }
    }

    /// `by_module`: a module speaks for itself, and not for a caller at its door.
    pub(crate) fn put_log(
        &mut self,
        from: Origin,
        token: Token,
        data: &Data,
        (dialect, by_module): (Dialect, bool),
    ) {
        let put = match PutLog::decode(data, dialect) {
            Ok(put) => put,
            Err(error) => {
                let words = format!("the row is wrong: {error}");
                return self.refuse(from, Some(token), &words);
            }
        };
        let text = put.token.unwrap_or_else(|| token.as_str().to_owned());
        let row = NewRow {
            code: put.code,
            etime: put.etime.unwrap_or(self.now.unix()),
            ctime: self.now.unix(),
            data: put.data,
            // Only whoever runs a task numbers its rows.
            sequence: put.sequence.filter(|_| by_module),
            token: text,
        };
        let subject = Token::parse(&row.token).ok();
        let live = subject.filter(|subject| self.ledger.get(subject).is_some());
        match live {
            Some(_) if !by_module => {
                let words = "the token belongs to a request that is running";
                self.refuse(from, Some(token), words);
            }
            Some(subject) => self.row_of_task(from, token, &subject, row),
            None if row.sequence.is_some() => {
                // The task has ended meanwhile; nothing may follow its terminal row.
                self.acknowledge((from, token), "the token has ended");
            }
            None => match self.out.audits.take(Outcome::Answered, "") {
                Some((audit, unsure)) => {
                    let after = After::Row {
                        token: row.token.clone(),
                        ack: None,
                    };
                    self.out.write(Record::Put(row), after);
                    let after = After::AuditedRow((from, token), unsure);
                    self.out.write(Record::AuditOf(Box::new(audit)), after);
                }
                None => self.write_row(row, Some((from, token))),
            },
        }
    }

    fn write_row(&mut self, row: NewRow, ack: Option<Ack>) {
        let token = row.token.clone();
        let after = After::Row { token, ack };
        self.out.write(Record::Put(row), after);
    }

    pub(crate) fn row(&self, token: &str, code: Code, data: String) -> NewRow {
        NewRow {
            token: token.to_owned(),
            code,
            etime: self.now.unix(),
            ctime: self.now.unix(),
            data,
            sequence: None,
        }
    }
}
