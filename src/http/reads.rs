//! The audit of reads: whoever reads personal data, or is refused it, is recorded before the answer leaves.
//!
//! Which paths show personal data stands in one table, [`SHOWN`]; a test holds it complete. What is read at the same time
//! shares one small commit, and the same caller who reads the same thing again within [`REPEATED_WITHIN`] is not recorded
//! again. A read that cannot be recorded is not answered.

use std::{
    collections::HashMap,
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use axum::http::{Method, StatusCode, Uri};
use throughline_actors::{
    backoff,
    clock::Stopwatch,
    engine::{Engine, SendError},
    order::CommandMeta,
};
use throughline_workflows::{
    access::{Access, AccessOutcome, BATCH_MAX, Command, Reads, day_of},
    ids::{OperationId, TenantId, TokenId},
    workflow::{By, Cause, CauseKind},
};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::{auth::Caller, problem::Problem};

/// The paths that show personal data, each with what it shows. In that of an entity the kind says so itself.
pub(super) const SHOWN: &[(&str, &str)] = &[
    ("/api/v1/conversations", "conversations"),
    ("/api/v1/conversations/{id}", "conversation"),
    ("/api/v1/conversations/{id}/messages", "conversation"),
    ("/api/v1/conversations/{id}/sla/explain", "conversation"),
    ("/api/v1/conversations/{id}/attachments/{message_id}/{part}", "conversation"),
    ("/api/admin/communications", "conversations"),
    ("/api/admin/communications/{id}", "conversation"),
    ("/api/v1/customers", "customers"),
    ("/api/v1/customers/{id}", "customer"),
    ("/api/v1/customers/{id}/timeline", "customer"),
    ("/api/v1/customers/{id}/candidates", "customer"),
    ("/api/v1/customers/{id}/export", "customer"),
    ("/api/v1/resolutions", "resolutions"),
    ("/api/v1/resolutions/{id}", "resolution"),
    ("/api/v1/silence", "conversations"),
    ("/api/v1/desk", "conversations"),
    ("/api/v1/events", "events"),
    ("/api/v1/system/actors/{kind}/{id}", "{kind}"),
    ("/api/v1/system/actors/{kind}/{id}/history", "{kind}"),
    ("/api/v1/system/actors/{kind}/{id}/diff", "{kind}"),
    ("/api/v1/system/dead-letters", "dead_letters"),
    ("/api/v1/system/dead-letters/{id}", "dead_letter"),
    ("/api/v1/system/replay", "journal"),
    ("/api/v1/system/journal", "journal"),
    ("/api/v1/system/backup", "backup"),
];

/// The kinds of entities that hold nothing about a customer.
const IMPERSONAL_KINDS: &[&str] =
    &["access", "agent", "credential", "directory", "endpoint", "operation", "policy", "schedule", "team"];

/// The same caller reading the same thing within this span is one read.
const REPEATED_WITHIN: Duration = Duration::from_secs(60);
/// How many reads are remembered so.
const REMEMBERED_MAX: usize = 16 * 1024;
/// Tries to record a batch while too much waits to be written.
const TRIES_MAX: u32 = 5;
/// How many reads may wait to be recorded.
const WAITING_MAX: usize = 4 * 1024;

/// Who asked, once that is known: filled by whatever authenticates.
#[derive(Clone, Default)]
pub(crate) struct Asker(std::sync::Arc<OnceLock<Caller>>);

impl Asker {
    /// It is this one.
    pub(crate) fn is(&self, caller: &Caller) {
        let _ = self.0.set(caller.clone()); // The first one is the request's.
    }
}

/// What of a request is kept until its answer is there.
pub(super) struct Asked {
    noun: String,
    subject: Option<Uuid>,
    path: String,
    tenant: Option<TenantId>,
}

/// What the request wants to read; none where that shows no personal data.
pub(super) fn asked(method: &Method, pattern: &str, uri: &Uri) -> Option<Asked> {
    let (_, noun) = SHOWN.iter().find(|(shown, _)| method == Method::GET && *shown == pattern)?;
    let named = |name: &str| {
        let place = pattern.split('/').position(|part| part == name)?;
        uri.path().split('/').nth(place)
    };
    let query: HashMap<_, _> =
        url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let noun = if *noun == "{kind}" { named("{kind}").unwrap_or_default() } else { noun };
    if IMPERSONAL_KINDS.contains(&noun) {
        return None;
    }
    let subject = named("{id}").or(query.get("customer_id").map(String::as_str));
    Some(Asked {
        noun: noun.to_owned(),
        subject: subject.and_then(|id| id.parse().ok()),
        path: uri.path().to_owned(),
        tenant: query.get("tenant").and_then(|tenant| tenant.parse().ok()),
    })
}

/// Records reads.
pub(crate) struct Audit {
    queue: mpsc::Sender<Waiting>,
    lately: Mutex<HashMap<Seen, Stopwatch>>,
}

/// A read that was recorded lately.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Seen {
    token: TokenId,
    tenant: TenantId,
    noun: String,
    subject: Option<Uuid>,
    refused: bool,
}

