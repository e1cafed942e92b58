//! GETCRON, ADDCRON, UPDATECRON, DELETECRON, RUNCRON.
//!
//! ```text
//! {"content":…,"variables":[id, …],"parameters":{…}}
//! ```
//! A request is answered when what it changes is written down. A wrong one changes nothing, and
//! is told everything that is wrong with it.

use gorgone_client::module::Request;
use gorgone_protocol::request::options::Options;
use gorgone_protocol::{Action, Code, Data, Moment, Reason, Token};
use gorgone_schedule::{Definition, DefinitionError, JobId};
use serde_json::{Map, Value, json};

use super::changes::{Change, Then};
use super::fire::Verdict;
use super::job::Source;
use super::{Leader, show};
use crate::instance::Outbox;
use crate::stored::{Setting, set_key, text};

/// Jobs that one request adds at most.
const AT_ONCE: usize = 1_000;
/// Jobs of a node.
const JOBS: usize = 100_000;
/// Largest definition, in bytes of JSON.
const LARGEST: usize = 64 * 1024;

/// What of a request is about cron.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) content: Value,
    pub(super) variables: Vec<String>,
    pub(super) parameters: Map<String, Value>,
}

/// A request that is refused.
pub(super) struct Refused(pub(super) Value);

impl Refused {
    pub(super) fn new(message: impl Into<String>) -> Self {
        let message: String = message.into();
        Self(json!({ "message": message, "reason": Reason::Rejected.as_str() }))
    }

    /// What is wrong with definitions: each with its place in the request, and the field.
    fn definitions(wrong: &[(usize, Value, DefinitionError)]) -> Self {
        let mut problems = Vec::new();
        let mut words = Vec::new();
        for (index, id, error) in wrong {
            for problem in &error.problems {
                problems.push(json!({ "index": index, "id": id, "field": problem.field,
                    "reason": problem.reason }));
            }
            let name = id
                .as_str()
                .map_or_else(|| format!("#{index}"), str::to_owned);
            words.push(format!("{name}: {error}"));
        }
        let message = format!("nothing was changed: {}", words.join("; "));
        let mut refused = Self::new(message);
        refused.0["problems"] = problems.into();
        refused
    }
}

impl Body {
    fn parse(data: &Data) -> Result<Self, Refused> {
        let wrong = "a request to cron is {\"content\":…,\"variables\":[id],\"parameters\":{…}}";
        let value: Value = data.decode().map_err(|_| Refused::new(wrong))?;
        let mut members = match value {
            Value::Object(members) => members,
            // A list of definitions by itself.
            list @ Value::Array(_) => Map::from_iter([("content".to_owned(), list)]),
            _ => return Err(Refused::new(wrong)),
        };
        let variables = match members.remove("variables") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) => items.iter().map(word).collect(),
            Some(one) => vec![word(&one)],
        };
        let parameters = match members.remove("parameters") {
            // Those of a definition that stands by itself.
            Some(parameters) if members.contains_key("timespec") => {
                members.insert("parameters".to_owned(), parameters);
                Map::new()
            }
            Some(Value::Object(parameters)) => parameters,
            _ => Map::new(),
        };
        let content = match members.remove("content") {
            Some(content) => content,
            None => Value::Object(members),
        };
        Ok(Self {
            content,
            variables: variables
                .into_iter()
                .filter(|variable| !variable.is_empty())
                .collect(),
            parameters,
        })
    }

    fn id(&self) -> Result<JobId, Refused> {
        let named = self.variables.first().cloned();
        let named = named.or_else(|| self.content.get("id").map(word));
        let Some(named) = named else {
            return Err(Refused::new("which job? name its id: \"variables\":[id]"));
        };
        JobId::parse(&named).map_err(|error| Refused::new(format!("the id {error}")))
    }

    /// A number among the parameters.
    pub(super) fn number(&self, name: &str) -> Result<Option<usize>, Refused> {
        let Some(value) = self.parameters.get(name) else {
            return Ok(None);
        };
        word(value)
            .parse()
            .map(Some)
            .map_err(|_| Refused::new(format!("'{name}' is no number")))
    }
}

