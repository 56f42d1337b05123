//! Records and snapshots as they are stored: a header, the payloads of the caller, a checksum and a hash.
//!
//! A record is one turn of a stream, with everything the turn decided. It carries the hash of the record before
//! it, over the bytes as they are stored, so that no record can be changed, removed or moved without the chain
//! telling. The payloads are opaque here; which encoding they have and how old shapes are read is their author's.

use uuid::Uuid;

use crate::append::StreamId;
use crate::wire::{Kind, Reader, Writer, sha256};

/// One turn of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The stream.
    pub stream: StreamId,
    /// The stream's version once this record is in it: 1 for the first.
    pub version: u64,
    /// Engine time of the turn, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What the turn belongs to, across entities.
    pub correlation: Uuid,
    /// Principal and cause, in the caller's own encoding.
    pub metadata: Vec<u8>,
    /// The key its payloads are encrypted with; none where they are not.
    pub key_id: Option<Uuid>,
    /// Hash of the record before it in the stream; zeros for the first.
    pub previous: [u8; 32],
    /// What happened, in order.
    pub events: Vec<EventBytes>,
    /// What was asked of the world, in order.
    pub activities: Vec<ActivityBytes>,
    /// The timers armed after this turn, all of them.
    pub armed: Vec<Armed>,
}

/// An event in its author's encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventBytes {
    /// Its type's name.
    pub name: String,
    /// Its type's schema version.
    pub version: u16,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// An activity in its author's encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivityBytes {
    /// The lane whose order it keeps; empty for none.
    pub lane: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// A timer that is armed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Armed {
    /// The deadline's name.
    pub name: String,
    /// Its due moment, in milliseconds since the Unix epoch.
    pub due_ms: u64,
}

/// Those of an entity's timers that must stand in the order of due moments, laid out at `at_ms`: what was due by then,
/// and the earliest after it. The others are put there by the turns that those cause.
pub fn indexed(armed: &[Armed], at_ms: u64) -> impl Iterator<Item = &Armed> {
    let next = armed.iter().filter(|timer| timer.due_ms > at_ms).min_by_key(|timer| timer.due_ms);
    armed.iter().filter(move |timer| timer.due_ms <= at_ms).chain(next)
}

/// A stream's state at one version: a cache, never the truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The stream.
    pub stream: StreamId,
    /// Revision of the state's encoding; another one means replay.
    pub state_revision: u32,
    /// The version it was taken at.
    pub version: u64,
    /// The `seq` of the last event at that version, if known, else 0.
    pub seq: u64,
    /// Hash of the record at that version.
    pub head: [u8; 32],
    /// The timers armed at that version.
    pub armed: Vec<Armed>,
    /// The state, in its author's encoding.
    pub state: Vec<u8>,
}

/// Encoded bytes and their SHA-256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The bytes to store.
    pub bytes: Vec<u8>,
    /// SHA-256 over them: the link of the chain.
    pub hash: [u8; 32],
}

/// Why stored bytes are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Written by a version of the format that this program does not know.
    #[error("unknown format {0}")]
    Format(u8),
    /// A bit has changed since it was written.
    #[error("checksum does not match")]
    Checksum,
    /// The checksum holds and the content still makes no sense.
    #[error("malformed: {0}")]
    Malformed(&'static str),
}

impl Record {
    /// The bytes to store, and their hash.
    pub fn encode(&self) -> Encoded {
        let mut writer = Writer::new(Kind::Record);
        writer.stream(&self.stream);
        writer.number(self.version);
        writer.number(self.at_ms);
        writer.raw(self.correlation.as_bytes());
        writer.option(self.key_id, |writer, id| writer.raw(id.as_bytes()));
        writer.raw(&self.previous);
        writer.bytes(&self.metadata);
        writer.number(self.events.len() as u64);
        for event in &self.events {
            writer.name(&event.name);
            writer.number(u64::from(event.version));
            writer.bytes(&event.bytes);
        }
        writer.number(self.activities.len() as u64);
        for activity in &self.activities {
            writer.name(&activity.lane);
            writer.bytes(&activity.bytes);
        }
        write_armed(&mut writer, &self.armed);
        Encoded::new(writer)
    }

