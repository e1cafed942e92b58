//! The one connection that writes.

use std::collections::HashMap;

use gorgone_protocol::{Data, History, Token};
use gorgone_routing::{Runner, Written};
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{ConnectOptions as _, Connection as _, Row as _, SqliteConnection};

use super::bucket::{Bucket, LARGEST};
use super::{audit, fetched, state};
use crate::fetched::nodes;
use crate::plan::{Counted, Known, Place, Plan, Progress, Standing, code_column, leases, tokens};
use crate::session::{SessionChange, dialect_column};
use crate::{Change, Error};

pub(crate) struct Writer {
    options: SqliteConnectOptions,
    /// Absent after a failure that may have left it in an unknown state.
    connection: Option<SqliteConnection>,
    statements: Statements,
}

struct Statements {
    tasks: Bucket,
    insert_tasks: Bucket,
    update_tasks: Bucket,
    insert_rows: Bucket,
    put_nodes: Bucket,
    drop_nodes: Bucket,
    fetched: fetched::Statements,
    drop_identities: Bucket,
    drop_sessions: Bucket,
    insert_identities: Bucket,
    insert_sessions: Bucket,
    touch_identities: Bucket,
    touch_sessions: Bucket,
    state: state::Statements,
    audit: audit::Statements,
}

impl Statements {
    fn new() -> Self {
        let insert = Bucket::insert;
        Self {
            tasks: Bucket::new(
                "SELECT token, id, digest, state, runner, runner_epoch, attempt, retries, \
                 counted, finished, node, verdict FROM gorgone_task WHERE token IN (",
                "?",
                ")",
            ),
            insert_tasks: insert(
                "INSERT INTO gorgone_task (token, digest, action, target, data, origin, \
                 accepted_ms, expires_ms, state, runner, runner_epoch, attempt, retries, \
                 counted, finished, node, parent, verdict)",
                18,
            ),
            update_tasks: Bucket::new(
                "UPDATE gorgone_task SET state = v.column2, runner = v.column3, \
                 runner_epoch = v.column4, attempt = v.column5, retries = v.column6, \
                 counted = v.column7, finished = v.column8, node = v.column9, \
                 verdict = v.column10, data = CASE WHEN v.column8 IS NULL THEN data END FROM (VALUES ",
                "(?,?,?,?,?,?,?,?,?,?)",
                ") AS v WHERE gorgone_task.id = v.column1",
            ),
            insert_rows: insert(
                "INSERT INTO gorgone_history (id, token, code, etime, ctime, data)",
                6,
            ),
            put_nodes: insert("INSERT OR REPLACE INTO gorgone_node (id, definition)", 2),
            drop_nodes: Bucket::new("DELETE FROM gorgone_node WHERE id IN (", "?", ")"),
            fetched: fetched::Statements::new(),
            drop_identities: Bucket::new(
                "DELETE FROM gorgone_identity WHERE identity IN (",
                "?",
                ")",
            ),
            drop_sessions: Bucket::new("DELETE FROM gorgone_session WHERE identity IN (", "?", ")"),
            insert_identities: insert(
                "INSERT INTO gorgone_identity (identity, ctime, `key`, parent)",
                4,
            ),
            insert_sessions: insert(
                "INSERT INTO gorgone_session (identity, thumbprint, dialect, vector, last_seen, \
                 parent_until)",
                6,
            ),
            touch_identities: Bucket::new(
                "UPDATE gorgone_identity SET parent = v.column2 FROM (VALUES ",
                "(?,?)",
                ") AS v WHERE gorgone_identity.identity = v.column1",
            ),
            touch_sessions: Bucket::new(
                "UPDATE gorgone_session SET last_seen = v.column2, parent_until = v.column3 \
                 FROM (VALUES ",
                "(?,?,?)",
                ") AS v WHERE gorgone_session.identity = v.column1",
            ),
            state: state::Statements::new(),
            audit: audit::Statements::new(),
        }
    }
}

impl Writer {
    pub(crate) fn new(options: SqliteConnectOptions, connection: SqliteConnection) -> Self {
        Self {
            options,
            connection: Some(connection),
            statements: Statements::new(),
        }
    }

    /// Writes a group of batches in one transaction: all of them, or, with an error, none.
    pub(crate) async fn commit(&mut self, group: &[&[Change]]) -> Result<Vec<Vec<Written>>, Error> {
        let mut connection = self.take().await?;
        let result = transaction(&mut connection, &self.statements, group).await;
        self.put_back(connection, result).await
    }

