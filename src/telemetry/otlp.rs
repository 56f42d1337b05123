//! Spans on their way to a collector: OTLP over HTTP, encoded as protobuf.
//!
//! A thread of its own collects what is over, sends it every few seconds by a client and a runtime of its own, and
//! throws away what does not fit its queue. So nothing of the server waits for a collector, reachable or not.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use opentelemetry::KeyValue;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchConfigBuilder, BatchSpanProcessor, SpanProcessor as _},
};

use crate::{config::Traces, tls};

/// The spans that wait to be sent, at most.
const QUEUE_MAX: usize = 8192;
/// The spans of one request.
const BATCH_MAX: usize = 512;
/// Between two requests, where fewer spans than a batch are waiting.
const EVERY: Duration = Duration::from_secs(2);
/// How long a collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why traces cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The client cannot be made.
    #[error("traces: a client for the collector cannot be made: {0}")]
    Client(String),
    /// The exporter refuses what it is given.
    #[error("traces.endpoint: {0}")]
    Exporter(String),
}

/// The processor that sends spans to `traces.endpoint`.
pub(super) fn processor(traces: &Traces, endpoint: &str) -> Result<BatchSpanProcessor, TracesError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Client::new(endpoint)?)
        .with_endpoint(endpoint)
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(PATIENCE)
        .with_headers(headers(traces))
        .build()
        .map_err(|error| TracesError::Exporter(error.to_string()))?;
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE_MAX)
        .with_max_export_batch_size(BATCH_MAX)
        .with_scheduled_delay(EVERY)
        .build();
    let mut processor = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
    let resource = Resource::builder_empty()
        .with_service_name(traces.service_name.clone())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    processor.set_resource(&resource);
    Ok(processor)
}

fn headers(traces: &Traces) -> HashMap<String, String> {
    let values = traces.headers.iter().filter_map(|(name, value)| Some((name, value.newest()?)));
    values.map(|(name, value)| (name.clone(), value.to_owned())).collect()
}

/// Asks the collector, on the exporter's own thread.
struct Client {
    http: reqwest::Client,
    /// The exporter's thread has no runtime around it.
    runtime: Arc<tokio::runtime::Runtime>,
    endpoint: String,
    /// Whether the last request failed: that is said once, and not every two seconds.
    failing: AtomicBool,
}

impl Client {
    fn new(endpoint: &str) -> Result<Self, TracesError> {
        let http = tls::client()
            .connect_timeout(PATIENCE)
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| TracesError::Client(error.to_string()))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| TracesError::Client(error.to_string()))?;
        Ok(Self {
            http,
            runtime: Arc::new(runtime),
            endpoint: endpoint.to_owned(),
            failing: AtomicBool::new(false),
        })
    }

    async fn ask(&self, request: Request<Bytes>) -> Result<Response<Bytes>, reqwest::Error> {
        let mut answer = self.http.execute(request.try_into()?).await?;
        let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
        let mut response = Response::new(answer.bytes().await?);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }

    /// Says what changes: a collector that no longer takes spans, and one that takes them again.
    fn note(&self, problem: Option<String>) {
        let was_failing = self.failing.swap(problem.is_some(), Ordering::Relaxed);
        match problem {
            Some(problem) if !was_failing => tracing::warn!(
                endpoint = %self.endpoint, problem,
                "the collector takes no traces; they are thrown away until it does"
            ),
            None if was_failing => {
                tracing::info!(endpoint = %self.endpoint, "the collector takes traces again")
            }
            Some(_) | None => {}
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.endpoint)
    }
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.runtime.block_on(self.ask(request));
        match &answer {
            Ok(answer) if answer.status().is_success() => self.note(None),
            Ok(answer) => self.note(Some(format!("it answers {}", answer.status()))),
            // An error's own text holds the address with whatever the operator wrote into it, which is known here.
            Err(error) => self.note(Some(error.to_string())),
        }
        Ok(answer?)
    }
}
