//! Rows of other nodes' histories come home.

use gorgone_protocol::request::put_rows::PutRows;
use gorgone_protocol::{Answer, Data, NodeId, Token};
use serde_json::json;

use crate::event::{Effect, Origin};
use crate::outbox::{Ack, After};
use crate::router::Router;
use crate::{Fetched, Record, Written};

impl Router {
    /// Takes PUTROWS.
    pub(crate) fn put_rows(&mut self, from: Origin, token: Token, data: &Data) {
        let mut put = match PutRows::decode(data) {
            Ok(put) => put,
            Err(error) => return self.refuse(from, Some(token), &error.to_string()),
        };
        let node = put.node;
        if self.nodes.get(node).is_none() {
            let words = format!("node {node} is not registered");
            let data = json!({ "message": words, "error": "node" });
            return self
                .out
                .answer(from, Answer::refused_with(Some(token), data));
        }
        let mark = self.nodes.mark(node);
        if put.after < mark {
            return self.wrong_mark((from, token), node, mark);
        }
        // A node that also fetches ours does not bring them back.
        put.rows.retain(|row| row.node != Some(self.settings.node));
        let after = After::Fetched {
            node,
            upto: put.upto,
            tokens: put.rows.iter().map(|row| row.token.clone()).collect(),
            ack: (from, token),
        };
        let fetched = Fetched {
            node,
            after: put.after,
            upto: put.upto,
            at: self.now.unix(),
            rows: put.rows,
        };
        self.out.write(Record::Fetched(fetched), after);
    }

    fn wrong_mark(&mut self, (to, token): Ack, node: NodeId, mark: i64) {
        let words = format!("the rows of node {node} are stored up to {mark}");
        let data = json!({ "message": words, "error": "mark", "mark": mark });
        self.out.answer(to, Answer::refused_with(Some(token), data));
    }

    /// The store has taken rows of a node, or has not.
    pub(crate) fn fetched(
        &mut self,
        (node, upto): (NodeId, i64),
        tokens: Vec<String>,
        ack: Ack,
        written: &Written,
    ) {
        let ended = match written {
            Written::Fetched { ended } => ended,
            Written::Mark(mark) => {
                self.nodes.set_mark(node, *mark);
                return self.wrong_mark(ack, node, *mark);
            }
            Written::Done
            | Written::Row(_)
            | Written::Duplicate { .. }
            | Written::Ignored
            | Written::Fenced { .. } => {
                return;
            }
        };
        self.nodes.set_mark(node, upto);
        for token in ended {
            self.ended_at_node(token);
        }
        for token in &tokens {
            self.waiters.row_arrived(token, &mut self.out);
        }
        if !tokens.is_empty() {
            self.out.push(Effect::NewRows);
        }
        let data = json!({ "message": "rows stored", "mark": upto });
        let answer = Answer::ok(Some(ack.1), Data::from_value(&data));
        self.out.answer(ack.0, answer);
    }

    fn ended_at_node(&mut self, token: &Token) {
        let Some(entry) = self.ledger.remove(token) else {
            return;
        };
        if let Some(runner) = entry.runner() {
            self.free(runner, token);
        }
        self.waiters.token_ended(token.as_str(), &mut self.out);
    }
}
