//! gorgonectl as its user sees it: output, exit codes, and errors of one line. One file per
//! verb or behaviour.
#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails has failed its test"
)]

mod audit;
mod cancel;
mod command;
mod completion;
mod config;
mod cron;
mod engine;
mod errors;
mod http;
mod keys;
mod log;
mod man;
mod profile;
mod request;
mod status;
mod support;
mod terminal;
