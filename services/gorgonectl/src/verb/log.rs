//! `gorgonectl log`: rows of the history, as they are or as they come.

use std::process::ExitCode;
use std::time::Duration;

use gorgone_protocol::request::log::{GetLog, Row};
use gorgone_protocol::{Code, Dialect, Token};

use crate::cli::{Context, NodeIdArg, TokenArg, exit};
use crate::door::Door;
use crate::rows::Rows;
use crate::time::PointArg;

/// How often the history is looked at while it is followed without a token.
const POLL: Duration = Duration::from_secs(1);
/// How many rows are shown where nothing says where to begin.
const NEWEST: u32 = 25;

/// Show rows of the history
///
/// They come in the order in which they were stored. Without a token, a time or an id, the newest ones are shown. On a terminal, tokens and words are
/// shortened to fit; --full, a pipe or --json shows them whole.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gorgonectl log                             the newest rows
  gorgonectl log --since 1h --code ko        what failed in the last hour
  gorgonectl log --since yesterday --until today
  gorgonectl log -f                          rows as they come
  gorgonectl log -f TOKEN                    until the request with this token has ended
  gorgonectl --json log --since 1d | jq -r 'select(.code==2).data.reason'")]
pub(crate) struct Args {
    /// Only rows of this token
    token: Option<TokenArg>,
    /// Only rows with this code: proceed, ok, ko, or the number of a module's own
    #[arg(long)]
    code: Option<CodeArg>,
    /// Only rows stored at this time or later: an age such as 90s, 15m, 2h, 7d; a time such as
    /// 14:30, '2026-11-03 14:30', today, yesterday; or seconds since 1970
    #[arg(long, value_name = "TIME")]
    since: Option<PointArg>,
    /// Only rows stored at this time or earlier
    #[arg(long, value_name = "TIME")]
    until: Option<PointArg>,
    /// Only rows of this node
    #[arg(long, value_name = "NODE")]
    node: Option<NodeIdArg>,
    /// Only rows after this one
    #[arg(long, value_name = "ID", alias = "after")]
    id: Option<i64>,
    /// At most so many rows: the newest, or with --id the next ones [default: 25, where nothing
    /// says where to begin]
    #[arg(short = 'n', long, value_name = "ROWS")]
    limit: Option<u32>,
    /// Go on as rows come; with a token until it has ended, and end as it did
    #[arg(short, long)]
    follow: bool,
    /// Shorten nothing
    #[arg(long)]
    full: bool,
}

pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let door = context.door().await?;
    let mut rows = Rows::new(&context.screen, args.full);
    let mut wanted = Wanted::from(&args);
    if let (true, Some(token)) = (args.follow, &args.token) {
        return follow_token(&door, &token.0, &wanted.filter, &mut rows).await;
    }
    let mut after = match wanted.newest {
        Some(count) => newest(&door, &wanted, count, &mut rows).await?,
        None => next(&door, &wanted, wanted.filter.id, &mut rows).await?,
    };
    if !args.follow {
        return Ok(ExitCode::SUCCESS);
    }
    wanted.limit = None;
    loop {
        tokio::time::sleep(POLL).await;
        after = next(&door, &wanted, Some(after), &mut rows).await?;
    }
}

/// Which rows are asked for.
struct Wanted {
    filter: GetLog,
    /// Only so many of the newest.
    newest: Option<u32>,
    /// At most so many, from where it begins.
    limit: Option<u32>,
}

impl From<&Args> for Wanted {
    fn from(args: &Args) -> Self {
        let filter = GetLog {
            code: args.code.map(|code| code.0),
            token: args.token.as_ref().map(|token| token.0.to_string()),
            ctime: args.since.map(|since| since.0),
            until: args.until.map(|until| until.0),
            node: args.node.map(|node| node.0),
            id: args.id,
            ..GetLog::default()
        };
        let begins = args.token.is_some() || args.since.is_some() || args.id.is_some();
        let newest = match args.limit {
            Some(_) if args.id.is_some() => None,
            None if begins => None,
            limit => Some(limit.unwrap_or(NEWEST)),
        };
        Self {
            filter,
            newest,
            limit: args.limit.filter(|_| args.id.is_some()),
        }
    }
}

/// All rows of a token until it has ended; the exit code tells how.
async fn follow_token(
    door: &Door,
    token: &Token,
    filter: &GetLog,
    shown: &mut Rows<'_>,
) -> anyhow::Result<ExitCode> {
    let wanted = |row: &Row| {
        filter.code.is_none_or(|code| row.code == code)
            && filter.ctime.is_none_or(|since| row.ctime >= since)
            && filter.id.is_none_or(|id| row.id > id)
            && filter.until.is_none_or(|until| row.ctime <= until)
    };
    let mut rows = door.rows(token);
    let mut well = true;
    while let Some(row) = rows.next().await? {
        if wanted(&row) {
            shown.show(&row)?;
        }
        well = row.code != Code::Ko;
    }
    Ok(exit::ok_if(well))
}

/// Shows rows from where they begin, and returns the last one's id.
async fn next(
    door: &Door,
    wanted: &Wanted,
    after: Option<i64>,
    shown: &mut Rows<'_>,
) -> anyhow::Result<i64> {
    let mut left = wanted.limit;
    let mut filter = GetLog {
        id: Some(after.unwrap_or(0)),
        ..wanted.filter.clone()
    };
    loop {
        filter.limit = left;
        let page = door.log(&filter).await?;
        for row in &page.rows {
            filter.id = Some(row.id);
            shown.show(row)?;
        }
        let count = u32::try_from(page.rows.len()).unwrap_or(u32::MAX);
        left = left.map(|left| left.saturating_sub(count));
        if !page.more || page.rows.is_empty() || left == Some(0) {
            return Ok(filter.id.unwrap_or(0));
        }
    }
}

/// Shows the newest rows, oldest first, and returns the last one's id.
async fn newest(
    door: &Door,
    wanted: &Wanted,
    count: u32,
    shown: &mut Rows<'_>,
) -> anyhow::Result<i64> {
    let mut pages = Vec::new();
    // Who wants none still wants to know where the next ones begin.
    let mut left = count.max(1);
    let mut filter = GetLog {
        id: Some(wanted.filter.id.unwrap_or(0)),
        newest: true,
        ..wanted.filter.clone()
    };
    while left > 0 {
        filter.limit = Some(left);
        let page = door.log(&filter).await?;
        left = left.saturating_sub(u32::try_from(page.rows.len()).unwrap_or(u32::MAX));
        filter.before = page.rows.first().map(|row| row.id);
        let more = page.more && filter.before.is_some();
        pages.push(page.rows);
        if !more {
            break;
        }
    }
    let mut last = 0;
    for row in pages.iter().rev().flatten() {
        last = row.id;
        if count > 0 {
            shown.show(row)?;
        }
    }
    Ok(last)
}

/// A code on the command line.
#[derive(Clone, Copy)]
struct CodeArg(Code);

impl std::str::FromStr for CodeArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "proceed" => Ok(Self(Code::Proceed)),
            "ok" => Ok(Self(Code::Ok)),
            "ko" => Ok(Self(Code::Ko)),
            number => number
                .parse()
                .map(|number| Self(Code::from_number(number, Dialect::Seed)))
                .map_err(|_| format!("'{text}' is not proceed, ok, ko or a number")),
        }
    }
}
