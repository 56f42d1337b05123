//! An engine with conversations in it, without a server around it.

use std::{path::Path, sync::Arc};

use throughline_actors::{
    clock::Clock,
    engine::{Engine, EngineBuilder},
    order::CommandMeta,
    performer::{Attempt, NoPerformer, Outcome, Performer},
};
use throughline_storage::{
    blobs::Blobs,
    journal::{Journal, JournalOptions},
    store::Store,
};
use throughline_workflows::{
    activity::ConversationActivity,
    conversation::{Command, Conversation},
    customer::Customer,
    ids::{ConversationId, MessageId, TenantId},
    message::{Address, Channel, Details, Inbound},
    policy::Policy,
    time::Timestamp,
    views,
    workflow::{By, Cause, CauseKind},
};
use uuid::Uuid;

/// Accepts every message.
struct Accepting;

impl Performer<Conversation> for Accepting {
    async fn perform(&self, _: ConversationActivity, _: Attempt) -> Outcome<Command> {
        Outcome::Done(None)
    }
}

/// An engine as the server runs it, without its door; `folder` is for blobs.
pub(crate) async fn start(store: Arc<dyn Store>, folder: &Path) -> Engine {
    let clock = Clock::system(Timestamp::default());
    let now = clock.clone();
    let options =
        JournalOptions { now_ms: Arc::new(move || now.now().as_millis()), ..JournalOptions::default() };
    let journal = Journal::open(store, options).expect("a journal");
    let blobs = Arc::new(Blobs::open(folder.join("blobs")).expect("a folder"));
    let policy = Policy { acknowledge: false, ..Policy::default() };
    EngineBuilder::new(journal, blobs, clock)
        .policies([(tenant(), policy)])
        .workflow::<Conversation>(Accepting)
        .workflow::<Customer>(NoPerformer)
        .view::<views::inbox::Inbox>()
        .view::<views::customers::Customers>()
        .start()
        .await
        .expect("an engine")
}

/// Opens so many conversations, by the road that messages take.
pub(crate) async fn conversations(engine: &Engine, count: usize) -> Vec<Uuid> {
    let tenant = tenant();
    for chunk in (0..count).collect::<Vec<_>>().chunks(512) {
        let taken = chunk
            .iter()
            .map(|number| engine.receive(&tenant, message(engine, *number), Vec::new(), Uuid::nil()));
        for answer in futures::future::join_all(taken).await {
            answer.expect("a message taken");
        }
    }
    engine.settle().await.expect("every message placed");
    let page = engine.views().page::<views::inbox::Inbox>(&tenant, 0, count, |_| true).await.expect("a list");
    assert_eq!(page.total, count);
    page.items.iter().map(|row| row.id.0).collect()
}

pub(crate) fn message(engine: &Engine, number: usize) -> Inbound {
    Inbound {
        id: MessageId(engine.mint()),
        channel: Channel::Generic("web".to_owned()),
        provider_message_id: format!("bench-{number}-{}", engine.mint()),
        from: vec![Address::email(&format!("customer{number}@example.com"))],
        name: Some(format!("Customer {number}")),
        to: None,
        text: "Where is my parcel? It should have been here on Monday.".to_owned(),
        subject: None,
        attachments: Vec::new(),
        thread: None::<ConversationId>,
        vouched: false,
        automatic: false,
        details: Details::None,
        metadata: String::new(),
        sent_at: None,
        received_at: engine.now(),
    }
}

pub(crate) fn tenant() -> TenantId {
    TenantId::default_tenant()
}

pub(crate) fn meta(engine: &Engine) -> CommandMeta {
    CommandMeta {
        by: By::engine(),
        cause: Cause { kind: CauseKind::Command, id: "bench".to_owned() },
        correlation: engine.mint(),
        idempotency: None,
    }
}
