//! Requests to many nodes: one task that does nothing itself, and a part for each node.
//!
//! ```text
//! COMMAND site=paris ─▶ whole "t"          spread ───────────────▶ ends when all parts have
//!                         ├─ part "t@4"    a task like any other ─▶ ends
//!                         └─ part "t@7"    a task like any other ─▶ ends
//! ```
//! Which nodes are meant is decided once, when the request is accepted: all of it is written in
//! one record, or nothing. The whole has a row for each part that ends; should core die between the
//! end of a part and that row, only the row is missing. How the parts ended stands with them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use gorgone_protocol::request::audit::Outcome;
use gorgone_protocol::request::options::Options;
use gorgone_protocol::{
    Action, Answer, Code, Data, Message, NO_PROXY, NodeId, Reason, Selection, Target, Token,
    Verdict, no_node, no_route,
};
use serde_json::{Map, Value, json};

use crate::audit::Unsure;
use crate::entry::{Entry, Line};
use crate::event::{Effect, Origin, TargetsQuery};
use crate::fleet::asking_core;
use crate::outbox::{Ack, After, Ending};
use crate::router::Router;
use crate::{EndedPart, NewAudit, Record, Spread, Task, TaskState, Written};

/// How far the parts of one request are.
#[derive(Debug, Default)]
struct Parts {
    live: BTreeMap<NodeId, Token>,
    ended: BTreeMap<Verdict, BTreeSet<NodeId>>,
}

/// The requests to many nodes that have not ended, by their tokens.
#[derive(Debug, Default)]
pub(crate) struct Spreads(HashMap<Token, Parts>);

impl Spreads {
    /// A task begins: a whole, or a part of one. Others do not matter here.
    pub(crate) fn begin(&mut self, task: &Task) {
        if task.state == TaskState::Spread {
            self.0.entry(task.token.clone()).or_default();
        } else if let (Some(parent), Target::Node(node)) = (&task.parent, &task.target)
            && let Some(parts) = self.0.get_mut(parent)
        {
            parts.live.insert(*node, task.token.clone());
        }
    }

    pub(crate) fn forget(&mut self, whole: &Token) {
        self.0.remove(whole);
    }

    /// A part has ended. Returns how many have not; none where it is of no request that is known.
    fn ended(&mut self, parent: &Token, node: NodeId, verdict: Verdict) -> Option<usize> {
        let parts = self.0.get_mut(parent)?;
        parts.live.remove(&node);
        parts.ended.entry(verdict).or_default().insert(node);
        Some(parts.live.len())
    }

    fn live(&self, whole: &Token) -> impl Iterator<Item = (NodeId, Token)> {
        let parts = self.0.get(whole);
        let live = parts.into_iter().flat_map(|parts| &parts.live);
        live.map(|(node, token)| (*node, token.clone()))
    }

    /// Those of which all parts have ended.
    fn over(&self) -> Vec<Token> {
        let over = self.0.iter().filter(|(_, parts)| parts.live.is_empty());
        over.map(|(whole, _)| whole.clone()).collect()
    }

    /// The terminal row of a request all of whose parts have ended.
    pub(crate) fn sum(&self, whole: &Token) -> Option<(Code, String)> {
        let ended = &self.0.get(whole)?.ended;
        let mut counts = Map::new();
        let mut nodes = Map::new();
        let mut words = Vec::new();
        for (verdict, ids) in ended {
            let word = verdict.as_str();
            words.push(format!("{} {word}", ids.len()));
            counts.insert(word.to_owned(), ids.len().into());
            nodes.insert(word.to_owned(), Selection::list(ids.iter().copied()).into());
        }
        let total: usize = ended.values().map(BTreeSet::len).sum();
        let mut data = json!({
            "message": format!("{}: {}", nodes_in_words(total), words.join(", ")),
            "total": total,
            "counts": counts,
            "nodes": nodes,
        });
        let mut bad = ended.keys().filter(|verdict| **verdict != Verdict::Ok);
        let reason = match (bad.next(), bad.next()) {
            (None, _) => return Some((Code::Ok, data.to_string())),
            (Some(Verdict::Ko(Reason::Cancelled)), None) => Reason::Cancelled,
            _ => Reason::Failed,
        };
        data["reason"] = Value::from(reason.as_str());
        Some((Code::Ko, data.to_string()))
    }
}

