//! SQLite: the database of one host, in one file.

pub(crate) mod audit;
mod bucket;
pub(crate) mod fetched;
pub(crate) mod open;
pub(crate) mod purge;
pub(crate) mod read;
pub(crate) mod state;
pub(crate) mod targets;
pub(crate) mod write;
