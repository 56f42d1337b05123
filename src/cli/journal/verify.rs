//! `throughline journal verify`: whether a data folder can be trusted.

use anyhow::anyhow;
use clap::Args;
use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use throughline_actors::{
    clock::Stopwatch,
    offline::{Difference, Replayed},
};
use throughline_storage::{
    journal::{Damage, Place},
    verify::{Verified, Wanted, verify},
};

use super::super::{Told, data::Data, show::pretty};
use crate::{
    config::Loaded,
    recovery::{
        bars,
        folder::{self, DataFolder},
        read_hash,
    },
};

/// Damages and differences that are listed for people; JSON has the first thousand of each.
const SHOWN: usize = 100;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  throughline journal verify --expect \
    9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n\n\
    Every key is read, every checksum and both chains of hashes are checked, what belongs together is compared, and every \
    entity is replayed. Nothing is changed. The exit status is 1 if anything is not as it should be. To check a server \
    that runs, take a backup and restore it elsewhere.")]
pub(super) struct Verify {
    /// The head that was kept elsewhere, now or at any time before: the feed must have passed through it
    #[arg(long, value_name = "HASH", value_parser = hash)]
    expect: Option<Hash>,

    #[command(flatten)]
    data: Data,
}

/// A hash, as the command line gives it.
#[derive(Clone, Copy, Debug)]
struct Hash([u8; 32]);

fn hash(text: &str) -> Result<Hash, String> {
    read_hash(text).map(Hash).ok_or_else(|| {
        "a head is 64 hexadecimal digits, as `journal verify` and `backup` print it".to_owned()
    })
}

/// What was found.
struct Findings {
    store: Verified,
    /// The entities, or why they could not be replayed.
    replayed: Result<Replayed, String>,
    seconds: f64,
}

impl Verify {
    pub(super) async fn run(&self, config: impl Fn() -> anyhow::Result<Loaded>) -> anyhow::Result<Told> {
        let began = Stopwatch::start();
        let folder = self.data.folder(config)?;
        let store = folder.store()?;
        let bar = bars::counting("checking");
        let has_blob = |name: &str| folder.has_blob(name);
        let wanted = Wanted { expect: self.expect.map(|Hash(hash)| hash), has_blob: Some(&has_blob) };
        let found = verify(&*store, &wanted, &mut |keys| bar.set_position(keys));
        bar.finish_and_clear();
        let replayed = match folder::open_journal(store.clone(), folder.path()) {
            Ok(journal) => {
                let replayed = replay(journal.clone(), &folder, found.streams);
                journal.close().await?;
                replayed
            }
            Err(error) => {
                store.close()?;
                Err(format!("{error:#}"))
            }
        };
        let findings = Findings { store: found, replayed, seconds: began.elapsed().as_secs_f64() };
        let text = if self.data.json { findings.as_json() } else { findings.as_text(&folder) };
        Ok(Told { text, outcome: findings.outcome() })
    }
}

fn replay(
    journal: throughline_storage::journal::Journal,
    folder: &DataFolder,
    streams: u64,
) -> Result<Replayed, String> {
    let offline = folder::offline(journal, folder.path()).map_err(|error| format!("{error:#}"))?;
    let bar = bars::count("replaying", streams);
    let replayed = offline.replay(&mut |entities| bar.set_position(entities));
    bar.finish_and_clear();
    replayed
}

impl Findings {
    fn outcome(&self) -> anyhow::Result<()> {
        let different = self.replayed.as_ref().map_or(0, |replayed| replayed.different);
        match (self.store.damaged, different, &self.replayed) {
            (0, 0, Ok(_)) => Ok(()),
            (0, 0, Err(error)) => Err(anyhow!("the entities could not be replayed: {error}")),
            (damaged, 0, _) => Err(anyhow!("{damaged} damaged; docs/recovery.md says what to do")),
            (0, different, _) => Err(anyhow!("{different} not as they follow from their history")),
            (damaged, different, _) => {
                Err(anyhow!("{damaged} damaged, {different} not as they follow from their history"))
            }
        }
    }

