//! What can be wrong with what is on disk, and where.

use std::fmt;

use crate::append::StreamId;
use crate::envelope::EnvelopeError;
use crate::keys;
use crate::store::StoreError;

/// Something stored that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct Damage {
    /// Where.
    pub place: Place,
    /// What is wrong with it.
    pub reason: String,
}

/// Where damage was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A record, by its stream and version.
    Record {
        /// Its stream.
        stream: StreamId,
        /// Its version.
        version: u64,
    },
    /// A group of the feed, by the `seq` of its first event.
    FeedGroup {
        /// The `seq` of its first event.
        first_seq: u64,
    },
    /// Anything else, by its key.
    Key(Vec<u8>),
}

/// Why something could not be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The engine could not read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It could, and found something else than was written.
    #[error("damaged {0}")]
    Damaged(#[from] Damage),
}

impl Damage {
    /// Damage to the value of `key`.
    pub(crate) fn at(key: &[u8], reason: impl ToString) -> Damage {
        Damage { place: Place::Key(key.to_vec()), reason: reason.to_string() }
    }

    /// Damage to a record.
    pub(crate) fn to_record(stream: &StreamId, version: u64, reason: impl ToString) -> Damage {
        Damage { place: Place::Record { stream: stream.clone(), version }, reason: reason.to_string() }
    }

    /// Damage to a group of the feed.
    pub(crate) fn to_group(first_seq: u64, reason: impl ToString) -> Damage {
        Damage { place: Place::FeedGroup { first_seq }, reason: reason.to_string() }
    }
}

impl ReadError {
    /// A value that cannot be decoded.
    pub(crate) fn undecodable(key: &[u8], error: EnvelopeError) -> ReadError {
        ReadError::Damaged(Damage::at(key, error))
    }

    /// As damage to report, whichever it is.
    pub(crate) fn into_damage(self, place: Place) -> Damage {
        match self {
            ReadError::Damaged(damage) => damage,
            ReadError::Store(error) => Damage { place, reason: error.to_string() },
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Record { stream: StreamId { tenant, kind, entity }, version } => {
                write!(f, "record {version} of {kind} {entity} of tenant {tenant}")
            }
            Place::FeedGroup { first_seq } => write!(f, "feed group at seq {first_seq}"),
            Place::Key(key) => match keys::part_name(key) {
                Some(part) => write!(f, "{part}, value of {}", key.escape_ascii()),
                None => write!(f, "value of {}", key.escape_ascii()),
            },
        }
    }
}
