//! `throughline rehearse`: the whole server, killed in the middle, by one command.

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

/// Runs it in `place`, where no configuration can be read and temporary folders are made below `place`.
fn rehearse(place: &Path, arguments: &[&str]) -> Output {
    let temporary = place.join("tmp");
    std::fs::create_dir_all(&temporary).unwrap();
    std::fs::write(place.join("config.toml"), "this is no configuration").unwrap();
    Command::new(env!("CARGO_BIN_EXE_throughline"))
        .current_dir(place)
        .env_clear()
        .env("TMPDIR", &temporary)
        .env("THROUGHLINE__STORAGE__PATH", "/nowhere")
        .arg("rehearse")
        .args(arguments)
        .output()
        .unwrap()
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

/// The second that the first line told by `who` which holds `what` is dated to.
fn told<'a>(story: &'a Value, who: &str, what: &str) -> &'a str {
    let lines = story["timeline"].as_array().unwrap();
    let line = lines.iter().find(|line| line["who"] == who && line["what"].as_str().unwrap().contains(what));
    line.unwrap_or_else(|| panic!("{who} never {what}: {story:#}"))["at"]
        .as_str()
        .unwrap()
        .split('.')
        .next()
        .unwrap()
}

#[test]
fn two_days_with_a_crash_and_a_refusing_provider_keep_every_promise_and_leave_nothing_behind() {
    let place = tempfile::tempdir().unwrap();
    let output = rehearse(place.path(), &["--json"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(errors, "", "progress is for terminals");
    assert!(is_empty(&place.path().join("tmp")));

    let story: Value = serde_json::from_slice(&output.stdout).unwrap();
    let promises = story["promises"].as_array().unwrap();
    assert!(promises.len() >= 10 && promises.iter().all(|promise| promise["kept"] == true), "{promises:#?}");
    assert_eq!(story["started_at"], "2026-11-23T08:00:00.000Z");
    assert_eq!(story["ended_at"], "2026-11-25T08:00:00.000Z");
    let times: Vec<_> =
        story["timeline"].as_array().unwrap().iter().map(|line| line["at"].as_str()).collect();
    assert!(times.is_sorted(), "{times:?}");

    // Quiet hours begin at 22:00 in Vienna.
    assert_eq!(told(&story, "Throughline", "writes the promised update"), "2026-11-23T20:59:59");
    assert_eq!(told(&story, "Throughline", "by text message, in vain"), "2026-11-24T08:29:00");
    assert_eq!(told(&story, "Throughline", "by mail"), "2026-11-24T08:30:00");
    assert_eq!(told(&story, "Throughline", "the named time has passed"), "2026-11-24T12:00:00");
    assert_eq!(told(&story, "(rehearsal)", "kill -9"), "2026-11-24T20:00:00");
    assert_eq!(told(&story, "Throughline", "opens the conversation again"), "2026-11-25T07:45:00");
    assert!(told(&story, "Linus", "refused (403)") < told(&story, "(rehearsal)", "503"));

    let summary = &story["summary"];
    assert_eq!(summary["longest_silence_seconds"], (12 * 60 + 20) * 60, "the crash lies in it");
    assert!(summary["longest_silence_up_seconds"].as_u64().unwrap() <= 12 * 60 * 60);
    assert_eq!(summary["messages"]["email"], 1);
    assert_eq!(summary["superseded"], 1);
    let broken = summary["breaches"].as_array().unwrap();
    let silence: Vec<_> = broken.iter().filter(|breach| breach["clock"] == "silence").collect();
    assert_eq!(silence.len(), 1, "{broken:#?}");
    assert_eq!(silence[0]["due_at"], "2026-11-25T00:40:00.000Z");
    assert_eq!(silence[0]["detected_at"], "2026-11-25T01:00:00.000Z");
    assert_eq!(summary["silence"].as_array().unwrap().len(), 1, "Ada's thanks wait for an answer");
}

#[test]
fn the_timeline_reads_well_and_the_folder_is_kept_where_that_is_asked_for() {
    let place = tempfile::tempdir().unwrap();
    let output = rehearse(place.path(), &["--keep", "kept"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains('\u{1b}'), "colour is for terminals");
    let words: Vec<&str> = text.split_whitespace().collect();
    let case = words[words.iter().position(|word| *word == "P1:").unwrap() + 2];
    assert!(case.starts_with("TL-") && text.matches(case).count() > 4, "{case}: {text}");
    let running = words.join(" ");
    for told in [
        "Monday, 23 November 2026",
        "“Hello, none of our three card terminals takes cards since this morning.",
        "“Thank you, Ada Whitfield. We have your message",
        "“Ada, I am sorry that it was not today.",
        "“Thank you! All three work. You kept your word.”",
        "What was promised",
    ] {
        assert!(running.contains(told), "{told:?} is not in {text}");
    }
    assert!(!text.contains("BROKEN"), "{text}");

    let mails = std::fs::read_dir(place.path().join("kept/data/outbound/email")).unwrap();
    let mails = mails.filter(|entry| entry.as_ref().unwrap().path().extension().unwrap() == "eml");
    assert_eq!(mails.count(), 1);
    assert!(is_empty(&place.path().join("tmp")));

    let again = rehearse(place.path(), &["--keep", "kept"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("kept is not empty"));
}
