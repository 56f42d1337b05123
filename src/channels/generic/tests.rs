//! A channel of one's own: what is taken, what is refused, and in which words.

use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::json;

use throughline_workflows::{ids::TenantId, message::AttachmentAt};

use super::*;
use crate::channels::testing::{Call, at, conversation};

fn door(secrets: Vec<WebhookSecret>) -> Generic {
    let replies = ReplyKeys::new(TenantId::default_tenant(), vec![b"a key".to_vec()]);
    Generic::new(GenericSettings { name: "web".into(), secrets, replies })
}

fn signed_door() -> Generic {
    door(vec![WebhookSecret::parse("whsec_YSBrZXkgb2Ygc29tZSBsZW5ndGg=").unwrap()])
}

/// The smallest body with changes laid over it; `null` takes a field away.
fn body(changes: Value) -> Call {
    let mut body = json!({ "id": "m-1", "from": { "email": "ada@customer.example" }, "text": "Hello" });
    let fields = body.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        fields.insert(name.clone(), value.clone());
        if value.is_null() {
            fields.remove(name);
        }
    }
    Call::unsigned(body.to_string())
}

fn fault(changes: Value) -> (String, String) {
    let fault = body(changes).receive(&door(vec![])).unwrap_err();
    (fault.field.unwrap_or_default(), fault.problem)
}

