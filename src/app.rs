//! Puts the server together, runs it, and takes it down again.
//!
//! Up: address, folder, store, clock, engine, first token, door. Down (on SIGTERM or SIGINT): the door first, then
//! the engine, which finishes what it has begun, then the store. A store that fails, or an engine that breaks, ends the
//! process at once with status 70: nothing can be promised any more, and whoever supervises the process starts it anew.

mod doors;
mod greeting;
#[cfg(test)]
mod tests;

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::ExitCode,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use throughline_actors::{
    clock::{Clock, ClockMode},
    engine::{Engine, EngineBuilder, added_tenants},
    host::EngineOptions,
    performer::{NoPerformer, Performer},
    settle::{KeptClock, clock_key},
};
use throughline_storage::{
    append::{Append, RowChange},
    blobs::Blobs,
    codec,
    journal::{Journal, JournalOptions},
    store::StoreOptions,
};
use throughline_workflows::{
    access::Reads, agent::Agent, conversation::Conversation, credential::Credential, customer::Customer,
    directory::Directory, endpoint::Endpoint, ids::TenantId, operation::Operation, policy_book::PolicyBook,
    resolution::Resolution, schedule::Schedule, team::Team, time::Timestamp, views,
};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};
use tokio_util::sync::CancellationToken;

use crate::{
    alarms::{self, Alarms},
    config::{self, Config, Secret},
    http::{self, Edge, FirstAdmin, HttpSettings, NewTenant},
    performers::{Counted, Outside, Sends},
    schedules::{self, Schedules},
};

/// The exit status of a store that has failed (`EX_SOFTWARE` of sysexits.h).
const STORE_FAILED: i32 = 70;

/// The exit status of a server that was told to stop.
const STOPPED: i32 = 0;

/// What is said when commits no longer come back.
const STALLED: &str = "a commit has waited for a minute: the disk does not answer, so the server ends";

/// A commit that waits longer than this will not come back.
const COMMIT_AGE_MAX_MS: u64 = 60_000;

/// Between two looks at the age of the oldest commit.
const STALL_CHECK: Duration = Duration::from_secs(2);

/// How long requests may take to finish once the server has been told to stop.
const REQUESTS_PATIENCE: Duration = Duration::from_secs(10);

/// Runs the server until it is told to stop.
///
/// # Errors
/// What keeps it from starting, told so that an operator can act on it.
pub fn serve(config: Config, admin_token: Option<Secret>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("throughline")
        .build()
        .context("the runtime does not start")?;
    runtime.block_on(run(config, admin_token))
}

