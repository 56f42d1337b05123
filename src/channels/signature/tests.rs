//! Signed as the specification says, and every way in which it may be wrong.

use axum::http::{HeaderMap, HeaderValue};
use base64::{Engine, engine::general_purpose::STANDARD};
use proptest::prelude::*;

use super::*;
use crate::channels::testing::{NOW, at, hmac_sha256};

const KEY: &[u8] = b"a key of twenty-four byt";
const SECONDS: i64 = 1_795_253_400; // 2026-11-21T09:30:00Z

fn secrets(keys: &[&[u8]]) -> Vec<WebhookSecret> {
    keys.iter().map(|key| WebhookSecret::parse(&format!("whsec_{}", STANDARD.encode(key))).unwrap()).collect()
}

fn headers(key: &[u8], seconds: i64, body: &[u8]) -> HeaderMap {
    let mac = hmac_sha256(key, &[b"msg_1.", seconds.to_string().as_bytes(), b".", body]);
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", HeaderValue::from_static("msg_1"));
    headers.insert("webhook-timestamp", seconds.to_string().parse().unwrap());
    headers.insert("webhook-signature", format!("v1,{}", STANDARD.encode(mac)).parse().unwrap());
    headers
}

#[test]
fn the_engine_time_of_these_tests_is_the_signing_time() {
    assert_eq!(at(NOW).as_seconds(), SECONDS.unsigned_abs());
}

#[test]
fn either_key_of_a_rotation_is_good() {
    let both = secrets(&[b"the new key", KEY]);
    for key in [b"the new key".as_slice(), KEY] {
        assert_eq!(verify(&both, &headers(key, SECONDS, b"{}"), b"{}", at(NOW)), Ok(()));
    }
    let other = headers(b"another key", SECONDS, b"{}");
    assert_eq!(verify(&both, &other, b"{}", at(NOW)), Err(Refusal::BAD_SIGNATURE));
    assert_eq!(verify(&[], &other, b"{}", at(NOW)), Err(Refusal::BAD_SIGNATURE));
}

#[test]
fn one_right_signature_among_several_is_enough() {
    let mut all = headers(KEY, SECONDS, b"{}");
    let right = all["webhook-signature"].to_str().unwrap().to_owned();
    all.insert("webhook-signature", format!("v1a,abc v1,AAAA  {right}").parse().unwrap());
    assert_eq!(verify(&secrets(&[KEY]), &all, b"{}", at(NOW)), Ok(()));
    let other_version = right.replace("v1,", "v2,");
    all.insert("webhook-signature", other_version.parse().unwrap());
    assert_eq!(verify(&secrets(&[KEY]), &all, b"{}", at(NOW)), Err(Refusal::BAD_SIGNATURE));
}

#[test]
fn the_window_is_five_minutes_either_way_by_the_engines_time() {
    for (offset, expected) in [
        (300, Ok(())),
        (-300, Ok(())),
        (301, Err(Refusal::STALE_TIMESTAMP)),
        (-301, Err(Refusal::STALE_TIMESTAMP)),
        (i64::MAX - SECONDS, Err(Refusal::STALE_TIMESTAMP)),
    ] {
        let seconds = SECONDS + offset;
        let signed = headers(KEY, seconds, b"{}");
        assert_eq!(verify(&secrets(&[KEY]), &signed, b"{}", at(NOW)), expected, "{offset}");
    }
}

#[test]
fn an_absent_header_and_a_nonsense_time_are_refused() {
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let mut all = headers(KEY, SECONDS, b"{}");
        all.remove(name);
        assert_eq!(verify(&secrets(&[KEY]), &all, b"{}", at(NOW)), Err(Refusal::MISSING_SIGNATURE), "{name}");
    }
    let mut all = headers(KEY, SECONDS, b"{}");
    all.insert("webhook-timestamp", HeaderValue::from_static("soon"));
    assert_eq!(verify(&secrets(&[KEY]), &all, b"{}", at(NOW)), Err(Refusal::BAD_SIGNATURE));
}

#[test]
fn the_older_header_names_are_the_same() {
    let mut old = HeaderMap::new();
    for (name, value) in &headers(KEY, SECONDS, b"{}") {
        let name = name.as_str().replace("webhook-", "svix-");
        old.insert(name.parse::<axum::http::HeaderName>().unwrap(), value.clone());
    }
    assert_eq!(verify(&secrets(&[KEY]), &old, b"{}", at(NOW)), Ok(()));
}

#[test]
fn a_secret_is_base64_of_something() {
    assert!(WebhookSecret::parse(&STANDARD.encode(KEY)).is_ok());
    for text in ["", "whsec_", "whsec_not base64!", "whsec"] {
        assert_eq!(WebhookSecret::parse(text).unwrap_err(), SecretError, "{text:?}");
    }
    assert_eq!(format!("{:?}", secrets(&[KEY])), "[WebhookSecret(…)]");
}

proptest! {
    #[test]
    fn any_body_verifies_and_no_altered_one_does(
        body in prop::collection::vec(any::<u8>(), 1..200), place in any::<prop::sample::Index>(), bit in 0..8u32,
    ) {
        let signed = headers(KEY, SECONDS, &body);
        prop_assert_eq!(verify(&secrets(&[KEY]), &signed, &body, at(NOW)), Ok(()));
        let mut altered = body.clone();
        altered[place.index(body.len())] ^= 1u8 << bit;
        prop_assert_eq!(verify(&secrets(&[KEY]), &signed, &altered, at(NOW)), Err(Refusal::BAD_SIGNATURE));
    }

    #[test]
    fn any_header_text_is_refused_without_a_panic(text in "[ -~]{0,80}") {
        let mut all = headers(KEY, SECONDS, b"{}");
        all.insert("webhook-signature", text.parse().unwrap());
        prop_assert!(verify(&secrets(&[KEY]), &all, b"", at(NOW)).is_err());
        all.insert("webhook-timestamp", text.parse().unwrap());
        prop_assert!(verify(&secrets(&[KEY]), &all, b"", at(NOW)).is_err());
    }
}
