//! Sending for real: a mail server and providers that know nothing of ours.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{body::to_bytes, extract::Request, http::StatusCode};
use serde_json::{Value, json};

use throughline::{
    channels::{email::notice::Notice, sending::SendOutcome},
    config::Config,
    performers::Outside,
};
use throughline_actors::clock::Clock;
use throughline_storage::blobs::Blobs;
use throughline_workflows::ids::TenantId;

use crate::{
    mail_server::{LOGIN, MailServer},
    provider::{self, AUTH_TOKEN},
    server::{PATIENCE, Server, Site},
    stories::only_conversation,
};

fn mail(id: &str, from: &str, subject: &str, rest: &str) -> String {
    format!(
        "From: Ada Whitfield <{from}>\r\nTo: support@example.com\r\nSubject: {subject}\r\nMessage-ID: <{id}>\r\n{rest}\r\nHello.\r\n"
    )
}

async fn reply(server: &Server, conversation: &Value, text: &str) {
    let path = format!("/api/v1/conversations/{}/messages", conversation["id"].as_str().unwrap());
    server.post(&path, &json!({ "text": text })).await.ok();
}

/// The last message of the only conversation, once its delivery stands at `status`.
async fn last_message(server: &Server, status: &str) -> Value {
    let id = server
        .until("/api/v1/conversations", |list| list["items"][0]["id"].as_str().map(str::to_owned))
        .await;
    server
        .until(&format!("/api/v1/conversations/{id}"), |conversation| {
            let last = conversation["messages"].as_array()?.last()?.clone();
            (last["delivery"]["status"] == status).then_some(last)
        })
        .await
}

#[tokio::test]
async fn mails_of_a_conversation_leave_by_a_mail_server_in_one_thread() {
    let post = MailServer::start_secure();
    let site = post.serve(Site::new());
    let server = site.start();
    provider::mail(&server, mail("a1@customer.example", "ada@customer.example", "Where is it?", ""))
        .await
        .ok();
    let acknowledgement = post.until(1).await.remove(0);
    let conversation = only_conversation(&server, 2).await;
    reply(&server, &conversation, "It leaves tomorrow.").await;
    let answer = post.until(2).await.remove(1);

    let rest = format!("In-Reply-To: <{}>\r\n", answer.id());
    let second = mail("a2@customer.example", "ada@customer.example", "Re: Where is it?", &rest);
    provider::mail(&server, second).await.ok();
    let conversation = only_conversation(&server, 4).await;
    reply(&server, &conversation, "It has left.").await;
    let last = post.until(3).await.remove(2);

    for received in [&acknowledgement, &answer, &last] {
        assert_eq!(received.to, ["ada@customer.example"]);
        assert_eq!(received.from, "support@example.com");
        assert!(received.tls && received.user.as_deref() == Some(LOGIN.0), "{received:#?}");
        assert!(received.header("Subject").contains("Where is it?"), "{received:#?}");
    }
    assert_eq!(acknowledgement.header("Auto-Submitted"), "auto-replied");
    assert_eq!(answer.header("Auto-Submitted"), "");
    assert_eq!(answer.ids("In-Reply-To"), ["a1@customer.example"]);
    assert_eq!(last.ids("In-Reply-To"), ["a2@customer.example"]);
    // A mail program hangs a mail under the nearest mail that it knows of those that it refers to.
    assert!(answer.ids("References").contains(&"a1@customer.example".to_owned()), "{answer:#?}");
    assert!(last.ids("References").contains(&"a2@customer.example".to_owned()), "{last:#?}");
    assert!(last.mail.contains("It has left."), "{last:#?}");
    let ids = [acknowledgement.id(), answer.id(), last.id()];
    assert!(ids[0] != ids[1] && ids[1] != ids[2], "{ids:?}");
    let message = last_message(&server, "sent").await;
    assert_eq!(message["provider_message_id"], ids[2]);
}

#[tokio::test]
async fn a_wrong_password_is_told_in_the_log_and_the_message_has_failed() {
    let post = MailServer::start_secure();
    let site = post.serve(Site::new()).variable("SMTP_PASSWORD", "guessed");
    let server = site.start();
    provider::mail(&server, mail("b1@customer.example", "ada@customer.example", "Hello", "")).await.ok();
    let message = last_message(&server, "failed").await;
    assert_eq!(message["delivery"]["error_code"], "authentication", "{message:#}");
    assert!(server.log().contains("the mail server refuses the login"), "{}", server.log());
    assert!(!server.log().contains("guessed"), "{}", server.log());
    assert!(post.received().is_empty());
}

