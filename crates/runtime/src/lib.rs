//! Process life: what every service does the same way. Configuration, logs, signals, being
//! ready, and the end.
//!
//! ```ignore
//! fn main() -> std::process::ExitCode {
//!     gorgone_runtime::run(Service::CORE, |context| async move {
//!         let core = build(&context.config(), context.clock.clone()).await?;
//!         context.ready();
//!         core.run(context.shutdown.token()).await
//!     })
//! }
//! ```
//! This crate knows neither ZeroMQ nor SQL.

mod clock;
pub mod config;
mod context;
mod flags;
mod log;
mod monitor;
mod run;
mod shutdown;
mod supervised;
mod zones;

pub use clock::Clock;
pub use context::Context;
pub use flags::{Flags, LogFormat, MONITOR, Severity};
pub use log::{LogHandle, init as init_log};
pub use monitor::{Exposition, Family, Health, Last, Pulse, ask as ask_health};
pub use run::{Service, exit, run, run_with};
pub use shutdown::{Reason, Shutdown};
pub use supervised::{READY_LINE, SUPERVISED, notify_service_manager};
pub use zones::{UnknownMachineZone, machine_zones};
