//! What a customer, an agent and an operator see of the whole server.

use serde_json::{Value, json};

use crate::{
    provider,
    server::{Answer, Server, Site},
};

/// The only conversation there is, once it has `messages` messages and nothing is queued.
pub(crate) async fn only_conversation(server: &Server, messages: usize) -> Value {
    let id = server
        .until("/api/v1/conversations", |list| {
            (list["total"] == 1).then(|| list["items"][0]["id"].as_str().unwrap().to_owned())
        })
        .await;
    server
        .until(&format!("/api/v1/conversations/{id}"), |conversation| {
            let all = conversation["messages"].as_array()?;
            let settled = all.iter().all(|message| message["delivery"]["status"] != "queued");
            (all.len() == messages && settled).then(|| conversation.clone())
        })
        .await
}

/// What was written to the outbound folder of a channel, by the message it carries.
pub(crate) fn outbound(site: &Site, channel: &str) -> Vec<(std::path::PathBuf, Value)> {
    let folder = site.data().join("outbound").join(channel);
    let Ok(entries) = std::fs::read_dir(&folder) else { return Vec::new() };
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let content = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            (path, content)
        })
        .collect();
    files.sort_by(|a, b| a.0.cmp(&b.0));
    files
}

#[tokio::test]
async fn a_generic_message_is_acknowledged_and_shown_by_api_and_inspect() {
    let site = Site::new();
    let server = site.start();
    provider::generic(&server, "hello-1", "ada@example.com", "My parcel has not come").await.ok();

    let conversation = only_conversation(&server, 2).await;
    assert_eq!(conversation["status"], "awaiting_agent");
    assert_eq!(conversation["channel"], "generic:web");
    assert_eq!(conversation["customer"]["name"], "Ada Whitfield");
    let messages = conversation["messages"].as_array().unwrap();
    assert_eq!(messages[0]["content"], "My parcel has not come");
    assert_eq!(messages[0]["direction"], "inbound");
    assert_eq!(messages[0]["by"]["kind"], "customer");
    assert_eq!(messages[1]["direction"], "outbound");
    assert_eq!(messages[1]["by"]["kind"], "engine");
    assert_eq!(messages[1]["delivery"]["status"], "sent");

    let files = outbound(&site, "generic.web");
    assert_eq!(files.len(), 1, "one acknowledgement");
    assert!(files[0].1["text"].as_str().unwrap().contains("Ada"), "{}", files[0].1);

    let id = conversation["id"].as_str().unwrap();
    let inspected = site
        .command(&["inspect", "conversation", id, "--json", "--server", &server.base])
        .env("THROUGHLINE_TOKEN", crate::server::TOKEN)
        .output()
        .unwrap();
    assert!(inspected.status.success(), "{}", String::from_utf8_lossy(&inspected.stderr));
    let inspected: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(inspected["id"], id);
    assert_eq!(inspected["version"], conversation["version"]);
    assert_eq!(server.stop().code(), Some(0));
}

#[tokio::test]
async fn a_mail_thread_stays_one_conversation_and_the_reply_threads_in_a_mail_program() {
    let site = Site::new();
    let server = site.start();
    let first = "From: Ada Whitfield <ada@customer.example>\r\nTo: support@example.com\r\nSubject: Where is it?\r\n\
                 Message-ID: <first@mail.customer.example>\r\nDate: Mon, 2 Nov 2026 10:00:00 +0000\r\n\r\nStill waiting.\r\n";
    provider::mail(&server, first).await.ok();
    let conversation = only_conversation(&server, 2).await;
    let id = conversation["id"].as_str().unwrap().to_owned();
    assert_eq!(conversation["subject"], "Where is it?");

    let acknowledgement = mail_written(&site, "We have your message");
    assert!(acknowledgement.contains("Auto-Submitted: auto-replied"), "{acknowledgement}");
    assert!(acknowledgement.contains("In-Reply-To: <first@mail.customer.example>"), "{acknowledgement}");

    let reply = json!({ "text": "It leaves tomorrow." });
    let answer = server.post(&format!("/api/v1/conversations/{id}/messages"), &reply).await.ok();
    assert!(answer["version"].as_u64().unwrap() > 0 && answer["seq"].as_u64().unwrap() > 0, "{answer}");
    let conversation = only_conversation(&server, 3).await;
    assert_eq!(conversation["status"], "awaiting_customer");
    let sent = mail_written(&site, "It leaves tomorrow");
    assert!(!sent.contains("Auto-Submitted"), "a person's mail must not say it is automatic: {sent}");

    // The customer answers from another address, by the thread alone.
    let message_id = header(&sent, "Message-ID").trim_matches(['<', '>']).to_owned();
    let second = format!(
        "From: ada.private@elsewhere.example\r\nTo: support@example.com\r\nSubject: Re: Where is it?\r\n\
         Message-ID: <second@mail.customer.example>\r\nIn-Reply-To: <{message_id}>\r\n\r\nThank you!\r\n"
    );
    provider::mail(&server, second).await.ok();
    let conversation = server
        .until(&format!("/api/v1/conversations/{id}"), |shown| {
            (shown["messages_total"] == 4).then(|| shown.clone())
        })
        .await;
    assert_eq!(conversation["status"], "awaiting_agent");
    assert_eq!(conversation["messages"][3]["content"], "Thank you!");
}

