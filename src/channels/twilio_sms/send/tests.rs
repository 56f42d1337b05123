//! Text messages asked of a stand-in that looks as closely as Twilio does.

use std::collections::BTreeMap;

use throughline_workflows::{
    message::{Address, Attachment, Channel},
    time::Span,
};
use tokio::io::AsyncReadExt as _;

use super::*;
use crate::channels::{
    sending::http::client,
    testing::{Answering, Asked, StandIn, conversation, nobody, outbound, send},
};

const ACCOUNT: &str = "AC00000000000000000000000000000001";
const TAKEN: Answering = (
    201,
    &[("content-type", "application/json")],
    r#"{"sid":"SM0123456789abcdef0123456789abcdef","status":"queued"}"#,
);

fn settings(url: &str) -> TwilioSendSettings {
    TwilioSendSettings {
        base_url: url.to_owned(),
        account_sid: ACCOUNT.to_owned(),
        auth_token: "a-token".to_owned(),
        from: "+15550100200".to_owned(),
        messaging_service_sid: None,
        status_url: Some("https://care.example.com/api/webhooks/twilio/sms/status".to_owned()),
    }
}

fn message(text: &str) -> Outbound {
    outbound(Channel::Sms, Address::phone("+15550123456"), text)
}

async fn sent(settings: TwilioSendSettings, message: &Outbound) -> SendOutcome {
    send(&TwilioSend::new(settings, client().unwrap()), message).await
}

fn form(asked: &Asked) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(&asked.body).into_owned().collect()
}

