//! Web addresses as an operator writes them.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Deserializer, de};
use url::{Host, Url};

/// An `http` or `https` address, kept to the letter: some providers sign the very text they were given.
#[derive(Clone, PartialEq, Eq)]
pub struct WebUrl {
    text: String,
    url: Url,
}

impl WebUrl {
    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// This address with `path` (which begins with `/`) behind it.
    pub fn with_path(&self, path: &str) -> String {
        format!("{}{path}", self.text.trim_end_matches('/'))
    }

    /// Whether it leads to this machine only: `localhost` or a loopback number.
    pub fn is_loopback(&self) -> bool {
        match self.url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
            Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
            None => false,
        }
    }

    /// Whether there is a query or a fragment, with which no path can be added.
    pub(super) fn has_tail(&self) -> bool {
        self.url.query().is_some() || self.url.fragment().is_some()
    }
}

impl fmt::Debug for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl fmt::Display for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why a text is not a web address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a web address such as https://care.example.com")]
pub struct WebUrlError(String);

impl FromStr for WebUrl {
    type Err = WebUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
                Ok(Self { text: text.to_owned(), url })
            }
            Ok(_) | Err(_) => Err(WebUrlError(text.to_owned())),
        }
    }
}

impl<'de> Deserialize<'de> for WebUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
