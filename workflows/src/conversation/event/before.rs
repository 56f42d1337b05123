//! Shapes that events had once. Records hold them for ever, so they are read for ever.

use serde::{Deserialize, Deserializer, de::Error as _};

use super::{Event, Purpose, WhyChannel};
use crate::{message::Outbound, time::Timestamp, workflow::By};

/// `message_queued` of version 1. The variants before it count the place at which it was stored.
#[derive(Deserialize)]
enum V1 {
    Opened,
    CustomerKnown,
    MessageReceived,
    MessageQueued { at: Timestamp, by: By, message: Box<Outbound>, why: WhyChannel },
}

/// `message_queued` of version 1, which did not say what a message was for.
pub(super) fn message_queued<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Event, D::Error> {
    match V1::deserialize(deserializer)? {
        V1::MessageQueued { at, by, message, why } => {
            // The machine had one thing to say then.
            let purpose = if message.automatic { Purpose::Acknowledgement } else { Purpose::Reply };
            let (replaces, promises, fallback_at) = (None, None, None);
            Ok(Event::MessageQueued { at, by, message, why, purpose, replaces, promises, fallback_at })
        }
        V1::Opened | V1::CustomerKnown | V1::MessageReceived => {
            Err(D::Error::custom("another event stands where a message_queued should"))
        }
    }
}
