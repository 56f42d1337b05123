//! How much the edge holds in memory: every body is read here, within one bound for all of them.
//!
//! A body is charged as its bytes arrive. Where there is no room left the request waits, and is answered 503 when
//! that takes too long; nothing is ever refused with a 4xx for load. A share of the room is kept for small bodies, and
//! a body must arrive within its time, so that a few large and slow ones cannot shut out the others.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, header},
};
use futures::StreamExt;
use throughline_actors::clock::Stopwatch;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use super::problem::{Kind, Problem};

/// What one unit of room stands for, in bytes.
const UNIT: usize = 16 * 1024;
/// Room for bodies in memory at least, in bytes; more where a single body may be larger.
const ROOM_MIN: usize = 64 * 1024 * 1024;
/// The largest body that may stand in the share kept for small ones, in bytes.
const SMALL_MAX: usize = 64 * 1024;
/// One part in so many of the room is kept for small bodies.
const SMALL_SHARE: usize = 4;
/// A body of which nothing arrives for so long is given up.
const SILENCE_MAX: Duration = Duration::from_secs(20);
/// How long a body may take, however small.
const BODY_TIME: Duration = Duration::from_secs(10);
/// A body of which more has arrived may take longer: as if it came with so many bytes a second.
const BYTES_PER_SECOND_MIN: usize = 64 * 1024;
/// What is too large is still read to this multiple of the bound, so that the sender gets to read the answer.
const DISCARD_FACTOR: usize = 4;

/// The bound on bodies in memory.
pub(crate) struct Admission {
    /// Room for bodies of every size.
    open: Arc<Semaphore>,
    /// Room that only small bodies use.
    kept: Arc<Semaphore>,
    /// The units of `open`.
    units: usize,
    patience: Duration,
    body_time: Duration,
}

/// A body, and the room it takes for as long as this lives.
pub(crate) struct Admitted {
    /// The body.
    pub(crate) bytes: Bytes,
    /// What is left of the patience after waiting for room.
    pub(crate) patience: Duration,
    _room: Room,
}

/// The room that one body takes.
#[derive(Default)]
struct Room {
    open: Option<OwnedSemaphorePermit>,
    kept: Option<OwnedSemaphorePermit>,
}

impl Admission {
    /// Bodies of at most `body_max` bytes each, for whose room a request waits for `patience`.
    pub(crate) fn new(body_max: usize, patience: Duration) -> Self {
        let all = (ROOM_MIN.max(body_max.saturating_mul(2)) / UNIT).min(Semaphore::MAX_PERMITS);
        let kept = all / SMALL_SHARE;
        let units = all - kept;
        let (open, kept) = (Arc::new(Semaphore::new(units)), Arc::new(Semaphore::new(kept)));
        Self { open, kept, units, patience, body_time: BODY_TIME }
    }

