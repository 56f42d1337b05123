//! What every command owes its user, and what is said when a server is not there or refuses.

use std::{collections::BTreeMap, net::SocketAddr};

use axum::{
    Json, Router,
    extract::{Path, Query},
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse as _,
    routing::{get, post},
};
use clap::{CommandFactory as _, Parser as _};
use serde_json::{Value, json};

use super::*;

const ID: &str = "019a9f3e-5c1d-7c3a-9d52-0f6f3f0b7c11";

fn each_command(command: &clap::Command, visit: &mut impl FnMut(&clap::Command)) {
    visit(command);
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        each_command(inner, visit);
    }
}

/// Runs the command that `line` writes, against the server at `address`.
async fn ask_at(address: SocketAddr, line: &str) -> anyhow::Result<String> {
    let words = std::iter::once("throughline").chain(line.split(' '));
    let cli = Cli::try_parse_from(words.map(OsString::from))?;
    match cli.command {
        Some(Command::Ask(question)) => question.run(|| Ok(address)).await,
        _ => panic!("{line} asks no server"),
    }
}

async fn serve(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_helps_with_an_example() {
    each_command(&Cli::command(), &mut |command| {
        let help = command.clone().render_long_help().to_string();
        assert!(help.contains("Example:\n  "), "{}:\n{help}", command.get_name());
        assert!(help.contains("throughline "), "{}:\n{help}", command.get_name());
    });
}

#[test]
fn every_example_can_be_typed() {
    each_command(&Cli::command(), &mut |command| {
        let help = command.get_after_help().unwrap().to_string();
        let line = help.lines().nth(1).unwrap().trim();
        let line = line.split_once("throughline ").unwrap().1.replace("\"Ada's laptop\"", "Ada");
        let words = std::iter::once("throughline").chain(line.split(' '));
        if let Err(error) = Cli::try_parse_from(words) {
            panic!("{line}: {error}");
        }
    });
}

#[test]
fn every_command_that_asks_a_server_takes_its_address_token_and_json() {
    for name in ["inspect", "actors", "timers", "activities", "silence", "top"] {
        let command = Cli::command();
        let command = command.find_subcommand(name).unwrap();
        for argument in ["server", "token", "json"] {
            assert!(command.get_arguments().any(|it| it.get_id() == argument), "{name} has no --{argument}");
        }
    }
}

#[test]
fn wrong_usage_is_told_apart_from_failure() {
    let usage = |line: &str| Cli::try_parse_from(line.split(' ')).unwrap_err().exit_code();
    assert_eq!(usage("throughline fly"), 2);
    assert_eq!(usage("throughline dead-letters discard some-id"), 2);
    assert_eq!(usage("throughline activities skip some-id"), 2);
    assert_eq!(usage(&format!("throughline actors pause conversation {ID}")), 2);
    assert_eq!(usage("throughline actors replay --reason x"), 2);
    assert_eq!(usage("throughline actors replay --all --reason x --kind"), 2);
    assert_eq!(usage("throughline token create --role king"), 2);
    assert_eq!(usage("throughline actors --server https://care.example.com"), 2);
    assert_eq!(usage("throughline inspect conversation nonsense"), 2);
    assert_eq!(usage("throughline calendar due office"), 2);
    assert_eq!(usage("throughline --help"), 0);
}

#[test]
fn a_wrong_argument_is_named_with_what_is_allowed() {
    for (line, argument, allowed) in [
        ("actors --server https://care.example.com", "--server <URL>", "plain http only"),
        ("actors --server nonsense", "--server <URL>", "http://127.0.0.1:8080"),
        ("inspect conversation nonsense", "<ID>", "an id looks like"),
        ("dead-letters show nonsense", "<ID>", "an id looks like"),
        ("dead-letters retry nonsense --reason x", "<ID>", "an id looks like"),
        ("inspect conversation ID --diff 5..3", "--diff <FROM..TO>", "3..5"),
        ("inspect conversation ID --diff 5", "--diff <FROM..TO>", "3..5"),
        ("actors pause conversation nonsense --reason x", "<ID>", "an id looks like"),
        ("token revoke nonsense", "<ID>", "an id looks like"),
        ("token create --role agent --agent-id nonsense", "--agent-id <ID>", "an id looks like"),
        ("tenant add Acme", "<NAME>", "a-z, 0-9 and '-'"),
        ("token create --role agent --expires-in soon", "--expires-in <DURATION>", "12h"),
        ("timers --before tomorrow", "--before <TIME>", "RFC 3339"),
        ("calendar due office --from monday --spend 8h", "--from <TIME>", "RFC 3339"),
        ("calendar due office --from 2026-11-20T16:00:00Z --spend long", "--spend <DURATION>", "12h"),
    ] {
        let line = line.replace("ID", ID);
        let words = std::iter::once("throughline").chain(line.split(' '));
        let said = Cli::try_parse_from(words).unwrap_err().to_string();
        assert!(said.contains(argument) && said.contains(allowed), "{said}");
    }
}

#[tokio::test]
async fn an_empty_token_counts_as_none() {
    let refuse = |headers: HeaderMap| async move {
        let title = if headers.contains_key(header::AUTHORIZATION) { "A token." } else { "Send a token." };
        (StatusCode::UNAUTHORIZED, Json(json!({ "title": title, "detail": "There is none." })))
    };
    let address = serve(Router::new().route("/api/v1/system/actors", get(refuse))).await;
    let error = ask_at(address, "actors --token=").await.unwrap_err().to_string();
    assert_eq!(error, "Send a token: There is none. (give a token with --token or THROUGHLINE_TOKEN)");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = ask_at(closed, "actors").await.unwrap_err().to_string();
    assert!(error.contains(&format!("no server answers at http://{closed}")), "{error}");
}

#[tokio::test]
async fn a_problem_is_shown_by_title_and_detail() {
    let refuse = || async {
        let body = json!({ "type": "about:blank", "title": "There is nothing here; check the id.", "detail": "There is no such entity.", "status": 404 });
        (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "application/problem+json")], Json(body))
            .into_response()
    };
    let address = serve(Router::new().route("/api/v1/system/actors/{kind}/{id}", get(refuse))).await;
    let error = ask_at(address, &format!("inspect conversation {ID}")).await.unwrap_err().to_string();
    assert_eq!(error, "There is nothing here; check the id: There is no such entity.");
}

