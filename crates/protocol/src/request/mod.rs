//! The body of each request and of its answer: parsed, checked and written in one place.

pub mod audit;
pub mod cancel;
pub mod carried;
pub mod command;
pub mod engine;
pub mod lease;
pub mod lenient;
pub mod log;
pub mod logger;
pub mod node_state;
pub mod nodes;
pub mod occasion;
pub mod options;
pub mod owned;
pub mod pong;
pub mod put_rows;
pub mod ready;
pub mod state;
pub mod targets;