/// A read on its way to the journal.
struct Waiting {
    tenant: TenantId,
    access: Access,
    done: oneshot::Sender<bool>,
}

impl Audit {
    /// Records by `engine`, on a task that ends with what this makes.
    pub(super) fn start(engine: Engine) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        tokio::spawn(record_all(engine, waiting));
        Self { queue, lately: Mutex::default() }
    }

    /// Returns once what was answered with `status` is recorded, where it is to be.
    ///
    /// # Errors
    /// 503 if it cannot be recorded.
    pub(super) async fn note(
        &self,
        engine: &Engine,
        asked: Asked,
        asker: &Asker,
        status: StatusCode,
    ) -> Result<(), Problem> {
        let outcome = match status {
            status if status.is_success() => AccessOutcome::Read,
            StatusCode::FORBIDDEN => AccessOutcome::Refused,
            _ => return Ok(()),
        };
        let Some(caller) = asker.0.get() else { return Ok(()) };
        let Asked { noun, subject, path, tenant } = asked;
        let tenant = tenant.filter(|tenant| caller.operator && engine.policies(tenant).is_some());
        let tenant = tenant.unwrap_or_else(|| caller.tenant.clone());
        let seen = Seen {
            token: caller.token_id,
            tenant: tenant.clone(),
            noun: noun.clone(),
            subject,
            refused: outcome == AccessOutcome::Refused,
        };
        if self.was_lately(&seen) {
            return Ok(());
        }
        let access = Access {
            at: engine.now(),
            by: caller.by(),
            token_id: caller.token_id,
            role: caller.role,
            noun,
            subject,
            path,
            outcome,
        };
        let (done, recorded) = oneshot::channel();
        let sent = self.queue.send(Waiting { tenant, access, done }).await.is_ok();
        if sent && recorded.await.unwrap_or(false) {
            self.remember(seen);
            return Ok(());
        }
        Err(Problem::unreadable("a read could not be recorded for the audit"))
    }

    fn was_lately(&self, seen: &Seen) -> bool {
        let lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        lately.get(seen).is_some_and(|since| since.elapsed() < REPEATED_WITHIN)
    }

    fn remember(&self, seen: Seen) {
        let mut lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        if lately.len() >= REMEMBERED_MAX {
            lately.retain(|_, since| since.elapsed() < REPEATED_WITHIN);
        }
        if lately.len() < REMEMBERED_MAX {
            lately.insert(seen, Stopwatch::start());
        }
    }
}

/// Records what waits, all of one tenant together: while one batch is being written the next one gathers.
async fn record_all(engine: Engine, mut waiting: mpsc::Receiver<Waiting>) {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let mut by_tenant: HashMap<TenantId, (Vec<Access>, Vec<oneshot::Sender<bool>>)> = HashMap::new();
        for Waiting { tenant, access, done } in batch.drain(..) {
            let (accesses, waiters) = by_tenant.entry(tenant).or_default();
            accesses.push(access);
            waiters.push(done);
        }
        let all = by_tenant.into_iter().map(|(tenant, (accesses, waiters))| {
            let engine = &engine;
            async move {
                let recorded = record(engine, &tenant, accesses).await;
                for waiter in waiters {
                    let _ = waiter.send(recorded); // The reader may have stopped waiting.
                }
            }
        });
        futures::future::join_all(all).await;
    }
}

async fn record(engine: &Engine, tenant: &TenantId, accesses: Vec<Access>) -> bool {
    // The same batch on every try: one that was recorded after all is recorded once.
    let command = Command::Record { batch_id: OperationId(engine.mint()), accesses };
    let day = day_of(engine.now());
    for tries in 1..=TRIES_MAX {
        let meta = CommandMeta {
            by: By::engine(),
            cause: Cause { kind: CauseKind::Command, id: "reads".to_owned() },
            correlation: engine.mint(),
            idempotency: None,
        };
        match engine.send::<Reads>(tenant, day, command.clone(), meta).await {
            Ok(_) => return true,
            Err(SendError::Busy | SendError::Unknown) if tries < TRIES_MAX => {
                tokio::time::sleep(backoff::hand_over(tries)).await;
            }
            Err(error) => {
                tracing::error!(%tenant, %error, "reads of personal data could not be recorded and are not answered");
                return false;
            }
        }
    }
    false
}

/// Whether the table knows the path.
#[cfg(test)]
pub(super) fn is_shown(pattern: &str) -> bool {
    SHOWN.iter().any(|(shown, _)| *shown == pattern)
}
