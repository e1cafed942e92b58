//! The promise of an ACK: from acceptance over the hand-over to the one terminal row.

use gorgone_protocol::request::audit::Outcome;
use gorgone_protocol::request::options::Options;
use gorgone_protocol::{Action, Answer, Code, Headers, Identity, Message, Reason, Token};
use serde_json::json;

use crate::entry::{Entry, Line};
use crate::event::{Effect, Origin};
use crate::fleet::other_node;
use crate::outbox::{Ack, After, Ending};
use crate::router::Router;
use crate::{NewRow, Record, Runner, Task, TaskState};

impl Router {
    /// A task of before the restart.
    pub(crate) fn restore(&mut self, mut task: Task) {
        let token = task.token.clone();
        let line = match (
            task.state.node(),
            other_node(&task.target, self.settings.node),
        ) {
            _ if task.state == TaskState::Spread => Line::Parts,
            (Some(node), _) => Line::Node(node),
            (None, Some(target)) => Line::Node(self.route(target, None).unwrap_or(target)),
            (None, None) => Line::Module(task.action.clone()),
        };
        let whole = task.parent.as_ref();
        if let Some(whole) = whole.and_then(|parent| self.ledger.get(parent)) {
            task.data = whole.task.data.clone();
        }
        self.spreads.begin(&task);
        let mut entry = Entry::new(task, line.clone(), true, Vec::new());
        let runner = entry.runner().cloned();
        // Whether the message went out, nobody knows any more.
        entry.delivered = runner.is_some();
        entry.repeated = runner.is_some();
        entry.last_runner.clone_from(&runner);
        entry.doubt = match entry.task.state {
            TaskState::Leaving(..) => entry.task.attempt > 1,
            TaskState::Doubtful(_) => true,
            _ => false,
        };
        self.ledger.insert(entry);
        self.ledger.watch_expiry(&token);
        let Some(runner) = runner else {
            return;
        };
        let mut kind = None;
        if let Line::Node(node) = line {
            self.nodes.leaves(&token, node);
            kind = self.nodes.get(node).map(|node| node.definition.kind);
        }
        self.modules
            .restore(&runner, (line, kind), token, self.now.monotonic);
    }

    /// Answers a request whose token is that of a task that has not ended; false where there is
    /// none.
    pub(crate) fn answer_repeated(
        &mut self,
        from: &Origin,
        token: &Token,
        message: &Message,
    ) -> bool {
        let Some(entry) = self.ledger.get_mut(token) else {
            return false;
        };
        let (from, token) = (from.clone(), token.clone());
        if Self::goes_in_a_circle(entry, &from) {
            let words = format!(
                "the request came back to node {} on its way: nodes point at each other",
                self.settings.node
            );
            self.refuse(from, Some(token), &words);
        } else if !entry.is_same(message) {
            let words = "the token is used by another request";
            self.refuse(from, Some(token), words);
        } else if entry.durable {
            self.acknowledge((from, token), "already accepted");
        } else {
            entry.askers.push((from, token));
        }
        true
    }

    /// Accepts a request for a module or a node, if it can be kept.
    pub(crate) fn submit(&mut self, from: Origin, token: Token, message: Message, line: Line) {
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
        if self.is_full(1, message.data.as_str().len()) {
            let words = "too many requests wait; nothing was accepted, try again later";
            return self.out.answer(from, Answer::busy(Some(token), words));
        }
        if let Line::Node(node) = line
            && self.ledger.line_len(&line) >= self.settings.max_node_tasks
        {
            let words = format!("too many requests wait for node {node}; nothing was accepted");
            return self.out.answer(from, Answer::busy(Some(token), &words));
        }
        let mut task = self.new_task(&from, token.clone(), message, options);
        self.hand_at_once(&mut task, &line);
        let audit = self.out.audits.take(Outcome::Accepted, "");
        let (row, unsure) = audit.unzip();
        let after = After::Accepted(token.clone(), unsure);
        self.out.write(Record::Accept(task.clone()), after);
        if let Some(row) = row {
            self.out
                .write(Record::AuditOf(Box::new(row)), After::Nothing);
        }
        self.ledger
            .insert(Entry::new(task, line, false, vec![(from, token)]));
    }

