//! `gorgonectl command`: runs it, shows its output as it comes, ends as it ended.

use std::process::ExitCode;

use anyhow::anyhow;
use gorgone_protocol::request::log::Row;
use gorgone_protocol::{Action, Data, Message, Status, Target};
use serde_json::{Map, Value, json};

use crate::cli::{CommandArgs, Server};
use crate::log::Follow;
use crate::print;

pub(crate) async fn run(
    server: &Server,
    json: bool,
    args: CommandArgs,
) -> anyhow::Result<ExitCode> {
    let data = body(&args)?;
    let client = server.connect().await?;
    let message = Message {
        action: Action::Command,
        token: None,
        target: args
            .target
            .map_or(Target::Here, |node| Target::Node(node.0)),
        data,
    };
    let answer = client.ask(message, server.patience()).await?;
    let said: Value = answer.data.decode().unwrap_or_default();
    let token = match (answer.status, answer.token) {
        (Status::Ok, Some(token)) => token,
        _ => {
            let words = said["message"].as_str().unwrap_or(answer.data.as_str());
            return Err(anyhow!("not accepted: {words}"));
        }
    };
    if args.detach {
        if json {
            print::line(&json!({ "token": token }).to_string());
        } else {
            print::line(token.as_str());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut shown = Shown::default();
    let follow = Follow::token(token.as_str());
    let ended = follow
        .run(&client, server, |row| {
            if json {
                crate::log::show(row, true);
            } else {
                shown.row(row);
            }
        })
        .await?;
    Ok(ended.map_or(ExitCode::FAILURE, |row| exit(&row, json)))
}

fn body(args: &CommandArgs) -> anyhow::Result<Data> {
    let mut command = Map::new();
    match args.command.as_slice() {
        [line] => command.insert("command".into(), line.as_str().into()),
        words => command.insert("argv".into(), words.into()),
    };
    if let Some(timeout) = args.timeout {
        command.insert("timeout".into(), timeout.into());
    }
    if let Some(cwd) = &args.cwd {
        command.insert("cwd".into(), cwd.as_str().into());
    }
    if let Some(user) = &args.user {
        command.insert("user".into(), user.as_str().into());
    }
    if !args.env.is_empty() {
        let mut env = Map::new();
        for pair in &args.env {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| anyhow!("--env: '{pair}' is not NAME=VALUE"))?;
            env.insert(name.into(), value.into());
        }
        command.insert("env".into(), env.into());
    }
    let mut body = Map::new();
    body.insert("content".into(), command.into());
    if let Some(ttl) = args.ttl {
        body.insert("ttl".into(), ttl.into());
    }
    Ok(Data::from_value(&body))
}

/// How much of each stream was shown already: the finishing row has all of it once more.
#[derive(Default)]
struct Shown {
    out: usize,
    err: usize,
}

impl Shown {
    fn row(&mut self, row: &Row) {
        let data: Value = serde_json::from_str(&row.data).unwrap_or_default();
        if row.code.is_terminal() {
            let rest = |stream: &str, shown: usize| {
                let all = data["output"][stream].as_str().unwrap_or_default();
                all.get(shown..).unwrap_or_default().to_owned()
            };
            print::raw(&rest("out", self.out));
            print::raw_error(&rest("err", self.err));
        } else if let Some(output) = data["output"].as_str() {
            if data["stream"] == "stderr" {
                self.err += output.len();
                print::raw_error(output);
            } else {
                self.out += output.len();
                print::raw(output);
            }
        }
    }
}

/// The command's exit code; 128 and the signal's number where one ended it, as in a shell;
/// 124 after a time-out, as `timeout` does; 1 where it did not run.
fn exit(row: &Row, json: bool) -> ExitCode {
    let data: Value = serde_json::from_str(&row.data).unwrap_or_default();
    let reason = data["reason"].as_str();
    let number = match (reason, data["exit_code"].as_i64(), data["signal"].as_i64()) {
        (Some("timeout"), _, _) => 124,
        (_, Some(code), _) => code,
        (_, None, Some(signal)) => 128 + signal,
        (None, None, None) => return ExitCode::SUCCESS,
        (Some(_), None, None) => 1,
    };
    let plain_failure = reason == Some("failed") && data["exit_code"].is_i64();
    if !json && reason.is_some() && !plain_failure {
        let words = data["message"].as_str().unwrap_or("it failed");
        print::error(&format!("gorgonectl: {words}"));
    }
    ExitCode::from(u8::try_from(number).unwrap_or(1))
}
