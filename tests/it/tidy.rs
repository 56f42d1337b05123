//! Rules about the code, kept by tests: which room may know which, how a file begins, what it may not hold.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The rooms, with the crates of the workspace that each may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("workflows", &[]),
    ("storage", &[]),
    ("actors", &["throughline-storage", "throughline-workflows"]),
    (".", &["throughline-actors", "throughline-storage", "throughline-workflows"]),
];

/// All that `workflows` may depend on: nothing that can do I/O, tell the time or roll dice.
const PURE: &[&str] = &[
    "chrono",
    "chrono-tz",
    "cron",
    "humantime",
    "serde",
    "serde_json",
    "thiserror",
    "throughline-workflows",
    "uuid",
];

/// Crates with only one room to live in.
const HOMES: &[(&str, &str)] = &[
    ("sled", "storage"),
    ("fjall", "storage"),
    ("bincode", "storage"),
    ("ractor", "actors"),
    ("axum", "."),
    ("reqwest", "."),
    ("clap", "."),
];

/// Crates that only one file of their room may name.
const ONLY_IN: &[(&str, &str, &str)] = &[
    ("sled", "storage/src", "storage/src/store/sled.rs"),
    ("fjall", "storage/src", "storage/src/store/fjall.rs"),
    ("bincode", "storage/src", "storage/src/codec.rs"),
];

