//! `raw/email`: one mail as it came over the wire (RFC 5322), posted by a mail server or a fetcher of ours.
//!
//! The customer is whoever stands in `From`: it is the identity people know each other by. `Reply-To` is kept in the
//! metadata and changes nothing, since anybody may write any address there and an answer would go to a stranger.
//! A mail carries no signature of this door's own: it is taken with Standard Webhooks headers, or unsigned where the
//! edge allows that. A bounce of a mail of ours is no message but a report about that mail (`bounce`).

mod automatic;
mod body;
mod bounce;
pub mod compose;
mod headers;
mod nested;
pub mod notice;
pub mod smtp;
mod visible;

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use mail_parser::{Message, MessageParser};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use throughline_workflows::{
    ids::{ConversationId, MessageId},
    message::{AddressKind, Channel, Details, EmailDetails, Inbound},
    time::Timestamp,
};

use crate::channels::{
    Adapter, Answer, Receipt, Refusal, Unreadable, Verified, WebhookRequest,
    draft::{Draft, Original, line, prose},
    reply_token::ReplyKeys,
    signature::{self, WebhookSecret},
    without_secret,
};

use bounce::Bounce;
use headers::Headers;

const ANSWER: Answer = Answer { content_type: "application/json", body: r#"{"status":"accepted"}"# };

/// What this door needs to know.
pub struct RawEmailSettings {
    /// Our addresses, lower-cased, `channels.email.from` first: mail from one of them is our own coming back.
    pub own_addresses: Vec<String>,
    /// The tenant's reply keys.
    pub replies: ReplyKeys,
    /// Secrets of those who post mail here, newest first; empty takes unsigned requests where the edge allows them.
    pub secrets: Vec<WebhookSecret>,
}

/// The adapter behind `POST …/webhooks/raw/email`.
pub struct RawEmail {
    settings: RawEmailSettings,
}

impl RawEmail {
    /// An adapter with these settings.
    pub fn new(mut settings: RawEmailSettings) -> Self {
        for address in &mut settings.own_addresses {
            *address = address.trim().to_lowercase();
        }
        Self { settings }
    }
}

impl Adapter for RawEmail {
    fn verify(&self, request: &WebhookRequest<'_>) -> Result<Verified, Refusal> {
        if self.settings.secrets.is_empty() {
            return without_secret(request);
        }
        signature::verify(&self.settings.secrets, request.headers, request.body, request.now)?;
        Ok(Verified::Signed)
    }

    fn receive(
        &self,
        request: &WebhookRequest<'_>,
        mint: &mut dyn FnMut() -> Uuid,
    ) -> Result<Receipt, Unreadable> {
        // The parser is made for hostile mail. Should a bug of its be found all the same, one mail is set aside and
        // the door stays open.
        let tame = nested::tame(request.body);
        let read = catch_unwind(AssertUnwindSafe(|| {
            let mail = MessageParser::default().parse(tame.as_ref()).ok_or_else(not_a_mail)?;
            self.read(request, &mail, mint)
        }));
        read.unwrap_or_else(|_| Err(Unreadable::body("the mail parser gave up on this mail")))
    }
}

fn not_a_mail() -> Unreadable {
    Unreadable::body(
        "not a mail: a block of headers such as `From: ada@example.com` must come first (RFC 5322)",
    )
}

impl RawEmail {
    fn read(
        &self,
        request: &WebhookRequest<'_>,
        mail: &Message<'_>,
        mint: &mut dyn FnMut() -> Uuid,
    ) -> Result<Receipt, Unreadable> {
        let headers = Headers::read(mail);
        if headers.is_empty() {
            return Err(not_a_mail());
        }
        let (from, name) = headers.sender().ok_or_else(|| {
            Unreadable::field("From", "a mail must say who wrote it: a From header with an address")
        })?;
        let reason = automatic::reason(&headers, &from, &self.settings.own_addresses);
        let body = body::read(mail, request.body);
        match bounce::read(&headers, &body, &self.settings.replies, request.now) {
            Some(Bounce::Report(report)) => {
                return Ok(Receipt { reports: vec![*report], ..Receipt::nothing(ANSWER) });
            }
            Some(Bounce::Information) => return Ok(Receipt { ignored: 1, ..Receipt::nothing(ANSWER) }),
            None => {}
        }
        let thread = self.conversation(&headers, &body);
        let text = visible::reply(&body.newest);

        let mut metadata = Map::new();
        let mut note = |key: &str, value: Option<String>| {
            value.map(|value| metadata.insert(key.to_owned(), Value::String(value)))
        };
        note("automatic", reason.map(str::to_owned));
        note("reply_to", headers.reply_to.clone().filter(|address| *address != from.value));

        let details = EmailDetails {
            message_id: headers.message_id.clone(),
            in_reply_to: headers.in_reply_to.clone(),
            references: headers.references.clone(),
            subject: headers.subject.clone(),
            to: headers.to.clone(),
            cc: headers.cc.clone(),
            body_text: Some(prose(&body.text).trim().to_owned()).filter(|text| !text.is_empty()),
            body_html: body.html,
        };
        let mut draft = Draft::new(
            request.tenant,
            Inbound {
                id: MessageId(mint()),
                channel: Channel::Email,
                provider_message_id: headers.message_id.clone().unwrap_or_else(|| content_id(request.body)),
                vouched: false,
                automatic: reason.is_some() || from.kind == AddressKind::Handle,
                from: vec![from],
                name,
                to: self.our_recipient(&headers),
                text: prose(&text),
                subject: headers.subject.clone(),
                attachments: Vec::new(),
                thread,
                details: Details::Email(Box::new(details)),
                metadata: if metadata.is_empty() {
                    String::new()
                } else {
                    Value::Object(metadata).to_string()
                },
                sent_at: headers.date,
                received_at: request.now,
            },
        );
        if headers.shortened {
            draft.leave_out();
        }
        for file in body.files {
            draft.attach(&file.name, &file.media_type, file.bytes);
        }
        let original = Original { name: "message.eml", media_type: "message/rfc822", bytes: request.body };
        let message = draft.finish(&original);
        Ok(Receipt { messages: vec![message], ..Receipt::nothing(ANSWER) })
    }

    /// Where the mail belongs: a reply token first, then what it answers, then what it refers to, the newest first,
    /// then the mail of ours that a report sends back. Never the subject alone.
    fn conversation(&self, headers: &Headers, body: &body::Content) -> Option<ConversationId> {
        let ours = |id: &String| self.settings.replies.verify_message_id(id);
        self.settings
            .replies
            .find_in(&headers.recipients)
            .or_else(|| headers.in_reply_to.as_ref().and_then(ours))
            .or_else(|| headers.references.iter().rev().find_map(ours))
            .or_else(|| body.enclosed_ids.iter().find_map(ours))
    }

    /// The address of ours that was written to; the first recipient where none is known to be ours.
    fn our_recipient(&self, headers: &Headers) -> Option<String> {
        let own = |address: &&String| automatic::is_own(address, &self.settings.own_addresses);
        let all = || headers.to.iter().chain(&headers.cc);
        all().find(own).or_else(|| all().next()).cloned()
    }
}

/// A stable id for a mail that has none: the same bytes again are the same mail.
fn content_id(mail: &Bytes) -> String {
    format!("sha256-{:x}", Sha256::digest(mail))
}

/// A mail's stated time, where it is one.
fn date(mail: &Message<'_>) -> Option<Timestamp> {
    let stated = mail.date().filter(|date| date.is_valid())?;
    u64::try_from(stated.to_timestamp())
        .ok()
        .map(|seconds| Timestamp::from_millis(seconds.saturating_mul(1000)))
}

/// A `Message-ID` as it is compared: without brackets and white space; none when it is unusable as an id.
fn clean_id(id: &str) -> Option<String> {
    let dense: String = id.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
    let bare = dense.trim_start_matches('<').trim_end_matches('>');
    // RFC 5322 allows a line of 998; nobody's ids are near it, and a record keeps up to thirty of them.
    (!bare.is_empty() && bare.len() <= 250 && line(bare, 250) == bare).then(|| bare.to_owned())
}

#[cfg(test)]
mod tests;
