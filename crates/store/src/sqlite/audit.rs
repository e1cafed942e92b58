//! The audit: written with what it is about, and read in bounded steps.

use gorgone_protocol::request::audit::{AuditEnd, AuditPage, AuditRow, Door, GetAudit, Outcome};
use gorgone_protocol::{Code, Dialect};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments as _, AssertSqlSafe, Row as _, SqliteConnection, SqlitePool};

use super::bucket::{Bucket, LARGEST};
use crate::Error;
use crate::plan::{Plan, code_column};

/// Rows of one page where nobody says it, and at most.
const PAGE: i64 = 1_000;
const MAX_PAGE: i64 = 10_000;
/// Bytes of one page, about; the first row is always there.
const PAGE_BYTES: usize = 4 << 20;
/// Rows that one reading looks at. Only the token and the time have indexes; whoever asks for
/// anything else pages through what may be many rows, and holds up nobody.
const SCAN: i64 = 100_000;
/// What a row takes in an answer beside its texts.
const ROW_BYTES: usize = 200;

const COLUMNS: &str = "id, time, door, who, origin, action, node, token, request, outcome, \
     message, end_code, end_reason, end_time";

pub(crate) struct Statements {
    insert: Bucket,
    end: Bucket,
}

impl Statements {
    pub(crate) fn new() -> Self {
        Self {
            insert: Bucket::insert(
                "INSERT INTO gorgone_audit (time, door, who, origin, action, node, token, \
                 request, outcome, message)",
                10,
            ),
            end: Bucket::new(
                "UPDATE gorgone_audit SET end_code = v.column2, end_reason = v.column3, \
                 end_time = v.column4 FROM (VALUES ",
                "(?,?,?,?)",
                ") AS v WHERE gorgone_audit.token = v.column1 \
                 AND gorgone_audit.outcome = 'accepted' AND gorgone_audit.end_time IS NULL",
            ),
        }
    }
}

