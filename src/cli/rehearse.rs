//! `throughline rehearse`: two days of an escalation in a few seconds, through the real server.
//!
//! It starts this program as a server of its own, on a folder, a port and a clock of its own, plays the people against
//! its API, kills it in the middle, and tells what happened. Whether the promises were kept it judges from what the
//! server shows to anybody, and from what its provider was asked to send.

mod judge;
mod provider;
mod server;
mod stage;
mod story;
mod timeline;

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, anyhow, ensure};
use clap::{
    Args,
    builder::styling::{AnsiColor, Style},
};
use serde_json::json;

use throughline_workflows::time::{Span, Timestamp};

use self::{
    judge::{Summary, Verdict},
    story::Outcome,
    timeline::{Line, short, spoken, style},
};
use super::{Told, show::pretty};

/// A Monday, at nine in the morning where Ada lives.
const START: &str = "2026-11-23T08:00:00Z";

/// A killed process holds its folder for less than this, mostly.
const REMOVE_AGAIN: Duration = Duration::from_millis(20);
/// How often the folder's removal is tried.
const REMOVE_TRIES: u32 = 50;

/// Play a 48-hour escalation on a clock that is moved by hand, and tell it as a timeline.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  throughline rehearse --keep rehearsal")]
pub(super) struct Rehearse {
    /// Keep the server's folder here (a new or empty folder): its data, its log, what it wrote
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Rehearse {
    pub(super) fn run(&self) -> anyhow::Result<Told> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
        runtime.block_on(self.rehearse())
    }

    async fn rehearse(&self) -> anyhow::Result<Told> {
        let temporary = match &self.keep {
            Some(_) => None,
            None => Some(tempfile::tempdir().context("no temporary folder")?),
        };
        let folder = match (&self.keep, &temporary) {
            (Some(keep), _) => new_folder(keep)?,
            (None, Some(temporary)) => temporary.path().to_owned(),
            (None, None) => anyhow::bail!("no folder"),
        };
        let start: Timestamp = START.parse().context("the beginning")?;
        let progress = Progress::new();
        let show = |at, of| progress.show(at, of);
        let outcome = tokio::select! {
            outcome = story::play(&folder, start, &show) => outcome,
            () = interrupted() => Err(anyhow!("interrupted")),
        };
        progress.clear();
        if let Some(temporary) = temporary {
            remove(temporary).await?;
        }
        let outcome = outcome?;
        let lines = timeline::merged(&outcome.acts, timeline::recorded(&outcome.conversation, start));
        let (summary, verdicts) = (judge::summary(&outcome), judge::verdicts(&outcome));
        let text = if self.json {
            pretty(&json!({
                "case_id": outcome.case_id,
                "conversation_id": outcome.conversation_id,
                "started_at": outcome.start,
                "ended_at": outcome.end,
                "timeline": lines,
                "summary": summary,
                "promises": verdicts,
            }))
        } else {
            let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            self.as_text(&outcome, &lines, &summary, &verdicts, colour)
        };
        let broken: Vec<&str> =
            verdicts.iter().filter(|verdict| !verdict.kept).map(|verdict| verdict.promise.as_str()).collect();
        let kept =
            if broken.is_empty() { Ok(()) } else { Err(anyhow!("this was not kept: {}", broken.join(" "))) };
        Ok(Told { text, outcome: kept })
    }

