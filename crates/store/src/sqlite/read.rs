//! Reading, on connections of its own: a reader never waits for the writer.

use std::collections::{BTreeMap, VecDeque};

use gorgone_protocol::{Action, Code, Data, Dialect, Mark, NodeId, Target, Token};
use gorgone_routing::{Row, Task};
use gorgone_session::StoredSession;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqlitePoolOptions, SqliteRow};
use sqlx::{Arguments as _, AssertSqlSafe, Row as _, SqlitePool};

use super::write::standing_from_row;
use crate::change::{SyncMark, column_id};
use crate::history::{Filter, Page, RowsOf};
use crate::lives::life_from_column;
use crate::plan::{Progress, Standing, code_column};
use crate::session::Columns;
use crate::store::{Stats, TaskStatus};
use crate::{Error, Options};

/// Tasks that are read at once.
const TASKS: i64 = 1000;

/// How many rows of the history are sorted rather than looked for.
const FEW: i64 = 20_000;

/// What a row takes in an answer beside its token and its data.
const ROW_BYTES: i64 = 100;

pub(crate) fn pool(options: &Options, connect: SqliteConnectOptions) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(options.readers)
        .acquire_timeout(options.read_timeout)
        // A file needs no asking whether it is still there.
        .test_before_acquire(false)
        .connect_lazy_with(connect.pragma("query_only", "true"))
}

pub(crate) async fn history(pool: &SqlitePool, filter: &Filter) -> Result<Page, Error> {
    let limit = i64::from(filter.limit.clamp(1, Filter::MAX_LIMIT));
    let (sql, mut arguments) = history_query(filter, choose_index(pool, filter).await?)?;
    // One more than asked for tells whether there are more.
    for number in [
        limit + 1,
        i64::try_from(filter.max_bytes).unwrap_or(i64::MAX),
        limit,
    ] {
        arguments.add(number).map_err(sqlx::Error::Encode)?;
    }
    let found = sqlx::query_with(AssertSqlSafe(sql), arguments)
        .fetch_all(pool)
        .await?;
    let mut rows = VecDeque::with_capacity(found.len());
    let mut matching = 0;
    for row in &found {
        matching = row.try_get(6)?;
        let token: Option<String> = row.try_get(1)?;
        let data: Option<String> = row.try_get(5)?;
        let code: Option<i64> = row.try_get(2)?;
        let node: Option<i64> = row.try_get(7)?;
        let row = Row {
            id: row.try_get(0)?,
            token: token.unwrap_or_default(),
            code: Code::from_number(code.unwrap_or_default(), Dialect::Seed),
            etime: row.try_get::<Option<i64>, _>(3)?.unwrap_or_default(),
            ctime: row.try_get::<Option<i64>, _>(4)?.unwrap_or_default(),
            data: data.unwrap_or_default(),
            node: node.and_then(|id| u64::try_from(id).ok()).map(NodeId::new),
        };
        if filter.newest {
            rows.push_front(row);
        } else {
            rows.push_back(row);
        }
    }
    Ok(Page {
        truncated: matching > found.len() as i64,
        rows: rows.into(),
    })
}

/// How the rows are found where only a time tells which: by the time's index and then sorted,
/// while they are few; else by walking along the ids, since sorting them all would cost more.
/// SQLite has no statistics to know which.
async fn choose_index(pool: &SqlitePool, filter: &Filter) -> Result<&'static str, Error> {
    if filter.token.is_some() || filter.parent.is_some() || filter.code.is_some() {
        return Ok("");
    }
    let by_ctime = filter.ctime_from.is_some() || filter.ctime_until.is_some();
    let (from, until, count, index) = match filter.etime_from {
        _ if by_ctime => (
            filter.ctime_from.unwrap_or(i64::MIN),
            filter.ctime_until.unwrap_or(i64::MAX),
            "SELECT count(*) FROM (SELECT 1 FROM gorgone_history WHERE ctime >= ? AND ctime <= ? LIMIT ?)",
            "INDEXED BY idx_gorgone_history_ctime",
        ),
        Some(from) => (
            from,
            i64::MAX,
            "SELECT count(*) FROM (SELECT 1 FROM gorgone_history WHERE etime >= ? AND etime <= ? LIMIT ?)",
            "INDEXED BY idx_gorgone_history_etime",
        ),
        None => return Ok(""),
    };
    let found: i64 = sqlx::query_scalar(count)
        .bind(from)
        .bind(until)
        .bind(FEW)
        .fetch_one(pool)
        .await?;
    Ok(if found < FEW { index } else { "NOT INDEXED" })
}

