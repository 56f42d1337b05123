//! Standard Webhooks signatures: three headers over the raw body, under a shared secret.
//!
//! Used by `generic/{name}` and, when it is called from elsewhere than the same machine, by `raw/email`. Time is the
//! engine's, so the library's own check, which reads the wall clock, is not used; only its signing is.
//! Source: the Standard Webhooks specification, <https://www.standardwebhooks.com>.

use axum::http::HeaderMap;
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use standardwebhooks::Webhook;
use subtle::ConstantTimeEq;

use throughline_workflows::time::Timestamp;

use crate::channels::Refusal;

/// How far, in seconds, a signature's time may be from the engine's, either way.
const TOLERANCE_SECONDS: u64 = 300;

/// How many signatures of one header are looked at; a sender in the middle of a rotation sends two.
const SIGNATURES_MAX: usize = 16;

/// One secret of a channel, checked when it is made.
pub struct WebhookSecret {
    webhook: Webhook,
    key: Vec<u8>,
}

/// Why a text is no Standard Webhooks secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a webhook secret is base64 of at least one byte, with or without `whsec_` before it")]
pub struct SecretError;

impl WebhookSecret {
    /// Reads `whsec_BASE64` or plain `BASE64`.
    ///
    /// # Errors
    /// [`SecretError`] when it is not base64 or holds no byte.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let text = text.trim();
        let key = STANDARD.decode(text.strip_prefix("whsec_").unwrap_or(text)).map_err(|_| SecretError)?;
        if key.is_empty() {
            return Err(SecretError);
        }
        let webhook = Webhook::from_bytes(key.clone()).map_err(|_| SecretError)?;
        Ok(Self { webhook, key })
    }

    /// The signature of a message under its id and a time in seconds since the Unix epoch, as `v1,BASE64`.
    pub fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        // The library signs text only. A mail is bytes, and 8-bit mail is not UTF-8: same recipe, by hand.
        self.webhook.sign(id, seconds, body).unwrap_or_else(|_| {
            let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else {
                return String::new(); // HMAC takes a key of any length.
            };
            mac.update(format!("{id}.{seconds}.").as_bytes());
            mac.update(body);
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        })
    }
}

impl std::fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

/// Checks the three headers against every secret (a rotation has two, newest first).
///
/// `svix-*` are the same headers under their older name.
///
/// # Errors
/// [`Refusal`] naming what is absent, wrong or out of its time.
pub fn verify(
    secrets: &[WebhookSecret],
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<(), Refusal> {
    let header = |name: &str| {
        let value = headers.get(format!("webhook-{name}")).or_else(|| headers.get(format!("svix-{name}")));
        value.and_then(|value| value.to_str().ok())
    };
    let (Some(id), Some(stamp), Some(given)) = (header("id"), header("timestamp"), header("signature"))
    else {
        return Err(Refusal::MISSING_SIGNATURE);
    };
    let seconds: i64 = stamp.parse().map_err(|_| Refusal::BAD_SIGNATURE)?;
    let engine = i64::try_from(now.as_seconds()).unwrap_or(i64::MAX);
    if engine.abs_diff(seconds) > TOLERANCE_SECONDS {
        return Err(Refusal::STALE_TIMESTAMP);
    }
    let right = secrets.iter().any(|secret| {
        let expected = secret.sign(id, seconds, body);
        let candidates = given.split(' ').filter(|one| !one.is_empty()).take(SIGNATURES_MAX);
        // No short cut over the candidates, so that time tells nothing about them.
        let matches =
            candidates.fold(0, |found, one| found | one.as_bytes().ct_eq(expected.as_bytes()).unwrap_u8());
        !expected.is_empty() && matches == 1
    });
    if right { Ok(()) } else { Err(Refusal::BAD_SIGNATURE) }
}

#[cfg(test)]
mod tests;