fn nodes_in_words(count: usize) -> String {
    match count {
        1 => "1 node".to_owned(),
        count => format!("{count} nodes"),
    }
}

/// The token of one node's part.
fn part_token(whole: &Token, node: NodeId) -> Option<Token> {
    Token::parse(&format!("{whole}@{node}")).ok()
}

impl Router {
    /// Accepts a request for many nodes, if it can be kept for each of them.
    pub(crate) fn request_for_many(
        &mut self,
        selection: &Selection,
        from: Origin,
        message: Message,
        token: Token,
    ) {
        if message.action.is_for_one_node() {
            let words = format!(
                "{} is asked of one node at a time, and '{selection}' may be several; only what \
                 starts something, such as COMMAND, takes a selection",
                message.action
            );
            return self.refuse(from, Some(token), &words);
        }
        if self.answer_repeated(&from, &token, &message) {
            return;
        }
        let options = match Options::peek(&message.data) {
            Ok(options) => options,
            Err(error) => {
                let words = format!("ttl or retries is wrong: {error}");
                return self.refuse(from, Some(token), &words);
            }
        };
        let nodes = self.selected(selection);
        let lines = match self.lines_for(selection, &nodes, &from, &message.action) {
            Ok(lines) => lines,
            Err(words) => return self.refuse_with_row(from, Some(token.clone()), &token, &words),
        };
        if let Some(words) = self.no_room_for(&lines, &message) {
            return self.out.answer(from, Answer::busy(Some(token), &words));
        }
        let parts = nodes.iter().map(|node| part_token(&token, *node));
        let Some(parts) = parts.collect::<Option<Vec<Token>>>() else {
            let words = "the token is too long: the token of each node's part is longer still";
            return self.refuse(from, Some(token), words);
        };
        if let Some(part) = parts.iter().find(|part| self.ledger.get(part).is_some()) {
            let words = format!("the token '{part}' is used by another request");
            return self.refuse(from, Some(token), &words);
        }
        let mut whole = self.new_task(&from, token.clone(), message.clone(), options);
        whole.state = TaskState::Spread;
        self.spreads.begin(&whole);
        let asker = vec![(from.clone(), token.clone())];
        let entry = Entry::new(whole.clone(), Line::Parts, false, asker);
        self.ledger.insert(entry);
        let mut tasks = Vec::with_capacity(parts.len());
        for ((node, line), part) in nodes.iter().zip(lines).zip(&parts) {
            let message = Message {
                target: Target::Node(*node),
                ..message.clone()
            };
            let mut task = self.new_task(&from, part.clone(), message, options);
            task.parent = Some(token.clone());
            self.hand_at_once(&mut task, &line);
            self.spreads.begin(&task);
            tasks.push(task.clone());
            self.ledger
                .insert(Entry::new(task, line, false, Vec::new()));
        }
        let listed = json!({
            "message": format!("accepted for {}", nodes_in_words(parts.len())),
            "total": parts.len(),
            "nodes": Selection::list(nodes),
        });
        let spread = Spread {
            row: self.row(token.as_str(), Code::Proceed, listed.to_string()),
            whole,
            parts: tasks,
        };
        self.write_spread(spread, parts);
    }

