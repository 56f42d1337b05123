//! Bad input and bad circumstances: each gets a clear answer, and nothing already accepted is lost.

use serde_json::json;

use crate::{
    provider,
    server::{Answer, Site, TOKEN},
    stories::only_conversation,
};

#[tokio::test]
async fn malformed_requests_are_told_what_is_wrong_and_where() {
    let site = Site::new().set("SERVER__BODY_MAX", "64KiB");
    let server = site.start();
    let door = format!("{}/api/webhooks/generic/web", server.base);
    let json_type = ("content-type", "application/json");

    let broken = server.client.post(&door).header(json_type.0, json_type.1).body("{\"id\": ");
    let problem = Answer::of(broken).await.problem(400);
    assert!(problem["detail"].as_str().unwrap().contains("line 1"), "{problem}");

    let nameless = server.client.post(&door).json(&json!({ "id": "x", "from": {}, "text": "hi" }));
    let problem = Answer::of(nameless).await.problem(400);
    assert!(problem.to_string().contains("from"), "{problem}");

    let large = server.client.post(&door).json(&json!({ "id": "x", "text": "a".repeat(100_000) }));
    Answer::of(large).await.problem(413);

    let not_mail = Answer::of(
        server.client.post(format!("{}/api/webhooks/raw/email", server.base)).body("\u{0}\u{1}\u{2}"),
    );
    not_mail.await.problem(400);

    let elsewhere = format!("{}/t/nobody/api/webhooks/generic/web", server.base);
    let elsewhere = server.client.post(elsewhere).json(&provider::generic_body("x", "a@example.com", "hi"));
    Answer::of(elsewhere).await.problem(404);
    server.get("/api/v1/conversations/00000000-0000-7000-8000-000000000000").await.problem(404);
    server.get("/api/v1/nothing/here").await.problem(404);
    let anonymous = Answer::of(server.client.get(format!("{}/api/v1/conversations", server.base))).await;
    anonymous.problem(401);

    let typo = server.post("/api/v1/agents", &json!({ "name": "Bo", "emial": "bo@example.com" })).await;
    let problem = typo.problem(422);
    assert!(problem.to_string().contains("emial"), "{problem}");
    assert_eq!(server.get("/api/v1/conversations").await.ok()["total"], 0, "nothing was kept");
}

#[tokio::test]
async fn eight_bit_rubbish_in_a_mail_header_is_taken_as_it_can_be_read() {
    let site = Site::new();
    let server = site.start();
    let mut mail = b"From: Ada \xff\xfe <ada@customer.example>\r\nTo: support@example.com\r\nSubject: \xe4\xf6\xfc \x80\r\n".to_vec();
    mail.extend_from_slice(b"Message-ID: <rubbish@mail.customer.example>\r\n\r\nStill readable.\r\n");
    let request = server.client.post(format!("{}/api/webhooks/raw/email", server.base)).body(mail);
    Answer::of(request).await.ok();
    let conversation = only_conversation(&server, 2).await;
    assert_eq!(conversation["messages"][0]["content"], "Still readable.");
}

#[tokio::test]
async fn an_illegal_move_names_the_state_and_what_is_legal() {
    let site = Site::new();
    let server = site.start();
    provider::generic(&server, "a", "ada@example.com", "first").await.ok();
    let id = only_conversation(&server, 2).await["id"].as_str().unwrap().to_owned();
    let problem = server.post(&format!("/api/v1/conversations/{id}/reopen"), &json!({})).await.problem(409);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("awaiting_agent") && detail.contains("resolve"), "{detail}");
}

#[tokio::test]
async fn a_poisoned_message_becomes_a_dead_letter_and_the_conversation_goes_on() {
    let site = Site::new();
    let mark = site.folder.path().join("fault");
    std::fs::write(&mark, "").unwrap();
    let site = site
        .variable("THROUGHLINE_FAULT_PANIC_TEXT", "poison-4711")
        .variable("THROUGHLINE_FAULT_WHILE_EXISTS", mark.to_str().unwrap());
    let server = site.start();
    provider::generic(&server, "a", "ada@example.com", "before").await.ok();
    provider::generic(&server, "b", "ada@example.com", "poison-4711").await.ok();
    provider::generic(&server, "c", "ada@example.com", "after").await.ok();
    provider::generic(&server, "d", "bob@example.com", "someone else").await.ok();

    let letter = server
        .until("/api/v1/system/dead-letters", |list| (list["total"] == 1).then(|| list["items"][0].clone()))
        .await;
    assert_eq!(letter["kind"], "inbound");
    assert_eq!(letter["attempts"], 5);
    let list = server
        .until("/api/v1/conversations", |list| {
            let rows = list["items"].as_array()?;
            (rows.len() == 2).then(|| rows.clone())
        })
        .await;
    let mut texts = Vec::new();
    for row in &list {
        let path = format!("/api/v1/conversations/{}", row["id"].as_str().unwrap());
        let shown = server
            .until(&path, |shown| {
                let inbound: Vec<_> = inbound_texts(shown);
                (inbound.contains(&"after".to_owned()) || inbound.contains(&"someone else".to_owned()))
                    .then_some(inbound)
            })
            .await;
        texts.push(shown);
    }
    texts.sort();
    assert_eq!(texts, [vec!["before".to_owned(), "after".to_owned()], vec!["someone else".to_owned()]]);

    // Retried before the mend it comes back; after the mend it arrives.
    std::fs::remove_file(&mark).unwrap();
    let path = format!("/api/v1/system/dead-letters/{}/retry", letter["id"].as_str().unwrap());
    server.post(&path, &json!({})).await.problem(422);
    server.post(&path, &json!({ "reason": "the handler is mended" })).await.ok();
    server.until("/api/v1/conversations?q=poison-4711", |list| (list["total"] == 1).then_some(())).await;
    assert_eq!(server.get("/api/v1/system/dead-letters").await.ok()["total"], 0);
    server.post(&path, &json!({ "reason": "again" })).await.problem(404);
}

