//! `gorgonectl log`, and following a token for the others.

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use gorgone_client::Client;
use gorgone_protocol::request::log::{GetLog, Row, WaitFor};
use gorgone_protocol::{Code, Dialect};
use serde_json::{Value, json};

use crate::cli::{LogArgs, Server};
use crate::print;

/// How long one waiting GETLOG waits; then it is asked again.
const WAIT: Duration = Duration::from_secs(30);
/// How often the history is looked at where nothing can be waited for.
const POLL: Duration = Duration::from_secs(1);

/// Rows as they come.
pub(crate) struct Follow {
    filter: GetLog,
}

impl Follow {
    /// All rows of a token, until its terminal one.
    pub(crate) fn token(token: &str) -> Self {
        Self {
            filter: GetLog {
                token: Some(token.to_owned()),
                ..GetLog::default()
            },
        }
    }

    /// Hands over rows as they come. With a token, returns its terminal row.
    pub(crate) async fn run(
        mut self,
        client: &Client,
        server: &Server,
        mut each: impl FnMut(&Row),
    ) -> anyhow::Result<Option<Row>> {
        self.filter.wait = Some(WAIT);
        self.filter.wait_for = WaitFor::Row;
        loop {
            let asked = tokio::time::Instant::now();
            let (rows, more) = client.log(&self.filter, server.patience()).await?;
            let came = !rows.is_empty();
            for row in rows {
                self.filter.id = Some(row.id);
                each(&row);
                if self.filter.token.is_some() && row.code.is_terminal() {
                    return Ok(Some(row));
                }
            }
            // A token that is not known (yet), or no token: there is nothing to wait for.
            if !came && !more && asked.elapsed() < POLL {
                tokio::time::sleep(POLL).await;
            }
        }
    }
}

pub(crate) async fn run(server: &Server, json: bool, args: LogArgs) -> anyhow::Result<ExitCode> {
    let mut filter = GetLog {
        code: args.code.map(|code| Code::from_number(code, Dialect::Seed)),
        token: args.token,
        ctime: args.since.as_deref().map(since).transpose()?,
        id: args.id,
        limit: args.limit,
        ..GetLog::default()
    };
    if !filter.has_filter() {
        filter.id = Some(0);
    }
    let client = server.connect().await?;
    if args.follow {
        let follow = Follow { filter };
        let ended = follow.run(&client, server, |row| show(row, json)).await?;
        return Ok(exit_code(ended.as_ref()));
    }
    loop {
        let (rows, more) = client.log(&filter, server.patience()).await?;
        for row in &rows {
            show(row, json);
        }
        match rows.last() {
            Some(last) if more && filter.limit.is_none() => filter.id = Some(last.id),
            _ => return Ok(ExitCode::SUCCESS),
        }
    }
}

/// Seconds since 1970, or an age such as `15m`.
fn since(text: &str) -> anyhow::Result<i64> {
    let wrong =
        || anyhow!("--since: '{text}' is neither seconds since 1970 nor an age such as 15m");
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    let unit = text.chars().last().ok_or_else(wrong)?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let count: i64 = text
        .strip_suffix(unit)
        .and_then(|count| count.parse().ok())
        .ok_or_else(wrong)?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the system's clock stands before 1970")?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    Ok(now.saturating_sub(count.saturating_mul(factor)))
}

/// 0 where the row says OK.
pub(crate) fn exit_code(row: Option<&Row>) -> ExitCode {
    match row.map(|row| row.code) {
        Some(Code::Ok) | None => ExitCode::SUCCESS,
        Some(_) => ExitCode::FAILURE,
    }
}

/// One row, one line.
pub(crate) fn show(row: &Row, json: bool) {
    let data: Value = serde_json::from_str(&row.data).unwrap_or(Value::Null);
    if json {
        let row = json!({ "id": row.id, "token": row.token, "code": row.code.number(Dialect::Seed),
            "etime": row.etime, "ctime": row.ctime, "data": data });
        return print::line(&row.to_string());
    }
    let code = match row.code {
        Code::Proceed => print::coloured(2, "..  "),
        Code::Ok => print::coloured(32, "OK  "),
        Code::Ko => print::coloured(31, "KO  "),
        Code::Module(number) => format!("{number:<4}"),
    };
    let mut words = data["message"].as_str().unwrap_or_default().to_owned();
    for name in ["reason", "exit_code", "output", "stdout"] {
        match &data[name] {
            Value::Null | Value::Object(_) => {}
            Value::String(text) if text.is_empty() => {}
            value => words.push_str(&format!(" {name}={value}")),
        }
    }
    print::line(&format!(
        "{:>8}  {}  {code}{}  {words}",
        row.id,
        row.etime,
        short(&row.token)
    ));
}

/// Tokens made here have 64 digits: the first twelve tell them apart for people.
fn short(token: &str) -> &str {
    match token.char_indices().nth(12) {
        Some((end, _)) if token.len() >= 64 && print::for_people() => &token[..end],
        _ => token,
    }
}
