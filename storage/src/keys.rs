//! Where everything stands: one ordered keyspace, the first byte of a key says which part of it.
//!
//! | first byte | then | holds |
//! | --- | --- | --- |
//! | `r` | tenant, kind, entity, version | records |
//! | `s` | tenant, kind, entity | snapshots |
//! | `c` | tenant, space, key | permanent claims |
//! | `w` | tenant, week, space, key | periodic claims |
//! | `h` | tenant, kind, entity, lane | held lanes |
//! | `b` | tenant, `/`, the rest of its name | blobs that are named |
//! | `p` | tenant, view, revision, … | rows of projections |
//! | `g` | name | settings and marks of the engine above |
//! | `f` | first seq | feed groups |
//! | `t` | moment, tenant, kind, entity, name | timers that are found by their moment |
//! | `a` | moment, tenant, kind, entity, version, index | pending activities |
//! | `i` | number | inbox entries |
//! | `d` | id | dead letters |
//! | `m` | name | the journal's own marks |
//!
//! What belongs to one tenant has the tenant first, so that erasing a tenant removes ranges; what is worked
//! through in an order has the order first. Numbers are big-endian, texts end with a NUL byte, and so keys sort
//! as their parts do.

use std::ops::Bound;

use uuid::Uuid;

use crate::append::{ActivityKey, ClaimKey, ClaimLifetime, LaneKey, PendingKey, StreamId, TimerKey};

pub(crate) const RECORDS: u8 = b'r';
pub(crate) const SNAPSHOTS: u8 = b's';
pub(crate) const CLAIMS: u8 = b'c';
pub(crate) const PERIODIC_CLAIMS: u8 = b'w';
pub(crate) const HOLDS: u8 = b'h';
pub(crate) const BLOBS: u8 = b'b';
pub(crate) const ROWS: u8 = b'p';
pub(crate) const SETTINGS: u8 = b'g';
pub(crate) const FEED: u8 = b'f';
pub(crate) const TIMERS: u8 = b't';
pub(crate) const ACTIVITIES: u8 = b'a';
pub(crate) const INBOX: u8 = b'i';
pub(crate) const DEAD_LETTERS: u8 = b'd';
pub(crate) const MARKS: u8 = b'm';

/// Every part of the keyspace with its name, in key order.
pub(crate) const PARTS: &[(u8, &str)] = &[
    (ACTIVITIES, "activities"),
    (BLOBS, "blobs"),
    (CLAIMS, "claims"),
    (DEAD_LETTERS, "dead_letters"),
    (FEED, "feed"),
    (SETTINGS, "settings"),
    (HOLDS, "holds"),
    (INBOX, "inbox"),
    (MARKS, "marks"),
    (ROWS, "rows"),
    (RECORDS, "records"),
    (SNAPSHOTS, "snapshots"),
    (TIMERS, "timers"),
    (PERIODIC_CLAIMS, "periodic_claims"),
];

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const WEEK_MS: u64 = 7 * DAY_MS;

/// The longest key a claim may have, in bytes.
pub const CLAIM_KEY_MAX: usize = 1024;

/// The key of a setting or mark of the engine above, for [`crate::append::RowChange`].
///
/// # Panics
/// If the name contains a NUL byte.
pub fn setting(name: &str) -> Vec<u8> {
    Key::new(SETTINGS).text(name).done()
}

/// Where the rows of one revision of a projection stand for one tenant: what follows is the projection's own.
///
/// # Panics
/// If tenant or view contain a NUL byte.
pub fn row(tenant: &str, view: &str, revision: u16) -> Vec<u8> {
    Key::new(ROWS).text(tenant).text(view).raw(&revision.to_be_bytes()).done()
}

/// What the keys of all rows of a tenant begin with.
pub(crate) fn rows_of_tenant(tenant: &str) -> Vec<u8> {
    Key::new(ROWS).text(tenant).done()
}

/// The first key after all that begin with `prefix`: the open end of its range.
///
/// # Panics
/// If no key can come after: a prefix of nothing but 0xff bytes, which none of ours is.
pub fn after_prefix(mut prefix: Vec<u8>) -> Vec<u8> {
    while let Some(last) = prefix.pop() {
        if last < u8::MAX {
            prefix.push(last + 1);
            return prefix;
        }
    }
    panic!("a prefix begins with the letter of its part of the keyspace");
}

