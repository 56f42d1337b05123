//! `throughline journal`: what happened, looked through, counted, followed, and carried from one folder to another.

mod tail;
mod verify;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use std::io::Write as _;
use throughline_actors::clock::Stopwatch;
use throughline_storage::{
    backup::{Backup, BackupOptions},
    blobs::Blobs,
    figures::{self, StoreFigures},
};
use throughline_workflows::time::Timestamp;

use super::{
    Told,
    data::{Data, NewEngine},
    restore,
    show::{amount, pretty, table},
};
use crate::{
    config::Loaded,
    recovery::{
        bars, folder, proof,
        restore::check_target,
        shelf::{self, Kept},
    },
};

/// Look through, count, follow, and carry over what happened.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  throughline journal verify")]
pub(super) struct Journal {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check everything in a data folder that no server holds: checksums, chains, timers, snapshots
    Verify(verify::Verify),
    /// Count what is in a data folder that no server holds
    Stats(Stats),
    /// Show the newest events of a running server, and go on with --follow
    Tail(tail::Tail),
    /// Write a data folder that no server holds into one file
    Export(Export),
    /// Make a data folder of a file that export wrote, with whichever storage engine
    Import(Import),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  throughline journal stats --json")]
struct Stats {
    #[command(flatten)]
    data: Data,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  throughline journal export throughline.archive\n\n\
    The file is a full backup: attachments and secrets are in it, the configuration and outbound/ are not.")]
struct Export {
    /// The file to write; it must not be there
    file: PathBuf,

    #[command(flatten)]
    data: Data,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  throughline journal import throughline.archive --data new-data --engine sled"
)]
struct Import {
    /// A file that export wrote, or a full backup
    file: PathBuf,

    /// Take in even what was damaged already when it was written
    #[arg(long)]
    despite_damage: bool,

    #[command(flatten)]
    engine: NewEngine,

