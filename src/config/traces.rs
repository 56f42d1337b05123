//! `[traces]`: where the traces of what happens to each message are sent.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, de};

use super::{secret::Secret, web_url::WebUrl};

/// `[traces]`: whether, where and how many traces are sent, by OTLP over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Traces {
    /// The collector's address for traces; none sends nothing.
    pub endpoint: Option<WebUrl>,
    /// The name under which this server's spans are found.
    pub service_name: String,
    /// Which part of all traces is sent.
    pub ratio: Ratio,
    /// Headers of every request to the collector, such as `authorization`.
    pub headers: BTreeMap<String, Secret>,
}

impl Default for Traces {
    fn default() -> Self {
        Self {
            endpoint: None,
            service_name: "throughline".to_owned(),
            ratio: Ratio::ALL,
            headers: BTreeMap::new(),
        }
    }
}

/// A part of all, from none to all of them, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio(u16);

impl Ratio {
    /// All of them.
    pub const ALL: Self = Self(1000);

    /// The part in thousandths, 0 to 1000.
    pub const fn thousandths(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (f64::from(self.0) / 1000.0).fmt(f)
    }
}

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let part = f64::deserialize(deserializer)?;
        let thousandths = (part * 1000.0).round();
        if (0.0..=1000.0).contains(&thousandths) {
            // In range, so nothing is cut off.
            return Ok(Self(thousandths as u16));
        }
        Err(de::Error::custom(format!("{part} is not a part from 0 to 1 such as 0.1")))
    }
}
