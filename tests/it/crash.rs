//! The real server, killed again and again under load: what it acknowledged is there, once and in order.

use std::path::Path;

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

fn site() -> Site {
    Site::new().set("CHANNELS__SMS__AUTH_TOKEN", provider::AUTH_TOKEN).set("LOG__FILTER", "warn")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_server_is_killed_under_load() {
    let site = site();
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_power_is_cut_under_load() {
    let shim = Shim::build(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (live, after) = (place.path().join("live"), place.path().join("after"));
    std::fs::create_dir(&live).unwrap();
    let mut load = Load::new(4);
    let mut chance = StdRng::seed_from_u64(7);
    for _ in 0..CUTS {
        let shadow = Shadow::begin(&live, place.path().join("shadow")).unwrap();
        let site = on(&live);
        let server = site.start_with(|command| shim.preload(command, &shadow));
        load.until_killed(server, &mut chance).await;
        for state in 0..3 {
            match state {
                0 => shadow.durable(&after).unwrap(),
                _ => shadow.mixture(&after, chance.random()).unwrap(),
            }
            let site = on(&after);
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

/// A site on a folder that is there already.
fn on(data: &Path) -> Site {
    site().set("STORAGE__PATH", data.to_str().unwrap()).set("LOG__FILTER", "error")
}
