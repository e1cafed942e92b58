//! Leases, and what modules keep.

use std::collections::BTreeMap;
use std::time::Duration;

use gorgone_protocol::request::lease::LeaseName;
use gorgone_protocol::request::state::{GetState, StatePage};
use gorgone_routing::{Runner, StoredLease};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection, SqlitePool};

use super::bucket::{Bucket, LARGEST};
use super::write::delete;
use crate::Error;
use crate::plan::{LeaseRow, Plan};

/// Keys of one page where nobody says it, and at most.
const PAGE: u32 = 1_000;
const MAX_PAGE: u32 = 10_000;
/// Bytes of one page; the first key is always there, however large.
const PAGE_BYTES: i64 = 4 << 20;
/// The last character that there is: behind every key that begins with a prefix.
const LAST: char = '\u{10ffff}';

pub(crate) struct Statements {
    leases: Bucket,
    put_leases: Bucket,
    put: Bucket,
    drop: Bucket,
}

impl Statements {
    pub(crate) fn new() -> Self {
        Self {
            leases: Bucket::new(
                "SELECT name, fence, instance, epoch, ttl, sequence FROM gorgone_lease \
                 WHERE name IN (",
                "?",
                ")",
            ),
            put_leases: Bucket::insert(
                "INSERT OR REPLACE INTO gorgone_lease (name, fence, instance, epoch, ttl, sequence)",
                6,
            ),
            put: Bucket::insert("INSERT OR REPLACE INTO gorgone_state (key, value)", 2),
            drop: Bucket::new("DELETE FROM gorgone_state WHERE key IN (", "?", ")"),
        }
    }
}

/// The leases of these names (sorted), as far as there are any.
pub(crate) async fn load<'a>(
    connection: &mut SqliteConnection,
    statements: &Statements,
    names: &[&'a str],
) -> Result<BTreeMap<&'a str, LeaseRow>, Error> {
    let mut leases = BTreeMap::new();
    for chunk in names.chunks(LARGEST) {
        let mut query = sqlx::query(statements.leases.sql(chunk.len()));
        for name in chunk {
            query = query.bind(*name);
        }
        for row in query.fetch_all(&mut *connection).await? {
            let name: &str = row.try_get(0)?;
            if let Ok(index) = chunk.binary_search(&name) {
                leases.insert(chunk[index], lease_from_row(&row)?);
            }
        }
    }
    Ok(leases)
}

fn lease_from_row(row: &SqliteRow) -> Result<LeaseRow, Error> {
    let instance: Option<String> = row.try_get(2)?;
    let epoch: Option<String> = row.try_get(3)?;
    let number = |at: usize| -> Result<u64, Error> {
        let number: i64 = row.try_get(at)?;
        u64::try_from(number)
            .map_err(|_| Error::unreadable("a number of lease", row.get::<&str, _>(0)))
    };
    Ok(LeaseRow {
        fence: number(1)?,
        holder: instance
            .zip(epoch)
            .map(|(instance, epoch)| Runner { instance, epoch }),
        ttl: number(4)?,
        sequence: number(5)?,
        changed: false,
    })
}

/// Writes what the plan says of leases and state.
pub(crate) async fn write(
    connection: &mut SqliteConnection,
    statements: &Statements,
    plan: &Plan<'_>,
) -> Result<(), Error> {
    let changed = plan.leases.iter().filter(|(_, lease)| lease.changed);
    let changed: Vec<_> = changed.collect();
    for chunk in changed.chunks(LARGEST) {
        let mut query = sqlx::query(statements.put_leases.sql(chunk.len()));
        for (name, lease) in chunk {
            let holder = lease.holder.as_ref();
            query = query
                .bind(**name)
                .bind(column(lease.fence)?)
                .bind(holder.map(|holder| &holder.instance))
                .bind(holder.map(|holder| &holder.epoch))
                .bind(column(lease.ttl)?)
                .bind(column(lease.sequence)?);
        }
        query.execute(&mut *connection).await?;
    }
    let put: Vec<(&str, &str)> = plan
        .state
        .iter()
        .filter_map(|(key, value)| Some((*key, (*value)?)))
        .collect();
    for chunk in put.chunks(LARGEST) {
        let mut query = sqlx::query(statements.put.sql(chunk.len()));
        for (key, value) in chunk {
            query = query.bind(*key).bind(*value);
        }
        query.execute(&mut *connection).await?;
    }
    let dropped = plan.state.iter().filter(|(_, value)| value.is_none());
    delete(connection, &statements.drop, dropped.map(|(key, _)| *key)).await
}

fn column(number: u64) -> Result<i64, Error> {
    i64::try_from(number)
        .map_err(|_| Error::Refused("a number of a lease is larger than 2^63-1".to_owned()))
}

/// All leases, by name.
pub(crate) async fn leases(pool: &SqlitePool) -> Result<Vec<StoredLease>, Error> {
    let rows = sqlx::query(
        "SELECT name, fence, instance, epoch, ttl, sequence FROM gorgone_lease ORDER BY name",
    )
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            let name: &str = row.try_get(0)?;
            let lease = lease_from_row(row)?;
            Ok(StoredLease {
                name: LeaseName::parse(name)
                    .map_err(|_| Error::unreadable("the name of lease", name))?,
                fence: lease.fence,
                holder: lease.holder,
                ttl: Duration::from_secs(lease.ttl),
            })
        })
        .collect()
}

/// A page of what is kept, sorted by key.
pub(crate) async fn page(pool: &SqlitePool, keys: &GetState) -> Result<StatePage, Error> {
    let limit = i64::from(keys.limit.unwrap_or(PAGE).clamp(1, MAX_PAGE));
    let rows = sqlx::query(
        "WITH page AS MATERIALIZED (SELECT key, octet_length(key) + octet_length(value) AS size \
         FROM gorgone_state WHERE key >= ?1 AND key < ?2 AND key > ?3 ORDER BY key LIMIT ?4 + 1), \
         sums AS (SELECT key, sum(size) OVER w AS total, row_number() OVER w AS number, \
         (SELECT count(*) FROM page) AS matching FROM page WINDOW w AS (ORDER BY key)) \
         SELECT s.key, s.value, matching FROM sums CROSS JOIN gorgone_state s ON s.key = sums.key \
         WHERE (number = 1 OR total <= ?5) AND number <= ?4 ORDER BY number",
    )
    .bind(&keys.prefix)
    .bind(format!("{}{LAST}", keys.prefix))
    .bind(keys.after.as_deref().unwrap_or_default())
    .bind(limit)
    .bind(PAGE_BYTES)
    .fetch_all(pool)
    .await?;
    let mut page = StatePage::default();
    let mut matching = 0;
    for row in &rows {
        matching = row.try_get(2)?;
        page.entries.push((row.try_get(0)?, row.try_get(1)?));
    }
    page.more = matching > page.entries.len() as i64;
    Ok(page)
}
