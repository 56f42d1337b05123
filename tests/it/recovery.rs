//! Backups taken from the real server under load, and every way in which the tools that begin again can be given
//! something wrong: a clear answer, exit status 1, and nothing changed.

use std::{
    fs,
    ops::Bound,
    path::{Path, PathBuf},
    process::Output,
};

use serde_json::{Value, json};
use throughline_storage::store::{Batch, Engine, StoreOptions};

use crate::{
    load::Load,
    provider,
    server::{Server, Site, TOKEN},
};

fn site() -> Site {
    site_on(Engine::default())
}

fn site_on(engine: Engine) -> Site {
    Site::new()
        .set("STORAGE__ENGINE", engine.name())
        .set("CHANNELS__SMS__AUTH_TOKEN", provider::AUTH_TOKEN)
        .set("LOG__FILTER", "warn")
}

impl Site {
    /// Runs a command to its end.
    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).env("THROUGHLINE_TOKEN", TOKEN).output().unwrap()
    }

    /// What a command prints, which must succeed.
    #[track_caller]
    fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let (out, errors) = words(&output);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {out}{errors}");
        out
    }

    /// What a command says that fails.
    #[track_caller]
    fn failed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let (out, errors) = words(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {out}{errors}");
        assert!(!errors.contains("panicked"), "{errors}");
        errors
    }

    /// The JSON that a command prints.
    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.done(arguments)).unwrap()
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