    pub(crate) fn new_task(
        &self,
        from: &Origin,
        token: Token,
        message: Message,
        options: Options,
    ) -> Task {
        let ttl = options.ttl.unwrap_or(self.settings.default_ttl);
        Task {
            token,
            action: message.action,
            target: message.target,
            data: message.data,
            origin: from.to_text(),
            accepted_ms: self.now.unix_ms,
            expires_ms: self.now.after(ttl).unix_ms,
            retries: options.retries,
            attempt: 0,
            state: TaskState::Queued,
            parent: None,
        }
    }

    /// Takes a place for a new task with whoever can take it now; nobody overtakes a line that
    /// exists.
    pub(crate) fn hand_at_once(&mut self, task: &mut Task, line: &Line) {
        if self.ledger.first(line).is_some() {
            return;
        }
        let handed = match line {
            Line::Module(action) => {
                let runner = self.modules.reserve(action, &task.token);
                runner.map(TaskState::Sent)
            }
            Line::Node(node) => {
                let runner = self.reserve_carrier(*node, &task.token);
                runner.map(|runner| TaskState::Leaving(runner, *node))
            }
            Line::Parts => None,
        };
        if let Some(state) = handed {
            task.state = state;
            task.attempt = 1;
        }
    }

    /// Gives waiting tasks to whoever can take them, in their order.
    pub(crate) fn schedule(&mut self, line: &Line) {
        // What waits is on disk: it goes to somebody after the restart.
        if self.retry_at.is_some() || self.stopping {
            return;
        }
        match line {
            Line::Module(action) => self.schedule_modules(action),
            Line::Node(id) => self.schedule_node(*id),
            Line::Parts => {}
        }
    }

    fn schedule_modules(&mut self, action: &Action) {
        let line = Line::Module(action.clone());
        while let Some((place, token, true)) = self.ledger.first(&line) {
            if self.is_expired(&token) {
                self.ledger.leave_line(&line, place);
                self.expired(&token);
                continue;
            }
            let Some(runner) = self.modules.reserve(action, &token) else {
                return;
            };
            self.ledger.leave_for_runner(&line, place);
            if let Some(entry) = self.ledger.get_mut(&token) {
                // For the life that had it before it is the same attempt: it knows the token,
                // and goes on counting its rows.
                if entry.last_runner.as_ref() == Some(&runner) {
                    entry.repeated = true;
                } else {
                    entry.task.attempt += 1;
                }
                entry.task.state = TaskState::Sent(runner);
            }
            self.advance(&token, After::Handed(token.clone()));
        }
    }

    pub(crate) fn is_expired(&self, token: &Token) -> bool {
        let now_ms = self.now.unix_ms;
        let entry = self.ledger.get(token);
        entry.is_some_and(|entry| entry.task.expires_ms <= now_ms)
    }

    /// The time to live of a task that nobody has is over.
    pub(crate) fn expired(&mut self, token: &Token) {
        let Some(entry) = self.ledger.get(token) else {
            return;
        };
        if let (Line::Node(node), true) = (&entry.line, entry.may_have_begun()) {
            let words = format!(
                "node {node} may have got it, and its time to live passed before that was known"
            );
            self.end(token, Reason::Unknown, &words);
        } else if entry.may_have_begun() {
            let words = "its runner died, and its time to live passed before it could be run again";
            self.end(token, Reason::Unknown, words);
        } else {
            let words = "its time to live passed before it could begin";
            self.end(token, Reason::Expired, words);
        }
    }

    pub(crate) fn advance(&mut self, token: &Token, after: After) {
        if let Some(entry) = self.ledger.get(token) {
            let record = Record::Advance {
                token: token.clone(),
                state: entry.task.state.clone(),
                attempt: entry.task.attempt,
                retries: entry.task.retries,
            };
            self.out.write(record, after);
        }
    }

