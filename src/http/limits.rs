//! How much the edge holds in memory: every body is read here, within one bound for all of them.
//!
//! A body is charged as its bytes arrive. Where there is no room left the request waits, and is answered 503 when
//! that takes too long; nothing is ever refused with a 4xx for load.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, header},
};
use futures::StreamExt;
use throughline_actors::clock::Stopwatch;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::{Kind, Problem};

/// What one unit of room stands for, in bytes.
const UNIT: usize = 16 * 1024;
/// Room for bodies in memory at least, in bytes; more where a single body may be larger.
const ROOM_MIN: usize = 64 * 1024 * 1024;
/// A body of which nothing arrives for so long is given up.
const SILENCE_MAX: Duration = Duration::from_secs(20);
/// What is too large is still read to this multiple of the bound, so that the sender gets to read the answer.
const DISCARD_FACTOR: usize = 4;

/// The bound on bodies in memory.
pub(crate) struct Admission {
    room: Arc<Semaphore>,
    units: usize,
    body_max: usize,
    patience: Duration,
}

/// A body, and the room it takes for as long as this lives.
pub(crate) struct Admitted {
    /// The body.
    pub(crate) bytes: Bytes,
    /// What is left of the patience after waiting for room.
    pub(crate) patience: Duration,
    _room: OwnedSemaphorePermit,
}

impl Admission {
    /// Bodies of at most `body_max` bytes each, for whose room a request waits for `patience`.
    pub(crate) fn new(body_max: usize, patience: Duration) -> Self {
        let units = (ROOM_MIN.max(body_max.saturating_mul(2)) / UNIT).min(Semaphore::MAX_PERMITS);
        Self { room: Arc::new(Semaphore::new(units)), units, body_max, patience }
    }

    /// Reads a body.
    ///
    /// # Errors
    /// 413 for one that is too large, 503 for one that stops arriving or for which there is no room.
    pub(crate) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Admitted, Problem> {
        let declared = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok())
            .and_then(|length| length.parse::<usize>().ok());
        let mut patience = self.patience;
        let mut room = self.take(1, &mut patience).await?;
        let mut stream = body.into_data_stream();
        let mut bytes = Vec::with_capacity(declared.unwrap_or(0).min(UNIT));
        while let Some(chunk) = tokio::time::timeout(SILENCE_MAX, stream.next())
            .await
            .map_err(|_| Problem::with(Kind::Overloaded, "The rest of the body did not arrive in time."))?
        {
            let chunk = chunk
                .map_err(|error| Problem::with(Kind::Malformed, format!("The body broke off: {error}.")))?;
            let length = bytes.len() + chunk.len();
            if length > self.body_max {
                let read = length;
                drop((room, bytes));
                self.discard(stream, read).await;
                let detail =
                    format!("The body is larger than the {} bytes this server takes.", self.body_max);
                return Err(Problem::with(Kind::TooLarge, detail));
            }
            let needed = length.div_ceil(UNIT).min(self.units);
            if needed > room.num_permits() {
                room.merge(self.take(needed - room.num_permits(), &mut patience).await?);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Admitted { bytes: Bytes::from(bytes), patience, _room: room })
    }

    /// Takes room, at the cost of `patience`.
    async fn take(&self, units: usize, patience: &mut Duration) -> Result<OwnedSemaphorePermit, Problem> {
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let began = Stopwatch::start();
        let taken = tokio::time::timeout(*patience, self.room.clone().acquire_many_owned(units)).await;
        *patience = patience.saturating_sub(began.elapsed());
        match taken {
            Ok(Ok(room)) => Ok(room),
            // The semaphore is never closed, so it is the time that ran out.
            Ok(Err(_)) | Err(_) => {
                Err(Problem::with(Kind::Overloaded, "Too many requests are being read at once."))
            }
        }
    }

    async fn discard(&self, mut stream: axum::body::BodyDataStream, mut read: usize) {
        let most = self.body_max.saturating_mul(DISCARD_FACTOR);
        let rest = async {
            while read < most
                && let Some(Ok(chunk)) = stream.next().await
            {
                read += chunk.len();
            }
        };
        // Whether the sender listens is its own affair.
        let _ = tokio::time::timeout(self.patience, rest).await;
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn chunks(count: usize) -> Body {
        let chunk = || Ok::<_, std::convert::Infallible>(Bytes::from(vec![b'x'; UNIT]));
        Body::from_stream(stream::iter((0..count).map(move |_| chunk())))
    }

    fn status(refused: Problem) -> u64 {
        refused.as_json()["status"].as_u64().unwrap()
    }

    #[tokio::test]
    async fn a_body_without_a_length_is_held_to_the_bound() {
        let admission = Admission::new(3 * UNIT, Duration::from_millis(20));
        let admitted = admission.read(&HeaderMap::new(), chunks(3)).await.unwrap();
        assert_eq!(admitted.bytes.len(), 3 * UNIT);
        let refused = admission.read(&HeaderMap::new(), chunks(4)).await.err().unwrap();
        assert_eq!(status(refused), 413);
    }

    #[tokio::test]
    async fn where_all_room_is_taken_a_request_waits_and_is_asked_to_come_again() {
        let mut admission = Admission::new(3 * UNIT, Duration::from_millis(20));
        admission.room = Arc::new(Semaphore::new(3));
        let first = admission.read(&HeaderMap::new(), chunks(2)).await.unwrap();
        let refused = admission.read(&HeaderMap::new(), chunks(2)).await.err().unwrap();
        assert_eq!(status(refused), 503);
        drop(first);
        admission.read(&HeaderMap::new(), chunks(2)).await.unwrap();
    }
}
