//! Tenants and their policies on the whole server: added by command, changed by API, there after a crash.

use serde_json::{Value, json};

use crate::{
    server::{Server, Site, TOKEN},
    stories::outbound,
};

/// Runs a command against the server.
fn ask(site: &Site, server: &Server, arguments: &[&str]) -> String {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--server", &server.base]).collect();
    let output = site.command(&arguments).env("THROUGHLINE_TOKEN", TOKEN).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn patch(server: &Server, path: &str, body: &Value) -> Value {
    let request = server.client.patch(format!("{}{path}", server.base)).bearer_auth(TOKEN).json(body);
    let answer = request.send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    answer.json().await.unwrap()
}

#[tokio::test]
async fn a_tenant_added_by_command_answers_its_customers_and_survives_a_crash() {
    let site = Site::new();
    let server = site.start();
    let said = ask(&site, &server, &["tenant", "add", "globex", "--title", "Globex Care"]);
    assert!(said.contains("/t/globex/api/webhooks"), "{said}");
    let message = json!({ "id": "1", "from": { "email": "ada@example.com" }, "text": "Where is it?" });
    let door = "/t/globex/api/webhooks/generic/web";
    server.post(door, &message).await.ok();
    server
        .until("/api/v1/system/status", |_| (outbound(&site, "generic.web").len() == 1).then_some(()))
        .await;

    let changed =
        patch(&server, "/api/v1/policy?tenant=globex", &json!({ "updates": { "interval": "6h" } })).await;
    assert_eq!(changed["version"], 2);
    server.kill();

    let server = site.start();
    let tenants = ask(&site, &server, &["tenant", "list"]);
    assert!(tenants.contains("globex") && tenants.contains("Globex Care"), "{tenants}");
    let policy = server.get("/api/v1/policy?tenant=globex").await.ok();
    assert_eq!((&policy["version"], &policy["settings"]["updates"]["interval"]), (&json!(2), &json!("6h")));
    let second = json!({ "id": "2", "from": { "email": "bob@example.com" }, "text": "And mine?" });
    server.post(door, &second).await.ok();
    server
        .until("/api/v1/system/status", |_| (outbound(&site, "generic.web").len() == 2).then_some(()))
        .await;
    assert_eq!(server.stop().code(), Some(0));
}

#[tokio::test]
async fn a_key_that_the_file_takes_over_is_the_files_and_given_back_it_is_the_apis_again() {
    let site = Site::new();
    let server = site.start();
    patch(&server, "/api/v1/policy", &json!({ "updates": { "interval": "6h" } })).await;
    assert_eq!(server.stop().code(), Some(0));

    let site = site.config("[updates]\ninterval = \"8h\"\n");
    let server = site.start();
    let policy = server.get("/api/v1/policy").await.ok();
    assert_eq!(
        (&policy["version"], &policy["settings"]["updates"]["interval"], &policy["owned"]),
        (&json!(3), &json!("8h"), &json!(["updates.interval"]))
    );
    assert_eq!(server.stop().code(), Some(0));

    let site = site.config("");
    let server = site.start();
    let policy = server.get("/api/v1/policy").await.ok();
    assert_eq!((&policy["version"], &policy["settings"]["updates"]["interval"]), (&json!(4), &json!("6h")));
    let versions = server.get("/api/v1/policy/versions").await.ok();
    let sources: Vec<_> =
        versions["items"].as_array().unwrap().iter().map(|one| one["source"].clone()).collect();
    assert_eq!(sources, ["configuration", "configuration", "api", "configuration"]);
    assert_eq!(server.stop().code(), Some(0));
}

#[tokio::test]
async fn a_file_that_contradicts_what_the_api_has_set_stops_the_start_and_says_so() {
    let office = "[calendars.office]\ntimezone = \"UTC\"\nhours = { mon = [\"09:00-17:00\"] }\n";
    let site = Site::new().config(office);
    let server = site.start();
    patch(&server, "/api/v1/policy", &json!({ "sla": { "tiers": { "premium": { "calendar": "office" } } } }))
        .await;
    assert_eq!(server.stop().code(), Some(0));

    let site = site.config("");
    let output = site.command(&["serve"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("sla.tiers.premium.calendar") && said.contains("set by the API"), "{said}");
}
