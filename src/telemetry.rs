//! What the server tells of itself: log lines on standard error, and traces to a collector.
//!
//! One line an event, whatever the event says. A panic is an event like any other, so that one caught inside a turn
//! reads as a log line and not as a bare backtrace. The spans that a log line stands in are also those of the traces;
//! which of them are logged is the log's own setting and changes nothing about what is sent.

mod otlp;
mod spans;
mod trace_ids;

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::{self, IsTerminal as _},
    panic::{self, PanicHookInfo},
    sync::Arc,
    time::Duration,
};

use axum::http::HeaderMap;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanProcessor as _};
use tracing::{Metadata, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::FilterFn, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use throughline_actors::clock::{Clock, Minter};
use throughline_workflows::time::Timestamp;

use crate::config::{Log, LogFormat, Traces};

pub use self::otlp::TracesError;

/// Why logging cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The directives cannot be read.
    #[error("{text:?} is not a level or a list of directives such as info,throughline=debug: {reason}")]
    Filter {
        /// What was given.
        text: String,
        /// What the reader of directives says.
        reason: String,
    },
    /// Something in this process logs already.
    #[error("logging has already begun in this process")]
    Begun,
    /// The traces cannot be sent.
    #[error(transparent)]
    Traces(#[from] TracesError),
}

/// What was begun, to be ended before the process does.
#[derive(Debug)]
#[must_use = "what has not been sent is lost unless it is ended"]
pub struct Telemetry {
    traces: Option<Arc<BatchSpanProcessor>>,
}

impl Telemetry {
    /// Sends what is still to be sent, and waits for that at most `within`.
    pub fn end(self, within: Duration) {
        if let Some(Err(error)) = self.traces.map(|traces| traces.shutdown_with_timeout(within)) {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// Begins to log as `log` says, and to send traces as `traces` says; `rust_log` goes before the log's filter where it
/// is given and not empty.
///
/// # Errors
/// The filter cannot be read, the traces cannot be sent, or logging has already begun.
pub fn start(log: &Log, rust_log: Option<&str>, traces: &Traces) -> Result<Telemetry, TelemetryError> {
    let text = rust_log.filter(|text| !text.trim().is_empty()).unwrap_or(&log.filter);
    let filter = EnvFilter::try_new(text)
        .map_err(|error| TelemetryError::Filter { text: text.to_owned(), reason: error.to_string() })?;
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match log.format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    // Only its chance is of interest here.
    let process = Minter::new(Clock::system(Timestamp::from_millis(0))).mint();
    let processor = match &traces.endpoint {
        Some(endpoint) => Some(Arc::new(otlp::processor(traces, endpoint.as_str())?)),
        None => None,
    };
    let sent = processor.clone().map(|processor| {
        spans::Spans::new(processor, traces.ratio.thousandths(), process).with_filter(traced())
    });
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter)).with(sent);
    subscriber.try_init().map_err(|_| TelemetryError::Begun)?;
    panic::set_hook(Box::new(log_panic));
    Ok(Telemetry { traces: processor })
}

/// The span of the caller's own trace that a request names, where it names one (W3C Trace Context, `traceparent`).
///
/// Ours is linked to it and goes its own way: its id is the one under which everything that follows is recorded, and
/// whether it is sent is for the operator to say, not for a stranger.
pub fn caller(headers: &HeaderMap) -> Option<&str> {
    let named = headers.get("traceparent").and_then(|value| value.to_str().ok());
    named.filter(|named| trace_ids::traceparent(named).is_some())
}

/// What a trace is made of: the spans of our own crates, and the warnings inside them.
fn traced() -> FilterFn {
    let ours: fn(&Metadata<'_>) -> bool = |about| {
        about.target().starts_with("throughline")
            && (about.is_span() || *about.level() <= tracing::Level::WARN)
    };
    FilterFn::new(ours).with_max_level_hint(LevelFilter::DEBUG)
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let message = one_line(info.payload_as_str().unwrap_or("a panic without words"));
    let location = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => {
            let backtrace = backtrace.to_string();
            tracing::error!(panic.location = %location, panic.backtrace = ?backtrace, "panic: {message}");
        }
        _ => tracing::error!(panic.location = %location, "panic: {message}"),
    }
}

fn one_line(text: &str) -> String {
    text.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Page {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn a_panic_is_one_line_that_says_where() {
        let page = Page::default();
        let subscriber = fmt().with_ansi(false).with_writer(page.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let before = panic::take_hook();
            panic::set_hook(Box::new(log_panic));
            let outcome = panic::catch_unwind(|| panic!("a turn\nthat fails"));
            panic::set_hook(before);
            assert!(outcome.is_err());
        });
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        let line = text.lines().find(|line| line.contains("panic: a turn; that fails")).unwrap();
        assert!(line.contains("ERROR") && line.contains("telemetry.rs"), "{text}");
    }

    #[test]
    fn directives_that_cannot_be_read_are_shown() {
        let error =
            start(&Log::default(), Some("throughline=loud"), &Traces::default()).unwrap_err().to_string();
        assert!(error.contains("throughline=loud"), "{error}");
    }
}
