//! gorgone-cron: has jobs run at their times, by one of several instances.
//!
//! ```text
//!           clock ──▶ instance ──▶ leader: jobs ─▶ which instants are due ─▶ runs
//! core ◀─questions─▶    │ holds the lease, has read the state     │
//!                       └──────── writes under its fence ◀────────┘
//! ```
//! What is to be done is written down before it is done, in core's database and under a fence;
//! a run's token is made of the job and the instant, and core takes a token once. So whoever
//! fires next, after whatever was killed, can say everything again and nothing runs twice.
//!
//! `instance` and `leader` are pure: events in, effects out, time as an argument. `service` is
//! the IO around them. Which instant comes next is `gorgone-schedule`'s to know; what a run does
//! is the business of whoever runs it.

mod alarm;
mod figures;
mod instance;
mod leader;
mod service;
mod stored;

pub use alarm::{Alarm, Ring};
pub use instance::{AskId, Effect, Event, Instance, Settings, Wake};
pub use leader::Figures;
pub use service::{Error, run};