#[tokio::test]
async fn a_mail_server_whose_certificate_nobody_vouches_for_gets_nothing() {
    let (post, other) = (MailServer::start_secure(), MailServer::start_secure());
    let authority = other.authority().display().to_string();
    let site = post.serve(Site::new()).set("CHANNELS__EMAIL__SMTP__CA_FILE", authority);
    let server = site.start();
    provider::mail(&server, mail("c1@customer.example", "ada@customer.example", "Hello", "")).await.ok();
    server
        .until("/api/v1/system/activities", |list| {
            let error = list["items"][0]["last_error"].as_str()?;
            error.contains("certificate").then_some(())
        })
        .await;
    assert!(post.received().is_empty());
}

#[tokio::test]
async fn a_mail_server_that_speaks_tls_from_the_first_byte_is_spoken_to_so() {
    let post = MailServer::start_tls();
    let server = post.serve(Site::new()).start();
    provider::mail(&server, mail("g1@customer.example", "ada@customer.example", "Hello", "")).await.ok();
    let received = post.until(1).await.remove(0);
    assert!(received.tls && received.user.as_deref() == Some(LOGIN.0), "{received:#?}");
}

#[tokio::test]
async fn a_mail_server_that_cannot_encrypt_gets_nothing_where_that_is_asked_for() {
    let post = MailServer::start();
    let site = post.serve(Site::new()).set("CHANNELS__EMAIL__SMTP__TLS", "starttls");
    let server = site.start();
    provider::mail(&server, mail("h1@customer.example", "ada@customer.example", "Hello", "")).await.ok();
    server
        .until("/api/v1/system/activities", |list| {
            list["items"][0]["last_error"].as_str()?.contains("STARTTLS").then_some(())
        })
        .await;
    assert!(post.received().is_empty());
}

#[tokio::test]
async fn a_refused_recipient_has_failed_and_one_that_is_put_off_gets_the_mail_later() {
    let post = MailServer::start();
    let site = post.serve(Site::new());
    let server = site.start();
    provider::mail(&server, mail("d1@customer.example", "unknown@customer.example", "Hello", "")).await.ok();
    let message = last_message(&server, "failed").await;
    assert_eq!(message["delivery"]["error_code"], "5.1.1", "{message:#}");

    provider::mail(&server, mail("d2@customer.example", "greylisted@customer.example", "Hello", ""))
        .await
        .ok();
    let received = post.until(1).await;
    assert_eq!(received[0].to, ["greylisted@customer.example"]);
}

#[tokio::test]
async fn a_mail_whose_answer_was_lost_is_sent_again_as_the_same_mail() {
    let post = MailServer::start();
    let site = post.serve(Site::new());
    let server = site.start();
    provider::mail(&server, mail("e1@customer.example", "lost@customer.example", "Hello", "")).await.ok();
    let received = post.until(2).await;
    assert_eq!(received[0].mail, received[1].mail, "byte for byte, Message-ID and Date included");
    last_message(&server, "sent").await;
}

#[tokio::test]
async fn a_bounce_makes_the_mail_that_came_back_failed() {
    let post = MailServer::start();
    let site = post.serve(Site::new());
    let server = site.start();
    provider::mail(&server, mail("f1@customer.example", "ada@customer.example", "Hello", "")).await.ok();
    let sent = post.until(1).await.remove(0);
    last_message(&server, "sent").await;
    let bounce = format!(
        "From: Mail Delivery System <mailer-daemon@mx.customer.example>\r\nTo: support@example.com\r\n\
         Subject: Undelivered\r\nMessage-ID: <f2@mx.customer.example>\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n\r\n\
         --b\r\nContent-Type: text/plain\r\n\r\nNobody here.\r\n\
         --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.customer.example\r\n\r\n\
         Final-Recipient: rfc822; ada@customer.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\
         Diagnostic-Code: smtp; 550 5.1.1 user unknown\r\n\r\n\
         --b\r\nContent-Type: message/rfc822\r\n\r\n{}\r\n--b--\r\n",
        sent.mail
    );
    provider::mail(&server, bounce).await.ok();
    let message = last_message(&server, "failed").await;
    assert_eq!(message["delivery"]["error_code"], "5.1.1", "{message:#}");
    let conversation = only_conversation(&server, 2).await;
    assert_eq!(conversation["messages_total"], 2, "the bounce is no message: {conversation:#}");
}

