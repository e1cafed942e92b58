//! One request from its body to its finishing row.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use gorgone_protocol::request::command::{Command, CommandRequest};
use gorgone_protocol::request::engine::EngineRequest;
use gorgone_protocol::request::occasion::Occasion;
use gorgone_protocol::{Code, Data, Reason};
use serde_json::{Map, Value, json};

use crate::engine::{EnginePipe, ended_message};
use crate::helper::Guard;
use crate::policy::{Plan, Policy};
use crate::process::{Control, End, Limits, start, watch};
use crate::report::{Finished, Rows};

/// What all requests share.
pub(crate) struct Shop {
    pub(crate) policy: Policy,
    pub(crate) engine: EnginePipe,
    pub(crate) limits: Limits,
    pub(crate) helper: Option<PathBuf>,
    pub(crate) guard: Option<Guard>,
}

/// Where one request is worked on.
pub(crate) struct Bench<'a> {
    pub(crate) shop: &'a Arc<Shop>,
    /// Which of the slots.
    pub(crate) slot: usize,
    /// What the processes write goes through here; its size is the most that one read takes.
    pub(crate) buffer: &'a mut Vec<u8>,
}

/// Room for one read of a pipe, which holds as much.
pub(crate) const BUFFER: usize = 64 * 1024;

fn unix_now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
}

/// Runs COMMAND.
pub(crate) fn commands(bench: &mut Bench<'_>, data: &Data, control: &Control, rows: &Rows<'_>) {
    let request = match CommandRequest::decode(data) {
        Ok(request) => request,
        Err(error) => return rows.ko(Reason::Rejected, &error.to_string(), Map::new()),
    };
    let occasion = Occasion::peek(data);
    let several = request.commands.len() > 1;
    // Nothing of a request runs if a part of it may not.
    let mut plans = Vec::with_capacity(request.commands.len());
    for (index, command) in request.commands.iter().enumerate() {
        match bench.shop.policy.decide(command) {
            Ok(mut plan) => {
                if let Some(occasion) = &occasion {
                    tell(&mut plan, occasion);
                }
                plans.push(plan);
            }
            Err(error) => {
                let mut data = Map::new();
                if several {
                    data.insert("failed_command".into(), index.into());
                } else if let Some(metadata) = &command.metadata {
                    data.insert("metadata".into(), metadata.clone());
                }
                return rows.ko(Reason::Rejected, &error.to_string(), data);
            }
        }
    }
    if let Some(why) = control.wanted() {
        return rows.ko(
            Reason::Cancelled,
            &format!("not started: {}", ended_message(why)),
            Map::new(),
        );
    }
    if several {
        let (code, mut data) = in_order(bench, &request.commands, &plans, control, rows);
        note(&mut data, occasion.as_ref());
        rows.send(code, data.into());
    } else if let (Some(command), Some(plan)) = (request.commands.first(), plans.first()) {
        let finished = one(bench, command, plan, None, control, rows);
        let tolerated = command.continue_on_error && finished.failure == Some(Reason::Failed);
        let mut data = finished.row();
        let code = if finished.failure.is_none() || tolerated {
            data.remove("reason");
            Code::Ok
        } else {
            Code::Ko
        };
        note(&mut data, occasion.as_ref());
        rows.send(code, data.into());
    }
}

/// A command of a job can find out which run it is. These variables are ours, so that a list of
/// what a request may set need not name them.
fn tell(plan: &mut Plan, occasion: &Occasion) {
    for (name, value) in [
        ("GORGONE_CRON_JOB", &occasion.job),
        ("GORGONE_CRON_SCHEDULED", &occasion.scheduled),
    ] {
        plan.env.insert(name.to_owned(), value.clone());
    }
}

/// So can whoever reads the result.
fn note(data: &mut Map<String, Value>, occasion: Option<&Occasion>) {
    if let Some(occasion) = occasion {
        data.insert("cron".into(), json!(occasion));
    }
}

