//! Random timespecs beside the main loop of Vixie's cron, which wakes every minute, looks how far
//! the clock on the wall has come, and tries every field of every job; and beside a loop that
//! does the same every second. Nothing here is shared with the crate but the zones.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeSet;

use gorgone_schedule::{Timespec, Zone, Zones};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

const ZONES: [&str; 4] = [
    "Europe/Paris",
    "America/New_York",
    "Australia/Lord_Howe",
    // Its day begins with the gap: 0:00 to 1:00 do not exist.
    "Africa/Cairo",
];

/// Numbers by chance, the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((mixed ^ (mixed >> 31)) % u64::from(sides)).unwrap()
    }

    fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.roll(high - low + 1)
    }

    /// A field of terms that Vixie's cron knows, with its values.
    fn field(&mut self, low: u32, high: u32) -> Field {
        self.field_up_to(low, high, high)
    }

    /// One whose numbers are at most `most`.
    fn field_up_to(&mut self, low: u32, most: u32, high: u32) -> Field {
        let mut field = Field {
            text: String::new(),
            values: BTreeSet::new(),
        };
        for number in 0..=self.roll(3).saturating_sub(1) {
            let (text, from, to, step) = match self.roll(6) {
                0 => ("*".to_owned(), low, high, 1),
                1 => {
                    let step = self.between(2, 15);
                    (format!("*/{step}"), low, high, step)
                }
                2 | 3 => {
                    let from = self.between(low, most);
                    let to = self.between(from, most);
                    let step = self.between(1, 9);
                    (format!("{from}-{to}/{step}"), from, to, step)
                }
                _ => {
                    let value = self.between(low, most);
                    (value.to_string(), value, value, 1)
                }
            };
            if number > 0 {
                field.text.push(',');
            }
            field.text.push_str(&text);
            let mut value = from;
            while value <= to {
                field.values.insert(value);
                value += step;
            }
        }
        field
    }

    /// Most hours are small: clocks change at night.
    fn spec(&mut self, seconds: bool) -> Spec {
        let zero = |text: &str| Field {
            text: text.to_owned(),
            values: BTreeSet::from([0]),
        };
        let all = |low, high| Field {
            text: "*".to_owned(),
            values: (low..=high).collect(),
        };
        let days = self.roll(3);
        Spec {
            minute: self.field(0, 59),
            hour: if self.roll(3) == 0 {
                self.field(0, 23)
            } else {
                self.field_up_to(0, 4, 23)
            },
            day: if days == 0 {
                self.field(1, 31)
            } else {
                all(1, 31)
            },
            month: all(1, 12),
            weekday: if days == 1 {
                self.field(0, 7)
            } else {
                all(0, 7)
            },
            second: if seconds {
                self.field(0, 59)
            } else {
                zero("0")
            },
        }
    }
}

struct Field {
    text: String,
    values: BTreeSet<u32>,
}

impl Field {
    fn has(&self, value: i8) -> bool {
        self.values.contains(&u32::try_from(value).unwrap())
    }

    fn star(&self) -> bool {
        self.text.starts_with('*')
    }
}

struct Spec {
    minute: Field,
    hour: Field,
    day: Field,
    month: Field,
    weekday: Field,
    second: Field,
}

impl Spec {
    fn text(&self) -> String {
        [
            &self.minute,
            &self.hour,
            &self.day,
            &self.month,
            &self.weekday,
            &self.second,
        ]
        .map(|field| field.text.as_str())
        .join(" ")
    }

