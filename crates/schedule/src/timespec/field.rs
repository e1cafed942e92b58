//! One field of a timespec.

use std::fmt;

use super::error::FieldError;

/// Which field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FieldName {
    /// 0-59.
    Minute,
    /// 0-23.
    Hour,
    /// Of the month: 1-31.
    Day,
    /// 1-12, or its name.
    Month,
    /// 0-7, or its name; 0 and 7 are Sunday.
    Weekday,
    /// 0-59.
    Second,
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl FieldName {
    /// The smallest and the largest number that may be written.
    #[must_use]
    pub const fn range(self) -> (u32, u32) {
        match self {
            Self::Minute | Self::Second => (0, 59),
            Self::Hour => (0, 23),
            Self::Day => (1, 31),
            Self::Month => (1, 12),
            Self::Weekday => (0, 7),
        }
    }

    /// The names that stand for numbers, and the number of the first.
    const fn names(self) -> (&'static [&'static str], u32) {
        match self {
            Self::Month => (&MONTHS, 1),
            Self::Weekday => (&WEEKDAYS, 0),
            Self::Minute | Self::Hour | Self::Day | Self::Second => (&[], 0),
        }
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day of month",
            Self::Month => "month",
            Self::Weekday => "day of week",
            Self::Second => "second",
        })
    }
}

/// A field: which values match.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Field {
    /// Whether it begins with `*`: Vixie's rules ask for that, and for nothing else that was
    /// written.
    pub(crate) star: bool,
    /// Bit n is set where n matches; Sunday is bit 0.
    bits: u64,
    /// All that may be set.
    all: u64,
}

/// What stands between two commas: every `step`th value of a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Term {
    from: u32,
    to: u32,
    step: u32,
}

impl Field {
    pub(super) fn parse(name: FieldName, text: &str) -> Result<Self, FieldError> {
        let mut bits = 0;
        for term in text.split(',') {
            bits |= Term::parse(name, term)?.bits();
        }
        let (from, to) = name.range();
        let all = Term { from, to, step: 1 }.bits();
        // Both Sundays are the same day.
        let fold = |bits: u64| match name {
            FieldName::Weekday => bits & 0x7f | bits >> 7 & 1,
            _ => bits,
        };
        Ok(Self {
            star: text.starts_with('*'),
            bits: fold(bits),
            all: fold(all),
        })
    }

    pub(crate) const fn has(&self, value: u32) -> bool {
        self.bits >> value & 1 == 1
    }

    /// Whether every value matches.
    pub(crate) const fn is_all(&self) -> bool {
        self.bits == self.all
    }

    /// The values that match, in order.
    pub(crate) fn values(&self) -> Vec<u32> {
        (0..60).filter(|value| self.has(*value)).collect()
    }

    /// The step at which its values follow each other from the first that there is to the
    /// last, if it is more than 1.
    pub(crate) fn step(&self) -> Option<u32> {
        let values = self.values();
        let [first, second, ..] = values.as_slice() else {
            return None;
        };
        let step = second - first;
        let even = values.windows(2).all(|pair| pair[1] - pair[0] == step);
        let whole = *first == self.all.trailing_zeros()
            && values.last()? + step > 63 - self.all.leading_zeros();
        (step > 1 && even && whole).then_some(step)
    }

    /// The first and the last, where all between them match and there are at least so many.
    pub(crate) fn run(&self, least: u32) -> Option<(u32, u32)> {
        let values = self.values();
        let (first, last) = (*values.first()?, *values.last()?);
        let count = self.bits.count_ones();
        (count >= least && last - first + 1 == count).then_some((first, last))
    }

    /// As a list of numbers; `*` only where it stands for the whole field.
    pub(super) fn written_out(&self) -> String {
        if self.star && self.is_all() {
            return "*".to_owned();
        }
        let values: Vec<String> = self.values().iter().map(u32::to_string).collect();
        values.join(",")
    }
}

impl Term {
    fn parse(name: FieldName, text: &str) -> Result<Self, FieldError> {
        let wrong = |reason| FieldError {
            field: name,
            text: text.to_owned(),
            reason,
        };
        if text.is_empty() {
            return Err(wrong("is empty: there is a comma too many".to_owned()));
        }
        let (values, step) = match text.split_once('/') {
            None => (text, None),
            Some((values, step)) => {
                let step = number(step).filter(|step| *step > 0);
                let missing = "has a step that is no whole number of at least 1";
                (values, Some(step.ok_or_else(|| wrong(missing.to_owned()))?))
            }
        };
        let (low, high) = name.range();
        let value = |text: &str| value(name, text).map_err(wrong);
        let (from, to) = match values.split_once('-') {
            None if values == "*" => (low, high),
            Some((from, to)) => match (value(from)?, value(to)?) {
                // fri-sun
                (from, 0) if name == FieldName::Weekday && from > 0 => (from, 7),
                bounds => bounds,
            },
            None => match (value(values)?, step) {
                (one, None) => (one, one),
                (one, Some(step)) => {
                    let mend =
                        format!("has a step behind a single value; write {one}-{high}/{step}");
                    return Err(wrong(mend));
                }
            },
        };
        if from > to {
            let mend = format!("ends before it begins; write {from}-{high},{low}-{to}");
            return Err(wrong(mend));
        }
        Ok(Self {
            from,
            to,
            step: step.unwrap_or(1),
        })
    }

    fn bits(self) -> u64 {
        (self.from..=self.to)
            .step_by(self.step as usize)
            .fold(0, |bits, value| bits | 1 << value)
    }
}

fn value(name: FieldName, text: &str) -> Result<u32, String> {
    let (low, high) = name.range();
    if let Some(number) = number(text) {
        return if (low..=high).contains(&number) {
            Ok(number)
        } else {
            Err(format!("is not within {low}-{high}"))
        };
    }
    let (names, first) = name.names();
    let lower = text.to_ascii_lowercase();
    (first..)
        .zip(names)
        .find(|(_, name)| **name == lower)
        .map(|(number, _)| number)
        .ok_or_else(|| match names {
            [] => format!("is no number from {low} to {high}"),
            [one, .., last] => {
                format!("is neither a number from {low} to {high} nor a name from {one} to {last}")
            }
            [_] => String::new(),
        })
}

/// Digits alone: no sign, and short enough to be meant.
fn number(text: &str) -> Option<u32> {
    let digits = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}