fn inbound_texts(conversation: &serde_json::Value) -> Vec<String> {
    conversation["messages"]
        .as_array()
        .map(|messages| {
            messages
                .iter()
                .filter(|message| message["direction"] == "inbound")
                .map(|message| message["content"].as_str().unwrap_or_default().to_owned())
                .collect()
        })
        .unwrap_or_default()
}

#[tokio::test]
async fn a_disk_that_is_nearly_full_takes_nothing_new_and_says_so() {
    let site = Site::new();
    let server = site.start();
    provider::generic(&server, "a", "ada@example.com", "while there was room").await.ok();
    let id = only_conversation(&server, 2).await["id"].as_str().unwrap().to_owned();
    // Until the lists have caught up with the last read, that is a remark too.
    server.until("/readyz", |ready| (ready["remarks"] == json!([])).then_some(())).await;
    server.stop();

    let site = site.set("STORAGE__MIN_FREE", "1PiB");
    let server = site.start();
    let problem = provider::generic(&server, "b", "ada@example.com", "no room").await.problem(503);
    assert!(problem["detail"].as_str().unwrap().contains("disk is nearly full"), "{problem}");
    let ready = server.get("/readyz").await.ok();
    let remark = ready["remarks"][0].as_str().unwrap();
    assert!(remark.starts_with("new messages are refused: only ") && remark.contains("disk"), "{ready}");
    let reply = json!({ "text": "We are still here." });
    server.post(&format!("/api/v1/conversations/{id}/messages"), &reply).await.ok();
}

#[tokio::test]
async fn every_mistake_in_the_configuration_is_named_with_its_line() {
    let site = Site::new().config("[server]\nlisten = \"nowhere\"\n[storage]\nenigne = \"sled\"\n");
    let refused = site.command(&["serve"]).env_remove("THROUGHLINE__SERVER__LISTEN").output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("config.toml:2") && said.contains("config.toml:4"), "{said}");
    assert!(said.contains("enigne") && said.contains("engine"), "{said}");
}

#[tokio::test]
async fn a_folder_is_not_opened_under_another_clock() {
    let site = Site::new();
    assert_eq!(site.start().stop().code(), Some(0));
    let refused = site.command(&["serve"]).env("THROUGHLINE__CLOCK__MODE", "manual").output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("clock.mode") && said.contains("system"), "{said}");
}

#[tokio::test]
async fn the_commands_show_a_running_server() {
    let site = Site::new();
    let server = site.start();
    provider::generic(&server, "a", "ada@example.com", "first").await.ok();
    let id = only_conversation(&server, 2).await["id"].as_str().unwrap().to_owned();
    let run = |arguments: &[&str]| {
        let output = site
            .command(arguments)
            .env("THROUGHLINE_SERVER", &server.base)
            .env("THROUGHLINE_TOKEN", TOKEN)
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let (status, said) = run(&["actors", "--kind", "conversation"]);
    assert!(status == Some(0) && said.contains(&id), "{said}");
    let (status, said) = run(&["inspect", "conversation", &id, "--at", "1"]);
    assert!(status == Some(0) && said.contains("version"), "{said}");
    let (status, said) = run(&["inspect", "conversation", &id, "--at", "99"]);
    assert!(status == Some(1) && said.contains("99"), "{said}");
    let (status, said) = run(&["inspect", "parcel", &id]);
    assert!(status == Some(1) && said.contains("conversation"), "the kinds are named: {said}");
    for listing in ["timers", "activities"] {
        let (status, said) = run(&[listing]);
        assert_eq!(status, Some(0), "{said}");
    }
    let (status, said) = run(&["token", "create", "--role", "agent", "--name", "desk"]);
    assert_eq!(status, Some(0), "{said}");
    let (status, _) = run(&["token", "create", "--role", "king"]);
    assert_eq!(status, Some(2));
    let (status, said) = run(&["dead-letters", "show", "not-an-id"]);
    assert_ne!(status, Some(0), "{said}");
}
