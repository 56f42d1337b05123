//! The engine without its door: commits of the journal, turns of conversations, the lag of a timer.

use std::{path::Path, sync::Arc, time::Duration};

use throughline::bench::{ms, percent, quantile, rate, shown};
use throughline_actors::clock::Stopwatch;
use throughline_storage::{
    append::{Append, NewRecord, StreamId},
    envelope::{EventBytes, Record},
    journal::{Journal, JournalOptions},
    store::{Batch, Engine as Kind, Store, StoreOptions},
};
use throughline_workflows::{
    conversation::{Command, Conversation},
    ids::NoteId,
    time::{Span, Timestamp},
};
use uuid::Uuid;

use crate::{
    disk,
    fixture::{conversations, meta, start, tenant},
    folder,
    table::Table,
};

/// How many appends each figure is made of.
const APPENDS: usize = 20_000;

/// How often the bare engine and the journal take turns: the figures are medians.
const ROUNDS: usize = 5;

/// Commit rates by the size of a group, beside the disk's own and the bare engine's for the same keys. While a group
/// is synced the next one gathers, so that groups of a size need twice as many writers.
pub(crate) async fn commits(kind: Kind) {
    let table = Table::new(
        &format!("{kind}: durable records a second, 300 bytes each, medians of {ROUNDS}"),
        &["group", "raw fdatasync", "bare engine", "journal", "of the bare", "writers", "in a group"],
    );
    for group in [1, 16, 128, 1024] {
        let raw = disk::raw(group, (APPENDS / group).clamp(100, 2_000));
        let writers = if group == 1 { 1 } else { 2 * group };
        let each = appends(group).div_ceil(writers);
        let (mut bares, mut journals, mut shares, mut groups) = (vec![], vec![], vec![], vec![]);
        for _ in 0..ROUNDS {
            let bare = bare(kind, group);
            let (journal, in_a_group) = journal(kind, writers, each).await;
            bares.push(bare);
            journals.push(journal);
            shares.push(journal / bare);
            groups.push(in_a_group);
        }
        let share = percent(median(shares), 1.0);
        let cells = [shown(raw), shown(median(bares)), shown(median(journals)), share];
        let about = [writers.to_string(), format!("{:.0}", median(groups))];
        table.row(&[vec![group.to_string()], cells.to_vec(), about.to_vec()].concat());
    }
}

/// Enough that the disk, and not the beginning, decides.
fn appends(group: usize) -> usize {
    if group == 1 { APPENDS / 10 } else { APPENDS.max(400 * group) }
}