    fn as_text(
        &self,
        outcome: &Outcome,
        lines: &[Line],
        summary: &Summary,
        verdicts: &[Verdict],
        colour: bool,
    ) -> String {
        let (bold, off) = style(Style::new().bold(), colour);
        let mut text = format!(
            "{bold}Two days of one escalation{off}, on a clock that is moved by hand. Ada is the customer, Grace the agent,\n\
             Linus the engineer; what Throughline says of itself is what it recorded.\n",
        );
        text.push_str(&timeline::shown(lines, colour));
        text.push_str(&format!("\n{bold}In sum{off}\n"));
        let sums = [
            ("case", outcome.case_id.clone()),
            (
                "longest silence",
                format!(
                    "{}, from {} to {}; without the crash {}",
                    Span::from_secs(summary.longest_silence_seconds),
                    short(summary.longest_silence_from),
                    short(summary.longest_silence_to),
                    Span::from_secs(summary.longest_silence_up_seconds),
                ),
            ),
            ("messages to Ada", counted(summary)),
            ("superseded", format!("{} (others took their place)", summary.superseded)),
            ("breaches", listed(summary.breaches.iter().map(breach))),
            ("waiting at the end", listed(summary.silence.iter().map(waiting))),
        ];
        for (name, value) in sums {
            text.push_str(&format!("  {name:<20}{value}\n"));
        }
        text.push_str(&format!("\n{bold}What was promised{off}\n"));
        for verdict in verdicts {
            let (word, colour_of_it) =
                if verdict.kept { ("kept", AnsiColor::Green) } else { ("BROKEN", AnsiColor::Red) };
            let (on, off) = style(colour_of_it.on_default().bold(), colour);
            text.push_str(&format!("  {on}{word:<8}{off}{}\n", verdict.promise));
        }
        text.push_str(&format!("\n{bold}The same in a server of your own{off}\n"));
        text.push_str(
            "  throughline silence                       who waits, the longest first\n  \
             throughline timers                        what is due, and when\n  \
             throughline activities                    what waits to be done outside\n  \
             throughline inspect conversation ID       one conversation, with its clocks\n  \
             GET /api/v1/conversations/ID, /api/v1/resolutions/CASE, /api/v1/sla/breaches\n",
        );
        if let Some(keep) = &self.keep {
            text.push_str(&format!(
                "\n{bold}Look around in it{off}: its data, its log and its mails are in {0}\n  \
                 throughline --config {0}/config.toml serve\n  export THROUGHLINE_TOKEN={1}\n",
                keep.display(),
                outcome.token,
            ));
        }
        text
    }
}

/// The folder at `path`, new or empty, by its whole name.
fn new_folder(path: &Path) -> anyhow::Result<PathBuf> {
    let named = || path.display().to_string();
    std::fs::create_dir_all(path).with_context(named)?;
    let empty = std::fs::read_dir(path).with_context(named)?.next().is_none();
    ensure!(empty, "{} is not empty; --keep takes a new or empty folder", path.display());
    std::path::absolute(path).with_context(named)
}

/// Returns once somebody wants this to end. Where that cannot be heard, it never returns.
async fn interrupted() {
    let asked = async {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let mut ended = signal(SignalKind::terminate())?;
            tokio::select! {
                _ = ended.recv() => Ok(()),
                pressed = tokio::signal::ctrl_c() => pressed,
            }
        }
        #[cfg(not(unix))]
        tokio::signal::ctrl_c().await
    };
    let heard: io::Result<()> = asked.await;
    if heard.is_err() {
        std::future::pending().await
    }
}

/// Removes the folder. A server that was killed a moment ago may still hold it for another.
async fn remove(folder: tempfile::TempDir) -> anyhow::Result<()> {
    let path = folder.keep();
    let mut tries = 0;
    while let Err(error) = std::fs::remove_dir_all(&path) {
        tries += 1;
        if tries == REMOVE_TRIES {
            return Err(error).with_context(|| format!("{} cannot be removed", path.display()));
        }
        tokio::time::sleep(REMOVE_AGAIN).await;
    }
    Ok(())
}

fn counted(summary: &Summary) -> String {
    listed(summary.messages.iter().map(|(channel, count)| format!("{count} by {}", spoken(channel))))
}

fn breach(breach: &serde_json::Value) -> String {
    let clock = timeline::text(breach, "clock").unwrap_or_default().replace('_', " ");
    let when = |name| timeline::moment(breach, name).map(short).unwrap_or_default();
    format!("{clock}, due {}, seen {}", when("due_at"), when("detected_at"))
}

fn waiting(row: &serde_json::Value) -> String {
    let name = row.pointer("/customer/name").and_then(serde_json::Value::as_str).unwrap_or("somebody");
    let when = |name| timeline::moment(row, name).map(short).unwrap_or_default();
    format!("{name}, since {}, next word by {}", when("waiting_since"), when("next_update_due_at"))
}

fn listed(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    if items.is_empty() { "none".to_owned() } else { items.join("; ") }
}

/// How far it is, in one line of a terminal; nothing elsewhere.
struct Progress {
    terminal: bool,
}

impl Progress {
    fn new() -> Self {
        Self { terminal: io::stderr().is_terminal() }
    }

    fn show(&self, at: Span, of: Span) {
        if self.terminal {
            let (at, of) = (at.as_secs() / 3600, of.as_secs() / 3600);
            // A terminal that is gone needs no progress.
            let _ = write!(io::stderr(), "\r\x1b[Khour {at} of {of}");
        }
    }

    fn clear(&self) {
        if self.terminal {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
