//! `metrics_address` and `metrics_port`: where a service tells how it is. The same two keys in the
//! section of each service.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::section::Section;

/// Reads both keys. Port 0 is none.
pub(super) fn read(section: &Section<'_>, default: u16) -> Option<SocketAddr> {
    let address = section
        .parsed("metrics_address", address)
        .unwrap_or(Ipv4Addr::LOCALHOST.into());
    let port = port(section, "metrics_port", default);
    (port != 0).then(|| SocketAddr::new(address, port))
}

/// An address of an interface, in any of its spellings.
pub(super) fn address(text: &str) -> Result<IpAddr, String> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    match text {
        "*" => Ok(Ipv4Addr::UNSPECIFIED.into()),
        "localhost" => Ok(Ipv4Addr::LOCALHOST.into()),
        _ => bare.parse().map_err(|_| {
            format!("'{text}' is no address; write 127.0.0.1, 0.0.0.0 for every interface, or ::")
        }),
    }
}

/// A port, or 0.
pub(super) fn port(section: &Section<'_>, key: &str, default: u16) -> u16 {
    u16::try_from(section.number(key, u64::from(default), 0..=65_535)).unwrap_or(default)
}
