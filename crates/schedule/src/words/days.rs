//! The days: `on weekdays`, `on the 1st and the 15th of each month`, `in June`.

use super::list::{joined, ordinal};
use crate::timespec::{Field, Fields};

const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

pub(super) struct Days {
    pub(super) text: String,
    /// Whether every day of the months that are named matches.
    pub(super) every_day: bool,
}

/// Nothing where every day of every month matches.
pub(super) fn days(fields: &Fields) -> Option<Days> {
    let Fields {
        day,
        month,
        weekday,
        ..
    } = fields;
    let months = months(month);
    let days = || format!("on {}{}", days_of_month(day), months.of);
    let within = |text: &str| format!("{text}{}", months.within);
    let every_day = if fields.either_day() {
        day.is_all() || weekday.is_all()
    } else {
        day.is_all() && weekday.is_all()
    };
    let text = if every_day {
        if month.is_all() {
            return None;
        }
        months.within.trim_start().to_owned()
    } else if fields.either_day() {
        format!("{}, and {}", days(), within(&weekdays(weekday)))
    } else if weekday.is_all() {
        days()
    } else if day.is_all() {
        within(&weekdays(weekday))
    } else {
        format!("{} if that is {}", days(), one_of(weekday))
    };
    Some(Days { text, every_day })
}

/// Behind `on`.
fn days_of_month(day: &Field) -> String {
    let values = day.values();
    if let Some((first, last)) = day.run(3) {
        return format!("the {} to the {}", ordinal(first), ordinal(last));
    }
    match day.step() {
        Some(step) if values.len() > 4 => format!("every {} day from the 1st", ordinal(step)),
        _ => {
            let days: Vec<String> = values
                .iter()
                .map(|day| format!("the {}", ordinal(*day)))
                .collect();
            joined(&days, "and")
        }
    }
}

fn weekdays(weekday: &Field) -> String {
    match (weekday.values().as_slice(), weekday.run(3)) {
        ([1, 2, 3, 4, 5], _) => "on weekdays".to_owned(),
        ([0, 6], _) => "on weekends".to_owned(),
        (_, Some((first, last))) => format!("from {} to {}", name(first), name(last)),
        (several, None) => {
            let names: Vec<String> = several
                .iter()
                .map(|day| format!("{}s", name(*day)))
                .collect();
            format!("on {}", joined(&names, "and"))
        }
    }
}

/// Behind `if that is`.
fn one_of(weekday: &Field) -> String {
    match weekday.values().as_slice() {
        [1, 2, 3, 4, 5] => "a weekday".to_owned(),
        several => {
            let names: Vec<String> = several
                .iter()
                .map(|day| format!("a {}", name(*day)))
                .collect();
            joined(&names, "or")
        }
    }
}

/// The months, with a blank before them.
struct Months {
    /// Behind days of the month.
    of: String,
    /// Behind anything else; empty where it is every month.
    within: String,
}

fn months(month: &Field) -> Months {
    let name = |month: u32| {
        let named = (1..).zip(MONTHS).find(|(number, _)| *number == month);
        named.map_or("", |(_, name)| name).to_owned()
    };
    if month.is_all() {
        return Months {
            of: " of each month".to_owned(),
            within: String::new(),
        };
    }
    if let Some((first, last)) = month.run(3) {
        let within = format!(" from {} to {}", name(first), name(last));
        return Months {
            of: format!(" of each month{within}"),
            within,
        };
    }
    let names: Vec<String> = month.values().into_iter().map(name).collect();
    let names = joined(&names, "and");
    Months {
        of: format!(" of {names}"),
        within: format!(" in {names}"),
    }
}

fn name(weekday: u32) -> &'static str {
    (0..)
        .zip(WEEKDAYS)
        .find(|(number, _)| *number == weekday)
        .map_or("", |(_, name)| name)
}
