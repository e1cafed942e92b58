//! Time zones. Their rules change by law from year to year, so they are read from the
//! machine by whoever starts, and handed in here.

use std::fmt;

use gorgone_protocol::near_miss;
use jiff::tz::{TimeZone, TimeZoneDatabase};

/// The time zones that jobs may name, and the machine's own.
#[derive(Clone, Debug)]
pub struct Zones {
    database: TimeZoneDatabase,
    local: Zone,
}

/// A time zone: its rules, and what people call it.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

/// A name that no time zone has.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("'{name}' is no time zone{}", hint(.near))]
pub struct UnknownZone {
    /// The name.
    pub name: String,
    /// One that is much like it.
    pub near: Option<String>,
}

fn hint(near: &Option<String>) -> String {
    near.as_ref().map_or_else(
        || "; write one such as Europe/Paris or UTC".to_owned(),
        |near| format!("; did you mean '{near}'?"),
    )
}

impl Zones {
    /// Zones out of a database, and the one that jobs have which name none.
    #[must_use]
    pub fn new(database: TimeZoneDatabase, local: TimeZone) -> Self {
        Self {
            database,
            local: Zone::new(local),
        }
    }

    /// The zones that are compiled in; the local one is UTC.
    #[must_use]
    pub fn bundled() -> Self {
        Self::new(TimeZoneDatabase::bundled(), TimeZone::UTC)
    }

    /// The same zones, with another for jobs that name none.
    #[must_use]
    pub fn with_local(self, local: Zone) -> Self {
        Self { local, ..self }
    }

    /// The zone of jobs that name none.
    #[must_use]
    pub const fn local(&self) -> &Zone {
        &self.local
    }

    /// The zone of that name, in any case.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&self, name: &str) -> Result<Zone, UnknownZone> {
        self.database.get(name).map(Zone::new).map_err(|_| {
            let names: Vec<String> = self
                .database
                .available()
                .map(|name| name.to_string())
                .collect();
            UnknownZone {
                name: name.to_owned(),
                near: near_miss(name, names.iter().map(String::as_str)).map(str::to_owned),
            }
        })
    }
}

/// Two are equal when jobs that name no zone have the same one; the others are the world's.
impl PartialEq for Zones {
    fn eq(&self, other: &Self) -> bool {
        self.local == other.local
    }
}

impl Zone {
    fn new(rules: TimeZone) -> Self {
        let name = rules.iana_name().unwrap_or("local time").to_owned();
        Self { name, rules }
    }

    /// Its name in the database of time zones, or `local time` where it has none.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its rules.
    #[must_use]
    pub const fn rules(&self) -> &TimeZone {
        &self.rules
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({})", self.name)
    }
}
