//! What modules keep with core: checked and handed to the store, which knows the fence.

use gorgone_protocol::request::lease::LeaseName;
use gorgone_protocol::request::state::{GetState, PutState, fenced};
use gorgone_protocol::{Data, Token};

use crate::event::{Effect, Origin, StateQuery};
use crate::outbox::{Ack, After};
use crate::router::Router;
use crate::{NewRow, Record, StateChange, Written};

impl Router {
    /// PUTSTATE of a module.
    pub(crate) fn put_state(&mut self, from: Origin, token: Token, data: &Data) {
        let put = match PutState::decode(data) {
            Ok(put) => put,
            Err(error) => {
                let words = format!("PUTSTATE is wrong: {error}");
                return self.refuse(from, Some(token), &words);
            }
        };
        let now = self.now.unix();
        let rows: Vec<NewRow> = put
            .rows
            .into_iter()
            .map(|row| NewRow {
                token: row.token.unwrap_or_default(),
                code: row.code,
                etime: row.etime.unwrap_or(now),
                ctime: now,
                data: row.data,
                sequence: None,
                attempt: None,
            })
            .collect();
        let after = After::State {
            lease: put.fence.name.clone(),
            tokens: rows.iter().map(|row| row.token.clone()).collect(),
            ack: (from, token),
        };
        let change = StateChange {
            fence: put.fence,
            sequence: put.sequence,
            put: put.put,
            drop: put.drop,
            rows,
        };
        self.out.write(Record::PutState(Box::new(change)), after);
    }

    pub(crate) fn state_put(
        &mut self,
        lease: &LeaseName,
        tokens: &[String],
        (to, token): Ack,
        written: &Written,
    ) {
        if let Written::Fenced { current } = written {
            return self.out.answer(to, fenced(token, lease, *current));
        }
        for subject in tokens {
            self.waiters.row_arrived(subject, &mut self.out);
        }
        self.acknowledge((to, token), "state written");
    }

    /// GETSTATE of a module.
    pub(crate) fn get_state(&mut self, to: Origin, token: Token, data: &Data) {
        match GetState::decode(data) {
            Ok(keys) => self
                .out
                .push(Effect::ReadState(StateQuery { to, token, keys })),
            Err(error) => {
                let words = format!("GETSTATE needs {{\"prefix\":…}}: {error}");
                self.refuse(to, Some(token), &words);
            }
        }
    }
}