    /// Reads a body of at most `most` bytes.
    ///
    /// # Errors
    /// 413 for one that is too large, 503 for one that arrives too slowly or for which there is no room.
    pub(crate) async fn read(
        &self,
        headers: &HeaderMap,
        body: Body,
        most: usize,
    ) -> Result<Admitted, Problem> {
        let declared = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok())
            .and_then(|length| length.parse::<usize>().ok())
            .unwrap_or(0);
        let began = Stopwatch::start();
        let mut patience = self.patience;
        let mut room = Room::default();
        self.make_room(&mut room, 1, declared > SMALL_MAX, &mut patience).await?;
        let mut stream = body.into_data_stream();
        let mut bytes = Vec::with_capacity(declared.min(UNIT));
        loop {
            // That we had no room is no fault of the sender's.
            let waited = self.patience.saturating_sub(patience);
            let left = (self.time_for(bytes.len()) + waited).saturating_sub(began.elapsed());
            let arrived = tokio::time::timeout(left.min(SILENCE_MAX), stream.next()).await;
            let arrived = arrived.map_err(|_| {
                Problem::with(Kind::Overloaded, "The rest of the body did not arrive in time.")
            })?;
            let Some(chunk) = arrived else { break };
            let chunk = chunk
                .map_err(|error| Problem::with(Kind::Malformed, format!("The body broke off: {error}.")))?;
            let length = bytes.len() + chunk.len();
            if length > most {
                drop((room, bytes));
                self.discard(stream, length, most).await;
                let detail = format!("The body is larger than the {most} bytes that are taken here.");
                return Err(Problem::with(Kind::TooLarge, detail));
            }
            self.make_room(&mut room, length, declared.max(length) > SMALL_MAX, &mut patience).await?;
            bytes.extend_from_slice(&chunk);
        }
        Ok(Admitted { bytes: Bytes::from(bytes), patience, _room: room })
    }

    /// How long a body may have taken of which `length` bytes are here.
    fn time_for(&self, length: usize) -> Duration {
        let millis = length.saturating_mul(1000) / BYTES_PER_SECOND_MIN;
        self.body_time + Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    /// Makes `room` enough for `length` bytes of a body, at the cost of `patience`.
    async fn make_room(
        &self,
        room: &mut Room,
        length: usize,
        large: bool,
        patience: &mut Duration,
    ) -> Result<(), Problem> {
        let units =
            |held: &Option<OwnedSemaphorePermit>| held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let held = units(&room.open) + if large { 0 } else { units(&room.kept) };
        let needed = length.div_ceil(UNIT).min(self.units);
        if needed > held {
            let more = u32::try_from(needed - held).unwrap_or(u32::MAX);
            let began = Stopwatch::start();
            let taken = tokio::time::timeout(*patience, self.take(room, more, large)).await;
            *patience = patience.saturating_sub(began.elapsed());
            // The semaphores are never closed, so it is the time that ran out.
            if !matches!(taken, Ok(Ok(()))) {
                return Err(Problem::with(Kind::Overloaded, "Too many requests are being read at once."));
            }
        }
        if large {
            room.kept = None;
        }
        Ok(())
    }

    /// Takes units where this body may.
    async fn take(&self, room: &mut Room, units: u32, large: bool) -> Result<(), AcquireError> {
        let open = self.open.clone().acquire_many_owned(units);
        let (place, taken) = if large {
            (&mut room.open, open.await?)
        } else {
            tokio::select! {
                biased;
                taken = self.kept.clone().acquire_many_owned(units) => (&mut room.kept, taken?),
                taken = open => (&mut room.open, taken?),
            }
        };
        match place {
            Some(held) => held.merge(taken),
            None => *place = Some(taken),
        }
        Ok(())
    }

    async fn discard(&self, mut stream: axum::body::BodyDataStream, mut read: usize, most: usize) {
        let most = most.saturating_mul(DISCARD_FACTOR);
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

    /// An admission of so many units, of which so many are kept.
    fn admission(open: usize, kept: usize) -> Admission {
        Admission {
            open: Arc::new(Semaphore::new(open)),
            kept: Arc::new(Semaphore::new(kept)),
            units: open,
            ..Admission::new(0, Duration::from_millis(20))
        }
    }

    fn chunks(count: usize) -> Body {
        let chunk = || Ok::<_, std::convert::Infallible>(Bytes::from(vec![b'x'; UNIT]));
        Body::from_stream(stream::iter((0..count).map(move |_| chunk())))
    }

    async fn read(admission: &Admission, body: Body) -> Result<Admitted, Problem> {
        admission.read(&HeaderMap::new(), body, 100 * UNIT).await
    }

    fn status(refused: Result<Admitted, Problem>) -> u64 {
        refused.err().unwrap().as_json()["status"].as_u64().unwrap()
    }

    #[tokio::test]
    async fn a_body_without_a_length_is_held_to_the_bound() {
        let admission = admission(10, 0);
        let read = async |body| admission.read(&HeaderMap::new(), body, 3 * UNIT).await;
        assert_eq!(read(chunks(3)).await.unwrap().bytes.len(), 3 * UNIT);
        let refused = read(chunks(4)).await.err().unwrap().as_json();
        assert_eq!(refused["status"], 413);
        assert!(refused["detail"].as_str().unwrap().contains("49152"), "{refused}");
    }

    #[tokio::test]
    async fn where_all_room_is_taken_a_request_waits_and_is_asked_to_come_again() {
        let admission = admission(3, 0);
        let first = read(&admission, chunks(2)).await.unwrap();
        assert_eq!(status(read(&admission, chunks(2)).await), 503);
        drop(first);
        read(&admission, chunks(2)).await.unwrap();
    }

    #[tokio::test]
    async fn large_bodies_leave_the_share_of_the_small_ones() {
        let admission = admission(8, 4);
        let large = read(&admission, chunks(8)).await.unwrap();
        assert_eq!((admission.open.available_permits(), admission.kept.available_permits()), (0, 4));
        assert_eq!(status(read(&admission, chunks(5)).await), 503);
        let small = read(&admission, chunks(4)).await.unwrap();
        assert_eq!(status(read(&admission, chunks(1)).await), 503);
        drop(large);
        let more = read(&admission, chunks(1)).await.unwrap();
        assert_eq!(admission.open.available_permits(), 7, "a small one stands wherever there is room");
        drop((small, more));
        assert_eq!((admission.open.available_permits(), admission.kept.available_permits()), (8, 4));
    }

    #[tokio::test]
    async fn one_that_says_it_is_large_takes_nothing_of_that_share() {
        let admission = admission(1, 4);
        let headers = HeaderMap::from_iter([(header::CONTENT_LENGTH, (SMALL_MAX + 1).into())]);
        let begun = admission.read(&headers, chunks(1), 100 * UNIT).await.unwrap();
        assert_eq!((admission.open.available_permits(), admission.kept.available_permits()), (0, 4));
        drop(begun);
    }

    #[tokio::test]
    async fn a_body_that_trickles_is_given_up_and_its_room_is_free() {
        let admission = Admission { body_time: Duration::from_millis(60), ..admission(4, 4) };
        let trickle = stream::unfold((), async |()| {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Some((Ok::<_, std::convert::Infallible>(Bytes::from_static(b"x")), ()))
        });
        let refused =
            tokio::time::timeout(Duration::from_secs(10), read(&admission, Body::from_stream(trickle)));
        assert_eq!(status(refused.await.unwrap()), 503);
        assert_eq!((admission.open.available_permits(), admission.kept.available_permits()), (4, 4));
        assert!(admission.time_for(1024 * 1024) > Duration::from_secs(16), "what arrives earns time");
    }
}
