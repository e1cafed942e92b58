//! SQLite does what every database must do, and tells what is wrong with its file.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod suite;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use gorgone_protocol::Code;
use gorgone_routing::Written;
use gorgone_store::{Error, Filter, OpenProblem, Options, PurgeOptions, Store};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use suite::{accept, of, put, row};

macro_rules! conformance {
    ($($name:ident)*) => { $(
        #[tokio::test]
        async fn $name() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("gorgone.sdb");
            suite::$name(&async || Store::open(Options::new(&path)).await.unwrap()).await;
        }
    )* };
}

conformance! {
    a_token_is_accepted_once
    a_task_ends_once
    a_row_that_comes_again_is_stored_once
    rows_without_a_task_are_put
    living_tasks_come_back_as_they_were
    a_batch_is_written_whole_or_not_at_all
    groups_larger_than_a_statement_are_whole
    every_filter_filters
    pages_are_bounded_in_rows_and_bytes
    sessions_come_back_with_their_keys
    nodes_and_marks_are_replaced
    audit_comes_back_as_it_was_written
    audit_of_a_record_is_written_with_it
    audit_is_told_how_a_task_ends
    every_filter_of_the_audit_filters
    audit_is_read_in_pages_from_either_end
    old_audit_is_purged_and_never_numbered_again
    a_lease_has_one_holder_after_another
    state_is_written_under_the_current_fence_only
    state_is_read_in_sorted_pages
    purging_spares_what_lives
    silent_sessions_are_purged
    ids_are_never_given_twice
    rows_of_a_node_are_stored_once_with_its_mark
    rows_of_a_node_end_what_was_sent_there_and_nothing_else
    rows_are_filtered_by_their_node_and_purged_with_their_origin
    a_history_begins_a_life_each_time_it_is_opened
    rows_of_another_life_are_others_even_under_the_same_ids
    spread_is_written_whole_or_not_at_all
    targets_tell_how_far_each_part_is
    parts_are_kept_as_long_as_their_whole_lives
    closing_writes_what_waits
}

async fn raw(path: &Path) -> SqliteConnection {
    sqlx::sqlite::SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .connect()
        .await
        .unwrap()
}

async fn execute(connection: &mut SqliteConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(connection).await.unwrap();
}

async fn problem(path: &Path) -> OpenProblem {
    Store::open(Options::new(path)).await.unwrap_err().problem
}

#[tokio::test]
async fn what_cannot_be_opened_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    assert_eq!(
        problem(&at("missing/g.sdb")).await,
        OpenProblem::DirectoryMissing(at("missing"))
    );
    assert_eq!(problem(folder.path()).await, OpenProblem::NotAFile);

    for content in ["a letter, not a database", "SQLite format 3\0 and nonsense"] {
        std::fs::write(at("letter"), content).unwrap();
        assert_eq!(problem(&at("letter")).await, OpenProblem::NotADatabase);
        assert_eq!(std::fs::read_to_string(at("letter")).unwrap(), content);
    }

    execute(&mut raw(&at("other")).await, "CREATE TABLE songs (id)").await;
    let foreign = OpenProblem::Foreign("songs".to_owned());
    assert_eq!(problem(&at("other")).await, foreign);

    let store = Store::open(Options::new(at("newer"))).await.unwrap();
    store.close().await.unwrap();
    let sql = "INSERT INTO gorgone_schema (version, name, applied) VALUES (999, 'x', 0)";
    execute(&mut raw(&at("newer")).await, sql).await;
    let newer = problem(&at("newer")).await;
    assert!(matches!(newer, OpenProblem::Newer { found: 999, .. }));
}

#[tokio::test]
async fn only_the_owner_reads_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gorgone.sdb");
    let store = Store::open(Options::new(&path)).await.unwrap();
    store.write(vec![accept("t")]).await.unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", file.path());
    }
}

#[tokio::test]
async fn a_database_of_an_older_gorgoned_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gorgone.sdb");
    let mut old = raw(&path).await;
    execute(
        &mut old,
        "CREATE TABLE gorgone_identity (id INTEGER PRIMARY KEY, ctime int(11), identity varchar(2048), key varchar(4096), parent INTEGER DEFAULT '0');
         CREATE TABLE gorgone_history (id INTEGER PRIMARY KEY, token varchar(2048), code int(11), etime int(11), ctime int(11), instant INTEGER DEFAULT 0, data TEXT);
         CREATE TABLE gorgone_synchistory (id int(11), ctime int(11), last_id int(11));
         INSERT INTO gorgone_identity (ctime, identity, key) VALUES (1, 'old', '00');
         INSERT INTO gorgone_history (id, token, code) VALUES (41, 'old', 1);",
    )
    .await;
    old.close().await.unwrap();
    let store = Store::open(Options::new(&path)).await.unwrap();
    let written = store.write(vec![put(row("new", Code::Ok))]).await;
    assert_eq!(written, Ok(vec![Written::Row(42)]));
    let rows = store.history(&Filter::default()).await.unwrap().rows;
    assert_eq!((&*rows[0].token, rows[0].id), ("old", 41));
    assert!(store.sessions().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_tables_that_everybody_knows_are_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gorgone.sdb");
    let store = Store::open(Options::new(&path)).await.unwrap();
    store.close().await.unwrap();
    let found: Vec<String> = sqlx::query_scalar(
        "SELECT m.name || '.' || c.name || ' ' || c.type FROM sqlite_schema m \
         JOIN pragma_table_info(m.name) c \
         WHERE m.name IN ('gorgone_identity', 'gorgone_history', 'gorgone_synchistory') \
         ORDER BY m.name, c.cid",
    )
    .fetch_all(&mut raw(&path).await)
    .await
    .unwrap();
    assert_eq!(
        found,
        [
            "gorgone_history.id INTEGER",
            "gorgone_history.token varchar(2048)",
            "gorgone_history.code int(11)",
            "gorgone_history.etime int(11)",
            "gorgone_history.ctime int(11)",
            "gorgone_history.data TEXT",
            "gorgone_identity.id INTEGER",
            "gorgone_identity.ctime int(11)",
            "gorgone_identity.identity varchar(2048)",
            "gorgone_identity.key varchar(4096)",
            "gorgone_identity.parent INTEGER",
            "gorgone_synchistory.id int(11)",
            "gorgone_synchistory.ctime int(11)",
            "gorgone_synchistory.last_id int(11)",
        ]
    );
}