/// A text, or anything else as it is written.
fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    }
}

impl Leader {
    /// Takes a request that core handed over.
    pub(crate) fn request(&mut self, request: Request, now: Moment, out: &mut Outbox) {
        self.now = now;
        let Request {
            token,
            action,
            data,
            ..
        } = request;
        let body = Body::parse(&data);
        let done = body.and_then(|body| match action {
            Action::GetCron => self.show(&token, &body, out),
            Action::AddCron => self.add_jobs(&token, body),
            Action::UpdateCron => self.update_job(&token, &body),
            Action::DeleteCron => self.delete_job(&token, &body),
            Action::RunCron => self.run_job(&token, &body),
            other => Err(Refused::new(format!("cron has no answer to {other}"))),
        });
        if let Err(Refused(data)) = done {
            out.report(token, Code::Ko, data);
        }
    }

    /// Answers when everything that was changed by now is written down.
    fn answer(&mut self, token: &Token, data: Value) {
        self.changes.push(Change {
            then: vec![Then::Answer(token.clone(), data)],
            ..Change::default()
        });
    }

    /// The job of this name.
    pub(super) fn known(&self, id: &JobId) -> Result<&super::Job, Refused> {
        let unknown = || Refused::new(format!("there is no job '{id}'"));
        self.jobs.get(id).ok_or_else(unknown)
    }

