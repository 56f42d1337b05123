//! `throughline top`: a running server, live in the terminal.
//!
//! A task asks the server at intervals; keys and answers move the state on (`state`), and each time it is drawn
//! (`view`). Whoever is woken at night begins with the first list: what needs attention, the most urgent first, each
//! with what to type next.

mod entity;
mod lists;
mod named;
mod snapshot;
mod state;
#[cfg(test)]
mod tests;
mod view;

use std::{
    io::{self, IsTerminal as _},
    net::SocketAddr,
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::Args;
use crossterm::event::{Event, EventStream, KeyEventKind};
use futures::StreamExt as _;
use serde_json::{Value, json};
use throughline_workflows::time::Span;
use tokio::sync::{mpsc, watch};

use self::{
    named::Named,
    snapshot::{Need, Snapshot},
    state::{Ask, Detail, Top as State},
};
use super::{
    remote::{Client, Remote},
    show::pretty,
};

/// How many rows of a list are asked for: what is beyond is for the commands that list.
const ROWS_MAX: &str = "200";
/// How many events of an entity are shown.
const EVENTS_MAX: u64 = 50;

/// Look at a running server, live: what needs attention first, then rates, mailboxes, timers, silences.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  throughline top --every 1s")]
pub(super) struct Top {
    /// How often the server is asked
    #[arg(long, value_name = "DURATION", default_value = "2s")]
    every: Span,

    #[command(flatten)]
    remote: Remote,
}

/// What the task that asks has to tell.
enum Told {
    Snapshot(Box<Result<Snapshot, String>>),
    Detail(Named, Box<Result<Detail, String>>),
}

impl Top {
    /// Looks until somebody quits. With `--json` it looks once, and answers the figures and what needs attention.
    pub(super) async fn run(
        &self,
        listen: impl FnOnce() -> anyhow::Result<SocketAddr>,
    ) -> anyhow::Result<String> {
        let client = self.remote.client(listen)?;
        if self.remote.json {
            let snapshot = look(&client).await?;
            let needs: Vec<Value> = snapshot.needs().iter().map(Need::to_json).collect();
            return Ok(pretty(&json!({ "status": snapshot.status, "needs_attention": needs })));
        }
        if !io::stdout().is_terminal() {
            bail!("top draws on a terminal; `throughline top --json` answers once, for programs");
        }
        // The first look decides whether there is anything to draw: a wrong token is told plainly.
        let first = look(&client).await?;
        let mut state = State::new(client.address());
        state.learn(Ok(first));
        let every = self.every.to_std().max(Duration::from_millis(200));
        let terminal = ratatui::try_init().context("the terminal cannot be drawn upon")?;
        let drawn = live(terminal, state, client, every).await;
        ratatui::restore();
        drawn.map(|()| String::new())
    }
}

/// Draws, and takes keys and answers, until somebody quits.
async fn live(
    mut terminal: ratatui::DefaultTerminal,
    mut state: State,
    client: Client,
    every: Duration,
) -> anyhow::Result<()> {
    let (tell, mut told) = mpsc::channel(4);
    let (open, opened) = watch::channel(None);
    let asking = tokio::spawn(ask(client, every, opened, tell));
    let mut keys = EventStream::new();
    let quit = loop {
        if let Err(error) = terminal.draw(|frame| view::draw(frame, &state)) {
            break Err(error).context("the terminal cannot be drawn upon");
        }
        tokio::select! {
            key = keys.next() => match key {
                Some(Ok(Event::Key(key))) if key.kind != KeyEventKind::Release => match state.press(key) {
                    Ask::Quit => break Ok(()),
                    Ask::Open(entity) => {
                        open.send_replace(Some(entity));
                    }
                    Ask::Close => {
                        open.send_replace(None);
                    }
                    Ask::Nothing => {}
                },
                // A new size of the terminal is drawn at once.
                Some(Ok(_)) => {}
                Some(Err(error)) => break Err(error).context("the keyboard cannot be read"),
                None => break Ok(()),
            },
            Some(news) = told.recv() => match news {
                Told::Snapshot(seen) => state.learn(*seen),
                Told::Detail(entity, detail) => state.learn_of(&entity, *detail),
            },
        }
    };
    asking.abort();
    quit
}

/// Asks the server at intervals, and at once about an entity that is opened.
async fn ask(
    client: Client,
    every: Duration,
    mut opened: watch::Receiver<Option<Named>>,
    tell: mpsc::Sender<Told>,
) {
    let mut rounds = tokio::time::interval(every);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let all = tokio::select! {
            _ = rounds.tick() => true,
            changed = opened.changed() => match changed {
                Ok(()) => false,
                Err(_) => return,
            },
        };
        let entity = opened.borrow_and_update().clone();
        if let Some(entity) = entity {
            let detail = look_at(&client, &entity).await.map_err(|error| format!("{error:#}"));
            if tell.send(Told::Detail(entity, Box::new(detail))).await.is_err() {
                return;
            }
        }
        if all {
            let seen = look(&client).await.map_err(|error| format!("{error:#}"));
            if tell.send(Told::Snapshot(Box::new(seen))).await.is_err() {
                return;
            }
        }
    }
}

