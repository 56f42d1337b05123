//! What a customer's record says of how to treat them, as far as a conversation must know.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    message::{Address, Channel},
    quiet_hours::QuietHours,
    words::SlaTier,
};

/// How to treat a customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// What their contract promises.
    pub tier: SlaTier,
    /// The time zone they live in, where they stated one.
    pub timezone: Option<String>,
    /// When they do not want to be written to.
    pub quiet_hours: Option<QuietHours>,
    /// The channel they like best.
    pub preferred: Option<Channel>,
    /// Channels they do not want to be written to by.
    pub denied: BTreeSet<Channel>,
    /// Every address of theirs, the best first.
    pub addresses: Vec<Address>,
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            tier: SlaTier::Standard,
            timezone: None,
            quiet_hours: None,
            preferred: None,
            denied: BTreeSet::new(),
            addresses: Vec::new(),
        }
    }
}
