//! Mail as it comes: from mail programs, from machines, and from people who mean no good.

use proptest::prelude::*;

use throughline_workflows::{
    ids::TenantId,
    message::{Address, AttachmentAt},
};

use super::*;
use crate::channels::{
    Parsed,
    testing::{Call, at, conversation, fixture},
};

fn replies() -> ReplyKeys {
    ReplyKeys::new(TenantId::default_tenant(), vec![b"a key".to_vec()])
}

fn door() -> RawEmail {
    let own_addresses = vec!["Support@care.example".to_owned()];
    RawEmail::new(RawEmailSettings { own_addresses, replies: replies(), secrets: Vec::new() })
}

fn read(name: &str) -> Parsed {
    Call::unsigned(fixture(name)).parsed(&door())
}

/// A mail of these headers, each on its line, from Ada unless they say otherwise.
fn mail(headers: &str) -> Inbound {
    let from = if headers.starts_with("From:") { "" } else { "From: ada@customer.example\r\n" };
    Call::unsigned(format!("{from}{headers}\r\n\r\nHello")).message(&door())
}

fn details(inbound: &Inbound) -> &EmailDetails {
    match &inbound.details {
        Details::Email(details) => details,
        other => panic!("a mail has mail's details, not {other:?}"),
    }
}

#[test]
fn a_plain_mail_is_read_whole() {
    let message = read("mail_plain.eml").inbound;
    assert_eq!(message.from, [Address::new(AddressKind::Email, "ada@customer.example")]);
    assert_eq!(message.name.as_deref(), Some("Ada Whitfield"));
    assert_eq!(message.to.as_deref(), Some("support@care.example"));
    assert_eq!(message.subject.as_deref(), Some("Café order 4412"));
    assert_eq!(message.provider_message_id, "plain-1@mail.customer.example");
    assert_eq!(message.sent_at, Some(at("2026-11-02T10:00:00Z")));
    assert_eq!(message.text, "The cup is broken and I would like a new one.\n\nNo.");
    assert_eq!(message.metadata, r#"{"reply_to":"ada@home.example"}"#);
    assert!(!message.automatic);
    let details = details(&message);
    assert!(details.body_text.as_ref().unwrap().contains("> Anything else?"), "{:?}", details.body_text);
    assert_eq!(details.to, ["support@care.example", "other@care.example"]);
    assert_eq!(details.cc, ["bob@customer.example"]);
}

#[test]
fn html_alone_becomes_text_without_its_history() {
    let message = read("mail_html_only.eml").inbound;
    assert_eq!(message.name.as_deref(), Some("Whitfield, Ada"));
    assert_eq!(message.text, "Yes & please.\nAda");
    assert!(details(&message).body_text.as_ref().unwrap().contains("Shall we?"));
    assert!(details(&message).body_html.as_ref().unwrap().contains("gmail_quote"));
}

#[test]
fn files_inline_images_and_enclosed_mails_are_kept_byte_by_byte() {
    let parsed = read("mail_attachments.eml");
    assert_eq!(parsed.inbound.text, "See the picture, café.");
    let listed: Vec<_> =
        parsed.inbound.attachments.iter().map(|one| (one.name.as_str(), one.media_type.as_str())).collect();
    assert_eq!(
        listed,
        [
            ("pic.png", "image/png"),
            ("Rechnung für Ada.pdf", "application/pdf"),
            ("message.eml", "message/rfc822"),
        ]
    );
    assert_eq!(parsed.parts[0].bytes, &b"\x89PNG\r\n\x1a\n not much of a picture"[..]);
    assert_eq!(parsed.parts[1].bytes, "%PDF-1.4");
    let enclosed = std::str::from_utf8(&parsed.parts[2].bytes).unwrap();
    assert!(
        enclosed.starts_with("From: shop@shop.example") && enclosed.contains("message/rfc822 is what"),
        "{enclosed}"
    );
    for (part, listed) in parsed.parts.iter().zip(&parsed.inbound.attachments) {
        assert_eq!(listed.at, AttachmentAt::Blob(part.key.clone()));
        assert_eq!(listed.bytes, u64::try_from(part.bytes.len()).ok());
    }
}

#[test]
fn rubbish_in_headers_is_survived() {
    let message = read("mail_rubbish.eml").inbound;
    assert_eq!(message.from[0].value, "adele@customer.example");
    assert!(message.subject.as_ref().unwrap().starts_with("Caf"));
    assert!(message.provider_message_id.starts_with("sha256-"));
    assert_eq!(message.sent_at, None);
    assert!(message.text.starts_with("Gr"));
    let again = read("mail_rubbish.eml").inbound;
    assert_eq!(again.provider_message_id, message.provider_message_id, "the same bytes are the same mail");
}

#[test]
fn other_alphabets_are_read() {
    let message = read("mail_japanese.eml").inbound;
    assert_eq!(message.name.as_deref(), Some("山田"));
    assert_eq!(message.text, "こんにちは。");
}

#[test]
fn a_reply_finds_its_conversation_by_token_then_by_what_it_answers() {
    let token = replies().reply_address("support@care.example", conversation()).unwrap();
    let other = ConversationId(Uuid::from_u128(5));
    let ours = replies().message_id(&format!("{}.3.0", conversation()), conversation(), "care.example");
    let others = replies().message_id(&format!("{other}.9.0"), other, "care.example");
    for headers in [
        format!("To: {token}\r\nIn-Reply-To: <{others}>"),
        format!("To: list@x.example\r\nX-Original-To: {}", token.to_uppercase()),
        format!("Delivered-To: {token}"),
        format!("In-Reply-To: <{ours}>\r\nReferences: <{others}>"),
        format!("References: <{others}> <a@b>\r\n <{ours}> <c@d>"),
    ] {
        assert_eq!(mail(&headers).thread, Some(conversation()), "{headers}");
    }
    assert_eq!(mail("To: support+t-77.5c9e1f@care.example\r\nSubject: [Case 77]").thread, None);
}

#[test]
fn a_bounce_of_nothing_of_ours_is_automatic_mail() {
    let message = Call::unsigned(fixture("mail_bounce.eml")).message(&door());
    assert!(message.automatic);
    assert_eq!(message.thread, None);
    assert_eq!(message.from, [Address::new(AddressKind::Handle, "email/mailer-daemon")]);
    assert_eq!(message.metadata, r#"{"automatic":"report"}"#);
}

#[test]
fn machines_are_recognised() {
    for headers in [
        "Auto-Submitted: auto-replied",
        "Auto-Submitted: auto-generated (out of office); x=y",
        "Return-Path: <>",
        "Precedence: bulk",
        "Precedence: JUNK",
        "Precedence: list",
        "Precedence: auto_reply",
        "X-Auto-Response-Suppress: All",
        "X-Auto-Response-Suppress: DR, OOF",
        "X-Auto-Response-Suppress: RN;NRN",
        "X-Auto-Response-Suppress: AutoReply",
        "List-Id: <shoes.lists.example>",
        "List-Unsubscribe: <mailto:off@lists.example>",
        "List-Post: NO",
        "X-Autoreply: yes",
        "X-Autorespond: yes",
        "X-Autoresponse: yes",
        "X-Loop: care",
        "Feedback-ID: 1:2:3",
        "Content-Type: multipart/report; report-type=disposition-notification; boundary=b",
        "From: Mail System <MAILER-DAEMON@mx.example>",
        "From: postmaster@mx.example",
        "From: noreply@shop.example",
        "From: No-Reply+7@shop.example",
        "From: support@care.example",
        "From: Support+c123@care.example",
    ] {
        assert!(mail(headers).automatic, "{headers}");
    }
    for headers in [
        "Auto-Submitted: no",
        "Auto-Submitted: No; x=y",
        "Precedence: first-class",
        "Return-Path: <a@b.example>",
        "X-Auto-Response-Suppress: None",
    ] {
        assert!(!mail(headers).automatic, "{headers}");
    }
}

#[test]
fn what_is_no_mail_is_said_to_be_none() {
    for (body, field) in [
        (&b""[..], None),
        (b"\r\n\r\nHello", None),
        (b"hello there\n", None),
        (b"\x00\x01\x02\xff", None),
        (b"Subject: x\r\n\r\nHello", Some("From")),
        (b"From:\r\nSubject: x\r\n\r\nHello", Some("From")),
        (b"From: <>\r\n\r\nHello", Some("From")),
    ] {
        let fault = Call::unsigned(body).receive(&door()).unwrap_err();
        assert_eq!(fault.field.as_deref(), field, "{body:?}: {fault}");
    }
}

#[test]
fn a_mail_inside_a_mail_inside_a_mail_a_hundred_thousand_deep_is_a_file() {
    let deep = "Content-Type: message/rfc822\n\n".repeat(100_000);
    let parsed = Call::unsigned(format!("From: a@b.example\n{deep}")).parsed(&door());
    assert_eq!(parsed.inbound.attachments.len(), 1);
    // The same, hidden from a look at the raw bytes.
    use base64::{Engine, engine::general_purpose::STANDARD};
    let hidden = format!(
        "From: a@b.example\nContent-Type: message / rfc822\nContent-Transfer-Encoding: base64\n\n{}\n",
        STANDARD.encode(&deep)
    );
    let parsed = Call::unsigned(hidden).parsed(&door());
    assert_eq!(parsed.parts[0].bytes, deep);
    let digests = (0..20_000).map(|n| format!("Content-Type: multipart/digest; boundary=b{n}\n\n--b{n}\n\n"));
    Call::unsigned(format!("From: a@b.example\n{}", digests.collect::<String>())).parsed(&door());
}

#[test]
fn a_huge_mail_leaves_a_small_record_and_loses_nothing() {
    let recipients: String = (0..500).map(|n| format!("someone-{n}@customer.example, ")).collect();
    let references: String = (0..500).map(|n| format!("<reference-{n}@customer.example>\r\n ")).collect();
    let text = "A long line of text with \"quotes\" and ümläuts.\r\n".repeat(20_000);
    let body = format!(
        "From: ada@customer.example\r\nTo: {recipients}\r\nReferences: {references}\r\nSubject: {}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}",
        "s".repeat(5000)
    );
    let call = Call::unsigned(body.clone());
    let parsed = call.parsed(&door());
    assert!(serde_json::to_vec(&parsed.inbound).unwrap().len() < 60_000);
    assert_eq!(details(&parsed.inbound).references.first().unwrap(), "reference-0@customer.example");
    assert_eq!(details(&parsed.inbound).references.last().unwrap(), "reference-499@customer.example");
    let original = parsed.inbound.attachments.iter().position(|one| one.name == "message.eml").unwrap();
    assert_eq!(parsed.parts[original].bytes, body);
}

#[test]
fn a_signed_mail_of_any_bytes_is_verified() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let secrets = vec![WebhookSecret::parse(&STANDARD.encode("k")).unwrap()];
    let door = RawEmail::new(RawEmailSettings { own_addresses: Vec::new(), replies: replies(), secrets });
    let mut call = Call::to("http://care.example/x", fixture("mail_rubbish.eml"));
    assert_eq!(call.verify(&door), Err(Refusal::MISSING_SIGNATURE));
    let seconds = at(crate::channels::testing::NOW).as_seconds().to_string();
    let mac = crate::channels::testing::hmac_sha256(b"k", &[b"1.", seconds.as_bytes(), b".", &call.body]);
    for (name, value) in
        [("id", "1"), ("timestamp", &seconds), ("signature", &format!("v1,{}", STANDARD.encode(mac)))]
    {
        call = call.header(&format!("webhook-{name}"), value);
    }
    assert_eq!(call.verify(&door), Ok(Verified::Signed));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Call::unsigned(bytes).receive(&door());
    }

    #[test]
    fn no_mail_made_of_likely_pieces_makes_it_panic_or_too_big(
        pieces in prop::collection::vec(prop::sample::select(vec![
            &b"From: a@b.example\n"[..], b"\n", b"\r\n", b"--b\n", b"--b--\n", b"Content-Type: multipart/mixed; boundary=b\n",
            b"Content-Type: multipart/alternative; boundary=\"b\"\n", b"Content-Type: text/html\n", b"Content-Type: text/plain; format=flowed\n",
            b"Content-Type: message/rfc822\n", b"Content-Type: multipart/digest; boundary=b\n", b"Content-Transfer-Encoding: base64\n",
            b"Content-Transfer-Encoding: quoted-printable\n", b"Subject: =?utf-8?q?=e9=?=\n", b"To: \"x\" <y@z>, (\n", b"Date: Mon, 31 Feb 9999 99:99:99 +9999\n",
            b"Message-ID: <a@b>\n", b"References: <a@b> <\n", b"hello\n", b"aGVsbG8=\n", b"=E9=\n", b"<div><br></div>\n", b"<!--", b"&#x110000;&amp", b" folded\n",
            b"\xff\xfe\n", b"> quoted\n", b"-- \n", b"Content-Disposition: attachment; filename*0*=utf-8''%e9; filename*1=x\n",
        ]), 0..40),
    ) {
        let mut body = b"From: ada@customer.example\n".to_vec();
        body.extend(pieces.concat());
        let receipt = Call::unsigned(body).receive(&door());
        let fault = receipt.as_ref().err().map(ToString::to_string).unwrap_or_default();
        prop_assert!(!fault.contains("gave up"), "{}", fault);
        if let Ok(receipt) = receipt {
            prop_assert!(serde_json::to_vec(&receipt.messages[0].inbound).unwrap().len() < 60_000);
        }
    }
}
