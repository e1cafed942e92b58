//! What gorgone does in a second, side by side with what the machine can do: `make bench`.
//!
//! Every figure stands beside limits that were measured in the same run, and is told as a part of
//! them. What is compared is measured in turn, several times, and the best round counts: a slow or
//! busy machine changes both. The clients share one thread and one
//! ZeroMQ context: they cost little, and cost the same where a limit is measured.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement that cannot be made has failed, and its figures are for whoever reads"
)]

mod commands;
mod crowd;
mod handshakes;
mod http;
mod life;
mod nodes;
mod process;
mod requests;
mod sample;

fn main() {
    // `cargo test --benches` asks every target for its tests.
    if std::env::args().any(|arg| arg == "--test" || arg == "--list") {
        return;
    }
    let only: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let wanted = |part: &str| only.is_empty() || only.iter().any(|name| name == part);
    machine();
    if wanted("requests") {
        requests::run();
    }
    if wanted("commands") {
        commands::run();
    }
    if wanted("http") {
        http::run();
    }
    if wanted("handshakes") {
        handshakes::run();
    }
    if wanted("life") {
        life::run();
    }
    if wanted("nodes") {
        nodes::run();
    }
}

/// What the figures were measured on, and whether it was busy with something else.
fn machine() {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    println!("{cores} cores, load before the run {load}");
}
