//! The door for the fuzzer: what the runtime itself keeps in the journal, read from hostile bytes.
//!
//! Inbox entries, records' metadata, kept answers and letters are written by one version of the program and read by
//! the next. They are encoded by the codec, which notices neither a flipped bit nor another type; that each reads
//! only what it would have written is shown here.

use serde::{Serialize, de::DeserializeOwned};
use throughline_storage::codec;
use throughline_workflows::ids::TenantId;

use crate::{
    dead_letters::{ActivityLetter, StoredWebhook},
    idempotency::{self, KeptAnswer},
    intake::InboxItem,
    rehydrate::RecordMeta,
    relay::Checkpoint,
    reports,
    settle::KeptClock,
    sweep::Swept,
    upkeep::Rearmed,
};

/// Reads `bytes` as everything that the runtime keeps.
///
/// # Panics
/// If something that was read and written does not read the same.
pub fn kept(bytes: &[u8]) {
    same::<InboxItem>(bytes);
    same::<RecordMeta>(bytes);
    same::<KeptAnswer>(bytes);
    same::<ActivityLetter>(bytes);
    same::<KeptClock>(bytes);
    same::<StoredWebhook>(bytes);
    same::<Checkpoint>(bytes);
    same::<Swept>(bytes);
    same::<Rearmed>(bytes);
    if let Ok((correlation, report)) = reports::decode(bytes) {
        let written = reports::encode(&report, correlation);
        assert_eq!(reports::decode(&written), Ok((correlation, report)));
    }
}

/// Makes the claim of an idempotency key out of any text.
///
/// # Panics
/// If the claim's key depends on anything but the text, or is longer than a claim may be.
pub fn idempotency_key(text: &str, at_ms: u64) {
    let tenant = TenantId::default_tenant();
    let claim = idempotency::claim(&tenant, text, at_ms);
    assert_eq!(claim.key, idempotency::claim(&tenant, text, at_ms.saturating_add(1)).key);
    assert!(claim.key.len() <= throughline_storage::keys::CLAIM_KEY_MAX);
    assert_ne!(claim.key, idempotency::claim(&tenant, &format!("{text} "), at_ms).key);
}

/// What is read is written in a form that is read the same. Not always in the same bytes: a moment beyond what a
/// calendar holds is read as the last that it holds.
fn same<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    if let Ok(read) = codec::decode::<T>(bytes) {
        let written = codec::encode(&read);
        let again = codec::decode::<T>(&written).expect("what was written is read");
        assert_eq!(codec::encode(&again), written);
    }
}
