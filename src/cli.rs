//! The command line: one file a command, each with an example in its `--help`.
//!
//! `throughline` alone serves. `check` and `calendar` read the configuration only, `rehearse` and `bench` play with a
//! server of their own; `restore`, `projections` and most of `journal` open a data folder that no server holds; every
//! other command asks a running server through its API. The exit status is 0 for done, 1 for failed, 2 for wrong usage.

mod activities;
mod actors;
mod backup;
mod bench;
mod calendar;
mod check;
mod data;
mod dead_letters;
mod inspect;
mod journal;
mod page;
mod projections;
mod rehearse;
mod remote;
mod restore;
mod serve;
mod show;
mod silence;
mod tenant;
mod timers;
mod token;
mod top;
mod values;

#[cfg(test)]
mod tests;

use std::{
    ffi::OsString,
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::config::{Config, Environment, Loaded};

/// A self-hosted customer-care engine. Without a command it serves.
#[derive(Debug, Parser)]
#[command(version, after_help = "Example:\n  throughline --config /etc/throughline.toml serve")]
struct Cli {
    /// The file of settings; otherwise config.toml in the working directory, then beside the program
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::Serve),
    /// Say what was understood of the configuration, or every mistake in it
    Check(check::Check),
    /// Show how business time is counted
    Calendar(calendar::Calendar),
    /// Play a 48-hour escalation on a clock that is moved by hand, and tell it as a timeline
    ///
    /// A server is started on a free port of this machine with a data folder of its own, killed in the middle and
    /// started again; its provider of text messages refuses everything for some hours. Nothing leaves this machine, no
    /// configuration is read, and nothing is left behind. The exit status is 1 if a promise was broken.
    Rehearse(rehearse::Rehearse),
    /// Measure what this machine does: messages taken and handled a second, and how long the answers take
    ///
    /// A server is started on a free port of this machine with a data folder of its own, once for each number of
    /// clients. Nothing leaves this machine, nobody's data is touched, and nothing is left behind.
    Bench(bench::Bench),
    /// Make a data folder of a backup
    Restore(restore::Restore),
    /// Look through, count, follow, and carry over what happened
    Journal(Box<journal::Journal>),
    /// Make lists anew
    Projections(projections::Projections),
    #[command(flatten)]
    Ask(Box<Ask>),
}

/// The commands that ask a running server.
#[derive(Debug, Subcommand)]
enum Ask {
    /// Copy everything, while the server goes on, and check the copy
    Backup(backup::Backup),
    /// Make, list and revoke tokens for the API
    Token(token::Token),
    /// Add and list tenants
    Tenant(tenant::Tenant),
    /// Show one entity: its state, its timers and their rules, what it waits for, its history, what changed
    Inspect(inspect::Inspect),
    /// List the entities, or act upon one: pause, resume, passivate, replay
    Actors(actors::Actors),
    /// List who waits for us, the longest first, and who cannot be reached
    Silence(silence::Silence),
    /// List what is due, and when
    Timers(timers::Timers),
    /// List what waits to be done outside, try one at once, or give one up
    Activities(activities::Activities),
    /// List, show, retry and discard what could not be handled
    DeadLetters(dead_letters::DeadLetters),
    /// Look at a running server, live: what needs attention first
    Top(top::Top),
}

/// What a command was asked to look for and found: it goes where answers go, and the exit status says so.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Finding(String);

/// Runs the command that `arguments` (with the program's name first) ask for.
pub fn run(arguments: impl IntoIterator<Item = OsString>, environment: &Environment) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(usage) => {
            let status = u8::try_from(usage.exit_code()).unwrap_or(2);
            // Nothing can be said where the terminal is gone.
            let _ = usage.print();
            return ExitCode::from(status);
        }
    };
    let outcome = match cli.command.unwrap_or(Command::Serve(serve::Serve {})) {
        Command::Serve(serve) => {
            load(cli.config.as_deref(), environment).and_then(|loaded| serve.run(loaded, environment))
        }
        Command::Check(check) => {
            load(cli.config.as_deref(), environment).and_then(|loaded| print(&check.run(&loaded)))
        }
        Command::Calendar(calendar) => load(cli.config.as_deref(), environment)
            .and_then(|loaded| calendar.run(&loaded.config))
            .and_then(|text| print(&text)),
        Command::Rehearse(rehearse) => rehearse.run().and_then(tell),
        Command::Bench(bench) => {
            let config = || load(cli.config.as_deref(), environment);
            block_on(bench.run(config)).and_then(|text| print(&text))
        }
        Command::Restore(restore) => {
            let config = || load(cli.config.as_deref(), environment);
            block_on(restore.run(config)).and_then(|text| print(&text))
        }
        Command::Journal(journal) => {
            let config = || load(cli.config.as_deref(), environment);
            block_on(journal.run(config, || Ok(config()?.config.server.listen))).and_then(tell)
        }
        Command::Projections(projections) => {
            let config = || load(cli.config.as_deref(), environment);
            block_on(projections.run(config)).and_then(tell)
        }
        Command::Ask(question) => ask(*question, cli.config, environment).and_then(|text| print(&text)),
    };
    outcome.unwrap_or_else(|error| {
        if let Some(Finding(text)) = error.downcast_ref() {
            // What was found is the answer, and that it was found is the failure.
            let _ = print(text);
            return ExitCode::FAILURE;
        }
        let _ = writeln!(io::stderr(), "throughline: {error:#}");
        ExitCode::FAILURE
    })
}

fn ask(question: Ask, config: Option<PathBuf>, environment: &Environment) -> anyhow::Result<String> {
    block_on(question.run(|| Ok(load(config.as_deref(), environment)?.config.server.listen)))
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(work)
}

/// What is to be printed, and what is to be said of it.
struct Told {
    text: String,
    /// Why it counts as failed, if it does.
    outcome: anyhow::Result<()>,
}

impl Told {
    fn done(text: String) -> Self {
        Self { text, outcome: Ok(()) }
    }
}

/// Prints, and then says what failed.
fn tell(told: Told) -> anyhow::Result<ExitCode> {
    let printed = print(&told.text);
    told.outcome.and(printed)
}

impl Ask {
    /// The answer in words. `listen` says where the configured server listens, if none was named.
    async fn run(self, listen: impl FnOnce() -> anyhow::Result<SocketAddr>) -> anyhow::Result<String> {
        match self {
            Self::Backup(backup) => backup.run(listen).await,
            Self::Token(token) => token.run(listen).await,
            Self::Tenant(tenant) => tenant.run(listen).await,
            Self::Inspect(inspect) => inspect.run(listen).await,
            Self::Actors(actors) => actors.run(listen).await,
            Self::Silence(silence) => silence.run(listen).await,
            Self::Timers(timers) => timers.run(listen).await,
            Self::Activities(activities) => activities.run(listen).await,
            Self::DeadLetters(letters) => letters.run(listen).await,
            Self::Top(top) => top.run(listen).await,
        }
    }
}

fn load(file: Option<&Path>, environment: &Environment) -> anyhow::Result<Loaded> {
    Ok(Config::load(file, environment)?)
}

fn print(text: &str) -> anyhow::Result<ExitCode> {
    if text.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    match writeln!(io::stdout(), "{}", text.trim_end()) {
        // Whoever read the output has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error).context("the output cannot be written"),
        Ok(()) => Ok(ExitCode::SUCCESS),
    }
}
