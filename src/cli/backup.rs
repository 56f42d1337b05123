//! `throughline backup`: a copy of a running server's whole data, onto a shelf of backups.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::Args;
use data_encoding::HEXLOWER;
use serde_json::json;
use throughline_actors::clock::Stopwatch;
use throughline_storage::archive::Base;

use super::{
    remote::{Client, Opened, Remote},
    show::{amount, pretty},
};
use crate::recovery::{
    bars,
    proof::{self, Proved},
    pruning,
    shelf::{self, Kept, Place, Shelf},
};

/// The server sends something more often than this, even where it finds nothing new.
const PATIENCE: Duration = Duration::from_secs(60);

/// Copy everything, while the server goes on, and check the copy.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  throughline backup /var/backups/throughline\n  \
    throughline backup /var/backups/throughline --full-after 168 --keep 4\n\n\
    Keep what comes of it as safe as the data folder: it holds the same, keys included. Not in it are the configuration, \
    what the environment holds, and what was written to outbound/. `throughline restore` makes a data folder of it.")]
pub(super) struct Backup {
    /// The folder to put it into: new, empty, or one of backups; only what came since the newest is then added
    dir: PathBuf,

    /// Copy all of it, even where there is a backup to add to
    #[arg(long)]
    full: bool,

    /// Copy all of it once so many stand on each other, the full one among them
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    full_after: Option<u32>,

    /// Then remove all but so many full ones and what adds to those; without it nothing is ever removed
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,

    #[command(flatten)]
    remote: Remote,
}

/// A backup that stands on its shelf.
struct Made {
    path: PathBuf,
    kept: Kept,
    proved: Proved,
    chain: usize,
    /// Why it is full, where it need not have been.
    notes: Vec<String>,
    /// Older ones that were removed.
    removed: Vec<String>,
}

impl Backup {
    pub(super) async fn run(
        self,
        listen: impl FnOnce() -> anyhow::Result<SocketAddr>,
    ) -> anyhow::Result<String> {
        let began = Stopwatch::start();
        let shelf = shelf::usable(&self.dir)?;
        let client = self.remote.client(listen)?;
        let mut made = self.make(&client, shelf).await?;
        if let Some(keep) = self.keep {
            let removed = pruning::prune(&self.dir, keep as usize, &made.path);
            made.removed = removed.with_context(|| {
                format!(
                    "{} stands there and is whole, but older ones could not be removed",
                    made.path.display()
                )
            })?;
        }
        let seconds = began.elapsed().as_secs_f64();
        for note in &made.notes {
            let _ = writeln!(io::stderr(), "throughline: {note}");
        }
        Ok(if self.remote.json { as_json(&made, seconds) } else { as_text(&made, seconds) })
    }

    async fn make(&self, client: &Client, shelf: Shelf) -> anyhow::Result<Made> {
        let mut notes: Vec<String> = shelf
            .broken
            .iter()
            .map(|(name, reason)| format!("{name} is not a whole backup and is passed over: {reason}"))
            .collect();
        let newest = shelf.newest().filter(|newest| !self.begins_anew(&shelf, newest));
        if let Some(newest) = newest {
            match self.added(client, &shelf, newest).await {
                Ok(Ok(made)) => return Ok(Made { notes, ..made }),
                Ok(Err(why)) => notes.push(format!("a full backup is made: {why}")),
                Err(error) => return Err(error),
            }
        }
        let mut answer = match open(client, None).await? {
            Opened::Body(answer) => answer,
            Opened::Conflict(error) => return Err(error),
        };
        let mut place = Place::on(&self.dir)?;
        receive(&mut answer, &mut place).await?;
        let kept = Kept::read(place.path()).context("what the server sent")?;
        let proved = proof::prove(std::slice::from_ref(&kept)).context("what was written")?;
        if !proved.missing.is_empty() {
            bail!("the server sent {} attachments too few; nothing was kept", proved.missing.len());
        }
        let path = place.put(&kept.header)?;
        Ok(Made { path, kept, proved, chain: 1, notes, removed: Vec::new() })
    }

    /// Whether a full one is wanted, whatever there is to add to.
    fn begins_anew(&self, shelf: &Shelf, newest: &Kept) -> bool {
        let chain = shelf.chain(newest).map_or(0, |chain| chain.len());
        self.full || self.full_after.is_some_and(|most| chain >= most as usize)
    }

