//! Jobs as they are shown.

use gorgone_client::AskError;
use gorgone_protocol::request::state::{GetState, StatePage};
use gorgone_protocol::{Action, Answer, Code, Status, Token};
use gorgone_schedule::JobId;
use serde_json::{Value, json};

use super::job::{Job, Source, Stage, rfc3339};
use super::requests::{Body, Refused};
use super::{Asked, Leader, PATIENCE, said};
use crate::instance::Outbox;
use crate::stored::{Past, past_prefix};

/// Most bytes of one answer: it becomes a row of the history.
const BYTES: usize = 3 << 20;
/// Instants that are told where nobody says how many, and at most.
const NEXT: usize = 10;
const MOST_NEXT: usize = 1_000;
/// Past runs that are told where nobody says how many, and at most.
const PAST: usize = 10;
const MOST_PAST: usize = 1_000;

/// What is told of a job beside its definition; UPDATECRON takes no notice of it, so that what
/// was told can be sent back.
pub(super) const TOLD: [&str; 4] = ["source", "words", "next", "last"];

/// A job's definition, where it stands, and how it does.
pub(super) fn job(job: &Job, node: u64) -> Value {
    let mut members = job.definition.to_json();
    let told = [
        source(job),
        job.definition.words().into(),
        next_begins(job, node),
        json!(job.at.last.as_ref().map(past)),
    ];
    members.extend(TOLD.map(str::to_owned).into_iter().zip(told));
    if job.setting.is_some() {
        members.insert("suspend".to_owned(), job.rests().into());
    }
    Value::Object(members)
}

fn source(job: &Job) -> Value {
    match job.source {
        Source::File => "file".into(),
        Source::Added => "added".into(),
    }
}

/// When the next run begins: null for never, and while the job rests.
fn next_begins(job: &Job, node: u64) -> Value {
    json!(job.next_wake(node).map(|ms| rfc3339(ms.div_euclid(1000))))
}

/// All jobs, or a page of them.
pub(super) fn all(leader: &Leader, body: &Body) -> Result<Value, Refused> {
    let limit = body.number("limit")?;
    let after = body.parameters.get("after").and_then(Value::as_str);
    let jobs = leader
        .jobs
        .values()
        .filter(|job| after.is_none_or(|after| job.id().as_str() > after));
    let shown: Vec<Value> = jobs
        .take(limit.unwrap_or(usize::MAX))
        .map(|one| job(one, leader.rules.node))
        .collect();
    let data = Value::from(shown);
    if data.to_string().len() > BYTES {
        return Err(Refused::new(
            "the jobs are too many for one answer; ask for them in pages: \
             \"parameters\":{\"limit\":1000,\"after\":last id}",
        ));
    }
    Ok(data)
}

/// The next instants of a job.
pub(super) fn next(leader: &Leader, id: &JobId, body: &Body) -> Result<Value, Refused> {
    let count = body.number("n")?.unwrap_or(NEXT).min(MOST_NEXT);
    let job = leader.known(id)?;
    let after = job.at.cursor.max(leader.now.unix());
    let next: Vec<String> = job
        .definition
        .after(after)
        .take(count)
        .map(rfc3339)
        .collect();
    Ok(
        json!({ "id": id.as_str(), "timezone": job.definition.zone().name(),
        "suspended": job.rests(), "next": next }),
    )
}

/// How a job does: its past runs are read first.
pub(super) fn status(
    leader: &mut Leader,
    token: &Token,
    id: &JobId,
    body: &Body,
    out: &mut Outbox,
) -> Result<(), Refused> {
    let most = body.number("runs")?.unwrap_or(PAST).min(MOST_PAST);
    let job = leader.known(id)?;
    let running: Vec<Value> = job
        .runs
        .iter()
        .map(|(number, run)| {
            let token = job.token(*number, run);
            let state = match run.stage {
                Stage::Queued => "queued",
                Stage::Again(_) => "waits to be begun again",
                Stage::Written | Stage::Asked => "about to begin",
                Stage::Sought | Stage::Underway => "under way",
            };
            json!({ "scheduled": rfc3339(run.scheduled), "state": state,
                "token": token.map(|token| token.to_string()) })
        })
        .collect();
    let about = json!({
        "id": id.as_str(),
        "source": source(job),
        "timespec": job.definition.timespec.as_str(),
        "timezone": job.definition.zone().name(),
        "suspended": job.rests(),
        "next": next_begins(job, leader.rules.node),
        "last": job.at.last.as_ref().map(past),
        "skipped": job.at.skipped.as_ref().map(|skipped| json!({
            "scheduled": rfc3339(skipped.scheduled), "reason": skipped.reason,
        })),
        "running": running,
    });
    let keys = GetState {
        prefix: past_prefix(id),
        after: None,
        limit: Some(10_000),
    };
    let ask = out.ask(Action::GetState, keys.encode(), PATIENCE);
    leader
        .asks
        .insert(ask, Asked::Past(token.clone(), about, most));
    Ok(())
}

fn past(past: &Past) -> Value {
    json!({
        "scheduled": rfc3339(past.scheduled),
        "token": past.token,
        "outcome": if past.ok { "OK" } else { "KO" },
        "reason": past.reason,
        "message": past.message,
        "began": past.began.map(rfc3339),
        "ended": rfc3339(past.ended),
        "retry": past.retry,
    })
}

/// The past of a job was read.
pub(super) fn past_answered(
    token: Token,
    mut about: Value,
    most: usize,
    answer: &Result<Answer, AskError>,
    out: &mut Outbox,
) {
    let page = match answer {
        Ok(answer) if answer.status == Status::Ok => StatePage::decode(answer).ok(),
        other => {
            let words = format!("its past cannot be read: {}", said(other));
            let data = json!({ "message": words, "reason": "failed" });
            return out.report(token, Code::Ko, data);
        }
    };
    let entries = page.unwrap_or_default().entries;
    let mut runs: Vec<Past> = entries
        .iter()
        .filter_map(|(_, value)| serde_json::from_str(value).ok())
        .collect();
    runs.sort_by_key(|run| std::cmp::Reverse(run.number));
    runs.truncate(most);
    about["runs"] = runs.iter().map(past).collect();
    out.report(token, Code::Ok, about);
}