/// The page is chosen by ids and lengths first, so that never more than it may hold is read.
fn history_query(filter: &Filter, index: &str) -> Result<(String, SqliteArguments), Error> {
    let mut arguments = SqliteArguments::default();
    let mut conditions = Vec::new();
    // The most selective filter has the index; a plus keeps SQLite, which has no statistics,
    // from choosing another one for the rest.
    let mut indexed = false;
    let mut condition = |column: &'static str, with: &'static str, indexed: &mut bool| {
        let plus = if *indexed { "+" } else { "" };
        conditions.push(format!("{plus}{column} {with}"));
        *indexed = true;
    };
    if let Some(token) = &filter.token {
        condition("token", "= ?", &mut indexed);
        arguments.add(token.as_str()).ok();
    }
    if let Some(parent) = &filter.parent {
        let parts = "IN (SELECT token FROM gorgone_task WHERE parent = ?)";
        condition("token", parts, &mut indexed);
        arguments.add(parent.as_str()).ok();
    }
    if let Some(code) = filter.code {
        condition("code", "= ?", &mut indexed);
        arguments.add(code_column(code)).ok();
    }
    if let Some(id) = filter.id_after {
        // Also the second part of every index.
        condition("id", "> ?", &mut false);
        arguments.add(id).ok();
    }
    if let Some(id) = filter.id_before {
        condition("id", "< ?", &mut false);
        arguments.add(id).ok();
    }
    // Both ends of the time are one range of its index.
    let mut of_range = indexed;
    if let Some(ctime) = filter.ctime_from {
        condition("ctime", ">= ?", &mut of_range);
        arguments.add(ctime).ok();
    }
    if let Some(ctime) = filter.ctime_until {
        condition("ctime", "<= ?", &mut indexed);
        arguments.add(ctime).ok();
    }
    indexed |= of_range;
    if let Some(etime) = filter.etime_from {
        condition("etime", ">= ?", &mut indexed);
        arguments.add(etime).ok();
    }
    match filter.rows_of {
        None => {}
        Some(RowsOf::Here) => conditions.push(
            "NOT EXISTS (SELECT 1 FROM gorgone_history_node n WHERE n.id = gorgone_history.id)"
                .to_owned(),
        ),
        Some(RowsOf::Node(node)) => {
            conditions.push(
                "EXISTS (SELECT 1 FROM gorgone_history_node n \
                 WHERE n.id = gorgone_history.id AND n.node = ?)"
                    .to_owned(),
            );
            arguments
                .add(column_id(node)?)
                .map_err(sqlx::Error::Encode)?;
        }
    }
    let conditions = match conditions.is_empty() {
        true => String::new(),
        false => format!("WHERE {}", conditions.join(" AND ")),
    };
    let order = if filter.newest { "DESC" } else { "ASC" };
    let sql = format!(
        "WITH page AS MATERIALIZED (SELECT id, coalesce(octet_length(token), 0) + \
         coalesce(octet_length(data), 0) + {ROW_BYTES} AS size FROM gorgone_history {index} {conditions} \
         ORDER BY id {order} LIMIT ?), \
         sums AS (SELECT id, sum(size) OVER w AS total, row_number() OVER w AS number, \
         (SELECT count(*) FROM page) AS matching FROM page WINDOW w AS (ORDER BY id {order})) \
         SELECT h.id, h.token, h.code, h.etime, h.ctime, h.data, matching, n.node FROM sums \
         CROSS JOIN gorgone_history h ON h.id = sums.id \
         LEFT JOIN gorgone_history_node n ON n.id = h.id \
         WHERE (number = 1 OR total <= ?) AND number <= ? ORDER BY number"
    );
    Ok((sql, arguments))
}

/// The data of a part stands with the whole, which lives as long as its parts do.
const TASK_COLUMNS: &str = "SELECT id, token, action, target, coalesce(data, (SELECT whole.data \
     FROM gorgone_task whole WHERE whole.token = task.parent)), origin, accepted_ms, \
     expires_ms, state, runner, runner_epoch, attempt, retries, counted, finished, \
     node, verdict, parent FROM gorgone_task task";

pub(crate) async fn live_tasks(pool: &SqlitePool) -> Result<Vec<Task>, Error> {
    let mut tasks = Vec::new();
    let mut after = i64::MIN;
    loop {
        let sql = format!("{TASK_COLUMNS} WHERE finished IS NULL AND id > ? ORDER BY id LIMIT ?");
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(after)
            .bind(TASKS)
            .fetch_all(pool)
            .await?;
        let Some(last) = rows.last() else {
            return Ok(tasks);
        };
        after = last.try_get(0)?;
        for row in &rows {
            let standing = standing_from_row(row, 8)?;
            if let TaskStatus::Live(task) = task_from_row(row, standing)? {
                tasks.push(*task);
            }
        }
    }
}

pub(crate) async fn task(pool: &SqlitePool, token: &str) -> Result<Option<TaskStatus>, Error> {
    let sql = format!("{TASK_COLUMNS} WHERE token = ?");
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(token)
        .fetch_optional(pool)
        .await?;
    row.map(|row| task_from_row(&row, standing_from_row(&row, 8)?))
        .transpose()
}

