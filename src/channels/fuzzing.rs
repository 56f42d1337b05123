//! The doors for the fuzzer: what providers and customers send, and what must hold of what is made of it.
//!
//! A message that was read is small enough for its record, shows no control characters, names all its parts, and is
//! the same however often it is read: a provider that repeats a request must be recognised.

pub(crate) mod outgoing;

use std::collections::BTreeSet;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use uuid::Uuid;

use throughline_workflows::{
    ids::{ConversationId, TenantId},
    message::{AddressKind, AttachmentAt, Details, Inbound},
    time::Timestamp,
};

use crate::channels::{
    Adapter, Parsed, Receipt, Unreadable, WebhookRequest, address,
    draft::{ATTACHMENTS_MAX, BODY_MAX, NAME_MAX, SUBJECT_MAX},
    email::{RawEmail, RawEmailSettings},
    generic::{Generic, GenericSettings},
    reply_token::ReplyKeys,
    signature::{self, WebhookSecret},
    twilio_signature,
    twilio_sms::{TwilioSms, TwilioSmsSettings, status::TwilioSmsStatus},
};

/// The engine's time of every request.
const NOW_MS: u64 = 1_795_253_400_000;

/// Within what a record may take besides its message.
const RECORD_MAX: usize = 56 * 1024;

/// One mail as it came over the wire; bounces are mails too.
pub(crate) fn mail(bytes: &[u8]) {
    let settings = RawEmailSettings {
        own_addresses: vec!["care@shop.example".into()],
        replies: replies(),
        secrets: Vec::new(),
    };
    read_twice(&RawEmail::new(settings), "http://127.0.0.1/webhooks/raw/email", &HeaderMap::new(), bytes);
}

/// The body of a generic webhook, of a channel with a secret and of one without.
pub(crate) fn generic(bytes: &[u8]) {
    for secrets in [Vec::new(), vec![secret(b"a secret of the channel")]] {
        let settings = GenericSettings { name: "shop".into(), secrets, replies: replies() };
        read_twice(
            &Generic::new(settings),
            "http://127.0.0.1/webhooks/generic/shop",
            &HeaderMap::new(),
            bytes,
        );
    }
}

/// A request of Twilio's to both of its doors: the query on the first line, then the body, JSON where it begins so.
pub(crate) fn twilio(bytes: &[u8]) {
    let (query, body) = split(bytes);
    let url = format!("https://care.shop.example/webhooks/twilio/sms?{}", String::from_utf8_lossy(query));
    let mut headers = HeaderMap::new();
    if body.starts_with(b"{") {
        headers.insert("content-type", HeaderValue::from_static("application/json"));
    }
    read_twice(&TwilioSms::new(TwilioSmsSettings::default()), &url, &headers, body);
    read_twice(&TwilioSmsStatus::new(TwilioSmsSettings::default()), &url, &headers, body);
}

/// Signature headers on the first four lines (id, timestamp, signature, address), then the body.
pub(crate) fn signatures(bytes: &[u8]) {
    let (id, rest) = split(bytes);
    let (stamp, rest) = split(rest);
    let (given, rest) = split(rest);
    let (url, body) = split(rest);
    let secrets = [secret(b"the newer"), secret(b"the older")];
    let now = Timestamp::from_millis(NOW_MS);
    let seconds = i64::try_from(now.as_seconds()).unwrap_or_default();

    // As it came: it can only be right by being made with the secret.
    let mut headers = HeaderMap::new();
    set(&mut headers, "webhook-id", id);
    set(&mut headers, "webhook-timestamp", stamp);
    set(&mut headers, "webhook-signature", given);
    let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
    if signature::verify(&secrets, &headers, body, now).is_ok() {
        let stamped: i64 = text(stamp).parse().expect("what is verified has a time");
        let made = secrets.iter().map(|secret| secret.sign(text(id), stamped, body));
        assert!(
            made.into_iter().any(|made| text(given).contains(&made)),
            "nothing verifies that was not signed"
        );
    }

    // As its sender would sign it: right, and no longer once a byte is changed or the time has passed.
    if HeaderValue::from_bytes(id).is_ok_and(|id| id.to_str().is_ok()) {
        for secret in &secrets {
            set(&mut headers, "webhook-timestamp", seconds.to_string().as_bytes());
            set(&mut headers, "webhook-signature", secret.sign(text(id), seconds, body).as_bytes());
            assert_eq!(signature::verify(&secrets, &headers, body, now), Ok(()));
            assert!(signature::verify(&secrets, &headers, &[body, b"x"].concat(), now).is_err());
            assert!(
                signature::verify(&secrets, &headers, body, Timestamp::from_millis(NOW_MS + 301_000))
                    .is_err()
            );
            assert!(signature::verify(&[], &headers, body, now).is_err());
        }
    }

    let mut twilio = HeaderMap::new();
    set(&mut twilio, "x-twilio-signature", given);
    let url = String::from_utf8_lossy(url);
    let _ = twilio_signature::verify(&["a token".into()], &url, &twilio, body);
    set(&mut twilio, "content-type", b"application/json");
    let _ = twilio_signature::verify(&["a token".into()], &url, &twilio, body);
    let _ = WebhookSecret::parse(&String::from_utf8_lossy(body));
}