    #[command(flatten)]
    data: Data,
}

impl Journal {
    /// `listen` says where the configured server listens, if none was named.
    pub(super) async fn run(
        self,
        config: impl Fn() -> anyhow::Result<Loaded>,
        listen: impl FnOnce() -> anyhow::Result<SocketAddr>,
    ) -> anyhow::Result<Told> {
        match self.command {
            Command::Verify(verify) => verify.run(config).await,
            Command::Stats(stats) => stats.run(config).map(Told::done),
            Command::Tail(tail) => tail.run(listen).await.map(Told::done),
            Command::Export(export) => export.run(config).await.map(Told::done),
            Command::Import(import) => import.run(config).await.map(Told::done),
        }
    }
}

impl Stats {
    fn run(&self, config: impl Fn() -> anyhow::Result<Loaded>) -> anyhow::Result<String> {
        let folder = self.data.folder(config)?;
        let store = folder.store()?;
        let bar = bars::counting("counting");
        let counted = figures::count(&*store, &mut |keys| bar.set_position(keys));
        bar.finish_and_clear();
        let engine = store.engine();
        store.close().context("the store does not close")?;
        let counted = counted.context("`throughline journal verify` says what is damaged")?;
        Ok(if self.data.json { stats_json(engine, &counted) } else { stats_text(engine, &counted) })
    }
}

fn stats_json(engine: &str, counted: &StoreFigures) -> String {
    let parts: serde_json::Map<String, Value> = counted
        .parts
        .iter()
        .map(|(name, part)| ((*name).to_owned(), json!({ "keys": part.keys, "bytes": part.bytes })))
        .collect();
    let kinds: Vec<Value> = counted
        .kinds
        .iter()
        .map(|((tenant, kind), one)| {
            json!({
                "tenant": tenant, "kind": kind, "entities": one.streams, "records": one.records,
                "bytes": one.bytes, "longest": one.longest,
            })
        })
        .collect();
    pretty(&json!({
        "engine": engine,
        "bytes_on_disk": counted.bytes_on_disk,
        "seq": counted.head.seq,
        "head": HEXLOWER.encode(&counted.head.hash),
        "first_at": counted.first_at_ms.map(|at| Timestamp::from_millis(at).to_string()),
        "last_at": counted.first_at_ms.map(|_| Timestamp::from_millis(counted.head.at_ms).to_string()),
        "parts": parts,
        "kinds": kinds,
    }))
}

fn stats_text(engine: &str, counted: &StoreFigures) -> String {
    let parts = counted.parts.iter().filter(|(_, part)| part.keys > 0);
    let parts =
        parts.map(|(name, part)| vec![name.replace('_', " "), part.keys.to_string(), amount(part.bytes)]);
    let kinds = counted.kinds.iter().map(|((tenant, kind), one)| {
        let numbers = [one.streams, one.records, one.longest].map(|number| number.to_string());
        let [streams, records, longest] = numbers;
        vec![tenant.clone(), kind.clone(), streams, records, longest, amount(one.bytes)]
    });
    let span = match counted.first_at_ms {
        None => "nothing has happened".to_owned(),
        Some(first) => format!(
            "from {} to {}, seq {}\nhead {}",
            Timestamp::from_millis(first),
            Timestamp::from_millis(counted.head.at_ms),
            counted.head.seq,
            HEXLOWER.encode(&counted.head.hash)
        ),
    };
    format!(
        "{}\n\n{}\n\n{engine}, {} on disk\n{span}",
        table(&["part", "keys", "bytes"], parts.collect()),
        table(&["tenant", "kind", "entities", "records", "longest", "bytes"], kinds.collect()),
        amount(counted.bytes_on_disk),
    )
}

impl Export {
    async fn run(&self, config: impl Fn() -> anyhow::Result<Loaded>) -> anyhow::Result<String> {
        let began = Stopwatch::start();
        let folder = self.data.folder(config)?;
        if self.file.exists() {
            bail!("{} is there; nothing is written over", self.file.display());
        }
        let journal = folder::open_journal(folder.store()?, folder.path())?;
        let options = BackupOptions {
            blobs: Arc::new(Blobs::open(folder.path().join(folder::BLOBS))?),
            files: folder::secrets(folder.path()).context("secrets/ cannot be read")?,
            base: None,
            program: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let written = match journal.backup(options).await {
            Ok(mut backup) => write(&mut backup, &self.file).await,
            Err(error) => Err(error.into()),
        };
        journal.close().await.context("the store does not close")?;
        written?;
        let kept = Kept::read(&self.file)?;
        proof::prove(std::slice::from_ref(&kept)).context("what was written")?;
        let (counts, seconds) = (kept.end.counts, began.elapsed().as_secs_f64());
        Ok(if self.data.json {
            pretty(&json!({
                "file": self.file.display().to_string(), "bytes": kept.bytes, "seq": kept.end.head.seq,
                "head": HEXLOWER.encode(&kept.end.head.hash), "keys": counts.pairs, "files": counts.files,
                "absent": counts.absent, "seconds": seconds,
            }))
        } else {
            format!(
                "{}, {}\n  up to seq {}, head {}\n  {} keys, {} files; read back and found whole; {seconds:.1} s",
                self.file.display(),
                amount(kept.bytes),
                kept.end.head.seq,
                HEXLOWER.encode(&kept.end.head.hash),
                counts.pairs,
                counts.files,
            )
        })
    }
}

/// Writes a whole archive, durably, or leaves nothing.
async fn write(backup: &mut Backup, path: &std::path::Path) -> anyhow::Result<()> {
    let mut file = shelf::new_file(path)?;
    let bar = bars::stream("exporting");
    let write = async {
        while let Some(piece) = backup.next().await? {
            bar.inc(piece.len() as u64);
            file.write_all(&piece).with_context(|| format!("{} cannot be written", path.display()))?;
        }
        file.sync_all().with_context(|| format!("{} cannot be made durable", path.display()))?;
        shelf::sync_parent(path)
    };
    let written = write.await;
    bar.finish_and_clear();
    if written.is_err() {
        let _ = std::fs::remove_file(path); // The first reason says more than this one would.
    }
    written
}

impl Import {
    async fn run(&self, config: impl Fn() -> anyhow::Result<Loaded>) -> anyhow::Result<String> {
        let began = Stopwatch::start();
        let target = self.data.path(&config)?;
        let engine = self.engine.name(&self.data, &config)?;
        check_target(&target)?;
        let kept = Kept::read(&self.file)?;
        if !kept.is_full() {
            bail!(
                "{} only adds to another backup; `throughline restore` takes the two together",
                self.file.display()
            );
        }
        let chain = [kept];
        let restored =
            restore::make(&chain, &target, &engine, self.despite_damage, "nothing was made").await?;
        Ok(restore::told(&chain, &target, &restored, began.elapsed().as_secs_f64(), self.data.json))
    }
}