fn task_from_row(row: &SqliteRow, standing: Standing) -> Result<TaskStatus, Error> {
    let state = match standing.progress {
        Progress::Finished(at, _) => return Ok(TaskStatus::Finished { at }),
        Progress::Live(state) => state,
    };
    let token: &str = row.try_get(1)?;
    let data: Option<&str> = row.try_get(4)?;
    let parent: Option<&str> = row.try_get(17)?;
    Ok(TaskStatus::Live(Box::new(Task {
        token: Token::parse(token).map_err(|_| Error::unreadable("the token", token))?,
        action: Action::parse(row.try_get(2)?),
        target: Target::parse(row.try_get(3)?),
        data: Data::parse(data.unwrap_or_default())
            .map_err(|_| Error::unreadable("the data of task", token))?,
        origin: row.try_get(5)?,
        accepted_ms: row.try_get(6)?,
        expires_ms: row.try_get(7)?,
        retries: standing.retries,
        attempt: standing.attempt,
        state,
        parent: parent.and_then(|parent| Token::parse(parent).ok()),
    })))
}

pub(crate) async fn sessions(pool: &SqlitePool) -> Result<Vec<StoredSession>, Error> {
    let rows = sqlx::query(
        "SELECT s.identity, s.thumbprint, s.dialect, i.`key`, s.vector, i.ctime, s.last_seen, \
         s.parent_until FROM gorgone_session s \
         JOIN gorgone_identity i ON i.identity = s.identity ORDER BY i.id",
    )
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            Columns {
                identity: row.try_get(0)?,
                thumbprint: row.try_get(1)?,
                dialect: row.try_get(2)?,
                key: row.try_get(3)?,
                vector: row.try_get(4)?,
                created: row.try_get(5)?,
                last_seen: row.try_get(6)?,
                parent_until: row.try_get(7)?,
            }
            .session()
        })
        .collect()
}

pub(crate) async fn nodes(pool: &SqlitePool) -> Result<Vec<String>, Error> {
    let definitions = sqlx::query_scalar("SELECT definition FROM gorgone_node ORDER BY id");
    Ok(definitions.fetch_all(pool).await?)
}

pub(crate) async fn mark(pool: &SqlitePool, node: i64) -> Result<Option<(i64, i64)>, Error> {
    let sql = "SELECT coalesce(ctime, 0), coalesce(last_id, 0) FROM gorgone_synchistory \
               WHERE id = ? ORDER BY last_id DESC LIMIT 1";
    let row = sqlx::query(sql).bind(node).fetch_optional(pool).await?;
    row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .transpose()
}

pub(crate) async fn marks(pool: &SqlitePool) -> Result<BTreeMap<i64, Mark>, Error> {
    let mut marks: BTreeMap<i64, Mark> = BTreeMap::new();
    let sql = "SELECT id, coalesce(max(last_id), 0) FROM gorgone_synchistory \
               WHERE id IS NOT NULL GROUP BY id";
    for row in sqlx::query(sql).fetch_all(pool).await? {
        marks.entry(row.try_get(0)?).or_default().id = row.try_get(1)?;
    }
    let sql = "SELECT node, life FROM gorgone_node_now";
    for row in sqlx::query(sql).fetch_all(pool).await? {
        marks.entry(row.try_get(0)?).or_default().life = life_from_column(row.try_get(1)?);
    }
    let sql = "SELECT node, life, last_id FROM gorgone_node_life ORDER BY node, turn";
    for row in sqlx::query(sql).fetch_all(pool).await? {
        let life = life_from_column(row.try_get(1)?).zip(Some(row.try_get(2)?));
        marks.entry(row.try_get(0)?).or_default().lives.extend(life);
    }
    Ok(marks)
}

impl SyncMark {
    pub(crate) const fn from_columns(
        node: gorgone_protocol::NodeId,
        (ctime, last_id): (i64, i64),
    ) -> Self {
        Self {
            node,
            ctime,
            last_id,
        }
    }
}

pub(crate) async fn stats(pool: &SqlitePool) -> Result<Stats, Error> {
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM gorgone_history), (SELECT count(*) FROM gorgone_task), \
         (SELECT count(*) FROM gorgone_task WHERE finished IS NULL), \
         (SELECT count(*) FROM gorgone_session), (SELECT count(*) FROM gorgone_node), \
         (SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size())",
    )
    .fetch_one(pool)
    .await?;
    let number = |at: usize| -> Result<u64, Error> {
        Ok(u64::try_from(row.try_get::<i64, _>(at)?).unwrap_or_default())
    };
    Ok(Stats {
        rows: number(0)?,
        tasks: number(1)?,
        live_tasks: number(2)?,
        sessions: number(3)?,
        nodes: number(4)?,
        bytes: number(5)?,
    })
}