/// The text of an address header, a token or a `Message-ID`: only what we signed leads anywhere.
pub(crate) fn reply_token(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let keys = replies();
    if let Some(found) = keys.find_in(&text) {
        let token = keys.token(found).expect("there is a key");
        assert!(text.to_ascii_lowercase().contains(&token), "a conversation is found by its own token");
    }
    if let Some(found) = keys.verify_token(&text) {
        assert_eq!(keys.token(found), Some(text.to_ascii_lowercase()), "a token has one spelling");
    }
    let _ = keys.verify_message_id(&text);

    // Any sixteen bytes are a conversation: what we sign for it leads back to it, and to nobody else's.
    let conversation = bytes.first_chunk().map_or(Uuid::nil(), |id| Uuid::from_bytes(*id));
    let conversation = ConversationId(conversation);
    let token = keys.token(conversation).expect("there is a key");
    assert_eq!(keys.verify_token(&token), Some(conversation));
    assert_eq!(keys.verify_token(&token.to_ascii_uppercase()), Some(conversation));
    let address = keys.reply_address("care@shop.example", conversation).expect("it is short enough");
    assert_eq!(keys.find_in(&format!("Shop <{address}>")), Some(conversation));
    assert_eq!(address::email(&address), Some(address.clone()), "it is a mail address");
    let id = keys.message_id("0199d2f0-5a11-7c3e-9b1d-2f6f0a1b2c3d.3.0", conversation, "shop.example");
    assert_eq!(keys.verify_message_id(&id), Some(conversation));
    let others = ReplyKeys::new("other".parse().expect("a tenant"), vec![b"a key".to_vec()]);
    assert_eq!(others.verify_token(&token), None);
    assert_eq!(others.verify_message_id(&id), None);
}

/// A mail address or a telephone number.
pub(crate) fn addresses(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(found) = address::email(&text) {
        assert_eq!(address::email(&found), Some(found.clone()), "a canonical form is its own");
        assert!(!found.contains(|c: char| c.is_whitespace() || c.is_control() || "<>,;:\"()".contains(c)));
        assert_eq!(found.matches('@').count(), 1);
    }
    if let Some(found) = address::phone(&text) {
        assert_eq!(address::phone(&found), Some(found.clone()), "a canonical form is its own");
        assert!(found.len() <= 16 && found[1..].bytes().all(|b| b.is_ascii_digit()));
    }
}

fn replies() -> ReplyKeys {
    ReplyKeys::new(TenantId::default_tenant(), vec![b"a key".to_vec(), b"a former key".to_vec()])
}

fn secret(key: &[u8]) -> WebhookSecret {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(key);
    WebhookSecret::parse(&text).expect("base64 of some bytes")
}

