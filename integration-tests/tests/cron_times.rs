//! When jobs are due, beside an implementation that is not ours: Python's croniter.
//!
//! A year of instants for each timespec in each zone, with both changes of the clock, all
//! ends of months and a leap day. Wherever the two differ there is a reason among
//! [`Reason`], which is worked out here from the rules of the zone and the text of the
//! timespec; a difference without one fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may fail by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use gorgone_integration_tests::python;
use gorgone_schedule::{Timespec, Zones};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

const ZONES: [&str; 4] = [
    "Europe/Paris",
    "America/New_York",
    // Half an hour, and summer in January.
    "Australia/Lord_Howe",
    "UTC",
];

/// Due at most some ten thousand times a year: all of 2028, and the day before and after.
const YEAR: (&str, &str) = ("2027-12-31T00:00:00Z", "2029-01-02T00:00:00Z");
const SPECS: [&str; 56] = [
    "@hourly",
    "@daily",
    "@midnight",
    "@weekly",
    "@monthly",
    "@yearly",
    "@annually",
    "0 * * * *",
    "30 * * * *",
    "0 0 * * *",
    "30 0 * * *",
    "59 23 * * *",
    "0 1 * * *",
    "30 1 * * *",
    "45 1 * * *",
    "0 2 * * *",
    "15 2 * * *",
    "30 2 * * *",
    "59 2 * * *",
    "0 3 * * *",
    "0,30 1,2,3 * * *",
    "0,15,30,45 2 * * *",
    "0-59/20 0-4 * * *",
    "*/15 2 * * *",
    "*/20 1,2 * * *",
    "7-59/13 1-3 * * *",
    "0 */2 * * *",
    "0 1-23/2 * * *",
    "17 */6 * * *",
    "0 0-23 * * *",
    "5 4 * * sun",
    "5 4 * * 7",
    "0 9-17 * * mon-fri",
    "*/30 8-18/2 * * 1-5",
    "0 2 * * sat,sun",
    "30 2 * * 0",
    "0 0 * * fri-sun",
    "0 12 * JAN,jul *",
    "0 12 * 3-10/7 *",
    "0 0 1 * *",
    "30 2 1,15 * *",
    "0 0 31 * *",
    "0 0 30 * *",
    "0 0 29 2 *",
    "59 23 28-31 * *",
    "0 0 */10 * *",
    "0 0 1-31/3 * *",
    "0 0 13 * fri",
    "0 0 1-7 * mon",
    "30 2 26 3 sun",
    "0 0 1-31 * mon",
    "0 0 */2 * mon",
    "0 3 13 * */2",
    "15 10 * 2 */3",
    "30 2 * * * 0,20,40",
    "0 12 1 * * 15-45/10",
];

/// Due more often than that: the days around the changes of the clock and around the leap day.
const DENSE: [&str; 8] = [
    "* * * * *",
    "*/5 * * * *",
    "*/7 * * * *",
    "3-59/10 * * * *",
    "* 2 * * *",
    "0-59 2 * * *",
    "*/5 1-3 * * 0,1",
    "*/10 * * * * */30",
];

/// Seldom due: ten years.
const DECADE: (&str, &str) = ("2024-01-01T00:00:00Z", "2034-01-01T00:00:00Z");
const SELDOM: [&str; 6] = [
    "0 0 29 2 *",
    "30 2 29 2 mon",
    "0 0 31 1,3,5 *",
    "0 12 31 12 *",
    "30 2 30 2 *",
    "0 0 29-31 2 *",
];

/// Why croniter has other instants than we have.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Reason {
    /// A reading of the clock that comes twice. croniter runs a job with times of day at
    /// both; we at the first, as Vixie's and Debian's cron do, since nobody wants two backups
    /// in one night.
    SecondTime,
    /// A reading that does not come. croniter runs a job that goes by elapsed time at the end of the
    /// gap; we do not, as Vixie's and Debian's cron do not: no time has passed that it missed.
    GapOfElapsedTime,
    /// croniter takes a day's field such as `*/2` for restricted, and then needs one of both
    /// days only. Told to imitate Vixie's cron it agrees with us, which is compared too.
    StarWithStep,
    /// Where the clock changes by half an hour, croniter loses a run of some timespecs: in the
    /// gap, of `0 0-23 * * *` though not of `0 2 * * *`; in the overlap, of `*/7` though not of
    /// `*/15`. The model of Vixie's cron (`crates/schedule/tests/vixie.rs`) has them.
    HalfHour,
}

/// A timespec in a zone, between two instants.
struct Query {
    spec: &'static str,
    zone: &'static str,
    start: i64,
    end: i64,
}

fn unix(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_second()
}

fn queries() -> Vec<Query> {
    let mut queries = Vec::new();
    for zone in ZONES {
        let (start, end) = (unix(YEAR.0), unix(YEAR.1));
        let mut add = |spec, start, end| {
            queries.push(Query {
                spec,
                zone,
                start,
                end,
            });
        };
        for spec in SPECS {
            add(spec, start, end);
        }
        for spec in SELDOM {
            add(spec, unix(DECADE.0), unix(DECADE.1));
        }
        let mut days = vec![unix("2028-02-29T00:00:00Z")];
        days.extend(changes(zone, start, end));
        for spec in DENSE {
            for day in &days {
                add(spec, day - 86_400, day + 86_400);
            }
        }
    }
    queries
}

/// When the clock of a zone is put forward or back.
fn changes(zone: &str, start: i64, end: i64) -> Vec<i64> {
    let start = Timestamp::from_second(start).unwrap();
    rules(zone)
        .following(start)
        .map(|change| change.timestamp().as_second())
        .take_while(|change| *change < end)
        .collect()
}

