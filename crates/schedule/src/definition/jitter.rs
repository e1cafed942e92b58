//! The delay that spreads jobs which are due in the same second.

use std::time::Duration;

use super::id::JobId;

/// Always the same for a job on a node, evenly spread from 0 to `most`, in whole
/// milliseconds. The hash is FNV-1a with a last mixing: it must be the same in every release,
/// which the standard library does not promise of its own.
pub(super) fn delay(id: &JobId, node: u64, most: Duration) -> Duration {
    let Ok(most) = u64::try_from(most.as_millis()) else {
        return Duration::ZERO;
    };
    let bytes = id.as_str().bytes().chain(node.to_be_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    Duration::from_millis(mixed(hash) % (most.saturating_add(1)))
}

/// FNV leaves the low bits of short inputs alike; every bit of this depends on all of them.
const fn mixed(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}
