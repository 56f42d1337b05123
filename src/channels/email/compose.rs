//! Our own mail as it goes over the wire: headers that thread, headers that stop loops, and a body.
//!
//! The same message composed twice is the same bytes, so that a retry sends nothing new; the boundary and the
//! `Message-ID` come from the activity, the date from the caller. Sending is not done here. Sources: RFC 5322
//! (form, threading), RFC 2047 and 2231 (other alphabets), RFC 3834 (automatic mail).

use std::fmt::Write as _;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use mail_builder::{
    MessageBuilder,
    headers::{content_type::ContentType, date::Date, message_id, raw::Raw, text::Text},
    mime::{BodyPart, MimePart},
};
use sha2::{Digest, Sha256};

use throughline_workflows::{
    message::{AddressKind, Attachment, AttachmentAt, Outbound},
    time::Timestamp,
};

use crate::channels::{
    address,
    draft::{NAME_MAX, SUBJECT_MAX, line, prose, truncate},
    email::clean_id,
    reply_token::ReplyKeys,
};

/// The most ids in `References`: the first and the newest.
const REFERENCES_MAX: usize = 20;

/// Gives the bytes of a blob by its key. Called on the caller's thread, which may block.
pub type ReadBlob<'a> = dyn Fn(&str) -> std::io::Result<Bytes> + 'a;

/// Who writes a tenant's mail.
#[derive(Clone, Debug)]
pub struct MailSender {
    /// `channels.email.from`: the address that every mail comes from.
    pub from: String,
    /// The tenant's name, as customers know it.
    pub tenant_name: String,
    /// The tenant's reply keys.
    pub replies: ReplyKeys,
}

/// A mail, complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// `Message-ID` without angle brackets.
    pub message_id: String,
    /// The address that answers go to, where it is not the sender's.
    pub reply_to: Option<String>,
    /// The bytes, lines ended by CRLF.
    pub bytes: Vec<u8>,
}

/// Why a mail cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// The message goes to something other than a mail address.
    #[error("{0} is no mail address")]
    Recipient(String),
    /// The sender's own address is not one.
    #[error("channels.email.from: {0:?} is no mail address")]
    Sender(String),
    /// A file of the message cannot be read.
    #[error("blob {key} cannot be read: {source}")]
    Blob {
        /// Its key.
        key: String,
        /// Why.
        source: std::io::Error,
    },
    /// Nothing that has happened yet: the mail is written to memory.
    #[error("the mail cannot be written: {0}")]
    Write(std::io::Error),
}

/// Writes the mail that activity `activity_id` sends.
///
/// `at` is its `Date`.
///
/// # Errors
/// [`ComposeError`]; only a blob that cannot be read is worth another try.
pub fn compose(
    sender: &MailSender,
    activity_id: &str,
    message: &Outbound,
    at: Timestamp,
    blobs: &ReadBlob<'_>,
) -> Result<Mail, ComposeError> {
    let from =
        address::email(&sender.from).ok_or_else(|| ComposeError::Sender(line(&sender.from, NAME_MAX)))?;
    let to = Some(&message.to.value).filter(|_| message.to.kind == AddressKind::Email);
    let to = to
        .and_then(|to| address::email(to))
        .ok_or_else(|| ComposeError::Recipient(line(&message.to.to_string(), NAME_MAX)))?;
    let domain = from.rsplit_once('@').map_or("", |(_, domain)| domain);
    let message_id = sender.replies.message_id(activity_id, message.conversation_id, domain);
    let reply_to = sender.replies.reply_address(&from, message.conversation_id);

    let subject = message.subject.as_deref().map(|subject| line(subject, SUBJECT_MAX));
    let subject =
        subject.filter(|one| !one.is_empty()).unwrap_or_else(|| line(&sender.tenant_name, NAME_MAX));
    let mut head = mailbox("From", Some(&shown_sender(sender, message)), &from);
    head.push_str(&mailbox("To", message.to_name.as_deref(), &to));
    if let Some(reply_to) = &reply_to {
        head.push_str(&mailbox("Reply-To", Some(&sender.tenant_name), reply_to));
    }
    let mut builder = MessageBuilder::new()
        .header("Subject", Text::new(subject))
        .date(Date::new(i64::try_from(at.as_seconds()).unwrap_or(0)))
        .message_id(message_id.clone());
    if let Some(parent) = message.in_reply_to.as_deref().and_then(clean_id) {
        builder = builder.in_reply_to(parent);
    }
    let references = references(message);
    if !references.is_empty() {
        builder = builder.references(message_id::MessageId::new_list(references.into_iter()));
    }
    if message.automatic {
        builder = builder
            .header("Auto-Submitted", Raw::new("auto-replied"))
            .header("X-Auto-Response-Suppress", Raw::new("All"))
            .header("Precedence", Raw::new("bulk"));
    }
    let mut bytes = head.into_bytes();
    builder.body(body(activity_id, message, blobs)?).write_to(&mut bytes).map_err(ComposeError::Write)?;
    Ok(Mail { message_id, reply_to, bytes })
}

/// `"{agent} at {tenant}"` for a person's words, the tenant's name for the engine's.
pub fn shown_sender(sender: &MailSender, message: &Outbound) -> String {
    match message.from_name.as_deref().map(|name| line(name, NAME_MAX)).filter(|name| !name.is_empty()) {
        Some(agent) => format!("{agent} at {}", line(&sender.tenant_name, NAME_MAX)),
        None => line(&sender.tenant_name, NAME_MAX),
    }
}