#[tokio::test]
async fn an_out_of_office_answer_is_kept_and_never_answered() {
    let site = Site::new();
    let server = site.start();
    let away = "From: ada@customer.example\r\nTo: support@example.com\r\nSubject: Automatic reply\r\n\
                Message-ID: <away@mail.customer.example>\r\nAuto-Submitted: auto-replied\r\n\r\nI am away.\r\n";
    provider::mail(&server, away).await.ok();
    let conversation = only_conversation(&server, 1).await;
    assert_eq!(conversation["messages"][0]["content"], "I am away.");
    assert!(outbound(&site, "email").is_empty());
}

#[tokio::test]
async fn an_sms_is_verified_acknowledged_and_answered_from_the_number_it_was_sent_to() {
    let site = Site::new().set("CHANNELS__SMS__AUTH_TOKEN", provider::AUTH_TOKEN);
    let server = site.start();
    let taken = provider::sms(&server, "SM1", "+15550123456", "Hi & hello").await.unwrap();
    assert_eq!(taken.status(), 200);
    assert_eq!(taken.headers()["content-type"], "text/xml");
    assert_eq!(taken.text().await.unwrap(), "<Response/>");
    let conversation = only_conversation(&server, 2).await;
    assert_eq!(conversation["messages"][0]["content"], "Hi & hello");
    let sent = outbound(&site, "sms");
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].1["from"], "+15550100200");

    let forged = server
        .client
        .post(format!("{}/api/webhooks/twilio/sms", server.base))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-twilio-signature", "AAAA")
        .body(provider::form(&provider::sms_fields("SM2", "+15550123456", "forged")));
    Answer::of(forged).await.problem(403);
    assert_eq!(only_conversation(&server, 2).await["messages_total"], 2);
}

#[tokio::test]
async fn addresses_of_one_signed_sender_are_one_person() {
    let site = Site::new().set("CHANNELS__GENERIC__WEB__SECRET", provider::WEBHOOK_SECRET);
    let server = site.start();
    let both = json!({
        "id": "both", "from": { "email": "Ada@Example.com", "phone": "+15550123456" }, "text": "two ways"
    });
    provider::signed_generic(&server, &both).await.ok();
    only_conversation(&server, 2).await;
    let phone = json!({ "id": "phone", "from": { "phone": "+1 555 012 3456" }, "text": "by phone" });
    provider::signed_generic(&server, &phone).await.ok();
    let conversation = only_conversation(&server, 3).await;
    let customer = conversation["customer"]["id"].as_str().unwrap();
    let customer = server.get(&format!("/api/v1/customers/{customer}")).await.ok();
    assert_eq!(customer["identity"]["emails"].as_array().unwrap().len(), 1, "{customer}");
    assert_eq!(customer["identity"]["phone_numbers"].as_array().unwrap().len(), 1, "{customer}");
}

#[tokio::test]
async fn the_same_webhook_ten_times_at_once_is_one_message() {
    let site = Site::new();
    let server = site.start();
    let ten = (0..10).map(|_| provider::generic(&server, "once", "ada@example.com", "only once"));
    for answer in futures::future::join_all(ten).await {
        answer.ok();
    }
    let conversation = only_conversation(&server, 2).await;
    assert_eq!(conversation["messages"][0]["content"], "only once");
}

