//! What a customer has said of being written to, channel by channel.
//!
//! Of a channel of which nothing was said, nothing is recorded: it may be used. A channel that is denied is never
//! chosen by the engine, and it stays denied until the customer, or a person for them, says otherwise.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{message::Channel, record::Rejection, time::Timestamp, words::words};

/// The most channels whose consent is kept: the whole customer must fit a row of a list.
const CHANNELS_MAX: usize = 50;

/// The longest source, in characters.
const SOURCE_MAX: usize = 100;

words! {
    /// Whether a customer may be written to.
    ConsentState, "a state of consent" {
        /// They may.
        Granted = "granted",
        /// They may not.
        Denied = "denied",
    }
}

/// What a customer last said of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// Whether they may be written to by it.
    pub state: ConsentState,
    /// Since when.
    pub at: Timestamp,
    /// How we know, for example `api` or `stop keyword`.
    pub source: String,
}

/// What a customer says of a channel now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentChange {
    /// Whether they may be written to by it.
    pub state: ConsentState,
    /// How we know, for example `api` or `stop keyword`.
    pub source: String,
}

/// The changes in the form they are kept in.
///
/// # Errors
/// [`Rejection::Invalid`] for a source that is empty, too long or of several lines.
pub(super) fn checked(
    changes: &BTreeMap<Channel, ConsentChange>,
) -> Result<BTreeMap<Channel, ConsentChange>, Rejection> {
    let checked = changes.iter().map(|(channel, change)| {
        let source = change.source.trim();
        let fits =
            (1..=SOURCE_MAX).contains(&source.chars().count()) && !source.chars().any(char::is_control);
        if !fits {
            let allowed = format!("given with a source of 1 to {SOURCE_MAX} characters on one line");
            return Err(Rejection::invalid("consent", allowed));
        }
        Ok((channel.clone(), ConsentChange { state: change.state, source: source.to_owned() }))
    });
    checked.collect()
}

/// Those of the changes that say something else than what is known.
///
/// # Errors
/// [`Rejection::Invalid`] if there would be too many channels.
pub(super) fn against(
    changes: &BTreeMap<Channel, ConsentChange>,
    known: &BTreeMap<Channel, Consent>,
) -> Result<BTreeMap<Channel, ConsentChange>, Rejection> {
    let mut changes = changes.clone();
    changes.retain(|channel, change| known.get(channel).is_none_or(|known| known.state != change.state));
    let new = changes.keys().filter(|channel| !known.contains_key(channel)).count();
    if known.len() + new > CHANNELS_MAX {
        return Err(Rejection::invalid("consent", format!("given for at most {CHANNELS_MAX} channels")));
    }
    Ok(changes)
}
