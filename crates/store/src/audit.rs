//! The audit, as far as it is decided without SQL.

use gorgone_protocol::{Code, reason_of};
use gorgone_routing::{NewAudit, Written};

use crate::plan::Plan;

/// How a task ended, for the row of its acceptance.
#[derive(Debug)]
pub(crate) struct End<'a> {
    pub(crate) token: &'a str,
    pub(crate) code: Code,
    pub(crate) reason: Option<String>,
    /// When that is written down, seconds since 1970.
    pub(crate) time: i64,
}

impl<'a> Plan<'a> {
    pub(crate) fn audit(&mut self, row: &'a NewAudit) -> Written {
        self.audits.push(row);
        Written::Done
    }

    /// A task ends by a terminal row with this code and this data.
    pub(crate) fn ended(&mut self, token: &'a str, (code, data): (Code, &str), time: i64) {
        let reason = match code {
            Code::Ko => reason_of(data),
            _ => None,
        };
        self.ends.push(End {
            token,
            code,
            reason,
            time,
        });
    }
}
