//! Figures of the process itself, under the names that every Prometheus client gives them.

use std::fs;

use super::exposition::Exposition;

/// Adds what the system tells. What it does not tell is left out.
pub(super) fn write(exposition: &mut Exposition) {
    if let Some(bytes) = resident() {
        exposition
            .gauge("process_resident_memory_bytes", "Memory in use.")
            .count(bytes);
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        exposition
            .gauge("process_open_fds", "Open files and connections.")
            .count(files.count() as u64);
    }
}

fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
