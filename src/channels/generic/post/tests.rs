//! Messages posted to a receiver of one's own.

use base64::engine::general_purpose::STANDARD;

use throughline_workflows::message::{Address, Attachment, Channel, Outbound};
use throughline_workflows::time::Span;

use super::*;
use crate::channels::{
    sending::http::client,
    testing::{Answering, StandIn, hmac_sha256, nobody, outbound, send},
};

const KEY: &[u8] = b"a key of the receiver's";
const ACTIVITY: &str = "0199d2f0-5a11-7c3e-9b1d-2f6f0a1b2c3d.3.0";

async fn sent(url: &str, message: &Outbound) -> SendOutcome {
    let settings = PostSettings {
        name: "web".to_owned(),
        url: format!("{url}/messages?from=care"),
        secret: WebhookSecret::parse(&STANDARD.encode(KEY)).unwrap(),
        tenant_name: "Acme Care".to_owned(),
    };
    send(&Post::new(settings, client().unwrap()), message).await
}

fn message() -> Outbound {
    let file = Attachment {
        name: "a.txt".to_owned(),
        media_type: "text/plain".to_owned(),
        bytes: Some(4),
        at: AttachmentAt::Blob("default/1/1".to_owned()),
    };
    let to = Address::email("ada@example.com");
    Outbound {
        attachments: vec![file],
        ..outbound(Channel::Generic("web".to_owned()), to, "It is on its way.")
    }
}

#[tokio::test]
async fn a_message_is_posted_signed_and_complete() {
    let receiver = StandIn::answering(&[(200, &[], r#"{"id":"m-77"}"#), (204, &[], "")]).await;
    let outcome = sent(&receiver.url, &message()).await;
    assert_eq!(outcome, SendOutcome::Accepted { provider_message_id: Some("m-77".to_owned()) });
    let asked = receiver.asked().remove(0);
    assert_eq!((&*asked.method, &*asked.path), ("POST", "/messages?from=care"));
    assert_eq!(asked.header("webhook-id"), ACTIVITY);
    assert_eq!(asked.header("webhook-timestamp"), "1795253400", "the engine's time");
    let content = [ACTIVITY.as_bytes(), b".1795253400.", &asked.body];
    let signature = format!("v1,{}", STANDARD.encode(hmac_sha256(KEY, &content)));
    assert_eq!(asked.header("webhook-signature"), signature);
    let body: Value = serde_json::from_slice(&asked.body).unwrap();
    assert_eq!(body["id"], ACTIVITY);
    assert_eq!(body["to"], json!({ "kind": "email", "value": "ada@example.com", "name": "Ada" }));
    assert_eq!((&body["text"], &body["from_name"]), (&json!("It is on its way."), &json!("Acme Care")));
    assert_eq!(body["attachments"][0]["content_base64"], STANDARD.encode(b"file"));

    let again = sent(&receiver.url, &message()).await;
    assert_eq!(again, SendOutcome::Accepted { provider_message_id: None }, "an answer may be empty");
    assert_eq!(receiver.asked()[1].body, receiver.asked()[0].body, "another try is the same message");
}

#[tokio::test]
async fn what_a_receiver_refuses_is_refused_and_the_rest_is_tried_again() {
    let refused: [Answering; 4] =
        [(400, &[], "text: too long"), (401, &[], ""), (410, &[], ""), (422, &[], "")];
    let receiver = StandIn::answering(&refused).await;
    for (status, ..) in refused {
        match sent(&receiver.url, &message()).await {
            SendOutcome::Refused(error) => assert_eq!(error.code, Some(format!("http_{status}"))),
            other => panic!("{status}: {other:?}"),
        }
    }
    let later: [Answering; 5] = [
        (429, &[("retry-after", "90")], ""),
        (408, &[], ""),
        (500, &[], ""),
        (503, &[("retry-after", "Sat, 21 Nov 2026 09:32:00 GMT")], ""),
        (301, &[("location", "/elsewhere")], ""),
    ];
    let receiver = StandIn::answering(&later).await;
    let mut waits = Vec::new();
    for (status, ..) in later {
        match sent(&receiver.url, &message()).await {
            SendOutcome::Retry { after, .. } => waits.push(after),
            other => panic!("{status}: {other:?}"),
        }
    }
    let (ninety, two) = (Some(Span::from_secs(90)), Some(Span::from_mins(2)));
    assert_eq!(waits, [ninety, None, None, two, None]);
    assert_eq!(receiver.asked().len(), 5, "redirects are not followed");
}

#[tokio::test]
async fn a_receiver_that_is_not_there_is_asked_again() {
    let outcome = sent(&nobody(), &message()).await;
    assert!(matches!(outcome, SendOutcome::Retry { down: true, .. }), "{outcome:?}");
}
