//! One process from its start to its end. Knows nothing of requests, tokens and rows.

mod control;
mod output;
mod run;
mod start;

pub(crate) use control::{Control, Why};
pub(crate) use run::{End, Limits, Outcome, watch};
pub(crate) use start::start;