    /// Reads what [`Record::encode`] wrote.
    ///
    /// # Errors
    /// [`EnvelopeError`] if the bytes are damaged or of an unknown format.
    pub fn decode(bytes: &[u8]) -> Result<Record, EnvelopeError> {
        let mut reader = Reader::open(Kind::Record, bytes)?;
        let stream = reader.stream()?;
        let version = reader.number()?;
        let at_ms = reader.number()?;
        let correlation = reader.uuid()?;
        let key_id = reader.option(Reader::uuid)?;
        let previous = reader.array()?;
        let metadata = reader.bytes()?.to_vec();
        let events = reader.list(|reader| {
            let name = reader.name()?.to_owned();
            Ok(EventBytes { name, version: reader.small()?, bytes: reader.bytes()?.to_vec() })
        })?;
        let activities = reader.list(|reader| {
            let lane = reader.name()?.to_owned();
            Ok(ActivityBytes { lane, bytes: reader.bytes()?.to_vec() })
        })?;
        let armed = read_armed(&mut reader)?;
        reader.end()?;
        Ok(Record {
            stream,
            version,
            at_ms,
            correlation,
            metadata,
            key_id,
            previous,
            events,
            activities,
            armed,
        })
    }
}

impl Snapshot {
    /// The bytes to store, and their hash.
    pub fn encode(&self) -> Encoded {
        let mut writer = Writer::new(Kind::Snapshot);
        writer.stream(&self.stream);
        writer.number(u64::from(self.state_revision));
        writer.number(self.version);
        writer.number(self.seq);
        writer.raw(&self.head);
        write_armed(&mut writer, &self.armed);
        writer.bytes(&self.state);
        Encoded::new(writer)
    }

    /// Reads what [`Snapshot::encode`] wrote.
    ///
    /// # Errors
    /// [`EnvelopeError`] if the bytes are damaged or of an unknown format.
    pub fn decode(bytes: &[u8]) -> Result<Snapshot, EnvelopeError> {
        let mut reader = Reader::open(Kind::Snapshot, bytes)?;
        let snapshot = Snapshot {
            stream: reader.stream()?,
            state_revision: reader.small()?,
            version: reader.number()?,
            seq: reader.number()?,
            head: reader.array()?,
            armed: read_armed(&mut reader)?,
            state: reader.bytes()?.to_vec(),
        };
        reader.end()?;
        Ok(snapshot)
    }
}

impl Encoded {
    fn new(writer: Writer) -> Encoded {
        let bytes = writer.seal();
        Encoded { hash: sha256(&bytes), bytes }
    }
}

fn write_armed(writer: &mut Writer, armed: &[Armed]) {
    writer.number(armed.len() as u64);
    for armed in armed {
        writer.name(&armed.name);
        writer.number(armed.due_ms);
    }
}

