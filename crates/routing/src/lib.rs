//! Where a request goes and how far it has come.

mod record;

pub use record::{NewRow, Record, Row, Runner, Task, TaskState, Written};