fn rules(zone: &str) -> TimeZone {
    Zones::bundled().find(zone).unwrap().rules().clone()
}

fn ours(query: &Query) -> BTreeSet<i64> {
    let zone = Zones::bundled().find(query.zone).unwrap();
    let spec = Timespec::parse(query.spec).unwrap();
    spec.after(query.start, &zone)
        .take_while(|instant| *instant < query.end)
        .collect()
}

fn theirs(queries: &[&Query], bug: bool) -> Vec<BTreeSet<i64>> {
    let asked: Vec<serde_json::Value> = queries
        .iter()
        .map(|query| {
            serde_json::json!({
                "spec": query.spec, "zone": query.zone, "start": query.start, "end": query.end, "bug": bug
            })
        })
        .collect();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(serde_json::to_string(&asked).unwrap().as_bytes())
        .unwrap();
    let printed = python("croniter_instants.py", &[file.path().to_str().unwrap()]);
    serde_json::from_str(&printed).unwrap()
}

/// Vixie's distinction, by the text.
fn has_times_of_day(spec: &str) -> bool {
    let mut fields = spec.split(' ');
    let (minute, hour) = (fields.next().unwrap(), fields.next().unwrap_or_default());
    spec != "@hourly" && !minute.starts_with('*') && !hour.starts_with('*')
}

/// Whether a day's field is what only Vixie takes for unrestricted, and the other is restricted.
fn has_star_with_step(spec: &str) -> bool {
    let fields: Vec<&str> = spec.split(' ').collect();
    fields.len() >= 5
        && [(2, 4), (4, 2)]
            .iter()
            .any(|(one, other)| fields[*one].starts_with("*/") && fields[*other] != "*")
}

/// Why we have this instant, and croniter does not.
fn reason_of_ours(query: &Query, instant: i64) -> Option<Reason> {
    let zone = rules(query.zone);
    let now = Timestamp::from_second(instant).unwrap();
    let offset = zone.to_offset(now);
    let (from, by) = if has_times_of_day(query.spec) {
        // Just behind a gap.
        (zone.to_offset(now - SignedDuration::from_secs(1)), 1800)
    } else {
        // In the second half of an overlap.
        match zone
            .to_ambiguous_timestamp(offset.to_datetime(now))
            .offset()
        {
            AmbiguousOffset::Fold { before, .. } => (before, -1800),
            _ => return None,
        }
    };
    (offset.seconds() - from.seconds() == by).then_some(Reason::HalfHour)
}

/// Why croniter has this instant, and we do not.
fn reason_of_theirs(query: &Query, instant: i64, ours: &BTreeSet<i64>) -> Option<Reason> {
    let zone = rules(query.zone);
    let now = Timestamp::from_second(instant).unwrap();
    let offset = zone.to_offset(now);
    if has_times_of_day(query.spec) {
        let reading = offset.to_datetime(now);
        let AmbiguousOffset::Fold { before, after } = zone.to_ambiguous_timestamp(reading).offset()
        else {
            return None;
        };
        let first = before.to_timestamp(reading).unwrap().as_second();
        return (offset == after && ours.contains(&first)).then_some(Reason::SecondTime);
    }
    let just_before = now - SignedDuration::from_secs(1);
    (zone.to_offset(just_before) < offset).then_some(Reason::GapOfElapsedTime)
}

#[test]
fn a_year_of_instants_is_croniters_but_for_reasons_that_are_listed() {
    let queries = queries();
    let all: Vec<&Query> = queries.iter().collect();
    let (mut compared, mut differences) = (0, BTreeMap::<Reason, usize>::new());
    let mut unexplained = Vec::new();
    for (query, theirs) in queries.iter().zip(theirs(&all, true)) {
        let ours = ours(query);
        compared += ours.union(&theirs).count();
        for instant in ours.symmetric_difference(&theirs) {
            let reason = if ours.contains(instant) {
                reason_of_ours(query, *instant)
            } else {
                reason_of_theirs(query, *instant, &ours)
            };
            match reason {
                Some(reason) => *differences.entry(reason).or_default() += 1,
                None => unexplained.push(format!(
                    "{} in {}: {} is only {}",
                    query.spec,
                    query.zone,
                    Timestamp::from_second(*instant).unwrap(),
                    if ours.contains(instant) {
                        "ours"
                    } else {
                        "theirs"
                    },
                )),
            }
        }
    }
    // The one rule that croniter has in both readings: where its own differs.
    let starred: Vec<&Query> = queries
        .iter()
        .filter(|query| has_star_with_step(query.spec))
        .collect();
    for (query, theirs) in starred.iter().zip(theirs(&starred, false)) {
        let ours = ours(query);
        compared += theirs.len();
        if ours.difference(&theirs).next().is_some() {
            unexplained.push(format!("{} in {}: ours alone", query.spec, query.zone));
        }
        *differences.entry(Reason::StarWithStep).or_default() += theirs.difference(&ours).count();
    }
    println!(
        "{} timespecs in {} zones, {} instants compared; croniter differs:",
        SPECS.len() + DENSE.len() + SELDOM.len(),
        ZONES.len(),
        compared
    );
    for (reason, count) in &differences {
        println!("  {reason:?}: {count}");
    }
    assert!(
        unexplained.is_empty(),
        "{} differences without a reason, such as {:#?}",
        unexplained.len(),
        &unexplained[..unexplained.len().min(20)]
    );
    // Each reason is met: a list with one that is not would excuse too much.
    assert_eq!(differences.len(), 4, "{differences:?}");
}
