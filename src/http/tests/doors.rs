//! Webhooks: what is taken, what is refused, what is kept for later.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use sha1::Sha1;

use axum::http::header::HOST;
use bytes::Bytes;
use throughline_workflows::{
    ids::MessageId,
    message::{Address, AddressKind, Attachment, AttachmentAt, Channel, Details, Inbound},
};
use uuid::Uuid;

use super::*;
use crate::channels::{Parsed, Receipt, Refusal, Unreadable, Verified, WebhookRequest};

fn inbound(id: Uuid) -> Inbound {
    Inbound {
        id: MessageId(id),
        channel: Channel::Generic("web".to_owned()),
        provider_message_id: id.to_string(),
        from: vec![Address::new(AddressKind::Email, "ada@example.com")],
        name: None,
        to: None,
        text: "Hello".to_owned(),
        subject: None,
        attachments: Vec::new(),
        thread: None,
        vouched: false,
        automatic: false,
        details: Details::None,
        metadata: String::new(),
        sent_at: None,
        received_at: "2026-11-21T09:00:00Z".parse().unwrap(),
    }
}

/// An adapter with faults: it panics over the body `panic`, and makes of all others a message that no record holds.
pub(super) struct Broken;

impl Adapter for Broken {
    fn verify(&self, request: &WebhookRequest<'_>) -> Result<Verified, Refusal> {
        let signed = request.headers.contains_key("x-signed");
        Ok(if signed { Verified::Signed } else { Verified::Unsigned })
    }

    fn receive(
        &self,
        request: &WebhookRequest<'_>,
        mint: &mut dyn FnMut() -> Uuid,
    ) -> Result<Receipt, Unreadable> {
        assert!(!request.body.starts_with(b"panic"), "a fault of the adapter");
        let inbound = Inbound { text: "x".repeat(100_000), ..inbound(mint()) };
        let messages = vec![Parsed { inbound, parts: Vec::new() }];
        let response = crate::channels::Answer { content_type: "text/plain", body: "" };
        Ok(Receipt { messages, ..Receipt::nothing(response) })
    }
}

fn message() -> Value {
    json!({ "id": "m-1", "from": { "email": "ada@example.com", "name": "Ada" }, "text": "Hello" })
}

#[tokio::test]
async fn a_message_is_taken_once_and_a_duplicate_gets_the_same_answer() {
    let world = World::new().await;
    for _ in 0..3 {
        let answer = world.ask("", "POST", "/api/webhooks/generic/web", Some(message()), &[]).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.body, json!({ "status": "accepted" }));
    }
    world.engine.settle().await.unwrap();
    let list = world.get("/api/v1/conversations").await.body;
    assert_eq!(list["total"], 1, "{list}");
    let path = format!("/api/v1/conversations/{}", list["items"][0]["id"].as_str().unwrap());
    let shown = world.get(&path).await.body;
    let inbound = shown["messages"].as_array().unwrap().iter().filter(|one| one["direction"] == "inbound");
    assert_eq!(inbound.count(), 1, "{shown}");
}

#[tokio::test]
async fn sms_is_answered_in_its_own_form() {
    let world = World::new().await;
    let body = "MessageSid=SM1&From=%2B15550123456&To=%2B15550100200&Body=Where+is+it";
    let request = Request::post("/api/webhooks/twilio/sms")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(body))
        .unwrap();
    let answer = world.call(request).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.headers["content-type"], "text/xml");
    assert_eq!(answer.body, "<Response/>");
}

#[tokio::test]
async fn a_mail_is_taken_and_what_is_none_is_refused_by_name() {
    let world = World::new().await;
    let post = |body: &'static str| Request::post("/api/webhooks/raw/email").body(Body::from(body)).unwrap();
    let mail =
        "From: Ada <ada@example.com>\r\nTo: support@example.com\r\nSubject: Parcel\r\n\r\nWhere is it?\r\n";
    assert_eq!(world.call(post(mail)).await.status, 200);
    let answer = world.call(post("Subject: nobody\r\n\r\nhello\r\n")).await;
    answer.is_problem(400, "malformed");
    assert_eq!(answer.body["field"], "From");
}

#[tokio::test]
async fn unsigned_webhooks_come_from_this_machine_only() {
    let world = World::new().await;
    for (name, value) in
        [("x-forwarded-for", "1.2.3.4"), ("forwarded", "for=1.2.3.4"), ("x-real-ip", "1.2.3.4")]
    {
        let headers = [(name, value)];
        let answer = world.ask("", "POST", "/api/webhooks/generic/web", Some(message()), &headers).await;
        answer.is_problem(403, "signature-refused");
    }
    let mut request =
        Request::post("/api/webhooks/generic/web").body(Body::from(message().to_string())).unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([10, 0, 0, 1], 9))));
    let response = world.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 403);
    let status = world.get("/api/v1/system/status").await.body;
    assert_eq!(status["webhooks_refused"], 4, "{status}");
    assert_eq!(world.get("/api/v1/conversations").await.body["total"], 0);
}

