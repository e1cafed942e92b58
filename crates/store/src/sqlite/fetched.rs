//! Marks of nodes, and which rows are theirs.

use std::collections::BTreeMap;

use gorgone_protocol::{History, Life};
use sqlx::{Row as _, SqliteConnection};

use super::bucket::{Bucket, LARGEST};
use super::write::delete;
use crate::Error;
use crate::fetched::Span;
use crate::lives::{Synced, life_from_column};
use crate::plan::Plan;

pub(crate) struct Statements {
    drop_marks: Bucket,
    insert_marks: Bucket,
    insert_origins: Bucket,
    put_now: Bucket,
    put_lives: Bucket,
}

impl Statements {
    pub(crate) fn new() -> Self {
        Self {
            drop_marks: Bucket::new("DELETE FROM gorgone_synchistory WHERE id IN (", "?", ")"),
            insert_marks: Bucket::insert("INSERT INTO gorgone_synchistory (id, ctime, last_id)", 3),
            insert_origins: Bucket::insert(
                "INSERT INTO gorgone_history_node (id, node, life, row_id)",
                4,
            ),
            put_now: Bucket::insert("REPLACE INTO gorgone_node_now (node, life)", 2),
            put_lives: Bucket::insert(
                "REPLACE INTO gorgone_node_life (node, life, last_id, turn)",
                4,
            ),
        }
    }
}

/// What is known of these nodes, and which of these rows of theirs.
pub(crate) async fn load(
    connection: &mut SqliteConnection,
    nodes: &BTreeMap<i64, Vec<Span>>,
) -> Result<BTreeMap<i64, Synced>, Error> {
    let mut synced = BTreeMap::new();
    for (node, spans) in nodes {
        let mark = "SELECT coalesce(max(last_id), 0) FROM gorgone_synchistory WHERE id = ?";
        let id: i64 = sqlx::query_scalar(mark)
            .bind(node)
            .fetch_one(&mut *connection)
            .await?;
        let now: Option<i64> =
            sqlx::query_scalar("SELECT life FROM gorgone_node_now WHERE node = ?")
                .bind(node)
                .fetch_optional(&mut *connection)
                .await?;
        let mut known = Synced::default();
        known.mark.id = id;
        known.mark.life = now.and_then(life_from_column);
        let lives =
            "SELECT life, last_id, turn FROM gorgone_node_life WHERE node = ? ORDER BY turn";
        let lives = sqlx::query(lives)
            .bind(node)
            .fetch_all(&mut *connection)
            .await?;
        for row in lives {
            known.turn = row.try_get(2)?;
            let life = life_from_column(row.try_get(0)?);
            known.mark.lives.extend(life.zip(Some(row.try_get(1)?)));
        }
        for (life, after, upto) in spans {
            let stored = "SELECT row_id FROM gorgone_history_node \
                          WHERE node = ? AND life = ? AND row_id > ? AND row_id <= ?";
            let stored = sqlx::query(stored)
                .bind(node)
                .bind(life)
                .bind(after)
                .bind(upto)
                .fetch_all(&mut *connection)
                .await?;
            for row in stored {
                known.stored.insert((*life, row.try_get(0)?));
            }
        }
        synced.insert(*node, known);
    }
    Ok(synced)
}

/// `first` is the id of the plan's first row.
pub(crate) async fn write(
    connection: &mut SqliteConnection,
    statements: &Statements,
    plan: &Plan<'_>,
    first: i64,
) -> Result<(), Error> {
    // The seed's table has no unique index to replace by.
    delete(
        connection,
        &statements.drop_marks,
        plan.marks.keys().copied(),
    )
    .await?;
    let marks: Vec<_> = plan.marks.iter().collect();
    for chunk in marks.chunks(LARGEST) {
        let mut query = sqlx::query(statements.insert_marks.sql(chunk.len()));
        for (id, mark) in chunk {
            query = query.bind(*id).bind(mark.ctime).bind(mark.last_id);
        }
        query.execute(&mut *connection).await?;
    }
    write_lives(connection, statements, plan).await?;
    let origins: Vec<(i64, (i64, i64, i64))> = (first..)
        .zip(&plan.rows)
        .filter_map(|(id, row)| Some((id, row.origin?)))
        .collect();
    for chunk in origins.chunks(LARGEST) {
        let mut query = sqlx::query(statements.insert_origins.sql(chunk.len()));
        for (id, (node, life, row)) in chunk {
            query = query.bind(*id).bind(*node).bind(*life).bind(*row);
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

async fn write_lives(
    connection: &mut SqliteConnection,
    statements: &Statements,
    plan: &Plan<'_>,
) -> Result<(), Error> {
    let now: Vec<(i64, i64)> = plan
        .synced
        .iter()
        .filter_map(|(node, synced)| Some((*node, synced.now?)))
        .collect();
    for chunk in now.chunks(LARGEST) {
        let mut query = sqlx::query(statements.put_now.sql(chunk.len()));
        for (node, life) in chunk {
            query = query.bind(*node).bind(*life);
        }
        query.execute(&mut *connection).await?;
    }
    let touched = plan.synced.iter().flat_map(|(node, synced)| {
        let lives = synced.touched.iter();
        lives.map(|(life, (last, turn))| (*node, *life, *last, *turn))
    });
    let touched: Vec<_> = touched.collect();
    for chunk in touched.chunks(LARGEST) {
        let mut query = sqlx::query(statements.put_lives.sql(chunk.len()));
        for (node, life, last, turn) in chunk {
            query = query.bind(*node).bind(*life).bind(*last).bind(*turn);
        }
        query.execute(&mut *connection).await?;
    }
    for (node, synced) in &plan.synced {
        for life in &synced.dropped {
            sqlx::query("DELETE FROM gorgone_node_life WHERE node = ? AND life = ?")
                .bind(*node)
                .bind(*life)
                .execute(&mut *connection)
                .await?;
        }
    }
    Ok(())
}

/// How many lives of this history are remembered. Whoever knows only older ones fetches all
/// rows anew.
const MOST_LIVES: i64 = 4096;

/// Begins another life of this history, in one transaction that the caller has begun.
pub(crate) async fn begin_life(connection: &mut SqliteConnection) -> Result<History, Error> {
    // One in which nothing was written is nobody's.
    let begin = "INSERT INTO gorgone_life (life, first_id) \
                 SELECT CASE random() WHEN 0 THEN 1 ELSE random() END, 1 + \
                 max(value, (SELECT coalesce(max(id), 0) FROM gorgone_history)) \
                 FROM gorgone_counter WHERE name = 'history'";
    sqlx::query(begin).execute(&mut *connection).await?;
    sqlx::query("DELETE FROM gorgone_life WHERE id <= (SELECT max(id) FROM gorgone_life) - ?")
        .bind(MOST_LIVES)
        .execute(&mut *connection)
        .await?;
    let rows = sqlx::query("SELECT life, first_id FROM gorgone_life ORDER BY id")
        .fetch_all(&mut *connection)
        .await?;
    let mut past: Vec<(Life, i64)> = Vec::with_capacity(rows.len());
    let mut present = None;
    for row in rows {
        let first: i64 = row.try_get(1)?;
        past.extend(present.zip(Some(first - 1)));
        present = life_from_column(row.try_get(0)?);
    }
    let life = present.ok_or_else(|| Error::unreadable("the life of the history", "none"))?;
    Ok(History { past, life })
}