async fn run(config: Config, admin_token: Option<Secret>) -> anyhow::Result<ExitCode> {
    // Listened for from the first moment, so that a stop during the start is a clean stop too.
    let mut signals = Signals::listen()?;
    let Up { listener, journal, engine, edge } = tokio::select! {
        up = start(&config, admin_token.as_ref()) => up?,
        () = signals.stop() => end_at_once("told to stop during the start: nothing had begun", STOPPED),
    };
    let stop = CancellationToken::new();
    let edge = edge.closing(stop.clone());
    let (served, mut serving) = oneshot::channel();
    let router = http::router(Arc::new(edge)).into_make_service_with_connect_info::<SocketAddr>();
    let door = tokio::spawn({
        let stop = stop.clone();
        async move {
            let result = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
            let _ = served.send(result); // The server may have stopped waiting.
        }
    });
    let mut broken = engine.broken();
    tokio::select! {
        () = signals.stop() => tracing::info!("told to stop: finishing what has begun"),
        reason = broken.wait_for(Option::is_some) => {
            let reason = reason.ok().and_then(|reason| reason.clone()).unwrap_or_default();
            end_at_once(&format!("nothing can be promised any more, so the server ends: {reason}"), STORE_FAILED);
        }
        () = stalled(&journal) => end_at_once(STALLED, STORE_FAILED),
        ended = &mut serving => bail!("the door closed by itself: {ended:?}"),
    }
    stop.cancel();
    let down = async {
        if tokio::time::timeout(REQUESTS_PATIENCE, serving).await.is_err() {
            tracing::warn!("some requests did not finish in time and are cut off");
            door.abort();
        }
        engine.drain().await
    };
    tokio::select! {
        closed = down => if let Err(reason) = closed {
            end_at_once(&format!("the store did not close: {reason}"), STORE_FAILED);
        },
        () = signals.stop() => end_at_once("told twice to stop: what has begun goes on at the next start", STOPPED),
        () = stalled(&journal) => end_at_once(STALLED, STORE_FAILED),
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// A server that is ready to open its door.
struct Up {
    listener: TcpListener,
    journal: Journal,
    engine: Engine,
    edge: Edge,
}

async fn start(config: &Config, admin_token: Option<&Secret>) -> anyhow::Result<Up> {
    let listener = TcpListener::bind(config.server.listen)
        .await
        .with_context(|| format!("server.listen: cannot listen on {}", config.server.listen))?;
    let address = listener.local_addr().context("the address listened on cannot be told")?;
    let (journal, clock) = open_journal(config).await?;
    let mut config = config.clone();
    let added = added_tenants(&journal).map_err(|error| anyhow!("the directory of tenants: {error}"))?;
    for (tenant, title) in &added {
        config.add_tenant(tenant, title.as_deref());
    }
    let config = &config;
    let sends = Sends::default();
    let (engine, outside) = start_engine(config, &journal, clock, sends.clone()).await?;
    let admin = http::ensure_first_admin(&engine, admin_token.and_then(Secret::newest))
        .await
        .map_err(|error| anyhow!("the first admin token cannot be made: {error}"))?;
    let settings = HttpSettings {
        body_max: usize::try_from(config.server.body_max.as_u64()).unwrap_or(usize::MAX),
        webhook_patience: config.server.webhook_patience.to_std(),
        public_url_is_loopback: config.server.public_url.is_loopback(),
    };
    let edge = Edge::new(engine.clone(), doors::doors(config)?, settings)
        .taking_in_tenants({
            let config = Mutex::new(config.clone());
            move |tenant, title| {
                let mut config = config.lock().unwrap_or_else(PoisonError::into_inner);
                take_in(&mut config, &outside, tenant, title).map_err(|error| format!("{error:#}"))
            }
        })
        .refusing_inbound({
            let journal = journal.clone();
            move || journal.admits_inbound().err().map(|error| error.to_string())
        });
    let edge = edge
        .posting_to(alarms::networks(config))
        .counting(sends)
        .backing_up(config.storage.path.clone())
        .listening_on_loopback(address.ip().is_loopback());
    alarms::configured::bring_in_line(&engine, config).await?;
    schedules::bring_in_line(&engine, config).await?;
    greet(config, address, &admin);
    Ok(Up { listener, journal, engine, edge })
}

/// Opens the data folder, and the clock that it was made with.
async fn open_journal(config: &Config) -> anyhow::Result<(Journal, Clock)> {
    let folder = config.storage.path.clone();
    make_durably(&folder).with_context(|| format!("storage.path: {} cannot be made", folder.display()))?;
    let engine = config.storage.engine.engine();
    let options = StoreOptions { cache_bytes: config.storage.cache.as_u64() };
    let store = tokio::task::spawn_blocking({
        let folder = folder.clone();
        move || engine.open(folder.join("journal"), options)
    })
    .await?
    .with_context(|| format!("storage.path: {} cannot be opened", folder.display()))?;
    let now: Arc<OnceLock<Clock>> = Arc::default();
    let journal_options = JournalOptions {
        folder: Some(folder),
        min_free: config.storage.min_free.as_u64(),
        inbox_max: config.inbox.max_entries,
        now_ms: {
            let now = now.clone();
            Arc::new(move || now.get().map_or(0, |clock| clock.now().as_millis()))
        },
        ..JournalOptions::default()
    };
    let journal = tokio::task::spawn_blocking(move || Journal::open(store, journal_options))
        .await?
        .context("the journal cannot be read")?;
    let clock = open_clock(config, &journal).await?;
    let _ = now.set(clock.clone()); // Set once, here.
    Ok((journal, clock))
}

/// Makes the data folder, and its name as durable as what will be in it.
fn make_durably(folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    match folder.canonicalize()?.parent() {
        Some(parent) => fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// A folder remembers its clock: one that was advanced by hand must not go on by itself, and the other way round.
async fn open_clock(config: &Config, journal: &Journal) -> anyhow::Result<Clock> {
    let wanted = match config.clock.mode {
        config::ClockMode::System => ClockMode::System,
        config::ClockMode::Manual => ClockMode::Manual,
    };
    let stored = journal.row(&clock_key()).context("the kept clock cannot be read")?;
    let kept = stored.map(|stored| codec::decode::<KeptClock>(&stored)).transpose()?;
    if let Some(kept) = &kept
        && kept.mode != wanted.as_str()
    {
        bail!(
            "clock.mode is \"{}\", but {} was made with \"{}\": set it back, or use another storage.path",
            wanted.as_str(),
            config.storage.path.display(),
            kept.mode
        );
    }
    let last_recorded = Timestamp::from_millis(journal.head().at_ms);
    let clock = match wanted {
        ClockMode::System => Clock::system(last_recorded),
        ClockMode::Manual => {
            let kept = kept.as_ref().map(|kept| Timestamp::from_millis(kept.at_ms));
            let start = match (kept, config.clock.start) {
                (Some(kept), Some(start)) => kept.max(start),
                (Some(at), None) | (None, Some(at)) => at,
                // A new folder without a start begins at the present.
                (None, None) => Clock::system(last_recorded).now(),
            };
            Clock::manual(start.max(last_recorded))
        }
    };
    let keep = KeptClock { mode: wanted.as_str().to_owned(), at_ms: clock.now().as_millis() };
    if kept.is_none() || wanted == ClockMode::Manual {
        let rows = vec![RowChange { key: clock_key(), value: Some(codec::encode(&keep)) }];
        journal.commit(Append { rows, ..Append::default() }).await.context("the clock cannot be kept")?;
    }
    Ok(clock)
}

/// Makes what a tenant needs that is added while the server runs.
fn take_in(
    config: &mut Config,
    outside: &Outside,
    tenant: &TenantId,
    title: Option<&str>,
) -> anyhow::Result<NewTenant> {
    config.add_tenant(tenant, title);
    outside.take_in(config, tenant)?;
    Ok(NewTenant { doors: doors::doors_of(config, tenant)?, policy: config.policy_file(tenant) })
}

async fn start_engine(
    config: &Config,
    journal: &Journal,
    clock: Clock,
    sends: Sends,
) -> anyhow::Result<(Engine, Outside)> {
    let blobs = Blobs::open(config.storage.path.join("blobs")).context("the blob folder cannot be opened")?;
    let blobs = Arc::new(blobs);
    let outside = Outside::new(config, blobs.clone(), clock.clone())?;
    let alarms = Alarms::new(config, outside.clone())?;
    let options = EngineOptions {
        shards: usize::from(config.actors.shards),
        max_resident: usize::try_from(config.actors.max_resident).unwrap_or(usize::MAX),
        idle_after: config.actors.idle_after.to_std(),
        settle_timeout: config.clock.settle_timeout.to_std(),
        #[cfg(feature = "faults")]
        fault: fault(),
        ..EngineOptions::default()
    };
    let builder = EngineBuilder::new(journal.clone(), blobs, clock)
        .options(options)
        .policy_files(config.policy_files());
    let counted = Counted { performer: outside.clone(), sends };
    let builder = workflows(builder, counted, outside.clone(), alarms);
    let engine = builder.start().await.context("the engine does not start")?;
    Ok((engine, outside))
}

/// Registers every workflow and view of the server; `channels` performs what conversations ask of the world, `within`
/// what entities tell each other, `alarms` what endpoints ask.
pub fn workflows(
    builder: EngineBuilder,
    channels: impl Performer<Conversation>,
    within: impl Performer<Resolution> + Performer<Customer> + Clone,
    alarms: impl Performer<Endpoint>,
) -> EngineBuilder {
    builder
        .workflow::<Conversation>(channels)
        .workflow::<Resolution>(within.clone())
        .workflow::<Customer>(within)
        .workflow::<Endpoint>(alarms)
        .workflow::<Schedule>(Schedules)
        .view::<views::endpoints::Endpoints>()
        .workflow::<Agent>(NoPerformer)
        .workflow::<Team>(NoPerformer)
        .workflow::<Credential>(NoPerformer)
        .workflow::<Operation>(NoPerformer)
        .workflow::<Reads>(NoPerformer)
        .workflow::<PolicyBook>(NoPerformer)
        .workflow::<Directory>(NoPerformer)
        .view::<views::inbox::Inbox>()
        .view::<views::silence::Waiting>()
        .view::<views::breaches::Breaches>()
        .view::<views::resolutions::Resolutions>()
        .view::<views::customers::Customers>()
        .view::<views::agents::Agents>()
        .view::<views::teams::Teams>()
        .view::<views::credentials::Credentials>()
}

/// The fault that a test asks for: a turn panics while its command holds this text and the file named beside it
/// exists, so that a test can mend it.
#[cfg(feature = "faults")]
fn fault() -> Option<throughline_actors::host::TurnFault> {
    let environment = config::process_environment();
    let text = environment.get("THROUGHLINE_FAULT_PANIC_TEXT")?.clone();
    let while_exists = environment.get("THROUGHLINE_FAULT_WHILE_EXISTS").map(std::path::PathBuf::from);
    Some(Arc::new(move |_entity, command| {
        command.contains(&text) && while_exists.as_ref().is_none_or(|path| path.exists())
    }))
}

/// Ends the process without waiting for anything, least of all for a disk that has failed.
fn end_at_once(reason: &str, status: i32) -> ! {
    if status == STOPPED {
        tracing::info!("{reason}");
    } else {
        tracing::error!("{reason}");
    }
    std::process::exit(status)
}

/// Returns when the oldest waiting commit has waited for so long that the disk must be taken for dead.
async fn stalled(journal: &Journal) {
    while journal.stats().oldest_waiting_ms < COMMIT_AGE_MAX_MS {
        tokio::time::sleep(STALL_CHECK).await;
    }
}

/// Says where to look and what to try.
#[expect(clippy::print_stdout, reason = "this is the program's greeting, not a log")]
fn greet(config: &Config, address: SocketAddr, admin: &FirstAdmin) {
    println!("{}", greeting::greeting(config, address, admin));
}

/// The signals that ask the process to stop.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("the signals to stop cannot be listened for");
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Returns when the process is asked to stop.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
