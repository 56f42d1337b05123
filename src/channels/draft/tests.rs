//! The limits, at their edges.

use throughline_workflows::{
    ids::MessageId,
    message::{Channel, EmailDetails},
    time::Timestamp,
};
use uuid::Uuid;

use super::*;

fn inbound(details: Details) -> Inbound {
    Inbound {
        id: MessageId(Uuid::from_u128(7)),
        channel: Channel::Email,
        provider_message_id: "p".into(),
        from: Vec::new(),
        name: None,
        to: None,
        text: String::new(),
        subject: None,
        attachments: Vec::new(),
        thread: None,
        vouched: false,
        automatic: false,
        details,
        metadata: String::new(),
        sent_at: None,
        received_at: Timestamp::default(),
    }
}

fn finish(draft: Draft<'_>) -> Parsed {
    let bytes = Bytes::from_static(b"the original");
    draft.finish(&Original { name: "original", media_type: "text/plain", bytes: &bytes })
}

#[test]
fn three_bodies_that_each_fit_but_not_together_are_moved_out_one_by_one() {
    let tenant = TenantId::default_tenant();
    let body = "x".repeat(BODY_MAX);
    let details = EmailDetails {
        body_text: Some(body.clone()),
        body_html: Some(body.clone()),
        ..EmailDetails::default()
    };
    let mut message = inbound(Details::Email(Box::new(details)));
    message.text = body.clone();
    let parsed = finish(Draft::new(&tenant, message));
    assert!(serde_json::to_vec(&parsed.inbound).unwrap().len() <= RECORD_MAX);
    assert!(parsed.parts.iter().all(|part| part.bytes == body), "each is whole");
    let Details::Email(mail) = parsed.inbound.details else { panic!("still a mail") };
    assert_eq!((mail.body_text, parsed.parts.len()), (None, 1), "the text was there twice, and is one blob");
    assert_eq!(mail.body_html, Some(body));
}

#[test]
fn more_files_than_are_named_are_kept_in_the_original() {
    let tenant = TenantId::default_tenant();
    let mut draft = Draft::new(&tenant, inbound(Details::None));
    for index in 0..120 {
        draft.attach(&format!("file {index}"), "a/b", Bytes::from_static(b"content"));
    }
    let parsed = finish(draft);
    assert_eq!(parsed.inbound.attachments.len(), ATTACHMENTS_MAX);
    assert_eq!(parsed.inbound.attachments.last().unwrap().name, "original");
    assert_eq!(parsed.parts.len(), ATTACHMENTS_MAX);
    assert_eq!(parsed.parts.last().unwrap().bytes, "the original");
}

#[test]
fn lines_are_lines_and_prose_keeps_its_line_ends() {
    assert_eq!(line(" a\r\nBcc: x\u{2028}y\0 ", 100), "a  Bcc: x y");
    assert_eq!(line("ääää", 5), "ää");
    assert_eq!(prose("a\r\nb\rc\n\td\0"), "a\nb\nc\n\td");
}

#[test]
fn names_and_types_of_files_are_harmless() {
    assert_eq!(file_name("C:\\dir\\a.txt"), Some("a.txt".into()));
    assert_eq!(file_name("../.."), None);
    assert_eq!(file_name("a\r\nb"), Some("a  b".into()));
    assert_eq!(media_type("IMAGE/PNG; name=x"), "image/png");
    for odd in ["", "image", "image/", "a/b/c", "image/p\r\nng", "ä/b"] {
        assert_eq!(media_type(odd), "application/octet-stream", "{odd:?}");
    }
}
