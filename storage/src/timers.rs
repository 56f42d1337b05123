//! Durable timers: a promise to wake an entity at a given moment.
//!
//! A timer is armed in the commit of the turn that needs it and consumed in the commit of the turn it caused, so
//! it fires at least once and counts once. Nothing here sleeps: whoever does looks for what is due, in order.

use crate::append::{Timer, TimerKey};
use crate::damage::{Damage, ReadError};
use crate::envelope::EnvelopeError;
use crate::journal::Journal;
use crate::keys;
use crate::wire::{Kind, Reader, Writer};

impl Journal {
    /// The armed timers that fire up to and including `up_to_ms` (milliseconds since the Unix epoch), in due
    /// order, at most `limit` of them, after `after`.
    ///
    /// # Errors
    /// [`ReadError`] if the engine cannot read or a timer is damaged.
    pub fn timers(
        &self,
        after: Option<&TimerKey>,
        up_to_ms: u64,
        limit: usize,
    ) -> Result<Vec<Timer>, ReadError> {
        self.due(&self.fronts().timers, after.map(keys::timer), up_to_ms, limit, decode_pair)
    }

    /// One timer, if it is armed.
    ///
    /// # Errors
    /// [`ReadError`] if the engine cannot read or the timer is damaged.
    pub fn timer(&self, key: &TimerKey) -> Result<Option<Timer>, ReadError> {
        let place = keys::timer(key);
        self.store().get(&place)?.map(|value| decode_pair(&place, &value)).transpose()
    }
}

fn decode_pair(key: &[u8], value: &[u8]) -> Result<Timer, ReadError> {
    let timer = keys::read_timer(key).ok_or_else(|| Damage::at(key, "not a timer's key"))?;
    decode(timer, value).map_err(|error| ReadError::undecodable(key, error))
}

/// What of a timer is not in its key.
pub(crate) fn encode(timer: &Timer) -> Vec<u8> {
    let mut writer = Writer::new(Kind::Timer);
    writer.number(timer.due_ms);
    writer.number(u64::from(timer.stuck));
    writer.seal()
}

pub(crate) fn decode(key: TimerKey, bytes: &[u8]) -> Result<Timer, EnvelopeError> {
    let mut reader = Reader::open(Kind::Timer, bytes)?;
    let timer = Timer { key, due_ms: reader.number()?, stuck: reader.small()? };
    reader.end()?;
    Ok(timer)
}
