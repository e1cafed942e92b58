//! `[PUTROWS]`: a proxy brings rows of a node's history home.
//!
//! ```text
//! proxy → core   [PUTROWS] [MSG] [] {"node":4,"after":17,"known":"5f…","life":"5f…","upto":40,"rows":[{"id":18,…},…]}
//! proxy → core   [PUTROWS] [MSG] [] {"node":4,"after":17,"known":"5f…","begun":{"life":"a3…","back_to":12}}
//! core → proxy   [ACK] [MSG] {"code":0,"data":{"message":"rows stored","mark":40}}
//! core → proxy   [ACK] [MSG] {"code":1,"data":{"error":"mark","mark":40,"life":"5f…","lives":[["5f…",40]],"message":…}}
//! ```
//! The rows and the new mark are written together, and only if the mark is still `after` in the
//! life `known`: a page that comes twice, late or out of turn is refused with the mark from which
//! to go on, and no row is stored twice or left out. `begun` brings no rows; it says that the
//! node is in another life than was known, see [`History`](crate::History).

use super::log::{Row, RowIn, RowOut};
use crate::{Answer, Data, DataError, Dialect, Life, Mark, NodeId};
use serde::{Deserialize, Serialize};

/// The body of PUTROWS.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PutRows {
    /// Whose rows.
    pub node: NodeId,
    /// The mark that they follow on.
    pub after: i64,
    /// The life that this mark names.
    pub known: Option<Life>,
    /// The life in which the rows were written.
    pub life: Option<Life>,
    /// The mark when they are stored: the id of the last of them, or a later one where nothing
    /// stands between.
    pub upto: i64,
    /// The rows with the node's own ids, which grow.
    pub rows: Vec<Row>,
    /// Instead of rows: the node's history has begun another life.
    pub begun: Option<Begun>,
}

/// A node's history is in a life that was not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Begun {
    /// Which one.
    pub life: Life,
    /// Of the rows that are stored here, the node has none after this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back_to: Option<i64>,
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
            #[serde(default)]
            known: Option<Life>,
            #[serde(default)]
            life: Option<Life>,
            #[serde(default)]
            upto: Option<i64>,
            #[serde(default)]
            rows: Vec<RowIn>,
            #[serde(default)]
            begun: Option<Begun>,
        }
        let body: Body = data.decode()?;
        let rows: Vec<Row> = body
            .rows
            .into_iter()
            .map(|row| row.into_row(Dialect::Seed))
            .collect();
        let upto = body.upto.unwrap_or(body.after);
        let mut last = body.after;
        for row in &rows {
            if row.id <= last || row.id > upto {
                return Err(BadRows::Order { id: row.id });
            }
            last = row.id;
        }
        if upto < last {
            return Err(BadRows::Order { id: upto });
        }
        Ok(Self {
            node: body.node,
            after: body.after,
            known: body.known,
            life: body.life,
            upto,
            rows,
            begun: body.begun,
        })
    }

    /// Writes the body.
    #[must_use]
    pub fn encode(&self) -> Data {
        #[derive(Serialize)]
        struct Body<'a> {
            node: NodeId,
            after: i64,
            #[serde(skip_serializing_if = "Option::is_none")]
            known: Option<Life>,
            #[serde(skip_serializing_if = "Option::is_none")]
            life: Option<Life>,
            upto: i64,
            rows: Vec<RowOut<'a>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            begun: Option<Begun>,
        }
        Data::from_value(&Body {
            node: self.node,
            after: self.after,
            known: self.known,
            life: self.life,
            upto: self.upto,
            begun: self.begun,
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
pub fn mark_of(answer: &Answer) -> Option<Mark> {
    #[derive(Deserialize)]
    struct Body {
        /// Without it there is no mark.
        #[serde(rename = "mark")]
        _id: i64,
    }
    answer.data.decode::<Body>().ok()?;
    answer.data.decode().ok()
}
