//! What customers send by SMS, and what becomes of it.

use proptest::prelude::*;
use url::form_urlencoded;

use throughline_workflows::{conversation::DeliveryStatus, message::AttachmentAt};

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
fn a_status_that_was_pointed_here_is_a_report_all_the_same() {
    for name in ["SmsStatus", "MessageStatus"] {
        let receipt = call(&[("SmsStatus", ""), (name, "delivered"), ("From", "")]).receive(&door()).unwrap();
        assert_eq!((receipt.messages.len(), receipt.reports.len(), receipt.ignored), (0, 1, 0));
    }
}

const STATUS_URL: &str = "https://care.example.com/hooks/twilio/status";
const DELIVERED: &str = "ApiVersion=2010-04-01&MessageStatus=delivered&SmsSid=SM33333333333333333333333333333333&\
    SmsStatus=delivered&To=%2B15550123456&From=%2B15550100200&MessageSid=SM33333333333333333333333333333333&\
    AccountSid=AC00000000000000000000000000000001";
const UNDELIVERED: &str = "ApiVersion=2010-04-01&MessageStatus=undelivered&\
    SmsSid=SM44444444444444444444444444444444&SmsStatus=undelivered&To=%2B15550123456&From=%2B15550100200&\
    MessageSid=SM44444444444444444444444444444444&AccountSid=AC00000000000000000000000000000001&ErrorCode=30005";

fn status_door() -> status::TwilioSmsStatus {
    let auth_tokens = vec!["sample-twilio-auth-token".to_owned()];
    status::TwilioSmsStatus::new(TwilioSmsSettings { auth_tokens })
}

#[test]
fn a_signed_status_is_a_report_and_an_altered_one_is_refused() {
    let delivered = Call::to(STATUS_URL, DELIVERED)
        .header("content-type", "application/x-www-form-urlencoded; charset=UTF-8")
        .header("x-twilio-signature", "C1CShp8KsGzwSvepmJUkFtqbkak=");
    assert_eq!(delivered.verify(&status_door()), Ok(Verified::Signed));
    let report = delivered.receive(&status_door()).unwrap().reports.remove(0);
    assert_eq!(report.provider_message_id, "SM33333333333333333333333333333333");
    assert_eq!((report.status, report.error), (DeliveryStatus::Delivered, None));
    assert_eq!((report.conversation, report.message_id), (None, None));

    let undelivered = Call::to(STATUS_URL, UNDELIVERED)
        .header("content-type", "application/x-www-form-urlencoded; charset=UTF-8")
        .header("x-twilio-signature", "TwK0ReUJ70Cmn26ugjbFm0CtTUs=");
    assert_eq!(undelivered.verify(&status_door()), Ok(Verified::Signed));
    let report = undelivered.receive(&status_door()).unwrap().reports.remove(0);
    assert_eq!(report.status, DeliveryStatus::Failed);
    assert_eq!(report.error.unwrap().code.as_deref(), Some("30005"));

    let altered = Call::to(STATUS_URL, DELIVERED.replace("delivered", "read"))
        .header("content-type", "application/x-www-form-urlencoded; charset=UTF-8")
        .header("x-twilio-signature", "C1CShp8KsGzwSvepmJUkFtqbkak=");
    assert_eq!(altered.verify(&status_door()), Err(Refusal::BAD_SIGNATURE));
}

#[test]
fn the_address_that_was_given_for_a_message_names_it() {
    let (conversation, message) = (uuid::Uuid::from_u128(1), uuid::Uuid::from_u128(2));
    let url = format!("{STATUS_URL}?tenant=a&message={conversation}.{message}");
    let report = Call::to(&url, DELIVERED).receive(&status_door()).unwrap().reports.remove(0);
    assert_eq!(report.conversation.unwrap().0, conversation);
    assert_eq!(report.message_id, Some(MessageId(message)));
    for tail in ["message=", "message=a.b", "message=.", "other=1"] {
        let url = format!("{STATUS_URL}?{tail}");
        let report = Call::to(&url, DELIVERED).receive(&status_door()).unwrap().reports.remove(0);
        assert_eq!((report.conversation, report.message_id), (None, None), "{tail}");
    }
}

#[test]
fn every_word_of_the_provider_is_a_rung_or_is_ignored() {
    use DeliveryStatus::{Delivered, Failed, Queued, Read, Sent};
    for (word, rung) in [
        ("accepted", Some(Queued)),
        ("queued", Some(Queued)),
        ("sending", Some(Sent)),
        ("sent", Some(Sent)),
        ("partially_delivered", Some(Sent)),
        ("delivered", Some(Delivered)),
        ("read", Some(Read)),
        ("failed", Some(Failed)),
        ("canceled", Some(Failed)),
        ("received", None),
        ("teleported", None),
    ] {
        let body = format!("MessageSid=SM1&MessageStatus={word}");
        let receipt = Call::to(STATUS_URL, body).receive(&status_door()).unwrap();
        assert_eq!(receipt.reports.first().map(|report| report.status), rung, "{word}");
        assert_eq!(receipt.ignored, usize::from(rung.is_none()));
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

#[test]
fn an_id_of_control_characters_is_no_id() {
    assert!(fault(&[("MessageSid", "\u{1}"), ("SmsSid", "")]).starts_with("MessageSid"));
}