/// The first line, and what stands behind it.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    (&bytes[..end], bytes.get(end + 1..).unwrap_or_default())
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &[u8]) {
    headers.remove(name);
    if let Ok(value) = HeaderValue::from_bytes(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// Reads a request, again as a repetition, and looks at what was made of it.
fn read_twice(adapter: &dyn Adapter, url: &str, headers: &HeaderMap, body: &[u8]) {
    let first = read(adapter, url, headers, body);
    let second = read(adapter, url, headers, body);
    assert_eq!(first, second, "a request that comes twice reads the same");
    match first {
        Ok(receipt) => {
            receipt.messages.iter().for_each(is_sound);
            for report in &receipt.reports {
                is_line("a provider's id", &report.provider_message_id, 1000);
                if let Some(error) = &report.error {
                    is_line("an error", &error.message, 4000);
                }
            }
        }
        Err(unreadable) => {
            assert!(!unreadable.problem.is_empty(), "a refusal says why");
            assert!(unreadable.to_string().len() < 4 * 1024, "a refusal is short");
        }
    }
}

fn read(adapter: &dyn Adapter, url: &str, headers: &HeaderMap, body: &[u8]) -> Result<Receipt, Unreadable> {
    let mut next = 0;
    let mut mint = || {
        next += 1;
        Uuid::from_u128(next)
    };
    let request = WebhookRequest {
        tenant: &TenantId::default_tenant(),
        url,
        headers,
        body: &Bytes::copy_from_slice(body),
        now: Timestamp::from_millis(NOW_MS),
        unsigned_allowed: true,
    };
    adapter.receive(&request, &mut mint)
}

/// What every message must be, whoever sent it.
fn is_sound(parsed: &Parsed) {
    let Parsed { inbound, parts } = parsed;
    let json = serde_json::to_vec(inbound).expect("a message can be shown");
    assert!(json.len() <= RECORD_MAX, "a message of {} bytes does not fit its record", json.len());
    assert_eq!(serde_json::from_slice::<Inbound>(&json).ok().as_ref(), Some(inbound));
    let stored = throughline_storage::codec::encode(inbound);
    assert_eq!(throughline_storage::codec::decode::<Inbound>(&stored).as_ref(), Ok(inbound));

    is_line("the provider's id", &inbound.provider_message_id, 1000);
    assert!(!inbound.provider_message_id.is_empty(), "a message has an id, or all without one would be one");
    is_prose("the text", &inbound.text);
    assert!(inbound.text.len() <= BODY_MAX);
    inbound.subject.iter().for_each(|subject| is_line("the subject", subject, SUBJECT_MAX));
    inbound.name.iter().for_each(|name| is_line("the name", name, NAME_MAX));
    inbound.to.iter().for_each(|to| is_line("our address", to, 400));
    if !inbound.metadata.is_empty() {
        let metadata: Result<serde_json::Map<String, serde_json::Value>, _> =
            serde_json::from_str(&inbound.metadata);
        assert!(metadata.is_ok(), "metadata is a JSON object: {}", inbound.metadata);
    }
    if let Details::Email(mail) = &inbound.details {
        mail.body_text.iter().for_each(|text| is_prose("the whole text", text));
        let ids = mail.message_id.iter().chain(&mail.in_reply_to).chain(&mail.references);
        ids.for_each(|id| is_line("an id of a mail", id, 1000));
        mail.to.iter().chain(&mail.cc).for_each(|recipient| is_line("a recipient", recipient, 1000));
    }

    assert!(!inbound.from.is_empty(), "somebody wrote it");
    for sender in &inbound.from {
        match sender.kind {
            AddressKind::Email => assert_eq!(address::email(&sender.value).as_ref(), Some(&sender.value)),
            AddressKind::Phone => assert_eq!(address::phone(&sender.value).as_ref(), Some(&sender.value)),
            AddressKind::Handle => {
                let (channel, handle) = sender.as_handle().expect("a handle names its channel");
                assert!(!handle.is_empty() && channel == inbound.channel);
                is_line("a handle", handle, 400);
            }
        }
    }

    assert!(inbound.attachments.len() <= ATTACHMENTS_MAX);
    let mut named = BTreeSet::new();
    for attachment in &inbound.attachments {
        is_line("a file's name", &attachment.name, NAME_MAX);
        assert!(!attachment.name.is_empty() && !attachment.name.contains(['/', '\\']));
        is_line("a media type", &attachment.media_type, 127);
        if let AttachmentAt::Blob(key) = &attachment.at {
            assert!(named.insert(key.clone()), "{key} is named twice");
        }
    }
    let kept: BTreeSet<_> = parts.iter().map(|part| part.key.clone()).collect();
    assert_eq!(kept.len(), parts.len(), "no part is kept twice");
    assert_eq!(kept, named, "every part is named, and every name has its part");
}

fn is_line(what: &str, text: &str, max: usize) {
    assert!(text.len() <= max, "{what} has {} bytes", text.len());
    assert!(!text.contains(|c: char| c.is_control() || "\u{2028}\u{2029}".contains(c)), "{what}: {text:?}");
}

fn is_prose(what: &str, text: &str) {
    assert!(!text.contains(|c: char| c.is_control() && c != '\n' && c != '\t'), "{what}: {text:?}");
}
