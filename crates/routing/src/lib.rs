//! Where a request goes and how far it has come.

mod record;

pub use gorgone_protocol::request::log::Row;
pub use record::{NewRow, Record, Runner, Task, TaskState, Written};
