//! A case is stuck because its provider refuses: found, understood, mended, tried again, as an operator does it.

use std::{
    process::Output,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::Value;

use crate::{
    provider::{self, AUTH_TOKEN},
    server::{Server, Site, TOKEN},
};

/// A stand-in for Twilio's interface that is suspended for an hour, unless somebody pays the bill.
async fn suspended() -> (String, Arc<AtomicBool>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let paid = Arc::new(AtomicBool::new(false));
    let is_paid = paid.clone();
    let answer = move || {
        let is_paid = is_paid.load(Ordering::SeqCst);
        async move {
            if is_paid {
                let body = format!(r#"{{"sid":"SM{:032x}","status":"queued"}}"#, 7);
                return (StatusCode::CREATED, body).into_response();
            }
            let body = r#"{"code":20429,"message":"The account is suspended"}"#;
            let wait = [(header::RETRY_AFTER, "3600")];
            (StatusCode::TOO_MANY_REQUESTS, wait, body).into_response() as Response
        }
    };
    let app = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, paid)
}

/// Types a command at the site, and what came of it.
fn typed(site: &Site, server: &Server, line: &str) -> Output {
    let mut words: Vec<&str> = Vec::new();
    let mut quoted = line.split('"');
    while let Some(plain) = quoted.next() {
        words.extend(plain.split_whitespace());
        words.extend(quoted.next());
    }
    words.extend(["--server", &server.base, "--token", TOKEN]);
    site.command(&words).output().unwrap()
}

/// What a command says that succeeds.
fn said(site: &Site, server: &Server, line: &str) -> String {
    let output = typed(site, server, line);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{line}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// What a command says that fails.
fn refused(site: &Site, server: &Server, line: &str) -> String {
    let output = typed(site, server, line);
    assert_eq!(output.status.code(), Some(1), "{line}");
    String::from_utf8(output.stderr).unwrap()
}

fn json(site: &Site, server: &Server, line: &str) -> Value {
    serde_json::from_str(&said(site, server, &format!("{line} --json"))).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_case_whose_provider_refuses_is_found_understood_mended_and_delivered() {
    let (url, paid) = suspended().await;
    let site = Site::new()
        .set("CHANNELS__SMS__TRANSPORT", "provider")
        .set("CHANNELS__SMS__BASE_URL", url)
        .set("CHANNELS__SMS__ACCOUNT_SID", "AC00000000000000000000000000000001")
        .variable("TWILIO_AUTH_TOKEN", AUTH_TOKEN);
    let server = site.start();
    provider::sms(&server, "SM1", "+15550123456", "Where is it?").await.unwrap();
    let activity = server
        .until("/api/v1/system/activities", |list| {
            list["items"][0]["last_error"].is_string().then(|| list["items"][0].clone())
        })
        .await;
    let (id, activity) = (activity["entity"].as_str().unwrap(), activity["id"].as_str().unwrap());

    // It stands where whoever is called looks first, with what to type.
    let top = json(&site, &server, "top");
    let need = &top["needs_attention"][0];
    assert_eq!((&need["what"], &need["entity"]), (&"failing: sms".into(), &id.into()), "{top:#}");
    assert!(
        need["next"].as_str().unwrap().starts_with(&format!("throughline activities retry-now {activity}"))
    );
    assert_eq!(top["status"]["activities"][0]["failing"], 1, "{top:#}");
    assert!(said(&site, &server, "activities").contains("The account is suspended"));
    assert!(said(&site, &server, "activities --failing --lane sms").contains(activity));
    assert_eq!(said(&site, &server, "activities --failing --lane email").trim(), "nothing");
    assert_eq!(said(&site, &server, "timers --stuck").trim(), "nothing");
    assert!(said(&site, &server, "silence").contains(id));
    // The entity says what it waits for, until when, and what it promised meanwhile.
    let inspected = said(&site, &server, &format!("inspect conversation {id}"));
    for words in
        ["pending activities", activity, "The account is suspended", "silence: updates.interval 12h since "]
    {
        assert!(inspected.contains(words), "{words}: {inspected}");
    }
    let history = said(&site, &server, &format!("inspect conversation {id} --history"));
    assert!(history.contains("webhook: message "), "{history}");

    // The bill is paid, and nobody waits for the rest of the hour.
    paid.store(true, Ordering::SeqCst);
    let retry = format!("activities retry-now {activity} --reason \"the bill is paid\"");
    assert_eq!(said(&site, &server, &retry).trim(), format!("{activity} is tried at once"));
    server
        .until(&format!("/api/v1/conversations/{id}"), |conversation| {
            (conversation["messages"].as_array()?.last()?["delivery"]["status"] == "sent").then_some(())
        })
        .await;
    let again = refused(&site, &server, &retry);
    assert!(again.contains("There is no such pending activity"), "{again}");
    assert_eq!(json(&site, &server, "top")["needs_attention"], serde_json::json!([]));
    let history = said(&site, &server, &format!("inspect conversation {id} --history"));
    assert!(history.contains(&format!("activity: the outcome of {activity}")), "{history}");
    let diff = said(&site, &server, &format!("inspect conversation {id} --diff 1..2"));
    assert!(diff.contains("because of"), "{diff}");
    assert!(said(&site, &server, "actors replay --all --reason \"to be sure\"").contains("nothing differs"));
    let audit = server.get("/api/v1/audit").await.ok().to_string();
    assert!(audit.contains("activity.retry_now") && audit.contains("the bill is paid"), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_conversation_keeps_its_messages_over_a_crash_and_says_so_everywhere() {
    let site = Site::new();
    let server = site.start();
    provider::generic(&server, "m1", "ada@customer.example", "Hello").await.ok();
    let id = server
        .until("/api/v1/conversations", |list| list["items"][0]["id"].as_str().map(str::to_owned))
        .await;
    let paused = said(&site, &server, &format!("actors pause conversation {id} --reason \"a loop\""));
    assert!(paused.contains("its customer was promised to hear again by"), "{paused}");
    provider::generic(&server, "m2", "ada@customer.example", "Are you there?").await.ok();
    server.kill();

    let server = site.start();
    let listed = json(&site, &server, "actors --paused");
    assert_eq!((&listed["total"], &listed["items"][0]["id"]), (&1.into(), &id.as_str().into()));
    server
        .until("/api/v1/system/status", |status| {
            (status["commits"]["inbox_pending"] == 1 && status["intake_waiting"] == 0).then_some(())
        })
        .await;
    let top = json(&site, &server, "top");
    assert_eq!(top["needs_attention"][0]["what"], "paused", "{top:#}");
    let twice = refused(&site, &server, &format!("actors pause conversation {id} --reason \"again\""));
    assert!(twice.contains("a loop"), "{twice}");
    said(&site, &server, &format!("actors resume conversation {id} --reason \"it was none\""));
    server
        .until(&format!("/api/v1/conversations/{id}"), |conversation| {
            conversation["messages"].to_string().contains("Are you there?").then_some(())
        })
        .await;
    let unknown = refused(&site, &server, &format!("inspect conversation {id} --at 900"));
    assert!(unknown.contains("there is no version 900"), "{unknown}");
    let kind = refused(&site, &server, &format!("actors passivate parcel {id} --reason \"none\""));
    assert!(kind.contains("the kinds are"), "{kind}");
}