    /// Deletes a chunk of what a purge chose. See [`super::purge`].
    pub(crate) async fn purge(&mut self, chunk: &super::purge::Chunk) -> Result<u64, Error> {
        let mut connection = self.take().await?;
        let result = chunk.delete(&mut connection).await;
        self.put_back(connection, result).await
    }

    /// Writes something of no meaning, to see that writing is possible.
    pub(crate) async fn probe(&mut self) -> Result<(), Error> {
        let mut connection = self.take().await?;
        let result =
            sqlx::query("UPDATE gorgone_counter SET value = value + 1 WHERE name = 'probe'")
                .execute(&mut connection)
                .await
                .map(|_| ())
                .map_err(Error::from);
        self.put_back(connection, result).await
    }

    /// Begins another life of the history.
    pub(crate) async fn begin_life(&mut self) -> Result<History, Error> {
        let mut connection = self.take().await?;
        let result = begin_life(&mut connection).await;
        self.put_back(connection, result).await
    }

    /// Moves everything from the log into the file and lets go of it.
    pub(crate) async fn close(mut self) -> Result<(), Error> {
        let mut connection = self.take().await?;
        let checkpoint = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(&mut connection)
            .await;
        connection.close().await?;
        checkpoint?;
        Ok(())
    }

    async fn take(&mut self) -> Result<SqliteConnection, Error> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => Ok(self.options.connect().await?),
        }
    }

    /// Keeps the connection where it is known to be outside of a transaction, and replaces it
    /// where it is not: some errors end a transaction by themselves and some do not.
    async fn put_back<T>(
        &mut self,
        mut connection: SqliteConnection,
        result: Result<T, Error>,
    ) -> Result<T, Error> {
        let usable = match &result {
            Ok(_) => true,
            Err(_) => match sqlx::query("ROLLBACK").execute(&mut connection).await {
                Ok(_) => true,
                Err(sqlx::Error::Database(error)) => error.message().contains("no transaction"),
                Err(_) => false,
            },
        };
        if usable {
            self.connection = Some(connection);
        } else {
            // Closed and not merely dropped: its lock is gone before the next one comes.
            connection.close().await.ok();
        }
        result
    }
}

async fn transaction(
    connection: &mut SqliteConnection,
    statements: &Statements,
    group: &[&[Change]],
) -> Result<Vec<Vec<Written>>, Error> {
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut *connection)
        .await?;
    let tokens = tokens(group.iter().flat_map(|batch| batch.iter()));
    let leases = leases(group.iter().flat_map(|batch| batch.iter()));
    let nodes = nodes(group.iter().flat_map(|batch| batch.iter()))?;
    let mut plan = Plan::new(
        load(connection, statements, &tokens).await?,
        state::load(connection, &statements.state, &leases).await?,
        fetched::load(connection, &nodes).await?,
    );
    let mut answers = Vec::with_capacity(group.len());
    for batch in group {
        let batch: Result<Vec<Written>, Error> =
            batch.iter().map(|change| plan.add(change)).collect();
        answers.push(batch?);
    }
    write_tasks(connection, statements, &plan).await?;
    let first = write_rows(connection, statements, &plan).await?;
    write_nodes(connection, statements, &plan).await?;
    fetched::write(connection, &statements.fetched, &plan, first).await?;
    write_sessions(connection, statements, &plan).await?;
    state::write(connection, &statements.state, &plan).await?;
    audit::write(connection, &statements.audit, &plan).await?;
    sqlx::query("COMMIT").execute(&mut *connection).await?;
    for written in answers.iter_mut().flatten() {
        if let Written::Row(number) = written {
            *number += first;
        }
    }
    Ok(answers)
}

async fn begin_life(connection: &mut SqliteConnection) -> Result<History, Error> {
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut *connection)
        .await?;
    let history = fetched::begin_life(connection).await?;
    sqlx::query("COMMIT").execute(&mut *connection).await?;
    Ok(history)
}

async fn load<'a>(
    connection: &mut SqliteConnection,
    statements: &Statements,
    tokens: &[&'a str],
) -> Result<HashMap<&'a str, Known>, Error> {
    let mut known = HashMap::with_capacity(tokens.len());
    for chunk in tokens.chunks(LARGEST) {
        let mut query = sqlx::query(statements.tasks.sql(chunk.len()));
        for token in chunk {
            query = query.bind(*token);
        }
        for row in query.fetch_all(&mut *connection).await? {
            let token: &str = row.try_get(0)?;
            if let Ok(index) = chunk.binary_search(&token) {
                known.insert(chunk[index], known_from_row(&row)?);
            }
        }
    }
    Ok(known)
}

