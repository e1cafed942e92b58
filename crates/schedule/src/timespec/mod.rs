//! A timespec: five fields and perhaps a sixth, or a nickname.
//!
//! ```text
//! minute  hour  day-of-month  month  day-of-week  [second]
//! 0-59    0-23  1-31          1-12   0-7          0-59
//! ```
//! A field is a list of `*`, `a` and `a-b`, the first and the last with a step behind `/`.
//! Months and days of the week have names of three letters in any case; 0 and 7 are Sunday. Seconds
//! stand last, where Schedule::Cron has them, and are 0 where they are absent.
//!
//! **Days.** Vixie's rule: where the day of the month and the day of the week are both
//! restricted, a day needs to match only one of them. A field is restricted unless it *begins
//! with* `*`, so `*/2` is not, as in Vixie's and Debian's cron: `0 0 */2 * mon` means the
//! Mondays on odd days. (Schedule::Cron and croniter take `*/2` for restricted.)
//!
//! **Summer time.** Also Vixie's rule, said in [`clock`].
//!
//! croner walks the calendar. Its own grammar is not used: it takes `1MON` for 11 and `1,,2`
//! for a list, has the seconds first, and knows signs (`L`, `W`, `#`, `+`, `?`) that no cron
//! knows. Neither are its rules for summer time: it takes a job for one with a fixed time only
//! if it has one hour and one minute, so that `0 2,14 * * *` would lose a run in spring, and
//! `0,30 2 * * *` would run twice in autumn.

mod clock;
mod error;
mod field;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use croner::{Cron, CronComponent};
use jiff::civil::DateTime;

use crate::words;
use crate::zone::Zone;

pub use error::{FieldError, TimespecError};
pub(crate) use field::Field;
pub use field::FieldName;

/// When something is due, by the clock on the wall.
#[derive(Clone)]
pub struct Timespec {
    text: String,
    fields: Fields,
    calendar: Arc<Cron>,
    never: bool,
}

/// The six fields.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fields {
    pub(crate) minute: Field,
    pub(crate) hour: Field,
    pub(crate) day: Field,
    pub(crate) month: Field,
    pub(crate) weekday: Field,
    pub(crate) second: Field,
}

/// The nicknames and what they stand for.
const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// Nothing is due later.
const LAST_YEAR: u16 = 2199;

/// Longest timespec that is looked at, in bytes.
const MAX_BYTES: usize = 1024;

impl Timespec {
    /// Reads a timespec.
    ///
    /// # Errors
    /// With the field and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, TimespecError> {
        if text.len() > MAX_BYTES {
            return Err(TimespecError::TooLong(text.len()));
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        let text = words.join(" ");
        let fields = match words.as_slice() {
            [] => return Err(TimespecError::Empty),
            [nickname] if nickname.starts_with('@') => {
                Fields::parse(&expand(nickname)?.split_whitespace().collect::<Vec<_>>())?
            }
            words => Fields::parse(words)?,
        };
        let calendar = fields
            .calendar()
            .map_err(|error| TimespecError::Calendar(error.to_string()))?;
        Ok(Self {
            text,
            never: fields.never(),
            fields,
            calendar: Arc::new(calendar),
        })
    }

    /// The first instant after `after` at which it is due in that zone, both in seconds since
    /// 1970. `None` when there is none: 30 February, or none before the year 2200.
    #[must_use]
    pub fn next(&self, after: i64, zone: &Zone) -> Option<i64> {
        if self.never {
            return None;
        }
        clock::next(self, after, zone.rules())
    }

    /// All instants after `after`, in order.
    #[must_use]
    pub const fn after<'a>(&'a self, after: i64, zone: &'a Zone) -> Instants<'a> {
        Instants {
            timespec: self,
            zone,
            after: Some(after),
        }
    }

    /// What it means, in English: `every 5 minutes on weekdays`.
    #[must_use]
    pub fn words(&self) -> String {
        words::timespec(self)
    }

    /// The timespec as it was written, with single blanks.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) const fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Whether no day of any year matches.
    pub(crate) const fn is_never(&self) -> bool {
        self.never
    }

    /// Vixie's distinction: a job whose minute or hour begins with `*` goes by elapsed time,
    /// any other has its times of day.
    const fn goes_by_elapsed_time(&self) -> bool {
        self.fields.minute.star || self.fields.hour.star
    }

    /// The first reading of the wall's clock that matches, from `from` on.
    fn next_reading(&self, from: DateTime) -> Option<DateTime> {
        self.calendar.find_next_occurrence(&from, true).ok()
    }
}

fn expand(nickname: &str) -> Result<&'static str, TimespecError> {
    let lower = nickname.to_ascii_lowercase();
    if lower == "@reboot" {
        return Err(TimespecError::Reboot);
    }
    NICKNAMES
        .iter()
        .find(|(name, _)| *name == lower)
        .map(|(_, fields)| *fields)
        .ok_or_else(|| TimespecError::nickname(nickname, NICKNAMES.iter().map(|(name, _)| *name)))
}

impl Fields {
    fn parse(words: &[&str]) -> Result<Self, TimespecError> {
        let (five, second) = match words {
            [five @ .., second] if five.len() == 5 => (five, *second),
            five if five.len() == 5 => (five, "0"),
            other => return Err(TimespecError::Fields(other.len())),
        };
        let field = |name: FieldName, text: &str| Field::parse(name, text);
        Ok(Self {
            minute: field(FieldName::Minute, five[0])?,
            hour: field(FieldName::Hour, five[1])?,
            day: field(FieldName::Day, five[2])?,
            month: field(FieldName::Month, five[3])?,
            weekday: field(FieldName::Weekday, five[4])?,
            second: field(FieldName::Second, second)?,
        })
    }

    /// Whether a day that matches either of the day's two fields is enough.
    pub(crate) const fn either_day(&self) -> bool {
        !self.day.star && !self.weekday.star
    }

    /// The same for croner, written out so far that nothing is left to interpret.
    fn calendar(&self) -> Result<Cron, CronError> {
        let text = [
            &self.second,
            &self.minute,
            &self.hour,
            &self.day,
            &self.month,
            &self.weekday,
        ]
        .map(Field::written_out)
        .join(" ");
        let mut calendar = CronParser::builder()
            .seconds(Seconds::Required)
            .year(Year::Disallowed)
            .dom_and_dow(!self.either_day())
            .build()
            .parse(&text)?;
        // A byte for each year, of each job.
        let mut years = CronComponent::new(1, LAST_YEAR, 0, 0);
        years.parse("*")?;
        calendar.pattern.years = years;
        Ok(calendar)
    }

    /// Whether no day matches. Where one exists at all, its every day of the week comes
    /// within 40 years, since even 29 February falls on each of them.
    fn never(&self) -> bool {
        const LONGEST: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let exists = (1..=12)
            .zip(LONGEST)
            .any(|(month, days)| self.month.has(month) && (1..=days).any(|day| self.day.has(day)));
        !exists && !self.either_day()
    }
}

impl FromStr for Timespec {
    type Err = TimespecError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Timespec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Timespec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timespec({})", self.text)
    }
}

/// Two are equal when they are written alike.
impl PartialEq for Timespec {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Timespec {}

/// The instants of [`Timespec::after`].
#[derive(Clone, Debug)]
pub struct Instants<'a> {
    timespec: &'a Timespec,
    zone: &'a Zone,
    after: Option<i64>,
}

impl Iterator for Instants<'_> {
    type Item = i64;

    fn next(&mut self) -> Option<i64> {
        self.after = self.timespec.next(self.after?, self.zone);
        self.after
    }
}
