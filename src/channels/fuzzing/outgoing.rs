//! What leaves us with words of others in it, and what providers answer.
//!
//! A mail of ours carries a customer's name, subject and ids back to them. Whatever those hold, it has the headers
//! that we wrote and no others, and goes to one address.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use mail_parser::MessageParser;
use uuid::Uuid;

use throughline_workflows::{
    ids::{ConversationId, MessageId},
    message::{Address, AddressKind, Attachment, AttachmentAt, Channel, Outbound},
    time::{Span, Timestamp},
};

use super::{NOW_MS, is_line, replies, split};
use crate::{
    alarms,
    channels::{
        address,
        email::{
            compose::{MailSender, compose},
            smtp::enhanced_status,
        },
        generic::post::given_id,
        sending::{SendOutcome, http},
        twilio_sms::send::outcome_of,
    },
};

/// Every header that a mail of ours may have.
const HEADERS: &[&str] = &[
    "from",
    "to",
    "reply-to",
    "subject",
    "date",
    "message-id",
    "in-reply-to",
    "references",
    "auto-submitted",
    "x-auto-response-suppress",
    "precedence",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
];

/// The address, name, subject, parent and ancestors that an answer is made of, a line each; a file's name; the words.
pub(crate) fn reply_mail(bytes: &[u8]) {
    let mut rest = bytes;
    let mut next = || {
        let (line, others) = split(rest);
        rest = others;
        String::from_utf8_lossy(line).into_owned()
    };
    let (to, name, subject, parent, ancestors, file) = (next(), next(), next(), next(), next(), next());
    let message = Outbound {
        message_id: MessageId(Uuid::from_u128(2)),
        conversation_id: ConversationId(Uuid::from_u128(1)),
        channel: Channel::Email,
        to: Address::new(AddressKind::Email, to.clone()),
        to_name: Some(name.clone()),
        from: None,
        from_name: Some(name),
        subject: Some(subject),
        text: String::from_utf8_lossy(rest).into_owned(),
        attachments: vec![Attachment {
            name: file.clone(),
            media_type: file,
            bytes: None,
            at: AttachmentAt::Blob("default/1/1".into()),
        }],
        in_reply_to: Some(parent),
        references: ancestors.split(' ').map(str::to_owned).collect(),
        automatic: true,
    };
    let sender =
        MailSender { from: "care@shop.example".into(), tenant_name: "Shop".into(), replies: replies() };
    let read = |_: &str| Ok(bytes::Bytes::from_static(b"file"));
    let write = || compose(&sender, "0199d2f0-5a11-7c3e-9b1d-2f6f0a1b2c3d.3.0", &message, at(), &read);
    let Ok(mail) = write() else {
        assert_eq!(address::email(&to), None, "only what is no address is refused");
        return;
    };
    assert_eq!(write().ok().as_ref(), Some(&mail), "a mail written twice is the same mail");
    is_well_formed(&mail.bytes);
    let read = MessageParser::default().parse(&mail.bytes).expect("our own mail is read");
    let recipients: Vec<_> = read.to().into_iter().flat_map(|to| to.iter()).collect();
    assert_eq!(recipients.len(), 1, "a mail goes to one address");
    let recipient = recipients.first().and_then(|one| one.address());
    assert_eq!(recipient.map(str::to_lowercase), address::email(&to), "and to the customer's");
    assert_eq!(read.message_id(), Some(mail.message_id.as_str()));
    assert_eq!(read.attachment_count(), 1);
}

/// Lines end as SMTP wants them, and the head holds what we wrote.
fn is_well_formed(mail: &[u8]) {
    assert!(!mail.contains(&0), "no mail holds a NUL");
    for line in mail.split(|byte| *byte == b'\n').rev().skip(1) {
        let line = line.strip_suffix(b"\r").expect("a line ends with CR and LF");
        assert!(!line.contains(&b'\r'), "a CR stands before its LF only");
        assert!(line.len() <= 998, "a line has {} bytes", line.len());
    }
    let end = mail.windows(4).position(|four| four == b"\r\n\r\n").expect("a head ends");
    let head = std::str::from_utf8(&mail[..end]).expect("a head is text");
    let mut seen = BTreeSet::new();
    for line in head.split("\r\n").filter(|line| !line.starts_with([' ', '\t'])) {
        let (name, _) = line.split_once(':').expect("a header has a name");
        let name = name.to_ascii_lowercase();
        assert!(HEADERS.contains(&name.as_str()), "{name} is none of our headers");
        assert!(seen.insert(name), "a header stands twice: {line:?}");
    }
}

fn at() -> Timestamp {
    Timestamp::from_millis(NOW_MS)
}

/// A provider's answer: its status, its `Retry-After`, an SMTP reply, a line each, and the body.
pub(crate) fn answers(bytes: &[u8]) {
    let (status, rest) = split(bytes);
    let (retry_after, rest) = split(rest);
    let (reply, body) = split(rest);
    let status = std::str::from_utf8(status).ok().and_then(|status| status.parse::<u16>().ok());
    let status = status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::OK);
    let text = String::from_utf8_lossy(retry_after);
    let retry_after = http::wait_of(&text, at());
    if let Some(wait) = retry_after {
        assert!((Span::from_secs(1)..=Span::from_hours(24)).contains(&wait), "{text:?} means {wait}");
    }
    let _ = alarms::wait_of(&text, at());
    let answer = http::Answer { status, retry_after, body: body.to_vec() };
    match outcome_of(&answer) {
        SendOutcome::Accepted { provider_message_id } => {
            assert!(status.is_success());
            let id = provider_message_id.expect("Twilio names what it takes");
            assert!(id.len() == 34 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        }
        SendOutcome::Retry { error, .. } | SendOutcome::Refused(error) | SendOutcome::Uncertain(error) => {
            is_line("what a provider said", &error.message, 1000);
            assert!(error.code.is_some_and(|code| !code.is_empty()));
        }
    }
    if let Some(id) = given_id(body) {
        is_line("a receiver's id", &id, 200);
        assert!(!id.is_empty(), "an id names something");
    }
    if let Some(status) = enhanced_status(&String::from_utf8_lossy(reply)) {
        assert_eq!(enhanced_status(&status), Some(status.clone()));
    }
}
