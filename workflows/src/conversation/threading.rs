//! How a mail of ours hangs on the customer's: subject and references (RFC 5322, sections 3.6.4 and 3.6.5).

use serde::{Deserialize, Serialize};

use crate::{
    message::{Details, Inbound},
    text::{clip, one_line},
};

/// The most references that an answer carries: the first, which names the thread, and the newest.
const REFERENCES_MAX: usize = 20;
/// The longest `Message-ID` that is kept, in bytes; a line of mail can hold no more.
const MESSAGE_ID_MAX: usize = 998;
/// The longest subject that is kept, in characters.
const SUBJECT_MAX: usize = 250;

/// What a conversation is about: one line, without the marks of earlier answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject(String);

impl Subject {
    /// A subject as somebody wrote it; none if nothing is left of it.
    pub fn new(text: &str) -> Option<Self> {
        let line = one_line(text);
        let mut bare = line.as_str();
        while let Some(rest) = without_answer_mark(bare) {
            bare = rest;
        }
        (!bare.is_empty()).then(|| Self(clip(bare, SUBJECT_MAX)))
    }

    /// The subject alone.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The subject alone, owned.
    pub fn into_text(self) -> String {
        self.0
    }

    /// The subject of an answer.
    pub fn of_answer(&self) -> String {
        format!("Re: {}", self.0)
    }
}

/// `text` after a leading `Re:`, in any case.
fn without_answer_mark(text: &str) -> Option<&str> {
    let (mark, rest) = (text.get(..3)?, text.get(3..)?);
    mark.eq_ignore_ascii_case("re:").then(|| rest.trim_start())
}

/// What the next mail to the customer refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailThread {
    /// `Message-ID` of the customer's last mail, without angle brackets.
    pub message_id: String,
    /// `References` of an answer to it, oldest first; ends with `message_id`.
    pub references: Vec<String>,
}

impl MailThread {
    /// The thread that an inbound mail continues; none for other channels, or a mail without an id.
    pub fn of(message: &Inbound) -> Option<Self> {
        let Details::Email(mail) = &message.details else { return None };
        let message_id = mail.message_id.as_ref().filter(|id| is_usable(id))?.clone();
        let before = if mail.references.is_empty() { mail.in_reply_to.as_slice() } else { &mail.references };
        let mut references: Vec<_> =
            before.iter().filter(|id| is_usable(id) && **id != message_id).cloned().collect();
        references.push(message_id.clone());
        let surplus = references.len().saturating_sub(REFERENCES_MAX);
        references.drain(1..1 + surplus);
        Some(Self { message_id, references })
    }
}

impl MailThread {
    /// The thread that begins with a mail of ours, by its `Message-ID`.
    pub fn of_ours(message_id: &str) -> Option<Self> {
        let bare = message_id.trim_start_matches('<').trim_end_matches('>').to_owned();
        is_usable(&bare).then(|| Self { references: vec![bare.clone()], message_id: bare })
    }
}

fn is_usable(message_id: &str) -> bool {
    (1..=MESSAGE_ID_MAX).contains(&message_id.len())
}