fn known_from_row(row: &SqliteRow) -> Result<Known, Error> {
    let digest: &[u8] = row.try_get(2)?;
    Ok(Known {
        place: Place::Stored(row.try_get(1)?),
        digest: digest
            .try_into()
            .map_err(|_| Error::unreadable("the digest of task", row.get(0)))?,
        standing: standing_from_row(row, 3)?,
        changed: false,
    })
}

/// Reads `state, runner, runner_epoch, attempt, retries, counted, finished, node, verdict`, which stand
/// from the column `at` on.
pub(crate) fn standing_from_row(row: &SqliteRow, at: usize) -> Result<Standing, Error> {
    let instance: Option<String> = row.try_get(at + 1)?;
    let epoch: Option<String> = row.try_get(at + 2)?;
    let runner = instance
        .zip(epoch)
        .map(|(instance, epoch)| Runner { instance, epoch });
    Ok(Standing {
        progress: Progress::from_columns(
            row.try_get(at)?,
            runner,
            (row.try_get(at + 6)?, row.try_get(at + 8)?),
            row.try_get(at + 7)?,
        )?,
        attempt: row.try_get(at + 3)?,
        retries: row.try_get(at + 4)?,
        counted: match row.try_get::<Option<&str>, _>(at + 5)? {
            Some(column) => Counted::read(column)
                .ok_or_else(|| Error::unreadable("the numbers of a task's rows", column))?,
            None => Counted::default(),
        },
    })
}