fn read_armed(reader: &mut Reader<'_>) -> Result<Vec<Armed>, EnvelopeError> {
    reader.list(|reader| {
        let name = reader.name()?.to_owned();
        Ok(Armed { name, due_ms: reader.number()? })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stream() -> impl Strategy<Value = StreamId> {
        ("[a-z]{0,9}", "[a-z]{1,12}", any::<u128>()).prop_map(|(tenant, kind, entity)| StreamId {
            tenant,
            kind,
            entity: Uuid::from_u128(entity),
        })
    }

    fn armed() -> impl Strategy<Value = Vec<Armed>> {
        let one = ("[a-z]{1,6}", any::<u64>()).prop_map(|(name, due_ms)| Armed { name, due_ms });
        prop::collection::vec(one, 0..4)
    }

    prop_compose! {
        fn record()(
            stream in stream(),
            (version, at_ms, correlation, key) in any::<(u64, u64, u128, Option<u128>)>(),
            previous in any::<[u8; 32]>(),
            metadata in any::<Vec<u8>>(),
            events in prop::collection::vec(("[a-c]{1,3}", any::<u16>(), any::<Vec<u8>>()), 0..5),
            activities in prop::collection::vec(("[a-c]{0,3}", any::<Vec<u8>>()), 0..4),
            armed in armed(),
        ) -> Record {
            Record {
                stream,
                version,
                at_ms,
                correlation: Uuid::from_u128(correlation),
                metadata,
                key_id: key.map(Uuid::from_u128),
                previous,
                events: events
                    .into_iter()
                    .map(|(name, version, bytes)| EventBytes { name, version, bytes })
                    .collect(),
                activities: activities.into_iter().map(|(lane, bytes)| ActivityBytes { lane, bytes }).collect(),
                armed,
            }
        }
    }

    prop_compose! {
        fn snapshot()(
            stream in stream(),
            (state_revision, version, seq) in any::<(u32, u64, u64)>(),
            head in any::<[u8; 32]>(),
            armed in armed(),
            state in any::<Vec<u8>>(),
        ) -> Snapshot {
            Snapshot { stream, state_revision, version, seq, head, armed, state }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_has_one_encoding(record in record(), snapshot in snapshot()) {
            let encoded = record.encode();
            prop_assert_eq!(Record::decode(&encoded.bytes), Ok(record));
            prop_assert_eq!(sha256(&encoded.bytes), encoded.hash);
            let encoded = snapshot.encode();
            prop_assert_eq!(Snapshot::decode(&encoded.bytes), Ok(snapshot));
        }

        #[test]
        fn any_flipped_bit_and_any_cut_is_noticed(record in record(), at in any::<prop::sample::Index>()) {
            let encoded = record.encode().bytes;
            let bit = at.index(encoded.len() * 8);
            let mut flipped = encoded.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Record::decode(&flipped), Err(EnvelopeError::Checksum));
            prop_assert!(Record::decode(&encoded[..bit / 8]).is_err());
        }

        #[test]
        fn bytes_from_anywhere_never_panic(mut bytes in any::<Vec<u8>>()) {
            let _ = Record::decode(&bytes);
            bytes.splice(..0, [1, Kind::Record as u8]);
            bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
            let _ = Record::decode(&bytes);
        }
    }

    #[test]
    fn a_name_that_comes_again_is_written_once() {
        let stream = StreamId { tenant: "default".into(), kind: "conversation".into(), entity: Uuid::nil() };
        let event = EventBytes { name: "MessageReceived".into(), version: 1, bytes: vec![] };
        let record = |events: usize| Record {
            stream: stream.clone(),
            version: 1,
            at_ms: 0,
            correlation: Uuid::nil(),
            metadata: vec![],
            key_id: None,
            previous: [0; 32],
            events: vec![event.clone(); events],
            activities: vec![],
            armed: vec![],
        };
        assert_eq!(record(2).encode().bytes.len(), record(1).encode().bytes.len() + 3);
    }

    fn due(name: &str, due_ms: u64) -> Armed {
        Armed { name: name.to_owned(), due_ms }
    }

    fn names(timers: &[Armed], at_ms: u64) -> Vec<&str> {
        indexed(timers, at_ms).map(|timer| timer.name.as_str()).collect()
    }

    #[test]
    fn the_earliest_is_found_by_its_moment_and_the_others_are_not() {
        let timers = [due("late", 30), due("soon", 10), due("later", 20)];
        assert_eq!(names(&timers, 5), ["soon"]);
        assert_eq!(names(&[], 5), [""; 0]);
    }

    #[test]
    fn what_is_overdue_is_found_beside_the_earliest_of_the_rest() {
        let timers = [due("late", 30), due("soon", 10), due("later", 20)];
        assert_eq!(names(&timers, 10), ["soon", "later"]);
        assert_eq!(names(&timers, 25), ["soon", "later", "late"]);
        assert_eq!(names(&timers, 99), ["late", "soon", "later"]);
    }
}