    fn as_text(&self, folder: &DataFolder) -> String {
        let Verified { streams, records, events, groups, head, damages, damaged, .. } = &self.store;
        let keys: u64 = self.store.parts.values().map(|part| part.keys).sum();
        let mut text = format!(
            "{}\n  {keys} keys, {streams} entities, {records} records, {events} events, {groups} groups\n",
            folder.path().display()
        );
        for damage in damages.iter().take(SHOWN) {
            text.push_str(&format!("  damaged: {damage}\n"));
        }
        if *damaged > SHOWN as u64 {
            text.push_str(&format!("  and {} more\n", damaged - SHOWN as u64));
        }
        match &self.replayed {
            Err(error) => text.push_str(&format!("  not replayed: {error}\n")),
            Ok(replayed) => {
                for Difference { stream, what } in replayed.differences.iter().take(SHOWN) {
                    let (tenant, kind, entity) = (&stream.tenant, &stream.kind, stream.entity);
                    text.push_str(&format!("  different: {kind} {entity} of tenant {tenant}: {what}\n"));
                }
                if replayed.different > SHOWN as u64 {
                    text.push_str(&format!("  and {} more\n", replayed.different - SHOWN as u64));
                }
                for (kind, count) in &replayed.unknown {
                    text.push_str(&format!("  {count} entities of kind {kind} are not this program's\n"));
                }
                if !replayed.not_rearmed.is_empty() {
                    text.push_str(&format!(
                        "  timers were not compared of {}: the next start brings them in line\n",
                        replayed.not_rearmed.join(", ")
                    ));
                }
                text.push_str(&format!("  {} entities replayed\n", replayed.entities));
            }
        }
        if let Some(seq) = self.store.expected_at {
            text.push_str(&format!("  passed through the expected head at seq {seq}\n"));
        }
        let sound = if self.outcome().is_ok() { "sound" } else { "NOT SOUND" };
        text.push_str(&format!(
            "  {sound}; {:.1} s\nhead {} at seq {}",
            self.seconds,
            HEXLOWER.encode(&head.hash),
            head.seq
        ));
        text
    }

    fn as_json(&self) -> String {
        let Verified { parts, streams, records, events, groups, head, expected_at, damages, damaged } =
            &self.store;
        let keys: u64 = parts.values().map(|part| part.keys).sum();
        let replayed = match &self.replayed {
            Err(error) => json!({ "error": error }),
            Ok(replayed) => json!({
                "entities": replayed.entities,
                "different": replayed.different,
                "differences": replayed.differences.iter().map(|Difference { stream, what }| json!({
                    "tenant": stream.tenant, "kind": stream.kind, "id": stream.entity, "what": what,
                })).collect::<Vec<_>>(),
                "unknown_kinds": replayed.unknown,
                "timers_not_compared": replayed.not_rearmed,
            }),
        };
        pretty(&json!({
            "sound": self.outcome().is_ok(),
            "keys": keys,
            "entities": streams,
            "records": records,
            "events": events,
            "groups": groups,
            "seq": head.seq,
            "head": HEXLOWER.encode(&head.hash),
            "expected_at_seq": expected_at,
            "damaged": damaged,
            "damages": damages.iter().map(damage_json).collect::<Vec<_>>(),
            "replayed": replayed,
            "seconds": self.seconds,
        }))
    }
}

fn damage_json(damage: &Damage) -> Value {
    let place = damage.place.to_string();
    let mut row = json!({ "place": place, "reason": damage.reason });
    match &damage.place {
        Place::Record { stream, version } => {
            row["tenant"] = json!(stream.tenant);
            row["kind"] = json!(stream.kind);
            row["id"] = json!(stream.entity);
            row["version"] = json!(version);
        }
        Place::FeedGroup { first_seq } => row["first_seq"] = json!(first_seq),
        Place::Key(key) => row["key"] = json!(key.escape_ascii().to_string()),
    }
    row
}
