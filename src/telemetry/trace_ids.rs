//! The ids of traces and spans, derived from what the journal keeps.
//!
//! What one message leads to happens in many tasks, over hours, and over restarts. The journal carries one id through
//! all of it, the correlation: that is the trace's id. Which span was the parent is not kept, and need not be: the
//! span of a door, of a turn that was recorded and of nothing else can be a parent of later work, and their ids are
//! made of what the later work knows.

use opentelemetry::{SpanId, TraceId};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The trace of a correlation: its 128 bits.
pub(super) fn trace(correlation: Uuid) -> TraceId {
    TraceId::from_bytes(correlation.into_bytes())
}

/// The span that a trace begins with: the door by which a message came, a timer that fired.
pub(super) fn beginning(correlation: Uuid) -> SpanId {
    derived(&[b"beginning", correlation.as_bytes()])
}

/// The span of the turn that made a version of an entity: what it asked for was asked by it, whenever that is done.
pub(super) fn turn(entity: Uuid, version: u64) -> SpanId {
    derived(&[b"turn", entity.as_bytes(), &version.to_be_bytes()])
}

/// The span that is `number` in its process: it is nobody's parent in another one.
pub(super) fn passing(process: Uuid, number: u64) -> SpanId {
    derived(&[b"passing", process.as_bytes(), &number.to_be_bytes()])
}

/// Whether a trace is one of the `ratio` that are sent, in thousandths. Every process decides the same: the last
/// seven bytes of a version 7 UUID are random, as W3C Trace Context wants them to be.
pub(super) fn is_sampled(correlation: Uuid, ratio: u16) -> bool {
    let low = correlation.as_u128() as u64 & ((1 << 56) - 1);
    u128::from(low) * 1000 < u128::from(ratio) << 56
}

/// The trace and span of a W3C `traceparent` header, version 00 and whatever comes after it.
pub(super) fn traceparent(header: &str) -> Option<(TraceId, SpanId)> {
    let mut parts = header.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hexadecimal = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let shaped = (version.len(), trace.len(), span.len(), flags.len()) == (2, 32, 16, 2)
        && [version, trace, span, flags].into_iter().all(hexadecimal)
        && version != "ff"
        && (version != "00" || parts.next().is_none());
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    (shaped && trace != TraceId::INVALID && span != SpanId::INVALID).then_some((trace, span))
}

fn derived(parts: &[&[u8]]) -> SpanId {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update([u8::try_from(part.len()).unwrap_or(u8::MAX)]);
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let mut id = [0; 8];
    id.copy_from_slice(&digest[..8]);
    id[7] |= 1; // A span's id is never all zeros.
    SpanId::from_bytes(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_from_what_they_are_made_of_and_differ_otherwise() {
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(turn(one, 3), turn(one, 3));
        let all =
            [turn(one, 3), turn(one, 4), turn(other, 3), beginning(one), beginning(other), passing(one, 3)];
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(trace(one).to_string(), format!("{:032x}", 1));
    }

    #[test]
    fn a_ratio_of_the_traces_is_sent_and_of_each_all_or_nothing() {
        let sampled = |ratio| {
            let random = |n: u128| Uuid::from_u128(n.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835));
            (0..10_000).filter(|n| is_sampled(random(*n), ratio)).count()
        };
        assert_eq!((sampled(0), sampled(1000)), (0, 10_000));
        assert!((900..1100).contains(&sampled(100)), "{}", sampled(100));
    }

    #[test]
    fn a_traceparent_is_read_or_passed_over() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let (trace, span) = traceparent(good).unwrap();
        assert_eq!(trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(span.to_string(), "b7ad6b7169203331");
        assert!(traceparent("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more").is_some());
        for bad in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319ä-b7ad6b7169203331-01",
        ] {
            assert_eq!(traceparent(bad), None, "{bad}");
        }
    }
}
