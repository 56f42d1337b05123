//! A message being read: whatever a sender puts in, the record stays small and nothing is lost.
//!
//! What is too long for a record becomes a blob part that the message names as an attachment. What is too much even
//! to be named (the hundredth file, the thousandth recipient) is left out, and then the whole original is kept as a
//! part. No adapter writes into an [`Inbound`] what did not go through here or through [`line`].

use bytes::Bytes;

use throughline_workflows::{
    ids::TenantId,
    message::{Attachment, AttachmentAt, Details, Inbound},
};

use crate::channels::{BlobPart, Parsed, blob_key};

/// The longest text that stays in the record; longer ones are blobs (32 KiB).
pub(crate) const BODY_MAX: usize = 32 * 1024;
/// What is left in the record of a text that became a blob, so that lists and triage have something to read.
const EXCERPT_MAX: usize = 8 * 1024;
/// The largest encoded message (56 KiB), measured as JSON, the longest of the encodings in use.
const RECORD_MAX: usize = 56 * 1024;
/// The most files that one message names.
pub(crate) const ATTACHMENTS_MAX: usize = 50;
/// The longest subject, in bytes.
pub(crate) const SUBJECT_MAX: usize = 998;
/// The longest name of a person or a file, in bytes.
pub(crate) const NAME_MAX: usize = 200;
/// The longest address of a file at a provider's, in bytes.
pub(crate) const URL_MAX: usize = 2048;

/// The request or mail that a message was read from, to be kept whole when something had to be left out.
pub(crate) struct Original<'a> {
    /// The name to keep it under.
    pub name: &'a str,
    /// Its media type.
    pub media_type: &'a str,
    /// All of it.
    pub bytes: &'a Bytes,
}

/// A message and its parts while an adapter fills them in.
pub(crate) struct Draft<'a> {
    tenant: &'a TenantId,
    inbound: Inbound,
    parts: Vec<BlobPart>,
    numbered: usize,
    cut: bool,
}

impl<'a> Draft<'a> {
    /// Begins with the fields that every channel has.
    pub(crate) fn new(tenant: &'a TenantId, inbound: Inbound) -> Self {
        Self { tenant, inbound, parts: Vec::new(), numbered: 0, cut: false }
    }

    /// Notes that something was left out, so that the original is kept.
    pub(crate) fn leave_out(&mut self) {
        self.cut = true;
    }

    /// Adds a file whose bytes came with the request.
    pub(crate) fn attach(&mut self, name: &str, media_type: &str, bytes: Bytes) {
        if self.inbound.attachments.len() >= ATTACHMENTS_MAX {
            return self.leave_out();
        }
        self.numbered += 1;
        let key = blob_key(self.tenant, self.inbound.id.0, self.numbered);
        self.list(name, media_type, u64::try_from(bytes.len()).ok(), AttachmentAt::Blob(key.clone()));
        self.parts.push(BlobPart { key, bytes });
    }

    /// Adds a file that lies at the provider's.
    pub(crate) fn attach_url(&mut self, name: &str, media_type: &str, url: &str) {
        if self.inbound.attachments.len() >= ATTACHMENTS_MAX || url.len() > URL_MAX {
            return self.leave_out();
        }
        self.list(name, media_type, None, AttachmentAt::Url(line(url, URL_MAX)));
    }

    fn list(&mut self, name: &str, media_type: &str, bytes: Option<u64>, at: AttachmentAt) {
        let number = self.inbound.attachments.len() + 1;
        self.inbound.attachments.push(Attachment {
            name: file_name(name).unwrap_or_else(|| format!("attachment-{number}")),
            media_type: self::media_type(media_type),
            bytes,
            at,
        });
    }

    /// Moves out what is too big for the record and gives the message.
    pub(crate) fn finish(mut self, original: &Original<'_>) -> Parsed {
        for body in Body::ALL {
            if self.length(body) > BODY_MAX {
                self.move_out(body);
            }
        }
        while self.encoded() > RECORD_MAX {
            let largest = Body::ALL.into_iter().max_by_key(|body| self.length(*body));
            match largest.filter(|body| self.length(*body) > EXCERPT_MAX) {
                Some(body) => self.move_out(body),
                None if self.drop_last_attachment() => {}
                None => break, // Unreachable with the limits above; an oversized record is still better than none.
            }
        }
        if self.cut {
            self.inbound.attachments.truncate(ATTACHMENTS_MAX - 1);
            let named = |key: &str| {
                self.inbound
                    .attachments
                    .iter()
                    .any(|one| matches!(&one.at, AttachmentAt::Blob(at) if at == key))
            };
            self.parts.retain(|part| named(&part.key));
            self.attach(original.name, original.media_type, original.bytes.clone());
        }
        Parsed { inbound: self.inbound, parts: self.parts }
    }

