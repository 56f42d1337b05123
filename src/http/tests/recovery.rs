//! Copies of everything, and the feed: for operators only, and on record.

use data_encoding::HEXLOWER;
use throughline_storage::archive::{Archive, ArchiveError, Frame};

use super::*;
use crate::http::api::shown;

impl World {
    /// The bytes of what is answered to the operator at `path`.
    async fn bytes(&self, path: &str) -> Vec<u8> {
        let request = Request::get(path).header("authorization", format!("Bearer {}", self.admin));
        let response = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/octet-stream");
        to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec()
    }
}

/// The files in an archive, and how many keys.
fn contents(bytes: &[u8]) -> Result<(Vec<String>, usize), ArchiveError> {
    let mut archive = Archive::open(bytes)?;
    let (mut files, mut keys) = (Vec::new(), 0);
    while let Some(frame) = archive.next_frame()? {
        match frame {
            Frame::File(part) if part.offset == 0 => files.push(part.name),
            Frame::Pairs(pairs) => keys += pairs.len(),
            _ => {}
        }
    }
    Ok((files, keys))
}

#[tokio::test]
async fn an_operator_copies_everything_and_that_is_on_record() {
    let world = World::new().await;
    world.conversation().await;
    std::fs::create_dir(world.folder.path().join("secrets")).unwrap();
    std::fs::write(world.folder.path().join("secrets/reply-token"), "key").unwrap();
    let whole = world.bytes("/api/v1/system/backup").await;
    let (files, keys) = contents(&whole).unwrap();
    assert_eq!(files, ["secrets/reply-token"]);
    assert!(keys > 10, "{keys}");

    let archive = Archive::open(&whole[..]).unwrap();
    let begun_at_ms = archive.header().begun_at_ms;
    let end = archive.end().unwrap();
    let head = HEXLOWER.encode(&end.head.hash);
    let more = format!("/api/v1/system/backup?after={}&head={head}&begun_at_ms={begun_at_ms}", end.head.seq);
    let more = world.bytes(&more).await;
    assert!(more.len() < whole.len());
    assert_eq!(Archive::open(&more[..]).unwrap().header().base.as_ref().unwrap().seq, end.head.seq);

    let acts = "/api/v1/system/actors/operation/00000000-0000-0000-0000-000000000000/history";
    let acts = world.get(acts).await.body;
    let acts: Vec<_> =
        acts["items"].as_array().unwrap().iter().map(|act| act["details"].to_string()).collect();
    let said = acts.join("\n");
    assert!(said.contains("\"backup\"") && said.contains("\"everything\""), "{said}");
    assert!(said.contains(&format!("after seq {}", end.head.seq)), "{said}");
}

#[tokio::test]
async fn what_a_backup_should_add_to_is_checked() {
    let world = World::new().await;
    world.conversation().await;
    let (path, hash) = ("/api/v1/system/backup", "ab".repeat(32));
    world.get(&format!("{path}?after=5&head={hash}&begun_at_ms=1")).await.is_problem(409, "conflict");
    world.get(&format!("{path}?after=5&head=short&begun_at_ms=1")).await.is_problem(422, "invalid");
    world.get(&format!("{path}?after=5")).await.is_problem(422, "invalid");
    world.get(&format!("{path}?after=five")).await.is_problem(400, "malformed");
    world.get(&format!("{path}?since=yesterday")).await.is_problem(400, "malformed");
    // And none of it keeps the next from being made.
    contents(&world.bytes(path).await).unwrap();
}

#[tokio::test]
async fn nobody_but_an_operator_copies_or_follows_everything() {
    let world = World::new().await;
    let acme = world.token("admin", json!({ "tenant": "acme" })).await;
    let agent = world.token("agent", json!({})).await;
    for path in ["/api/v1/system/backup", "/api/v1/system/journal"] {
        world.ask("", "GET", path, None, &[]).await.is_problem(401, "unauthenticated");
        for token in [&acme, &agent] {
            world.ask(token, "GET", path, None, &[]).await.is_problem(403, "forbidden");
        }
    }
}

#[tokio::test]
async fn a_backup_that_is_broken_off_has_no_end_and_leaves_room_for_another() {
    let world = World::new().await;
    world.conversation().await;
    world.edge.closing.cancel();
    let request =
        Request::get("/api/v1/system/backup").header("authorization", format!("Bearer {}", world.admin));
    let response = world.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    to_bytes(response.into_body(), usize::MAX).await.unwrap_err();
    let mut next = world.engine.backup(Vec::new(), None, "1").await.unwrap();
    while next.next().await.unwrap().is_some() {}
}

#[tokio::test]
async fn the_feed_is_read_in_order_and_waited_for() {
    let world = World::new().await;
    let conversation = world.conversation().await;
    let feed = world.get("/api/v1/system/journal").await.body;
    let items = feed["items"].as_array().unwrap();
    let seqs: Vec<u64> = items.iter().map(|item| item["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    assert_eq!(feed["unreadable"], json!([]));
    assert_eq!(feed["head"].as_str().unwrap().len(), 64);
    let received = items.iter().find(|item| item["id"] == json!(conversation)).unwrap();
    assert_eq!((&received["kind"], &received["tenant"]), (&json!("conversation"), &json!("default")));
    let _: shown::FeedEvent = serde_json::from_value(received.clone()).unwrap();

    let seq = feed["reached"].as_u64().unwrap();
    let none = world.get(&format!("/api/v1/system/journal?after={seq}&tenant=acme")).await.body;
    assert_eq!(none["items"], json!([]));
    let path = format!("/api/v1/system/journal?after={seq}&wait=20s");
    let (news, ()) = tokio::join!(world.get(&path), world.write("m-2", "ada@example.com", "And now?"));
    let first = &news.body["items"][0];
    assert!(first["seq"].as_u64().unwrap() > seq, "{}", news.body);
    world.get("/api/v1/system/journal?wait=long").await.is_problem(422, "invalid");
    world.get("/api/v1/system/journal?tenant=nobody").await.is_problem(404, "not-found");
}