/// Whether a caller may write the key as a row of its own.
pub(crate) fn is_row(key: &[u8]) -> bool {
    matches!(key.first(), Some(&(ROWS | SETTINGS)))
}

/// The bounds of all keys that begin with `prefix`.
pub(crate) fn within(prefix: &[u8]) -> (Vec<u8>, Vec<u8>) {
    (prefix.to_vec(), after_prefix(prefix.to_vec()))
}

/// Borrowed bounds of a half-open range.
pub(crate) fn half_open<'a>(from: &'a [u8], to: &'a [u8]) -> (Bound<&'a [u8]>, Bound<&'a [u8]>) {
    (Bound::Included(from), Bound::Excluded(to))
}

/// What the keys of a stream's records begin with; the version follows.
pub(crate) fn records(stream: &StreamId) -> Vec<u8> {
    Key::new(RECORDS).stream(stream).done()
}

/// What the keys of all records of one kind begin with; entity and version follow.
pub(crate) fn records_of_kind(tenant: &str, kind: &str) -> Vec<u8> {
    Key::new(RECORDS).text(tenant).text(kind).done()
}

pub(crate) fn record(stream: &StreamId, version: u64) -> Vec<u8> {
    Key::new(RECORDS).stream(stream).number(version).done()
}

/// The stream and version of a record's key.
pub(crate) fn read_record(key: &[u8]) -> Option<(StreamId, u64)> {
    let mut parts = Parts::of(RECORDS, key)?;
    let stream = parts.stream()?;
    let version = parts.number()?;
    parts.0.is_empty().then_some((stream, version))
}

/// The stream of a snapshot's key.
pub(crate) fn read_snapshot(key: &[u8]) -> Option<StreamId> {
    let mut parts = Parts::of(SNAPSHOTS, key)?;
    let stream = parts.stream()?;
    parts.0.is_empty().then_some(stream)
}

/// The lane of a hold's key.
pub(crate) fn read_hold(key: &[u8]) -> Option<LaneKey> {
    let mut parts = Parts::of(HOLDS, key)?;
    let stream = parts.stream()?;
    Some(LaneKey { stream, lane: String::from_utf8(parts.0.to_vec()).ok()? })
}

/// The name of a setting's or a mark's key.
pub(crate) fn read_name(key: &[u8]) -> Option<&str> {
    let mut parts = Parts(key.get(1..)?);
    let name = parts.text()?;
    parts.0.is_empty().then_some(name)
}

/// What the key of a row begins with up to its view's revision, and what follows.
pub(crate) fn read_row(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut parts = Parts::of(ROWS, key)?;
    parts.text()?;
    parts.text()?;
    let (_revision, rest) = parts.0.split_first_chunk::<2>()?;
    Some((&key[..key.len() - rest.len()], rest))
}

/// The name of a key's part of the keyspace; none for a key in no part of it.
pub(crate) fn part_name(key: &[u8]) -> Option<&'static str> {
    PARTS.iter().find(|(part, _)| key.first() == Some(part)).map(|(_, name)| *name)
}

/// The version at the end of a record's key.
pub(crate) fn record_version(key: &[u8]) -> Option<u64> {
    key.last_chunk().map(|version| u64::from_be_bytes(*version))
}

pub(crate) fn snapshot(stream: &StreamId) -> Vec<u8> {
    Key::new(SNAPSHOTS).stream(stream).done()
}

/// Where a claim is written, and where else it may be found, for [`claim_places`]: a periodic one under the week
/// before. On the last day of a week it may also stand under the next: who fixed their moment before the week's end
/// can reach the committer behind someone who fixed theirs after it.
pub(crate) fn claim(claim: &ClaimKey) -> (Vec<u8>, Vec<Vec<u8>>) {
    assert!(claim.key.len() <= CLAIM_KEY_MAX, "a claim's key is at most {CLAIM_KEY_MAX} bytes");
    match claim.lifetime {
        ClaimLifetime::Permanent => {
            (Key::new(CLAIMS).text(&claim.tenant).text(&claim.space).raw(&claim.key).done(), Vec::new())
        }
        ClaimLifetime::Periodic { at_ms } => {
            let under = |week: u32| {
                let weeks = periodic_claims(&claim.tenant, week);
                Key(weeks).text(&claim.space).raw(&claim.key).done()
            };
            let this = week(at_ms);
            let is_last_day = at_ms % WEEK_MS >= WEEK_MS - DAY_MS;
            let next = is_last_day.then(|| this.checked_add(1)).flatten();
            (under(this), next.into_iter().chain(this.checked_sub(1)).map(under).collect())
        }
    }
}

