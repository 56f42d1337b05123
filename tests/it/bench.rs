//! `throughline bench`, as somebody runs it who wants to know what their machine does.

use serde_json::Value;

use crate::server::Site;

#[test]
fn it_measures_on_the_disk_that_is_named_and_leaves_nothing_behind() {
    let site = Site::new();
    let disk = site.folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let on = disk.to_str().unwrap();
    let output =
        site.command(&["bench", "--engine", "fjall", "--on", on, "--for", "1s", "--json"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(figures["engine"], "fjall");
    assert!(figures["syncs_per_second"].as_f64().unwrap() > 0.0, "{figures:#}");
    let parts = figures["parts"].as_array().unwrap();
    assert_eq!(parts.iter().map(|part| part["clients"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 16, 64]);
    for part in parts {
        assert!(part["answered"].as_u64().unwrap() > 0, "{figures:#}");
        assert!(part["handled_per_second"].as_f64().unwrap() > 0.0, "{figures:#}");
        assert!(part["p50_micros"].as_u64() <= part["p99_micros"].as_u64(), "{figures:#}");
    }
    assert_eq!(std::fs::read_dir(&disk).unwrap().count(), 0);
    assert!(!site.data().exists(), "nobody's data is touched");
}

#[test]
fn what_cannot_be_measured_is_said_and_nothing_is_left() {
    let site = Site::new();
    let here = site.folder.path().to_str().unwrap();
    for (arguments, status, words) in [
        (["--on", "/nowhere", "--for", "1s"], 1, "is no folder"),
        (["--on", here, "--for", "0s"], 1, "allowed is 1s to 10m"),
        (["--on", here, "--for", "soon"], 2, "--for"),
        (["--on", here, "--engine", "leveldb"], 2, "sled, fjall"),
    ] {
        let output = site.command(&[&["bench"][..], &arguments].concat()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    assert_eq!(std::fs::read_dir(here).unwrap().count(), 0);
}
