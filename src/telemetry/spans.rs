//! Spans of the log as spans of a trace: which belong to a trace, whose children they are, and what they say.
//!
//! A span belongs to the trace that its field `trace.id` names, or to that of the span around it; one without either
//! is not sent. A span without another around it was begun by something that happened earlier, perhaps in another
//! process: its parent is the turn that asked for it where it names that turn, else the door of the trace. Fields
//! become attributes under their own names. Nothing of the log's events is sent but the words of a warning, which
//! hold neither what customers write nor who they are.

use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, TraceFlags, Value,
    trace::{Link, SpanContext, SpanKind, Status, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks, SpanProcessor};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};
use uuid::Uuid;

use super::trace_ids;

/// The longest text of an attribute or a status, in bytes.
const TEXT_MAX: usize = 256;

/// Spans that begin a trace: what they lead to names them as its parent.
const BEGINNINGS: &[&str] = &["http.request", "http.webhook", "timer"];

/// Gives the spans of our own crates to a processor.
pub(super) struct Spans<P> {
    processor: Arc<P>,
    /// Which traces are sent, in thousandths.
    ratio: u16,
    /// This process, as a part of the ids of spans that no other process knows.
    process: Uuid,
    begun: AtomicU64,
    scope: InstrumentationScope,
}

impl<P> Spans<P> {
    pub(super) fn new(processor: Arc<P>, ratio: u16, process: Uuid) -> Self {
        let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        Self { processor, ratio, process, begun: AtomicU64::new(0), scope }
    }
}

/// A span of a trace that is not over.
struct Begun {
    correlation: Uuid,
    id: SpanId,
    parent: SpanId,
    at: SystemTime,
    link: Option<SpanContext>,
    said: Said,
    failed: Option<String>,
}

/// What a span says of itself.
#[derive(Default)]
struct Said {
    attributes: Vec<KeyValue>,
    correlation: Option<Uuid>,
    traceparent: Option<String>,
    kind: Option<String>,
    entity: Option<Uuid>,
    version: Option<u64>,
}

impl<P, S> Layer<S> for Spans<P>
where
    P: SpanProcessor + 'static,
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, cx: Context<'_, S>) {
        let Some(span) = cx.span(id) else { return };
        let mut said = Said::default();
        attributes.record(&mut said);
        let around = span.parent().and_then(|parent| {
            let extensions = parent.extensions();
            extensions.get::<Begun>().map(|begun| (begun.correlation, begun.id))
        });
        let Some(correlation) = said.correlation.or(around.map(|(correlation, _)| correlation)) else {
            return;
        };
        if !trace_ids::is_sampled(correlation, self.ratio) {
            return;
        }
        let around = around.filter(|(of, _)| *of == correlation).map(|(_, id)| id);
        let begins = BEGINNINGS.contains(&span.name());
        let parent = around.unwrap_or_else(|| match (said.entity, said.version) {
            _ if begins => SpanId::INVALID,
            // Work that a turn asked for.
            (Some(entity), Some(version)) => trace_ids::turn(entity, version),
            _ if span.name() == "turn" => SpanId::INVALID,
            _ => trace_ids::beginning(correlation),
        });
        let id = if begins && around.is_none() {
            trace_ids::beginning(correlation)
        } else {
            trace_ids::passing(self.process, self.begun.fetch_add(1, Ordering::Relaxed))
        };
        let link =
            said.traceparent.as_deref().and_then(trace_ids::traceparent).map(|(trace, span)| {
                SpanContext::new(trace, span, TraceFlags::SAMPLED, true, TraceState::NONE)
            });
        let begun = Begun { correlation, id, parent, at: now(), link, said, failed: None };
        span.extensions_mut().insert(begun);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, cx: Context<'_, S>) {
        let Some(span) = cx.span(id) else { return };
        let mut extensions = span.extensions_mut();
        let Some(begun) = extensions.get_mut::<Begun>() else { return };
        values.record(&mut begun.said);
        // A turn knows which version it made once it has: that is the name by which later work knows it.
        if span.name() == "turn"
            && let (Some(entity), Some(version)) = (begun.said.entity, begun.said.version)
        {
            begun.id = trace_ids::turn(entity, version);
        }
    }

    fn on_event(&self, event: &Event<'_>, cx: Context<'_, S>) {
        if *event.metadata().level() > Level::WARN {
            return;
        }
        let Some(span) = cx.event_span(event) else { return };
        let mut extensions = span.extensions_mut();
        if let Some(begun) = extensions.get_mut::<Begun>() {
            let mut words = Words::default();
            event.record(&mut words);
            begun.failed = Some(words.0);
        }
    }

    fn on_close(&self, id: Id, cx: Context<'_, S>) {
        let Some(span) = cx.span(&id) else { return };
        let Some(begun) = span.extensions_mut().remove::<Begun>() else { return };
        let name = span.name();
        let mut attributes = begun.said.attributes;
        if let (Some(kind), Some(entity)) = (begun.said.kind, begun.said.entity) {
            attributes.push(KeyValue::new(format!("{kind}.id"), entity.to_string()));
        }
        let mut links = SpanLinks::default();
        links.links.extend(begun.link.map(Link::with_context));
        self.processor.on_end(SpanData {
            span_context: SpanContext::new(
                trace_ids::trace(begun.correlation),
                begun.id,
                TraceFlags::SAMPLED,
                false,
                TraceState::NONE,
            ),
            parent_span_id: begun.parent,
            parent_span_is_remote: false,
            span_kind: kind_of(name),
            name: Cow::Borrowed(name),
            start_time: begun.at,
            end_time: now(),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status: begun.failed.map_or(Status::Unset, Status::error),
            instrumentation_scope: self.scope.clone(),
        });
    }
}

fn kind_of(name: &str) -> SpanKind {
    match name {
        "http.request" | "http.webhook" => SpanKind::Server,
        "inbox.commit" => SpanKind::Producer,
        "intake" => SpanKind::Consumer,
        "channel.send" => SpanKind::Client,
        _ => SpanKind::Internal,
    }
}

impl Said {
    fn say(&mut self, field: &Field, value: impl Into<Value>) {
        self.attributes.push(KeyValue::new(field.name(), value));
    }

    fn text(&mut self, field: &Field, text: &str) {
        match field.name() {
            "trace.id" => self.correlation = text.parse().ok(),
            "traceparent" => self.traceparent = Some(text.to_owned()),
            name => {
                match name {
                    "entity.id" => self.entity = text.parse().ok(),
                    "entity.kind" => self.kind = Some(text.to_owned()),
                    _ => {}
                }
                self.say(field, clip(text).to_owned());
            }
        }
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if matches!(field.name(), "entity.version" | "turn.version") {
            self.version = Some(value);
        }
        self.say(field, i64::try_from(value).unwrap_or(i64::MAX));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.say(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.say(field, value);
    }
}

/// The words of an event, without its fields.
#[derive(Default)]
struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = clip(&format!("{value:?}")).to_owned();
        }
    }
}

fn clip(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_MAX)]
}

#[expect(
    clippy::disallowed_methods,
    reason = "a trace is laid beside those of other programs, so its times are the machine's, not the engine's"
)]
fn now() -> SystemTime {
    SystemTime::now()
}
