//! A mail's headers, cleaned and bounded: 8-bit rubbish, folding and endless lists end here.
//!
//! Says what is written there; what it means (automatic, thread) is decided by others.

use mail_parser::{HeaderName, HeaderValue, Message};

use throughline_workflows::{
    message::{Address, AddressKind, Channel},
    time::Timestamp,
};

use crate::channels::{
    address,
    draft::{NAME_MAX, SUBJECT_MAX, line},
    email::{clean_id, date},
};

/// The most addresses of `To` or `Cc` that are kept in the record.
const RECIPIENTS_MAX: usize = 20;
/// The most entries of `References` that are kept: the first and the newest.
const REFERENCES_MAX: usize = 30;
/// The longest raw header value that is looked at, in bytes.
const RAW_MAX: usize = 2000;
/// The most headers that are looked at; a mail that passed ten servers has about a hundred.
const HEADERS_MAX: usize = 1000;
/// The most text of recipient headers that is searched for a reply token, in bytes.
const SEARCHED_MAX: usize = 64 * 1024;

/// Headers in which the address that a mail was sent to may stand, from the sender's to the last server's.
const RECIPIENT_HEADERS: [&str; 8] = [
    "to",
    "cc",
    "delivered-to",
    "x-original-to",
    "envelope-to",
    "apparently-to",
    "x-forwarded-to",
    "resent-to",
];

/// What the headers of a mail say.
pub(super) struct Headers {
    /// Name in lower case and value on one line, of every header.
    raw: Vec<(String, String)>,
    from: Option<(String, Option<String>)>,
    pub(super) reply_to: Option<String>,
    pub(super) to: Vec<String>,
    pub(super) cc: Vec<String>,
    /// The raw text of every header that may hold a recipient.
    pub(super) recipients: String,
    pub(super) subject: Option<String>,
    pub(super) message_id: Option<String>,
    pub(super) in_reply_to: Option<String>,
    pub(super) references: Vec<String>,
    pub(super) date: Option<Timestamp>,
    /// Something of the lists above was left out.
    pub(super) shortened: bool,
}

impl Headers {
    pub(super) fn read(mail: &Message<'_>) -> Self {
        let (raw, recipients) = raw(mail);
        let (to, more_to) = addresses(mail, HeaderName::To);
        let (cc, more_cc) = addresses(mail, HeaderName::Cc);
        let (references, more_references) = references(mail);
        let subject = mail.subject().unwrap_or_default();
        Self {
            raw,
            from: first_address(mail, HeaderName::From),
            reply_to: first_address(mail, HeaderName::ReplyTo).and_then(|(one, _)| address::email(&one)),
            to,
            cc,
            recipients,
            subject: Some(line(subject, SUBJECT_MAX)).filter(|one| !one.is_empty()),
            message_id: ids(mail, HeaderName::MessageId).into_iter().next(),
            in_reply_to: ids(mail, HeaderName::InReplyTo).into_iter().next(),
            references,
            date: date(mail),
            shortened: more_to || more_cc || more_references || subject.len() > SUBJECT_MAX,
        }
    }

    /// Whether there is nothing that could be a header: names are printable ASCII (RFC 5322, 2.2).
    pub(super) fn is_empty(&self) -> bool {
        !self.raw.iter().any(|(name, _)| name.bytes().all(|byte| byte.is_ascii_graphic()))
    }

    /// The values of a header, by its name in lower case.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.raw.iter().filter(move |(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// Who wrote, and their name. An address that no mail can go to (`MAILER-DAEMON`) is a handle of this channel.
    pub(super) fn sender(&self) -> Option<(Address, Option<String>)> {
        let (from, name) = self.from.as_ref()?;
        let address = match address::email(from) {
            Some(email) => Address::new(AddressKind::Email, email),
            None => Address::handle(&Channel::Email, &line(&from.to_lowercase(), 200)),
        };
        Some((address, name.clone()))
    }
}

/// Every header on one line each, and the recipients' text.
fn raw(mail: &Message<'_>) -> (Vec<(String, String)>, String) {
    let mut all = Vec::new();
    let mut recipients = String::new();
    let headers = mail.parts.first().map(|part| part.headers.as_slice()).unwrap_or_default();
    for header in headers.iter().take(HEADERS_MAX) {
        let at = |offset: u32| usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = mail.raw_message.get(at(header.offset_start)..at(header.offset_end)).unwrap_or_default();
        let name = header.name.as_str().to_ascii_lowercase();
        if RECIPIENT_HEADERS.contains(&name.as_str()) && recipients.len() < SEARCHED_MAX {
            let room = bytes.len().min(SEARCHED_MAX - recipients.len());
            recipients.push_str(&String::from_utf8_lossy(&bytes[..room]));
            recipients.push('\n');
        }
        let bytes = &bytes[..bytes.len().min(RAW_MAX)];
        all.push((name, line(&String::from_utf8_lossy(bytes), RAW_MAX)));
    }
    (all, recipients)
}

/// The first address in the first header of that name that has one, and its display name.
fn first_address(mail: &Message<'_>, name: HeaderName<'static>) -> Option<(String, Option<String>)> {
    mail.header_values(name).filter_map(HeaderValue::as_address).find_map(|list| {
        list.iter().find_map(|one| {
            let address = line(one.address()?, 400);
            let name = one.name().map(|name| line(name, NAME_MAX)).filter(|name| !name.is_empty());
            (!address.is_empty()).then_some((address, name))
        })
    })
}

/// The addresses in all headers of that name, and whether some were left out.
fn addresses(mail: &Message<'_>, name: HeaderName<'static>) -> (Vec<String>, bool) {
    let lists = mail.header_values(name).filter_map(HeaderValue::as_address);
    let mut found = lists.flat_map(|list| list.iter().filter_map(|one| address::email(one.address()?)));
    let kept = found.by_ref().take(RECIPIENTS_MAX).collect();
    (kept, found.next().is_some())
}

/// The usable ids in all headers of that name, in their order.
fn ids(mail: &Message<'_>, name: HeaderName<'static>) -> Vec<String> {
    let mut found = Vec::new();
    for value in mail.header_values(name) {
        match value {
            HeaderValue::Text(id) => found.extend(clean_id(id)),
            HeaderValue::TextList(ids) => found.extend(ids.iter().filter_map(|id| clean_id(id))),
            _ => {}
        }
    }
    found
}

/// `References`, and whether some were left out: the first (where it began) and the newest are worth keeping.
fn references(mail: &Message<'_>) -> (Vec<String>, bool) {
    let mut found = ids(mail, HeaderName::References);
    let more = found.len() > REFERENCES_MAX;
    if more {
        found.drain(1..=found.len() - REFERENCES_MAX);
    }
    (found, more)
}