    fn parsed(&self) -> Timespec {
        let text = self.text();
        Timespec::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn matches(&self, reading: DateTime) -> bool {
        let sunday_based = reading.weekday().to_sunday_zero_offset();
        let day = self.day.has(reading.day());
        let weekday = self.weekday.has(sunday_based)
            || (sunday_based == 0 && self.weekday.values.contains(&7));
        let either = if self.day.star() || self.weekday.star() {
            day && weekday
        } else {
            day || weekday
        };
        self.minute.has(reading.minute())
            && self.hour.has(reading.hour())
            && self.month.has(reading.month())
            && self.second.has(reading.second())
            && either
    }

    fn is_wild(&self) -> bool {
        self.minute.star() || self.hour.star()
    }
}

/// Seconds since 1970 as the clock on the wall would count them.
fn wall(instant: i64, zone: &Zone) -> i64 {
    let offset = zone
        .rules()
        .to_offset(Timestamp::from_second(instant).unwrap());
    instant + i64::from(offset.seconds())
}

fn reading(wall: i64) -> DateTime {
    Offset::UTC.to_datetime(Timestamp::from_second(wall).unwrap())
}

fn instant(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_second()
}

/// When the zone's clock is put forward or back within two years.
fn changes(zone: &Zone) -> Vec<i64> {
    zone.rules()
        .following("2027-01-01T00:00:00Z".parse().unwrap())
        .map(|change| change.timestamp().as_second())
        .take_while(|change| *change < instant("2029-01-01T00:00:00Z"))
        .collect()
}

/// What Vixie's cron runs after `start` and before `end`, both whole minutes.
fn vixie(spec: &Spec, zone: &Zone, start: i64, end: i64) -> BTreeSet<i64> {
    let mut ran = BTreeSet::new();
    let mut virtual_minute = wall(start, zone) / 60;
    for now in (start + 60..end).step_by(60) {
        let running = wall(now, zone) / 60;
        let mut find = |minute: i64, wild: bool, fixed: bool| {
            if (if spec.is_wild() { wild } else { fixed }) && spec.matches(reading(minute * 60)) {
                ran.insert(now);
            }
        };
        match running - virtual_minute {
            1 => {
                virtual_minute = running;
                find(running, true, true);
            }
            // Put forward: jobs by elapsed time for now, the others for all that was missed.
            6..=180 => {
                find(running, true, false);
                while virtual_minute < running {
                    virtual_minute += 1;
                    find(virtual_minute, false, true);
                }
            }
            // Put back: jobs with times of day have had their turn until it has caught up.
            -180..=0 => find(running, true, false),
            other => panic!("the clock jumps by {other} minutes"),
        }
    }
    ran
}

/// The same, second by second, by what the rule says instead of by what the loop does.
fn by_the_second(spec: &Spec, zone: &Zone, start: i64, end: i64) -> BTreeSet<i64> {
    let mut due = BTreeSet::new();
    let mut furthest = wall(start, zone);
    for now in start + 1..end {
        let shown = wall(now, zone);
        let hit = if spec.is_wild() {
            spec.matches(reading(shown))
        } else {
            (furthest + 1..=shown).any(|wall| spec.matches(reading(wall)))
        };
        if hit {
            due.insert(now);
        }
        furthest = furthest.max(shown);
    }
    due
}

fn ours(spec: &Spec, zone: &Zone, start: i64, end: i64) -> BTreeSet<i64> {
    let parsed = spec.parsed();
    let instants = parsed.after(start, zone);
    instants.take_while(|instant| *instant < end).collect()
}

/// From any moment, the next instant is the first of the set that is later.
fn asked_anywhere(
    dice: &mut Dice,
    spec: &Spec,
    zone: &Zone,
    due: &BTreeSet<i64>,
    span: (i64, i64),
) {
    let parsed = spec.parsed();
    for _ in 0..20 {
        let length = u32::try_from(span.1 - span.0).unwrap();
        let after = span.0 + i64::from(dice.roll(length));
        let next = parsed.next(after, zone);
        assert!(
            next.is_none_or(|next| next > after),
            "{parsed} after {after}"
        );
        if let Some(expected) = due.range(after + 1..).next() {
            assert_eq!(next, Some(*expected), "{parsed} in {zone:?} after {after}");
        }
    }
}

#[test]
fn random_timespecs_run_when_vixies_cron_runs_them() {
    let mut dice = Dice(1);
    let (mut specs, mut instants) = (0, 0);
    for name in ZONES {
        let zone = Zones::bundled().find(name).unwrap();
        for change in changes(&zone) {
            for _ in 0..40 {
                let spec = dice.spec(false);
                let (start, end) = (change - 86_400, change + 86_400);
                let due = vixie(&spec, &zone, start, end);
                assert_eq!(
                    ours(&spec, &zone, start, end),
                    due,
                    "{} in {name}",
                    spec.text()
                );
                asked_anywhere(&mut dice, &spec, &zone, &due, (start, end));
                specs += 1;
                instants += due.len();
            }
        }
    }
    println!(
        "{specs} random timespecs around changes of the clock: {instants} instants, all as Vixie's cron"
    );
    assert!(instants > 10_000);
}

#[test]
fn random_timespecs_with_seconds_run_when_the_rule_says() {
    let mut dice = Dice(2);
    let (mut specs, mut instants) = (0, 0);
    for name in ZONES {
        let zone = Zones::bundled().find(name).unwrap();
        for change in changes(&zone) {
            for _ in 0..6 {
                let spec = dice.spec(true);
                let (start, end) = (change - 2 * 3600, change + 2 * 3600);
                let due = by_the_second(&spec, &zone, start, end);
                assert_eq!(
                    ours(&spec, &zone, start, end),
                    due,
                    "{} in {name}",
                    spec.text()
                );
                asked_anywhere(&mut dice, &spec, &zone, &due, (start, end));
                specs += 1;
                instants += due.len();
            }
        }
    }
    println!("{specs} random timespecs with seconds: {instants} instants, all as the rule says");
    assert!(instants > 10_000);
}

#[test]
fn random_days_are_those_that_match() {
    let mut dice = Dice(3);
    let zone = Zones::bundled().find("UTC").unwrap();
    let (start, end) = (
        instant("2026-12-31T12:00:00Z"),
        instant("2033-01-01T00:00:00Z"),
    );
    let (mut specs, mut instants) = (0, 0);
    for _ in 0..400 {
        let mut spec = dice.spec(false);
        let (minute, hour) = (dice.roll(60), dice.roll(24));
        for (field, value) in [(&mut spec.minute, minute), (&mut spec.hour, hour)] {
            field.text = value.to_string();
            field.values = BTreeSet::from([value]);
        }
        spec.day = dice.field(1, 31);
        spec.weekday = dice.field(0, 7);
        spec.month = dice.field(1, 12);
        let time = i64::from(hour * 3600 + minute * 60);
        let due: BTreeSet<i64> = (start..end)
            .step_by(86_400)
            .map(|noon| noon - 43_200 + time)
            .filter(|instant| *instant > start && spec.matches(reading(*instant)))
            .collect();
        assert_eq!(ours(&spec, &zone, start, end), due, "{}", spec.text());
        specs += 1;
        instants += due.len();
    }
    println!("{specs} random days: {instants} instants in six years");
    assert!(instants > 10_000);
}
