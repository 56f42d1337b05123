//! The text message provider of a rehearsal: takes what it is asked to send as Twilio does, or refuses everything
//! while it is down.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use anyhow::Context as _;
use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::post,
};
use serde_json::json;
use url::form_urlencoded;

/// The account that the server is told it has.
pub(super) const ACCOUNT: &str = "AC00000000000000000000000000000000";

#[derive(Debug, Default)]
struct Desk {
    down: AtomicBool,
    taken: Mutex<Vec<String>>,
}

/// A running stand-in; it ends with the runtime that it runs on.
#[derive(Debug)]
pub(super) struct Provider {
    /// Where it answers.
    pub(super) base: String,
    desk: Arc<Desk>,
}

impl Provider {
    /// Starts one on a free port of this machine.
    pub(super) async fn start() -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.context("no free port")?;
        let base = format!("http://{}", listener.local_addr().context("no free port")?);
        let desk = Arc::new(Desk::default());
        let path = format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json");
        let router = Router::new().route(&path, post(take)).with_state(desk.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { base, desk })
    }

    /// From now on everything is refused, or taken again.
    pub(super) fn set_down(&self, down: bool) {
        self.desk.down.store(down, Ordering::SeqCst);
    }

    /// The texts that it took, the oldest first.
    pub(super) fn taken(&self) -> Vec<String> {
        self.desk.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn take(State(desk): State<Arc<Desk>>, form: Bytes) -> Response {
    if desk.down.load(Ordering::SeqCst) {
        let body = json!({ "code": 20503, "message": "Service unavailable", "status": 503 });
        return (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response();
    }
    let text =
        form_urlencoded::parse(&form).find(|(name, _)| name == "Body").map(|(_, text)| text.into_owned());
    let mut taken = desk.taken.lock().unwrap_or_else(PoisonError::into_inner);
    taken.push(text.unwrap_or_default());
    let body = json!({ "sid": format!("SM{:032x}", taken.len()), "status": "queued" });
    (StatusCode::CREATED, Json(body)).into_response()
}
