//! Which of an entity's armed timers can be found by their moment.
//!
//! A record says every timer that is armed. The store's order of due moments has a key only for those that must be
//! found next: what is overdue, and the earliest of the rest. When that one fires, its turn puts the next one there.
//! So an entity that waits for ten things costs one key, and its turns move one key instead of ten.
//!
//! What was put there and is no longer wanted costs nothing but a firing that is dropped, so a key too many never
//! matters; a key too few would be a promise forgotten. Every function here leans to the safe side.

use std::collections::BTreeMap;

pub(crate) use throughline_storage::envelope::indexed;

use throughline_storage::{
    append::{StreamId, Timer, TimerKey},
    envelope::Armed,
    journal::{Journal, ReadError},
};
use throughline_workflows::workflow::Workflow;

/// Keys of the order of due moments that are read at once.
const PAGE: usize = 512;

/// The timers that a state asks for.
pub(crate) fn wanted<W: Workflow>(state: &W::State) -> Vec<Armed> {
    W::deadlines(state)
        .iter()
        .map(|(deadline, due)| Armed { name: deadline.to_string(), due_ms: due.as_millis() })
        .collect()
}

/// Where a timer stands while it is not stuck.
pub(crate) fn key(stream: &StreamId, armed: &Armed) -> TimerKey {
    TimerKey { fire_at_ms: armed.due_ms, stream: stream.clone(), name: armed.name.clone() }
}

/// A timer as it is armed for the first time.
pub(crate) fn timer(stream: &StreamId, armed: &Armed) -> Timer {
    Timer { key: key(stream, armed), due_ms: armed.due_ms, stuck: 0 }
}

/// Every timer of an entity, as its last record says.
pub(crate) fn of(journal: &Journal, stream: &StreamId) -> Result<Vec<Armed>, ReadError> {
    match journal.records(stream, ..).next_back() {
        Some(stored) => Ok(stored?.decode()?.armed),
        None => Ok(Vec::new()),
    }
}

/// Timers that fire up to `up_to_ms`, in the order in which they fire, at most `limit` of them: those in the store's
/// order, and the others of the same entities.
pub(crate) fn listed(journal: &Journal, up_to_ms: u64, limit: usize) -> Result<Vec<Timer>, ReadError> {
    let mut found: BTreeMap<(StreamId, String, u64), Timer> = BTreeMap::new();
    let mut after: Option<TimerKey> = None;
    loop {
        let page = journal.timers(after.as_ref(), up_to_ms, PAGE)?;
        let Some(last) = page.last().map(|timer| timer.key.clone()) else { break };
        for timer in page {
            let stream = timer.key.stream.clone();
            for other in of(journal, &stream)?.iter().filter(|other| other.due_ms <= up_to_ms) {
                let place = (stream.clone(), other.name.clone(), other.due_ms);
                found.entry(place).or_insert_with(|| self::timer(&stream, other));
            }
            // How it stands in the order is the truth: a stuck one fires later than it is due.
            found.insert((stream, timer.key.name.clone(), timer.due_ms), timer);
        }
        // What is further on in the order fires later, and so does all else of its entities.
        if found.values().filter(|timer| timer.key.fire_at_ms <= last.fire_at_ms).count() >= limit {
            break;
        }
        after = Some(last);
    }
    let mut timers: Vec<_> = found.into_values().collect();
    timers.sort_by(|a, b| a.key.cmp(&b.key));
    timers.truncate(limit);
    Ok(timers)
}