async fn write_tasks(
    connection: &mut SqliteConnection,
    statements: &Statements,
    plan: &Plan<'_>,
) -> Result<(), Error> {
    // A task that is new in this group is written as it is at the group's end.
    for chunk in plan.new_tasks.chunks(LARGEST) {
        let mut query = sqlx::query(statements.insert_tasks.sql(chunk.len()));
        for task in chunk {
            let Some(known) = plan.known.get(task.token.as_str()) else {
                continue;
            };
            let standing = &known.standing;
            let columns = standing.progress.columns();
            // Parts have that of the whole; what has ended needs none.
            let own = task.parent.is_none() && columns.finished.is_none();
            let data = own.then_some(&task.data);
            query = query
                .bind(task.token.as_str())
                .bind(known.digest.as_slice())
                .bind(task.action.name())
                .bind(task.target.to_string())
                .bind(data.map(Data::as_str))
                .bind(&task.origin)
                .bind(task.accepted_ms)
                .bind(task.expires_ms)
                .bind(columns.state)
                .bind(columns.runner.map(|runner| &runner.instance))
                .bind(columns.runner.map(|runner| &runner.epoch))
                .bind(standing.attempt)
                .bind(standing.retries)
                .bind(standing.counted.column())
                .bind(columns.finished)
                .bind(columns.node)
                .bind(task.parent.as_ref().map(Token::as_str))
                .bind(columns.verdict);
        }
        query.execute(&mut *connection).await?;
    }
    let changed: Vec<(i64, &Standing)> = plan
        .known
        .values()
        .filter_map(|known| match known.place {
            Place::Stored(id) if known.changed => Some((id, &known.standing)),
            Place::Stored(_) | Place::New => None,
        })
        .collect();
    for chunk in changed.chunks(LARGEST) {
        let mut query = sqlx::query(statements.update_tasks.sql(chunk.len()));
        for (id, standing) in chunk {
            let columns = standing.progress.columns();
            query = query
                .bind(id)
                .bind(columns.state)
                .bind(columns.runner.map(|runner| &runner.instance))
                .bind(columns.runner.map(|runner| &runner.epoch))
                .bind(standing.attempt)
                .bind(standing.retries)
                .bind(standing.counted.column())
                .bind(columns.finished)
                .bind(columns.node)
                .bind(columns.verdict);
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Returns the id of the first row.
async fn write_rows(
    connection: &mut SqliteConnection,
    statements: &Statements,
    plan: &Plan<'_>,
) -> Result<i64, Error> {
    if plan.rows.is_empty() {
        return Ok(0);
    }
    let count = plan.rows.len() as i64;
    // The counter makes that no id is given twice; looking at the table itself makes room for
    // rows that an administrator or an older program added by hand.
    let last: i64 = sqlx::query(
        "UPDATE gorgone_counter SET value = \
         max(value, (SELECT coalesce(max(id), 0) FROM gorgone_history)) + ? \
         WHERE name = 'history' RETURNING value",
    )
    .bind(count)
    .fetch_one(&mut *connection)
    .await?
    .try_get(0)?;
    let first = last - count + 1;
    let mut id = first;
    for chunk in plan.rows.chunks(LARGEST) {
        let mut query = sqlx::query(statements.insert_rows.sql(chunk.len()));
        for row in chunk {
            query = query
                .bind(id)
                .bind(row.token)
                .bind(code_column(row.code))
                .bind(row.etime)
                .bind(row.ctime)
                .bind(&*row.data);
            id += 1;
        }
        query.execute(&mut *connection).await?;
    }
    Ok(first)
}

async fn write_nodes(
    connection: &mut SqliteConnection,
    statements: &Statements,
    plan: &Plan<'_>,
) -> Result<(), Error> {
    let put: Vec<(i64, &str)> = plan
        .nodes
        .iter()
        .filter_map(|(id, definition)| Some((*id, (*definition)?)))
        .collect();
    for chunk in put.chunks(LARGEST) {
        let mut query = sqlx::query(statements.put_nodes.sql(chunk.len()));
        for (id, definition) in chunk {
            query = query.bind(id).bind(*definition);
        }
        query.execute(&mut *connection).await?;
    }
    let dropped = plan
        .nodes
        .iter()
        .filter_map(|(id, definition)| definition.is_none().then_some(*id));
    delete(connection, &statements.drop_nodes, dropped).await
}

async fn write_sessions(
    connection: &mut SqliteConnection,
    statements: &Statements,
    plan: &Plan<'_>,
) -> Result<(), Error> {
    let mut gone = Vec::new();
    let mut opened = Vec::new();
    let mut touched = Vec::new();
    for (identity, change) in &plan.sessions {
        let identity = identity.as_str();
        match change {
            SessionChange::Open {
                session,
                last_seen,
                parent_until,
            } => {
                gone.push(identity);
                opened.push((identity, *session, *last_seen, *parent_until));
            }
            SessionChange::Touch {
                last_seen,
                parent_until,
            } => touched.push((identity, *last_seen, *parent_until)),
            SessionChange::Close => gone.push(identity),
        }
    }
    for bucket in [&statements.drop_identities, &statements.drop_sessions] {
        delete(connection, bucket, gone.iter().copied()).await?;
    }
    for chunk in opened.chunks(LARGEST) {
        let mut identities = sqlx::query(statements.insert_identities.sql(chunk.len()));
        let mut sessions = sqlx::query(statements.insert_sessions.sql(chunk.len()));
        for (identity, session, last_seen, parent_until) in chunk {
            identities = identities
                .bind(*identity)
                .bind(session.created)
                .bind(hex::encode(session.key.key_bytes()))
                .bind(*parent_until > 0);
            sessions = sessions
                .bind(*identity)
                .bind(session.thumbprint.as_str())
                .bind(dialect_column(session.dialect))
                .bind(hex::encode(session.key.iv()))
                .bind(last_seen)
                .bind(parent_until);
        }
        identities.execute(&mut *connection).await?;
        sessions.execute(&mut *connection).await?;
    }
    for chunk in touched.chunks(LARGEST) {
        let mut identities = sqlx::query(statements.touch_identities.sql(chunk.len()));
        let mut sessions = sqlx::query(statements.touch_sessions.sql(chunk.len()));
        for (identity, last_seen, parent_until) in chunk {
            identities = identities.bind(*identity).bind(*parent_until > 0);
            sessions = sessions.bind(*identity).bind(last_seen).bind(parent_until);
        }
        identities.execute(&mut *connection).await?;
        sessions.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Deletes by key.
pub(super) async fn delete<'q, K>(
    connection: &mut SqliteConnection,
    bucket: &Bucket,
    keys: impl Iterator<Item = K>,
) -> Result<(), Error>
where
    K: sqlx::Encode<'q, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite> + Copy + 'q,
{
    let keys: Vec<K> = keys.collect();
    for chunk in keys.chunks(LARGEST) {
        let mut query = sqlx::query(bucket.sql(chunk.len()));
        for key in chunk {
            query = query.bind(*key);
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}
