//! Where a request goes and how far it has come: routes, modules, and the ledger of tasks.
//!
//! A pure state machine: events in, effects out, time as an argument. It does not know what
//! ZeroMQ, SQL, a thread or a clock is; `services/core` does what it wants done.

mod audit;
mod caller;
mod cancel;
mod counters;
mod delivery;
mod durable;
mod entry;
mod event;
mod figures;
mod fleet;
mod history;
mod leases;
mod ledger;
mod modules;
mod outbox;
mod record;
mod redact;
mod refusals;
mod router;
mod spread;
mod state;
mod waiters;

pub use audit::NewAudit;
pub use caller::{Caller, Credential};
pub use event::{
    AuditQuery, BatchId, Effect, Event, OneLife, Origin, Query, Restored, Settings, StateQuery,
    TargetsQuery, WaiterId, WriteFailure,
};
pub use figures::{Depth, Ended, Figures, NodeFigures};
pub use gorgone_protocol::request::log::Row;
pub use record::{
    EndedPart, Fetched, NewRow, NodeBegan, Record, Runner, Spread, StateChange, StoredLease, Task,
    TaskState, Written,
};
pub use redact::Redactor;
pub use router::Router;
