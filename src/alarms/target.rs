//! Where a message may be posted to: the public internet, and this machine while nobody else uses it.
//!
//! Whoever may register an address must not reach through us what they could not reach themselves, such as a cloud's
//! metadata service. So a name is judged by the addresses it leads to, at every call, and redirects are not followed.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// The networks beyond the public internet that may be posted to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    /// This machine.
    pub loopback: bool,
    /// Private networks, and whatever else is not the internet.
    pub private: bool,
}

/// Why an address is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It is no address.
    #[error("{0:?} is not a web address such as https://shop.example.com/hooks")]
    NotAnAddress(String),
    /// It is not encrypted.
    #[error("the address begins with https://; http:// is for this machine only")]
    NotEncrypted,
    /// It carries a password or a fragment.
    #[error("the address holds a user, a password or a fragment, which is not sent")]
    Decorated,
    /// It leads to where nothing is posted.
    #[error(
        "{0} is not on the public internet; webhooks.allow_private_networks in the server's configuration allows it"
    )]
    NotPublic(String),
}

/// Reads an address that may be posted to, as far as can be told without asking for its name.
///
/// # Errors
/// [`TargetError`]
pub fn read(text: &str, networks: Networks) -> Result<Url, TargetError> {
    let not_one = || TargetError::NotAnAddress(text.to_owned());
    let url = Url::parse(text).map_err(|_| not_one())?;
    let address = match url.host().ok_or_else(not_one)? {
        Host::Domain(name) => {
            (name == "localhost" || name.ends_with(".localhost")).then_some(IpAddr::V4(Ipv4Addr::LOCALHOST))
        }
        Host::Ipv4(address) => Some(IpAddr::V4(address)),
        Host::Ipv6(address) => Some(IpAddr::V6(address)),
    };
    match url.scheme() {
        "https" => {}
        "http" if address.is_some_and(|address| address.is_loopback()) => {}
        "http" => return Err(TargetError::NotEncrypted),
        _ => return Err(not_one()),
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(TargetError::Decorated);
    }
    match address {
        Some(address) if !networks.allow(address) => Err(TargetError::NotPublic(address.to_string())),
        _ => Ok(url),
    }
}

impl Networks {
    /// Whether this address may be posted to.
    pub fn allow(self, address: IpAddr) -> bool {
        if address.is_loopback() {
            return self.loopback || self.private;
        }
        match address {
            // Nobody lives there, whatever the configuration says.
            address if address.is_unspecified() || address.is_multicast() => false,
            IpAddr::V4(address) => self.private || is_public_v4(address),
            IpAddr::V6(address) => match embedded(address) {
                Some(inner) => self.allow(IpAddr::V4(inner)),
                None => self.private || is_public_v6(address),
            },
        }
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, translated (RFC 6052) or 6to4 (RFC 3056).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let of = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0xffff | 0] => Some(of(g, h)),
        [0x64, 0xff9b, 0, 0, 0, 0] => Some(of(g, h)),
        [0x2002, high, low, ..] => Some(of(high, low)),
        _ => None,
    }
}

/// Whether the internet leads there, by the registry of special addresses (RFC 6890).
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || a == 0
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b))
        || a >= 240)
}

/// Whether the internet leads there: global unicast (2000::/3) without what is set apart in it.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let apart = (a == 0x2001 && (b < 0x200 || b == 0xdb8)) || (a == 0x3fff && b < 0x1000);
    a & 0xe000 == 0x2000 && !apart
}

/// Asks for names and keeps only the addresses that may be posted to.
#[derive(Clone, Copy, Debug)]
pub struct Guarded(pub Networks);

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let networks = self.0;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed: Vec<_> = found.into_iter().filter(|found| networks.allow(found.ip())).collect();
            if allowed.is_empty() {
                let refused = TargetError::NotPublic(name.as_str().to_owned());
                return Err(Box::new(io::Error::new(io::ErrorKind::PermissionDenied, refused)).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERNET: Networks = Networks { loopback: false, private: false };
    const HERE: Networks = Networks { loopback: true, private: false };
    const ANY: Networks = Networks { loopback: true, private: true };

    #[test]
    fn the_internet_is_posted_to_and_what_lies_behind_us_is_not() {
        for public in ["93.184.216.34", "2606:4700::1111", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"] {
            assert!(INTERNET.allow(public.parse().unwrap()), "{public}");
        }
        for hidden in [
            "169.254.169.254",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "198.18.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "fd00:ec2::254",
            "fe80::1",
            "::",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "2001:db8::1",
        ] {
            let address: IpAddr = hidden.parse().unwrap();
            assert!(!INTERNET.allow(address) && !HERE.allow(address), "{hidden}");
        }
        assert!(ANY.allow("10.0.0.1".parse().unwrap()) && !ANY.allow("0.0.0.0".parse().unwrap()));
        for own in ["127.0.0.1", "::1", "127.8.8.8"] {
            assert!(HERE.allow(own.parse().unwrap()) && !INTERNET.allow(own.parse().unwrap()), "{own}");
        }
    }

    #[test]
    fn an_address_is_encrypted_unless_it_is_this_machines() {
        assert!(read("https://shop.example.com/hooks?k=1", INTERNET).is_ok());
        assert!(read("http://localhost:9000/hooks", HERE).is_ok());
        assert_eq!(read("http://shop.example.com/hooks", ANY), Err(TargetError::NotEncrypted));
        assert_eq!(
            read("http://127.0.0.1:9000/", INTERNET),
            Err(TargetError::NotPublic("127.0.0.1".to_owned()))
        );
        assert_eq!(
            read("https://[::ffff:169.254.169.254]/latest", HERE),
            Err(TargetError::NotPublic("::ffff:169.254.169.254".to_owned()))
        );
        // Other ways to write an address are the same address.
        assert_eq!(
            read("https://0xa9fea9fe/", HERE),
            Err(TargetError::NotPublic("169.254.169.254".to_owned()))
        );
        assert_eq!(read("https://user:pass@example.com/", ANY), Err(TargetError::Decorated));
        assert!(matches!(read("gopher://example.com", ANY), Err(TargetError::NotAnAddress(_))));
    }
}