#[tokio::test]
async fn rows_are_shown_with_times_by_the_servers_clock() {
    let timers = || async {
        Json(json!({
            "items": [{ "kind": "conversation", "id": "c1", "name": "snooze", "due_at": "2026-11-21T09:03:20Z", "stuck": false }],
            "page": 1, "page_size": 50, "total": 70, "now": "2026-11-21T09:00:00Z",
        }))
    };
    let address = serve(Router::new().route("/api/v1/system/timers", get(timers))).await;
    let text = ask_at(address, "timers").await.unwrap();
    assert!(text.contains("2026-11-21T09:03:20Z (in 3m 20s)  snooze  conversation  c1"), "{text}");
    assert!(text.contains("--page 2 shows more"), "{text}");
    let json: Value = serde_json::from_str(&ask_at(address, "timers --json").await.unwrap()).unwrap();
    assert_eq!(json["total"], 70);
}

#[tokio::test]
async fn an_entity_is_shown_with_its_timers_and_what_it_waits_for() {
    let entity = |Path((kind, id)): Path<(String, String)>| async move {
        Json(json!({
            "kind": kind, "id": id, "version": 4, "state": { "status": "open" }, "restarts": 0, "last_failure": null,
            "timers": [{ "name": "snooze", "due_at": "2026-11-21T09:03:20Z" }],
            "pending_activities": [{ "id": "c1.4.0", "lane": "sms", "attempts": 2, "last_error": "503" }],
        }))
    };
    let address = serve(Router::new().route("/api/v1/system/actors/{kind}/{id}", get(entity))).await;
    let text = ask_at(address, &format!("inspect a/b {ID}")).await.unwrap();
    for words in ["a/b", ID, "\"status\": \"open\"", "snooze", "c1.4.0", "503"] {
        assert!(text.contains(words), "{words}:\n{text}");
    }
}

