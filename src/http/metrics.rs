//! `GET /metrics`: the engine's figures for Prometheus, gathered when they are asked for.
//!
//! Gauges are read from the engine and its lists at each scrape. What is counted by topic is counted from the feed
//! since the last scrape, so that nobody pays for figures that nobody reads. Source: the OpenMetrics specification.

mod gather;
mod tally;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{ConnectInfo, FromRequestParts, Request, State},
    http::header,
    response::{IntoResponse, Response},
};
use prometheus_client::encoding::text::encode;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Edge,
    auth::Caller,
    problem::{Kind, Problem},
    webhooks::is_direct,
};

pub(super) use self::{
    gather::{OfTenants, of_conversations},
    tally::Tally,
};

/// The media type of the text form.
const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) fn routes() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// Figures for Prometheus, in the OpenMetrics text form. Needs an operator's token, or none at all on this machine
/// while the server listens there only.
#[utoipa::path(
    get, path = "/metrics", tag = "server",
    responses((status = 200, body = String, content_type = "application/openmetrics-text"), Problem)
)]
async fn metrics(State(edge): State<Arc<Edge>>, request: Request) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0);
    let here = edge.listener_is_loopback
        && peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback())
        && is_direct(&parts.uri, &parts.headers);
    if !here || parts.headers.contains_key(header::AUTHORIZATION) {
        Caller::from_request_parts(&mut parts, &edge).await?.must_operate()?;
    }
    let registry = gather::gather(&edge).await?;
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|error| Problem::with(Kind::Internal, error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response())
}