/// So many writers, each of its own stream: appends a second, and how many were in a group.
async fn journal(kind: Kind, writers: usize, each: usize) -> (f64, f64) {
    let folder = folder("commit");
    let journal = Journal::open(store(folder.path(), kind), JournalOptions::default()).expect("a journal");
    let watch = Stopwatch::start();
    let tasks = (0..writers).map(|_| {
        let journal = journal.clone();
        tokio::spawn(async move {
            let stream = stream();
            let mut previous = [0; 32];
            for version in 0..each as u64 {
                let append = append(&stream, version, previous);
                previous = append.record.as_ref().map_or(previous, |record| record.hash);
                journal.commit(append).await.expect("a commit");
            }
        })
    });
    for writer in futures::future::join_all(tasks.collect::<Vec<_>>()).await {
        writer.expect("a writer");
    }
    let took = watch.elapsed();
    let stats = journal.stats();
    journal.close().await.expect("a clean end");
    (rate(each * writers, took), stats.appends as f64 / stats.groups as f64)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// The same keys and values as the journal writes, handed to the engine by one thread and nothing else: a record for
/// each of the streams, and one entry of the feed that names them.
fn bare(kind: Kind, group: usize) -> f64 {
    let folder = folder("bare");
    let store = store(folder.path(), kind);
    let streams: Vec<Uuid> = (0..group).map(|_| Uuid::from_u128(rand::random())).collect();
    let batches = appends(group) / group;
    let prepared: Vec<Batch> = (0..batches as u64)
        .map(|version| {
            let mut batch = Batch::default();
            for entity in &streams {
                let key =
                    [b"rdefault\0bench\0", &entity.as_bytes()[..], &(version + 1).to_be_bytes()].concat();
                batch.put(key, vec![7; disk::RECORD]);
            }
            batch.put(
                [b"f", &(version * group as u64).to_be_bytes()[..]].concat(),
                vec![7; (66 * group + 60).min(60_000)],
            );
            batch.changes.sort();
            batch
        })
        .collect();
    let watch = Stopwatch::start();
    for batch in prepared {
        store.commit(batch).expect("a commit");
    }
    let bare = rate(batches * group, watch.elapsed());
    store.close().expect("a clean end");
    bare
}

fn stream() -> StreamId {
    let entity = Uuid::from_u128(rand::random());
    StreamId { tenant: "default".to_owned(), kind: "bench".to_owned(), entity }
}

fn append(stream: &StreamId, version: u64, previous: [u8; 32]) -> Append {
    let record = Record {
        stream: stream.clone(),
        version: version + 1,
        at_ms: 1,
        correlation: Uuid::nil(),
        metadata: Vec::new(),
        key_id: None,
        previous,
        events: vec![EventBytes { name: "bench".to_owned(), version: 1, bytes: vec![7; disk::RECORD - 130] }],
        activities: Vec::new(),
        armed: Vec::new(),
    };
    let encoded = record.encode();
    let record = NewRecord {
        stream: stream.clone(),
        expected_version: version,
        read_after: None,
        events: 1,
        bytes: encoded.bytes,
        hash: encoded.hash,
    };
    Append { record: Some(record), ..Append::default() }
}

/// Turns a second of existing conversations: a note each.
pub(crate) async fn turns(kind: Kind) {
    let table = Table::new(
        &format!("{kind}: turns a second (a note to a conversation, decided, committed, answered)"),
        &["conversations at once", "turns", "p50", "p99"],
    );
    for at_once in [1, 16, 128] {
        let folder = folder("turn");
        let engine = start(store(folder.path(), kind), folder.path()).await;
        let conversations = conversations(&engine, at_once).await;
        let each = (if at_once == 1 { APPENDS / 10 } else { APPENDS }) / at_once;
        let watch = Stopwatch::start();
        let asking = conversations.into_iter().map(|id| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let mut times = Vec::with_capacity(each);
                for _ in 0..each {
                    let note = Command::AddNote {
                        note_id: NoteId(engine.mint()),
                        text: "a note of the usual length, as a colleague writes it".to_owned(),
                    };
                    let watch = Stopwatch::start();
                    let sent = engine.send::<Conversation>(&tenant(), id, note, meta(&engine)).await;
                    sent.expect("a turn");
                    times.push(watch.elapsed());
                }
                times
            })
        });
        let times = futures::future::join_all(asking.collect::<Vec<_>>()).await;
        let took = watch.elapsed();
        let mut times: Vec<Duration> = times.into_iter().flat_map(|times| times.expect("a task")).collect();
        let (p50, p99) = (quantile(&mut times, 0.5), quantile(&mut times, 0.99));
        table.row(&[at_once.to_string(), shown(rate(times.len(), took)), ms(p50), ms(p99)]);
        engine.drain().await.expect("a clean end");
    }
}

/// How late a timer fires on an idle machine.
pub(crate) async fn timer_lag(kind: Kind) {
    let table = Table::new(
        &format!("{kind}: a due timer on an idle machine"),
        &["timers", "median lag", "greatest lag"],
    );
    let folder = folder("timer");
    let engine = start(store(folder.path(), kind), folder.path()).await;
    let conversations = conversations(&engine, 10).await;
    let mut lags = Vec::new();
    let mut last = engine.now();
    for (at, id) in (0..).zip(&conversations) {
        let until = engine.now() + Span::from_millis(400 + 130 * at);
        last = last.max(until);
        let snooze = Command::Snooze { until };
        engine.send::<Conversation>(&tenant(), *id, snooze, meta(&engine)).await.expect("a snooze");
    }
    while !engine.timers(Some(last), 1).expect("timers").is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for id in &conversations {
        let history = engine.history(&tenant(), "conversation", *id).await.expect("a history");
        let woken = history.last().expect("an event");
        let due = history.iter().rev().find_map(|entry| snoozed_until(&entry.details)).expect("a snooze");
        lags.push(woken.timestamp.since(due).to_std());
    }
    let greatest = lags.iter().max().copied().unwrap_or_default();
    table.row(&[lags.len().to_string(), ms(quantile(&mut lags, 0.5)), ms(greatest)]);
    engine.drain().await.expect("a clean end");
}

/// The moment inside a snooze event, whatever surrounds it.
fn snoozed_until(event: &serde_json::Value) -> Option<Timestamp> {
    event.as_object()?.values().find_map(|fields| fields.get("until")?.as_str()?.parse().ok())
}

fn store(folder: &Path, kind: Kind) -> Arc<dyn Store> {
    kind.open(folder.join("journal"), StoreOptions::default()).expect("a store")
}
