//! Reading the history.

use gorgone_protocol::request::log::GetLog;
use gorgone_protocol::{Code, NodeId};
use gorgone_routing::Row;

/// Which rows of the history. All that is set must hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filter {
    /// Rows with this code.
    pub code: Option<Code>,
    /// Rows of this token.
    pub token: Option<String>,
    /// Rows of the parts of this token.
    pub parent: Option<String>,
    /// Rows stored at this second or later.
    pub ctime_from: Option<i64>,
    /// Rows stored at this second or earlier.
    pub ctime_until: Option<i64>,
    /// Rows of events at this second or later.
    pub etime_from: Option<i64>,
    /// Rows with a higher id.
    pub id_after: Option<i64>,
    /// Rows with a lower id.
    pub id_before: Option<i64>,
    /// Rows of one node.
    pub rows_of: Option<RowsOf>,
    /// At most so many rows; [`Filter::MAX_LIMIT`] at most.
    pub limit: u32,
    /// At most so many bytes of tokens and data (and about a hundred for each row). The first
    /// row is always there, however large.
    pub max_bytes: usize,
    /// Where the limits cut: away from the newest rows instead of the oldest. The rows come in
    /// the order of their ids either way.
    pub newest: bool,
}

/// Where rows were written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RowsOf {
    /// On this node.
    Here,
    /// On another one, from which they were fetched.
    Node(NodeId),
}

impl Filter {
    /// How many rows a page has where nobody says it.
    pub const DEFAULT_LIMIT: u32 = 1_000;
    /// How many rows a page has at most.
    pub const MAX_LIMIT: u32 = 10_000;
    /// How large a page is where nobody says it: well below the largest frame of the wire.
    pub const DEFAULT_BYTES: usize = 4 << 20;

    /// What a GETLOG asks for, of the node with this id.
    #[must_use]
    pub fn from_getlog(body: &GetLog, own: NodeId) -> Self {
        Self {
            code: body.code,
            token: body.token.clone(),
            parent: body.parent.clone(),
            ctime_from: body.ctime,
            ctime_until: body.until,
            etime_from: body.etime,
            id_after: body.id,
            id_before: body.before,
            newest: body.newest,
            rows_of: body.node.map(|node| {
                if node == own {
                    RowsOf::Here
                } else {
                    RowsOf::Node(node)
                }
            }),
            limit: body.limit.unwrap_or(Self::DEFAULT_LIMIT),
            ..Self::default()
        }
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            code: None,
            token: None,
            parent: None,
            ctime_from: None,
            ctime_until: None,
            etime_from: None,
            id_after: None,
            id_before: None,
            rows_of: None,
            limit: Self::DEFAULT_LIMIT,
            max_bytes: Self::DEFAULT_BYTES,
            newest: false,
        }
    }
}

/// A bounded piece of the history.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Page {
    /// In the order of their ids.
    pub rows: Vec<Row>,
    /// Whether more rows match: ask again with the last id as [`Filter::id_after`], or with the
    /// first one as [`Filter::id_before`] where the newest were asked for.
    pub truncated: bool,
}
