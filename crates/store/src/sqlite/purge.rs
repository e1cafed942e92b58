//! Deleting what is old, a few rows at a time, so that the writer is never held long.

use sqlx::{Row as _, SqliteConnection, SqlitePool};

use crate::Error;

/// Rows that one chunk deletes at most.
const CHUNK: i64 = 500;

/// A place in the history by age.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
    ctime: i64,
    id: i64,
}

impl Cursor {
    pub(crate) const START: Self = Self {
        ctime: i64::MIN,
        id: i64::MIN,
    };

    /// The end of the chunk that begins behind this place, `None` when there is none. Asked of
    /// a reader, so that the writer only deletes.
    pub(crate) async fn next(self, pool: &SqlitePool, before: i64) -> Result<Option<Self>, Error> {
        let last = sqlx::query(
            "SELECT ctime, id FROM (SELECT ctime, id FROM gorgone_history \
             WHERE ctime < ?1 AND (ctime, id) > (?2, ?3) ORDER BY ctime, id LIMIT ?4) \
             ORDER BY ctime DESC, id DESC LIMIT 1",
        )
        .bind(before)
        .bind(self.ctime)
        .bind(self.id)
        .bind(CHUNK)
        .fetch_optional(pool)
        .await?;
        last.map(|row| {
            Ok(Self {
                ctime: row.try_get(0)?,
                id: row.try_get(1)?,
            })
        })
        .transpose()
    }
}

/// A small part of a purge.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Chunk {
    /// Rows of the history behind `from` up to `to`, without those of living tasks and of parts of
    /// these.
    Rows { from: Cursor, to: Cursor },
    /// Some tasks that ended before this second, without parts of living ones.
    Tasks { before: i64 },
    /// Some sessions that were silent since this second.
    Sessions { before: i64 },
    /// What older programs left in the table of identities.
    Identities { before: i64 },
    /// Some rows of the audit from before this second.
    Audit { before: i64 },
    /// Some rows of the audit beyond the newest that are kept. Ids have no gaps worth counting.
    AuditBeyond { keep: i64 },
}

impl Chunk {
    /// Deletes, and returns how many rows.
    pub(crate) async fn delete(&self, connection: &mut SqliteConnection) -> Result<u64, Error> {
        let done =
            match self {
                Self::Rows { from, to } => {
                    sqlx::query(
                        "DELETE FROM gorgone_history \
                     WHERE (ctime, id) > (?1, ?2) AND (ctime, id) <= (?3, ?4) \
                     AND NOT EXISTS (SELECT 1 FROM gorgone_task t \
                     WHERE t.token = gorgone_history.token AND (t.finished IS NULL \
                     OR EXISTS (SELECT 1 FROM gorgone_task whole \
                     WHERE whole.token = t.parent AND whole.finished IS NULL)))",
                    )
                    .bind(from.ctime)
                    .bind(from.id)
                    .bind(to.ctime)
                    .bind(to.id)
                    .execute(connection)
                    .await?
                }
                Self::Tasks { before } => {
                    sqlx::query(
                        "DELETE FROM gorgone_task WHERE id IN \
                     (SELECT id FROM gorgone_task t WHERE finished < ?1 \
                     AND NOT EXISTS (SELECT 1 FROM gorgone_task whole \
                     WHERE whole.token = t.parent AND whole.finished IS NULL) LIMIT ?2)",
                    )
                    .bind(before)
                    .bind(CHUNK)
                    .execute(connection)
                    .await?
                }
                Self::Sessions { before } => {
                    sqlx::query(
                        "DELETE FROM gorgone_session WHERE identity IN \
                     (SELECT identity FROM gorgone_session WHERE last_seen < ?1 LIMIT ?2)",
                    )
                    .bind(before)
                    .bind(CHUNK)
                    .execute(connection)
                    .await?
                }
                Self::Identities { before } => sqlx::query(
                    "DELETE FROM gorgone_identity WHERE id IN (SELECT id FROM gorgone_identity i \
                     WHERE i.ctime < ?1 AND NOT EXISTS (SELECT 1 FROM gorgone_session s \
                     WHERE s.identity = i.identity) LIMIT ?2)",
                )
                .bind(before)
                .bind(CHUNK)
                .execute(connection)
                .await?,
                Self::Audit { before } => {
                    sqlx::query(
                        "DELETE FROM gorgone_audit WHERE id IN \
                     (SELECT id FROM gorgone_audit WHERE time < ?1 LIMIT ?2)",
                    )
                    .bind(before)
                    .bind(CHUNK)
                    .execute(connection)
                    .await?
                }
                Self::AuditBeyond { keep } => {
                    sqlx::query(
                        "DELETE FROM gorgone_audit WHERE id IN \
                     (SELECT id FROM gorgone_audit WHERE id <= \
                     (SELECT max(id) FROM gorgone_audit) - ?1 ORDER BY id LIMIT ?2)",
                    )
                    .bind(keep)
                    .bind(CHUNK)
                    .execute(connection)
                    .await?
                }
            };
        Ok(done.rows_affected())
    }
}
