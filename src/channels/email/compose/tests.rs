//! Our mail, read back by a parser as a customer's program would.

use mail_parser::{MessageParser, MimeHeaders};
use proptest::prelude::*;

use throughline_workflows::{
    ids::{MessageId, TenantId},
    message::{Address, Channel},
};
use uuid::Uuid;

use super::*;
use crate::channels::testing::{at, conversation};

fn sender() -> MailSender {
    MailSender {
        from: "Support@care.example".into(),
        tenant_name: "Café Care".into(),
        replies: ReplyKeys::new(TenantId::default_tenant(), vec![b"a key".to_vec()]),
    }
}

fn outbound() -> Outbound {
    Outbound {
        message_id: MessageId(Uuid::from_u128(1)),
        conversation_id: conversation(),
        channel: Channel::Email,
        to: Address::new(AddressKind::Email, "ada@customer.example"),
        to_name: Some("Whitfield, \"Ada\"".into()),
        from: None,
        from_name: Some("Grace".into()),
        subject: Some("Re: Café order".into()),
        text: "Dear Ada,\n\nit is on its way – really.\n.\nFrom us".into(),
        attachments: Vec::new(),
        in_reply_to: Some("plain-1@mail.customer.example".into()),
        references: vec!["first@x.example".into(), "second@x.example".into()],
        automatic: false,
    }
}

fn activity() -> String {
    format!("{}.3.0", conversation())
}

fn write(message: &Outbound) -> Mail {
    let blobs = |key: &str| match key {
        "k" => Ok(Bytes::from_static(b"\x00\xffcontent\r\n")),
        other => Err(std::io::Error::other(format!("no blob {other}"))),
    };
    compose(&sender(), &activity(), message, at("2026-11-21T09:30:00Z"), &blobs).unwrap()
}

#[test]
fn long_names_in_any_alphabet_fit_the_lines() {
    let name = "Größe 日本語 ".repeat(12);
    let mail =
        write(&Outbound { to_name: Some(name.clone()), from_name: Some("x".repeat(300)), ..outbound() });
    let parsed = MessageParser::default().parse(&mail.bytes).unwrap();
    let read = parsed.to().unwrap().first().unwrap().name().unwrap().to_owned();
    assert!(read.len() > 150 && name.starts_with(&read), "{read}");
    let wire = String::from_utf8(mail.bytes.clone()).unwrap();
    assert!(wire.lines().filter(|line| line.contains("=?utf-8?B?")).all(|line| line.len() <= 76), "{wire}");
}

fn header_lines(mail: &Mail) -> Vec<String> {
    let text = String::from_utf8(mail.bytes.clone()).unwrap();
    let (headers, _) = text.split_once("\r\n\r\n").unwrap();
    headers.replace("\r\n\t", "").replace("\r\n ", " ").split("\r\n").map(str::to_owned).collect()
}

#[test]
fn a_persons_mail_threads_and_says_who_writes() {
    let mail = write(&outbound());
    let parsed = MessageParser::default().parse(&mail.bytes).unwrap();
    let from = parsed.from().unwrap().first().unwrap();
    assert_eq!((from.name(), from.address()), (Some("Grace at Café Care"), Some("support@care.example")));
    let to = parsed.to().unwrap().first().unwrap();
    assert_eq!((to.name(), to.address()), (Some("Whitfield, \"Ada\""), Some("ada@customer.example")));
    let reply_to = parsed.reply_to().unwrap().first().unwrap().address().unwrap().to_owned();
    assert_eq!(sender().replies.find_in(&reply_to), Some(conversation()));
    assert_eq!(mail.reply_to, Some(reply_to));
    assert_eq!(parsed.subject(), Some("Re: Café order"));
    assert_eq!(parsed.date().unwrap().to_rfc3339(), "2026-11-21T09:30:00Z");
    assert_eq!(parsed.message_id(), Some(mail.message_id.as_str()));
    assert_eq!(sender().replies.verify_message_id(&mail.message_id), Some(conversation()));
    assert_eq!(parsed.in_reply_to().as_text(), Some("plain-1@mail.customer.example"));
    let references = parsed.references().as_text_list().unwrap().to_vec();
    assert_eq!(references, ["first@x.example", "second@x.example", "plain-1@mail.customer.example"]);
    assert_eq!(parsed.body_text(0).unwrap().replace("\r\n", "\n"), format!("{}\n", outbound().text));
    for absent in ["Auto-Submitted", "Precedence", "X-Auto-Response-Suppress"] {
        assert!(!header_lines(&mail).iter().any(|line| line.starts_with(absent)), "{absent}");
    }
}

