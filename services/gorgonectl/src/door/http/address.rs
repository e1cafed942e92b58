//! Where an HTTP door is.

use std::fmt;

use hyper::Uri;
use hyper::http::uri::Scheme;

/// `http[s]://host[:port][/prefix]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Address {
    pub(super) tls: bool,
    /// A name or an address, IPv6 without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// As in the header `Host`.
    pub(super) authority: String,
    /// What a reverse proxy has before `/api`; empty, or with a slash before and none behind.
    prefix: String,
}

impl Address {
    /// Reads the address as it is written in `--server`.
    ///
    /// # Errors
    /// A sentence that says what is wrong and how to write it.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("'{url}' {why}; write https://HOST:PORT");
        let uri: Uri = url.parse().map_err(|_| wrong("is no address"))?;
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(wrong("is neither http:// nor https://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("has no host"))?;
        if authority.as_str().contains('@') {
            // Not shown: it may be a password.
            return Err(
                "holds a user or a password, which everybody on this machine can read; \
                 write https://HOST:PORT, and use --login and --password-file"
                    .to_owned(),
            );
        }
        if uri.query().is_some() {
            return Err(wrong("has a query"));
        }
        let host = authority.host();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if bare.is_empty() {
            return Err(wrong("has no host"));
        }
        // What follows the host is a port, and is one.
        if authority.port().is_none() && authority.as_str() != host {
            return Err(wrong("has a port that is none"));
        }
        let port = authority.port_u16();
        if authority.port().is_some() && port.is_none() {
            return Err(wrong("has a port that is none"));
        }
        Ok(Self {
            tls,
            host: bare.to_owned(),
            port: port.unwrap_or(if tls { 443 } else { 80 }),
            authority: authority.to_string(),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// A path of the API, with what stands before it.
    pub(super) fn path(&self, path: &str) -> String {
        format!("{}/api/{path}", self.prefix)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        let read = |url: &str| {
            let address = Address::parse(url).unwrap();
            (
                address.tls,
                address.host.clone(),
                address.port,
                address.path("log"),
            )
        };
        let host = || "host".to_owned();
        assert_eq!(read("http://host"), (false, host(), 80, "/api/log".into()));
        assert_eq!(
            read("https://host/"),
            (true, host(), 443, "/api/log".into())
        );
        assert_eq!(
            read("https://host:8443/behind/"),
            (true, host(), 8443, "/behind/api/log".into())
        );
        assert_eq!(
            read("http://[::1]:8085"),
            (false, "::1".to_owned(), 8085, "/api/log".into())
        );
    }

    #[test]
    fn what_is_no_address_says_how_to_write_one() {
        for (url, why) in [
            ("http://", "is no address"),
            ("http://host:port", "port that is none"),
            ("http://host:99999", "port that is none"),
            ("http://host?x=y", "has a query"),
            ("http://me:secret@host", "use --login"),
            ("tcp://host:1", "is neither http:// nor https://"),
        ] {
            let said = Address::parse(url).unwrap_err();
            assert!(
                said.contains(why) && said.contains("https://HOST:PORT"),
                "{said}"
            );
        }
    }
}