    /// Where the part of each node waits.
    fn lines_for(
        &self,
        selection: &Selection,
        nodes: &BTreeSet<NodeId>,
        from: &Origin,
        action: &Action,
    ) -> Result<Vec<Line>, String> {
        let (count, max) = (nodes.len(), self.settings.max_targets);
        if count == 0 {
            return Err(no_node(selection));
        }
        if count > max {
            return Err(format!(
                "'{selection}' selects {count} nodes, and one request may go to {max} of them \
                 (gorgonecore.max_targets)"
            ));
        }
        let asker = asking_core(from);
        let line = |id: &NodeId| {
            if *id == self.settings.node {
                return match self.offers(action) {
                    true => Ok(Line::Module(action.clone())),
                    false => Err(gorgone_protocol::not_known(action)),
                };
            }
            match self.route(*id, asker) {
                Some(via) => Ok(Line::Node(via)),
                // It is known, and nothing connects it at the moment: its part ends so.
                None if self.nodes.get(*id).is_some() && self.has_proxy() => Ok(Line::Node(*id)),
                None if self.has_proxy() => Err(no_route(*id)),
                None => Err(NO_PROXY.to_owned()),
            }
        };
        nodes.iter().map(line).collect()
    }

    /// Why the parts cannot be kept at the moment, if they cannot.
    fn no_room_for(&self, lines: &[Line], message: &Message) -> Option<String> {
        if self.is_full(lines.len() + 1, message.data.as_str().len()) {
            let words = "too many requests wait; nothing was accepted, try again later";
            return Some(words.to_owned());
        }
        let mut more: HashMap<&Line, usize> = HashMap::new();
        for line in lines {
            *more.entry(line).or_default() += 1;
        }
        let full = more.into_iter().find_map(|(line, more)| match line {
            Line::Node(node) => {
                let all = self.ledger.line_len(line) + more;
                (all > self.settings.max_node_tasks).then_some(node)
            }
            Line::Module(_) | Line::Parts => None,
        })?;
        Some(format!(
            "too many requests wait for node {full}; nothing was accepted"
        ))
    }

    fn write_spread(&mut self, spread: Spread, parts: Vec<Token>) {
        let whole = spread.whole.token.clone();
        let (row, unsure) = self.out.audits.take(Outcome::Accepted, "").unzip();
        let mut audits = Vec::new();
        if let Some(row) = row {
            // Whoever asks what was done on a node finds its part.
            let of_parts = spread.parts.iter().map(|part| NewAudit {
                node: part.target.clone(),
                token: Some(part.token.clone()),
                message: format!("a part of {whole}"),
                ..row.clone()
            });
            audits.extend(of_parts);
            audits.push(row);
        }
        let after = After::Spread {
            whole: whole.clone(),
            parts,
            audit: unsure,
        };
        self.out.write(Record::Spread(Box::new(spread)), after);
        for row in audits {
            self.out
                .write(Record::AuditOf(Box::new(row)), After::Nothing);
        }
    }

    /// The store has taken a request to many nodes, or knows it already.
    pub(crate) fn spread(
        &mut self,
        whole: &Token,
        parts: &[Token],
        audit: Option<Unsure>,
        written: &Written,
    ) {
        if let Written::Duplicate { same } = written {
            self.spreads.forget(whole);
            for part in parts {
                self.taken(part, None, *same);
            }
            return self.taken(whole, audit, *same);
        }
        self.may_go(whole);
        self.waiters.row_arrived(whole.as_str(), &mut self.out);
        for part in parts {
            self.may_go(part);
            self.end_without_way(part);
        }
    }

    /// The part of a node that nothing connects ends at once.
    fn end_without_way(&mut self, part: &Token) {
        let Some(entry) = self.ledger.get(part) else {
            return;
        };
        if let (Line::Node(_), Target::Node(node), TaskState::Queued) =
            (&entry.line, &entry.task.target, &entry.task.state)
            && self.route(*node, None).is_none()
        {
            let words = format!("no module connects node {node}");
            self.end(part, Reason::Unreachable, &words);
        }
    }

    /// A task has ended: perhaps a part of another, perhaps one whose parts have.
    pub(crate) fn spread_ended(&mut self, task: &Task, ending: &Ending) {
        match ending {
            Ending::OfParts => self.spreads.forget(&task.token),
            ending => self.part_ended(task, ending.reason().map_or(Verdict::Ok, Verdict::Ko)),
        }
    }

