//! The whole server under load: webhooks answered and handled, starts, memory, timers that fall due at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use throughline_actors::clock::Stopwatch;
use throughline_storage::store::Engine;

use throughline::bench::{Client, Load, Senders, Server, mib, ms, rate, shown};

use crate::{
    disk, folder,
    process::{TOKEN, memory as memory_of, processor_time, start, stop},
    table::Table,
};

/// How long each burst lasts.
const BURST: Duration = Duration::from_secs(10);

/// Fewer answers than this have no 99 of 100, and fewer messages are no backlog.
const FEW: usize = 100;

/// Conversations that a burst is spread over.
const CONVERSATIONS: usize = 500;

/// Webhooks to existing conversations: how many are answered, and how soon all are handled.
pub(crate) async fn webhooks(engine: Engine) {
    let raw = disk::raw(1, 1_000);
    let table = Table::new(
        &format!(
            "{engine}: webhooks a second on generic/web to {CONVERSATIONS} conversations for {BURST:?}, durable before \
             the 2xx (raw fdatasync, one at a time: {})",
            shown(raw)
        ),
        &["clients", "answered", "p50", "p99", "handled", "backlog after", "door while it drains, p99"],
    );
    for clients in [1, 16, 64, 256] {
        let folder = folder("webhook");
        let server = start(folder.path(), engine).await;
        let senders = Senders::new(clients, CONVERSATIONS);
        senders.open_conversations(&server).await.expect("conversations");
        let watch = Stopwatch::start();
        let mut load = senders.burst(&server, BURST).await.expect("answers");
        let backlog = server.backlog().await.expect("a figure");
        let mut door = while_it_drains(&server, &senders).await;
        server.drained().await.expect("an end");
        let handled = rate(load.times.len() + door.times.len(), watch.elapsed());
        table.row(&[
            clients.to_string(),
            shown(load.rate()),
            ms(load.quantile(0.5)),
            ms(load.quantile(0.99)),
            shown(handled),
            backlog.to_string(),
            if door.times.len() < FEW { "drained".to_owned() } else { ms(door.quantile(0.99)) },
        ]);
    }
}

/// Two hundred webhooks a second until what waits is nearly handled.
async fn while_it_drains(server: &Server, senders: &Senders) -> Load {
    let few = Senders { clients: 4, ..senders.clone() };
    let over = Arc::new(AtomicBool::new(false));
    let draining = async {
        while server.backlog().await.expect("a figure") > FEW as u64 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        over.store(true, Ordering::Relaxed);
    };
    let ((), load) = tokio::join!(draining, few.paced(server, Duration::from_millis(20), over.clone()));
    load.expect("answers")
}

/// Messages handled by their conversations, for as long and as fast as the inbox does not grow.
pub(crate) async fn sustained(engine: Engine, conversations: usize, span: Duration) {
    let folder = folder("sustained");
    let server = start(folder.path(), engine).await;
    let senders = Senders::new(64, conversations);
    senders.open_conversations(&server).await.expect("conversations");
    handled(engine, &server, &senders, span).await;
    stop(server).await;
}

async fn handled(engine: Engine, server: &Server, senders: &Senders, span: Duration) {
    let table = Table::new(
        &format!("{engine}: messages handled a second for {span:?}, 64 clients, the inbox held flat"),
        &["conversations", "handled", "p50", "p99", "memory after", "of the cores", "for each"],
    );
    let (watch, before) = (Stopwatch::start(), processor_time(server));
    let mut load = senders.sustained(server, span).await.expect("answers");
    server.drained().await.expect("an end");
    let handled = rate(load.times.len(), watch.elapsed());
    let spent = processor_time(server) - before;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let share = spent.as_secs_f64() / watch.elapsed().as_secs_f64();
    table.row(&[
        senders.customers.to_string(),
        shown(handled),
        ms(load.quantile(0.5)),
        ms(load.quantile(0.99)),
        mib(memory_of(server)),
        format!("{share:.2} of {cores}"),
        format!("{:.0} µs", spent.as_secs_f64() * 1e6 / load.times.len() as f64),
    ]);
}