#[tokio::test]
async fn a_dead_letter_is_retried_with_a_reason_and_a_mended_payload() {
    let retry = |Path(id): Path<String>, Json(body): Json<Value>| async move {
        Json(json!({ "id": id, "got": body }))
    };
    let address = serve(Router::new().route("/api/v1/system/dead-letters/{id}/retry", post(retry))).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "{\"text\": \"mended\"}").unwrap();
    let line = format!("dead-letters retry {ID} --reason mended --json --payload {}", file.path().display());
    let answer: Value = serde_json::from_str(&ask_at(address, &line).await.unwrap()).unwrap();
    assert_eq!(answer["got"], json!({ "reason": "mended", "payload": { "text": "mended" } }));
    let said = ask_at(address, &format!("dead-letters retry {ID} --reason x")).await.unwrap();
    assert_eq!(said, format!("{ID} is tried again"));
}

#[tokio::test]
async fn a_token_is_made_to_expire_by_the_servers_clock() {
    let health = || async { Json(json!({ "now": "2026-11-21T09:00:00Z" })) };
    let create =
        |Json(body): Json<Value>| async move { Json(json!({ "id": "t1", "secret": body["expires_at"] })) };
    let address =
        serve(Router::new().route("/healthz", get(health)).route("/api/v1/tokens", post(create))).await;
    let text = ask_at(address, "token create --role agent --expires-in 2d").await.unwrap();
    assert_eq!(text, "token t1, shown this once:\n2026-11-23T09:00:00.000Z");
}

#[tokio::test]
async fn a_token_is_tied_to_an_agent() {
    let create = |Json(body): Json<Value>| async move { Json(json!({ "secret": body["agent_id"] })) };
    let address = serve(Router::new().route("/api/v1/tokens", post(create))).await;
    assert_eq!(ask_at(address, &format!("token create --role agent --agent-id {ID}")).await.unwrap(), ID);
}

#[tokio::test]
async fn a_tenant_is_added_and_what_comes_next_is_said() {
    let create = |Json(body): Json<Value>| async move {
        assert_eq!(body, json!({ "name": "acme", "title": "Care" }));
        Json(json!({ "name": "acme", "version": 1, "seq": 7 }))
    };
    let rows = || async {
        Json(
            json!({ "items": [{ "name": "acme", "title": "Care", "source": "api", "policy_version": 1 }], "total": 1 }),
        )
    };
    let address = serve(Router::new().route("/api/v1/tenants", post(create).get(rows))).await;
    let text = ask_at(address, "tenant add acme --title Care").await.unwrap();
    assert!(text.contains("throughline token create --role admin --tenant acme"), "{text}");
    let text = ask_at(address, "tenant list").await.unwrap();
    assert!(text.contains("acme") && text.contains("Care") && text.contains("api"), "{text}");
}

#[tokio::test]
async fn what_is_paused_says_what_waits_and_which_promise_is_not_kept() {
    let pause = |Path((kind, id)): Path<(String, String)>, Json(body): Json<Value>| async move {
        assert_eq!(body, json!({ "reason": "looking" }));
        Json(json!({
            "kind": kind, "id": id, "version": 1, "seq": 2, "now": "2026-11-21T09:00:00Z", "pending_activities": 1,
            "timers": [
                { "name": "update", "due_at": "2026-11-21T20:30:00Z" },
                { "name": "silence", "due_at": "2026-11-21T21:00:00Z" },
            ],
        }))
    };
    let address = serve(Router::new().route("/api/v1/system/actors/{kind}/{id}/pause", post(pause))).await;
    let text = ask_at(address, &format!("actors pause conversation {ID} --reason looking")).await.unwrap();
    assert_eq!(
        text,
        format!(
            "conversation {ID} is paused\n\
             2 of its timers wait, the first is update at 2026-11-21T20:30:00Z (in 11h 30m)\n\
             its customer was promised to hear again by 2026-11-21T21:00:00Z (in 12h): nothing will be sent until it is \
             resumed\n1 of its activities wait"
        )
    );
}

#[tokio::test]
async fn a_difference_and_a_history_are_told_in_columns() {
    let diff = || async {
        Json(json!({
            "changes": [{ "path": "status", "before": "open", "after": "resolved" }],
            "timers": [{ "path": "silence", "before": "2026-11-21T21:00:00Z" }],
            "events": [{ "version": 4, "timestamp": "2026-11-21T09:00:00Z", "type": "state_changed", "because": "person: Grace" }],
        }))
    };
    let history = || async {
        let row = json!({ "version": 1, "timestamp": "2026-11-21T09:00:00Z", "type": "opened", "because": "webhook: m1" });
        Json(json!({ "items": [row], "total": 1 }))
    };
    let address = serve(
        Router::new()
            .route("/api/v1/system/actors/{kind}/{id}/diff", get(diff))
            .route("/api/v1/system/actors/{kind}/{id}/history", get(history)),
    )
    .await;
    let text = ask_at(address, &format!("inspect conversation {ID} --diff 3..4")).await.unwrap();
    for words in ["status", "open", "resolved", "silence", "state_changed", "person: Grace"] {
        assert!(text.contains(words), "{words}:\n{text}");
    }
    let text = ask_at(address, &format!("inspect conversation {ID} --history")).await.unwrap();
    assert!(text.contains("opened") && text.contains("webhook: m1"), "{text}");
}