#[tokio::test]
async fn unknown_tenants_and_channels_are_not_there() {
    let world = World::new().await;
    for path in [
        "/t/nobody/api/webhooks/generic/web",
        "/api/webhooks/generic/parcels",
        "/t/UP/api/webhooks/raw/email",
    ] {
        let answer = world.ask("", "POST", path, Some(message()), &[]).await;
        answer.is_problem(404, "not-found");
    }
    let answer = world.ask("", "POST", "/t/acme/api/webhooks/generic/web", Some(message()), &[]).await;
    assert_eq!(answer.status, 200);
    world.engine.settle().await.unwrap();
    assert_eq!(world.get("/api/v1/conversations").await.body["total"], 0, "it is the other tenant's");
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let world = World::new().await;
    let body = json!({ "id": "1", "from": {}, "text": "hello" });
    let answer = world.ask("", "POST", "/api/webhooks/generic/web", Some(body), &[]).await;
    answer.is_problem(400, "malformed");
    assert_eq!(answer.body["field"], "from");
    let request = Request::post("/api/webhooks/generic/web").body(Body::from("{\"id\":")).unwrap();
    world.call(request).await.is_problem(400, "malformed");
    let body = json!({ "id": "1", "from": { "email": "a@example.com" }, "text": "x".repeat(BODY_MAX) });
    let answer = world.ask("", "POST", "/api/webhooks/generic/web", Some(body), &[]).await;
    answer.is_problem(413, "too-large");
}

