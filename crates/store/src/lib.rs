//! What must outlive the process: tasks, their history, sessions, nodes, and how far the logs
//! of others were synchronised.
//!
//! ```text
//! write(batch) ─▶ bounded queue ─▶ one writer ─▶ one transaction for all that wait ─▶ one fsync
//! history(…)   ─▶ a few readers of their own
//! ```
//!
//! - Only this crate knows SQL. What a record means is said where it is defined
//!   (`gorgone_routing::Record`, `gorgone_session::Record`); `plan` decides it without SQL, so
//!   that a group costs a few multi-row statements however many batches it has.
//! - A failure (disk full, locked by somebody else) rolls the group back, is told to everyone
//!   in it, and is over as soon as its cause is.
//! - Rows of one token must come in order: a row whose sequence is not above the last one
//!   counts as a repetition.
//! - It does not know what a request means, does not deliver anything, and has no clock: ages
//!   are arguments.

mod audit;
mod change;
mod error;
mod fetched;
mod figures;
mod history;
mod lives;
mod plan;
mod queue;
mod session;
mod sqlite;
mod store;

pub use change::{Change, SyncMark};
pub use error::{Error, OpenError, OpenProblem};
pub use figures::Figures;
pub use history::{Filter, Page, RowsOf};
pub use store::{Options, PurgeOptions, Purged, Stats, Store, TargetsOf, TaskStatus};