fn started(command: &Command, index: usize) -> Value {
    let mut data = Map::new();
    data.insert("message".into(), "command has started".into());
    data.insert("index".into(), index.into());
    if let Some(metadata) = &command.metadata {
        data.insert("metadata".into(), metadata.clone());
    }
    data.into()
}

/// Several commands: each has a result of its own, the terminal row, which this returns, sums up.
fn in_order(
    bench: &mut Bench<'_>,
    commands: &[Command],
    plans: &[Plan],
    control: &Control,
    rows: &Rows<'_>,
) -> (Code, Map<String, Value>) {
    let mut summary = Map::new();
    let mut failure = None;
    let mut ran = 0;
    for (index, (command, plan)) in commands.iter().zip(plans).enumerate() {
        rows.send(Code::Proceed, started(command, index));
        let finished = one(bench, command, plan, Some(index), control, rows);
        ran += 1;
        summary = finished.row();
        let mut result = summary.clone();
        result.insert("index".into(), index.into());
        rows.send(Code::RESULT, result.into());
        let ended = finished.failure == Some(Reason::Cancelled);
        if finished.failure.is_some() && (ended || !command.continue_on_error) {
            failure = Some(index);
            break;
        }
    }
    summary.insert("commands".into(), commands.len().into());
    summary.insert("ran".into(), ran.into());
    let code = match failure {
        Some(index) => {
            summary.insert("failed_command".into(), index.into());
            Code::Ko
        }
        None => {
            summary.remove("reason");
            summary.insert("message".into(), "commands have finished".into());
            Code::Ok
        }
    };
    (code, summary)
}

fn one(
    bench: &mut Bench<'_>,
    command: &Command,
    plan: &Plan,
    index: Option<usize>,
    control: &Control,
    rows: &Rows<'_>,
) -> Finished {
    let begin = unix_now();
    let shop = bench.shop;
    let running = match start(plan, shop.helper.as_deref()) {
        Ok(running) => running,
        Err(error) => {
            let reason = if error.is_rejection() {
                Reason::Rejected
            } else {
                Reason::Failed
            };
            return Finished::not_started(command, reason, error.to_string());
        }
    };
    if let Some(guard) = &shop.guard {
        guard.enter(bench.slot, running.group.as_raw_nonzero().get());
    }
    bench.buffer.resize(BUFFER, 0);
    let outcome = watch(
        running,
        Limits {
            timeout: plan.timeout,
            ..shop.limits
        },
        control,
        bench.buffer,
        &mut |stream, text| rows.output(stream, text, index, command.metadata.as_ref()),
        || {
            if let Some(guard) = &shop.guard {
                guard.leave(bench.slot);
            }
        },
    );
    let end = outcome.end;
    let finished = Finished::new(command, outcome, begin, unix_now());
    tracing::debug!(
        token = %rows.token,
        ended = end_word(end),
        message = finished.message,
        "command is over"
    );
    finished
}

const fn end_word(end: End) -> &'static str {
    match end {
        End::Exit(_) => "exit",
        End::Signal(_) => "signal",
        End::Timeout => "timeout",
        End::Ended(_) => "ended",
    }
}

/// Runs ENGINECOMMAND.
pub(crate) fn engine(shop: &Shop, data: &Data, since: Instant, control: &Control, rows: &Rows<'_>) {
    let request = match EngineRequest::decode(data) {
        Ok(request) => request,
        Err(error) => return rows.ko(Reason::Rejected, &error.to_string(), Map::new()),
    };
    match shop.engine.submit(&request.lines, since, control) {
        Ok(()) => {
            let message = match request.lines.len() {
                1 => "command has been submitted".to_owned(),
                several => format!("{several} commands have been submitted"),
            };
            let mut data = Map::new();
            data.insert("message".into(), message.into());
            rows.send(Code::Ok, data.into());
        }
        Err(error) => {
            let mut data = Map::new();
            data.insert("error".into(), error.word().into());
            rows.ko(error.reason(), &error.to_string(), data);
        }
    }
}
