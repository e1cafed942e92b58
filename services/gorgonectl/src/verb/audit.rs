//! `gorgonectl audit`: who asked what of which node, from where, and what became of it.

use std::process::ExitCode;

use gorgone_protocol::request::audit::{self, AuditEnd, AuditRow, GetAudit, Outcome};
use gorgone_protocol::{Action, Code, Data, Dialect, Message, Status};
use serde_json::{Value, json};

use crate::cli::{Context, NodeIdArg, TokenArg};
use crate::door::{Door, refused};
use crate::print::table::{Cell, Table};
use crate::print::text::cut;
use crate::print::{BAD, FAINT, GOOD, HEAD, ODD, PLAIN, Screen};
use crate::time::{self, PointArg};

/// How many rows are shown where nothing says where to begin.
const NEWEST: i64 = 25;
/// How much of a request's DATA is shown.
const REQUEST: usize = 120;

/// Show who asked what of which node, from where, and what became of it
///
/// Without a time or an id, the newest rows are shown. Secrets in requests were left out when the
/// rows were written.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gorgonectl audit
  gorgonectl audit --since today --outcome forbidden
  gorgonectl audit --who admin --action COMMAND -n 100
  gorgonectl --json audit --since 7d > week.jsonl")]
pub(crate) struct Args {
    /// Only requests with this credential: a client's name or thumbprint, or a user's name
    #[arg(long)]
    who: Option<String>,
    /// Only requests for this action, such as COMMAND
    #[arg(long)]
    action: Option<String>,
    /// Only requests to this node
    #[arg(long, value_name = "NODE")]
    node: Option<NodeIdArg>,
    /// Only requests with this token
    #[arg(long)]
    token: Option<TokenArg>,
    /// Only requests with this outcome: accepted, answered, refused or forbidden
    #[arg(long)]
    outcome: Option<OutcomeArg>,
    /// Only requests of this time or later: an age such as 15m or 7d, a time such as 14:30,
    /// '2026-11-03 14:30', today, yesterday; or seconds since 1970
    #[arg(long, value_name = "TIME")]
    since: Option<PointArg>,
    /// Only requests of this time or earlier
    #[arg(long, value_name = "TIME")]
    until: Option<PointArg>,
    /// Only rows after this one
    #[arg(long, value_name = "ID", alias = "after")]
    id: Option<i64>,
    /// At most so many rows: the newest, or with --id the next ones [default: 25, where nothing
    /// says where to begin]
    #[arg(short = 'n', long, value_name = "ROWS", value_parser = clap::value_parser!(i64).range(1..))]
    limit: Option<i64>,
    /// Show requests whole
    #[arg(long)]
    full: bool,
}

pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let filter = GetAudit {
        who: args.who,
        action: args.action,
        node: args.node.map(|node| node.0),
        token: args.token.map(|token| token.0.to_string()),
        since: args.since.map(|since| since.0),
        until: args.until.map(|until| until.0),
        outcome: args.outcome.map(|outcome| outcome.0),
        id: args.id,
        ..GetAudit::default()
    };
    let begins = filter.since.is_some() || filter.id.is_some();
    let newest = filter.id.is_none() && (args.limit.is_some() || !begins);
    let limit = match (args.limit, begins) {
        (None, true) => None,
        (limit, _) => Some(limit.unwrap_or(NEWEST)),
    };
    let door = context.door().await?;
    let rows = read(&door, filter, newest, limit).await?;
    let screen = &context.screen;
    if screen.json() {
        for row in &rows {
            screen.object(&as_json(row))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&["ID", "TIME", "WHO", "ACTION", "NODE", "OUTCOME", "WHAT"]);
    for row in &rows {
        table.row(cells(screen, row, args.full));
    }
    screen.table(&table)?;
    Ok(ExitCode::SUCCESS)
}