    fn length(&self, body: Body) -> usize {
        match (body, &self.inbound.details) {
            (Body::Text, _) => self.inbound.text.len(),
            (Body::Metadata, _) => self.inbound.metadata.len(),
            (Body::Html, Details::Email(mail)) => mail.body_html.as_ref().map_or(0, String::len),
            (Body::Whole, Details::Email(mail)) => mail.body_text.as_ref().map_or(0, String::len),
            (Body::Html | Body::Whole, _) => 0,
        }
    }

    fn move_out(&mut self, body: Body) {
        // A mail that quotes nothing has the same text twice: one blob is enough.
        let twice = matches!(&self.inbound.details, Details::Email(mail) if mail.body_text.as_ref() == Some(&self.inbound.text));
        let body = if twice && body == Body::Whole { Body::Text } else { body };
        let (name, media_type, content) = match (body, &mut self.inbound.details) {
            (Body::Text, details) => {
                let excerpt = truncate(&self.inbound.text, EXCERPT_MAX).to_owned();
                let text = std::mem::replace(&mut self.inbound.text, excerpt);
                if let Details::Email(mail) = details
                    && twice
                {
                    mail.body_text = None;
                }
                ("text.txt", "text/plain", text)
            }
            (Body::Metadata, _) => {
                ("metadata.json", "application/json", std::mem::take(&mut self.inbound.metadata))
            }
            (Body::Html, Details::Email(mail)) => {
                ("body.html", "text/html", mail.body_html.take().unwrap_or_default())
            }
            (Body::Whole, Details::Email(mail)) => {
                ("body.txt", "text/plain", mail.body_text.take().unwrap_or_default())
            }
            (Body::Html | Body::Whole, _) => return,
        };
        self.attach(name, media_type, Bytes::from(content));
    }

    fn drop_last_attachment(&mut self) -> bool {
        let Some(dropped) = self.inbound.attachments.pop() else { return false };
        if let AttachmentAt::Blob(key) = dropped.at {
            self.parts.retain(|part| part.key != key);
        }
        self.leave_out();
        true
    }

    fn encoded(&self) -> usize {
        serde_json::to_vec(&self.inbound).map_or(0, |bytes| bytes.len())
    }
}

/// The fields that can be of any length.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Body {
    Html,
    Metadata,
    Text,
    Whole,
}

impl Body {
    const ALL: [Self; 4] = [Self::Html, Self::Metadata, Self::Text, Self::Whole];
}

/// The longest beginning of `text` of at most `max` bytes that ends between characters.
pub(crate) fn truncate(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

/// `text` as one line: control characters become spaces, so that it can stand in a header, a log or a list.
pub(crate) fn line(text: &str, max: usize) -> String {
    let clean: String = text.chars().map(|c| if is_breaking(c) { ' ' } else { c }).collect();
    truncate(clean.trim(), max).trim_end().to_owned()
}

/// `text` with lines ended by `\n` alone and without other control characters.
pub(crate) fn prose(text: &str) -> String {
    let unix = text.replace("\r\n", "\n").replace('\r', "\n");
    unix.chars().filter(|c| matches!(c, '\n' | '\t') || !c.is_control()).collect()
}

/// Line ends in the widest sense: some readers break at U+2028 too.
pub(crate) fn is_breaking(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// A file's name for display: no path, no control characters, not endless; none when nothing is left.
fn file_name(name: &str) -> Option<String> {
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let name = line(name, NAME_MAX);
    (!name.is_empty() && name != "." && name != "..").then_some(name)
}

/// `TYPE/SUBTYPE` in lower case without parameters; what is not of that form becomes `application/octet-stream`.
fn media_type(text: &str) -> String {
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let token = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b))
    };
    match essence.split_once('/') {
        Some((kind, subtype)) if essence.len() <= 127 && token(kind) && token(subtype) => essence,
        Some(_) | None => "application/octet-stream".to_owned(),
    }
}

#[cfg(test)]
mod tests;