#[tokio::test]
async fn sixteen_webhooks_of_a_new_customer_are_one_customer_one_conversation_sixteen_messages() {
    let site = Site::new();
    let server = site.start();
    let sixteen = (0..16).map(|n| {
        let id = format!("m-{n}");
        let text = format!("message {n}");
        let server = &server;
        async move { provider::generic(server, &id, "ada@example.com", &text).await }
    });
    for answer in futures::future::join_all(sixteen).await {
        answer.ok();
    }
    let conversation = only_conversation(&server, 17).await;
    let inbound: std::collections::BTreeSet<_> = conversation["messages"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|message| message["direction"] == "inbound")
        .map(|message| message["content"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(inbound.len(), 16);
    let customers = server.get("/api/v1/customers").await.ok();
    assert_eq!(customers["total"], 1, "{customers}");
}

#[tokio::test]
async fn a_resolved_conversation_reopens_within_the_window_and_is_followed_up_after_it() {
    let site = Site::new().set("CLOCK__MODE", "manual").set("CLOCK__START", "2026-11-02T09:00:00Z");
    let server = site.start();
    provider::generic(&server, "a", "ada@example.com", "first").await.ok();
    let conversation = only_conversation(&server, 2).await;
    let id = conversation["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/conversations/{id}");
    server.post(&format!("{path}/resolve"), &json!({ "outcome": "answered" })).await.ok();
    server.post("/api/v1/system/clock/advance", &json!({ "by": "6d" })).await.ok();
    provider::generic(&server, "b", "ada@example.com", "again").await.ok();
    server.until(&path, |shown| (shown["status"] == "reopened").then_some(())).await;

    server.post(&format!("{path}/resolve"), &json!({})).await.ok();
    server.post("/api/v1/system/clock/advance", &json!({ "by": "8d" })).await.ok();
    provider::generic(&server, "c", "ada@example.com", "much later").await.ok();
    let list = server
        .until("/api/v1/conversations", |list| (list["total"] == 2).then(|| list["items"].clone()))
        .await;
    let newest = list[0]["id"].as_str().unwrap();
    let newest = server.get(&format!("/api/v1/conversations/{newest}")).await.ok();
    assert_eq!(newest["follow_up_of"], id.as_str(), "{newest}");
}

#[tokio::test]
async fn a_snooze_ends_at_its_time_also_over_a_restart() {
    let site = Site::new().set("CLOCK__MODE", "manual").set("CLOCK__START", "2026-11-02T09:00:00Z");
    let server = site.start();
    provider::generic(&server, "a", "ada@example.com", "first").await.ok();
    let id = only_conversation(&server, 2).await["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/conversations/{id}");
    server.post(&format!("{path}/snooze"), &json!({ "until": "2026-11-02T12:00:00Z" })).await.ok();
    server.post("/api/v1/system/clock/advance", &json!({ "by": "2h" })).await.ok();
    let timers = server.get("/api/v1/system/timers").await.ok();
    let snooze = timers["items"].as_array().unwrap().iter().find(|timer| timer["name"] == "snooze").unwrap();
    assert_eq!(snooze["due_at"], "2026-11-02T12:00:00.000Z", "{timers}");
    server.kill();

    let server = site.start();
    server.post("/api/v1/system/clock/advance", &json!({ "by": "90m" })).await.ok();
    let shown = server.get(&path).await.ok();
    assert!(shown.get("snoozed_until").is_none_or(Value::is_null), "{shown}");
    let history = server.get(&format!("/api/v1/system/actors/conversation/{id}/history")).await.ok();
    let events = history["items"].as_array().unwrap();
    let woke = events.iter().find(|event| event["type"] == "woken").expect("it was woken").clone();
    assert_eq!(woke["timestamp"], "2026-11-02T12:00:00.000Z", "woken at its moment: {woke}");
    assert_eq!(woke["cause"]["kind"], "timer");
}

#[tokio::test]
async fn an_idempotency_key_gives_one_effect_and_the_same_answer() {
    let site = Site::new();
    let server = site.start();
    provider::generic(&server, "a", "ada@example.com", "first").await.ok();
    let id = only_conversation(&server, 2).await["id"].as_str().unwrap().to_owned();
    let url = format!("{}/api/v1/conversations/{id}/messages", server.base);
    let ask = |text: &str| {
        let request = server
            .client
            .post(&url)
            .bearer_auth(crate::server::TOKEN)
            .header("idempotency-key", "reply-1")
            .json(&json!({ "text": text }));
        Answer::of(request)
    };
    let (first, second) = tokio::join!(ask("Only once, please."), ask("Only once, please."));
    let first = first.ok();
    assert_eq!(first, second.ok());
    assert_eq!(first, ask("Only once, please.").await.ok());
    ask("Something else.").await.problem(422);
    let conversation = only_conversation(&server, 3).await;
    assert_eq!(conversation["messages"][2]["content"], "Only once, please.");
}

/// The mail in the outbound folder whose text holds `words`.
fn mail_written(site: &Site, words: &str) -> String {
    let folder = site.data().join("outbound/email");
    std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .find(|mail| mail.contains(words))
        .unwrap_or_else(|| panic!("no mail holds {words:?}"))
}

fn header<'a>(mail: &'a str, name: &str) -> &'a str {
    mail.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .unwrap_or_else(|| panic!("no {name} in {mail}"))
        .trim()
}