/// Rows in the order of their ids: pages until there are enough.
async fn read(
    door: &Door,
    mut filter: GetAudit,
    newest: bool,
    limit: Option<i64>,
) -> anyhow::Result<Vec<AuditRow>> {
    let mut pages = Vec::new();
    let mut left = limit;
    filter.newest = newest;
    loop {
        filter.limit = left;
        let message = Message::new(Action::GetAudit, None, Data::from_value(&filter));
        let answer = door.ask(message).await?;
        if answer.status == Status::Nok {
            return Err(refused(&answer, &Action::GetAudit));
        }
        let page = audit::decode_answer(&answer, Dialect::Seed)?;
        let count = i64::try_from(page.rows.len()).unwrap_or(i64::MAX);
        left = left.map(|left| left.saturating_sub(count));
        pages.push(page.rows);
        match page.next {
            Some(next) if left.is_none_or(|left| left > 0) => match newest {
                true => filter.before = Some(next),
                false => filter.id = Some(next),
            },
            _ => break,
        }
    }
    if newest {
        pages.reverse();
    }
    Ok(pages.into_iter().flatten().collect())
}

fn as_json(row: &AuditRow) -> Value {
    let end = row.end.as_ref().map(|end| {
        json!({ "code": end.code.number(Dialect::Seed), "reason": end.reason, "time": end.time })
    });
    json!({
        "id": row.id, "time": row.time, "door": row.door, "who": row.who, "from": row.from,
        "action": row.action, "node": row.node, "token": row.token, "request": row.request,
        "outcome": row.outcome, "message": row.message, "end": end,
    })
}

fn cells(screen: &Screen, row: &AuditRow, full: bool) -> Vec<Cell> {
    vec![
        Cell::number(row.id),
        Cell::new(time::local(row.time)),
        Cell::styled(HEAD, &row.who),
        Cell::new(&row.action),
        Cell::new(&row.node),
        outcome(row),
        Cell::new(what(row, full || screen.columns().is_none())),
    ]
}

/// What became of it: how it ended, where it was accepted and has.
fn outcome(row: &AuditRow) -> Cell {
    match (row.outcome, &row.end) {
        (Outcome::Accepted, Some(AuditEnd { code: Code::Ok, .. })) => Cell::styled(GOOD, "OK"),
        (Outcome::Accepted, Some(end)) => {
            let reason = end.reason.as_deref().unwrap_or_default();
            Cell::styled(BAD, format!("KO {reason}").trim_end())
        }
        (Outcome::Accepted, None) => Cell::styled(ODD, "accepted"),
        (Outcome::Answered, _) => Cell::styled(PLAIN, "answered"),
        (Outcome::Refused, _) => Cell::styled(FAINT, "refused"),
        (Outcome::Forbidden, _) => Cell::styled(BAD, "forbidden"),
    }
}

/// Where it came from, its token, what was asked and said.
fn what(row: &AuditRow, full: bool) -> String {
    let door = row.door.as_str();
    let mut words = match &row.from {
        Some(from) => format!("{door} from {from}"),
        None => door.to_owned(),
    };
    if !row.token.is_empty() {
        let token = if full {
            row.token.clone()
        } else {
            cut(&row.token, 13)
        };
        words.push_str(&format!(" token={token}"));
    }
    if !row.message.is_empty() {
        words.push_str(&format!(" {}", row.message));
    }
    if !row.request.is_empty() && row.request != "{}" {
        let request = if full {
            row.request.clone()
        } else {
            cut(&row.request, REQUEST)
        };
        words.push_str(&format!(" {request}"));
    }
    words
}

/// An outcome on the command line.
#[derive(Clone, Copy)]
struct OutcomeArg(Outcome);

impl std::str::FromStr for OutcomeArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Outcome::parse(&text.to_ascii_lowercase())
            .map(Self)
            .ok_or_else(|| format!("'{text}' is not accepted, answered, refused or forbidden"))
    }
}
