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

/// A field: what was written, and which values match.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Field {
    /// Whether it begins with `*`: Vixie's rules ask for that, and for nothing else.
    pub(crate) star: bool,
    /// What it lists.
    pub(crate) terms: Vec<Term>,
    /// Bit n is set where n matches; Sunday is bit 0.
    bits: u64,
    /// All that may be set.
    all: u64,
}

/// What stands between two commas.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Term {
    /// `*`, or `*/step`.
    All {
        /// 1 for `*` alone.
        step: u32,
    },
    /// A number, or a name.
    One(u32),
    /// `from-to`, or `from-to/step`.
    Range {
        /// The first.
        from: u32,
        /// The last, `from` at least.
        to: u32,
        /// 1 where none is written.
        step: u32,
    },
}

impl Field {
    pub(super) fn parse(name: FieldName, text: &str) -> Result<Self, FieldError> {
        let terms = text
            .split(',')
            .map(|term| Term::parse(name, term))
            .collect::<Result<Vec<_>, _>>()?;
        let (low, high) = name.range();
        let set = |term: &Term| {
            let (from, to, step) = match *term {
                Term::All { step } => (low, high, step),
                Term::One(value) => (value, value, 1),
                Term::Range { from, to, step } => (from, to, step),
            };
            (from..=to)
                .step_by(step as usize)
                .fold(0, |bits, value| bits | 1_u64 << value)
        };
        // Both Sundays are the same day.
        let fold = |bits: u64| match name {
            FieldName::Weekday => bits & 0x7f | bits >> 7 & 1,
            _ => bits,
        };
        Ok(Self {
            star: text.starts_with('*'),
            bits: fold(terms.iter().fold(0, |bits, term| bits | set(term))),
            all: fold(set(&Term::All { step: 1 })),
            terms,
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
                let step = number(step).filter(|step| *step > 0).ok_or_else(|| {
                    wrong("has a step that is no whole number of at least 1".to_owned())
                })?;
                (values, Some(step))
            }
        };
        let value = |text: &str| value(name, text).map_err(wrong);
        match (values, values.split_once('-'), step) {
            ("*", _, step) => Ok(Self::All {
                step: step.unwrap_or(1),
            }),
            (_, Some((from, to)), step) => {
                let (from, mut to) = (value(from)?, value(to)?);
                if name == FieldName::Weekday && to == 0 && from > 0 {
                    to = 7;
                }
                if from > to {
                    return Err(wrong(format!(
                        "ends before it begins; write {from}-{},{}-{to}",
                        name.range().1,
                        name.range().0,
                    )));
                }
                Ok(Self::Range {
                    from,
                    to,
                    step: step.unwrap_or(1),
                })
            }
            (one, None, None) => value(one).map(Self::One),
            (one, None, Some(step)) => {
                let from = value(one)?;
                Err(wrong(format!(
                    "has a step behind a single value; write {from}-{}/{step}",
                    name.range().1
                )))
            }
        }
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
