//! How many connections the limit of open files allows.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors that the process needs for other things than connections.
const RESERVED_FILES: u64 = 64;

/// As many connections as are wanted and the process may have open files for. The soft limit,
/// which is small for the sake of programs that use `select`, is raised as far as needed.
pub(crate) fn affordable(wanted: usize) -> usize {
    let Ok((mut soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return wanted;
    };
    let needed = u64::try_from(wanted)
        .unwrap_or(u64::MAX)
        .saturating_add(RESERVED_FILES);
    let raised = needed.min(hard);
    if soft < raised && setrlimit(Resource::RLIMIT_NOFILE, raised, hard).is_ok() {
        soft = raised;
    }
    let room = usize::try_from(soft.saturating_sub(RESERVED_FILES)).unwrap_or(usize::MAX);
    if room < wanted {
        tracing::warn!(
            wanted,
            possible = room,
            "the limit of open files allows fewer connections than configured"
        );
    }
    wanted.min(room.max(1))
}