#[tokio::test]
async fn a_notice_leaves_by_the_mail_server_and_is_the_same_mail_on_every_try() {
    let post = MailServer::start_secure();
    let folder = tempfile::tempdir().unwrap();
    let environment = BTreeMap::from([("SMTP_PASSWORD".to_owned(), LOGIN.1.to_owned())]);
    let text = format!(
        "[storage]\npath = {:?}\n[channels.email]\ntransport = \"provider\"\nsmtp = {{ host = \"localhost\", \
         port = {}, username = {:?}, ca_file = {:?} }}\n",
        folder.path(),
        post.port,
        LOGIN.0,
        post.authority()
    );
    let config = Config::read(&text, "config.toml", &environment).unwrap().config;
    let blobs = Arc::new(Blobs::open(folder.path().join("blobs")).unwrap());
    let clock = Clock::manual("2026-11-21T09:30:00Z".parse().unwrap());
    let outside = Outside::new(&config, blobs, clock.clone()).unwrap();
    let notice = Notice {
        id: "unreachable.0193".to_owned(),
        to: "lead@example.com".to_owned(),
        subject: "A customer cannot be reached".to_owned(),
        text: "Every channel has failed.".to_owned(),
        at: clock.now(),
    };
    let tenant = TenantId::default_tenant();
    let accepted =
        SendOutcome::Accepted { provider_message_id: Some("notice.unreachable.0193@example.com".to_owned()) };
    for _ in 0..2 {
        assert_eq!(outside.notice(&tenant, &notice).await, accepted);
    }
    let received = post.until(2).await;
    assert_eq!(received[0].mail, received[1].mail);
    assert_eq!(received[0].header("Auto-Submitted"), "auto-generated");
    assert_eq!(received[0].to, ["lead@example.com"]);
    let refused = outside.notice(&tenant, &Notice { to: "nobody".to_owned(), ..notice }).await;
    assert!(matches!(refused, SendOutcome::Refused(_)), "{refused:?}");
}

/// What a provider was asked, as a form, and where.
type Asked = Arc<Mutex<Vec<(String, BTreeMap<String, String>)>>>;