/// Rooms inside `src` that must not name each other, and what joins them.
const STRANGERS: &[(&str, &[&str])] = &[
    ("src/channels", &["crate::app", "crate::cli", "crate::console", "crate::http"]),
    ("src/cli", &["crate::channels", "crate::console", "crate::http"]),
    ("src/config", &["crate::app", "crate::channels", "crate::cli", "crate::http"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below `folder`, as paths from the root, with its text.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                files.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

/// Every Rust file of the project.
fn all_sources() -> Vec<(String, String)> {
    let folders = ["src", "tests", "examples", "benches", "workflows", "storage", "actors", "fuzz"];
    let built = |name: &str| name.contains("target/");
    folders.iter().flat_map(|folder| sources(folder)).filter(|(name, _)| !built(name)).collect()
}

/// The files whose code ships.
fn shipped_sources() -> Vec<(String, String)> {
    let folders = ["src", "workflows/src", "storage/src", "actors/src"];
    let for_tests = |name: &str| name.ends_with("/tests.rs") || name.contains("/tests/");
    folders.iter().flat_map(|folder| sources(folder)).filter(|(name, _)| !for_tests(name)).collect()
}

/// The crates that a room needs to be built, without those of its tests.
fn dependencies(room: &str) -> BTreeSet<String> {
    let manifest = fs::read_to_string(root().join(room).join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    manifest["dependencies"].as_table().unwrap().keys().cloned().collect()
}

/// The lines of `text` that are code, with their numbers from 1.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Whether `line` names the crate: `sled::`, but neither `store::sled::` nor `unsled::`.
fn names_crate(line: &str, name: &str) -> bool {
    let path = format!("{name}::");
    line.match_indices(&path).any(|(at, _)| {
        let before = line[..at].trim_end_matches("::").chars().next_back();
        let root_path =
            line[..at].ends_with("::") && !before.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let own = line[..at].chars().next_back();
        root_path || !own.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    })
}

#[track_caller]
fn nothing(found: Vec<String>) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn the_arrows_between_the_rooms_point_one_way() {
    for (room, allowed) in ARROWS {
        let wrong: Vec<String> = dependencies(room)
            .into_iter()
            .filter(|name| name.starts_with("throughline-") && !allowed.contains(&name.as_str()))
            .map(|name| format!("{room} depends on {name}"))
            .collect();
        nothing(wrong);
    }
}

#[test]
fn workflows_depend_on_nothing_that_can_do_anything() {
    let wrong = dependencies("workflows").into_iter().filter(|name| !PURE.contains(&name.as_str()));
    nothing(wrong.map(|name| format!("workflows depends on {name}")).collect());
}

#[test]
fn each_engine_room_library_has_one_home() {
    for (library, home) in HOMES {
        for (room, _) in ARROWS.iter().filter(|(room, _)| room != home) {
            assert!(
                !dependencies(room).contains(*library),
                "{room} depends on {library}, whose home is {home}"
            );
        }
    }
}

#[test]
fn what_may_change_is_named_in_one_file() {
    let mut wrong = Vec::new();
    for (library, folder, home) in ONLY_IN {
        for (file, text) in sources(folder).iter().filter(|(file, _)| file != home) {
            let named = code(text).filter(|(_, line)| names_crate(line, library));
            wrong
                .extend(named.map(|(number, _)| format!("{file}:{number} names {library}; only {home} may")));
        }
    }
    nothing(wrong);
}

#[test]
fn rooms_of_the_edge_do_not_know_each_other() {
    let mut wrong = Vec::new();
    for (room, strangers) in STRANGERS {
        let own = |file: &str| file == format!("{room}.rs") || file.starts_with(&format!("{room}/"));
        for (file, text) in sources("src").iter().filter(|(file, _)| own(file)) {
            for (number, line) in code(text) {
                let named = strangers.iter().filter(|stranger| names_module(line, stranger));
                wrong.extend(named.map(|stranger| format!("{file}:{number} names {stranger}")));
            }
        }
    }
    // The command that serves is the one place where the command line meets the server.
    wrong.retain(|line| !line.starts_with("src/cli/serve.rs"));
    nothing(wrong);
}

/// Whether `line` names this module or something in it.
fn names_module(line: &str, module: &str) -> bool {
    line.match_indices(module).any(|(at, _)| {
        let next = line[at + module.len()..].chars().next();
        !next.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

#[test]
fn every_file_says_first_what_it_is() {
    let silent = all_sources().into_iter().filter(|(_, text)| !text.starts_with("//! "));
    nothing(silent.map(|(file, _)| format!("{file} does not begin with //!")).collect());
}

#[test]
fn a_module_is_a_file_beside_its_folder() {
    let wrong = all_sources().into_iter().filter(|(file, _)| file.ends_with("/mod.rs"));
    nothing(wrong.map(|(file, _)| file).collect());
}

#[test]
fn nobody_sleeps_for_a_time_without_a_name() {
    let mut wrong = Vec::new();
    for (file, text) in shipped_sources() {
        // Below the tests of a file, time may be a paused one.
        let shipped = text.split("#[cfg(test)]").next().unwrap();
        let sleeps = code(shipped)
            .filter(|(_, line)| line.contains("sleep(Duration::") || line.contains("sleep(std::"));
        wrong.extend(sleeps.map(|(number, _)| {
            format!(
                "{file}:{number} sleeps for a time that nobody explains; wait for an event, or name the pause"
            )
        }));
    }
    nothing(wrong);
}

#[test]
fn no_two_types_have_one_name_in_the_document_of_the_api() {
    // Whichever of the two comes last would describe both.
    let (mut seen, mut twice) = (BTreeSet::new(), Vec::new());
    for (path, text) in sources("src/http") {
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if !(line.starts_with("#[derive(") && line.contains("ToSchema")) {
                continue;
            }
            let about: Vec<&str> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
            let given = about.iter().find_map(|line| line.strip_prefix("#[schema(as = "));
            let declared = about.iter().find_map(|line| {
                let (_, name) = line.split_once("struct ").or_else(|| line.split_once("enum "))?;
                // One without fields says the same as every other, and one over others has their names in its own.
                (!name.ends_with("{}") && !name.contains('<')).then_some(name)
            });
            let name = given.or(declared).and_then(|name| name.split([')', ' ', '(']).next());
            if let Some(name) = name.filter(|name| !seen.insert((*name).to_owned())) {
                twice.push(format!("{path}: {name}"));
            }
        }
    }
    nothing(twice);
}

#[test]
fn nothing_is_left_for_later() {
    let marks = ["TO-DO", "FIX-ME", "XX-X", "HA-CK"].map(|mark| mark.replace('-', ""));
    let mut wrong = Vec::new();
    for (file, text) in all_sources() {
        for (index, line) in text.lines().enumerate() {
            let words = line.split(|c: char| !c.is_alphanumeric());
            let marked = words.filter(|word| marks.iter().any(|mark| mark == word));
            wrong.extend(marked.map(|word| format!("{file}:{} says {word}", index + 1)));
            if line.trim() == "#[ignore]" {
                wrong.push(format!("{file}:{} is a test that never runs, for no reason told", index + 1));
            }
        }
    }
    nothing(wrong);
}

#[test]
fn every_crate_keeps_the_lints_of_the_workspace() {
    for (room, _) in ARROWS {
        let manifest: toml::Table =
            fs::read_to_string(root().join(room).join("Cargo.toml")).unwrap().parse().unwrap();
        assert_eq!(manifest["lints"]["workspace"].as_bool(), Some(true), "{room}");
    }
}

#[test]
fn a_stranger_finds_what_the_repository_promises() {
    let expected = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "LICENSE",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "Makefile",
        "config.toml",
        "deny.toml",
        ".ci/run",
    ];
    let missing = expected.iter().map(|name| root().join(name)).filter(|path| !path.is_file());
    let missing: Vec<PathBuf> = missing.collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for name in ["config.toml", "ARCHITECTURE.md", "make test"] {
        assert!(readme.contains(name), "README.md does not mention {name}");
    }
}