/// From starting the process to a server that says it is ready, its memory then, and webhooks to any conversation; at
/// the end, where asked for, how many messages are handled.
pub(crate) async fn starts(engine: Engine, conversations: &[usize], sustained: Option<Duration>) {
    let table = Table::new(
        &format!("{engine}: starting the server"),
        &["folder", "ready after", "memory 5 s later", "a webhook, p50", "p99"],
    );
    let empty = folder("empty");
    start_and_tell(&table, "empty", start(empty.path(), engine).await, None).await;
    for conversations in conversations {
        let folder = folder("full");
        let server = start(folder.path(), engine).await;
        let senders = Senders::new(64, *conversations);
        senders.open_conversations(&server).await.expect("conversations");
        stop(server).await;
        let name = |when: &str| format!("{conversations} conversations, {when}");
        let one = Senders { clients: 1, ..senders };
        let first = start(folder.path(), engine).await;
        start_and_tell(&table, &name("first start after loading"), first, Some(&one)).await;
        let again = start(folder.path(), engine).await;
        start_and_tell(&table, &name("after a clean stop"), again, Some(&one)).await;
        let server = start(folder.path(), engine).await;
        one.burst(&server, Duration::from_secs(1)).await.expect("answers");
        server.kill().await.expect("its end");
        let killed = start(folder.path(), engine).await;
        start_and_tell(&table, &name("after a kill"), killed, Some(&one)).await;
        if let Some(span) = sustained {
            let server = start(folder.path(), engine).await;
            handled(engine, &server, &Senders { clients: 64, ..one }, span).await;
            stop(server).await;
        }
    }
}

async fn start_and_tell(table: &Table, name: &str, server: Server, senders: Option<&Senders>) {
    // What the recovery needed for itself has gone back to the system by then.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut row = vec![name.to_owned(), ms(server.ready_after), mib(memory_of(&server))];
    if let Some(senders) = senders {
        let mut load = senders.burst(&server, Duration::from_secs(5)).await.expect("answers");
        row.extend([ms(load.quantile(0.5)), ms(load.quantile(0.99))]);
    }
    table.row(&row);
    stop(server).await;
}

/// What conversations take in memory: at rest on the disk, and with their actors.
pub(crate) async fn memory(engine: Engine) {
    const MANY: usize = 50_000;
    const HOT: usize = 5_000;
    let table = Table::new(&format!("{engine}: memory"), &["conversations", "resident", "for each"]);
    let empty = folder("memory-empty");
    let server = start(empty.path(), engine).await;
    let idle = memory_of(&server);
    table.row(&["none".to_owned(), mib(idle), String::new()]);
    stop(server).await;
    let folder = folder("memory");
    let server = start(folder.path(), engine).await;
    let senders = Senders::new(64, MANY);
    senders.open_conversations(&server).await.expect("conversations");
    stop(server).await;
    stop(start(folder.path(), engine).await).await; // The engine tidies up after so much at once.
    let server = start(folder.path(), engine).await;
    let passive = memory_of(&server);
    let each = |more: f64, count: usize| format!("{:.1} KiB", more * 1024.0 / count as f64);
    table.row(&[format!("{MANY} passive"), mib(passive), each(passive - idle, MANY)]);
    let few = Senders { customers: HOT, ..senders };
    few.open_conversations(&server).await.expect("conversations");
    let hot = memory_of(&server);
    table.row(&[format!("{HOT} of them with their actors"), mib(hot), each(hot - passive, HOT)]);
    stop(server).await;
}