/// The keys under which a claim may be found, newest first: an earlier one is hidden by a later one.
pub(crate) fn claim_places<'a>(key: &'a [u8], elsewhere: &'a [Vec<u8>]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = std::iter::once(key).chain(elsewhere.iter().map(Vec::as_slice)).collect();
    places.sort_unstable_by(|a, b| b.cmp(a)); // They differ in nothing but the week.
    places
}

/// What the keys of a tenant's periodic claims of one week begin with.
pub(crate) fn periodic_claims(tenant: &str, week: u32) -> Vec<u8> {
    Key::new(PERIODIC_CLAIMS).text(tenant).raw(&week.to_be_bytes()).done()
}

/// What the keys of all periodic claims of a tenant begin with.
pub(crate) fn claims_of_tenant(tenant: &str) -> Vec<u8> {
    Key::new(PERIODIC_CLAIMS).text(tenant).done()
}

/// The week since the epoch that a moment is in.
pub(crate) fn week(at_ms: u64) -> u32 {
    u32::try_from(at_ms / WEEK_MS).unwrap_or(u32::MAX)
}

pub(crate) fn pending(item: &PendingKey) -> Vec<u8> {
    match item {
        PendingKey::Inbox(number) => inbox(*number),
        PendingKey::Activity(key) => activity(key),
        PendingKey::Timer(key) => timer(key),
        PendingKey::DeadLetter(id) => dead_letter(*id),
    }
}

pub(crate) fn feed(first_seq: u64) -> Vec<u8> {
    Key::new(FEED).number(first_seq).done()
}

pub(crate) fn read_feed(key: &[u8]) -> Option<u64> {
    let mut parts = Parts::of(FEED, key)?;
    let first_seq = parts.number()?;
    parts.0.is_empty().then_some(first_seq)
}

pub(crate) fn timer(timer: &TimerKey) -> Vec<u8> {
    Key::new(TIMERS).number(timer.fire_at_ms).stream(&timer.stream).raw(timer.name.as_bytes()).done()
}

pub(crate) fn read_timer(key: &[u8]) -> Option<TimerKey> {
    let mut parts = Parts::of(TIMERS, key)?;
    let fire_at_ms = parts.number()?;
    let stream = parts.stream()?;
    let name = String::from_utf8(parts.0.to_vec()).ok()?;
    Some(TimerKey { fire_at_ms, stream, name })
}

pub(crate) fn activity(key: &ActivityKey) -> Vec<u8> {
    let (version, index) = (key.version, key.index.to_be_bytes());
    Key::new(ACTIVITIES).number(key.ready_at_ms).stream(&key.stream).number(version).raw(&index).done()
}

pub(crate) fn read_activity(key: &[u8]) -> Option<ActivityKey> {
    let mut parts = Parts::of(ACTIVITIES, key)?;
    let ready_at_ms = parts.number()?;
    let stream = parts.stream()?;
    let version = parts.number()?;
    let index = u32::from_be_bytes(parts.0.try_into().ok()?);
    Some(ActivityKey { ready_at_ms, stream, version, index })
}

pub(crate) fn hold(lane: &LaneKey) -> Vec<u8> {
    Key::new(HOLDS).stream(&lane.stream).raw(lane.lane.as_bytes()).done()
}

pub(crate) fn inbox(number: u64) -> Vec<u8> {
    Key::new(INBOX).number(number).done()
}

pub(crate) fn read_inbox(key: &[u8]) -> Option<u64> {
    let mut parts = Parts::of(INBOX, key)?;
    let number = parts.number()?;
    parts.0.is_empty().then_some(number)
}

pub(crate) fn dead_letter(id: Uuid) -> Vec<u8> {
    Key::new(DEAD_LETTERS).raw(id.as_bytes()).done()
}

pub(crate) fn blob(name: &str) -> Vec<u8> {
    Key::new(BLOBS).raw(name.as_bytes()).done()
}

pub(crate) fn mark(name: &str) -> Vec<u8> {
    Key::new(MARKS).text(name).done()
}

/// The tenant of a key that has the tenant first.
pub(crate) fn tenant(key: &[u8]) -> Option<&str> {
    Parts(key.get(1..)?).text()
}

/// A key under construction.
struct Key(Vec<u8>);