    pub(crate) fn part_ended(&mut self, task: &Task, verdict: Verdict) {
        let (Some(parent), Target::Node(node)) = (&task.parent, &task.target) else {
            return;
        };
        let Some(left) = self.spreads.ended(parent, *node, verdict) else {
            return;
        };
        let data = json!({
            "message": format!("node {node}: {}", verdict.as_str()),
            "node": node,
            "part": task.token,
            "ended": verdict.as_str(),
            "left": left,
        });
        let row = self.row(parent.as_str(), Code::Proceed, data.to_string());
        let after = After::Row {
            token: row.token.clone(),
            ack: None,
        };
        self.out.write(Record::Note(row), after);
        if left == 0 {
            self.write_end(parent, Ending::OfParts, None);
        }
    }

    /// Parts that had ended before the restart; and those that ended last, without their request.
    pub(crate) fn restore_parts(&mut self, ended: Vec<EndedPart>) {
        for EndedPart {
            parent,
            node,
            verdict,
        } in ended
        {
            self.spreads.ended(&parent, node, verdict);
        }
        for whole in self.spreads.over() {
            self.write_end(&whole, Ending::OfParts, None);
        }
    }

    /// CANCEL of a request to many nodes: of each part that has not ended.
    pub(crate) fn cancel_parts(&mut self, ack: Ack, whole: &Token, fresh: &Token) {
        let parts: Vec<(NodeId, Token)> = self.spreads.live(whole).collect();
        let words = format!("its parts on {} are to end", nodes_in_words(parts.len()));
        self.out.audit(Outcome::Answered, &words);
        let (mut ended, mut told, mut unreached) = (0, 0, Vec::new());
        for (node, part) in parts {
            match self.cancel_part(&part, node, fresh) {
                Cancelled::Ended => ended += 1,
                Cancelled::Told => told += 1,
                Cancelled::Unreached => unreached.push(node),
            }
        }
        let mut words = Vec::new();
        if ended > 0 {
            words.push(format!(
                "cancelled on {} before it began",
                nodes_in_words(ended)
            ));
        }
        if told > 0 {
            words.push(format!("{} are told to end it", nodes_in_words(told)));
        }
        if !unreached.is_empty() {
            let list = Selection::list(unreached);
            words.push(format!(
                "cannot be reached at the moment, cancel it again later: {list}"
            ));
        }
        let words = words.join("; ");
        if ended + told > 0 || words.is_empty() {
            return self.acknowledge(ack, &words);
        }
        let data = json!({ "message": words, "error": "unreachable" });
        self.out
            .answer(ack.0, Answer::refused_with(Some(ack.1), data));
    }

    fn cancel_part(&mut self, part: &Token, node: NodeId, fresh: &Token) -> Cancelled {
        let Some(entry) = self.ledger.get(part) else {
            return Cancelled::Ended;
        };
        if entry.ending {
            return Cancelled::Told;
        }
        if let Some(via) = entry.task.state.node()
            && (entry.may_have_begun() || matches!(entry.task.state, TaskState::Away(_)))
        {
            let question = part_token(fresh, node);
            let told = question.is_some_and(|question| self.tell_node(via, part, question));
            return if told {
                Cancelled::Told
            } else {
                Cancelled::Unreached
            };
        }
        if entry.runner().is_some() && entry.delivered {
            return match self.tell_runner(part) {
                true => Cancelled::Told,
                false => Cancelled::Unreached,
            };
        }
        let words = "cancelled before it began";
        self.write_end(part, Ending::CancelledInLine(words), None);
        Cancelled::Ended
    }

    /// TARGETS.
    pub(crate) fn get_targets(&mut self, to: Origin, token: Token, data: &Data) {
        match data.decode() {
            Ok(targets) => {
                let query = TargetsQuery { to, token, targets };
                self.out.push(Effect::ReadTargets(query));
            }
            Err(error) => {
                let words = format!("TARGETS needs {{\"token\":…}}: {error}");
                self.refuse(to, Some(token), &words);
            }
        }
    }
}

/// What became of the wish that a part should end.
enum Cancelled {
    /// It ended before it began.
    Ended,
    /// Whoever has it is told.
    Told,
    /// Whoever has it cannot be told.
    Unreached,
}
