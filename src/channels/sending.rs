//! The shape all transports share: one message out, and what became of it.
//!
//! A [`Sender`] hands one message to one provider, once. It keeps nothing between two messages, never retries and
//! never waits for its turn: retries are the outbox's business, turns are the [`gate::Gate`]'s. What a provider says
//! is sorted into four outcomes, and nothing above this file needs to know more.

pub mod breaker;
pub mod gate;
pub mod http;
pub mod rate;

use std::{collections::BTreeMap, io, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;

use throughline_workflows::{
    message::{AttachmentAt, Outbound},
    time::{Span, Timestamp},
    workflow::ActivityError,
};

use crate::channels::draft::line;

/// How long one try may take, in the machine's time.
pub const TRY_MAX: Duration = Duration::from_secs(30);

/// The longest of a provider's words that is kept with an error, in bytes.
const SAID_MAX: usize = 400;

/// So many digits are a telephone number; dates and codes have fewer.
const NUMBER_DIGITS_MIN: usize = 9;

/// Gives a file of the message by its blob key.
pub type ReadFile<'a> = dyn Fn(String) -> BoxFuture<'static, io::Result<Bytes>> + Send + Sync + 'a;

/// One message on its way out.
#[derive(Clone, Copy)]
pub struct Sending<'a> {
    /// The activity, `ENTITY.VERSION.INDEX`: the same on every try, and so the idempotency key where one is taken.
    pub activity_id: &'a str,
    /// The message.
    pub message: &'a Outbound,
    /// When it was asked for; the same on every try, so that a mail written again is the same mail.
    pub asked_at: Timestamp,
    /// The engine's time.
    pub now: Timestamp,
    /// Gives the files that the message names.
    pub read: &'a ReadFile<'a>,
}

/// What became of one try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// The provider took it.
    Accepted {
        /// The provider's id of it, where it gave one; for mail, its `Message-ID` without angle brackets.
        provider_message_id: Option<String>,
    },
    /// It may work later.
    Retry {
        /// How long the provider asked us to wait, where it did.
        after: Option<Span>,
        /// What went wrong.
        error: ActivityError,
        /// Whether the provider as a whole does not work or wants to be left alone; otherwise it is this message.
        down: bool,
    },
    /// The same message will never work.
    Refused(ActivityError),
    /// The provider was asked, and nobody knows whether it took it.
    Uncertain(ActivityError),
}

impl SendOutcome {
    /// What it is, in one word.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Retry { .. } => "retried",
            Self::Refused(_) => "refused",
            Self::Uncertain(_) => "uncertain",
        }
    }

    /// The provider does not work.
    pub fn down(error: ActivityError) -> Self {
        Self::Retry { after: None, error, down: true }
    }

    /// This message does not go now, which says nothing of others.
    pub fn later(error: ActivityError) -> Self {
        Self::Retry { after: None, error, down: false }
    }
}

/// A transport of one channel of one tenant.
pub trait Sender: Send + Sync {
    /// Whether the same message sent twice arrives once, or does no harm: then a try whose answer was lost is simply
    /// made again.
    fn is_keyed(&self) -> bool;

    /// Sends one message, once.
    fn send<'a>(&'a self, sending: Sending<'a>) -> BoxFuture<'a, SendOutcome>;
}

/// An error with a stable code.
pub fn failure(code: impl Into<String>, message: impl Into<String>) -> ActivityError {
    ActivityError { code: Some(code.into()), message: message.into() }
}

/// What a provider said, on one line and not too long of it, without the addresses that it may have named: errors are
/// logged, and addresses never are.
pub fn said(text: &str) -> String {
    let text = line(text, SAID_MAX);
    let mut words: Vec<&str> = text.split_whitespace().collect();
    for word in &mut words {
        if word.contains('@') {
            *word = "(address)";
        } else if digits_in_a_row(word) >= NUMBER_DIGITS_MIN {
            *word = "(number)";
        }
    }
    words.join(" ")
}

/// The most digits of a word that nothing but the usual marks of a telephone number stands between.
fn digits_in_a_row(word: &str) -> usize {
    let (mut most, mut count) = (0, 0);
    for c in word.chars() {
        match c {
            '0'..='9' => count += 1,
            '+' | '-' | '(' | ')' | '/' => {}
            _ => count = 0,
        }
        most = most.max(count);
    }
    most
}

/// Every file of a message that is a blob of ours, by its key.
///
/// # Errors
/// The outcome of the try: what cannot be read now may be read later.
pub async fn read_files(sending: &Sending<'_>) -> Result<BTreeMap<String, Bytes>, SendOutcome> {
    let mut files = BTreeMap::new();
    for attachment in &sending.message.attachments {
        if let AttachmentAt::Blob(key) = &attachment.at {
            let bytes = (sending.read)(key.clone()).await.map_err(|error| {
                SendOutcome::later(failure(
                    "file_unreadable",
                    format!("the file {key} cannot be read: {error}"),
                ))
            })?;
            files.insert(key.clone(), bytes);
        }
    }
    Ok(files)
}

/// One of the files that were read; for code that reads as it goes.
///
/// # Errors
/// There is no such file.
pub fn file_of(files: &BTreeMap<String, Bytes>, key: &str) -> io::Result<Bytes> {
    files.get(key).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_provider_said_names_nobody() {
        for (words, kept) in [
            ("550 5.1.1 <gone@x.example>:\r\n no such user", "550 5.1.1 (address) no such user"),
            ("The 'To' number +15550123456 is not valid.", "The 'To' number (number) is not valid."),
            ("call +1-555-012-3456 now", "call (number) now"),
            ("[192.0.2.25] 421 4.7.0 try later, 2026-11-21", "[192.0.2.25] 421 4.7.0 try later, 2026-11-21"),
        ] {
            assert_eq!(said(words), kept);
        }
        assert!(said(&"é".repeat(1000)).len() <= SAID_MAX);
    }
}
