//! Pending activities: what the world still has to be asked, in due order, and the lanes that wait.
//!
//! What an activity asks for stands in the record that asked; here is only that it is owed, when it is tried
//! next and how it went so far. A try that must come later moves the activity to its new moment and may hold its
//! lane, so that what comes after it does not overtake.

use crate::append::{ActivityKey, LaneHold, LaneKey, PendingActivity};
use crate::damage::{Damage, ReadError};
use crate::envelope::EnvelopeError;
use crate::journal::Journal;
use crate::keys;
use crate::wire::{Kind, Reader, Writer};

impl Journal {
    /// The pending activities that are ready up to and including `up_to_ms` (milliseconds since the Unix epoch),
    /// in due order, at most `limit` of them, after `after`. Those in held lanes are among them.
    ///
    /// # Errors
    /// [`ReadError`] if the engine cannot read or an activity is damaged.
    pub fn activities(
        &self,
        after: Option<&ActivityKey>,
        up_to_ms: u64,
        limit: usize,
    ) -> Result<Vec<PendingActivity>, ReadError> {
        self.due(&self.fronts().activities, after.map(keys::activity), up_to_ms, limit, decode_pair)
    }

    /// One activity, if it is still pending at that moment.
    ///
    /// # Errors
    /// [`ReadError`] if the engine cannot read or the activity is damaged.
    pub fn activity(&self, key: &ActivityKey) -> Result<Option<PendingActivity>, ReadError> {
        let place = keys::activity(key);
        self.store().get(&place)?.map(|value| decode_pair(&place, &value)).transpose()
    }

    /// What holds a lane, if anything does.
    ///
    /// # Errors
    /// [`ReadError`] if the engine cannot read or the hold is damaged.
    pub fn hold(&self, lane: &LaneKey) -> Result<Option<LaneHold>, ReadError> {
        let key = keys::hold(lane);
        let Some(value) = self.store().get(&key)? else { return Ok(None) };
        decode_hold(lane.clone(), &value).map(Some).map_err(|error| ReadError::undecodable(&key, error))
    }
}

fn decode_pair(key: &[u8], value: &[u8]) -> Result<PendingActivity, ReadError> {
    let activity = keys::read_activity(key).ok_or_else(|| Damage::at(key, "not an activity's key"))?;
    decode(activity, value).map_err(|error| ReadError::undecodable(key, error))
}

/// What of a pending activity is not in its key. One without the mark of a try has the form of the first day.
pub(crate) fn encode(activity: &PendingActivity) -> Vec<u8> {
    let begun = activity.begun_at_ms;
    let mut writer = Writer::new(if begun.is_some() { Kind::BegunActivity } else { Kind::Activity });
    writer.bytes(activity.lane.as_bytes());
    writer.number(u64::from(activity.attempts));
    writer.number(activity.asked_at_ms);
    writer.option(activity.last_error.as_deref(), |writer, error| writer.bytes(error.as_bytes()));
    writer.option(activity.edited.as_deref(), Writer::bytes);
    if let Some(begun) = begun {
        writer.number(begun);
    }
    writer.seal()
}

pub(crate) fn decode(key: ActivityKey, bytes: &[u8]) -> Result<PendingActivity, EnvelopeError> {
    // A flipped bit here is found by the checksum, whichever form is tried.
    let begun = bytes.get(1) == Some(&(Kind::BegunActivity as u8));
    let mut reader = Reader::open(if begun { Kind::BegunActivity } else { Kind::Activity }, bytes)?;
    let activity = PendingActivity {
        key,
        lane: reader.text()?.to_owned(),
        attempts: reader.small()?,
        asked_at_ms: reader.number()?,
        last_error: reader.option(|reader| Ok(reader.text()?.to_owned()))?,
        edited: reader.option(|reader| Ok(reader.bytes()?.to_vec()))?,
        begun_at_ms: begun.then(|| reader.number()).transpose()?,
    };
    reader.end()?;
    Ok(activity)
}

/// What of a held lane is not in its key. The activity may be another entity's only in theory, and is kept whole.
pub(crate) fn encode_hold(hold: &LaneHold) -> Vec<u8> {
    let mut writer = Writer::new(Kind::LaneHold);
    let ActivityKey { ready_at_ms, stream, version, index } = &hold.held_by;
    writer.number(*ready_at_ms);
    writer.stream(stream);
    writer.number(*version);
    writer.number(u64::from(*index));
    writer.seal()
}

pub(crate) fn decode_hold(key: LaneKey, bytes: &[u8]) -> Result<LaneHold, EnvelopeError> {
    let mut reader = Reader::open(Kind::LaneHold, bytes)?;
    let held_by = ActivityKey {
        ready_at_ms: reader.number()?,
        stream: reader.stream()?,
        version: reader.number()?,
        index: reader.small()?,
    };
    reader.end()?;
    Ok(LaneHold { key, held_by })
}
