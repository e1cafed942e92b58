//! The body of each request and of its answer: parsed, checked and written in one place.

pub mod cancel;
pub mod command;
pub mod engine;
pub mod lenient;
pub mod log;
pub mod nodes;
pub mod options;
pub mod ready;
