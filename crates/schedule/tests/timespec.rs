//! When a timespec is due, and which are refused.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may fail by panicking"
)]

use gorgone_schedule::{Timespec, Zone, Zones};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

fn spec(text: &str) -> Timespec {
    Timespec::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn zone(name: &str) -> Zone {
    Zones::bundled().find(name).unwrap()
}

fn unix(reading: &str) -> i64 {
    let reading: DateTime = reading.parse().unwrap();
    reading
        .to_zoned(TimeZone::UTC)
        .unwrap()
        .timestamp()
        .as_second()
}

/// The first instants after a moment in UTC, in UTC.
fn next(text: &str, zone_name: &str, after: &str, count: usize) -> Vec<String> {
    spec(text)
        .after(unix(after), &zone(zone_name))
        .take(count)
        .map(|instant| {
            jiff::Timestamp::from_second(instant)
                .unwrap()
                .strftime("%m-%dT%H:%M:%S")
                .to_string()
        })
        .collect()
}

fn refused(text: &str) -> String {
    Timespec::parse(text).expect_err(text).to_string()
}

#[test]
fn an_instant_that_matches_is_not_after_itself() {
    let every = spec("* * * * *");
    let utc = zone("UTC");
    assert_eq!(every.next(59, &utc), Some(60));
    assert_eq!(every.next(60, &utc), Some(120));
}

#[test]
fn names_ranges_steps_and_lists_are_read_in_any_case() {
    for (one, other) in [
        ("0 0 * JAN,mar-May Mon-FRI", "0 0 * 1,3-5 1-5"),
        ("*/20 8-18/5 1-31/10 * 7", "0,20,40 8,13,18 1,11,21,31 * 0"),
        ("0 0 * * fri-sun", "0 0 * * 5,6,0"),
        ("0 0 * * 1-7/2", "0 0 * * mon,wed,fri,sun"),
        ("@Weekly", "0 0 * * sun"),
        ("@annually", "0 0 1 1 *"),
        ("@hourly", "0 * * * *"),
        ("  1   2 3\t4 *  ", "1 2 3 4 *"),
        ("5 * * * * 0", "5 * * * *"),
    ] {
        let after = "2027-01-01T00:00:00";
        assert_eq!(
            next(one, "UTC", after, 40),
            next(other, "UTC", after, 40),
            "{one} and {other}"
        );
    }
}

#[test]
fn seconds_stand_last() {
    assert_eq!(
        next("32 11 * * * 0-30/10", "UTC", "2027-01-01T00:00:00", 5),
        [
            "01-01T11:32:00",
            "01-01T11:32:10",
            "01-01T11:32:20",
            "01-01T11:32:30",
            "01-02T11:32:00"
        ]
    );
}

#[test]
fn a_day_needs_to_match_one_of_two_restricted_fields() {
    // 1 February 2027 is a Monday.
    let after = "2027-02-01T12:00:00";
    assert_eq!(
        next("0 0 13 * fri", "UTC", after, 3),
        ["02-05T00:00:00", "02-12T00:00:00", "02-13T00:00:00"]
    );
    // What begins with * is not restricted, whatever follows.
    assert_eq!(
        next("0 0 */2 * mon", "UTC", after, 3),
        ["02-15T00:00:00", "03-01T00:00:00", "03-15T00:00:00"]
    );
    assert_eq!(
        next("0 0 13 * */2", "UTC", after, 2),
        ["02-13T00:00:00", "03-13T00:00:00"]
    );
    // All days, but written as a range: restricted.
    assert_eq!(
        next("0 0 1-31 * mon", "UTC", after, 2),
        ["02-02T00:00:00", "02-03T00:00:00"]
    );
}

#[test]
fn what_falls_into_the_gap_runs_once_at_its_end() {
    // Paris, 28 March 2027: 2:00 to 3:00 do not exist, from 1:00 UTC on.
    let before = "2027-03-27T12:00:00";
    assert_eq!(
        next("30 2 * * *", "Europe/Paris", before, 2),
        ["03-28T01:00:00", "03-29T00:30:00"]
    );
    assert_eq!(
        next("0,30 2,14 * * *", "Europe/Paris", before, 5),
        [
            "03-27T13:00:00",
            "03-27T13:30:00",
            "03-28T01:00:00",
            "03-28T12:00:00",
            "03-28T12:30:00"
        ]
    );
    // 3:00 and what fell into the gap are the same instant.
    assert_eq!(
        next("0 2,3 * * *", "Europe/Paris", before, 2),
        ["03-28T01:00:00", "03-29T00:00:00"]
    );
}

#[test]
fn what_comes_twice_runs_the_first_time() {
    // Paris, 31 October 2027: 2:00 to 3:00 come twice, from 0:00 UTC on.
    let before = "2027-10-30T12:00:00";
    assert_eq!(
        next("30 2 * * *", "Europe/Paris", before, 2),
        ["10-31T00:30:00", "11-01T01:30:00"]
    );
    assert_eq!(
        next("0,30 2,3 * * *", "Europe/Paris", before, 5),
        [
            "10-31T00:00:00",
            "10-31T00:30:00",
            "10-31T02:00:00",
            "10-31T02:30:00",
            "11-01T01:00:00"
        ]
    );
    // Asked in the middle of the second time.
    assert_eq!(
        next("0-59 2 * * *", "Europe/Paris", "2027-10-31T01:10:00", 1),
        ["11-01T01:00:00"]
    );
}

#[test]
fn what_goes_by_elapsed_time_knows_neither_gap_nor_overlap() {
    assert_eq!(
        next("*/30 * * * *", "Europe/Paris", "2027-03-28T00:15:00", 3),
        ["03-28T00:30:00", "03-28T01:00:00", "03-28T01:30:00"]
    );
    assert_eq!(
        next("0 * * * *", "Europe/Paris", "2027-10-30T23:15:00", 3),
        ["10-31T00:00:00", "10-31T01:00:00", "10-31T02:00:00"]
    );
    // Half an hour, at Lord Howe: 1:30 to 2:00 come twice.
    assert_eq!(
        next(
            "*/15 * * * *",
            "Australia/Lord_Howe",
            "2027-04-03T14:30:00",
            4
        ),
        [
            "04-03T14:45:00",
            "04-03T15:00:00",
            "04-03T15:15:00",
            "04-03T15:30:00"
        ]
    );
}

#[test]
fn what_never_comes_is_none_at_once() {
    for never in ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "* * 31 4 */2"] {
        assert_eq!(spec(never).next(0, &zone("Europe/Paris")), None, "{never}");
    }
    // Either day is enough, and Mondays exist.
    assert!(spec("0 0 30 2 mon").next(0, &zone("UTC")).is_some());
    // 29 February comes on every day of the week, if only after decades.
    assert_eq!(
        spec("0 0 29 2 */7").next(unix("2073-01-01T00:00:00"), &zone("UTC")),
        Some(unix("2088-02-29T00:00:00"))
    );
}

