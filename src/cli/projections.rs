//! `throughline projections`: lists made anew from the journal.

use clap::{Args, Subcommand};
use serde_json::json;
use throughline_actors::clock::Stopwatch;

use anyhow::{anyhow, bail};

use super::{
    Told,
    data::Data,
    show::{pretty, table},
};
use crate::{
    config::Loaded,
    recovery::{bars, folder},
};

/// Make lists anew.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  throughline projections rebuild")]
pub(super) struct Projections {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Remove the rows of lists and make them anew from the journal, while no server runs
    Rebuild(Rebuild),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  throughline projections rebuild --view inbox")]
struct Rebuild {
    /// Only this list; may be given several times
    #[arg(long, value_name = "NAME")]
    view: Vec<String>,

    #[command(flatten)]
    data: Data,
}

impl Projections {
    pub(super) async fn run(self, config: impl Fn() -> anyhow::Result<Loaded>) -> anyhow::Result<Told> {
        let Command::Rebuild(rebuild) = self.command;
        rebuild.run(config).await
    }
}

impl Rebuild {
    async fn run(&self, config: impl Fn() -> anyhow::Result<Loaded>) -> anyhow::Result<Told> {
        let began = Stopwatch::start();
        let folder = self.data.folder(config)?;
        let journal = folder::open_journal(folder.store()?, folder.path())?;
        let head = journal.head().seq;
        let offline = folder::offline(journal.clone(), folder.path())?;
        let views = offline.views();
        if let Some(unknown) = self.view.iter().find(|name| !views.contains(&name.as_str())) {
            bail!("there is no list {unknown}; there are: {}", views.join(", "));
        }
        let bar = bars::count("rebuilding", head);
        let rebuilt = offline.rebuild(&self.view, &mut |seq| bar.set_position(seq)).await;
        bar.finish_and_clear();
        let closed = journal.close().await;
        let (rebuilt, damaged) = rebuilt.map_err(|error| {
            anyhow!("{error}; the lists are not whole, and the server's next start goes on with them")
        })?;
        closed?;
        let seconds = began.elapsed().as_secs_f64();
        let text = if self.data.json {
            let views: Vec<_> = rebuilt
                .iter()
                .map(|one| json!({ "view": one.view, "removed": one.removed, "written": one.written }))
                .collect();
            pretty(&json!({ "views": views, "seq": head, "not_folded": damaged, "seconds": seconds }))
        } else {
            let row = |one: &throughline_actors::offline::Rebuilt| {
                vec![one.view.to_owned(), one.removed.to_string(), one.written.to_string()]
            };
            let rows = table(&["view", "keys removed", "rows written"], rebuilt.iter().map(row).collect());
            let not_folded: String = damaged.iter().map(|what| format!("\nnot folded: {what}")).collect();
            format!("{rows}\n\nup to seq {head}; {seconds:.1} s{not_folded}")
        };
        let outcome = match damaged.len() {
            0 => Ok(()),
            some => Err(anyhow!(
                "{some} records could not be folded, and the lists lack them; `throughline journal verify` says more"
            )),
        };
        Ok(Told { text, outcome })
    }
}
