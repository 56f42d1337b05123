//! Idempotency keys: the same key gives the same answer and one effect.
//!
//! The answer is kept as a claim, written in the commit of the effect itself, for at least a week.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use throughline_storage::{
    append::{ClaimKey, ClaimLifetime, StreamId},
    codec,
    journal::Journal,
};
use throughline_workflows::ids::TenantId;
use uuid::Uuid;

use crate::order::{Idempotency, Receipt, Refusal, refusal_of};

/// Space of the claims that idempotency keys take.
pub(crate) const IDEMPOTENCY_SPACE: &str = "idempotency";

/// What an idempotency claim keeps.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeptAnswer {
    pub(crate) fingerprint: [u8; 32],
    pub(crate) stream: (String, String, Uuid),
    pub(crate) version: u64,
    pub(crate) answer: String,
}

/// The claim of an idempotency key. Keys are hashed, since a caller may make them long.
pub(crate) fn claim(tenant: &TenantId, key: &str, at_ms: u64) -> ClaimKey {
    ClaimKey {
        tenant: tenant.to_string(),
        space: IDEMPOTENCY_SPACE.to_owned(),
        key: Sha256::digest(key.as_bytes()).to_vec(),
        lifetime: ClaimLifetime::Periodic { at_ms },
    }
}

/// The answer kept under an idempotency key, once it is durable.
pub(crate) async fn kept_answer(
    journal: &Journal,
    key: &ClaimKey,
    idempotency: &Idempotency,
) -> Result<Option<Receipt>, Refusal> {
    let Some(kept) = journal.claim(key).map_err(|error| Refusal::Damaged(error.to_string()))? else {
        return Ok(None);
    };
    let kept: KeptAnswer = codec::decode(&kept).map_err(|error| Refusal::Damaged(error.to_string()))?;
    journal.barrier().await.map_err(refusal_of)?;
    if kept.fingerprint != idempotency.fingerprint {
        return Err(Refusal::KeyReused);
    }
    let (tenant, kind, entity) = kept.stream;
    let stream = StreamId { tenant, kind, entity };
    let record =
        journal.record(&stream, kept.version).map_err(|error| Refusal::Damaged(error.to_string()))?;
    let seq = match record {
        Some(stored) => {
            let events = stored.decode().map_err(|error| Refusal::Damaged(error.to_string()))?.events.len();
            (stored.first_seq + events as u64).saturating_sub(1)
        }
        None => 0,
    };
    Ok(Some(Receipt { version: kept.version, seq, repeated: Some(kept.answer) }))
}