/// What the mail refers to: the whole line of ancestors, the parent last.
fn references(message: &Outbound) -> Vec<String> {
    let mut ids: Vec<String> = message.references.iter().filter_map(|id| clean_id(id)).collect();
    if let Some(parent) = message.in_reply_to.as_deref().and_then(clean_id)
        && ids.last() != Some(&parent)
    {
        ids.retain(|id| *id != parent);
        ids.push(parent);
    }
    if ids.len() > REFERENCES_MAX {
        ids.drain(1..=ids.len() - REFERENCES_MAX);
    }
    ids
}

/// A whole header line `HEADER: NAME <ADDRESS>`.
///
/// Not left to the builder, which puts encoded words into quotes, where RFC 2047 (5) forbids them.
pub(super) fn mailbox(header: &str, name: Option<&str>, address: &str) -> String {
    let name = name.map(|name| line(name, NAME_MAX)).filter(|name| !name.is_empty());
    match name.map(|name| phrase(&name)) {
        Some(name) if name.len() + address.len() > 60 => format!("{header}: {name}\r\n <{address}>\r\n"),
        Some(name) => format!("{header}: {name} <{address}>\r\n"),
        None => format!("{header}: <{address}>\r\n"),
    }
}

/// A display name: quoted where it is ASCII, else encoded words, each on a line of its own (RFC 2047, 2: a word has
/// at most 75 characters, a line with one at most 76).
fn phrase(name: &str) -> String {
    if name.is_ascii() && !name.contains("=?") {
        return format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
    }
    let mut words = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let most = truncate(rest, 36); // 36 bytes are 48 of base64, with 12 around them and a header's name before.
        // Some readers show a space between two encoded words: better after a word than within one.
        let space = most.rfind(' ').map(|at| at + 1).filter(|_| most.len() < rest.len());
        let (word, others) = rest.split_at(space.unwrap_or(most.len()));
        words.push(format!("=?utf-8?B?{}?=", STANDARD.encode(word)));
        rest = others;
    }
    words.join("\r\n ")
}

fn body<'a>(
    activity_id: &str,
    message: &Outbound,
    blobs: &ReadBlob<'_>,
) -> Result<MimePart<'a>, ComposeError> {
    let mut text = prose(&message.text);
    let mut files = Vec::new();
    for attachment in &message.attachments {
        match &attachment.at {
            AttachmentAt::Blob(key) => {
                let bytes = blobs(key).map_err(|source| ComposeError::Blob { key: key.clone(), source })?;
                files.push(file(attachment, &bytes));
            }
            // What lies elsewhere is fetched by the reader, not by a mail server.
            AttachmentAt::Url(url) => {
                let _ = write!(text, "\n\n{}: {}", line(&attachment.name, NAME_MAX), line(url, 2048));
            }
        }
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let text = MimePart::new("text/plain", BodyPart::Text(text.replace('\n', "\r\n").into()));
    if files.is_empty() {
        return Ok(text);
    }
    // "=_" occurs in neither quoted-printable nor base64, and the rest cannot be in the text by chance.
    let boundary = format!("=_{:.32}", format!("{:x}", Sha256::digest(activity_id)));
    files.insert(0, text);
    Ok(MimePart::new(ContentType::new("multipart/mixed").attribute("boundary", boundary), files))
}

/// A file as base64, so that its bytes arrive as they are whatever their type.
fn file<'a>(attachment: &Attachment, bytes: &[u8]) -> MimePart<'a> {
    let encoded = STANDARD.encode(bytes);
    let mut lines = String::with_capacity(encoded.len() + encoded.len() / 38);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (one, others) = rest.split_at(rest.len().min(76));
        let _ = write!(lines, "{one}\r\n");
        rest = others;
    }
    let media_type = line(&attachment.media_type, 127);
    let media_type =
        if is_media_type(&media_type) { media_type } else { "application/octet-stream".to_owned() };
    MimePart {
        headers: vec![
            ("Content-Type".into(), Raw::new(media_type).into()),
            ("Content-Disposition".into(), Raw::new(disposition(&attachment.name)).into()),
            ("Content-Transfer-Encoding".into(), Raw::new("base64").into()),
        ],
        contents: BodyPart::Text(lines.into()),
    }
}

fn is_media_type(text: &str) -> bool {
    let token = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b));
    text.split_once('/')
        .is_some_and(|(kind, sub)| !kind.is_empty() && !sub.is_empty() && token(kind) && token(sub))
}

/// The name as it is where it is ASCII, else as RFC 2231 (4) has it, and in ASCII for readers that are older.
fn disposition(name: &str) -> String {
    let name = line(name, NAME_MAX);
    let plain = |c: char| if c.is_ascii_graphic() && !"\"\\/;%".contains(c) || c == ' ' { c } else { '_' };
    let ascii: String = name.chars().map(plain).collect();
    let mut disposition = "attachment; ".to_owned();
    if ascii != name {
        disposition.push_str("filename*=utf-8''");
        for byte in name.bytes() {
            let _ = match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' => {
                    write!(disposition, "{}", char::from(byte))
                }
                _ => write!(disposition, "%{byte:02X}"),
            };
        }
        disposition.push_str("; ");
    }
    let _ = write!(disposition, "filename=\"{ascii}\"");
    disposition
}

#[cfg(test)]
mod tests;