    /// The store knows who gets the task: it goes out, unless things have changed meanwhile.
    pub(crate) fn hand_over(&mut self, token: &Token) {
        let Some(entry) = self.ledger.get(token) else {
            return;
        };
        let (place, line) = (entry.place, entry.line.clone());
        // It said meanwhile that it takes nothing more, and was told that nothing comes.
        let declined = !entry.delivered
            && match &entry.task.state {
                TaskState::Sent(runner) | TaskState::Begun(runner) => {
                    let offered = self.modules.actions_of(runner);
                    !offered.contains(&entry.task.action)
                }
                TaskState::Leaving(runner, node) => !self.still_carries(runner, *node),
                TaskState::Queued
                | TaskState::Doubtful(_)
                | TaskState::Away(_)
                | TaskState::Spread => false,
            };
        if entry.ending {
            self.ledger.has_left(&line, place);
        } else if declined || self.is_expired(token) || !self.ledger.is_its_turn(&line, place) {
            // Or an earlier one could not be handed over, and waits again.
            self.take_back(token);
        } else {
            self.deliver(token);
        }
    }

    fn deliver(&mut self, token: &Token) {
        let Some(entry) = self.ledger.get(token) else {
            return;
        };
        let Some(runner) = entry.runner().cloned() else {
            return;
        };
        let Some(module) = self.modules.address(&runner) else {
            if entry.delivered {
                // It says READY first.
                return;
            }
            return self.take_back(token);
        };
        let message = entry.message();
        let node = entry.task.state.node();
        let headers = Headers {
            attempt: Some(entry.task.attempt),
            via: node,
            expires: node.map(|_| entry.task.expires_ms),
            ..Headers::default()
        };
        if let Some(entry) = self.ledger.get_mut(token) {
            entry.delivered = true;
            entry.last_runner = Some(runner.clone());
            let (line, place) = (entry.line.clone(), entry.place);
            self.ledger.has_left(&line, place);
        }
        if node.is_some() {
            // The row comes with the node's word.
            self.ledger.watch_expiry(token);
            return self.out.push(Effect::Deliver {
                module,
                message,
                headers,
            });
        }
        let data = json!({ "message": "handed over", "module": runner.instance }).to_string();
        let row = self.row(token.as_str(), Code::Proceed, data);
        let after = After::Row {
            token: row.token.clone(),
            ack: None,
        };
        self.out.write(Record::Note(row), after);
        self.out.push(Effect::Deliver {
            module,
            message,
            headers,
        });
    }

    /// The runner of a task is back in the same life. What it misses it never got, or has it
    /// already and knows so by the token.
    pub(crate) fn welcome_back(&mut self, token: &Token, missing: bool) {
        let Some(entry) = self.ledger.get_mut(token) else {
            return;
        };
        if !entry.delivered || entry.ending {
            return;
        }
        if missing || entry.again {
            entry.repeated = true;
            entry.again = false;
            self.deliver(token);
        }
        self.cancel_again(token);
    }

    /// The runner provably did not receive the task: back to its place in line.
    fn take_back(&mut self, token: &Token) {
        let Some(entry) = self.ledger.get_mut(token) else {
            return;
        };
        if entry.ending {
            return;
        }
        let runner = entry.runner().cloned();
        let line = entry.line.clone();
        let state = entry.not_handed_over();
        self.ledger.line_up(token, state);
        self.advance(token, After::Nothing);
        if let Some(runner) = runner {
            self.free(&runner, token);
        }
        self.schedule(&line);
    }

    /// Gives a slot back, and to whoever waits for it.
    pub(crate) fn free(&mut self, runner: &Runner, token: &Token) {
        self.modules.release(runner, token);
        if let Some(node) = self.nodes.left(token) {
            return self.schedule(&Line::Node(node));
        }
        for action in self.modules.actions_of(runner) {
            self.schedule(&Line::Module(action));
        }
    }

    pub(crate) fn undelivered(&mut self, module: &Identity, token: &Token) {
        // It says READY again when it can take something.
        self.modules.away(module, self.now.monotonic);
        if self.question_undelivered(token) {
            return;
        }
        let instance = module.to_text();
        let Some(entry) = self.ledger.get_mut(token) else {
            return;
        };
        match &entry.task.state {
            TaskState::Sent(runner) | TaskState::Leaving(runner, _)
                if runner.instance == instance && entry.repeated =>
            {
                // An earlier message may have arrived.
                entry.again = true;
            }
            TaskState::Sent(runner) | TaskState::Leaving(runner, _)
                if runner.instance == instance && entry.delivered =>
            {
                self.take_back(token);
            }
            TaskState::Queued
            | TaskState::Sent(_)
            | TaskState::Begun(_)
            | TaskState::Leaving(..)
            | TaskState::Doubtful(_)
            | TaskState::Away(_)
            | TaskState::Spread => {}
        }
    }

