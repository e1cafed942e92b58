//! Statements over many rows at once, prepared for a few sizes only.
//!
//! A statement for n rows is sent with the smallest prepared size that holds them; the
//! parameters that are left over stay NULL, and every statement here skips a row whose first
//! column is NULL. So a group costs one trip to the connection's thread per kind of row, and
//! the cache of prepared statements stays small.

use std::sync::Arc;

use sqlx::AssertSqlSafe;

/// Rows of one statement at most: beyond it a larger statement gains nothing.
pub(crate) const LARGEST: usize = 128;

const SIZES: usize = LARGEST.ilog2() as usize + 1;

pub(crate) struct Bucket([Arc<str>; SIZES]);

impl Bucket {
    /// `before`, as many `row`s as the size has, `after`.
    pub(crate) fn new(before: &str, row: &str, after: &str) -> Self {
        Self(std::array::from_fn(|power| {
            let rows = vec![row; 1 << power].join(",");
            format!("{before}{rows}{after}").into()
        }))
    }

    /// An `INSERT` of so many columns.
    pub(crate) fn insert(into: &str, columns: usize) -> Self {
        let row = format!("({})", vec!["?"; columns].join(","));
        let before = format!("{into} SELECT * FROM (VALUES ");
        Self::new(&before, &row, ") WHERE column1 IS NOT NULL")
    }

    /// The statement for so many rows.
    pub(crate) fn sql(&self, rows: usize) -> AssertSqlSafe<Arc<str>> {
        let power = rows.clamp(1, LARGEST).next_power_of_two().ilog2() as usize;
        AssertSqlSafe(Arc::clone(&self.0[power]))
    }
}