#[tokio::test]
async fn a_comparison_that_finds_something_has_failed() {
    let same = json!({ "kind": "conversation", "id": ID, "version": 4, "events": 9, "timers": 2, "memory_version": 4, "differences": [] });
    let difference = json!({ "kind": "conversation", "id": ID, "against": "snapshot", "version": 4, "path": "status", "journal": "open", "found": "resolved" });
    let run = json!({
        "started_at": "2026-11-21T09:00:00Z", "finished_at": "2026-11-21T09:00:01Z", "entities": 3, "compared": 3,
        "events": 12, "differing": 1, "differences": [difference],
    });
    let of_all = move || {
        let run = run.clone();
        async move { Json(run) }
    };
    let of_one = move || {
        let same = same.clone();
        async move { Json(same) }
    };
    let address = serve(
        Router::new()
            .route("/api/v1/system/actors/{kind}/{id}/replay", post(of_one))
            .route("/api/v1/system/replay", get(of_all.clone()).post(of_all)),
    )
    .await;
    let text = ask_at(address, &format!("actors replay conversation {ID} --reason doubt")).await.unwrap();
    assert!(
        text.ends_with("compared with what is in memory at version 4, 2 timers: nothing differs"),
        "{text}"
    );
    let error = ask_at(address, "actors replay --all --reason doubt").await.unwrap_err();
    assert!(error.downcast_ref::<Finding>().is_some());
    assert!(error.to_string().contains("something differs in 1"), "{error}");
    assert!(error.to_string().contains("snapshot  4        status  open     resolved"), "{error}");
}

#[tokio::test]
async fn an_activity_is_tried_at_once_for_a_reason() {
    let retry = |Path(id): Path<String>, Json(body): Json<Value>| async move {
        assert_eq!(body, json!({ "reason": "mended" }));
        Json(json!({ "id": id, "version": 1, "seq": 1 }))
    };
    let list = |Query(asked): Query<BTreeMap<String, String>>| async move {
        let rows = [("a.1.0", "sms", Some("503")), ("b.1.0", "sms", None), ("c.1.0", "email", Some("503"))];
        let wanted = |lane: &str, error: Option<&str>| {
            asked.get("lane").is_none_or(|wanted| wanted == lane)
                && (asked.get("failing").is_none_or(|only| only != "true") || error.is_some())
        };
        let rows = rows
            .iter()
            .filter(|(_, lane, error)| wanted(lane, *error))
            .map(|(id, lane, error)| json!({ "id": id, "lane": lane, "last_error": error, "paused": false }));
        let items: Vec<_> = rows.collect();
        Json(json!({ "total": items.len(), "items": items }))
    };
    let router = Router::new()
        .route("/api/v1/system/activities/{id}/retry-now", post(retry))
        .route("/api/v1/system/activities", get(list));
    let address = serve(router).await;
    let line = format!("activities retry-now {ID}.4.0 --reason mended");
    assert_eq!(ask_at(address, &line).await.unwrap(), format!("{ID}.4.0 is tried at once"));
    let lane = ask_at(address, "activities retry-now --lane sms --reason mended").await.unwrap();
    assert_eq!(lane, "a.1.0 is tried at once");
    let lane = ask_at(address, "activities retry-now --lane voice --reason mended").await.unwrap();
    assert_eq!(lane, "nothing in this lane waits for another try");
    let all = ask_at(address, "activities").await.unwrap();
    assert!(all.contains("b.1.0") && !all.contains("PAUSED"), "{all}");
    let failing = ask_at(address, "activities list --failing").await.unwrap();
    assert!(failing.contains("c.1.0") && !failing.contains("b.1.0"), "{failing}");
}
