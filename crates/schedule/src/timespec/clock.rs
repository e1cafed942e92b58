//! From readings of the clock on the wall to instants, where that clock is put forward and
//! back.
//!
//! ```text
//! wall     1:59 ─┐ gap: 2:00–2:59 does not exist          1:59 ─ 2:59 ┐ overlap: 2:00–2:59
//!                └▶ 3:00                                         2:00 ◀┘ comes twice
//! ```
//! - A job with times of day (minute and hour both do not begin with `*`) runs once for each
//!   of them: what falls into a gap runs at its end, several at once as one; what comes twice
//!   runs the first time. So every reading has one instant, and later readings have no earlier
//!   ones: the next instant is that of the next reading.
//! - Any other job goes by elapsed time: it runs whenever the clock shows a matching reading,
//!   twice in an overlap, and not in a gap.
//!
//! Vixie's cron takes a jump of more than three hours for somebody setting the clock; here the
//! zone's rules say what a jump is, whatever its length.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::Timespec;

const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// Clock changes that are crossed at most in one search: more than two a year for as long as
/// any day can be away.
const MAX_CHANGES: usize = 200;

/// See [`Timespec::next`].
pub(super) fn next(timespec: &Timespec, after: i64, zone: &TimeZone) -> Option<i64> {
    let after = Timestamp::from_second(after).ok()?;
    if timespec.goes_by_elapsed_time() {
        by_elapsed_time(timespec, after, zone)
    } else {
        by_times_of_day(timespec, after, zone)
    }
}

fn by_elapsed_time(timespec: &Timespec, after: Timestamp, zone: &TimeZone) -> Option<i64> {
    let mut from = after.checked_add(SECOND).ok()?;
    for _ in 0..MAX_CHANGES {
        // Up to the next change of the clock, it goes as any clock does.
        let offset = zone.to_offset(from);
        let change = zone.following(from).next().map(|change| change.timestamp());
        let reading = timespec.next_reading(offset.to_datetime(from));
        let instant = reading.and_then(|reading| offset.to_timestamp(reading).ok());
        match (instant, change) {
            (Some(instant), Some(change)) if instant >= change => from = change,
            (Some(instant), _) => return Some(instant.as_second()),
            (None, _) => return None,
        }
    }
    None
}

fn by_times_of_day(timespec: &Timespec, after: Timestamp, zone: &TimeZone) -> Option<i64> {
    let here = zone.to_offset(after);
    let reading = here.to_datetime(after);
    let from = match zone.to_ambiguous_timestamp(reading).offset() {
        // The second time that the clock shows this: all of it has had its turn.
        AmbiguousOffset::Fold { before, after } if here == after => {
            before.to_datetime(change_within(zone, reading, before)?)
        }
        // The next reading, though the clock may jump over it.
        _ => reading.checked_add(SECOND).ok()?,
    };
    let reading = timespec.next_reading(from)?;
    let instant = match zone.to_ambiguous_timestamp(reading).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(reading).ok()?,
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(reading).ok()?,
        AmbiguousOffset::Gap { after, .. } => change_within(zone, reading, after)?,
    };
    Some(instant.as_second())
}

/// The change of the clock that makes this reading come twice or not at all: the first one
/// after the earlier of the instants that it could mean.
fn change_within(zone: &TimeZone, reading: DateTime, offset: Offset) -> Option<Timestamp> {
    let before = offset.to_timestamp(reading).ok()?;
    zone.following(before)
        .next()
        .map(|change| change.timestamp())
}
