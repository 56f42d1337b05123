//! What a mail server says became of a mail of ours (RFC 3464): a bounce is a delivery that failed, not a message.
//!
//! A report is tied to our mail by the `Message-ID` that it sends back, which only somebody who has seen our mail can
//! know. One that can be tied to nothing of ours is taken like any other automatic mail.

use throughline_workflows::{
    conversation::DeliveryStatus, ids::ConversationId, message::Channel, time::Timestamp,
    workflow::ActivityError,
};

use super::{body::Content, headers::Headers, smtp};
use crate::channels::{DeliveryReport, reply_token::ReplyKeys};

/// As much of a report as is read, in bytes.
const REPORT_MAX: usize = 32 * 1024;
/// The most recipients of one report; our mails have one.
const RECIPIENTS_MAX: usize = 50;

/// What a mail says of a delivery.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Bounce {
    /// Something that counts.
    Report(Box<DeliveryReport>),
    /// That it takes longer, or goes on elsewhere: nothing that counts yet.
    Information,
}

/// What is said of one recipient.
#[derive(Debug, Default, PartialEq, Eq)]
struct Recipient {
    action: String,
    status: Option<String>,
    diagnostic: Option<String>,
}

/// What the mail says of a delivery of ours; none where it is no report, or of nothing that is ours.
pub(super) fn read(headers: &Headers, body: &Content, replies: &ReplyKeys, now: Timestamp) -> Option<Bounce> {
    let file = body.files.iter().find(|file| {
        matches!(&*file.media_type, "message/delivery-status" | "message/global-delivery-status")
    })?;
    let (id, conversation) = ours(headers, body, replies)?;
    let text = String::from_utf8_lossy(&file.bytes[..file.bytes.len().min(REPORT_MAX)]).into_owned();
    let recipients = recipients(&text);
    let said = |action: &str| recipients.iter().find(|one| one.action == action);
    let (status, error) = if let Some(failed) = said("failed") {
        (DeliveryStatus::Failed, Some(error_of(failed)))
    } else if said("delivered").is_some() {
        (DeliveryStatus::Delivered, None)
    } else {
        return Some(Bounce::Information);
    };
    Some(Bounce::Report(Box::new(DeliveryReport {
        channel: Channel::Email,
        provider_message_id: id,
        conversation: Some(conversation),
        message_id: None,
        status,
        error,
        at: now,
    })))
}

/// The mail of ours that the report is about.
fn ours(headers: &Headers, body: &Content, replies: &ReplyKeys) -> Option<(String, ConversationId)> {
    let stated = body.enclosed_ids.iter().chain(&headers.in_reply_to).chain(headers.references.iter().rev());
    stated.filter_map(|id| Some((id.to_ascii_lowercase(), replies.verify_message_id(id)?))).next()
}

fn error_of(recipient: &Recipient) -> ActivityError {
    let words = recipient.diagnostic.as_deref().unwrap_or("the mail came back");
    let status = recipient.status.as_deref().and_then(smtp::enhanced_status);
    smtp::bounced(status.or_else(|| smtp::enhanced_status(words)), words)
}

/// The blocks of a report: one about the mail, then one for each recipient (RFC 3464, 2.1).
fn recipients(text: &str) -> Vec<Recipient> {
    let text = text.replace("\r\n", "\n");
    let mut found = Vec::new();
    for block in text.split("\n\n").take(RECIPIENTS_MAX) {
        let mut recipient = Recipient::default();
        for (name, value) in fields(block) {
            match name.as_str() {
                "action" => recipient.action = first_word(&value),
                "status" => recipient.status = Some(value),
                // `smtp; 550 5.1.1 user unknown`: the kind of words, then the words.
                "diagnostic-code" => {
                    let words = value.split_once(';').map_or(value.as_str(), |(_, words)| words);
                    recipient.diagnostic = Some(words.trim().to_owned());
                }
                _ => {}
            }
        }
        if !recipient.action.is_empty() {
            found.push(recipient);
        }
    }
    found
}

/// Name in lower case and value on one line, of every field of a block.
fn fields(block: &str) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in block.lines() {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    fields
}

fn first_word(text: &str) -> String {
    let end = text.find(|c: char| c == '(' || c == ';' || c.is_whitespace()).unwrap_or(text.len());
    text[..end].to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