impl Key {
    fn new(part: u8) -> Key {
        Key(vec![part])
    }

    fn text(mut self, text: &str) -> Key {
        // A NUL inside would let one tenant's key fall into another's range.
        assert!(!text.contains('\0'), "tenants, kinds, spaces and names of keys contain no NUL byte");
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
        self
    }

    fn number(self, number: u64) -> Key {
        self.raw(&number.to_be_bytes())
    }

    fn stream(self, stream: &StreamId) -> Key {
        self.text(&stream.tenant).text(&stream.kind).raw(stream.entity.as_bytes())
    }

    fn raw(mut self, bytes: &[u8]) -> Key {
        self.0.extend_from_slice(bytes);
        self
    }

    fn done(self) -> Vec<u8> {
        self.0
    }
}

/// What is still unread of a key.
struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    fn of(part: u8, key: &'a [u8]) -> Option<Parts<'a>> {
        let (first, rest) = key.split_first()?;
        (*first == part).then_some(Parts(rest))
    }

    fn text(&mut self) -> Option<&'a str> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let (text, rest) = self.0.split_at(end);
        self.0 = &rest[1..];
        std::str::from_utf8(text).ok()
    }

    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*number))
    }

    fn stream(&mut self) -> Option<StreamId> {
        let tenant = self.text()?.to_owned();
        let kind = self.text()?.to_owned();
        let (entity, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(StreamId { tenant, kind, entity: Uuid::from_bytes(*entity) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stream() -> impl Strategy<Value = StreamId> {
        ("[a-c]{0,3}", "[a-c]{0,3}", 0..4_u128).prop_map(|(tenant, kind, entity)| StreamId {
            tenant,
            kind,
            entity: Uuid::from_u128(entity << 120 | entity),
        })
    }

    prop_compose! {
        fn timer_key()(fire_at_ms in 0..3_u64, stream in stream(), name in "[a-c]{0,2}") -> TimerKey {
            TimerKey { fire_at_ms, stream, name }
        }
    }

    prop_compose! {
        fn activity_key()(
            ready_at_ms in 0..3_u64, stream in stream(), version in 0..300_u64, index in 0..3_u32,
        ) -> ActivityKey {
            ActivityKey { ready_at_ms, stream, version, index }
        }
    }

    proptest! {
        #[test]
        fn keys_sort_as_what_they_stand_for(a in timer_key(), b in timer_key()) {
            prop_assert_eq!(timer(&a).cmp(&timer(&b)), a.cmp(&b));
            prop_assert_eq!(read_timer(&timer(&a)), Some(a));
        }

        #[test]
        fn activities_sort_by_moment_then_entity_then_order(a in activity_key(), b in activity_key()) {
            prop_assert_eq!(activity(&a).cmp(&activity(&b)), a.cmp(&b));
            prop_assert_eq!(read_activity(&activity(&a)), Some(a));
        }

        #[test]
        fn no_stream_s_records_fall_among_another_s(a in stream(), b in stream(), version in any::<u64>()) {
            let (from, to) = within(&records(&a));
            let key = record(&b, version);
            prop_assert_eq!((from..to).contains(&key), a == b);
            prop_assert_eq!(record_version(&key), Some(version));
        }

        #[test]
        fn bytes_from_anywhere_are_read_or_refused(bytes in any::<Vec<u8>>()) {
            for part in [TIMERS, ACTIVITIES, INBOX] {
                let key = [&[part][..], &bytes].concat();
                let _ = (read_timer(&key), read_activity(&key), read_inbox(&key), tenant(&key));
            }
        }
    }

    #[test]
    fn the_parts_stand_in_key_order_and_have_names_of_their_own() {
        assert!(PARTS.is_sorted_by(|(a, _), (b, _)| a < b));
        let names: std::collections::BTreeSet<_> = PARTS.iter().map(|(_, name)| name).collect();
        assert_eq!(names.len(), PARTS.len());
    }

    #[test]
    #[should_panic(expected = "no NUL byte")]
    fn a_tenant_with_a_nul_is_refused() {
        setting("a\0b");
    }

    #[test]
    fn the_end_of_a_prefix_skips_bytes_that_cannot_grow() {
        assert_eq!(after_prefix(vec![b'a', 0xff, 0xff]), vec![b'b']);
        assert_eq!(after_prefix(vec![b'a', 7]), vec![b'a', 8]);
    }
}