#[tokio::test]
async fn a_lock_of_somebody_else_is_told_and_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gorgone.sdb");
    let options = Options {
        lock_timeout: Duration::from_millis(10),
        ..Options::new(&path)
    };
    let store = Store::open(options).await.unwrap();
    let mut other = raw(&path).await;
    execute(&mut other, "BEGIN EXCLUSIVE").await;
    assert_eq!(store.write(vec![accept("t")]).await, Err(Error::Locked));
    assert_eq!(store.check().await, Err(Error::Locked));
    assert_eq!(store.live_tasks().await, Ok(vec![]), "reading goes on");
    execute(&mut other, "ROLLBACK").await;
    assert_eq!(
        store.write(vec![accept("t")]).await,
        Ok(vec![Written::Done])
    );
    assert_eq!(store.check().await, Ok(()));
}

#[tokio::test]
async fn a_full_database_refuses_whole_batches_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gorgone.sdb");
    let options = Options {
        max_bytes: Some(1 << 20),
        ..Options::new(&path)
    };
    let store = Store::open(options).await.unwrap();
    let mut large = row("large", Code::Ok);
    large.data = format!("\"{}\"", "x".repeat(100_000));
    let mut stored = 0;
    let error = loop {
        match store
            .write(vec![accept(&format!("t{stored}")), put(large.clone())])
            .await
        {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, Error::Full);
    assert!(stored > 0);
    assert_eq!(store.live_tasks().await.unwrap().len(), stored);
    assert_eq!(
        store.history(&of("large")).await.unwrap().rows.len(),
        stored
    );
    let all = PurgeOptions {
        history_before: i64::MAX,
        ..PurgeOptions::default()
    };
    assert_eq!(store.purge(all).await.unwrap().rows, stored as u64);
    store
        .write(vec![accept("again"), put(large)])
        .await
        .unwrap();
}

#[tokio::test]
async fn a_batch_that_the_database_refuses_takes_nobody_along() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gorgone.sdb");
    let store = Store::open(Options::new(&path)).await.unwrap();
    let trigger = "CREATE TRIGGER poison BEFORE INSERT ON gorgone_history \
                   WHEN NEW.token = 'poison' BEGIN SELECT RAISE(ABORT, 'poison'); END";
    execute(&mut raw(&path).await, trigger).await;
    let names: Vec<String> = (0..40)
        .map(|n| {
            if n % 13 == 5 {
                "poison".to_owned()
            } else {
                format!("t{n}")
            }
        })
        .collect();
    let writes: Vec<_> = names
        .iter()
        .map(|name| store.write(vec![put(row(name, Code::Ok))]))
        .collect();
    let mut expected = 1;
    for (write, name) in writes.into_iter().zip(&names) {
        let written = write.await;
        if name == "poison" {
            assert_eq!(written, Err(Error::Refused("poison".to_owned())));
        } else {
            assert_eq!(written, Ok(vec![Written::Row(expected)]), "{name}");
            expected += 1;
        }
    }
}

#[tokio::test]
async fn a_full_queue_is_busy_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        queue_batches: 2,
        queue_bytes: 2_000,
        ..Options::new(folder.path().join("gorgone.sdb"))
    };
    let store = Store::open(options).await.unwrap();
    // Nothing is taken from the queue before this task waits.
    let mut large = row("large", Code::Ok);
    large.data = "1".repeat(10_000);
    let first = store.write(vec![put(large)]);
    assert_eq!(store.write(vec![accept("bytes")]).await, Err(Error::Busy));
    assert!(
        first.await.is_ok(),
        "alone, a batch may be larger than the queue"
    );
    let second = store.write(vec![accept("a")]);
    let third = store.write(vec![accept("b")]);
    let fourth = store.write(vec![accept("c")]);
    assert_eq!(fourth.await, Err(Error::Busy));
    assert_eq!(second.await, Ok(vec![Written::Done]));
    assert_eq!(third.await, Ok(vec![Written::Done]));
    assert_eq!(
        store.write(vec![accept("c")]).await,
        Ok(vec![Written::Done])
    );
}
