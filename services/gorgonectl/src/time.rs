//! Times as people write and read them: local, or as an age.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// Seconds since 1970 as local time: `2026-11-03 14:05:01`.
pub(crate) fn local(seconds: i64) -> String {
    match Timestamp::from_second(seconds) {
        Ok(time) => time
            .to_zoned(TimeZone::system())
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string(),
        // Further away than calendars reach: the number tells more than nothing.
        Err(_) => seconds.to_string(),
    }
}

/// A length of time in its largest unit: `12 s`, `5 min`, `3 h`, `2 d`.
pub(crate) fn length(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{} s", seconds.max(0)),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Seconds since 1970, now.
pub(crate) fn now() -> i64 {
    Timestamp::now().as_second()
}

/// A point in time, read from the command line. See [`parse`] for the forms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PointArg(pub(crate) i64);

impl std::str::FromStr for PointArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text, &Zoned::now()).map(Self)
    }
}

/// A point in time that may lie ahead: as [`PointArg`], but an age is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MomentArg(pub(crate) i64);

impl std::str::FromStr for MomentArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        moment(text.trim(), &Zoned::now()).map(Self).ok_or_else(|| {
            format!("'{text}' is no time; write '2027-01-31 08:00' or seconds since 1970")
        })
    }
}

/// Reads a point in time: seconds since 1970, an age (`90s`, `15m`, `1h30m`, `7d`, `2w`),
/// `today`, `yesterday`, a time of today, a date, a date and time, or RFC 3339.
fn parse(text: &str, now: &Zoned) -> Result<i64, String> {
    let text = text.trim();
    let age = || Some(now.timestamp().as_second().saturating_sub(age(text)?));
    moment(text, now).or_else(age).ok_or_else(|| {
        format!(
            "'{text}' is no time; write an age such as 15m or 2h, a time such as 14:30, \
             '2026-11-03 14:30' or today, or seconds since 1970"
        )
    })
}

/// The same without an age.
fn moment(text: &str, now: &Zoned) -> Option<i64> {
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_second());
    }
    let clock = |text: &str| {
        ["%H:%M:%S", "%H:%M"]
            .iter()
            .find_map(|form| Time::strptime(form, text).ok())
    };
    let date = |text: &str| Date::strptime("%Y-%m-%d", text).ok();
    let midnight = |day: Date| day.to_datetime(Time::midnight());
    let at = match text {
        "today" => Some(midnight(now.date())),
        "yesterday" => now.date().yesterday().ok().map(midnight),
        _ => match text.split_once([' ', 'T']) {
            Some((day, time)) => date(day).zip(clock(time)).map(|(d, t)| d.to_datetime(t)),
            None => clock(text)
                .map(|time| now.date().to_datetime(time))
                .or_else(|| date(text).map(midnight)),
        },
    };
    place(at?, now)
}

/// The wall clock's time where `now` was read. Of an hour that comes twice the first is meant.
fn place(at: DateTime, now: &Zoned) -> Option<i64> {
    let zoned = at.to_zoned(now.time_zone().clone()).ok()?;
    Some(zoned.timestamp().as_second())
}

/// `1h30m` in seconds.
fn age(text: &str) -> Option<i64> {
    let mut seconds: i64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let count: i64 = rest[..end].parse().ok()?;
        let unit = rest[end..].chars().next()?;
        let factor = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return None,
        };
        seconds = seconds.saturating_add(count.saturating_mul(factor));
        rest = &rest[end + unit.len_utf8()..];
    }
    (!text.is_empty()).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::{length, parse};
    use jiff::Timestamp;
    use jiff::tz::{Offset, TimeZone};

    #[test]
    fn points_in_time_are_read_as_people_write_them() {
        let now: Timestamp = "2026-11-03T14:05:01+01:00".parse().unwrap();
        let now = now.to_zoned(TimeZone::fixed(Offset::constant(1)));
        let at = |text: &str| parse(text, &now);
        let unix = |text: &str| Ok(text.parse::<Timestamp>().unwrap().as_second());
        assert_eq!(at("1700000000"), Ok(1_700_000_000));
        assert_eq!(at("15m"), unix("2026-11-03T13:50:01+01:00"));
        assert_eq!(at("1h30m"), unix("2026-11-03T12:35:01+01:00"));
        assert_eq!(at("2w"), unix("2026-10-20T14:05:01+01:00"));
        assert_eq!(at("today"), unix("2026-11-03T00:00:00+01:00"));
        assert_eq!(at("yesterday"), unix("2026-11-02T00:00:00+01:00"));
        assert_eq!(at("09:30"), unix("2026-11-03T09:30:00+01:00"));
        assert_eq!(at("2026-10-01"), unix("2026-10-01T00:00:00+01:00"));
        assert_eq!(at("2026-10-01 08:00:05"), unix("2026-10-01T08:00:05+01:00"));
        assert_eq!(at("2026-10-01T08:00"), unix("2026-10-01T08:00:00+01:00"));
        assert_eq!(at("2026-10-01T08:00:00Z"), unix("2026-10-01T08:00:00Z"));
        for wrong in ["", "soon", "5x", "m", "25:00", "2026-13-01", "h5", "5é"] {
            assert!(at(wrong).is_err(), "{wrong}");
        }
        assert!(at("9999999999999999999d").is_err());
    }

    #[test]
    fn lengths_have_one_unit() {
        let lengths = [-5, 90, 600, 10_000, 700_000].map(length);
        assert_eq!(lengths, ["0 s", "90 s", "10 min", "2 h", "8 d"]);
    }
}