fn refused(outcome: SendOutcome) -> ActivityError {
    match outcome {
        SendOutcome::Refused(error) => error,
        other => panic!("it should be refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_text_is_asked_for_as_twilio_wants_it_and_reports_are_asked_for_with_it() {
    let twilio = StandIn::answering(&[TAKEN]).await;
    let outcome = sent(settings(&twilio.url), &message("Größer & better +1")).await;
    let sid = "SM0123456789abcdef0123456789abcdef".to_owned();
    assert_eq!(outcome, SendOutcome::Accepted { provider_message_id: Some(sid) });
    let asked = twilio.asked().remove(0);
    assert_eq!(
        (&*asked.method, &*asked.path),
        ("POST", &*format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json"))
    );
    assert_eq!(asked.header("content-type"), "application/x-www-form-urlencoded");
    // `AC…01:a-token` in base64, as RFC 7617 has it.
    assert_eq!(
        asked.header("authorization"),
        "Basic QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMTphLXRva2Vu"
    );
    let callback = format!(
        "https://care.example.com/api/webhooks/twilio/sms/status?message={}.{}",
        conversation(),
        message("").message_id
    );
    let expected = [
        ("Body", "Größer & better +1"),
        ("From", "+15550100200"),
        ("StatusCallback", &*callback),
        ("To", "+15550123456"),
    ];
    assert_eq!(form(&asked), expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
}

#[tokio::test]
async fn the_number_last_written_to_answers_and_a_messaging_service_chooses_its_own() {
    let twilio = StandIn::answering(&[TAKEN]).await;
    let ours = Outbound { from: Some("+15550100999".to_owned()), ..message("Hello") };
    sent(settings(&twilio.url), &ours).await;
    let service = Some("MG00000000000000000000000000000001".to_owned());
    sent(TwilioSendSettings { messaging_service_sid: service.clone(), ..settings(&twilio.url) }, &ours).await;
    let forms: Vec<_> = twilio.asked().iter().map(form).collect();
    assert_eq!(forms[0].get("From").map(String::as_str), Some("+15550100999"));
    assert_eq!((forms[1].get("From"), forms[1].get("MessagingServiceSid")), (None, service.as_ref()));
}

#[tokio::test]
async fn what_passes_by_itself_is_tried_again_when_twilio_says() {
    let busy = r#"{"code":20429,"message":"Too Many Requests","status":429}"#;
    let twilio = StandIn::answering(&[
        (429, &[("retry-after", "7")], busy),
        (503, &[], "<html>upstream</html>"),
        (500, &[], ""),
        (408, &[], ""),
    ])
    .await;
    let mut waits = Vec::new();
    for code in ["20429", "http_503", "http_500", "http_408"] {
        match sent(settings(&twilio.url), &message("Hello")).await {
            SendOutcome::Retry { after, error, down: true } => {
                assert_eq!(error.code.as_deref(), Some(code));
                waits.push(after);
            }
            other => panic!("{code}: {other:?}"),
        }
    }
    assert_eq!(waits, [Some(Span::from_secs(7)), None, None, None]);
}

#[tokio::test]
async fn what_never_works_is_refused_with_twilios_code() {
    let twilio = StandIn::answering(&[
        (400, &[], r#"{"code":21610,"message":"Attempt to send to unsubscribed recipient","status":400}"#),
        (401, &[], r#"{"code":20003,"message":"Authenticate","status":401}"#),
        (404, &[], "no such page"),
        (302, &[("location", "https://elsewhere.example")], ""),
    ])
    .await;
    for code in ["21610", "20003", "http_404", "http_302"] {
        let error = refused(sent(settings(&twilio.url), &message("Hello")).await);
        assert_eq!(error.code.as_deref(), Some(code));
    }
    assert_eq!(twilio.asked().len(), 4, "redirects are not followed");
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_leaves_it_uncertain() {
    let nonsense =
        ["<html>Welcome to the hotel network</html>", r#"{"sid":""}"#, r#"{"sid":"SM1"}"#, "", "[]"];
    let twilio = StandIn::answering(&nonsense.map(|body| -> Answering { (200, &[], body) })).await;
    for body in nonsense {
        let outcome = sent(settings(&twilio.url), &message("Hello")).await;
        assert!(matches!(outcome, SendOutcome::Uncertain(_)), "{body}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_connection_that_ends_before_the_answer_leaves_it_uncertain_and_none_at_all_does_not() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let reader = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut seen = vec![0; 64 * 1024];
        connection.read(&mut seen).await.unwrap()
    });
    let outcome = sent(settings(&url), &message("Hello")).await;
    assert!(reader.await.unwrap() > 0);
    assert!(matches!(outcome, SendOutcome::Uncertain(_)), "{outcome:?}");
    let outcome = sent(settings(&nobody()), &message("Hello")).await;
    assert!(matches!(outcome, SendOutcome::Retry { down: true, .. }), "{outcome:?}");
}

#[tokio::test]
async fn what_cannot_go_by_text_is_refused_before_twilio_is_asked() {
    let twilio = StandIn::answering(&[TAKEN]).await;
    let error = refused(sent(settings(&twilio.url), &message(&"é".repeat(1601))).await);
    assert_eq!(error.code.as_deref(), Some("too_long"));
    assert!(error.message.contains("1601"), "{}", error.message);
    let file = |at| Attachment { name: "a".to_owned(), media_type: "image/png".to_owned(), bytes: None, at };
    let ours =
        Outbound { attachments: vec![file(AttachmentAt::Blob("default/1/1".to_owned()))], ..message("See") };
    assert_eq!(refused(sent(settings(&twilio.url), &ours).await).code.as_deref(), Some("file_not_public"));
    let nowhere = outbound(Channel::Sms, Address::handle(&Channel::Sms, "72345"), "Hello");
    assert_eq!(refused(sent(settings(&twilio.url), &nowhere).await).code.as_deref(), Some("address"));
    assert!(twilio.asked().is_empty());

    let picture = AttachmentAt::Url("https://files.example/a.png".to_owned());
    let theirs = Outbound { attachments: vec![file(picture)], ..message(&"é".repeat(1600)) };
    assert!(matches!(sent(settings(&twilio.url), &theirs).await, SendOutcome::Accepted { .. }));
    assert_eq!(form(&twilio.asked()[0])["MediaUrl"], "https://files.example/a.png");
}
