//! Twilio's request signature: HMAC-SHA1 over the URL it was given and the form it posts.
//!
//! Shared by every Twilio channel. Source: Twilio, "Security", "Validating requests",
//! <https://www.twilio.com/docs/usage/security#validating-requests>, and the behaviour of its public client libraries
//! where that page is silent (ports, repeated names).

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use axum::http::{HeaderMap, header::CONTENT_TYPE};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use url::form_urlencoded;

use crate::channels::Refusal;

/// The header that carries the signature.
const HEADER: &str = "x-twilio-signature";

/// The name and value pairs of a form, blank values and repeated names included.
pub(crate) type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// Whether the body is JSON; every other body is a form.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    media_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

/// Decodes a form. Bytes that are no UTF-8 become replacement characters: a message with one bad byte is still read.
pub(crate) fn form(body: &[u8]) -> Pairs<'_> {
    form_urlencoded::parse(body).collect()
}

/// Checks the signature under every token: a rotation has two, newest first.
///
/// # Errors
/// [`Refusal`] when the signature is absent or wrong, or when a JSON body is not the one whose hash was signed.
pub fn verify(tokens: &[String], url: &str, headers: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
    let given = headers.get(HEADER).ok_or(Refusal::MISSING_SIGNATURE)?.as_bytes();
    let suffix = if is_json(headers) {
        check_body_hash(url, body)?;
        String::new()
    } else {
        signed_form(&form(body))
    };
    let urls = candidate_urls(url);
    let mut found = 0;
    for token in tokens {
        for url in &urls {
            let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(token.as_bytes()) else {
                continue; // HMAC takes a key of any length.
            };
            mac.update(url.as_bytes());
            mac.update(suffix.as_bytes());
            let expected = STANDARD.encode(mac.finalize().into_bytes());
            found |= expected.as_bytes().ct_eq(given).unwrap_u8();
        }
    }
    if found == 1 { Ok(()) } else { Err(Refusal::BAD_SIGNATURE) }
}

/// Names in byte order, each followed by each of its distinct values in byte order, with nothing between.
fn signed_form(pairs: &Pairs<'_>) -> String {
    let mut sorted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in pairs {
        sorted.entry(name).or_default().insert(value);
    }
    let mut signed = String::new();
    for (name, values) in sorted {
        for value in values {
            signed.push_str(name);
            signed.push_str(value);
        }
    }
    signed
}

/// A JSON body is not signed itself: its hash stands in the URL, which is.
fn check_body_hash(url: &str, body: &[u8]) -> Result<(), Refusal> {
    let query = url.split('#').next().unwrap_or_default().split_once('?').map_or("", |(_, query)| query);
    let (_, stated) = form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "bodySHA256")
        .ok_or(Refusal::BODY_HASH_MISMATCH)?;
    let actual = format!("{:x}", Sha256::digest(body));
    let same = stated.to_ascii_lowercase().as_bytes().ct_eq(actual.as_bytes());
    if bool::from(same) { Ok(()) } else { Err(Refusal::BODY_HASH_MISMATCH) }
}

/// The spellings of the URL that may have been signed.
///
/// Twilio is not consistent about the port: https with a custom port is signed without it, and the standard port may
/// be written or not. A fragment (`#rc=2`) configures Twilio and is never sent. Everything else stays as it is.
fn candidate_urls(url: &str) -> Vec<String> {
    let url = url.split('#').next().unwrap_or_default();
    let mut candidates = vec![url.to_owned()];
    let Some((scheme, rest)) = url.split_once("://") else { return candidates };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let host_at = authority.rfind('@').map_or(0, |at| at + 1);
    // A colon inside the brackets of an IPv6 address is not a port's.
    let host_end = authority[host_at..].rfind(']').map_or(host_at, |at| host_at + at);
    match authority[host_end..].rfind(':') {
        Some(colon) => candidates.push(format!("{scheme}://{}{path}", &authority[..host_end + colon])),
        None => {
            let port = if scheme.eq_ignore_ascii_case("http") { 80 } else { 443 };
            candidates.push(format!("{scheme}://{authority}:{port}{path}"));
        }
    }
    candidates
}

#[cfg(test)]
mod tests;
