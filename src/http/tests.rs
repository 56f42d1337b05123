//! The door over an engine in memory.

mod audit;
mod cases;
mod doors;
mod events;
mod operate;
mod people;
mod policy;
mod policy_change;
mod records;
mod recovery;
mod server;
mod standing;
mod tenants;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::ConnectInfo,
    http::{HeaderMap, Request, StatusCode},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use throughline_actors::{
    clock::Clock,
    engine::{Engine, EngineBuilder},
    performer::{Attempt, HandOver, NoPerformer, Outcome, Performer},
};
use throughline_storage::{
    blobs::Blobs,
    journal::{Journal, JournalOptions},
    store::memory::{Faults, MemoryStore},
};
use throughline_workflows::{
    activity::{ConversationActivity, CustomerActivity, ResolutionActivity},
    conversation::{self, Conversation},
    customer::{self, Customer},
    ids::{ConversationId, ResolutionId, TenantId},
    policy::settings::Settings,
    policy_book::PolicyFile,
    resolution::{self, Resolution},
    time::{Span, Timestamp},
    words::SlaTier,
    workflow::ActivityError,
};
use tower::ServiceExt;

use super::{Door, Doors, Edge, FirstAdmin, HttpSettings, NewTenant, ensure_first_admin, router};
use crate::channels::{
    Adapter,
    email::{RawEmail, RawEmailSettings},
    generic::{Generic, GenericSettings},
    reply_token::ReplyKeys,
    twilio_sms::{TwilioSms, TwilioSmsSettings, status::TwilioSmsStatus},
};

/// The largest webhook: larger than the largest body of the API.
const BODY_MAX: usize = 3 * 1024 * 1024;

/// Performs what stays within the engine; of the world outside there is none, or one that takes every message.
#[derive(Clone, Copy)]
struct Within {
    outside: Outside,
}

/// What becomes of a message to a customer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outside {
    /// It is refused: nobody is there.
    Nobody,
    /// Its channel takes it.
    Delivers,
    /// The first try fails and is to be made again in two hours; the second is taken.
    FailsOnce,
}

impl Performer<Conversation> for Within {
    async fn perform(&self, asked: ConversationActivity, attempt: Attempt) -> Outcome<conversation::Command> {
        match asked {
            ConversationActivity::TellCase { resolution_id, order } => {
                let conversation_id = ConversationId(attempt.entity);
                let command = resolution::Command::Take { resolution_id, conversation_id, order };
                Outcome::HandOver(HandOver::to::<Resolution>(resolution_id.0, command))
            }
            ConversationActivity::Send(_) if self.outside == Outside::FailsOnce && attempt.number == 1 => {
                let message = "the account is suspended".to_owned();
                let error = ActivityError { code: Some("401".to_owned()), message };
                Outcome::Retry { after: Some(Span::from_hours(2)), error }
            }
            ConversationActivity::Send(message) if self.outside != Outside::Nobody => {
                let (message_id, at) = (message.message_id, attempt.now);
                let delivery = conversation::Delivery::Accepted { at, provider_message_id: None };
                Outcome::Done(Some(conversation::Command::RecordDelivery { message_id, delivery }))
            }
            other => Performer::<Conversation>::perform(&NoPerformer, other, attempt).await,
        }
    }
}

impl Performer<Resolution> for Within {
    async fn perform(&self, asked: ResolutionActivity, attempt: Attempt) -> Outcome<resolution::Command> {
        let ResolutionActivity::TellConversation { conversation_id, report } = asked;
        let resolution_id = ResolutionId(attempt.entity);
        let command = conversation::Command::HearCase { resolution_id, report };
        Outcome::HandOver(HandOver::to::<Conversation>(conversation_id.0, command))
    }
}

impl Performer<Customer> for Within {
    async fn perform(&self, asked: CustomerActivity, attempt: Attempt) -> Outcome<customer::Command> {
        let CustomerActivity::TellConversations { standing } = asked;
        crate::performers::standing::tell_conversations(standing, &attempt).await
    }
}

/// What the configuration says of a tenant's policy: premium customers are answered first within half an hour, and of
/// `acme`'s it sets the interval of updates.
fn policy_of(tenant: &TenantId) -> PolicyFile {
    let mut settings = Settings { name: tenant.to_string(), ..Settings::default() };
    settings.sla.tiers.entry(SlaTier::Premium).or_default().default.first_response =
        Some(Span::from_mins(30));
    if tenant.as_str() != "acme" {
        return PolicyFile::open(&settings);
    }
    settings.updates.interval = Span::from_hours(8);
    PolicyFile { owned: vec!["updates.interval".to_owned()], ..PolicyFile::open(&settings) }
}

/// A running engine behind its door.
struct World {
    router: Router,
    edge: Arc<Edge>,
    engine: Engine,
    /// The first admin's token.
    admin: String,
    faults: Faults,
    folder: TempDir,
}

