//! What surrounds every request: an id that joins all it leads to, a span for the log, and an answer whatever happens.

use std::{panic::AssertUnwindSafe, sync::Arc};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use throughline_actors::clock::Stopwatch;
use tracing::Instrument;

use crate::telemetry;

use super::{
    Edge,
    extract::Trace,
    problem::{Kind, Problem},
    reads::{self, Asker},
};

/// Runs a request. A panic in its handler becomes a 500 that names it, never a dropped connection.
///
/// Only method, path and status are logged: a query may hold what somebody is looking for.
pub(super) async fn surround(State(edge): State<Arc<Edge>>, mut request: Request, next: Next) -> Response {
    let trace = edge.engine.mint();
    request.extensions_mut().insert(Trace(trace));
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    // A webhook has a span of its own, which knows tenant and channel.
    let span = if path.contains("/api/webhooks/") {
        tracing::Span::none()
    } else {
        let caller = telemetry::caller(request.headers());
        tracing::info_span!("http.request", %method, %path, traceparent = caller, "trace.id" = %trace)
    };
    let pattern = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let asked = pattern.and_then(|pattern| reads::asked(&method, &pattern, request.uri()));
    let asker = Asker::default();
    if asked.is_some() {
        request.extensions_mut().insert(asker.clone());
    }
    async {
        let began = Stopwatch::start();
        let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        let mut response = answered.unwrap_or_else(|_| {
            tracing::error!(%method, %path, "trace.id" = %trace, "a handler panicked");
            Problem::with(Kind::Internal, "A fault of the server, noted in its log under the reference.")
                .reference(trace)
                .into_response()
        });
        if let Some(asked) = asked
            && let Err(problem) = edge.audit.note(&edge.engine, asked, &asker, response.status()).await
        {
            response = problem.into_response();
        }
        // What is answered is about persons; a cache on the way has no business with it.
        response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        let (status, micros) = (response.status().as_u16(), began.elapsed().as_micros());
        if response.status().is_server_error() {
            tracing::warn!(status, micros, %method, %path, "answered");
        } else {
            tracing::debug!(status, micros, "answered");
        }
        response
    }
    .instrument(span)
    .await
}