/// New rows first: one may end within its group.
pub(crate) async fn write(
    connection: &mut SqliteConnection,
    statements: &Statements,
    plan: &Plan<'_>,
) -> Result<(), Error> {
    for chunk in plan.audits.chunks(LARGEST) {
        let mut query = sqlx::query(statements.insert.sql(chunk.len()));
        for row in chunk {
            query = query
                .bind(row.time)
                .bind(row.door.as_str())
                .bind(&*row.who)
                .bind(row.from.as_deref())
                .bind(row.action.name())
                .bind(row.node.to_string())
                .bind(row.token.as_ref().map(|token| token.as_str()))
                .bind(&*row.request)
                .bind(row.outcome.as_str())
                .bind(&row.message);
        }
        query.execute(&mut *connection).await?;
    }
    for chunk in plan.ends.chunks(LARGEST) {
        let mut query = sqlx::query(statements.end.sql(chunk.len()));
        for end in chunk {
            query = query
                .bind(end.token)
                .bind(code_column(end.code))
                .bind(&end.reason)
                .bind(end.time);
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// The rows among the next [`SCAN`] that a filter lets through.
pub(crate) async fn read(pool: &SqlitePool, filter: &GetAudit) -> Result<AuditPage, Error> {
    let limit = filter.limit.unwrap_or(PAGE).clamp(1, MAX_PAGE);
    let Some((low, high)) = window(pool, filter).await? else {
        return Ok(AuditPage::default());
    };
    // With a token its index finds the few rows that there are, wherever they stand.
    let (from, to) = match (&filter.token, filter.newest) {
        (Some(_), _) => (low, high),
        (None, false) => (low, high.min(low.saturating_add(SCAN - 1))),
        (None, true) => (low.max(high.saturating_sub(SCAN - 1)), high),
    };
    let (sql, arguments) = query(filter, from, to, limit + 1)?;
    let found = sqlx::query_with(AssertSqlSafe(sql), arguments)
        .fetch_all(pool)
        .await?;
    let mut page = AuditPage::default();
    let mut bytes = 0;
    let mut rest = found.iter();
    for row in rest
        .by_ref()
        .take(usize::try_from(limit).unwrap_or(usize::MAX))
    {
        let row = audit_row(row)?;
        bytes += row.request.len() + row.message.len() + row.token.len() + ROW_BYTES;
        if bytes > PAGE_BYTES && !page.rows.is_empty() {
            page.next = page.rows.last().map(|row| row.id);
            break;
        }
        page.rows.push(row);
    }
    if page.next.is_none() {
        page.next = match (rest.next(), filter.newest) {
            (Some(_), _) => page.rows.last().map(|row| row.id),
            (None, false) => (to < high).then_some(to),
            (None, true) => (from > low).then_some(from),
        };
    }
    if filter.newest {
        page.rows.reverse();
    }
    Ok(page)
}

/// The ids between which the rows stand, both included.
async fn window(pool: &SqlitePool, filter: &GetAudit) -> Result<Option<(i64, i64)>, Error> {
    // The clock may have been set back: the smallest id of the time, not that of the earliest
    // row. The index alone tells it.
    let (first, last): (Option<i64>, Option<i64>) =
        match (filter.since, filter.until) {
            (None, None) => sqlx::query_as(
                "SELECT (SELECT min(id) FROM gorgone_audit), (SELECT max(id) FROM gorgone_audit)",
            )
            .fetch_one(pool)
            .await?,
            (since, until) => {
                sqlx::query_as(
                    "SELECT min(id), max(id) FROM gorgone_audit INDEXED BY idx_gorgone_audit_time \
                 WHERE time >= ? AND time <= ?",
                )
                .bind(since.unwrap_or(i64::MIN))
                .bind(until.unwrap_or(i64::MAX))
                .fetch_one(pool)
                .await?
            }
        };
    let low = first.map(|first| {
        filter
            .id
            .map_or(first, |id| first.max(id.saturating_add(1)))
    });
    let high = last.map(|last| {
        filter
            .before
            .map_or(last, |id| last.min(id.saturating_sub(1)))
    });
    Ok(low.zip(high).filter(|(low, high)| low <= high))
}

fn query(
    filter: &GetAudit,
    from: i64,
    to: i64,
    limit: i64,
) -> Result<(String, SqliteArguments), Error> {
    let mut arguments = SqliteArguments::default();
    let mut conditions = String::new();
    let mut numbers = |condition: &str, number: i64| -> Result<(), Error> {
        conditions.push_str(condition);
        arguments.add(number).map_err(sqlx::Error::Encode)?;
        Ok(())
    };
    numbers("id >= ?", from)?;
    numbers(" AND id <= ?", to)?;
    // A plus keeps SQLite, which has no statistics, from choosing the time's index.
    if let Some(since) = filter.since {
        numbers(" AND +time >= ?", since)?;
    }
    if let Some(until) = filter.until {
        numbers(" AND +time <= ?", until)?;
    }
    let node = filter.node.map(|node| node.to_string());
    for (column, text) in [
        ("token", filter.token.as_deref()),
        ("who", filter.who.as_deref()),
        ("action", filter.action.as_deref()),
        ("node", node.as_deref()),
        ("outcome", filter.outcome.map(Outcome::as_str)),
    ] {
        if let Some(text) = text {
            conditions.push_str(&format!(" AND {column} = ?"));
            arguments
                .add(text.to_owned())
                .map_err(sqlx::Error::Encode)?;
        }
    }
    arguments.add(limit).map_err(sqlx::Error::Encode)?;
    let order = if filter.newest { "DESC" } else { "ASC" };
    let sql = format!(
        "SELECT {COLUMNS} FROM gorgone_audit WHERE {conditions} ORDER BY id {order} LIMIT ?"
    );
    Ok((sql, arguments))
}

fn audit_row(row: &SqliteRow) -> Result<AuditRow, Error> {
    let door: &str = row.try_get(2)?;
    let outcome: &str = row.try_get(9)?;
    let code: Option<i64> = row.try_get(11)?;
    let reason: Option<String> = row.try_get(12)?;
    let ended: Option<i64> = row.try_get(13)?;
    Ok(AuditRow {
        id: row.try_get(0)?,
        time: row.try_get(1)?,
        door: Door::parse(door).ok_or_else(|| Error::unreadable("the door of a request", door))?,
        who: row.try_get(3)?,
        from: row.try_get(4)?,
        action: row.try_get(5)?,
        node: row.try_get(6)?,
        token: row.try_get::<Option<String>, _>(7)?.unwrap_or_default(),
        request: row.try_get(8)?,
        outcome: Outcome::parse(outcome)
            .ok_or_else(|| Error::unreadable("the outcome of a request", outcome))?,
        message: row.try_get(10)?,
        end: code.zip(ended).map(|(code, time)| AuditEnd {
            code: Code::from_number(code, Dialect::Seed),
            reason,
            time,
        }),
    })
}
