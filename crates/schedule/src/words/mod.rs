//! A timespec in English: `at 02:30 on the 1st and the 15th of each month`.
//!
//! What is said is worked out from the values that match, not from how they were written, so
//! that `0,30` and `*/30` read alike. What has no short phrase is listed: longer, but as true.

mod days;
mod list;
mod times;

use crate::timespec::Timespec;

/// See [`Timespec::words`].
pub(crate) fn timespec(spec: &Timespec) -> String {
    let fields = spec.fields();
    let times = times::times(fields);
    let days = days::days(fields);
    let text = match (times.at_points, days) {
        (true, None) => format!("every day {}", times.text),
        (false, None) => times.text,
        (true, Some(days)) if days.every_day => format!("every day {} {}", times.text, days.text),
        (_, Some(days)) => format!("{} {}", times.text, days.text),
    };
    if spec.is_never() {
        format!("never: {text}")
    } else {
        text
    }
}
