//! The examples for whoever watches a server: every figure that a dashboard or an alert names is one that the server
//! gives, under labels that it has, and every figure is looked at somewhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{
    provider,
    server::{Server, Site},
};

/// Labels that the reader of the figures adds.
const ADDED: &[&str] = &["instance", "job"];

fn example(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The alerts of the rules, each with the fields that it has.
fn alerts() -> Vec<Value> {
    let rules: Value = serde_saphyr::from_str(&example("examples/prometheus/alerts.yml")).unwrap();
    let groups = rules["groups"].as_array().unwrap();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).cloned().collect()
}

fn dashboard() -> Value {
    serde_json::from_str(&example("examples/grafana/throughline.json")).unwrap()
}

/// Every expression, with where it stands.
fn expressions() -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = alerts()
        .iter()
        .map(|alert| {
            (alert["alert"].as_str().unwrap().to_owned(), alert["expr"].as_str().unwrap().to_owned())
        })
        .collect();
    for panel in dashboard()["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let title = panel["title"].as_str().unwrap();
            all.push((format!("panel {title:?}"), target["expr"].as_str().unwrap().to_owned()));
        }
    }
    all
}

/// The figures that an expression names, each with the labels that it is asked for.
fn named(expression: &str) -> Vec<(String, BTreeSet<String>)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    expression
        .match_indices("throughline_")
        .map(|(at, _)| {
            let rest = &expression[at..];
            let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            let (name, rest) = rest.split_at(end);
            let matchers =
                rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(inside, _)| inside);
            let labels = matchers.split(',').filter_map(|one| one.split(['=', '!']).next());
            let labels = labels.map(|label| label.trim().to_owned()).filter(|label| !label.is_empty());
            (name.to_owned(), labels.collect())
        })
        .collect()
}

/// The figures of a real answer, each with the labels that it came with.
async fn figures(server: &Server) -> BTreeMap<String, BTreeSet<String>> {
    let answer = server.get("/metrics").await;
    assert_eq!(answer.status, 200);
    let text = answer.body.as_str().unwrap().to_owned();
    let mut found = BTreeMap::<String, BTreeSet<String>>::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let end = line.find(['{', ' ']).unwrap();
        let labels = line[end..]
            .strip_prefix('{')
            .and_then(|rest| rest.split_once('}'))
            .map_or("", |(inside, _)| inside);
        let labels =
            labels.split(',').filter_map(|label| label.split_once('=')).map(|(label, _)| label.to_owned());
        found.entry(line[..end].to_owned()).or_default().extend(labels);
    }
    found
}

/// A server to which everything has happened that is counted: customers who wait, promises that are broken, sends
/// that fail, a letter that is dead, an endpoint.
async fn eventful() -> BTreeMap<String, BTreeSet<String>> {
    let site = Site::new()
        .set("CLOCK__MODE", "manual")
        .set("CHANNELS__SMS__AUTH_TOKEN", provider::AUTH_TOKEN)
        .set("CHANNELS__GENERIC__WEB__TRANSPORT", "provider")
        .set("CHANNELS__GENERIC__WEB__URL", "http://127.0.0.1:1/nobody")
        .set("CHANNELS__GENERIC__WEB__SECRET", provider::WEBHOOK_SECRET);
    let server = site.start();
    let body = provider::generic_body("m-1", "ada@customer.example", "Where is it?");
    provider::signed_generic(&server, &body).await.ok();
    let unreadable = provider::sms(&server, "SM1", "nobody's number at all", "Hello").await.unwrap();
    assert_eq!(unreadable.status(), 204, "it is signed, and kept as a dead letter");
    let endpoint = json!({ "url": "http://127.0.0.1:1/events", "topics": ["message.received"] });
    server.post("/api/v1/webhooks", &endpoint).await.ok();
    server
        .until("/api/v1/system/activities", |list| {
            list["items"].as_array()?.iter().any(|one| one["attempts"].as_u64() > Some(0)).then_some(())
        })
        .await;
    let mut found = figures(&server).await;
    server.post("/api/v1/system/clock/advance", &json!({ "by": "3d" })).await.ok();
    for (name, labels) in figures(&server).await {
        found.entry(name).or_default().extend(labels);
    }
    found
}