#[test]
fn the_machines_mail_says_that_it_is_one() {
    let mail = write(&Outbound { automatic: true, from_name: None, ..outbound() });
    let lines = header_lines(&mail);
    for line in ["Auto-Submitted: auto-replied", "X-Auto-Response-Suppress: All", "Precedence: bulk"] {
        assert!(lines.contains(&line.to_owned()), "{line} in {lines:#?}");
    }
    let parsed = MessageParser::default().parse(&mail.bytes).unwrap();
    assert_eq!(parsed.from().unwrap().first().unwrap().name(), Some("Café Care"));
}

#[test]
fn writing_it_again_writes_the_same() {
    let file = Attachment {
        name: "Rechnung für \"Ada\".pdf".into(),
        media_type: "application/pdf".into(),
        bytes: None,
        at: AttachmentAt::Blob("k".into()),
    };
    let link = Attachment {
        name: "film".into(),
        at: AttachmentAt::Url("https://x.example/f".into()),
        ..file.clone()
    };
    let message = Outbound { attachments: vec![file, link], ..outbound() };
    let mail = write(&message);
    assert_eq!(write(&message), mail);
    let parsed = MessageParser::default().parse(&mail.bytes).unwrap();
    assert!(parsed.body_text(0).unwrap().contains("film: https://x.example/f"));
    let attached = parsed.attachment(0).unwrap();
    assert_eq!(attached.contents(), b"\x00\xffcontent\r\n");
    assert_eq!(attached.attachment_name(), Some("Rechnung für \"Ada\".pdf"));
}

#[test]
fn what_cannot_be_written_says_why() {
    let message = Outbound { to: Address::new(AddressKind::Phone, "+15550123456"), ..outbound() };
    let none = |_: &str| Err(std::io::Error::other("gone"));
    let write = |message: &Outbound, sender: &MailSender| {
        compose(sender, &activity(), message, at("2026-11-21T09:30:00Z"), &none).unwrap_err()
    };
    assert!(matches!(write(&message, &sender()), ComposeError::Recipient(_)));
    assert!(matches!(
        write(&outbound(), &MailSender { from: "us".into(), ..sender() }),
        ComposeError::Sender(_)
    ));
    let file = Attachment {
        name: "a".into(),
        media_type: "b/c".into(),
        bytes: None,
        at: AttachmentAt::Blob("x".into()),
    };
    let message = Outbound { attachments: vec![file], ..outbound() };
    assert!(matches!(write(&message, &sender()), ComposeError::Blob { .. }));
}

#[test]
fn a_long_line_of_ancestors_keeps_the_first_and_the_newest() {
    let references = (0..100).map(|n| format!("{n}@x.example")).collect();
    let mail = write(&Outbound { references, ..outbound() });
    let parsed = MessageParser::default().parse(&mail.bytes).unwrap();
    let kept = parsed.references().as_text_list().unwrap();
    assert_eq!((kept.len(), &*kept[0], &*kept[19]), (20, "0@x.example", "plain-1@mail.customer.example"));
    assert!(String::from_utf8(mail.bytes.clone()).unwrap().lines().all(|line| line.len() <= 998));
}

proptest! {
    #[test]
    fn nobody_can_add_a_header_or_break_the_form(
        name in "\\PC{0,40}", subject in "[ -~\r\n\t\u{e9}]{0,200}", text in "[ -~\r\n\u{e9}]{0,300}", id in "[ -~\r\n]{0,60}", automatic: bool,
    ) {
        let evil = format!("{name}\r\nBcc: evil@x.example\r\n");
        let message = Outbound {
            to_name: Some(evil.clone()), from_name: Some(evil), subject: Some(format!("x{subject}\nBcc: evil@x.example")),
            text: text.clone(), in_reply_to: Some(id.clone()), references: vec![id], automatic, ..outbound()
        };
        let mail = write(&message);
        let headers = header_lines(&mail);
        prop_assert!(!headers.iter().any(|line| line.to_lowercase().starts_with("bcc")), "{:#?}", headers);
        let wire = String::from_utf8(mail.bytes.clone()).unwrap();
        prop_assert!(wire.is_ascii(), "{:?}", wire);
        prop_assert!(wire.replace("\r\n", "").find(['\r', '\n']).is_none(), "bare line ends in {:?}", wire);
        prop_assert!(wire.split("\r\n").all(|line| line.len() <= 998));
        let parsed = MessageParser::default().parse(&mail.bytes).unwrap();
        prop_assert_eq!(parsed.message_id(), Some(mail.message_id.as_str()));
        let back = parsed.body_text(0).unwrap_or_default().replace("\r\n", "\n");
        let written = prose(&text);
        prop_assert_eq!(back.trim_end(), written.trim_end());
    }
}
