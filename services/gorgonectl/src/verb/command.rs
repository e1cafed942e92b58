//! `gorgonectl command`: runs it, shows its output as it comes, ends as it ended.

use std::io;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::ValueHint;
use gorgone_protocol::request::log::Row;
use gorgone_protocol::{Action, Code, Data, Target};
use serde_json::{Map, Value, json};

use crate::cli::{Context, Whom, exit};
use crate::print::Screen;
use crate::watch::{Ended, Watch};
use crate::{many, rows};

/// Run a command and show its output; exits with the command's exit code
///
/// It runs on the server, or on a node behind it, and its output is shown as it is written. With
/// --on it runs on several nodes: each has its line when it ended there, and the exit code is 1 where it did
/// not end well on all of them.
///
/// The first Ctrl-C cancels the request and waits for its end; a second one leaves it running and
/// tells its token. It is cancelled as well when nobody reads the output any more, as in
/// 'gorgonectl command … | head'. With --json, the rows of the history are shown instead.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gorgonectl command 'df -h | grep /var'
  gorgonectl command --target 4 --timeout 300 -- systemctl restart centengine
  gorgonectl command --env LANG=C --cwd /tmp 'ls | wc -l'
  gorgonectl command --on 'site=paris' uptime
  token=$(gorgonectl command --detach 'sleep 60')")]
pub(crate) struct Args {
    #[command(flatten)]
    whom: Whom,
    /// How many seconds the command may run
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// How many seconds it may wait to begin
    #[arg(long, value_name = "SECONDS")]
    ttl: Option<u64>,
    /// Its working directory
    #[arg(long, value_name = "DIR")]
    cwd: Option<String>,
    /// The user that runs it
    #[arg(long)]
    user: Option<String>,
    /// A variable of its environment; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Do not wait: print the token and end
    #[arg(short, long)]
    detach: bool,
    /// One argument is a line for the shell; several are a program and its arguments, run
    /// without a shell
    #[arg(required = true, trailing_var_arg = true, value_hint = ValueHint::CommandWithArguments)]
    command: Vec<String>,
}

pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let data = body(&args)?;
    let door = context.door().await?;
    let target = args.whom.target();
    let token = door.submit(Action::Command, target.clone(), data).await?;
    let screen = &context.screen;
    if args.detach {
        match screen.json() {
            true => screen.object(&json!({ "token": token }))?,
            false => screen.line(token.as_str())?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    if matches!(target, Target::Many(_)) {
        return many::follow(&door, screen, token, (Action::Command, target)).await;
    }
    let mut shown = Shown::default();
    let watch = Watch::new(&door, screen, token, (Action::Command, target));
    let ended = watch.run(|row| match screen.json() {
        true => screen.object(&rows::json(row)),
        false => shown.row(screen, row),
    });
    match ended.await {
        Ok(Ended::Row(row)) => Ok(code(screen, &row)),
        Ok(Ended::Cancelled(row)) if row.code == Code::Ok => Ok(code(screen, &row)),
        Ok(Ended::Cancelled(_) | Ended::Left) => Ok(ExitCode::from(exit::INTERRUPTED)),
        Err(error) if closed(&error) => Ok(ExitCode::from(exit::BROKEN_PIPE)),
        Err(error) => Err(error),
    }
}

fn closed(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn body(args: &Args) -> anyhow::Result<Data> {
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
    fn row(&mut self, screen: &Screen, row: &Row) -> io::Result<()> {
        let data = rows::data(row);
        if row.code.is_terminal() {
            let rest = |stream: &str, shown: usize| {
                let all = data["output"][stream].as_str().unwrap_or_default();
                all.get(shown..).unwrap_or_default().to_owned()
            };
            screen.raw(&rest("out", self.out))?;
            screen.raw_error(&rest("err", self.err));
        } else if let Some(output) = data["output"].as_str() {
            if data["stream"] == "stderr" {
                self.err += output.len();
                screen.raw_error(output);
            } else {
                self.out += output.len();
                screen.raw(output)?;
            }
        }
        Ok(())
    }
}

/// The command's exit code; 128 and the signal's number where one ended it, as in a shell;
/// 124 after a time-out, as `timeout` does; 1 where it did not run.
fn code(screen: &Screen, row: &Row) -> ExitCode {
    let data = rows::data(row);
    let reason = data["reason"].as_str();
    let number = match (reason, data["exit_code"].as_i64(), data["signal"].as_i64()) {
        (Some("timeout"), _, _) => i64::from(exit::TIMEOUT),
        (_, Some(code), _) => code,
        (_, None, Some(signal)) => i64::from(exit::SIGNAL) + signal,
        (None, None, None) => return ExitCode::SUCCESS,
        (Some(_), None, None) => i64::from(exit::ERROR),
    };
    let plain_failure = reason == Some("failed") && data["exit_code"].is_i64();
    if !screen.json() && reason.is_some() && !plain_failure {
        screen.note(&words(&data));
    }
    ExitCode::from(u8::try_from(number).unwrap_or(exit::ERROR))
}

fn words(data: &Value) -> String {
    let words = data["message"].as_str().unwrap_or("it failed");
    match data["reason"].as_str() {
        Some("unknown") => format!("{words}; look at what it did before you repeat it"),
        _ => words.to_owned(),
    }
}