/// One look at the server.
async fn look(client: &Client) -> anyhow::Result<Snapshot> {
    let list = |path: &'static [&'static str], filters: &'static [(&'static str, &'static str)]| async move {
        let segments: Vec<&str> = ["api", "v1"].iter().chain(path).copied().collect();
        let mut query: Vec<(&str, String)> =
            filters.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        query.push(("page_size", ROWS_MAX.to_owned()));
        let mut answer = client.get(&segments, &query).await?;
        anyhow::Ok(match answer.body.get_mut("items").map(Value::take) {
            Some(Value::Array(rows)) => rows,
            _ => Vec::new(),
        })
    };
    let status = client.get(&["api", "v1", "system", "status"], &[]).await?.body;
    // Where there are many, those in need may stand behind all the others: they are asked for by themselves.
    let failing = async {
        if snapshot::is_failing(&status) {
            return list(&["system", "activities"], &[("failing", "true")]).await;
        }
        Ok(Vec::new())
    };
    let stuck = async {
        if snapshot::has_stuck(&status) {
            return list(&["system", "timers"], &[("stuck", "true")]).await;
        }
        Ok(Vec::new())
    };
    let (actors, paused, failing, activities, stuck, timers, silences, letters) = tokio::try_join!(
        list(&["system", "actors"], &[("residency", "hot")]),
        list(&["system", "actors"], &[("paused", "true")]),
        failing,
        list(&["system", "activities"], &[]),
        stuck,
        list(&["system", "timers"], &[]),
        list(&["system", "silences"], &[]),
        list(&["system", "dead-letters"], &[]),
    )?;
    let activities = joined(failing, activities, &["id"]);
    let timers = joined(stuck, timers, &["tenant", "kind", "id", "name", "due_at"]);
    Ok(Snapshot { status, actors, paused, activities, timers, silences, letters })
}

/// Rows of both lists, each once: `names` say which row it is.
fn joined(mut first: Vec<Value>, more: Vec<Value>, names: &[&str]) -> Vec<Value> {
    let which = |row: &Value| names.iter().map(|name| row.get(*name).cloned()).collect::<Vec<_>>();
    let known: Vec<_> = first.iter().map(which).collect();
    first.extend(more.into_iter().filter(|row| !known.contains(&which(row))));
    first
}

/// One look at an entity.
async fn look_at(client: &Client, entity: &Named) -> anyhow::Result<Detail> {
    let path = ["api", "v1", "system", "actors", &entity.kind, &entity.id];
    let of: Vec<(&str, String)> = entity.tenant.iter().map(|tenant| ("tenant", tenant.clone())).collect();
    let state = client.get(&path, &of).await?.body;
    let path: Vec<&str> = path.into_iter().chain(["history"]).collect();
    let page = |page: u64| {
        let mut query = of.clone();
        query.extend([("page", page.to_string()), ("page_size", EVENTS_MAX.to_string())]);
        query
    };
    let first = client.get(&path, &page(1)).await?.body;
    let last_page = first.get("total").and_then(Value::as_u64).unwrap_or_default().div_ceil(EVENTS_MAX);
    let mut history = items(&first);
    if last_page > 1 {
        // The last page alone may be short: the one before it comes first.
        if last_page > 2 {
            history = items(&client.get(&path, &page(last_page - 1)).await?.body);
        }
        history.extend(items(&client.get(&path, &page(last_page)).await?.body));
    }
    history.reverse();
    Ok(Detail { state, history })
}

fn items(body: &Value) -> Vec<Value> {
    body.get("items").and_then(Value::as_array).cloned().unwrap_or_default()
}