    fn add_jobs(&mut self, token: &Token, body: Body) -> Result<(), Refused> {
        let items = match body.content {
            Value::Array(items) => items,
            one => vec![one],
        };
        if items.is_empty() {
            return Err(Refused::new("there is no definition in \"content\""));
        }
        if items.len() > AT_ONCE {
            return Err(Refused::new(format!(
                "more than {AT_ONCE} definitions at once"
            )));
        }
        if self.jobs.len() + items.len() > JOBS {
            return Err(Refused::new(format!("a node has {JOBS} jobs at most")));
        }
        let mut jobs: Vec<Definition> = Vec::new();
        let mut wrong = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let id = item.get("id").cloned().unwrap_or_default();
            let parsed = Definition::parse(item, &self.rules.zones)
                .and_then(|job| self.check(&job).map(|()| job))
                .and_then(|job| {
                    let twice = jobs.iter().any(|other| other.id == job.id);
                    let other = self.jobs.get(&job.id).map(|other| other.source);
                    match (twice, other) {
                        (false, None) => Ok(job),
                        (true, _) => Err(problem("id", "stands twice in the request")),
                        (_, Some(Source::File)) => Err(problem(
                            "id",
                            "is a job of the configuration; choose another",
                        )),
                        (_, Some(Source::Added)) => {
                            Err(problem("id", "is there already; change it with UPDATECRON"))
                        }
                    }
                });
            match parsed {
                Ok(job) => jobs.push(job),
                Err(error) => wrong.push((index, id, error)),
            }
        }
        if !wrong.is_empty() {
            return Err(Refused::definitions(&wrong));
        }
        let ids: Vec<String> = jobs.iter().map(|job| job.id.to_string()).collect();
        for job in jobs {
            self.add(job, Source::Added);
        }
        self.answer(token, json!({ "message": "jobs added", "ids": ids }));
        Ok(())
    }

    /// What a definition may be that `gorgone-schedule` knows nothing of.
    fn check(&self, job: &Definition) -> Result<(), DefinitionError> {
        if text(&job.to_json()).len() > LARGEST {
            return Err(problem("", &format!("is larger than {LARGEST} bytes")));
        }
        match Options::peek(&job.data()) {
            Ok(_) => Ok(()),
            Err(error) => Err(problem("parameters", &format!("ttl or retries: {error}"))),
        }
    }

    fn update_job(&mut self, token: &Token, body: &Body) -> Result<(), Refused> {
        let id = body.id()?;
        let job = self.known(&id)?;
        let mut changes = match &body.content {
            Value::Object(changes) => changes.clone(),
            Value::Array(items) => match items.as_slice() {
                [Value::Object(changes)] => changes.clone(),
                _ => return Err(Refused::new("\"content\" is the fields to change")),
            },
            _ => return Err(Refused::new("\"content\" is the fields to change")),
        };
        changes.retain(|field, _| !show::TOLD.contains(&field.as_str()));
        let wrong = |error: DefinitionError| {
            let id = Value::from(id.as_str());
            Refused::definitions(&[(0, id, error)])
        };
        let changed = job
            .definition
            .patched(&changes, &self.rules.zones)
            .and_then(|job| self.check(&job).map(|()| job))
            .map_err(wrong)?;
        match job.source {
            Source::Added => self.change(&id, changed, None),
            Source::File => {
                let file = job.definition.clone();
                let only_rest = changes
                    .keys()
                    .all(|field| matches!(field.as_str(), "id" | "suspend"));
                if !only_rest {
                    let reason = "is a job of the configuration, which it follows; change it there. \
                        Only 'suspend' can be changed here";
                    return Err(wrong(problem("", reason)));
                }
                let setting = Setting {
                    suspend: changed.suspend,
                    file: file.suspend,
                };
                let differs = changed.suspend != file.suspend;
                if differs {
                    self.changes.push(Change {
                        put: vec![(set_key(&id), text(&setting))],
                        ..Change::default()
                    });
                } else {
                    self.drop_keys(vec![set_key(&id)]);
                }
                self.change(&id, file, Some(setting).filter(|_| differs));
            }
        }
        self.answer(
            token,
            json!({ "message": "job changed", "id": id.as_str() }),
        );
        Ok(())
    }

    fn delete_job(&mut self, token: &Token, body: &Body) -> Result<(), Refused> {
        let id = body.id()?;
        if self.known(&id)?.source == Source::File {
            let words =
                format!("'{id}' is a job of the configuration; take it out there, or suspend it");
            return Err(Refused::new(words));
        }
        self.forget(&id);
        self.answer(
            token,
            json!({ "message": "job deleted", "id": id.as_str() }),
        );
        Ok(())
    }

    fn run_job(&mut self, token: &Token, body: &Body) -> Result<(), Refused> {
        let id = body.id()?;
        self.known(&id)?;
        match self.run(&id, self.now.unix(), true) {
            Verdict::None(reason, words) => {
                let mut refused = Refused::new(format!("was not begun: {words}"));
                refused.0["reason"] = reason.into();
                Err(refused)
            }
            Verdict::Run(number, begun) => {
                let run = self.jobs.get(&id).and_then(|job| {
                    let run = job.runs.get(&number)?;
                    job.token(number, run)
                });
                let message = if begun { "run begun" } else { "the run waits" };
                let data = json!({ "message": message, "id": id.as_str(),
                    "token": run.map(|run| run.to_string()) });
                self.answer(token, data);
                Ok(())
            }
        }
    }

    fn show(&mut self, token: &Token, body: &Body, out: &mut Outbox) -> Result<(), Refused> {
        if body.variables.is_empty() {
            let data = show::all(self, body)?;
            out.report(token.clone(), Code::Ok, data);
            return Ok(());
        }
        let id = body.id()?;
        self.known(&id)?;
        match body.variables.get(1).map(String::as_str) {
            None => {
                let node = self.rules.node;
                let one = self.jobs.get(&id).map(|one| show::job(one, node));
                out.report(token.clone(), Code::Ok, one.into_iter().collect());
            }
            Some("next") => {
                let data = show::next(self, &id, body)?;
                out.report(token.clone(), Code::Ok, data);
            }
            Some("status") => show::status(self, token, &id, body, out)?,
            Some(other) => {
                let words = format!("'{other}' is neither 'status' nor 'next'");
                return Err(Refused::new(words));
            }
        }
        Ok(())
    }
}

fn problem(field: &str, reason: &str) -> DefinitionError {
    DefinitionError {
        problems: vec![gorgone_schedule::FieldProblem {
            field: field.to_owned(),
            reason: reason.to_owned(),
        }],
    }
}