    /// A backup that adds to the newest, or why there must be a full one.
    async fn added(
        &self,
        client: &Client,
        shelf: &Shelf,
        newest: &Kept,
    ) -> anyhow::Result<Result<Made, String>> {
        let mut answer = match open(client, Some(&newest.as_base())).await? {
            Opened::Body(answer) => answer,
            Opened::Conflict(why) => return Ok(Err(format!("{} cannot be added to: {why}", newest.name()))),
        };
        let mut place = Place::on(&self.dir)?;
        receive(&mut answer, &mut place).await?;
        let kept = Kept::read(place.path()).context("what the server sent")?;
        let chain = shelf.chain(&kept)?;
        let proved = match proof::prove(&chain) {
            Ok(proved) => proved,
            // What was there before is no ground to build on; the next look at it says the same.
            Err(error) => return Ok(Err(format!("{error:#}"))),
        };
        if let Some(name) = proved.missing.first() {
            return Ok(Err(format!("{name} is in no backup before it, though it is older than they are")));
        }
        let path = place.put(&kept.header)?;
        let chain = chain.len();
        Ok(Ok(Made { path, kept, proved, chain, notes: Vec::new(), removed: Vec::new() }))
    }
}

async fn open(client: &Client, base: Option<&Base>) -> anyhow::Result<Opened> {
    let query = base.map_or_else(Vec::new, |base| {
        vec![
            ("after", base.seq.to_string()),
            ("head", HEXLOWER.encode(&base.hash)),
            ("begun_at_ms", base.begun_at_ms.to_string()),
        ]
    });
    client.open(&["api", "v1", "system", "backup"], &query).await
}

/// Writes what the server sends, and makes it durable.
async fn receive(answer: &mut reqwest::Response, place: &mut Place) -> anyhow::Result<()> {
    let bar = bars::stream("copying");
    loop {
        let chunk = tokio::time::timeout(PATIENCE, answer.chunk()).await;
        let chunk =
            chunk.with_context(|| format!("the server sent nothing for {} seconds", PATIENCE.as_secs()))?;
        let chunk = chunk.map_err(reqwest::Error::without_url);
        let Some(chunk) = chunk.context("the server broke off; its log says why")? else { break };
        place.file.write_all(&chunk).context("the backup cannot be written")?;
        bar.inc(chunk.len() as u64);
    }
    bar.finish_and_clear();
    place.sync()
}

fn as_text(made: &Made, seconds: f64) -> String {
    let Made { kept, proved, .. } = made;
    let counts = kept.end.counts;
    let kind = match &kept.header.base {
        None => "full".to_owned(),
        Some(base) => format!("added to what ends at seq {}, {} archives in all", base.seq, made.chain),
    };
    let mut text = format!(
        "{}\n  {kind}; {}\n  up to seq {}, head {}\n  {} keys, {} changes made meanwhile, {} files of {}\n  \
         read back and found whole; {seconds:.1} s",
        made.path.display(),
        amount(kept.bytes),
        kept.end.head.seq,
        HEXLOWER.encode(&kept.end.head.hash),
        counts.pairs,
        counts.changes,
        counts.files,
        amount(counts.file_bytes),
    );
    if let Some(first) = proved.absent.first() {
        text.push_str(&format!(
            "\n  {} attachments are named and were not there, for example {first}: `throughline journal verify` \
             lists them",
            proved.absent.len()
        ));
    }
    if !made.removed.is_empty() {
        text.push_str(&format!("\n  removed: {}", made.removed.join(", ")));
    }
    text
}

fn as_json(made: &Made, seconds: f64) -> String {
    let Made { path, kept, proved, chain, notes, removed } = made;
    let counts = kept.end.counts;
    pretty(&json!({
        "file": shown(path),
        "kind": if kept.is_full() { "full" } else { "added" },
        "adds_to_seq": kept.header.base.as_ref().map(|base| base.seq),
        "archives": chain,
        "begun_at": kept.begun_at().to_string(),
        "bytes": kept.bytes,
        "seq": kept.end.head.seq,
        "head": HEXLOWER.encode(&kept.end.head.hash),
        "keys": counts.pairs,
        "changes": counts.changes,
        "files": counts.files,
        "file_bytes": counts.file_bytes,
        "absent": proved.absent,
        "notes": notes,
        "removed": removed,
        "seconds": seconds,
    }))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
