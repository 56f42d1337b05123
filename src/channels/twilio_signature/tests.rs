//! Signed as Twilio's pages describe it, by a signer of the tests' own.

use axum::http::{HeaderMap, HeaderValue};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use proptest::prelude::*;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::*;

const TOKEN: &str = "an auth token";
const URL: &str = "https://care.example.com/api/webhooks/twilio/sms";

/// The signature of text put together by the test.
fn sign(token: &str, text: &str) -> HeaderMap {
    let mut mac = Hmac::<Sha1>::new_from_slice(token.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    let mut headers = HeaderMap::new();
    headers.insert("X-Twilio-Signature", STANDARD.encode(mac.finalize().into_bytes()).parse().unwrap());
    headers
}

fn check(tokens: &[&str], url: &str, headers: &HeaderMap, body: &str) -> Result<(), Refusal> {
    let tokens: Vec<String> = tokens.iter().map(|token| (*token).to_owned()).collect();
    verify(&tokens, url, headers, body.as_bytes())
}

#[test]
fn parameters_are_sorted_and_blank_ones_count() {
    let signed = sign(TOKEN, &format!("{URL}AEmptyFrom+15550123456Za b&c"));
    let body = "Z=a+b%26c&From=%2B15550123456&A=&Empty=";
    // Byte order puts capitals before small letters, and "A" before "Empty".
    assert_eq!(check(&[TOKEN], URL, &signed, body), Ok(()));
    assert_eq!(
        check(&[TOKEN], URL, &signed, "Z=a+b%26c&From=%2B15550123456&A="),
        Err(Refusal::BAD_SIGNATURE)
    );
}

#[test]
fn a_repeated_name_counts_each_distinct_value_once_in_order() {
    let signed = sign(TOKEN, &format!("{URL}AlphaMediaUrlaMediaUrlb"));
    assert_eq!(check(&[TOKEN], URL, &signed, "MediaUrl=b&MediaUrl=a&MediaUrl=b&Alpha="), Ok(()));
}

#[test]
fn either_token_of_a_rotation_is_good_and_no_other() {
    let signed = sign(TOKEN, &format!("{URL}BodyHi"));
    assert_eq!(check(&["the new token", TOKEN], URL, &signed, "Body=Hi"), Ok(()));
    assert_eq!(check(&["the new token"], URL, &signed, "Body=Hi"), Err(Refusal::BAD_SIGNATURE));
    assert_eq!(check(&[TOKEN], URL, &HeaderMap::new(), "Body=Hi"), Err(Refusal::MISSING_SIGNATURE));
}

#[test]
fn the_port_may_be_signed_or_not() {
    for (ours, signed) in [
        ("https://h.example/x?q=1", "https://h.example:443/x?q=1"),
        ("https://h.example:443/x", "https://h.example/x"),
        ("https://h.example:8443/x", "https://h.example/x"),
        ("https://h.example:8443/x", "https://h.example:8443/x"),
        ("http://h.example/x", "http://h.example:80/x"),
        ("http://h.example:8080/x", "http://h.example:8080/x"),
        ("https://user:pw@h.example:8443/x", "https://user:pw@h.example/x"),
        ("https://user:pw@h.example/x", "https://user:pw@h.example:443/x"),
        ("https://[::1]:8443/x", "https://[::1]/x"),
        ("https://[::1]/x", "https://[::1]:443/x"),
        ("https://h.example", "https://h.example:443"),
        ("https://h.example/x?a=%27b%20c#rc=2", "https://h.example/x?a=%27b%20c"),
    ] {
        assert_eq!(check(&[TOKEN], ours, &sign(TOKEN, signed), ""), Ok(()), "{ours} signed as {signed}");
    }
    let other_host = sign(TOKEN, "https://other.example/x");
    assert_eq!(check(&[TOKEN], "https://h.example/x", &other_host, ""), Err(Refusal::BAD_SIGNATURE));
}

#[test]
fn a_json_body_is_signed_by_its_hash_in_the_url() {
    let body = r#"{"MessageSid":"SM1"}"#;
    let url = format!("{URL}?x=1&bodySHA256={:x}", Sha256::digest(body));
    let mut signed = sign(TOKEN, &url);
    signed.insert("content-type", HeaderValue::from_static("application/json; charset=utf-8"));
    assert_eq!(check(&[TOKEN], &url, &signed, body), Ok(()));
    assert_eq!(check(&[TOKEN], &url, &signed, "{}"), Err(Refusal::BODY_HASH_MISMATCH));
    assert_eq!(check(&[TOKEN], URL, &signed, body), Err(Refusal::BODY_HASH_MISMATCH));
    assert_eq!(check(&["other"], &url, &signed, body), Err(Refusal::BAD_SIGNATURE));
}

proptest! {
    #[test]
    fn any_form_verifies_and_no_altered_one_does(
        form in prop::collection::btree_map("[A-Za-z]{1,8}", "\\PC{0,20}", 1..8), place in any::<prop::sample::Index>(),
    ) {
        // A map has its names sorted and distinct, as the signature wants them.
        let signed: String = form.iter().map(|(name, value)| format!("{name}{value}")).collect();
        let headers = sign(TOKEN, &format!("{URL}{signed}"));
        let encode = |form: Vec<(String, String)>| {
            form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish()
        };
        let mut shuffled: Vec<(String, String)> = form.into_iter().rev().collect();
        prop_assert_eq!(check(&[TOKEN], URL, &headers, &encode(shuffled.clone())), Ok(()));
        let at = place.index(shuffled.len());
        shuffled[at].1.push('!');
        prop_assert_eq!(check(&[TOKEN], URL, &headers, &encode(shuffled)), Err(Refusal::BAD_SIGNATURE));
    }

    #[test]
    fn no_bytes_and_no_url_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200), url in "\\PC{0,60}") {
        let headers = sign(TOKEN, "something else");
        prop_assert_eq!(verify(&[TOKEN.to_owned()], &url, &headers, &body), Err(Refusal::BAD_SIGNATURE));
    }
}
