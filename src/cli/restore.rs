//! `throughline restore`: a data folder made of a backup.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use data_encoding::HEXLOWER;
use serde_json::json;
use throughline_actors::clock::Stopwatch;

use super::{
    data::{Data, NewEngine},
    show::{amount, pretty},
};
use crate::{
    config::Loaded,
    recovery::{
        folder::is_data_folder,
        proof,
        restore::{Restored, check_target, restore},
        shelf::{Kept, Shelf},
    },
};

/// Make a data folder of a backup.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  throughline restore /var/backups/throughline --at 2026-11-22T03:00:00Z\n\n\
    Everything is checked before anything is made, and looked through before it is put in place. A folder that is there \
    is never written over. Run it as the user who runs the server, and start the server after."
)]
pub(super) struct Restore {
    /// The folder of backups, or one archive
    from: PathBuf,

    /// The newest backup begun at or before this time, or the one of this name; otherwise the newest
    #[arg(long, value_name = "TIME|NAME")]
    at: Option<String>,

    /// Restore even what was damaged already when it was copied
    #[arg(long)]
    despite_damage: bool,

    #[command(flatten)]
    engine: NewEngine,

    #[command(flatten)]
    data: Data,
}

impl Restore {
    pub(super) async fn run(&self, config: impl Fn() -> anyhow::Result<Loaded>) -> anyhow::Result<String> {
        let began = Stopwatch::start();
        let target = self.data.path(&config)?;
        let engine = self.engine.name(&self.data, &config)?;
        check_target(&target)?;
        let chain = self.chain()?;
        let refused = match self.from.is_dir() {
            true => "nothing was restored; --at takes an earlier backup",
            false => "nothing was restored",
        };
        make(&chain, &target, &engine, self.despite_damage, refused).await.map(|restored| {
            let seconds = began.elapsed().as_secs_f64();
            told(&chain, &target, &restored, seconds, self.data.json)
        })
    }

    /// The archives to restore, the full one first.
    fn chain(&self) -> anyhow::Result<Vec<Kept>> {
        let from = &self.from;
        if !from.exists() {
            bail!("there is no {}; name a folder of backups, or an archive", from.display());
        }
        if !from.is_dir() {
            if self.at.is_some() {
                bail!("--at chooses from a folder of backups, and {} is one archive", from.display());
            }
            let kept = Kept::read(from)?;
            return match kept.is_full() {
                true => Ok(vec![kept]),
                // What it adds to stands beside it.
                false => {
                    Shelf::read(from.parent().filter(|it| *it != Path::new("")).unwrap_or(Path::new(".")))?
                        .chain(&kept)
                }
            };
        }
        if is_data_folder(from) {
            bail!("{} is a data folder; name a folder of backups, or an archive", from.display());
        }
        let shelf = Shelf::read(from)?;
        for (name, reason) in &shelf.broken {
            let _ = writeln!(
                io::stderr(),
                "throughline: {name} is not a whole backup and is passed over: {reason}"
            );
        }
        let last = match &self.at {
            Some(at) => shelf.at(at)?,
            None => {
                shelf.newest().ok_or_else(|| anyhow!("there is no whole backup in {}", from.display()))?
            }
        };
        shelf.chain(last)
    }
}

/// Proves a chain and makes a data folder of it. `refused` says what became of it where it is not what was written.
///
/// # Errors
/// Whatever keeps it from being made; nothing is in place then.
pub(super) async fn make(
    chain: &[Kept],
    target: &Path,
    engine: &str,
    despite_damage: bool,
    refused: &'static str,
) -> anyhow::Result<Restored> {
    let proved = proof::prove(chain).context(refused)?;
    if let Some(name) = proved.missing.first() {
        bail!(
            "{} attachments are in none of the archives, for example {name}; nothing was restored",
            proved.missing.len()
        );
    }
    restore(chain, target, engine, despite_damage).await
}

/// The archives by name; of a long chain the first and the last.
fn in_short(names: &[String]) -> String {
    match names {
        [first, between @ .., last] if between.len() > 1 => {
            format!("{first}, {} that add to it, and {last}", between.len())
        }
        names => names.join(" and "),
    }
}

/// What was made of what.
pub(super) fn told(chain: &[Kept], target: &Path, restored: &Restored, seconds: f64, json: bool) -> String {
    let Restored { found, files } = restored;
    let names: Vec<String> = chain.iter().map(Kept::name).collect();
    let keys: u64 = found.parts.values().map(|part| part.keys).sum();
    let bytes: u64 = chain.iter().map(|kept| kept.bytes).sum();
    let begun_at = chain.last().map(|kept| kept.begun_at().to_string());
    if json {
        return pretty(&json!({
            "data": target.display().to_string(),
            "archives": names,
            "archive_bytes": bytes,
            "begun_at": begun_at,
            "seq": found.head.seq,
            "head": HEXLOWER.encode(&found.head.hash),
            "keys": keys,
            "streams": found.streams,
            "records": found.records,
            "events": found.events,
            "files": files,
            "damaged": found.damaged,
            "seconds": seconds,
        }));
    }
    let mut text = format!(
        "{}\n  made of {} ({}), begun at {}\n  up to seq {}, head {}\n  {keys} keys, {} entities, {} events, {files} files\n  \
         looked through and {}; {seconds:.1} s",
        target.display(),
        in_short(&names),
        amount(bytes),
        begun_at.unwrap_or_default(),
        found.head.seq,
        HEXLOWER.encode(&found.head.hash),
        found.streams,
        found.events,
        match found.damaged {
            0 => "found sound".to_owned(),
            damaged => format!("damaged in {damaged} places, as it was copied"),
        },
    );
    for damage in found.damages.iter().take(20) {
        text.push_str(&format!("\n  damaged: {damage}"));
    }
    text
}