#[test]
fn the_smallest_body_is_enough() {
    let receipt = body(json!({})).receive(&door(vec![])).unwrap();
    assert_eq!(receipt.response.body, r#"{"status":"accepted"}"#);
    let message = &receipt.messages[0].inbound;
    assert_eq!(message.channel, Channel::Generic("web".into()));
    assert_eq!(message.provider_message_id, "m-1");
    assert_eq!(message.from, [Address::new(AddressKind::Email, "ada@customer.example")]);
    assert_eq!((message.text.as_str(), message.metadata.as_str()), ("Hello", ""));
}

#[test]
fn every_field_has_its_place() {
    let call = body(json!({
        "from": { "email": "Ada@Customer.example", "phone": "+1 555 012 3456", "handle": "ada", "name": "Ada\r\nW" },
        "subject": "About\nmy order", "metadata": { "order": 4412 }, "at": "2026-11-21T10:30:00+01:00",
        "attachments": [
            { "name": "../../etc/note.txt", "media_type": "Text/Plain; charset=utf-8", "content_base64": "SGk=" },
            { "name": "photo", "media_type": "image/png", "url": "https://files.example/p.png" },
        ],
        "something_new": [1, 2, 3],
    }));
    let parsed = call.parsed(&signed_door());
    let message = parsed.inbound;
    let from: Vec<_> = message.from.iter().map(ToString::to_string).collect();
    assert_eq!(from, ["email:ada@customer.example", "phone:+15550123456", "handle:generic:web/ada"]);
    assert_eq!(message.name.as_deref(), Some("Ada  W"));
    assert_eq!(message.subject.as_deref(), Some("About my order"));
    assert_eq!(message.metadata, r#"{"order":4412}"#);
    assert_eq!(message.sent_at, Some(at("2026-11-21T09:30:00Z")));
    assert_eq!(message.attachments[0].name, "note.txt");
    assert_eq!(message.attachments[0].media_type, "text/plain");
    assert_eq!(message.attachments[1].at, AttachmentAt::Url("https://files.example/p.png".into()));
    assert_eq!(parsed.parts[0].bytes, "Hi");
}

#[test]
fn several_addresses_are_one_person_only_when_the_sender_is_known() {
    let call = body(json!({ "from": { "email": "ada@customer.example", "phone": "+15550123456" } }));
    assert_eq!(call.message(&signed_door()).from.len(), 2);
    let unsigned = call.message(&door(vec![]));
    assert_eq!(unsigned.from.len(), 1);
    assert_eq!(unsigned.metadata, r#"{"other_addresses":["phone:+15550123456"]}"#);
}

#[test]
fn a_thread_is_a_token_or_a_known_senders_id_and_else_kept() {
    let replies = ReplyKeys::new(TenantId::default_tenant(), vec![b"a key".to_vec()]);
    let id = conversation().to_string();
    for thread in [
        replies.token(conversation()).unwrap(),
        replies.reply_address("s@x.example", conversation()).unwrap(),
    ] {
        let message = body(json!({ "thread": thread })).message(&door(vec![]));
        assert_eq!((message.thread, message.metadata.as_str()), (Some(conversation()), ""));
    }
    assert_eq!(body(json!({ "thread": id })).message(&signed_door()).thread, Some(conversation()));
    let guessed = body(json!({ "thread": id })).message(&door(vec![]));
    assert_eq!(guessed.thread, None);
    assert!(guessed.metadata.contains(&id));
    assert_eq!(
        body(json!({ "thread": "room 7" })).message(&signed_door()).metadata,
        r#"{"thread":"room 7"}"#
    );
}

#[test]
fn a_faulty_body_names_the_field_and_what_is_allowed() {
    assert_eq!(fault(json!({ "id": null })).0, "id");
    assert_eq!(fault(json!({ "id": " " })).0, "id");
    assert_eq!(fault(json!({ "id": "x".repeat(201) })).0, "id");
    assert_eq!(fault(json!({ "from": null })).0, "from");
    assert_eq!(
        fault(json!({ "from": {} })),
        ("from".into(), "at least one of email, phone, handle is required".into())
    );
    assert_eq!(fault(json!({ "from": { "email": "ada" } })).0, "from.email");
    let (field, problem) = fault(json!({ "from": { "phone": "555" } }));
    assert!(field == "from.phone" && problem.contains("+15550123456"), "{problem}");
    assert_eq!(fault(json!({ "from": { "handle": "a\u{0}b" } })).0, "from.handle");
    assert_eq!(fault(json!({ "text": null })).0, "text");
    assert_eq!(fault(json!({ "text": "  " })).0, "text");
    assert_eq!(fault(json!({ "at": "yesterday" })).0, "at");
    let (field, problem) = fault(json!({ "text": 3 }));
    assert!(field == "text" && problem.contains("expected a string"), "{problem}");
    let file = |file: Value| {
        fault(json!({ "attachments": [{ "name": "a", "media_type": "b/c", "url": "http://x/" }, file] })).0
    };
    assert_eq!(file(json!({ "media_type": "b/c", "url": "http://x/" })), "attachments[1].name");
    assert_eq!(file(json!({ "name": "a", "url": "http://x/" })), "attachments[1].media_type");
    assert_eq!(file(json!({ "name": "a", "media_type": "b/c" })), "attachments[1]");
    assert_eq!(file(json!({ "name": "a", "media_type": "b/c", "url": "file:///etc" })), "attachments[1].url");
    assert_eq!(
        file(json!({ "name": "a", "media_type": "b/c", "content_base64": "?" })),
        "attachments[1].content_base64"
    );
    assert_eq!(file(json!({ "name": "a", "media_type": 1 })), "attachments[1].media_type");
    assert_eq!(fault(json!({ "metadata": [] })).0, "metadata");
}

#[test]
fn what_is_no_json_object_is_said_to_be_none() {
    for body in ["", "hello", "[]", "{", r#"{"id":"1"} {}"#, "\u{feff}{}", "null"] {
        let fault = Call::unsigned(body).receive(&door(vec![])).unwrap_err();
        assert_eq!(fault.field, None, "{body:?}: {fault}");
    }
    assert!(Call::unsigned(&b"{\"id\":\"\xff\"}"[..]).receive(&door(vec![])).is_err());
}

#[test]
fn a_message_may_be_files_alone() {
    let file = json!([{ "name": "a", "media_type": "b/c", "content_base64": " SGVs\nbG8 " }]);
    let parsed = body(json!({ "text": "", "attachments": file })).parsed(&door(vec![]));
    assert_eq!(parsed.parts[0].bytes, "Hello");
}

#[test]
fn a_very_long_message_is_kept_whole_beside_an_excerpt() {
    let text = "ä\n".repeat(20_000);
    let parsed =
        body(json!({ "text": text, "metadata": { "log": "x".repeat(40_000) } })).parsed(&door(vec![]));
    assert!(parsed.inbound.text.len() <= 8 * 1024 && text.starts_with(&parsed.inbound.text));
    let names: Vec<_> = parsed.inbound.attachments.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["metadata.json", "text.txt"]);
    assert_eq!(parsed.parts[1].bytes, text);
    assert_eq!(parsed.inbound.metadata, "");
}

#[test]
fn of_too_many_files_the_first_are_kept_beside_the_original() {
    let file =
        |name: usize| json!({ "name": name.to_string(), "media_type": "a/b", "content_base64": "SGk=" });
    for count in [50, 51, 400] {
        let files: Vec<Value> = (0..count).map(file).collect();
        let call = body(json!({ "attachments": files }));
        let parsed = call.parsed(&door(vec![]));
        let names: Vec<_> = parsed.inbound.attachments.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names.len(), 50, "{count}");
        let last = if count == 50 { "49" } else { "request.json" };
        assert_eq!((names[48], names[49]), ("48", last), "{count}");
        let original = parsed.parts.last().unwrap();
        assert_eq!(original.bytes == call.body, count > 50);
    }
    let mut files = vec![file(0); 60];
    files.push(json!("not looked at"));
    assert_eq!(body(json!({ "attachments": files })).message(&door(vec![])).attachments.len(), 50);
    let (field, problem) = fault(json!({ "attachments": {} }));
    assert!(field == "attachments" && problem.contains("expected a sequence"), "{problem}");
}

#[test]
fn long_metadata_stays_the_text_it_is() {
    let padding = " ".repeat(40_000);
    let kept = |metadata: &str, thread: &str| {
        let body = format!(
            r#"{{"id":"m-1","from":{{"handle":"ada"}},"text":"Hello","metadata":{metadata},"thread":"{thread}"}}"#
        );
        let parsed = Call::unsigned(body).parsed(&door(vec![]));
        let blob = parsed.parts.first().map(|part| String::from_utf8(part.bytes.to_vec()).unwrap());
        blob.unwrap_or(parsed.inbound.metadata)
    };
    let given = format!(r#"{{ "b":1,{padding}"a":[2, "}}"] }}"#);
    assert_eq!(kept(&given, ""), given);
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(read(&kept(&given, "room 7")), json!({ "b": 1, "a": [2, "}"], "thread": "room 7" }));
    assert_eq!(read(&kept(&format!("{{{padding}}}"), "room 7")), json!({ "thread": "room 7" }));
    assert_eq!(fault(json!({ "metadata": ["x".repeat(40_000)] })).0, "metadata");
    assert_eq!(fault(json!({ "metadata": "{" })).0, "metadata");
}

#[test]
fn the_signature_decides_where_there_is_a_secret() {
    let call = body(json!({}));
    assert_eq!(call.verify(&door(vec![])), Ok(Verified::Unsigned));
    assert_eq!(call.verify(&signed_door()), Err(Refusal::MISSING_SIGNATURE));
    let seconds = at(crate::channels::testing::NOW).as_seconds().to_string();
    let mac = crate::channels::testing::hmac_sha256(
        b"a key of some length",
        &[b"1.", seconds.as_bytes(), b".", &call.body],
    );
    let call = call
        .header("webhook-id", "1")
        .header("webhook-timestamp", &seconds)
        .header("webhook-signature", &format!("v1,{}", STANDARD.encode(mac)));
    assert_eq!(call.verify(&signed_door()), Ok(Verified::Signed));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Call::unsigned(bytes).receive(&door(vec![]));
    }

    #[test]
    fn no_values_make_it_panic_or_too_big(
        text in "\\PC{0,30000}", files in 0..150usize, name in "\\PC{0,300}", note in "[\\x00-\\x7f]{0,30000}",
    ) {
        let file = json!({ "name": name, "media_type": "a/b", "url": format!("https://x.example/{}", "y".repeat(1900)) });
        let files: Vec<Value> = std::iter::repeat_n(file, files).collect();
        let call = body(json!({ "text": format!("x{text}"), "subject": name, "attachments": files, "metadata": { "note": note } }));
        let parsed = call.parsed(&door(vec![]));
        let size = serde_json::to_vec(&parsed.inbound).unwrap().len();
        prop_assert!(size < 60_000, "{}", size);
        let mut keys: Vec<_> = parsed.parts.iter().map(|part| part.key.as_str()).collect();
        keys.dedup();
        prop_assert_eq!(keys.len(), parsed.parts.len());
        for part in &parsed.parts {
            let named = parsed.inbound.attachments.iter().any(|one| one.at == AttachmentAt::Blob(part.key.clone()));
            prop_assert!(named, "{} is named by nothing", part.key);
        }
    }
}

#[test]
fn two_messages_whose_ids_differ_in_a_control_character_are_not_taken_for_one() {
    for id in ["\u{1}", "m-\u{1}", "m\u{2028}1"] {
        let (field, problem) = fault(json!({ "id": id }));
        assert!(field == "id" && problem.contains("without control characters"), "{field}: {problem}");
    }
}