    /// Who ran these tasks is gone. They keep their order.
    pub(crate) fn runners_died(&mut self, mut tokens: Vec<Token>) {
        tokens.sort_by_key(|token| self.ledger.place(token));
        for token in tokens {
            self.runner_died(&token);
        }
    }

    /// Whoever ran the task is gone and cannot say how far it came.
    fn runner_died(&mut self, token: &Token) {
        let Some(entry) = self.ledger.get_mut(token) else {
            return;
        };
        if entry.ending || !entry.delivered {
            // Its end is on its way, or it was not handed over yet: when the store has
            // answered, the runner is found gone.
            return;
        }
        if let TaskState::Leaving(_, node) = entry.task.state {
            self.in_doubt(token, node);
        } else if entry.task.retries > 0 {
            entry.task.retries -= 1;
            let line = entry.line.clone();
            self.ledger.line_up_last(token);
            self.advance(token, After::Nothing);
            self.schedule(&line);
        } else {
            let words = "its runner died and cannot say how far it came";
            self.end(token, Reason::Unknown, words);
        }
    }

    /// Ends a task from here.
    pub(crate) fn end(&mut self, token: &Token, reason: Reason, words: &str) {
        let ending = Ending::ByCore {
            reason,
            message: words.to_owned(),
        };
        self.write_end(token, ending, None);
    }

    pub(crate) fn write_end(&mut self, token: &Token, ending: Ending, ack: Option<Ack>) {
        let (code, data) = match &ending {
            Ending::ByCore { reason, message } => (Code::Ko, end_data(*reason, message)),
            Ending::CancelledInLine(words) => (Code::Ko, end_data(Reason::Cancelled, words)),
            Ending::OfParts => match self.spreads.sum(token) {
                Some(sum) => sum,
                None => return,
            },
            Ending::ByRunner(_) => return,
        };
        let row = self.row(token.as_str(), code, data);
        let Some(entry) = self.ledger.get_mut(token) else {
            return;
        };
        if entry.ending {
            return;
        }
        entry.ending = true;
        let after = After::Finished {
            token: token.clone(),
            ending,
            row: None,
            ack,
        };
        self.out.write(Record::Finish(row), after);
    }

    /// A module's row about a task that has not ended.
    pub(crate) fn row_of_task(&mut self, from: Origin, ack: Token, token: &Token, row: NewRow) {
        let Some(entry) = self.ledger.get_mut(token) else {
            return;
        };
        let sender = from.to_text();
        // Also who had it before, as long as nobody else has it.
        let by_runner = entry
            .runner()
            .or(entry.last_runner.as_ref())
            .is_some_and(|runner| runner.instance == sender);
        if !by_runner {
            // It ran it in an earlier life of things; its word is not needed any more.
            return self.acknowledge((from, ack), "the token is not yours any more");
        }
        if !row.code.is_terminal() {
            if let TaskState::Sent(runner) = &entry.task.state {
                entry.task.state = TaskState::Begun(runner.clone());
            }
            let after = After::Row {
                token: row.token.clone(),
                ack: Some((from, ack)),
            };
            return self.out.write(Record::Note(row), after);
        }
        entry.ending = true;
        let runner = entry.runner().cloned();
        let ending = Ending::ByRunner(Reason::of_row(row.code, &row.data));
        let after = After::Finished {
            token: token.clone(),
            ending,
            // Who numbers its rows says them again.
            row: row.sequence.is_none().then(|| Box::new(row.clone())),
            ack: Some((from, ack)),
        };
        self.out.write(Record::Finish(row), after);
        if let Some(runner) = runner {
            self.free(&runner, token);
        }
    }
}

/// The data of a row by which core ends a task.
fn end_data(reason: Reason, words: &str) -> String {
    json!({ "message": words, "reason": reason.as_str() }).to_string()
}