/// What was answered.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl World {
    async fn new() -> Self {
        Self::with_auth_tokens(Vec::new()).await
    }

    async fn with_auth_tokens(auth_tokens: Vec<String>) -> Self {
        Self::with(auth_tokens, Within { outside: Outside::Nobody }).await
    }

    /// One in which every message to a customer is taken by its channel.
    async fn delivering() -> Self {
        Self::with(Vec::new(), Within { outside: Outside::Delivers }).await
    }

    /// Tenants `default` and `acme`, with doors for sms, mail and the generic channel `web`.
    async fn with(auth_tokens: Vec<String>, within: Within) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = MemoryStore::new();
        let faults = store.faults();
        let journal = Journal::open(Arc::new(store), JournalOptions::default()).unwrap();
        let start: Timestamp = "2026-11-21T09:00:00Z".parse().unwrap();
        let tenants: Vec<TenantId> = vec!["default".parse().unwrap(), "acme".parse().unwrap()];
        let blobs = Arc::new(Blobs::open(folder.path().join("blobs")).unwrap());
        let builder = EngineBuilder::new(journal, blobs, Clock::manual(start))
            .policy_files(tenants.iter().map(|tenant| (tenant.clone(), policy_of(tenant))));
        let engine = crate::app::workflows(builder, within, within, NoPerformer).start().await.unwrap();
        let FirstAdmin::Made(admin) = ensure_first_admin(&engine, None).await.unwrap() else {
            panic!("a new store has no admin")
        };
        let mut doors = Doors::new();
        for tenant in &tenants {
            let replies = ReplyKeys::new(tenant.clone(), vec![b"key".to_vec()]);
            let generic =
                GenericSettings { name: "web".to_owned(), secrets: Vec::new(), replies: replies.clone() };
            let mail = RawEmailSettings {
                own_addresses: vec!["support@example.com".to_owned()],
                replies,
                secrets: Vec::new(),
            };
            let sms = TwilioSmsSettings { auth_tokens: auth_tokens.clone() };
            let mut open = |path: &str, adapter: Arc<dyn Adapter>| {
                let url = format!("http://127.0.0.1:8080/api/webhooks/{path}");
                doors.open(tenant.clone(), path, Door { adapter, channel: path.to_owned(), url });
            };
            open("generic/web", Arc::new(Generic::new(generic)));
            open("raw/email", Arc::new(RawEmail::new(mail)));
            open("twilio/sms/status", Arc::new(TwilioSmsStatus::new(sms.clone())));
            open("twilio/sms", Arc::new(TwilioSms::new(sms)));
        }
        let url = "http://127.0.0.1:8080/api/webhooks/generic/broken".to_owned();
        let broken = Door { adapter: Arc::new(doors::Broken), channel: "generic:broken".to_owned(), url };
        doors.open(TenantId::default_tenant(), "generic/broken", broken);
        let settings = HttpSettings {
            body_max: BODY_MAX,
            webhook_patience: Duration::from_millis(300),
            public_url_is_loopback: true,
        };
        let edge = Edge::new(engine.clone(), doors, settings).taking_in_tenants(|tenant, _| {
            let replies = ReplyKeys::new(tenant.clone(), vec![b"key".to_vec()]);
            let generic = GenericSettings { name: "web".to_owned(), secrets: Vec::new(), replies };
            let url = format!("http://127.0.0.1:8080/t/{tenant}/api/webhooks/generic/web");
            let door =
                Door { adapter: Arc::new(Generic::new(generic)), channel: "generic:web".to_owned(), url };
            Ok(NewTenant { doors: vec![("generic/web".to_owned(), door)], policy: policy_of(tenant) })
        });
        let edge = Arc::new(edge.backing_up(folder.path().to_owned()));
        Self { router: router(edge.clone()), edge, engine, admin, faults, folder }
    }

    async fn call(&self, mut request: Request<Body>) -> Answer {
        let peer = SocketAddr::from(([127, 0, 0, 1], 40_000));
        request.extensions_mut().insert(ConnectInfo(peer));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// Asks as `token`, with further headers.
    async fn ask(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        self.call(request.body(body).unwrap()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(&self.admin, "GET", path, None, &[]).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask(&self.admin, "POST", path, Some(body), &[]).await
    }

    /// A token of this role.
    async fn token(&self, role: &str, more: Value) -> String {
        let mut body = json!({ "role": role });
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        let answer = self.post("/api/v1/tokens", body).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.body["secret"].as_str().unwrap().to_owned()
    }

    /// A customer's message by the generic channel.
    async fn write(&self, id: &str, email: &str, text: &str) {
        let body = json!({ "id": id, "from": { "email": email, "name": "Ada" }, "text": text });
        let answer = self.ask("", "POST", "/api/webhooks/generic/web", Some(body), &[]).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        self.engine.settle().await.unwrap();
    }

    /// A conversation that a customer began, by its id.
    async fn conversation(&self) -> String {
        self.write("m-1", "ada@example.com", "My parcel has not come").await;
        let list = self.get("/api/v1/conversations").await;
        assert_eq!(list.body["total"], 1, "{}", list.body);
        list.body["items"][0]["id"].as_str().unwrap().to_owned()
    }
}

impl Answer {
    /// That this is a problem of the kind.
    #[track_caller]
    fn is_problem(&self, status: u16, kind: &str) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.body["type"], format!("/problems/{kind}"), "{}", self.body);
        assert_eq!(self.body["status"], status);
        self
    }

    fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap_or_default()
    }
}
