//! When a job runs: its timespec, its definition, and both in words.
//!
//! ```text
//! "30 2 1,15 * *" ──▶ Timespec ──next(after, zone)──▶ seconds since 1970
//! {id, timespec, …} ─▶ Definition ──next(after)────▶ the same, between starts_at and expires_at
//! ```
//! Pure: time is an argument, and so are the time zones, which somebody else has read. What
//! happens at the instant is not known here: `gorgone-cron` fires, keeps runs and catches up.

mod definition;
mod timespec;
mod words;
mod zone;

pub use definition::{
    Backoff, Catchup, Definition, DefinitionError, FieldProblem, InvalidJobId, JobId, Overlap,
};
pub use timespec::{FieldError, FieldName, Instants, Timespec, TimespecError};
pub use zone::{UnknownZone, Zone, Zones};
