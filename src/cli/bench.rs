//! `throughline bench`: what this machine does a second, through the real server.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, anyhow, ensure};
use clap::Args;
use serde_json::{Value, json};
use throughline_actors::clock::Stopwatch;
use throughline_storage::store::Engine;
use throughline_workflows::time::Span;

use super::show::pretty;
use crate::{
    bench::{Load, Senders, Server, Table, ms, rate, shown},
    config::Loaded,
};

/// How many clients send at once, one part after the other.
const CLIENTS: [usize; 3] = [1, 16, 64];

/// Conversations that the messages are spread over.
const CONVERSATIONS: usize = 500;

/// Bytes that are written before each sync of the disk by itself.
const RECORD: [u8; 300] = [7; 300];

/// For how long the disk is measured by itself.
const DISK_FOR: Duration = Duration::from_secs(1);

/// Measure what this machine does: messages taken and handled a second, and how long the answers take.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  throughline bench --engine fjall --for 10s")]
pub(super) struct Bench {
    /// The storage engine; otherwise storage.engine of the configuration
    #[arg(long, value_parser = Engine::ALL.map(Engine::name))]
    engine: Option<String>,

    /// A folder on the disk that is to be measured; otherwise where storage.path is
    #[arg(long, value_name = "DIR")]
    on: Option<PathBuf>,

    /// How long each part sends, 1s to 10m
    #[arg(long = "for", value_name = "DURATION", default_value = "5s")]
    span: Span,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What came out with so many clients.
struct Part {
    clients: usize,
    load: Load,
    /// Messages handled a second, from the first request until the last was handled.
    handled: f64,
}

impl Bench {
    /// Measures; `config` is read only where it must be.
    pub(super) async fn run(
        &self,
        config: impl FnOnce() -> anyhow::Result<Loaded>,
    ) -> anyhow::Result<String> {
        let allowed = Span::from_secs(1)..=Span::from_mins(10);
        ensure!(allowed.contains(&self.span), "--for is {}, and allowed is 1s to 10m", self.span);
        let (engine, disk) = self.where_and_how(config)?;
        let folder = tempfile::Builder::new().prefix("throughline-bench").tempdir_in(&disk);
        let folder = folder.with_context(|| format!("{} takes no folder", disk.display()))?;
        // What is begun is ended, and the folder removed, also where somebody has seen enough.
        let (syncs, parts) = tokio::select! {
            measured = self.measure(engine, folder.path()) => measured?,
            _ = tokio::signal::ctrl_c() => return Err(anyhow!("interrupted")),
        };
        Ok(if self.json { as_json(engine, syncs, parts) } else { as_text(engine, &disk, syncs, parts) })
    }

    fn where_and_how(
        &self,
        config: impl FnOnce() -> anyhow::Result<Loaded>,
    ) -> anyhow::Result<(Engine, PathBuf)> {
        let named = self.engine.as_deref().and_then(Engine::named);
        let (engine, path) = match (named, &self.on) {
            (Some(engine), Some(on)) => (engine, on.clone()),
            (named, on) => {
                let storage = config()?.config.storage;
                (named.unwrap_or_else(|| storage.engine.engine()), on.clone().unwrap_or(storage.path))
            }
        };
        if self.on.is_some() {
            ensure!(path.is_dir(), "{} is no folder: --on takes one that is there", path.display());
            return Ok((engine, path));
        }
        // The data folder may not have been made yet, and nothing strange belongs into one that has.
        let path = std::path::absolute(&path).with_context(|| path.display().to_string())?;
        let above = path.ancestors().skip(1).find(|above| above.is_dir());
        Ok((engine, above.context("no folder above storage.path is there")?.to_owned()))
    }

    async fn measure(&self, engine: Engine, folder: &Path) -> anyhow::Result<(f64, Vec<Part>)> {
        say("the disk by itself");
        let syncs = syncs(&folder.join("disk"))?;
        let program = std::env::current_exe().context("where this program is")?;
        let token = format!("{:032x}", rand::random::<u128>());
        let mut parts = Vec::new();
        for clients in CLIENTS {
            say(&format!("{clients} at once, for {}", self.span));
            let site = folder.join(format!("{clients}-clients"));
            std::fs::create_dir(&site).with_context(|| site.display().to_string())?;
            let server = Server::start(&program, &site, engine, &token).await?;
            let senders = Senders::new(clients, CONVERSATIONS);
            senders.open_conversations(&server).await?;
            let watch = Stopwatch::start();
            let load = senders.burst(&server, self.span.to_std()).await?;
            server.drained().await?;
            let handled = rate(load.times.len(), watch.elapsed());
            parts.push(Part { clients, load, handled });
            server.kill().await?;
            std::fs::remove_dir_all(&site).with_context(|| site.display().to_string())?;
        }
        say("");
        Ok((syncs, parts))
    }
}

/// How often a second the disk takes a small record and says that it is durable.
fn syncs(path: &Path) -> anyhow::Result<f64> {
    let told = || path.display().to_string();
    let mut file = File::create(path).with_context(told)?;
    let (watch, mut count) = (Stopwatch::start(), 0);
    while watch.elapsed() < DISK_FOR {
        file.write_all(&RECORD).with_context(told)?;
        file.sync_data().with_context(told)?;
        count += 1;
    }
    Ok(rate(count, watch.elapsed()))
}

/// What is being done, in one line of a terminal; nothing elsewhere.
fn say(what: &str) {
    if io::stderr().is_terminal() {
        // A terminal that is gone needs no progress.
        let _ = write!(io::stderr(), "\r\x1b[K{what}");
    }
}

fn as_text(engine: Engine, disk: &Path, syncs: f64, parts: Vec<Part>) -> String {
    let title = format!(
        "{engine} below {}: webhooks to {CONVERSATIONS} conversations, each durable before it is answered\n\
         (the disk by itself, one small record and a sync at a time: {})\n",
        disk.display(),
        shown(syncs)
    );
    let table = Table::new(&title, 12, &["at once", "answered", "p50", "p99", "handled"]);
    let mut lines = vec![table.head.clone()];
    for Part { clients, mut load, handled } in parts {
        let times = [ms(load.quantile(0.5)), ms(load.quantile(0.99))];
        let [p50, p99] = times;
        lines.push(table.row(&[clients.to_string(), shown(load.rate()), p50, p99, shown(handled)]));
    }
    lines.push(String::new());
    lines.push(
        "Whoever sends runs on the same cores. Compare runs on one machine with nothing else on it."
            .to_owned(),
    );
    lines.join("\n")
}

fn as_json(engine: Engine, syncs: f64, parts: Vec<Part>) -> String {
    let tenth = |value: f64| (value * 10.0).round() / 10.0;
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let parts: Vec<Value> = parts
        .into_iter()
        .map(|Part { clients, mut load, handled }| {
            json!({
                "clients": clients,
                "answered": load.times.len(),
                "answered_per_second": tenth(load.rate()),
                "p50_micros": micros(load.quantile(0.5)),
                "p99_micros": micros(load.quantile(0.99)),
                "handled_per_second": tenth(handled),
            })
        })
        .collect();
    pretty(&json!({ "engine": engine.name(), "syncs_per_second": tenth(syncs), "parts": parts }))
}
