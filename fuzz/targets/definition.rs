//! Any JSON as the definition of a job, and any text as a timespec. What is taken can be
//! written and read back, is due in order and in few steps, and has words; what is refused is
//! told why.
#![no_main]

use std::sync::LazyLock;

use gorgone_fuzz::bounded;
use gorgone_schedule::{Definition, Timespec, Zones};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

static ZONES: LazyLock<Zones> = LazyLock::new(Zones::bundled);
/// Around the changes of clocks, at the ends of what a clock can show, and beyond.
const MOMENTS: [i64; 6] = [
    i64::MIN,
    -377_705_116_800,
    0,
    1_806_109_200,
    253_402_207_199,
    i64::MAX,
];

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    // The rules of a zone are read once, and kept.
    bounded(input, 4 * 1024 * 1024, 256, || {
        match Timespec::parse(text) {
            Ok(spec) => timespec(&spec),
            Err(error) => assert!(!error.to_string().is_empty(), "refused without a word"),
        }
        if let Ok(value) = serde_json::from_str::<Value>(text) {
            definition(&value);
        }
    });
});

fn timespec(spec: &Timespec) {
    assert!(!spec.words().is_empty());
    let zone = ZONES
        .find("Australia/Lord_Howe")
        .expect("it is compiled in");
    for moment in MOMENTS {
        let mut last = moment;
        for due in spec.after(moment, &zone).take(5) {
            assert!(due > last, "{spec}: {due} is not after {last}");
            last = due;
        }
    }
}

fn definition(value: &Value) {
    match Definition::parse(value, &ZONES) {
        Ok(job) => {
            let written = Value::Object(job.to_json());
            let again = Definition::parse(&written, &ZONES).expect("what was written is read");
            assert_eq!(again, job);
            assert!(job.delay(1) <= job.jitter);
            let _ = (job.words(), job.data(), job.retry_backoff.before(u32::MAX));
            for moment in MOMENTS {
                assert!(job.next(moment).is_none_or(|due| due > moment));
            }
        }
        Err(error) => {
            assert!(!error.problems.is_empty(), "refused without a word");
            let _ = error.to_string();
        }
    }
}
