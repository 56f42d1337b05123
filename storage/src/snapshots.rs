//! Snapshots: a stream's state at one version, so that a long stream is not replayed from its beginning.
//!
//! A snapshot is a cache. One that is damaged or not understood is passed over and the stream replayed; no record
//! is ever dropped because a snapshot exists.

use crate::append::StreamId;
use crate::damage::ReadError;
use crate::envelope::Snapshot;
use crate::journal::Journal;
use crate::keys;

impl Journal {
    /// The stream's snapshot, if there is a sound one. Whether its state revision is still of use is for the
    /// caller to say.
    ///
    /// # Errors
    /// [`ReadError::Store`] if the engine cannot read.
    pub fn snapshot(&self, stream: &StreamId) -> Result<Option<Snapshot>, ReadError> {
        let Some(bytes) = self.store().get(&keys::snapshot(stream))? else { return Ok(None) };
        match Snapshot::decode(&bytes) {
            Ok(snapshot) if snapshot.stream == *stream => Ok(Some(snapshot)),
            Ok(_) => {
                passed_over(stream, "it is another stream's");
                Ok(None)
            }
            Err(error) => {
                passed_over(stream, &error.to_string());
                Ok(None)
            }
        }
    }
}

fn passed_over(stream: &StreamId, reason: &str) {
    let StreamId { tenant, kind, entity } = stream;
    tracing::warn!(
        tenant.id = %tenant,
        stream.kind = %kind,
        stream.id = %entity,
        reason,
        "a snapshot is damaged, and the stream is replayed instead"
    );
}
