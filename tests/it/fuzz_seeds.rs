//! Every seed of the fuzzer, and every input that once broke something, through the same doors without a fuzzer.

use std::{collections::BTreeSet, fs, path::PathBuf};

use throughline::fuzzing::{TARGETS, run};

fn fuzz(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(path)
}

/// The names in a folder, without what follows a dot.
fn names(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(fuzz(folder)).unwrap();
    let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    entries.map(|entry| stem(entry.unwrap().path())).collect()
}

#[test]
fn every_seed_of_the_fuzzer_keeps_the_laws() {
    for target in TARGETS {
        let mut seeds: Vec<PathBuf> = fs::read_dir(fuzz(&format!("seeds/{}", target.name)))
            .unwrap_or_else(|error| panic!("{} has no seeds: {error}", target.name))
            .map(|entry| entry.unwrap().path())
            .collect();
        seeds.sort();
        assert!(!seeds.is_empty(), "{} has no seeds", target.name);
        for seed in seeds {
            let bytes = fs::read(&seed).unwrap();
            let outcome = std::panic::catch_unwind(|| run(target.name, &bytes));
            assert!(outcome.is_ok(), "{} breaks a law", seed.display());
            // Cut short, it is still somebody's input.
            run(target.name, &bytes[..bytes.len() / 2]);
        }
    }
}

#[test]
fn every_target_can_be_run_by_the_fuzzer_and_has_seeds() {
    let listed: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(names("fuzz_targets"), listed);
    assert_eq!(names("seeds"), listed);
    let manifest: toml::Table = fs::read_to_string(fuzz("Cargo.toml")).unwrap().parse().unwrap();
    let bins = manifest["bin"].as_array().unwrap().iter();
    let bins: BTreeSet<String> = bins.map(|bin| bin["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(bins, listed);
}