/// A stand-in for Twilio's interface that answers, or keeps the line open and says nothing.
async fn twilio(answers: bool) -> (String, Asked) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked: Asked = Arc::default();
    let kept = asked.clone();
    let app = axum::Router::new().fallback(move |request: Request| {
        let kept = kept.clone();
        async move {
            let (parts, body) = request.into_parts();
            let login = parts.headers.get("authorization").map_or("", |value| value.to_str().unwrap());
            let body = to_bytes(body, usize::MAX).await.unwrap();
            let form = url::form_urlencoded::parse(&body).into_owned().collect();
            let count = {
                let mut kept = kept.lock().unwrap();
                kept.push((format!("{} {} {login}", parts.method, parts.uri), form));
                kept.len()
            };
            if !answers {
                std::future::pending::<()>().await;
            }
            (StatusCode::CREATED, format!(r#"{{"sid":"SM{count:032x}","status":"queued"}}"#))
        }
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, asked)
}

async fn until_asked(asked: &Asked) -> BTreeMap<String, String> {
    let asking = async {
        loop {
            if let Some((_, form)) = asked.lock().unwrap().last().cloned() {
                return form;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap()
}

fn twilio_site(url: &str) -> Site {
    Site::new()
        .set("CHANNELS__SMS__TRANSPORT", "provider")
        .set("CHANNELS__SMS__BASE_URL", url)
        .set("CHANNELS__SMS__ACCOUNT_SID", "AC00000000000000000000000000000001")
        .variable("TWILIO_AUTH_TOKEN", AUTH_TOKEN)
}

/// Posts a status as Twilio does, signed over the address that it was given.
async fn status(server: &Server, callback: &str, sid: &str, status: &str) -> u16 {
    let fields: Vec<(&str, String)> = [
        ("ApiVersion", "2010-04-01"),
        ("MessageStatus", status),
        ("SmsSid", sid),
        ("SmsStatus", status),
        ("To", "+15550123456"),
        ("From", "+15550100200"),
        ("MessageSid", sid),
        ("AccountSid", "AC00000000000000000000000000000001"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .to_vec();
    let signature = provider::twilio_signature(callback, &fields, AUTH_TOKEN);
    let path = callback.strip_prefix(crate::server::PUBLIC_URL).unwrap();
    let request = server
        .client
        .post(format!("{}{path}", server.base))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-twilio-signature", signature)
        .body(provider::form(&fields));
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_text_message_is_sent_through_twilio_and_reported_delivered() {
    let (url, asked) = twilio(true).await;
    let site = twilio_site(&url);
    let server = site.start();
    provider::sms(&server, "SM1", "+15550123456", "Where is it?").await.unwrap();
    let form = until_asked(&asked).await;
    assert_eq!(form["To"], "+15550123456");
    assert_eq!(form["From"], "+15550100200", "from the number that was written to");
    let message = last_message(&server, "sent").await;
    let sid = message["provider_message_id"].as_str().unwrap().to_owned();
    assert_eq!(sid, format!("SM{:032x}", 1));
    let callback = &form["StatusCallback"];
    assert!(callback.starts_with("http://127.0.0.1:8080/api/webhooks/twilio/sms/status?"), "{callback}");
    assert_eq!(status(&server, callback, &sid, "delivered").await, 200);
    last_message(&server, "delivered").await;
    assert_eq!(status(&server, callback, &sid, "delivered").await, 200, "a duplicate gets the same");
    let forged = callback.replace("message=", "message=0");
    assert_eq!(status(&server, callback, &sid, "sent").await, 200, "late ones are taken and change nothing");
    let fields = vec![("MessageSid", sid.clone()), ("MessageStatus", "failed".to_owned())];
    let wrong = server
        .client
        .post(format!("{}{}", server.base, forged.strip_prefix(crate::server::PUBLIC_URL).unwrap()))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-twilio-signature", provider::twilio_signature(callback, &fields, AUTH_TOKEN))
        .body(provider::form(&fields));
    assert_eq!(wrong.send().await.unwrap().status().as_u16(), 403);
    last_message(&server, "delivered").await;
}

#[tokio::test]
async fn a_text_message_cut_off_by_a_crash_is_uncertain_until_twilio_reports_on_it() {
    let (url, asked) = twilio(false).await;
    let site = twilio_site(&url);
    let server = site.start();
    provider::sms(&server, "SM1", "+15550123456", "Where is it?").await.unwrap();
    let form = until_asked(&asked).await;
    server.kill();
    let server = site.start();
    let message = last_message(&server, "uncertain").await;
    assert_eq!(message["delivery"]["error_code"], "uncertain", "{message:#}");
    assert_eq!(asked.lock().unwrap().len(), 1, "it is not sent again blindly");
    assert_eq!(status(&server, &form["StatusCallback"], &format!("SM{:032x}", 9), "delivered").await, 200);
    last_message(&server, "delivered").await;
}

/// A receiver of one's own that is silent the first time it is asked; what it was asked, by `webhook-id`, and how each
/// was signed.
async fn receiver() -> (String, Arc<Mutex<Vec<(String, Value)>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/messages", listener.local_addr().unwrap());
    let asked: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
    let kept = asked.clone();
    let app = axum::Router::new().fallback(move |request: Request| {
        let kept = kept.clone();
        async move {
            let (parts, body) = request.into_parts();
            let header = |name: &str| parts.headers[name].to_str().unwrap().to_owned();
            let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
            let body = to_bytes(body, usize::MAX).await.unwrap();
            let text = String::from_utf8(body.to_vec()).unwrap();
            let right = provider::webhook_signature(&id, &timestamp, &text);
            assert_eq!(header("webhook-signature"), format!("v1,{right}"));
            let count = {
                let mut kept = kept.lock().unwrap();
                kept.push((id, serde_json::from_str(&text).unwrap()));
                kept.len()
            };
            if count == 1 {
                std::future::pending::<()>().await;
            }
            axum::Json(json!({ "id": "their-1" }))
        }
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, asked)
}

#[tokio::test]
async fn a_message_to_a_receiver_of_ones_own_is_posted_again_under_the_same_id_after_a_crash() {
    let (url, asked) = receiver().await;
    let site = Site::new()
        .set("CHANNELS__GENERIC__WEB__TRANSPORT", "provider")
        .set("CHANNELS__GENERIC__WEB__URL", url)
        .set("CHANNELS__GENERIC__WEB__SECRET", provider::WEBHOOK_SECRET);
    let server = site.start();
    let message = provider::generic_body("m-1", "ada@example.com", "Where is it?");
    provider::signed_generic(&server, &message).await.ok();
    let asking = async {
        while asked.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap();
    server.kill();
    let server = site.start();
    let message = last_message(&server, "sent").await;
    assert_eq!(message["provider_message_id"], "their-1", "{message:#}");
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0], asked[1], "the same id and the same message");
    assert_eq!(asked[0].1["to"]["value"], "ada@example.com");
}

#[test]
fn a_channel_that_cannot_send_stops_the_start_and_says_what_is_missing() {
    let site = Site::new().set("CHANNELS__SMS__TRANSPORT", "provider");
    let refused = site.command(&["serve"]).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("channels.sms.account_sid and channels.sms.auth_token"), "{said}");
}