#[tokio::test]
async fn the_api_takes_less_at_once_than_a_webhook() {
    let world = World::new().await;
    let text = "x".repeat(BODY_MAX - 1_000_000);
    let body = json!({ "id": "1", "from": { "email": "a@example.com" }, "text": text });
    let answer = world.ask("", "POST", "/api/webhooks/generic/web", Some(body.clone()), &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer = world.post("/api/v1/conversations", body).await;
    assert!(answer.is_problem(413, "too-large").detail().contains("2097152"), "{}", answer.body);
}

#[tokio::test]
async fn a_file_is_downloaded_and_never_shown() {
    let world = World::new().await;
    let mut body = message();
    body["attachments"] = json!([
        { "name": "scan.html", "media_type": "text/html", "content_base64": STANDARD.encode("<b>hello</b>") }
    ]);
    let answer = world.ask("", "POST", "/api/webhooks/generic/web", Some(body), &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    world.engine.settle().await.unwrap();
    let id = world.get("/api/v1/conversations").await.body["items"][0]["id"].as_str().unwrap().to_owned();
    let shown = world.get(&format!("/api/v1/conversations/{id}/messages")).await.body;
    let attachment = &shown["items"][0]["attachments"][0];
    let file = world.get(attachment["url"].as_str().unwrap()).await;
    assert_eq!((file.status.as_u16(), file.body.as_str()), (200, Some("<b>hello</b>")));
    assert_eq!(file.headers["x-content-type-options"], "nosniff");
    assert_eq!(file.headers["content-disposition"], "attachment; filename*=UTF-8''scan.html");
    let missing = format!("{}9", attachment["url"].as_str().unwrap());
    world.get(&missing).await.is_problem(404, "not-found");
}

/// A request as Twilio signs it: over the URL and the sorted parameters.
fn signed(body: &str) -> Request<Body> {
    let mut pairs: Vec<(String, String)> =
        url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    pairs.sort();
    let mut text = "http://127.0.0.1:8080/api/webhooks/twilio/sms".to_owned();
    for (name, value) in pairs {
        text.push_str(&name);
        text.push_str(&value);
    }
    let mut mac = Hmac::<Sha1>::new_from_slice(b"auth").unwrap();
    mac.update(text.as_bytes());
    Request::post("/api/webhooks/twilio/sms")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-twilio-signature", STANDARD.encode(mac.finalize().into_bytes()))
        .body(Body::from(body.to_owned()))
        .unwrap()
}

#[tokio::test]
async fn a_signed_webhook_that_cannot_be_read_is_kept_and_can_be_mended() {
    let world = World::with_auth_tokens(vec!["auth".to_owned()]).await;
    let answer = world.call(signed("MessageSid=SM1&Body=hello")).await;
    assert_eq!(answer.status, 204, "{}", answer.body);
    let letters = world.get("/api/v1/system/dead-letters").await.body;
    let letter = &letters["items"][0];
    assert_eq!((&letters["total"], &letter["kind"]), (&json!(1), &json!("webhook")), "{letters}");
    let path = format!("/api/v1/system/dead-letters/{}", letter["id"].as_str().unwrap());
    assert_eq!(world.get(&path).await.body["payload"]["body"], "MessageSid=SM1&Body=hello");

    let still = world.post(&format!("{path}/retry"), json!({ "reason": "again" })).await;
    still.is_problem(422, "invalid");
    let mended =
        json!({ "reason": "number added", "payload": "MessageSid=SM1&From=%2B15550123456&Body=hello" });
    let answer = world.post(&format!("{path}/retry"), mended).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    world.engine.settle().await.unwrap();
    assert_eq!(world.get("/api/v1/conversations").await.body["total"], 1);
    world.get(&path).await.is_problem(404, "not-found");
    let acts = world.get("/api/v1/audit").await.body["items"].clone();
    let of_letters = acts.as_array().unwrap().iter().filter(|act| act["subject"] == path_subject(&path));
    let told: Vec<_> = of_letters.map(|act| (&act["action"], &act["reason"])).collect();
    assert_eq!(told, [(&json!("dead_letter.retry"), &json!("number added"))], "{acts:#}");
}

/// What the audit calls the dead letter at a path.
fn path_subject(path: &str) -> String {
    format!("dead_letter/{}", path.rsplit('/').next().unwrap())
}

#[tokio::test]
async fn a_signed_webhook_that_we_cannot_take_is_not_refused() {
    let world = World::new().await;
    let post = async |body: Vec<u8>, signed: bool| {
        let mut request = Request::post("/api/webhooks/generic/broken");
        for index in 0..200 {
            request = request.header(format!("x-{index}"), "v".repeat(2_000));
        }
        if signed {
            request = request.header("x-signed", "yes");
        }
        world.call(request.body(Body::from(body)).unwrap()).await
    };
    let panic = |length: usize| [b"panic".as_slice(), &vec![b'x'; length]].concat();
    let bodies = [panic(32 * 1024 - 5), panic(100_000), b"large".to_vec()];
    for body in bodies.clone() {
        let answer = post(body, true).await;
        assert_eq!(answer.status, 204, "{}", answer.body);
    }
    let letters = world.get("/api/v1/system/dead-letters").await.body;
    assert_eq!(letters["total"], bodies.len(), "{letters}");
    assert_eq!(letters["items"][2]["reason"], "its adapter panicked");

    post(panic(0), false).await.is_problem(500, "internal");
    post(b"large".to_vec(), false).await.is_problem(413, "too-large");
    assert_eq!(world.get("/api/v1/system/dead-letters").await.body["total"], bodies.len());
}

#[tokio::test]
async fn no_web_page_posts_an_unsigned_webhook() {
    let world = World::new().await;
    for (name, value) in [
        ("host", "evil.example"),
        ("origin", "http://evil.example"),
        ("sec-fetch-site", "cross-site"),
        ("via", "1.1 proxy"),
    ] {
        let headers = [(name, value)];
        let answer = world.ask("", "POST", "/api/webhooks/generic/web", Some(message()), &headers).await;
        answer.is_problem(403, "signature-refused");
    }
    let headers = [(HOST.as_str(), "localhost:8080")];
    let answer = world.ask("", "POST", "/api/webhooks/generic/web", Some(message()), &headers).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[tokio::test]
async fn a_file_of_another_tenant_is_not_there() {
    let world = World::new().await;
    let id = world.engine.mint();
    for (tenant, status) in [("default", 200), ("acme", 404)] {
        let key = format!("{tenant}/{id}/1");
        let at = AttachmentAt::Blob(key.clone());
        let file = Attachment { name: "a".to_owned(), media_type: "a/b".to_owned(), bytes: None, at };
        let message = Inbound { attachments: vec![file], ..inbound(world.engine.mint()) };
        let path = message.id;
        let blobs = vec![(key, Bytes::from_static(b"hello"))];
        world.engine.receive(&TenantId::default_tenant(), message, blobs, id).await.unwrap();
        world.engine.settle().await.unwrap();
        let list = world.get("/api/v1/conversations").await.body;
        let conversation = list["items"][0]["id"].as_str().unwrap().to_owned();
        let path = format!("/api/v1/conversations/{conversation}/attachments/{path}/1");
        assert_eq!(world.get(&path).await.status, status, "{tenant}");
    }
}

#[tokio::test]
async fn a_wrong_signature_leaves_nothing() {
    let world = World::with_auth_tokens(vec!["other".to_owned()]).await;
    let answer = world.call(signed("MessageSid=SM1&From=%2B15550123456&Body=hello")).await;
    answer.is_problem(403, "signature-refused");
    assert_eq!(world.get("/api/v1/system/dead-letters").await.body["total"], 0);
}

#[tokio::test]
async fn ten_times_the_same_webhook_wait_for_the_first_to_be_durable() {
    let world = Arc::new(World::new().await);
    world.engine.settle().await.unwrap();
    let gate = world.faults.hold();
    let asking: Vec<_> = (0..10)
        .map(|_| {
            let world = world.clone();
            tokio::spawn(async move {
                world.ask("", "POST", "/api/webhooks/generic/web", Some(message()), &[]).await.status
            })
        })
        .collect();
    let gate = tokio::task::spawn_blocking(move || {
        assert!(gate.wait_for_commit(Duration::from_secs(30)), "the first one is being made durable");
        gate
    })
    .await
    .unwrap();
    // Readers see it already; nobody has been answered.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(asking.iter().all(|asked| !asked.is_finished()));
    gate.release();
    for asked in asking {
        assert_eq!(asked.await.unwrap(), StatusCode::OK);
    }
    world.engine.settle().await.unwrap();
    let list = world.get("/api/v1/conversations").await.body;
    assert_eq!(list["total"], 1, "{list}");
}
