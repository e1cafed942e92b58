//! Rows of other nodes' histories come home.

use gorgone_protocol::request::put_rows::{Begun, PutRows};
use gorgone_protocol::{Answer, Data, Life, Mark, NodeId, Reason, Token, Verdict};
use serde_json::json;

use crate::event::{Effect, Origin};
use crate::outbox::{Ack, After};
use crate::router::Router;
use crate::{Fetched, NodeBegan, Record, TaskState, Written};

impl Router {
    /// Takes PUTROWS.
    pub(crate) fn put_rows(&mut self, from: Origin, token: Token, data: &Data) {
        let mut put = match PutRows::decode(data) {
            Ok(put) => put,
            Err(error) => return self.refuse(from, Some(token), &error.to_string()),
        };
        let node = put.node;
        if let Some(own) = from.identity().poller().filter(|own| *own != node) {
            let words = format!("node {own} may not bring rows of node {node}");
            return self.refuse(from, Some(token), &words);
        }
        if self.nodes.get(node).is_none() {
            let words = format!("node {node} is not registered");
            let data = json!({ "message": words, "error": "node" });
            return self
                .out
                .answer(from, Answer::refused_with(Some(token), data));
        }
        let mark = self.nodes.mark(node);
        if put.after < mark.id || put.known != mark.life {
            return self.wrong_mark((from, token), node, &mark);
        }
        if let Some(begun) = put.begun {
            return self.began((from, token), &put, begun);
        }
        // A node that also fetches ours does not bring them back.
        put.rows.retain(|row| row.node != Some(self.settings.node));
        let after = After::Fetched {
            node,
            life: put.life,
            upto: put.upto,
            tokens: put.rows.iter().map(|row| row.token.clone()).collect(),
            ack: (from, token),
        };
        let fetched = Fetched {
            node,
            after: put.after,
            known: put.known,
            life: put.life,
            upto: put.upto,
            at: self.now.unix(),
            rows: put.rows,
        };
        self.out.write(Record::Fetched(fetched), after);
    }

    /// A node's history is in another life. Where rows are gone that are known here, so may be
    /// everything that the node has got since it wrote them: nobody can say what became of it,
    /// and it would not be recognised if it came again.
    fn began(&mut self, ack: Ack, put: &PutRows, begun: Begun) {
        let node = put.node;
        let began = NodeBegan {
            node,
            after: put.after,
            known: put.known,
            life: begun.life,
            back_to: begun.back_to,
            at: self.now.unix(),
        };
        let after = After::Began(Box::new(began.clone()), ack);
        self.out.write(Record::Began(began), after);
        if begun.back_to.is_none() {
            return;
        }
        let there = self.ledger.entries().filter(|entry| {
            let away = matches!(entry.task.state, TaskState::Away(_));
            entry.task.state.node() == Some(node)
                && !entry.ending
                && (away || entry.may_have_begun())
        });
        let there = there.map(|entry| (entry.place, entry.task.token.clone()));
        let mut there: Vec<_> = there.collect();
        there.sort_unstable();
        for (_, token) in there {
            self.forgotten_by_node(&token, node);
        }
    }

    fn forgotten_by_node(&mut self, token: &Token, node: NodeId) {
        match self.ledger.get_mut(token) {
            Some(entry) if entry.task.retries > 0 => {
                entry.task.retries -= 1;
                self.in_doubt(token, node);
            }
            _ => {
                let words = format!(
                    "node {node} has lost its history, or a part of it, and cannot say what became \
                     of the request"
                );
                self.end(token, Reason::Unknown, &words);
            }
        }
    }

    fn wrong_mark(&mut self, (to, token): Ack, node: NodeId, mark: &Mark) {
        let words = format!("the rows of node {node} are stored up to {}", mark.id);
        let mut data = json!(mark);
        data["message"] = words.into();
        data["error"] = "mark".into();
        self.out.answer(to, Answer::refused_with(Some(token), data));
    }

    /// The store has taken the word of a node's life, or has not.
    pub(crate) fn node_began(&mut self, began: &NodeBegan, ack: Ack, written: &Written) {
        if let Written::Mark(mark) = written {
            self.nodes.set_mark(began.node, (**mark).clone());
            return self.wrong_mark(ack, began.node, mark);
        }
        let mark = self.nodes.mark_mut(began.node);
        mark.began(began.life, began.back_to);
        let data = json!({ "message": "noted", "mark": mark.id });
        let answer = Answer::ok(Some(ack.1), Data::from_value(&data));
        self.out.answer(ack.0, answer);
    }

    /// The store has taken rows of a node, or has not.
    pub(crate) fn fetched(
        &mut self,
        (node, life, upto): (NodeId, Option<Life>, i64),
        tokens: Vec<String>,
        ack: Ack,
        written: &Written,
    ) {
        let ended = match written {
            Written::Fetched { ended } => ended,
            Written::Mark(mark) => {
                self.nodes.set_mark(node, (**mark).clone());
                return self.wrong_mark(ack, node, mark);
            }
            Written::Done
            | Written::Row(_)
            | Written::Duplicate { .. }
            | Written::Ignored
            | Written::Fenced { .. } => {
                return;
            }
        };
        self.nodes.mark_mut(node).stored(life, upto);
        for (token, verdict) in ended {
            self.ended_at_node(token, *verdict);
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

    fn ended_at_node(&mut self, token: &Token, verdict: Verdict) {
        let Some(entry) = self.ledger.remove(token) else {
            return;
        };
        self.count_end(&entry, verdict.reason());
        if let Some(runner) = entry.runner() {
            self.free(runner, token);
        }
        self.part_ended(&entry.task, verdict);
        self.waiters.token_ended(token.as_str(), &mut self.out);
    }
}
