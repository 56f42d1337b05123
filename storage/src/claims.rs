//! Unique keys with an owner: what makes an address belong to one customer and a message count once.
//!
//! They are checked and taken by the committer ([`crate::append::ClaimRequest`]). A periodic claim stands under
//! the week it was made in and is found in that week and the next, and on the last day of the week before; older
//! weeks are swept away.

use crate::append::{ClaimKey, CommitError};
use crate::damage::{Damage, ReadError};
use crate::envelope::EnvelopeError;
use crate::journal::Journal;
use crate::keys;
use crate::store::{Store, StoreError};
use crate::wire::{Kind, Reader, Writer};

/// Keys removed in one commit of a sweep: few enough that a webhook waiting behind it does not notice.
pub(crate) const SWEEP_STEP: usize = 256;

impl Journal {
    /// Who owns a key: their bytes, or none where it is free. A periodic claim is looked for in the week of its
    /// moment and the week before, and on the last day of a week in the next.
    ///
    /// # Errors
    /// [`ReadError`] if the engine cannot read or the claim is damaged.
    pub fn claim(&self, key: &ClaimKey) -> Result<Option<Vec<u8>>, ReadError> {
        let (key, elsewhere) = keys::claim(key);
        for place in keys::claim_places(&key, &elsewhere) {
            if let Some(value) = self.store().get(place)? {
                return decode(&value).map(Some).map_err(|error| ReadError::undecodable(place, error));
            }
        }
        Ok(None)
    }

    /// Removes the periodic claims that no check looks for any more: those of weeks before the last one. Answers
    /// how many they were. They go in small commits, so that nothing waits long behind them; a sweep that is cut
    /// short is simply done again.
    ///
    /// # Errors
    /// [`CommitError::Failed`] if the store fails.
    pub async fn sweep_claims(&self, now_ms: u64) -> Result<u64, CommitError> {
        let Some(last_week) = keys::week(now_ms).checked_sub(1) else { return Ok(0) };
        let mut swept = 0;
        let mut after = vec![keys::PERIODIC_CLAIMS];
        while let Some(tenant) = next_tenant(self.store(), &after).map_err(failed)? {
            let from = keys::periodic_claims(&tenant, 0);
            let to = keys::periodic_claims(&tenant, last_week);
            swept += self.remove_range(&from, &to).await?;
            after = keys::after_prefix(keys::claims_of_tenant(&tenant));
        }
        Ok(swept)
    }

    /// Removes every key of a half-open range, a few in each commit, and answers how many they were.
    pub(crate) async fn remove_range(&self, from: &[u8], to: &[u8]) -> Result<u64, CommitError> {
        let mut removed = 0;
        loop {
            let (low, high) = keys::half_open(from, to);
            let step: Result<Vec<_>, _> =
                self.store().range(low, high).take(SWEEP_STEP).map(|pair| pair.map(|(key, _)| key)).collect();
            let step = step.map_err(|error| CommitError::Failed(error.to_string()))?;
            if step.is_empty() {
                return Ok(removed);
            }
            removed += step.len() as u64;
            self.remove(step).await?;
        }
    }
}

fn failed(error: ReadError) -> CommitError {
    CommitError::Failed(error.to_string())
}

/// The tenant of the first key at or after `from` in the same part of the keyspace.
pub(crate) fn next_tenant(store: &dyn Store, from: &[u8]) -> Result<Option<String>, ReadError> {
    let end = keys::after_prefix(from[..1].to_vec());
    let (low, high) = keys::half_open(from, &end);
    let Some(pair) = store.range(low, high).next() else { return Ok(None) };
    let (key, _) = pair?;
    let tenant = keys::tenant(&key).ok_or_else(|| Damage::at(&key, "a key without its tenant"))?;
    Ok(Some(tenant.to_owned()))
}

/// An owner as it is stored.
pub(crate) fn encode(owner: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new(Kind::Claim);
    writer.bytes(owner);
    writer.seal()
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    let mut reader = Reader::open(Kind::Claim, bytes)?;
    let owner = reader.bytes()?.to_vec();
    reader.end()?;
    Ok(owner)
}

/// The committer cannot go on from a claim it cannot read: an owner might lose what is theirs.
pub(crate) fn decode_or_fail(key: &[u8], bytes: &[u8]) -> Result<Vec<u8>, StoreError> {
    decode(bytes).map_err(|error| StoreError::Damaged(Damage::at(key, error).to_string()))
}
