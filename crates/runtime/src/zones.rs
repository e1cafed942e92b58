//! The machine's time zones.

use std::ffi::OsString;

use gorgone_schedule::Zones;
use jiff::tz::TimeZone;

/// A zone of the machine that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the variable TZ is {0:?}, which is no time zone; mend it, or name a zone here")]
pub struct UnknownMachineZone(OsString);

/// The zones of `/usr/share/zoneinfo`, or those that are compiled in where there are none; and
/// the machine's own, as `TZ` or `/etc/localtime` says. UTC where neither is there.
///
/// # Errors
/// When `TZ` is there and makes no sense.
pub fn machine_zones() -> Result<Zones, UnknownMachineZone> {
    let local = match (TimeZone::try_system(), std::env::var_os("TZ")) {
        (Ok(local), _) => local,
        (Err(_), None) => TimeZone::UTC,
        (Err(_), Some(name)) => return Err(UnknownMachineZone(name)),
    };
    Ok(Zones::new(jiff::tz::db().clone(), local))
}