/// So many snoozed conversations wake in the same second, while webhooks come in.
pub(crate) async fn timer_burst(engine: Engine, count: usize) {
    let folder = folder("timers");
    let server = start(folder.path(), engine).await;
    let senders = Senders::new(64, count);
    senders.open_conversations(&server).await.expect("conversations");
    let mut ids = Vec::with_capacity(count);
    for page in 1.. {
        let list =
            server.get(&format!("/api/v1/conversations?page={page}&page_size=200&sort=created_at")).await;
        let list = list.expect("a list");
        let items = list["items"].as_array().expect("a list").clone();
        if items.is_empty() {
            break;
        }
        ids.extend(items.into_iter().map(|item| item["id"].as_str().expect("an id").to_owned()));
    }
    assert_eq!(ids.len(), count);

    let now = server.status().await.expect("figures")["now"].as_str().expect("a time").to_owned();
    let now: throughline_workflows::time::Timestamp = now.parse().expect("a time");
    let wait = Duration::from_millis(20_000 + count as u64);
    let due = now + throughline_workflows::time::Span::from_millis(wait.as_millis() as u64);
    let (watch, address) = (Stopwatch::start(), server.address);
    let chunks: Vec<Vec<String>> = ids.chunks(count.div_ceil(64)).map(<[String]>::to_vec).collect();
    let arming = chunks.into_iter().enumerate().map(|(part, ids)| {
        tokio::spawn(async move {
            let mut client = Client::open(address).await.expect("a connection");
            for (at, id) in ids.into_iter().enumerate() {
                let until = due
                    + throughline_workflows::time::Span::from_millis(((part * 131 + at * 7) % 1000) as u64);
                let body = format!(r#"{{"until":"{until}"}}"#);
                let status = client
                    .post(&format!("/api/v1/conversations/{id}/snooze"), Some(TOKEN), body.as_bytes())
                    .await
                    .expect("an answer");
                assert!((200..300).contains(&status), "a snooze: {status}");
            }
        })
    });
    for armed in futures::future::join_all(arming.collect::<Vec<_>>()).await {
        armed.expect("a task");
    }
    let armed = watch.elapsed();
    assert!(armed < wait, "the timers were armed too late to fall due together: {armed:?}");
    tokio::time::sleep(wait - armed).await;

    let due_at = Stopwatch::start();
    let one = Senders { clients: 4, ..senders };
    let quiet = Arc::new(AtomicBool::new(false));
    let seen = quiet.clone();
    let until_quiet = async {
        loop {
            let status = server.status().await.expect("figures");
            let is_over = due_at.elapsed() > Duration::from_secs(1);
            if is_over && status["timer_lag_ms"] == 0 && status["timers_in_flight"] == 0 {
                seen.store(true, Ordering::Relaxed);
                return due_at.elapsed();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (took, load) = tokio::join!(until_quiet, one.paced(&server, Duration::from_millis(20), quiet));
    let mut load = load.expect("answers");
    let table = Table::new(
        &format!("{engine}: {count} timers due within one second, 200 webhooks a second meanwhile"),
        &["armed", "handled", "all within", "a webhook, p50", "p99"],
    );
    table.row(&[
        shown(rate(count, armed)),
        shown(rate(count, took)),
        format!("{:.1} s", took.as_secs_f64()),
        ms(load.quantile(0.5)),
        ms(load.quantile(0.99)),
    ]);
    stop(server).await;
}

/// Whether a long conversation costs more than a short one.
pub(crate) async fn history(engine: Engine) {
    const LONG: usize = 10_000;
    const PART: usize = 1_000;
    let table = Table::new(
        &format!("{engine}: one customer who writes {LONG} times, message by message until each is handled"),
        &["messages so far", "a second", "p50", "p99"],
    );
    let folder = folder("history");
    let server = start(folder.path(), engine).await;
    let senders = Senders::new(1, 1);
    for part in 0..LONG / PART {
        let watch = Stopwatch::start();
        let mut load = senders.count(&server, PART).await.expect("answers");
        server.drained().await.expect("an end");
        let handled = rate(PART, watch.elapsed());
        if part == 0 || part + 1 == LONG / PART {
            let so_far = format!("{} to {}", part * PART, (part + 1) * PART);
            table.row(&[so_far, shown(handled), ms(load.quantile(0.5)), ms(load.quantile(0.99))]);
        }
    }
    stop(server).await;
}

/// Half of what can be sustained, for long: what grows.
pub(crate) async fn soak(engine: Engine, span: Duration) {
    let table = Table::new(
        &format!("{engine}: soak for {span:?} on 10000 conversations at half the sustained rate"),
        &["after", "handled", "p50", "p99", "memory", "disk for each message"],
    );
    let folder = folder("soak");
    let server = start(folder.path(), engine).await;
    let senders = Senders::new(64, 10_000);
    senders.open_conversations(&server).await.expect("conversations");
    let sustained = senders.sustained(&server, Duration::from_secs(30)).await.expect("answers").rate();
    server.drained().await.expect("an end");
    let pause = Duration::from_secs_f64(senders.clients as f64 / (sustained / 2.0));
    let (watch, begin, mut messages) = (Stopwatch::start(), size(folder.path()), 0);
    while watch.elapsed() < span {
        let over = Arc::new(AtomicBool::new(false));
        let part = (span / 10).min(Duration::from_secs(60));
        let end = async {
            tokio::time::sleep(part).await;
            over.store(true, Ordering::Relaxed);
        };
        let ((), load) = tokio::join!(end, senders.paced(&server, pause, over.clone()));
        let mut load = load.expect("answers");
        messages += load.times.len();
        let disk = size(folder.path()).saturating_sub(begin) as f64 / messages as f64;
        table.row(&[
            format!("{:.0} s", watch.elapsed().as_secs_f64()),
            shown(load.rate()),
            ms(load.quantile(0.5)),
            ms(load.quantile(0.99)),
            mib(memory_of(&server)),
            format!("{disk:.0} B"),
        ]);
    }
    stop(server).await;
}

/// Bytes of all files below a folder.
fn size(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(about) if about.is_dir() => size(&entry.path()),
            Ok(about) => about.len(),
            Err(_) => 0, // Gone since it was listed.
        })
        .sum()
}
