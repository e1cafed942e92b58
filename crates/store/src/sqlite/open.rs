//! Opening a database file: looked at before it is touched, created where it is missing,
//! brought to the newest schema.

use std::fs::{OpenOptions, Permissions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Row as _, SqliteConnection};

use crate::{Error, OpenError, OpenProblem, Options};

/// All steps of the schema, oldest first; the version of a step is its place in the list.
const MIGRATIONS: &[(&str, &str)] = &[
    (
        "first_tables",
        include_str!("../../../../schema/sqlite/0001_first_tables.sql"),
    ),
    (
        "audit",
        include_str!("../../../../schema/sqlite/0002_audit.sql"),
    ),
    (
        "state",
        include_str!("../../../../schema/sqlite/0003_state.sql"),
    ),
    (
        "fleet",
        include_str!("../../../../schema/sqlite/0004_fleet.sql"),
    ),
    (
        "targets",
        include_str!("../../../../schema/sqlite/0005_targets.sql"),
    ),
    (
        "lives",
        include_str!("../../../../schema/sqlite/0006_lives.sql"),
    ),
];

/// The first bytes of every SQLite database.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// The write-ahead log is cut back to this many bytes after a burst.
const LOG_BYTES: &str = "67108864";

/// SQLite's default, which new files get.
const PAGE_BYTES: u64 = 4096;

pub(crate) async fn open(
    options: &Options,
) -> Result<(SqliteConnectOptions, SqliteConnection), OpenError> {
    let failed = |problem| OpenError {
        path: options.path.clone(),
        problem,
    };
    prepare_file(&options.path).map_err(failed)?;
    let connect = connect_options(options);
    let mut connection = connect.connect().await.map_err(|error| {
        failed(match &error {
            sqlx::Error::Database(e) if e.code().as_deref() == Some("26") => {
                OpenProblem::NotADatabase
            }
            _ => Error::from(error).into(),
        })
    })?;
    migrate(&mut connection).await.map_err(failed)?;
    Ok((connect, connection))
}

fn connect_options(options: &Options) -> SqliteConnectOptions {
    let mut connect = SqliteConnectOptions::new()
        .filename(&options.path)
        .journal_mode(SqliteJournalMode::Wal)
        // FULL: what was acknowledged survives a power cut, not only a crash.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(options.lock_timeout)
        .pragma("journal_size_limit", LOG_BYTES)
        .statement_cache_capacity(200)
        .thread_name(|id| format!("store-{id}"))
        // Statements are fixed, and their values belong to nobody's log.
        .disable_statement_logging();
    if let Some(bytes) = options.max_bytes {
        let pages = (bytes / PAGE_BYTES).max(1);
        connect = connect.pragma("max_page_count", pages.to_string());
    }
    connect
}

/// Refuses what is no database before SQLite may write to it, and creates a missing file so
/// that only its owner reads it: it holds session keys.
fn prepare_file(path: &Path) -> Result<(), OpenProblem> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !directory.is_dir() {
        return Err(OpenProblem::DirectoryMissing(directory.to_owned()));
    }
    if path.exists() && !path.is_file() {
        return Err(OpenProblem::NotAFile);
    }
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                OpenProblem::NotWritable(error.to_string())
            }
            ErrorKind::StorageFull => Error::Full.into(),
            _ => Error::Io(error.to_string()).into(),
        })?;
    let io = |error: std::io::Error| OpenProblem::from(Error::Io(error.to_string()));
    let mut head = Vec::with_capacity(MAGIC.len());
    (&mut file)
        .take(MAGIC.len() as u64)
        .read_to_end(&mut head)
        .map_err(io)?;
    if !head.is_empty() && head != MAGIC {
        return Err(OpenProblem::NotADatabase);
    }
    if let Err(error) = file.set_permissions(Permissions::from_mode(0o600)) {
        tracing::warn!(path = %path.display(), %error, "others may be able to read the database");
    }
    Ok(())
}

async fn migrate(connection: &mut SqliteConnection) -> Result<(), OpenProblem> {
    let known = MIGRATIONS.len() as i64;
    let found = version(connection).await?;
    if found > known {
        return Err(OpenProblem::Newer { found, known });
    }
    if found == known {
        return Ok(());
    }
    // Another process may be about to do the same: whoever gets the lock looks again.
    execute(connection, "BEGIN IMMEDIATE").await?;
    let found = version(connection).await?;
    let pending = (1..).zip(MIGRATIONS).skip_while(|(at, _)| *at <= found);
    for (at, (name, script)) in pending {
        let migrated = step(connection, at, name, script).await;
        if let Err(error) = migrated {
            execute(connection, "ROLLBACK").await.ok();
            return Err(OpenProblem::Migration { version: at, error });
        }
    }
    execute(connection, "COMMIT").await?;
    if found > 0 {
        tracing::info!(
            from = found,
            to = known,
            "brought the database to a newer schema"
        );
    }
    Ok(())
}

async fn step(
    connection: &mut SqliteConnection,
    version: i64,
    name: &str,
    script: &'static str,
) -> Result<(), Error> {
    execute(
        connection,
        "CREATE TABLE IF NOT EXISTS gorgone_schema \
         (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied INTEGER NOT NULL)",
    )
    .await?;
    sqlx::raw_sql(script).execute(&mut *connection).await?;
    sqlx::query("INSERT INTO gorgone_schema (version, name, applied) VALUES (?, ?, unixepoch())")
        .bind(version)
        .bind(name)
        .execute(connection)
        .await?;
    Ok(())
}

/// The version of the schema in the file; 0 for an empty one, and for one that a gorgoned
/// older than this program made.
async fn version(connection: &mut SqliteConnection) -> Result<i64, OpenProblem> {
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
            .fetch_all(&mut *connection)
            .await
            .map_err(Error::from)?;
    if tables.iter().any(|table| table == "gorgone_schema") {
        let row = sqlx::query("SELECT coalesce(max(version), 0) FROM gorgone_schema")
            .fetch_one(connection)
            .await
            .map_err(Error::from)?;
        return Ok(row.try_get(0).map_err(Error::from)?);
    }
    match tables.first() {
        Some(table) if !tables.iter().any(|table| table == "gorgone_history") => {
            Err(OpenProblem::Foreign(table.clone()))
        }
        _ => Ok(0),
    }
}

async fn execute(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), Error> {
    sqlx::query(sql).execute(connection).await?;
    Ok(())
}
