//! `[PUTROWS]`: a proxy brings rows of a node's history home.
//!
//! ```text
//! proxy → core   [PUTROWS] [MSG] [] {"node":4,"after":17,"upto":40,"rows":[{"id":18,…},…]}
//! core → proxy   [ACK] [MSG] {"code":0,"data":{"message":"rows stored","mark":40}}
//! core → proxy   [ACK] [MSG] {"code":1,"data":{"error":"mark","mark":40,"message":…}}
//! ```
//! The rows and the new mark are written together, and only if the mark is still `after`: a page
//! that comes twice, late or out of turn is refused with the mark from which to go on, and no row
//! is stored twice or left out.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::log::{Row, RowIn, RowOut};
use crate::{Answer, Data, DataError, Dialect, NodeId};

/// The body of PUTROWS.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PutRows {
    /// Whose rows.
    pub node: NodeId,
    /// The mark that they follow on.
    pub after: i64,
    /// The mark when they are stored: the id of the last of them, or a later one where nothing
    /// stands between.
    pub upto: i64,
    /// The rows with the node's own ids, which grow.
    pub rows: Vec<Row>,
}

/// A page of rows that contradicts itself.
#[derive(Debug, thiserror::Error)]
pub enum BadRows {
    /// It does not have the form.
    #[error("the rows are not well formed: {0}")]
    Form(#[from] DataError),
    /// Ids that do not grow, or lie outside of `after` and `upto`.
    #[error("row {id} is out of order: ids grow, above 'after' and up to 'upto'")]
    Order {
        /// The first that is.
        id: i64,
    },
}

impl PutRows {
    /// How many rows one message brings at most.
    pub const MAX_ROWS: usize = 1000;

    /// Reads the body.
    ///
    /// # Errors
    /// When it does not have the form, or its rows are not in order.
    pub fn decode(data: &Data) -> Result<Self, BadRows> {
        #[derive(Deserialize)]
        struct Body {
            node: NodeId,
            after: i64,
            upto: i64,
            rows: Vec<RowIn>,
        }
        let body: Body = data.decode()?;
        let rows: Vec<Row> = body
            .rows
            .into_iter()
            .map(|row| row.into_row(Dialect::Seed))
            .collect();
        let mut last = body.after;
        for row in &rows {
            if row.id <= last || row.id > body.upto {
                return Err(BadRows::Order { id: row.id });
            }
            last = row.id;
        }
        if body.upto < last {
            return Err(BadRows::Order { id: body.upto });
        }
        Ok(Self {
            node: body.node,
            after: body.after,
            upto: body.upto,
            rows,
        })
    }

    /// Writes the body.
    #[must_use]
    pub fn encode(&self) -> Data {
        #[derive(Serialize)]
        struct Body<'a> {
            node: NodeId,
            after: i64,
            upto: i64,
            rows: Vec<RowOut<'a>>,
        }
        Data::from_value(&Body {
            node: self.node,
            after: self.after,
            upto: self.upto,
            rows: self
                .rows
                .iter()
                .map(|row| RowOut::new(row, Dialect::Seed))
                .collect(),
        })
    }
}

/// The mark that an answer to PUTROWS names, where it says one: the place to go on from, whether
/// the rows were taken or not.
#[must_use]
pub fn mark_of(answer: &Answer) -> Option<i64> {
    answer.data.decode::<Value>().ok()?.get("mark")?.as_i64()
}
