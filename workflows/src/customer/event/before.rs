//! Shapes that events had once. Records hold them for ever, so they are read for ever.

use serde::{Deserialize, Deserializer, de::Error as _};

use super::Event;
use crate::{customer::profile::CustomerPatch, message::Channel, time::Timestamp, words::SlaTier};

/// `profile_changed` of version 1. The variants before it count the place at which it was stored.
#[derive(Deserialize)]
enum V1 {
    Registered,
    IdentityAdded,
    IdentityVerified,
    ProfileChanged { at: Timestamp, change: Box<PatchV1> },
}

/// A change of a profile that knew neither quiet hours nor consent.
#[derive(Deserialize)]
struct PatchV1 {
    name: Option<String>,
    company: Option<String>,
    metadata: Option<String>,
    sla_tier: Option<SlaTier>,
    tags_add: Vec<String>,
    tags_remove: Vec<String>,
    channel: Option<Channel>,
    language: Option<String>,
    timezone: Option<String>,
}

/// `profile_changed` of version 1, which changed nothing of what came later.
pub(super) fn profile_changed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Event, D::Error> {
    match V1::deserialize(deserializer)? {
        V1::ProfileChanged { at, change } => {
            let PatchV1 {
                name,
                company,
                metadata,
                sla_tier,
                tags_add,
                tags_remove,
                channel,
                language,
                timezone,
            } = *change;
            let change = CustomerPatch {
                name,
                company,
                metadata,
                sla_tier,
                tags_add,
                tags_remove,
                channel: channel.map(Some),
                language,
                timezone,
                ..CustomerPatch::default()
            };
            Ok(Event::ProfileChanged { at, change: Box::new(change) })
        }
        V1::Registered | V1::IdentityAdded | V1::IdentityVerified => {
            Err(D::Error::custom("another event stands where a profile_changed should"))
        }
    }
}