#[tokio::test]
async fn a_name_that_comes_later_becomes_the_customers_name() {
    let site = Site::new();
    let server = site.start();
    provider::sms(&server, "SM1", "+15550123456", "no name yet").await.unwrap();
    let customer = only_conversation(&server, 2).await["customer"]["id"].as_str().unwrap().to_owned();
    let named =
        json!({ "id": "n", "from": { "phone": "+15550123456", "name": "Amara Osei" }, "text": "hello" });
    let url = format!("{}/api/webhooks/generic/web", server.base);
    Answer::of(server.client.post(url).json(&named)).await.ok();
    only_conversation(&server, 3).await;
    let shown = server
        .until("/api/v1/customers?q=Amara", |list| (list["total"] == 1).then(|| list["items"][0].clone()))
        .await;
    assert_eq!(shown["id"], customer.as_str());
    assert_eq!(shown["profile"]["name"], "Amara Osei", "{shown}");
}

#[tokio::test]
async fn a_file_that_came_with_a_message_can_be_read_and_is_kept_once_however_often_it_comes() {
    let site = Site::new();
    let server = site.start();
    let body = json!({
        "id": "with-a-file", "from": { "email": "ada@example.com" }, "text": "see the picture",
        "attachments": [{ "name": "lamp.txt", "media_type": "text/plain", "content_base64": "YSBicm9rZW4gbGFtcA==" }]
    });
    let url = format!("{}/api/webhooks/generic/web", server.base);
    for _ in 0..3 {
        Answer::of(server.client.post(&url).json(&body)).await.ok();
    }
    let conversation = only_conversation(&server, 2).await;
    let attachment = &conversation["messages"][0]["attachments"][0];
    assert_eq!(attachment["name"], "lamp.txt");
    let read = server.get(attachment["url"].as_str().unwrap()).await;
    assert_eq!((read.status, &read.body), (200, &Value::String("a broken lamp".to_owned())));
    assert_eq!(files_below(&site.data().join("blobs")), 1);
}

fn files_below(folder: &std::path::Path) -> usize {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| if path.is_dir() { files_below(&path) } else { 1 })
        .sum()
}

#[tokio::test]
async fn the_document_of_the_api_is_served_with_a_page_to_read_it() {
    let site = Site::new();
    let server = site.start();
    let document = server.get("/api/openapi.json").await.ok();
    for path in ["/api/v1/conversations/{id}/messages", "/api/webhooks/twilio/sms", "/readyz"] {
        assert!(document["paths"][path].is_object(), "{path} is described");
    }
    let page = server.get("/api/docs/").await;
    assert_eq!(page.status, 200);
    let page = page.body.as_str().unwrap().to_owned();
    assert!(!page.contains("//unpkg") && !page.contains("//cdn"), "it needs no internet: {page}");
    server.get("/readyz").await.ok();
    server.get("/healthz").await.ok();
}

#[test]
fn a_workflow_of_ones_own_keeps_its_promise_over_a_restart() {
    // Examples are built beside the tests.
    let here = std::env::current_exe().unwrap();
    let example = here.ancestors().nth(2).unwrap().join("examples/own_workflow");
    let told = std::process::Command::new(&example).output().unwrap();
    let said = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.status.success(), "{said}{}", String::from_utf8_lossy(&told.stderr));
    assert!(said.contains("heard: water the plants") && said.contains(".2.0, attempt 1"), "{said}");
}

#[test]
fn an_idle_server_is_small() {
    let site = Site::new();
    let server = site.start();
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = resident.split_whitespace().next().unwrap().parse().unwrap();
    assert!(kib < 80 * 1024, "{kib} KiB are resident");
}
