//! The time of day: `at 02:30`, `every 5 minutes from 08:00 to 17:55`.

use super::list::{joined, numbers, ordinal};
use crate::timespec::{Field, Fields};

/// More times of day than this are not listed one by one.
const MOST_TIMES: usize = 6;

pub(super) struct Times {
    pub(super) text: String,
    /// Whether these are single times of the day, so that `every day` may stand before them.
    pub(super) at_points: bool,
}

pub(super) fn times(fields: &Fields) -> Times {
    let Fields {
        minute,
        hour,
        second,
        ..
    } = fields;
    if let Some(text) = points(hour, minute, second) {
        return Times {
            text,
            at_points: true,
        };
    }
    let text = match seconds(second) {
        Seconds::Start => minutes(hour, minute),
        Seconds::Every(text) if minute.is_all() && hour.is_all() => text,
        Seconds::Every(text) => format!("{text}, {}", minutes(hour, minute)),
        Seconds::At(text) => format!("{}, {text}", minutes(hour, minute)),
    };
    Times {
        text,
        at_points: false,
    }
}

/// Few times of day: all of them.
fn points(hour: &Field, minute: &Field, second: &Field) -> Option<String> {
    let (hours, minutes, seconds) = (hour.values(), minute.values(), second.values());
    if hours.len() * minutes.len() * seconds.len() > MOST_TIMES {
        return None;
    }
    if (hours.as_slice(), minutes.as_slice(), seconds.as_slice()) == (&[0], &[0], &[0]) {
        return Some("at midnight".to_owned());
    }
    let mut times = Vec::new();
    for hour in &hours {
        for minute in &minutes {
            for second in &seconds {
                times.push(if seconds == [0] {
                    format!("{hour:02}:{minute:02}")
                } else {
                    format!("{hour:02}:{minute:02}:{second:02}")
                });
            }
        }
    }
    // Four times, evenly spread: that is said shorter.
    if times.len() > 3 && minutes == [0] && seconds == [0] && every(hour, 24).is_some() {
        return None;
    }
    Some(format!("at {}", joined(&times, "and")))
}

enum Seconds {
    /// The first of each minute, of which nobody speaks.
    Start,
    Every(String),
    At(String),
}

fn seconds(second: &Field) -> Seconds {
    match second.values().as_slice() {
        [0] => Seconds::Start,
        [one] => Seconds::At(format!("at second {one}")),
        several => match every(second, 60) {
            Some(1) => Seconds::Every("every second".to_owned()),
            Some(step) => Seconds::Every(format!("every {step} seconds")),
            None => Seconds::At(format!("at seconds {}", numbers(several))),
        },
    }
}

fn minutes(hour: &Field, minute: &Field) -> String {
    let minutes = minute.values();
    let often = match every(minute, 60) {
        Some(1) => "every minute".to_owned(),
        Some(step) => format!("every {step} minutes"),
        None => match minutes.as_slice() {
            [0] => return full_hours(hour),
            [one] => return format!("at minute {one} of {}", hours(hour)),
            several => return format!("at minutes {} of {}", numbers(several), hours(hour)),
        },
    };
    let between = |from, to| {
        let last = minutes.last().unwrap_or(&59);
        format!("{often} from {from:02}:00 to {to:02}:{last:02}")
    };
    match (hour.values().as_slice(), hour.run(2)) {
        _ if hour.is_all() => often,
        ([one], _) => between(*one, *one),
        (_, Some((from, to))) => between(from, to),
        _ => format!("{often} of {}", hours(hour)),
    }
}

fn full_hours(hour: &Field) -> String {
    match (every(hour, 24), hour.run(2)) {
        (Some(1), _) => "every hour".to_owned(),
        (Some(step), _) => format!("every {step} hours"),
        (None, Some((from, to))) => format!("every hour from {from:02}:00 to {to:02}:00"),
        (None, None) => {
            let times = hour
                .values()
                .iter()
                .map(|hour| format!("{hour:02}:00"))
                .collect::<Vec<_>>();
            format!("at {}", joined(&times, "and"))
        }
    }
}

/// Behind `of`.
fn hours(hour: &Field) -> String {
    match (every(hour, 24), hour.run(3), hour.values().as_slice()) {
        (Some(1), ..) => "every hour".to_owned(),
        (Some(step), ..) => format!("every {} hour from 0 on", ordinal(step)),
        (_, Some((from, to)), _) => format!("each hour from {from} to {to}"),
        (.., [one]) => format!("hour {one}"),
        (.., several) => format!("the hours {}", numbers(several)),
    }
}

/// The step at which values follow each other all the time, also from one hour or day to the
/// next.
fn every(field: &Field, size: u32) -> Option<u32> {
    if field.is_all() {
        return Some(1);
    }
    field.step().filter(|step| size.is_multiple_of(*step))
}
