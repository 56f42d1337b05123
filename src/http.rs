//! The door: webhooks, the API and its document, health.
//!
//! [`router`] is all of it, over one [`Edge`]. A path that the document does not name answers 404, because router and
//! document are made from the same declarations. The engine is reached through its two handles only: commands by
//! [`Engine`], lists by its views. Handlers are thin: an extractor refuses, a workflow decides, a view shows.

mod api;
mod auth;
mod change;
mod events;
mod extract;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod health;
mod latency;
mod limits;
mod metrics;
mod problem;
mod reads;
mod recount;
mod surround;
#[cfg(test)]
mod tests;
mod webhooks;

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock, atomic::AtomicU64},
    time::Duration,
};

use axum::{
    Router,
    http::{Method, Uri},
    middleware,
};
use throughline_actors::{clock::Stopwatch, engine::Engine, introspect::Outstanding};
use throughline_workflows::{ids::TenantId, policy_book::PolicyFile};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        self,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use self::{
    auth::Remembered,
    limits::Admission,
    problem::{Kind, Problem, ProblemBody},
    reads::Audit,
    recount::{Recount, Walked},
};
use crate::{alarms::target::Networks, performers::Sends};

pub use self::{
    auth::{FirstAdmin, FirstAdminError, ensure_first_admin},
    webhooks::{Door, Doors},
};

/// What the door must know of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSettings {
    /// The largest body that a request may carry, in bytes.
    pub body_max: usize,
    /// How long a request waits for room before it is answered 503.
    pub webhook_patience: Duration,
    /// Whether `server.public_url` leads to this machine only.
    pub public_url_is_loopback: bool,
}

/// What every handler shares.
pub struct Edge {
    /// The running engine.
    pub engine: Engine,
    /// The doors of all tenants.
    doors: RwLock<Doors>,
    /// What was configured.
    pub settings: HttpSettings,
    admission: Admission,
    remembered: Remembered,
    /// Records who reads personal data.
    audit: Audit,
    /// Makes what a new tenant needs.
    new_tenant: TenantMaker,
    /// Why new messages are refused at this moment, where they are.
    refuses_inbound: Box<dyn Fn() -> Option<String> + Send + Sync>,
    /// Webhooks refused for their signature since the start.
    refused_webhooks: AtomicU64,
    /// How long webhooks took that were answered with a 2xx.
    webhook_latency: latency::Latency,
    /// Since when this edge is there, by the machine's time.
    started: Stopwatch,
    /// Cancelled when the door closes: what would go on for ever ends then.
    closing: CancellationToken,
    /// Where endpoints may be.
    networks: Networks,
    /// Whether only this machine reaches the listener.
    listener_is_loopback: bool,
    /// The folder whose secrets belong into a backup.
    data_folder: Option<PathBuf>,
    /// Who follows events at this moment.
    followers: Arc<Semaphore>,
    tally: metrics::Tally,
    /// What is outstanding, as it was last counted.
    outstanding: Arc<Recount<Outstanding>>,
    /// What the lists of conversations add up to, as it was last counted.
    conversations: Arc<Recount<metrics::OfTenants>>,
}

/// Makes what a tenant needs, given its name and the one customers know it by.
type TenantMaker = Box<dyn Fn(&TenantId, Option<&str>) -> Result<NewTenant, String> + Send + Sync>;

/// What a tenant needs that is added while the server runs.
pub struct NewTenant {
    /// Its doors, each with its path.
    pub doors: Vec<(String, Door)>,
    /// What the configuration says of its policy.
    pub policy: PolicyFile,
}

impl Edge {
    /// An edge over a running engine. To be made where tasks can be spawned.
    pub fn new(engine: Engine, doors: Doors, settings: HttpSettings) -> Self {
        let started_at = engine.last_seq();
        Self {
            audit: Audit::start(engine.clone()),
            new_tenant: Box::new(|_, _| Err("this server takes in no tenants".to_owned())),
            engine,
            doors: RwLock::new(doors),
            admission: Admission::new(settings.body_max, settings.webhook_patience),
            settings,
            remembered: Remembered::default(),
            refuses_inbound: Box::new(|| None),
            refused_webhooks: AtomicU64::new(0),
            webhook_latency: latency::Latency::default(),
            started: Stopwatch::start(),
            closing: CancellationToken::new(),
            networks: Networks::default(),
            listener_is_loopback: false,
            data_folder: None,
            followers: Arc::new(Semaphore::new(events::FOLLOWERS_MAX)),
            tally: metrics::Tally::new(started_at, Sends::default()),
            outstanding: Arc::default(),
            conversations: Arc::default(),
        }
    }

    /// The same edge, which asks `make` for what a new tenant needs: its name and the one customers know it by.
    #[must_use]
    pub fn taking_in_tenants(
        mut self,
        make: impl Fn(&TenantId, Option<&str>) -> Result<NewTenant, String> + Send + Sync + 'static,
    ) -> Self {
        self.new_tenant = Box::new(make);
        self
    }

    /// All that is outstanding, as it is now or, where it is much, as it was a moment ago.
    async fn outstanding(&self) -> Result<Arc<Outstanding>, Problem> {
        let engine = self.engine.clone();
        let walk = async move {
            let counted = tokio::task::spawn_blocking(move || engine.outstanding()).await;
            let figures = counted.map_err(|error| error.to_string()).flatten()?;
            Ok::<_, String>(Walked { items: figures.items, figures })
        };
        self.outstanding.figures(walk).await.map_err(Problem::unreadable)
    }

