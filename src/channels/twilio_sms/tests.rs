//! What customers send by SMS, and what becomes of it.

use proptest::prelude::*;
use url::form_urlencoded;

use throughline_workflows::message::AttachmentAt;

use super::*;
use crate::channels::testing::Call;

fn door() -> TwilioSms {
    TwilioSms::new(TwilioSmsSettings::default())
}

/// A message with these parameters over the usual ones; a blank value takes one away.
fn call(changes: &[(&str, &str)]) -> Call {
    let mut fields = vec![
        ("MessageSid", "SM00000000000000000000000000000abc"),
        ("AccountSid", "AC00000000000000000000000000000abc"),
        ("From", "+15550123456"),
        ("To", "+15550100200"),
        ("Body", "Where is my order?"),
        ("NumMedia", "0"),
        ("NumSegments", "1"),
        ("SmsStatus", "received"),
        ("FromCity", "SPRINGFIELD"),
        ("ToCity", ""),
    ];
    fields.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    fields.extend(changes.iter().copied().filter(|(_, value)| !value.is_empty()));
    Call::unsigned(form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish())
}

fn fault(changes: &[(&str, &str)]) -> String {
    call(changes).receive(&door()).unwrap_err().to_string()
}

#[test]
fn a_text_is_read_with_who_wrote_it_and_where_to() {
    let receipt = call(&[("NumSegments", "2")]).receive(&door()).unwrap();
    assert_eq!(receipt.response, Answer { content_type: "text/xml", body: "<Response/>" });
    let message = &receipt.messages[0].inbound;
    assert_eq!(message.provider_message_id, "SM00000000000000000000000000000abc");
    assert_eq!(message.from, [Address::new(AddressKind::Phone, "+15550123456")]);
    assert_eq!(message.to.as_deref(), Some("+15550100200"));
    assert_eq!(message.text, "Where is my order?");
    assert_eq!(message.details, Details::Sms { segments: 2 });
    assert!(!message.automatic);
    assert!(message.metadata.contains(r#""FromCity":"SPRINGFIELD""#), "{}", message.metadata);
    assert!(!message.metadata.contains("ToCity"), "blank values say nothing: {}", message.metadata);
}

#[test]
fn pictures_are_referred_to_in_their_order() {
    let message = call(&[
        ("Body", ""),
        ("NumMedia", "2"),
        ("MediaUrl1", "https://api.example/b"),
        ("MediaContentType1", "application/pdf"),
        ("MediaUrl0", "https://api.example/a"),
        ("MediaContentType0", "image/jpeg"),
        ("MediaUrl2", "https://api.example/not-announced"),
    ])
    .message(&door());
    let seen: Vec<_> = message.attachments.iter().map(|one| (one.media_type.as_str(), &one.at)).collect();
    assert_eq!(
        seen,
        [
            ("image/jpeg", &AttachmentAt::Url("https://api.example/a".into())),
            ("application/pdf", &AttachmentAt::Url("https://api.example/b".into())),
        ]
    );
    assert_eq!(message.text, "");
}

#[test]
fn announced_pictures_without_an_address_and_thousands_of_them_keep_the_request() {
    for count in ["2", "4000000000"] {
        let parsed = call(&[("NumMedia", count), ("MediaUrl0", "https://api.example/a")]).parsed(&door());
        let names: Vec<_> = parsed.inbound.attachments.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["media-1", "request.txt"]);
        assert_eq!(parsed.parts[0].key, "default/00000000-0000-0000-0000-000000000001/1");
    }
}

#[test]
fn what_twilio_answers_itself_is_automatic_and_says_so() {
    let message = call(&[("Body", "Stop me if you know this"), ("OptOutType", "STOP")]).message(&door());
    assert!(message.automatic && message.metadata.contains(r#""opt_out":"STOP""#));
    assert!(call(&[("Body", " stop ")]).message(&door()).automatic);
    assert!(call(&[("Body", "HELP"), ("OptOutType", "HELP")]).message(&door()).automatic);
    let cancel = call(&[("Body", "Cancel")]).message(&door());
    assert!(!cancel.automatic && cancel.metadata.contains("opt_out"), "a person should read it");
    assert!(!call(&[("Body", "Please stop calling")]).message(&door()).metadata.contains("opt_out"));
}

#[test]
fn senders_that_cannot_be_answered_are_handles_and_automatic() {
    for (from, value) in [("24273", "sms/24273"), ("ACME Shop", "sms/ACME Shop")] {
        let message = call(&[("From", from)]).message(&door());
        assert_eq!(message.from, [Address::new(AddressKind::Handle, value)]);
        assert!(message.automatic, "{from}");
    }
}

#[test]
fn a_faulty_request_names_the_parameter() {
    assert!(fault(&[("MessageSid", "")]).starts_with("MessageSid: "));
    assert!(fault(&[("From", "")]).starts_with("From: "));
    assert!(fault(&[("From", "+12")]).starts_with("From: "));
    assert!(fault(&[("From", "whatsapp:+15550123456")]).starts_with("From: "));
    assert!(fault(&[("NumMedia", "many")]).starts_with("NumMedia: "));
    assert!(fault(&[("NumSegments", "-1")]).starts_with("NumSegments: "));
}

#[test]
fn a_status_that_was_pointed_here_creates_nothing() {
    for name in ["SmsStatus", "MessageStatus"] {
        let receipt = call(&[("SmsStatus", ""), (name, "delivered"), ("From", "")]).receive(&door()).unwrap();
        assert_eq!((receipt.messages.len(), receipt.ignored), (0, 1));
    }
}

#[test]
fn bytes_that_are_no_text_are_kept_as_far_as_they_can_be() {
    let call = Call::unsigned("MessageSid=SM1&From=%2B15550123456&Body=caf%E9+%00ok%0D%0Abye&X%FF=%FF");
    assert_eq!(call.message(&door()).text, "caf\u{fffd} ok\nbye");
}

#[test]
fn a_json_body_is_read_like_a_form() {
    let body = r#"{"MessageSid":"SM1","From":"+15550123456","Body":"Hi","NumMedia":0}"#;
    let call = Call::unsigned(body).header("content-type", "application/json");
    assert_eq!(call.message(&door()).text, "Hi");
    let call = Call::unsigned("[]").header("content-type", "application/json");
    assert!(call.receive(&door()).is_err());
}

#[test]
fn without_a_token_only_the_edge_decides_and_with_one_only_the_signature() {
    let mut call = call(&[]);
    assert_eq!(call.verify(&door()), Ok(Verified::Unsigned));
    let signed_door = TwilioSms::new(TwilioSmsSettings { auth_tokens: vec!["t".into(), String::new()] });
    assert_eq!(call.verify(&signed_door), Err(Refusal::MISSING_SIGNATURE));
    call.unsigned_allowed = false;
    assert_eq!(call.verify(&door()), Err(Refusal::UNSIGNED));
}

proptest! {
    #[test]
    fn no_body_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Call::unsigned(body.clone()).receive(&door());
        let _ = Call::unsigned(body).header("content-type", "application/json").receive(&door());
    }

    #[test]
    fn no_values_make_it_panic_or_too_big(body in "\\PC{0,2000}", from in "\\PC{1,30}", extra in "\\PC{1,3000}", n in 0..200u32) {
        let url = format!("https://api.example/{}", "x".repeat(1500));
        let urls: Vec<String> = (0..n).map(|index| format!("MediaUrl{index}")).collect();
        let count = n.to_string();
        let mut fields = vec![("Body", body.as_str()), ("From", &from), ("Extra", &extra), ("NumMedia", &count)];
        fields.extend(urls.iter().map(|name| (name.as_str(), url.as_str())));
        if let Ok(receipt) = call(&fields).receive(&door()) {
            let size = serde_json::to_vec(&receipt.messages[0].inbound).unwrap().len();
            prop_assert!(size < 60_000, "{}", size);
        }
    }
}