fn words(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Every file below a folder with its content, to see that nothing changed.
fn everything(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((path.clone(), fs::read(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

async fn backup(site: &Site, server: &Server, more: &[&str]) -> Value {
    let shelf = site.path("backups");
    let mut arguments = vec!["backup", &shelf, "--server", &server.base, "--json"];
    arguments.extend(more);
    let mut command = site.command(&arguments);
    command.env("THROUGHLINE_TOKEN", TOKEN);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let (out, errors) = words(&output);
    assert_eq!(output.status.code(), Some(0), "{out}{errors}");
    serde_json::from_str(&out).unwrap()
}

/// A server's folder that is stopped, with a conversation and an attachment in it, and a full backup of it.
async fn stopped() -> Site {
    stopped_on(Engine::default()).await
}

async fn stopped_on(engine: Engine) -> Site {
    let site = site_on(engine);
    let server = site.start();
    let url = format!("{}/api/webhooks/generic/web", server.base);
    let body = json!({
        "id": "m-1",
        "from": { "email": "ada@example.com" },
        "text": "Here it is",
        "attachments": [{ "name": "a.txt", "media_type": "text/plain", "content_base64": "AAAA".repeat(20_000) }],
    });
    assert_eq!(server.client.post(url).json(&body).send().await.unwrap().status(), 200);
    server.until("/api/v1/conversations", |list| (list["total"] == 1).then_some(())).await;
    backup(&site, &server, &[]).await;
    assert_eq!(server.stop().code(), Some(0));
    site
}

fn only_archive(site: &Site) -> PathBuf {
    let archives = fs::read_dir(site.path("backups")).unwrap().map(|entry| entry.unwrap().path());
    let mut archives = archives.filter(|path| path.extension().is_some_and(|end| end == "archive"));
    let archive = archives.next().unwrap();
    assert!(archives.next().is_none());
    archive
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_taken_under_load_from_sled_holds_every_message_that_was_acknowledged_before_it_began() {
    back_up_under_load(Engine::Sled).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_taken_under_load_from_fjall_holds_every_message_that_was_acknowledged_before_it_began() {
    back_up_under_load(Engine::Fjall).await;
}

async fn back_up_under_load(engine: Engine) {
    let site = site_on(engine);
    let mut load = Load::new(4);
    let server = site.start();
    let promised = load
        .during(server, async |server, so_far| {
            let mut promised = Vec::new();
            for round in 0..3 {
                // The load goes on while it is copied.
                let enough = 60 * (round + 1);
                while so_far().iter().sum::<usize>() < enough {
                    server.get("/healthz").await;
                }
                let before = so_far();
                let made = backup(&site, server, &[]).await;
                assert_eq!(made["kind"], if round == 0 { "full" } else { "added" });
                assert!(so_far() > before, "the load went on");
                promised.push((before, made));
            }
            promised
        })
        .await;
    // Each of them is good for a server of its own.
    for (number, (before, made)) in promised.iter().enumerate() {
        let (data, name) = (site.path(&format!("again-{number}")), made["file"].as_str().unwrap());
        let name = Path::new(name).file_name().unwrap().to_str().unwrap();
        let shelf = site.path("backups");
        let restored = site.json(&["restore", &shelf, "--at", name, "--data", &data, "--json"]);
        assert_eq!((&restored["seq"], &restored["damaged"]), (&made["seq"], &json!(0)));
        let head = made["head"].as_str().unwrap();
        let verified = site.json(&["journal", "verify", "--data", &data, "--expect", head, "--json"]);
        assert_eq!((&verified["sound"], &verified["expected_at_seq"]), (&json!(true), &made["seq"]));
        assert_eq!(verified["replayed"]["different"], 0);
        let again = site_on(engine).set("STORAGE__PATH", &data);
        let server = again.start();
        load.assert_kept(&server, before).await;
        assert_eq!(server.stop().code(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_restored_goes_on_as_if_nothing_had_been() {
    let site = stopped().await;
    let (data, shelf) = (site.path("again"), site.path("backups"));
    let before = everything(&site.data().join("blobs"));
    assert_eq!(before.len(), 1);
    site.done(&["restore", &shelf, "--data", &data]);
    let after = everything(&Path::new(&data).join("blobs"));
    assert_eq!(after[0].1, before[0].1, "the attachment is there");
    let key = |data: &Path| fs::read(data.join("secrets/reply-token")).unwrap();
    assert_eq!(key(Path::new(&data)), key(&site.data()), "answers to older mail find their conversation");

    // The lists can be thrown away at any time.
    let rebuilt = site.json(&["projections", "rebuild", "--data", &data, "--json"]);
    let inbox = rebuilt["views"].as_array().unwrap().iter().find(|view| view["view"] == "inbox").unwrap();
    // The row, where it stands, and whose it is.
    assert_eq!((&inbox["removed"], &inbox["written"]), (&json!(3), &json!(1)));

    let again = self::site().set("STORAGE__PATH", &data);
    let server = again.start();
    let list = server.get("/api/v1/conversations").await.ok();
    assert_eq!(list["total"], 1);
    // And it adds to the backup that it was made of.
    let made = backup(&site, &server, &[]).await;
    assert_eq!((&made["kind"], &made["archives"]), (&json!("added"), &json!(2)));
    let full = backup(&site, &server, &["--full"]).await;
    assert_eq!((&full["kind"], &full["archives"]), (&json!("full"), &json!(1)));

    // The events of a running server, the newest first asked for.
    let tail = site.done(&["journal", "tail", "-n", "3", "--json", "--server", &server.base]);
    let events: Vec<Value> = tail.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.len() >= 3 && events.iter().all(|event| event["seq"].is_u64()), "{tail}");
    let said = site.done(&["journal", "tail", "--after", "0", "--server", &server.base]);
    assert!(said.contains("message_received") && said.contains("default conversation"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_added_to_is_said_and_a_full_backup_made() {
    let site = stopped().await;
    let (data, shelf) = (site.path("again"), site.path("backups"));
    let first = only_archive(&site);
    let server = site.start();
    let second = backup(&site, &server, &[]).await;
    assert_eq!((&second["kind"], &second["notes"]), (&json!("added"), &json!([])));
    drop(server);

    // A server that begins again from the first knows nothing of the second.
    let name = first.file_name().unwrap().to_str().unwrap();
    site.done(&["restore", &shelf, "--at", name, "--data", &data]);
    let again = self::site().set("STORAGE__PATH", &data);
    let server = again.start();
    let third = backup(&site, &server, &[]).await;
    assert_eq!(third["kind"], "full");
    let note = third["notes"][0].as_str().unwrap();
    assert!(note.contains("a full backup is made") && note.contains("another journal's"), "{note}");

    // One that was damaged since is passed over, and what stands on damage is not built upon.
    let third = Path::new(third["file"].as_str().unwrap()).to_owned();
    let sound = fs::read(&third).unwrap();
    let mut flipped = sound.clone();
    flipped[sound.len() / 2] ^= 1;
    fs::write(&third, &flipped).unwrap();
    let fourth = backup(&site, &server, &[]).await;
    assert_eq!(fourth["kind"], "full");
    assert!(fourth["notes"][0].as_str().unwrap().contains("is damaged at byte"), "{fourth}");
    fs::write(&third, &sound[..sound.len() / 2]).unwrap();
    let fifth = backup(&site, &server, &[]).await;
    assert_eq!(fifth["kind"], "added");
    assert!(fifth["notes"][0].as_str().unwrap().contains("is not a whole backup"), "{fifth}");

    // An attachment that looks older than it is would be missing: then all of it is copied.
    let old = |path: &Path| {
        let file = fs::File::open(path).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000))
            .unwrap();
    };
    let url = format!("{}/api/webhooks/generic/web", server.base);
    let file =
        json!({ "name": "b.txt", "media_type": "text/plain", "content_base64": "BBBB".repeat(20_000) });
    let body = json!({ "id": "m-2", "from": { "email": "bob@example.com" }, "text": "And this", "attachments": [file] });
    assert_eq!(server.client.post(url).json(&body).send().await.unwrap().status(), 200);
    everything(&Path::new(&data).join("blobs")).iter().for_each(|(path, _)| old(path));
    let sixth = backup(&site, &server, &[]).await;
    assert_eq!((&sixth["kind"], &sixth["absent"]), (&json!("full"), &json!([])));
    let notes = sixth["notes"].as_array().unwrap();
    assert!(notes.last().unwrap().as_str().unwrap().contains("is in no backup before it"), "{sixth}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_backups_go_a_chain_at_a_time_and_only_once_newer_ones_stand_there() {
    let site = stopped().await;
    let server = site.start();
    let name = |made: &Value| {
        Path::new(made["file"].as_str().unwrap()).file_name().unwrap().to_str().unwrap().to_owned()
    };
    let first = name(&json!({ "file": only_archive(&site).to_str().unwrap() }));
    let rule = ["--full-after", "2", "--keep", "1"];
    let second = backup(&site, &server, &rule).await;
    assert_eq!((&second["kind"], &second["removed"]), (&json!("added"), &json!([])));
    // What is no whole backup is for a person to look at.
    let odd = Path::new(&site.path("backups")).join("odd.archive");
    fs::write(&odd, "nonsense").unwrap();
    // One that could not be finished takes nothing away.
    let full = [
        "backup",
        &site.path("backups"),
        "--full-after",
        "2",
        "--keep",
        "1",
        "--server",
        "http://127.0.0.1:1",
    ];
    site.failed(&full);
    assert_eq!(fs::read_dir(site.path("backups")).unwrap().count(), 4, "two, the odd one and the lock");

    let third = backup(&site, &server, &rule).await;
    assert_eq!(third["kind"], "full");
    assert_eq!(third["removed"], json!([name(&second), first]), "from its end");
    assert!(odd.exists());
    let fourth = backup(&site, &server, &["--keep", "1"]).await;
    assert_eq!((&fourth["kind"], &fourth["archives"]), (&json!("added"), &json!(2)));
    let fifth = backup(&site, &server, &["--full", "--keep", "2"]).await;
    assert_eq!((&fifth["kind"], &fifth["removed"]), (&json!("full"), &json!([])));
    let shelf = site.path("backups");
    for (number, made) in [&third, &fourth, &fifth].into_iter().enumerate() {
        let data = site.path(&format!("again-{number}"));
        let restored = site.json(&["restore", &shelf, "--at", &name(made), "--data", &data, "--json"]);
        assert_eq!(restored["head"], made["head"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_goes_from_each_engine_to_the_other_and_is_served_there() {
    for (from, to) in
        [(Engine::Sled, Engine::Fjall), (Engine::Fjall, Engine::Sled), (Engine::Sled, Engine::Sled)]
    {
        let site = stopped_on(from).await;
        let (file, data) = (site.path("all.archive"), site.path("again"));
        let exported = site.json(&["journal", "export", &file, "--json"]);
        assert!(site.failed(&["journal", "export", &file]).contains("nothing is written over"));
        let import = ["journal", "import", &file, "--data", &data, "--engine", to.name(), "--json"];
        let imported = site.json(&import);
        for name in ["seq", "head", "keys", "files"] {
            assert_eq!(imported[name], exported[name], "{name}");
        }
        let count = |data: &str| {
            let mut stats = site.json(&["journal", "stats", "--data", data, "--json"]);
            stats["bytes_on_disk"] = Value::Null;
            stats["engine"] = Value::Null;
            stats
        };
        assert_eq!(count(&data), count(&site.data().display().to_string()));
        site.done(&["journal", "verify", "--data", &data]);

        // The new folder is the server's, and its history goes on.
        let there = site.set("STORAGE__PATH", &data).set("STORAGE__ENGINE", to.name());
        let server = there.start();
        assert_eq!(server.get("/api/v1/conversations").await.ok()["total"], 1);
        provider::generic(&server, "m-1", "ada@example.com", "Here it is").await.ok();
        provider::generic(&server, "m-2", "ada@example.com", "And more").await.ok();
        let last = |list: &Value| list["items"][0]["last_message"]["snippet"] == "And more";
        server.until("/api/v1/conversations", |list| last(list).then_some(())).await;
        assert_eq!(server.get("/api/v1/conversations").await.ok()["total"], 1);
        assert_eq!(server.stop().code(), Some(0));
        there.done(&["journal", "verify", "--data", &data]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_a_server_holds_is_left_to_it() {
    let site = stopped().await;
    let server = site.start();
    let file = site.path("all.archive");
    for arguments in [
        &["journal", "verify"][..],
        &["journal", "stats"],
        &["journal", "export", &file],
        &["projections", "rebuild"],
    ] {
        let said = site.failed(arguments);
        assert!(said.contains(&format!("in use by process {}", server.pid())), "{said}");
        assert!(said.contains("stop the server first"), "{said}");
    }
    assert!(!Path::new(&file).exists());
    assert!(site.failed(&["restore", &site.path("backups")]).contains("is not empty"));
    assert_eq!(server.get("/readyz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_backup_is_refused_before_anything_is_made() {
    let site = stopped().await;
    let archive = only_archive(&site);
    let sound = fs::read(&archive).unwrap();
    let (data, shelf) = (site.path("again"), site.path("backups"));
    let one = archive.to_str().unwrap();
    let refused = |bytes: &[u8], why: &[&str]| {
        fs::write(&archive, bytes).unwrap();
        for arguments in [
            &["restore", &shelf, "--data", &data][..],
            &["restore", one, "--data", &data],
            &["journal", "import", one, "--data", &data],
        ] {
            let said = site.failed(arguments);
            assert!(why.iter().any(|why| said.contains(why)), "{arguments:?}: {said}");
            assert!(
                arguments[1] == shelf || !said.contains("--at"),
                "what does not choose is not offered: {said}"
            );
            assert!(!Path::new(&data).exists(), "nothing is made");
        }
    };
    for at in [sound.len() / 3, sound.len() / 2, sound.len() - 200] {
        let mut flipped = sound.clone();
        flipped[at] ^= 4;
        refused(&flipped, &["is damaged at byte"]);
    }
    refused(&sound[..sound.len() / 2], &["is cut short", "no whole backup"]);
    refused(&sound[..5], &["is cut short", "no whole backup"]);
    refused(
        &[&sound[..], b"more"].concat(),
        &["something follows its end", "is cut short", "no whole backup"],
    );
    refused(b"", &["is cut short", "no whole backup"]);
    refused(b"a letter to a friend\n", &["not an archive of Throughline", "no whole backup"]);
    let newer = [b"throughline archive 7\n", &sound[22..]].concat();
    refused(&newer, &["it has format 7", "no whole backup"]);
    let left: Vec<_> = fs::read_dir(site.folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("restoring")), "{left:?}");
    fs::write(&archive, &sound).unwrap();
    site.done(&["restore", &shelf, "--data", &data]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said_and_changes_nothing() {
    let site = stopped().await;
    fs::write(site.path("file"), "words").unwrap();
    fs::create_dir(site.path("empty")).unwrap();
    fs::create_dir(site.path("other")).unwrap();
    fs::write(site.path("other/notes.txt"), "words").unwrap();
    let one = only_archive(&site).display().to_string();
    let before = everything(site.folder.path());
    let nobody = "http://127.0.0.1:9";
    for (line, said) in [
        ("journal verify --data nowhere", "there is no folder nowhere"),
        ("journal verify --data file", "file is a file, not a data folder"),
        ("journal verify --data empty", "empty is not a data folder: it has no journal/FORMAT"),
        ("journal stats --data backups", "backups is not a data folder"),
        ("journal export out --data nowhere", "there is no folder nowhere"),
        ("projections rebuild --data empty", "empty is not a data folder"),
        ("restore nowhere --data new", "there is no nowhere"),
        ("restore empty --data new", "there is no whole backup in empty"),
        ("restore data --data new", "data is a data folder; name a folder of backups"),
        ("restore file --data new", "it is not an archive of Throughline"),
        ("restore backups --data file", "file is a file; a data folder is a folder"),
        ("restore backups --data other", "other is there and is not empty"),
        ("restore backups --data new --at 2020-01-01T00:00:00Z", "no backup in backups answers to --at"),
        ("restore backups --data new --at tuesday", "no backup in backups answers to --at tuesday"),
        ("journal import nowhere --data new", "nowhere: No such file or directory"),
        ("journal import file --data new", "it is not an archive of Throughline"),
        ("journal import backups --data new", "backups is a folder, not an archive"),
        ("backup data --server SERVER", "data is a data folder"),
        ("backup file --server SERVER", "file is a file; backups go into a folder"),
        ("backup other --server SERVER", "other holds notes.txt"),
        ("backup new --server SERVER", "no server answers at"),
        ("journal tail --server SERVER", "no server answers at"),
    ] {
        let line = line.replace("SERVER", nobody);
        let arguments: Vec<&str> = line.split(' ').collect();
        let output = site.run(&arguments);
        let (out, errors) = words(&output);
        assert_eq!(output.status.code(), Some(1), "{line}: {out}{errors}");
        assert!(errors.starts_with("throughline: ") && errors.contains(said), "{line}: {errors}");
        assert!(!errors.contains("panicked"), "{line}: {errors}");
    }
    assert!(site.failed(&["restore", &one, "--at", "now", "--data", "new"]).contains("is one archive"));
    for line in [
        "journal verify --expect short",
        "journal fly",
        "restore",
        "backup",
        "journal tail -n 3 --after 5",
        "journal import file --engine paper",
        "projections rebuild inbox",
    ] {
        let arguments: Vec<&str> = line.split(' ').collect();
        assert_eq!(site.run(&arguments).status.code(), Some(2), "{line}");
    }
    assert_eq!(everything(site.folder.path()), before);
    // An empty folder that is there already is taken.
    site.done(&["restore", "backups", "--data", "empty"]);
    site.done(&["journal", "verify", "--data", "empty"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_attachment_is_told_of_and_restored_around_only_if_that_is_wanted() {
    let site = stopped().await;
    let (blob, _) = everything(&site.data().join("blobs")).remove(0);
    fs::remove_file(blob).unwrap();
    let output = site.run(&["journal", "verify", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&found["sound"], &found["damaged"]), (&json!(false), &json!(1)));
    assert_eq!(found["damages"][0]["reason"], "the blob is named and is not there");
    let server = site.start();
    let made = backup(&site, &server, &["--full"]).await;
    assert_eq!(made["absent"].as_array().unwrap().len(), 1);
    drop(server);
    let (data, shelf) = (site.path("again"), site.path("backups"));
    assert!(site.failed(&["restore", &shelf, "--data", &data]).contains("--despite-damage"));
    assert!(!Path::new(&data).exists());
    let restored = site.json(&["restore", &shelf, "--data", &data, "--despite-damage", "--json"]);
    assert_eq!(restored["damaged"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_sled_is_named_by_entity_and_version_and_the_rest_goes_on() {
    flip_bits(Engine::Sled).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_fjall_is_named_by_entity_and_version_and_the_rest_goes_on() {
    flip_bits(Engine::Fjall).await;
}

async fn flip_bits(engine: Engine) {
    let site = stopped_on(engine).await;
    let journal = site.data().join("journal");
    let flip = |part: u8, last: bool| {
        let store = engine.open(&journal, StoreOptions::default()).unwrap();
        let (from, to) = ([part], [part + 1]);
        let mut pairs = store.range(Bound::Included(&from), Bound::Excluded(&to));
        let of_a_conversation = |key: &[u8]| key.windows(12).any(|word| word == b"conversation");
        let found = match last {
            true => pairs.next_back(),
            false => pairs.find(|pair| of_a_conversation(&pair.as_ref().unwrap().0)),
        };
        let (key, mut value) = found.unwrap().unwrap();
        drop(pairs);
        let middle = value.len() / 2;
        value[middle] ^= 1;
        store.commit(Batch { changes: vec![(key, Some(value))] }).unwrap();
        store.close().unwrap();
    };
    let verify = || {
        let output = site.run(&["journal", "verify", "--json"]);
        assert_eq!(output.status.code(), Some(1));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    flip(b'r', false);
    let found = verify();
    let record = found["damages"].as_array().unwrap().iter().find(|damage| damage["version"] == 1).unwrap();
    assert_eq!((&record["kind"], &record["tenant"]), (&json!("conversation"), &json!("default")), "{found}");
    assert_eq!(found["replayed"]["different"], 1, "{found}");
    // Only that one cannot be read.
    let server = site.start();
    assert_eq!(server.get("/api/v1/customers").await.ok()["total"], 1);
    drop(server);

    // Where the feed ends in nonsense no server starts, and the rest is looked through all the same.
    flip(b'f', true);
    let found = verify();
    let places: Vec<&str> =
        found["damages"].as_array().unwrap().iter().map(|damage| damage["place"].as_str().unwrap()).collect();
    assert!(places.iter().any(|place| place.starts_with("feed group at seq")), "{found}");
    assert!(places.iter().any(|place| place.starts_with("record 1 of conversation")), "{found}");
    assert!(found["replayed"]["error"].as_str().unwrap().contains("the journal cannot be read"), "{found}");
    for arguments in [&["journal", "export", "out"][..], &["projections", "rebuild"]] {
        assert!(site.failed(arguments).contains("the journal cannot be read"));
    }
    assert!(!Path::new(&site.path("out")).exists());
}
