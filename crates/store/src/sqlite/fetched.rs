//! Marks of nodes, and which rows are theirs.

use std::collections::BTreeMap;

use sqlx::{Row as _, SqliteConnection};

use super::bucket::{Bucket, LARGEST};
use super::write::delete;
use crate::Error;
use crate::fetched::Synced;
use crate::plan::Plan;

pub(crate) struct Statements {
    drop_marks: Bucket,
    insert_marks: Bucket,
    insert_origins: Bucket,
}

impl Statements {
    pub(crate) fn new() -> Self {
        Self {
            drop_marks: Bucket::new("DELETE FROM gorgone_synchistory WHERE id IN (", "?", ")"),
            insert_marks: Bucket::insert("INSERT INTO gorgone_synchistory (id, ctime, last_id)", 3),
            insert_origins: Bucket::insert(
                "INSERT INTO gorgone_history_node (id, node, row_id)",
                3,
            ),
        }
    }
}

/// What is known of these nodes, with the rows of theirs above the first number and up to the
/// second.
pub(crate) async fn load(
    connection: &mut SqliteConnection,
    nodes: &BTreeMap<i64, (i64, i64)>,
) -> Result<BTreeMap<i64, Synced>, Error> {
    let mut synced = BTreeMap::new();
    for (node, (after, upto)) in nodes {
        let mark = "SELECT coalesce(max(last_id), 0) FROM gorgone_synchistory WHERE id = ?";
        let mark: i64 = sqlx::query_scalar(mark)
            .bind(node)
            .fetch_one(&mut *connection)
            .await?;
        let stored = "SELECT row_id FROM gorgone_history_node \
                      WHERE node = ? AND row_id > ? AND row_id <= ?";
        let stored = sqlx::query(stored)
            .bind(node)
            .bind(after)
            .bind(upto)
            .fetch_all(&mut *connection)
            .await?;
        let stored = stored.iter().map(|row| row.try_get(0));
        let stored = stored.collect::<Result<_, sqlx::Error>>()?;
        synced.insert(*node, Synced { mark, stored });
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
    let origins: Vec<(i64, i64, i64)> = (first..)
        .zip(&plan.rows)
        .filter_map(|(id, row)| row.origin.map(|(node, row)| (id, node, row)))
        .collect();
    for chunk in origins.chunks(LARGEST) {
        let mut query = sqlx::query(statements.insert_origins.sql(chunk.len()));
        for (id, node, row) in chunk {
            query = query.bind(*id).bind(*node).bind(*row);
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}
