//! Settings by the API: what is shown, what is refused and how, and the templates among them.

use super::*;

impl World {
    async fn patch(&self, token: &str, patch: Value, key: &[(&str, &str)]) -> Answer {
        self.ask(token, "PATCH", "/api/v1/policy", Some(patch), key).await
    }
}

#[tokio::test]
async fn settings_are_changed_by_a_merge_patch_and_every_version_is_kept() {
    let world = World::new().await;
    let supervisor = world.token("supervisor", json!({ "name": "the lead" })).await;
    let shown = world.get("/api/v1/policy").await.body;
    assert_eq!((&shown["version"], &shown["settings"]["updates"]["interval"]), (&json!(1), &json!("12h")));
    assert_eq!((&shown["owned"], &shown["edits"]), (&json!([]), &json!({})));

    let key = [("idempotency-key", "stricter")];
    let patch = json!({ "updates": { "interval": "6h" }, "customers": { "language": "de" } });
    for _ in 0..2 {
        let answer = world.patch(&supervisor, patch.clone(), &key).await;
        assert_eq!((answer.status.as_u16(), &answer.body["version"]), (200, &json!(2)), "{}", answer.body);
    }
    let answer = world.patch(&world.admin, json!({ "updates": { "interval": null } }), &[]).await;
    assert_eq!(answer.body["version"], 3, "{}", answer.body);
    let shown = world.get("/api/v1/policy").await.body;
    assert_eq!(shown["edits"], json!({ "customers": { "language": "de" } }));
    assert_eq!(shown["settings"]["updates"]["interval"], "12h");

    let versions = world.get("/api/v1/policy/versions").await.body;
    assert_eq!(versions["total"], 3);
    let second = &versions["items"][1];
    assert_eq!(second["changed"], json!(["customers.language", "updates.interval"]));
    assert_eq!((&second["source"], &second["by"]["name"]), (&json!("api"), &json!("the lead")));
    assert_eq!(versions["items"][2]["source"], "configuration");
}

#[tokio::test]
async fn only_admins_and_supervisors_change_settings_and_everybody_sees_them() {
    let world = World::new().await;
    for role in ["agent", "engineer", "api"] {
        let token = world.token(role, json!({})).await;
        let answer = world.patch(&token, json!({ "name": "Mine" }), &[]).await;
        assert!(
            answer.is_problem(403, "forbidden").detail().contains("admin or supervisor"),
            "{}",
            answer.body
        );
        assert_eq!(world.ask(&token, "GET", "/api/v1/policy", None, &[]).await.status, 200);
    }
}

#[tokio::test]
async fn every_mistake_of_a_patch_is_told_and_nothing_changes() {
    let world = World::new().await;
    let patch =
        json!({ "updates": { "interval": "13h", "margin": "1m" }, "customers": { "timezone": "Moon" } });
    let answer = world.patch(&world.admin, patch, &[]).await;
    let told = answer.is_problem(422, "invalid").detail();
    for part in ["updates.interval: must be at most 12h", "updates.margin", "customers.timezone"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let answer =
        world.patch(&world.admin, json!({ "colour": "red", "updates": { "intervall": "1h" } }), &[]).await;
    let told = answer.is_problem(422, "invalid").detail();
    assert!(
        told.contains("colour: is not a setting") && told.contains("updates.intervall: is not"),
        "{told}"
    );
    let answer = world.patch(&world.admin, json!([1]), &[]).await;
    answer.is_problem(422, "invalid");
    assert_eq!(world.get("/api/v1/policy").await.body["version"], 1);
}

#[tokio::test]
async fn what_the_configuration_sets_is_changed_there() {
    let world = World::new().await;
    let acme = world.token("admin", json!({ "tenant": "acme" })).await;
    let answer = world.patch(&acme, json!({ "updates": { "interval": "6h", "margin": "20m" } }), &[]).await;
    let problem = answer.is_problem(409, "conflict");
    assert!(problem.detail().contains("the configuration sets updates.interval;"), "{}", problem.body);
    let shown = world.ask(&acme, "GET", "/api/v1/policy", None, &[]).await.body;
    assert_eq!((&shown["owned"], &shown["version"]), (&json!(["updates.interval"]), &json!(1)));
    assert_eq!(shown["settings"]["updates"]["interval"], "8h");

    let answer = world.ask(&world.admin, "GET", "/api/v1/policy?tenant=acme", None, &[]).await;
    assert_eq!(answer.body, shown, "an operator names any tenant");
    world.ask(&acme, "GET", "/api/v1/policy?tenant=default", None, &[]).await.is_problem(403, "forbidden");
    let answer = world.get("/api/v1/policy?tenant=nobody").await;
    answer.is_problem(404, "not-found");
}

#[tokio::test]
async fn templates_are_written_one_by_one_with_their_variables_named() {
    let world = World::new().await;
    let list = world.get("/api/v1/templates").await.body;
    let first = &list["items"][0];
    assert_eq!((&first["language"], &first["source"]), (&json!("en"), &json!("built_in")), "{list}");
    assert!(first["variables"].is_array(), "{first}");

    let path = "/api/v1/templates/de/acknowledgement";
    let put =
        async |text: &str| world.ask(&world.admin, "PUT", path, Some(json!({ "text": text })), &[]).await;
    assert_eq!(put("Danke, {customer}.").await.status, 200);
    let of = |list: Value| {
        let items = list["items"].as_array().unwrap().clone();
        items.into_iter().find(|item| item["language"] == "de" && item["name"] == "acknowledgement")
    };
    let german = of(world.get("/api/v1/templates").await.body).unwrap();
    assert_eq!((&german["text"], &german["source"]), (&json!("Danke, {customer}."), &json!("api")));
    assert_eq!(german["variables"], json!(["customer"]));

    let answer = put("Danke, {money}.").await;
    assert!(answer.is_problem(422, "invalid").detail().contains("allowed: {customer}"), "{}", answer.body);
    assert_eq!(answer.body["field"], "templates.de.acknowledgement");
    let answer = world
        .ask(&world.admin, "PUT", "/api/v1/templates/de/farewell", Some(json!({ "text": "x" })), &[])
        .await;
    assert!(answer.is_problem(404, "not-found").detail().contains("acknowledgement"), "{}", answer.body);

    for _ in 0..2 {
        assert_eq!(world.ask(&world.admin, "DELETE", path, None, &[]).await.status, 200);
    }
    assert_eq!(of(world.get("/api/v1/templates").await.body), None);
}

#[tokio::test]
async fn a_change_holds_for_the_next_customer() {
    let world = World::new().await;
    let answer = world.patch(&world.admin, json!({ "conversation": { "acknowledge": false } }), &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let id = world.conversation().await;
    let messages = world.get(&format!("/api/v1/conversations/{id}/messages")).await.body;
    assert_eq!(messages["total"], 1, "no acknowledgement: {messages}");
}
