//! What the fuzz targets share: an allocator that notices growth.
//!
//! ```text
//! targets/codec.rs           any text as message, answer and body; what is read can be written
//! targets/handshake.rs       any sequence of frames, RSA outcomes, timeouts and clock jumps
//! targets/configuration.rs   any YAML, environment and --set
//! targets/definition.rs      any definition of a job, and any timespec
//! ```
//! A target fails by panicking, by taking longer than a few seconds, or by taking more memory
//! than its input can justify. Seeds stand in `seeds/`; what the fuzzer finds out stays below
//! `target/fuzz/`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The system's allocator, counted. Targets have one thread.
struct Meter;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grown(bytes: usize) {
    let now = NOW.load(Relaxed).saturating_add(bytes);
    NOW.store(now, Relaxed);
    PEAK.fetch_max(now, Relaxed);
}

fn shrunk(bytes: usize) {
    NOW.store(NOW.load(Relaxed).saturating_sub(bytes), Relaxed);
}

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Meter {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: see above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: see above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        shrunk(layout.size());
        // SAFETY: see above.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        shrunk(layout.size());
        grown(size);
        // SAFETY: see above.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static METER: Meter = Meter;

/// Runs something on an input, and panics if it ever held more memory than `fixed` bytes and
/// `times` the length of the input.
pub fn bounded(input: &[u8], fixed: usize, times: usize, run: impl FnOnce()) {
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    run();
    let taken = PEAK.load(Relaxed).saturating_sub(before);
    let allowed = fixed + times * input.len();
    assert!(
        taken <= allowed,
        "growth: {} bytes of input took {taken} bytes of memory, {allowed} are allowed",
        input.len()
    );
}
