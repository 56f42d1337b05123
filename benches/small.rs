//! The small steps of a turn, by themselves: what the engine adds to the store.

#[path = "engine/fixture.rs"]
mod fixture;

use std::{hint::black_box, sync::Arc};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use throughline_actors::engine::Engine;
use throughline_storage::{
    append::StreamId,
    codec,
    envelope::{EventBytes, Record},
    store::memory::MemoryStore,
};
use throughline_workflows::{
    conversation::{Command, Conversation},
    ids::NoteId,
    workflow::Workflow,
};
use tokio::runtime::Runtime;
use uuid::Uuid;

use fixture::{conversations, message, meta, start, tenant};

/// As the program has it.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Messages in the conversations that are read back.
const LENGTHS: [usize; 4] = [1, 10, 100, 10_000];

/// A conversation in memory that takes a note and one that takes a message: decided, encoded, committed without a
/// disk, answered.
fn turn(criterion: &mut Criterion) {
    let runtime = runtime();
    let folder = tempfile::tempdir().expect("a folder");
    let engine = runtime.block_on(start(Arc::new(MemoryStore::new()), folder.path()));
    let id = runtime.block_on(conversations(&engine, 1))[0];
    criterion.bench_function("turn/note, hot, no disk", |bencher| {
        bencher.to_async(&runtime).iter(|| {
            let note = Command::AddNote {
                note_id: NoteId(engine.mint()),
                text: "a note of the usual length, as a colleague writes it".to_owned(),
            };
            engine.send::<Conversation>(&TENANT, id, note, meta(&engine))
        });
    });
    let (state, _) = state(&runtime, &engine, id);
    criterion.bench_function("turn/deadlines", |bencher| {
        bencher.iter(|| Conversation::deadlines(black_box(&state)));
    });
    runtime.block_on(engine.drain()).expect("a clean end");
}

/// An entity that is not in memory, by how many messages it has had.
fn rehydrate(criterion: &mut Criterion) {
    let runtime = runtime();
    let mut group = criterion.benchmark_group("rehydrate");
    for length in LENGTHS {
        let folder = tempfile::tempdir().expect("a folder");
        let engine = runtime.block_on(start(Arc::new(MemoryStore::new()), folder.path()));
        let id = runtime.block_on(conversation_of(&engine, length));
        let (state, _) = state(&runtime, &engine, id);
        let bytes = codec::encode(&state);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_with_input(BenchmarkId::new("cold", format!("{length} messages")), &id, |bencher, id| {
            bencher.to_async(&runtime).iter(|| engine.state::<Conversation>(&TENANT, *id));
        });
        group.bench_with_input(
            BenchmarkId::new("snapshot read", format!("{} bytes", bytes.len())),
            &bytes,
            |bencher, bytes| {
                bencher.iter(|| codec::decode::<<Conversation as Workflow>::State>(black_box(bytes)));
            },
        );
        group.bench_with_input(
            BenchmarkId::new("snapshot written", format!("{} bytes", bytes.len())),
            &state,
            |bencher, state| {
                bencher.iter(|| codec::encode(black_box(state)));
            },
        );
        runtime.block_on(engine.drain()).expect("a clean end");
    }
}

/// A record as it is written and read: header, checksum, hash.
fn record(criterion: &mut Criterion) {
    let record = Record {
        stream: StreamId {
            tenant: "default".to_owned(),
            kind: "bench".to_owned(),
            entity: Uuid::from_u128(7),
        },
        version: 1,
        at_ms: 1,
        correlation: Uuid::nil(),
        metadata: vec![7; 40],
        key_id: None,
        previous: [0; 32],
        events: vec![EventBytes { name: "bench".to_owned(), version: 1, bytes: vec![7; 300] }],
        activities: Vec::new(),
        armed: Vec::new(),
    };
    let encoded = record.encode();
    criterion.bench_function("record/encode", |bencher| bencher.iter(|| black_box(&record).encode()));
    criterion.bench_function("record/decode", |bencher| {
        bencher.iter(|| Record::decode(black_box(&encoded.bytes)))
    });
}

static TENANT: std::sync::LazyLock<throughline_workflows::ids::TenantId> = std::sync::LazyLock::new(tenant);

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime")
}

fn state(runtime: &Runtime, engine: &Engine, id: Uuid) -> (<Conversation as Workflow>::State, u64) {
    let state = runtime.block_on(engine.state::<Conversation>(&TENANT, id));
    state.expect("a state").expect("a conversation")
}

/// One customer's conversation of so many messages.
async fn conversation_of(engine: &Engine, messages: usize) -> Uuid {
    for chunk in (0..messages).collect::<Vec<_>>().chunks(512) {
        let taken =
            chunk.iter().map(|_| engine.receive(&TENANT, message(engine, 0), Vec::new(), Uuid::nil()));
        for answer in futures::future::join_all(taken).await {
            answer.expect("a message taken");
        }
    }
    engine.settle().await.expect("every message placed");
    let page =
        engine.views().page::<throughline_workflows::views::inbox::Inbox>(&TENANT, 0, 1, |_| true).await;
    page.expect("a list").items[0].id.0
}

criterion_group!(small, turn, rehydrate, record);
criterion_main!(small);
