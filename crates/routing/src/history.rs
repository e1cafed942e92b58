//! GETLOG, PUTLOG and GETAUDIT: what is asked and said about the history and the audit.

use gorgone_protocol::request::audit::Outcome;
use gorgone_protocol::request::log::{GetLog, PutLog};
use gorgone_protocol::{Answer, Code, Data, Dialect, Mark, Token};
use serde_json::json;

use crate::event::{AuditQuery, Effect, OneLife, Origin, Query};
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
        if filter.life.is_some() {
            return self.read_life(from, token, filter);
        }
        self.read_log(from, token, filter);
    }

    /// Somebody fetches the history: rows of one life, as long as it is still the history of
    /// which the asker knows a part.
    fn read_life(&mut self, to: Origin, token: Token, mut filter: GetLog) {
        let known = Mark {
            id: filter.id.unwrap_or(0),
            life: filter.life,
            lives: Vec::new(),
        };
        let history = self.history.as_ref();
        let Some(history) = history.filter(|history| history.back_to(&known).is_none()) else {
            let words = "the history of this node is another one; PING tells from where on";
            let data = json!({ "message": words, "error": "life" });
            return self.out.answer(to, Answer::refused_with(Some(token), data));
        };
        let (life, last) = history.after(known.id);
        filter.before = last.map(|last| last.saturating_add(1));
        self.out.push(Effect::Query(Query {
            to,
            token,
            live: None,
            filter,
            life: Some(OneLife { life, last }),
            waiter: None,
        }));
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
                life: None,
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
            attempt: put.attempt,
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
            attempt: None,
        }
    }
}