#[test]
fn leap_days_and_ends_of_months_are_found() {
    assert_eq!(
        spec("0 0 29 2 *").next(unix("2096-03-01T00:00:00"), &zone("UTC")),
        Some(unix("2104-02-29T00:00:00"))
    );
    assert_eq!(
        next("0 12 31 * *", "UTC", "2028-01-31T12:00:00", 3),
        ["03-31T12:00:00", "05-31T12:00:00", "07-31T12:00:00"]
    );
}

#[test]
fn the_ends_of_time_are_no_instants() {
    let every = spec("* * * * *");
    for after in [i64::MAX, i64::MAX - 1, i64::MIN, 253_402_300_800] {
        let _ = every.next(after, &zone("America/New_York"));
        let _ = spec("0 3 * * *").next(after, &zone("America/New_York"));
    }
    assert_eq!(every.next(i64::MAX, &zone("UTC")), None);
}

#[test]
fn a_wrong_field_is_named_with_its_mend() {
    for (text, said) in [
        ("", "is empty; write minute"),
        ("* * * *", "needs five fields"),
        ("* * * * * * *", "this is 7"),
        ("60 * * * *", "minute '60' is not within 0-59"),
        ("* 24 * * *", "hour '24' is not within 0-23"),
        ("* * 0 * *", "day of month '0' is not within 1-31"),
        ("* * * 13 *", "month '13' is not within 1-12"),
        ("* * * * 8", "day of week '8' is not within 0-7"),
        ("* * * * * 60", "second '60' is not within 0-59"),
        ("* * * foo *", "nor a name from jan to dec"),
        ("* * * * 1mon", "nor a name from sun to sat"),
        ("1,,2 * * * *", "a comma too many"),
        ("-1 * * * *", "minute '-1' is no number"),
        ("* 22-4 * * *", "ends before it begins; write 22-23,0-4"),
        ("5/15 * * * *", "write 5-59/15"),
        (
            "*/0 * * * *",
            "a step that is no whole number of at least 1",
        ),
        ("*/x * * * *", "a step that is no whole number"),
        ("0 0 L * *", "day of month 'L' is no number from 1 to 31"),
        ("0 0 ? * 1", "day of month '?' is no number"),
        ("@reboot", "'@reboot' is no time"),
        ("@dayly", "did you mean '@daily'?"),
    ] {
        let error = refused(text);
        assert!(error.contains(said), "{text}: {error}");
    }
    assert!(refused(&"1,".repeat(1000)).contains("too long"));
}