#[tokio::test]
async fn what_is_watched_is_what_the_server_tells() {
    let told = eventful().await;
    let mut watched = BTreeSet::new();
    for (place, expression) in expressions() {
        let named = named(&expression);
        assert!(!named.is_empty() || expression.starts_with("up"), "{place} names no figure: {expression}");
        for (name, labels) in named {
            let has = told.get(&name).unwrap_or_else(|| panic!("{place}: the server tells no {name}"));
            for label in labels {
                let known = has.contains(&label) || ADDED.contains(&label.as_str());
                assert!(known, "{place}: {name} has no label {label}, only {has:?}");
            }
            watched.insert(name);
        }
    }
    let unwatched: Vec<_> = told.keys().filter(|name| !watched.contains(*name)).collect();
    assert!(unwatched.is_empty(), "nobody looks at {unwatched:?}");
}

#[test]
fn an_alert_says_what_is_wrong_how_bad_it_is_and_where_to_read_what_to_do() {
    let alerts = alerts();
    assert!(alerts.len() > 10);
    let mut names = BTreeSet::new();
    for alert in &alerts {
        let name = alert["alert"].as_str().unwrap();
        assert!(name.starts_with("Throughline") && names.insert(name), "{name}");
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(["critical", "warning", "info"].contains(&severity), "{name}: {severity}");
        for field in ["summary", "description"] {
            assert!(
                alert["annotations"][field].as_str().is_some_and(|text| text.len() > 10),
                "{name} has no {field}"
            );
        }
        let runbook = alert["annotations"]["runbook"].as_str().unwrap();
        let (file, heading) = runbook.split_once('#').unwrap();
        assert!(headings(&example(file)).contains(heading), "{name}: {file} has no heading {heading}");
    }
}

/// The anchors of a page's headings.
fn headings(page: &str) -> BTreeSet<String> {
    let lines = page.lines().filter_map(|line| line.strip_prefix('#'));
    lines.map(|line| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-")).collect()
}

#[test]
fn the_dashboard_is_one_that_can_be_shown() {
    let dashboard = dashboard();
    for field in ["title", "uid", "schemaVersion", "time", "refresh"] {
        assert!(!dashboard[field].is_null(), "the dashboard has no {field}");
    }
    let variables: BTreeSet<&str> = dashboard["templating"]["list"]
        .as_array()
        .unwrap()
        .iter()
        .map(|variable| variable["name"].as_str().unwrap())
        .collect();
    let (mut ids, mut places) = (BTreeSet::new(), Vec::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "two panels have one id: {}", panel["title"]);
        let at = |side: &str| panel["gridPos"][side].as_u64().unwrap();
        let place = (at("x"), at("y"), at("w"), at("h"));
        assert!(place.0 + place.2 <= 24, "{} is wider than the page", panel["title"]);
        let apart = |one: &(u64, u64, u64, u64)| {
            one.0 + one.2 <= place.0
                || place.0 + place.2 <= one.0
                || one.1 + one.3 <= place.1
                || place.1 + place.3 <= one.1
        };
        assert!(places.iter().all(apart), "{} lies on another panel", panel["title"]);
        places.push(place);
        if panel["type"] == "row" {
            continue;
        }
        assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{}", panel["title"]);
        assert!(!panel["targets"].as_array().unwrap().is_empty(), "{}", panel["title"]);
    }
    for (place, expression) in expressions() {
        for (at, _) in expression.match_indices("=~\"$") {
            let name: String = expression[at + 4..].chars().take_while(|c| c.is_alphanumeric()).collect();
            assert!(variables.contains(name.as_str()), "{place}: there is no variable {name}");
        }
    }
}

#[test]
fn the_reader_of_figures_finds_its_rules() {
    let config: Value = serde_saphyr::from_str(&example("examples/prometheus/prometheus.yml")).unwrap();
    for file in config["rule_files"].as_array().unwrap() {
        let path = Path::new("examples/prometheus").join(file.as_str().unwrap());
        example(path.to_str().unwrap());
    }
    assert_eq!(config["scrape_configs"][0]["job_name"], "throughline");
}
