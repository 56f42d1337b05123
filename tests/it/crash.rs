//! The real server, killed again and again under load: what it acknowledged is there, once and in order. On every
//! storage engine.

use std::{path::Path, process::Command};

use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{load::Load, provider, server::Site};

#[path = "../shadow/shadow.rs"]
#[expect(dead_code, reason = "some of it is for the tests of the store by itself")]
mod shadow;

use shadow::{Shadow, Shim};

/// Times the server is killed.
const ROUNDS: usize = 14;

/// Times the power is cut, and states of the disk that are opened after each.
const CUTS: usize = 4;

fn site(engine: &str) -> Site {
    Site::new()
        .set("CHANNELS__SMS__AUTH_TOKEN", provider::AUTH_TOKEN)
        .set("LOG__FILTER", "warn")
        .set("STORAGE__ENGINE", engine)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_on_sled_when_the_server_is_killed_under_load() {
    kill_under_load("sled").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_on_fjall_when_the_server_is_killed_under_load() {
    kill_under_load("fjall").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_on_sled_when_the_power_is_cut_under_load() {
    cut_power_under_load("sled").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_on_fjall_when_the_power_is_cut_under_load() {
    cut_power_under_load("fjall").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_disk_fails_ends_with_status_70_and_nothing_acknowledged_is_lost() {
    for engine in ["sled", "fjall"] {
        end_by_the_disk(engine, |shim, command, shadow| shim.preload_failing(command, shadow, 60)).await;
        end_by_the_disk(engine, |shim, command, shadow| shim.preload_full(command, shadow, 150, None)).await;
    }
}

#[tokio::test]
async fn a_second_server_on_a_folder_is_told_who_has_it_and_ends() {
    for engine in ["sled", "fjall"] {
        let site = site(engine);
        let first = site.start();
        provider::generic(&first, "a", "ada@example.com", "hello").await.ok();
        let second = site.command(&["serve"]).output().unwrap();
        let said = String::from_utf8_lossy(&second.stderr);
        assert_eq!(second.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("is in use by process {} (throughline)", first.pid())), "{said}");
        provider::generic(&first, "b", "ada@example.com", "still there?").await.ok();
        assert_eq!(first.stop().code(), Some(0));
    }
}

#[test]
fn a_server_set_to_another_engine_says_how_to_change() {
    let made = site("sled");
    assert_eq!(made.start().stop().code(), Some(0));
    let refused = made.set("STORAGE__ENGINE", "fjall");
    let output = refused.command(&["serve"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in ["engine sled", "engine fjall", "journal export", "journal import"] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(refused.set("STORAGE__ENGINE", "sled").start().stop().code(), Some(0));
}

async fn kill_under_load(engine: &str) {
    let site = site(engine);
    let mut load = Load::new(6);
    let mut chance = StdRng::seed_from_u64(20_261_121);
    for _ in 0..ROUNDS {
        load.until_killed(site.start(), &mut chance).await;
    }
    assert!(load.acknowledged() > ROUNDS * 20, "the load was real: {}", load.acknowledged());
    let server = site.start();
    load.assert_all_there(&server).await;
    // And once more from a clean stop.
    assert_eq!(server.stop().code(), Some(0));
    load.assert_all_there(&site.start()).await;
}

async fn cut_power_under_load(engine: &str) {
    let shim = Shim::build(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (live, after) = (place.path().join("live"), place.path().join("after"));
    std::fs::create_dir(&live).unwrap();
    let mut load = Load::new(4);
    let mut chance = StdRng::seed_from_u64(7);
    for _ in 0..CUTS {
        let shadow = Shadow::begin(&live, place.path().join("shadow")).unwrap();
        let site = on(engine, &live);
        let server = site.start_with(|command| shim.preload(command, &shadow));
        load.until_killed(server, &mut chance).await;
        for state in 0..3 {
            match state {
                0 => shadow.durable(&after).unwrap(),
                _ => shadow.mixture(&after, chance.random()).unwrap(),
            }
            let site = on(engine, &after);
            let server = site.start();
            load.assert_all_there(&server).await;
            assert_eq!(server.log(), "", "it opens without a word");
            assert_eq!(server.stop().code(), Some(0));
        }
        // Life goes on from what was durable.
        shadow.durable(&after).unwrap();
        std::fs::remove_dir_all(&live).unwrap();
        std::fs::rename(&after, &live).unwrap();
    }
    assert!(load.acknowledged() > CUTS * 10, "the load was real: {}", load.acknowledged());
}

/// A disk that fails under load: the server says so and ends, and what it acknowledged is there once the disk is well.
async fn end_by_the_disk(engine: &str, fail: impl Fn(&Shim, &mut Command, &Shadow)) {
    let shim = Shim::build(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (live, after) = (place.path().join("live"), place.path().join("after"));
    assert_eq!(on(engine, &live).start().stop().code(), Some(0));
    let shadow = Shadow::begin(&live, place.path().join("shadow")).unwrap();
    let site = on(engine, &live);
    let server = site.start_with(|command| fail(&shim, command, &shadow));
    let mut load = Load::new(4).on_a_failing_disk();
    let ended = load.until_it_ends(server).await;
    let said = std::fs::read_to_string(site.folder.path().join("server.log")).unwrap();
    assert_eq!(ended.code(), Some(70), "{said}");
    assert!(said.contains("nothing can be promised any more"), "{said}");
    assert!(load.acknowledged() > 0, "it ended before there was a load: {said}");
    shadow.durable(&after).unwrap();
    for folder in [&live, &after] {
        let site = on(engine, folder);
        let server = site.start();
        load.assert_all_there(&server).await;
        assert_eq!(server.stop().code(), Some(0));
    }
}

/// A site on a folder that is there already.
fn on(engine: &str, data: &Path) -> Site {
    site(engine).set("STORAGE__PATH", data.to_str().unwrap()).set("LOG__FILTER", "error")
}
