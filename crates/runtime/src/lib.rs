//! Process life: what every service does the same way. Configuration, logs, signals, the end.

pub mod config;
