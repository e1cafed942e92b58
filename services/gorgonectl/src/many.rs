//! A request to many nodes, waited for: a line for each node as its part ends, then a sum.

use std::cell::{Cell, RefCell};
use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use gorgone_protocol::request::log::{GetLog, Row};
use gorgone_protocol::{Action, Code, Target, Token, Verdict};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::cli::exit;
use crate::door::{Door, is_passing};
use crate::print::text::escape;
use crate::print::{BAD, GOOD, HEAD, Screen};
use crate::rows;
use crate::watch::{Ended, Watch};

/// Rows of one page.
const PAGE: u32 = 1_000;
/// How long a server that restarts is asked again for the rows of the parts.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(200);

/// Waits until a request to many nodes has ended everywhere. Ctrl-C cancels it.
///
/// # Errors
/// When the server does not answer any more, or the output is closed.
pub(crate) async fn follow(
    door: &Door,
    screen: &Screen,
    token: Token,
    asked: (Action, Target),
) -> anyhow::Result<ExitCode> {
    let parts = RefCell::new(Parts::new(door, screen, &token));
    let wake = Notify::new();
    let over = Cell::new(false);
    let broken: Cell<Option<io::ErrorKind>> = Cell::new(None);
    let watch = Watch::new(door, screen, token.clone(), asked);
    let watching = async {
        let ended = watch.run(|_| {
            wake.notify_one();
            broken.get().map_or(Ok(()), |kind| Err(kind.into()))
        });
        let ended = ended.await;
        over.set(true);
        wake.notify_one();
        ended
    };
    #[expect(
        clippy::await_holding_refcell_ref,
        reason = "nobody else borrows it before this is over"
    )]
    let printing = async {
        let mut parts = parts.borrow_mut();
        loop {
            wake.notified().await;
            let last = over.get();
            let printed = parts.print(last).await;
            if let Err(error) = &printed
                && let Some(error) = error.downcast_ref::<io::Error>()
            {
                broken.set(Some(error.kind()));
            }
            if last || printed.is_err() {
                return printed;
            }
        }
    };
    let (ended, printed) = tokio::join!(watching, printing);
    printed?;
    let row = match ended {
        Ok(Ended::Row(row) | Ended::Cancelled(row)) if row.code == Code::Ok => row,
        Ok(Ended::Row(row)) => row,
        Ok(Ended::Cancelled(row)) => {
            sum(screen, &token, &row)?;
            return Ok(ExitCode::from(exit::INTERRUPTED));
        }
        Ok(Ended::Left) => return Ok(ExitCode::from(exit::INTERRUPTED)),
        Err(error) => return Err(error),
    };
    sum(screen, &token, &row)?;
    Ok(exit::ok_if(row.code == Code::Ok))
}

/// The parts of a request: what they ended with, read in pages.
struct Parts<'a> {
    door: &'a Door,
    screen: &'a Screen,
    token: &'a Token,
    /// By code, up to which row they are read.
    read: [(Code, i64); 2],
}

impl<'a> Parts<'a> {
    const fn new(door: &'a Door, screen: &'a Screen, token: &'a Token) -> Self {
        Self {
            door,
            screen,
            token,
            read: [(Code::Ok, 0), (Code::Ko, 0)],
        }
    }

    /// Prints those that have ended since. What is `last` must be had, even from a server that is
    /// restarting.
    async fn print(&mut self, last: bool) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            match self.pages().await {
                Err(error) if is_passing(&error) && began.elapsed() < PATIENCE => {
                    if !last {
                        return Ok(());
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                other => return other,
            }
        }
    }

    async fn pages(&mut self) -> anyhow::Result<()> {
        for index in 0..self.read.len() {
            let (code, mut after) = self.read[index];
            loop {
                let filter = GetLog {
                    parent: Some(self.token.as_str().to_owned()),
                    code: Some(code),
                    id: Some(after),
                    limit: Some(PAGE),
                    ..GetLog::default()
                };
                let page = self.door.log(&filter).await?;
                for row in &page.rows {
                    after = row.id;
                    self.read[index].1 = after;
                    self.line(row)?;
                }
                if !page.more {
                    break;
                }
            }
        }
        Ok(())
    }

    fn line(&self, row: &Row) -> io::Result<()> {
        let node = row.token.rsplit('@').next().unwrap_or_default();
        let verdict = Verdict::of(row.code, &row.data);
        let data = rows::data(row);
        if self.screen.json() {
            let mut whole = rows::json(row);
            whole["node"] = node.parse::<u64>().map_or(Value::Null, Value::from);
            whole["ended"] = verdict.as_str().into();
            return self.screen.object(&whole);
        }
        let (style, word) = match verdict {
            Verdict::Ok => (GOOD, "OK"),
            Verdict::Ko(reason) => (BAD, reason.as_str()),
        };
        let output = output(&data);
        let mut lines = output.lines();
        let first = lines.next().unwrap_or_default();
        let rest: Vec<&str> = lines.collect();
        let words = words(&data);
        let (beside, below) = match rest.is_empty() {
            true => (vec![words, escape(first)], Vec::new()),
            false => (vec![words], output.lines().collect()),
        };
        let beside: Vec<String> = beside.into_iter().filter(|one| !one.is_empty()).collect();
        let line = format!(
            "{}  {}{}  {}",
            self.screen.styled(HEAD, &format!("{node:>6}")),
            self.screen.styled(style, word),
            " ".repeat(9_usize.saturating_sub(word.len())),
            beside.join(": ")
        );
        self.screen.line(line.trim_end())?;
        for line in below {
            self.screen.line(&format!("{node:>6}| {}", escape(line)))?;
        }
        Ok(())
    }
}

/// What a command wrote, first the standard output.
fn output(data: &Value) -> String {
    let of = |stream: &str| data["output"][stream].as_str().unwrap_or_default();
    let (out, err) = (of("out"), of("err"));
    let gap = match out.is_empty() || out.ends_with('\n') || err.is_empty() {
        true => "",
        false => "\n",
    };
    format!("{out}{gap}{err}").trim_end().to_owned()
}

/// What there is to say beside the output.
fn words(data: &Value) -> String {
    let message = || escape(data["message"].as_str().unwrap_or_default());
    match (data["exit_code"].as_i64(), data["reason"].as_str()) {
        (Some(0), None) => String::new(),
        (Some(code), Some("failed")) => format!("exit code {code}"),
        (_, _) => message(),
    }
}

/// How it ended altogether.
fn sum(screen: &Screen, token: &Token, row: &Row) -> io::Result<()> {
    let data = rows::data(row);
    if screen.json() {
        let mut whole = rows::json(row);
        whole["token"] = json!(token);
        return screen.object(&whole);
    }
    let style = if row.code == Code::Ok { GOOD } else { BAD };
    let words = escape(data["message"].as_str().unwrap_or("it is over"));
    let mut sum = screen.styled_note(style, &words);
    let bad = data["nodes"].as_object().into_iter().flatten();
    for (word, nodes) in bad.filter(|(word, _)| *word != "ok") {
        let nodes = nodes.as_str().unwrap_or_default();
        sum.push_str(&format!("\n  {}: --on {}", escape(word), escape(nodes)));
    }
    screen.raw_error(&format!("{sum}\n"));
    Ok(())
}
