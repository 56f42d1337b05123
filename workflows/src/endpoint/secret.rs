//! The secrets that sign what an endpoint is sent. People never read them in a state, an event or a log.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use crate::time::{Span, Timestamp};

/// How long a secret still signs after a newer one took its place.
pub const ROTATION: Span = Span::from_hours(24);

/// Secrets kept at once; who rotates more often than this within a day gives up the oldest.
const LIVE_MAX: usize = 4;

/// A Standard Webhooks secret, `whsec_` and base64. Stored as it is, and another word wherever people read.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretText(String);

impl SecretText {
    /// A secret, checked by whoever made it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself: to sign with, and to show once to whoever asked for it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(hidden)")
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let shown = if serializer.is_human_readable() { "hidden" } else { &self.0 };
        serializer.serialize_str(shown)
    }
}

/// One of an endpoint's secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningSecret {
    /// The secret.
    pub text: SecretText,
    /// When it was made.
    pub made_at: Timestamp,
    /// When it signs no more, where a newer one has taken its place.
    pub until: Option<Timestamp>,
}

/// Puts `newest` first; what was there before signs on until [`ROTATION`] has passed.
pub(super) fn rotate(secrets: &mut Vec<SigningSecret>, newest: SecretText, at: Timestamp) {
    secrets.retain(|secret| secret.until.is_none_or(|until| at < until));
    for secret in secrets.iter_mut() {
        secret.until.get_or_insert(at + ROTATION);
    }
    secrets.insert(0, SigningSecret { text: newest, made_at: at, until: None });
    secrets.truncate(LIVE_MAX);
}
