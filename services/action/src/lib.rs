//! gorgone-action: runs commands, and writes to the monitoring engine's pipe.
//!
//! ```text
//! core ──request──▶ service ──▶ runner ──▶ work ──▶ process
//!      ◀───rows────         ◀──rows──      policy   engine
//! ```
//! What a request is and when it may start is core's business: here it is run when it comes.
//! `process` knows no request, `policy` runs nothing, and only `service` knows that there is a
//! core.

mod engine;
mod helper;
mod policy;
mod process;
mod report;
mod runner;
mod service;
pub mod settings;
pub mod words;
mod work;

pub use helper::helper;
pub use policy::{BadPattern, Refused};
pub use report::Row;
pub use runner::{Kind, Request, Runner, RunnerError};
pub use service::{Error, Service, build, with};