    /// Whether there is such a tenant.
    fn has_tenant(&self, tenant: &TenantId) -> bool {
        self.engine.policies(tenant).is_some()
    }

    /// Takes in a tenant that was added: its policy first, then its doors. One that is here already stays as it is.
    async fn take_in(&self, tenant: &TenantId, title: Option<&str>) -> Result<(), String> {
        if self.has_tenant(tenant) {
            return Ok(());
        }
        let NewTenant { doors, policy } = (self.new_tenant)(tenant, title)?;
        self.engine.add_tenant(tenant.clone(), policy).await.map_err(|error| error.to_string())?;
        let mut open = self.doors.write().unwrap_or_else(PoisonError::into_inner);
        for (path, door) in doors {
            open.open(tenant.clone(), path, door);
        }
        Ok(())
    }

    /// The tenant's door at `path`.
    fn door(&self, tenant: &TenantId, path: &str) -> Option<Door> {
        self.doors.read().unwrap_or_else(PoisonError::into_inner).at(tenant, path).cloned()
    }

    /// The same edge, which ends what would go on for ever once `closing` is cancelled.
    #[must_use]
    pub fn closing(mut self, closing: CancellationToken) -> Self {
        self.closing = closing;
        self
    }

    /// The same edge, whose endpoints may be in these networks.
    #[must_use]
    pub fn posting_to(mut self, networks: Networks) -> Self {
        self.networks = networks;
        self
    }

    /// The same edge, which counts what channels were given to send.
    #[must_use]
    pub fn counting(mut self, sends: Sends) -> Self {
        self.tally = metrics::Tally::new(self.engine.last_seq(), sends);
        self
    }

    /// The same edge, which knows whether only this machine reaches its listener.
    #[must_use]
    pub fn listening_on_loopback(mut self, loopback: bool) -> Self {
        self.listener_is_loopback = loopback;
        self
    }

    /// The same edge, whose backups hold the secrets in this data folder.
    #[must_use]
    pub fn backing_up(mut self, data_folder: PathBuf) -> Self {
        self.data_folder = Some(data_folder);
        self
    }

    /// The same edge, which asks `why` whether new messages are refused at a moment, to say so when it is asked
    /// whether it is ready.
    #[must_use]
    pub fn refusing_inbound(mut self, why: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        self.refuses_inbound = Box::new(why);
        self
    }
}

/// Everything that is served. Serve it with `ConnectInfo<SocketAddr>`: unsigned webhooks are taken by peer.
pub fn router(edge: Arc<Edge>) -> Router {
    let (declared, document) = declared().split_for_parts();
    Router::new()
        .merge(declared)
        .merge(SwaggerUi::new("/api/docs").url("/api/openapi.json", document))
        .fallback(nothing_here)
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn_with_state(edge.clone(), surround::surround))
        .with_state(edge)
}

/// Every path with its description.
fn declared() -> OpenApiRouter<Arc<Edge>> {
    let mut document = Document::openapi();
    let intro = document.info.description.take().unwrap_or_default();
    let problems = problem::documentation();
    document.info.description = Some(format!("{intro}\n\n## Problems\n\n{problems}"));
    let mut router = OpenApiRouter::with_openapi(document)
        .merge(health::routes())
        .merge(webhooks::routes())
        .merge(events::routes())
        .merge(metrics::routes())
        .merge(api::routes());
    name_operations(router.get_openapi_mut());
    router
}

/// Gives every operation a name that no other has, for whoever makes a client from the document: `post` and
/// `/api/v1/customers/{id}/identities` make `post_customers_id_identities`.
fn name_operations(document: &mut openapi::OpenApi) {
    for (path, item) in &mut document.paths.paths {
        let words: Vec<&str> = path
            .split('/')
            .map(|word| word.trim_matches(['{', '}']))
            .filter(|word| !["", "api", "v1"].contains(word))
            .collect();
        let words = words.join("_").replace('-', "_");
        let operations = [
            ("get", &mut item.get),
            ("post", &mut item.post),
            ("put", &mut item.put),
            ("patch", &mut item.patch),
            ("delete", &mut item.delete),
        ];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                operation.operation_id = Some(format!("{method}_{words}"));
            }
        }
    }
}

/// What the document says beside the paths.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Throughline",
        description = "A self-hosted customer-care engine.\n\nTimes are RFC 3339 in UTC, ids are UUIDs. Every POST that \
            changes something honours `Idempotency-Key`: the same key with the same body gives the same answer and one \
            effect. A change answers `seq`; pass it as `min_seq` to a list that must show the change. A field that is \
            unknown is absent."
    ),
    components(schemas(ProblemBody)),
    security(("bearer" = [])),
    modifiers(&Bearer)
)]
struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

async fn nothing_here(uri: Uri) -> Problem {
    Problem::with(Kind::NotFound, format!("There is no {}; /api/docs lists the paths.", uri.path()))
}

async fn no_such_method(method: Method, uri: Uri) -> Problem {
    Problem::with(Kind::MethodNotAllowed, format!("{} has no {method}.", uri.path()))
}
