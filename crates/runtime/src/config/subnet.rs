//! Networks from which somebody may connect.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network such as `10.0.0.0/8`, or a single address. IPv4 addresses that are written as
/// IPv6 ones (`::ffff:10.1.2.3`) count as what they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subnet {
    /// Its first address: the bits behind the prefix are 0.
    network: IpAddr,
    /// How many leading bits are the network's.
    prefix: u8,
}

impl Subnet {
    /// Reads `address/prefix`, or an address alone.
    ///
    /// # Errors
    /// A sentence that begins with the text and says how to write it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("'{text}' is no network; write 10.0.0.0/8, 2001:db8::/32 or an address");
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().map_err(|_| wrong())?;
        let written_bits = width(address);
        let mut prefix = match prefix {
            Some(prefix) => prefix.trim().parse::<u8>().map_err(|_| wrong())?,
            None => written_bits,
        };
        let canonical = address.to_canonical();
        if prefix > written_bits {
            return Err(wrong());
        }
        if width(canonical) < written_bits {
            // `::ffff:10.0.0.0/104` is `10.0.0.0/8`.
            prefix = prefix.checked_sub(96).ok_or_else(wrong)?;
        }
        Ok(Self {
            network: mask(canonical, prefix),
            prefix,
        })
    }

    /// Whether an address is of this network.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.network.is_ipv4() && mask(address, self.prefix) == self.network
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn mask(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}
