//! Events as they happen: server-sent events over the durable feed, resumable by the `id` of the last one.
//!
//! Each follower reads the journal at their own pace, a window at a time, and nothing waits for them: one who reads
//! slowly only falls behind. Source: the HTML standard, "Server-sent events".

use std::{
    collections::{BTreeSet, VecDeque},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use axum::{
    extract::{Request, State},
    http::HeaderMap,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::stream;
use serde::Deserialize;
use throughline_actors::outside::OutsideEvent;
use throughline_workflows::{credential::Credential, role::Action, topic::Topic};
use tokio::sync::OwnedSemaphorePermit;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Edge,
    auth::Caller,
    extract::{Asked, word},
    problem::{Kind, Problem},
};

/// Who may follow at once.
pub(super) const FOLLOWERS_MAX: usize = 512;
/// Events read in one go.
const WINDOW: usize = 256;
/// While nothing happens a comment is sent so often, so that nobody on the way takes the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a follower's token is good without another look.
const LOOK_AGAIN: Duration = Duration::from_secs(15);
/// The header by which a browser says where it was cut off.
const LAST_EVENT_ID: &str = "last-event-id";

pub(super) fn routes() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::new().routes(routes!(follow))
}

/// Which events are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Those after this `seq`, `0` for all there ever were. Without it, those from now on. One that lies ahead is
    /// waited for.
    after: Option<u64>,
    /// Of these topics, with commas between them; all of them where it is absent.
    topics: Option<String>,
}

/// Events of the caller's tenant as they become durable, as server-sent events: `id` is the event's `seq`, `event` its
/// topic, `data` its JSON. Whoever is cut off goes on after the last `id`, sent as `Last-Event-ID`.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "events",
    params(Wanted, ("Last-Event-ID" = Option<u64>, Header, description = "Goes before `after`")),
    responses(
        (status = 200, body = String, content_type = "text/event-stream", description = "Goes on until it is closed"),
        Problem
    )
)]
async fn follow(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    Asked(wanted): Asked<Wanted>,
    request: Request,
) -> Result<Response, Problem> {
    // Who reads only what is theirs would need every event weighed; they read their conversations instead.
    caller.must(Action::Read)?;
    let topics = topics_of("topics", wanted.topics.as_deref())?;
    let after = match last_event_id(request.headers())? {
        Some(last) => last,
        None => wanted.after.unwrap_or_else(|| edge.engine.last_seq()),
    };
    let place = edge.followers.clone().try_acquire_owned().map_err(|_| {
        Problem::with(
            Kind::Overloaded,
            format!("{FOLLOWERS_MAX} already follow; close one that is not needed."),
        )
    })?;
    let follower = Follower {
        edge,
        caller,
        topics: Arc::new(topics),
        reached: after,
        read: VecDeque::new(),
        looked: throughline_actors::clock::Stopwatch::start(),
        _place: place,
    };
    let events = stream::unfold(follower, |mut follower| async {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    let answer = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    // Some proxies collect an answer until it is large enough.
    Ok(([("x-accel-buffering", "no")], answer).into_response())
}

/// The topics that a query or a body names; empty for all.
///
/// # Errors
/// 422 with what is allowed.
pub(super) fn topics_of(field: &str, text: Option<&str>) -> Result<BTreeSet<Topic>, Problem> {
    let names = text.unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(|name| word(field, name)).collect()
}

pub(super) fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(last) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let last = last.to_str().ok().map(str::trim).filter(|last| !last.is_empty());
    last.map(str::parse).transpose().map_err(|_| {
        let detail = "Last-Event-ID is the id of an event: its seq, a number.";
        Problem::with(Kind::Malformed, detail).field("Last-Event-ID")
    })
}

/// Somebody who follows.
struct Follower {
    edge: Arc<Edge>,
    caller: Caller,
    topics: Arc<BTreeSet<Topic>>,
    reached: u64,
    read: VecDeque<OutsideEvent>,
    looked: throughline_actors::clock::Stopwatch,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    /// The next event; none once the door closes, the engine drains or the token is good no more.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.edge.closing.is_cancelled() || !self.is_still_welcome().await {
                return None;
            }
            if let Some(event) = self.read.pop_front() {
                return Some(told(&event));
            }
            let topics = self.topics.clone();
            let wanted = move |topic: &str| {
                topics.is_empty() || topic.parse().is_ok_and(|topic: Topic| topics.contains(&topic))
            };
            let tenant = Some(self.caller.tenant.clone());
            match self.edge.engine.outside(tenant, self.reached, WINDOW, wanted).await {
                Ok(window) => {
                    let moved = window.reached > self.reached;
                    self.reached = window.reached;
                    self.read.extend(window.events);
                    if moved {
                        continue;
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "events could not be read, and a follower is cut off");
                    return None;
                }
            }
            tokio::select! {
                () = self.edge.closing.cancelled() => return None,
                news = self.edge.engine.wait_beyond(self.reached) => if !news { return None },
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// Whether the token is still good: a connection may outlive it.
    async fn is_still_welcome(&mut self) -> bool {
        if self.looked.elapsed() < LOOK_AGAIN {
            return true;
        }
        self.looked = throughline_actors::clock::Stopwatch::start();
        let engine = &self.edge.engine;
        let state = engine.state::<Credential>(&self.caller.tenant, self.caller.token_id.0).await;
        state.is_ok_and(|state| state.is_some_and(|(state, _)| state.valid_at(engine.now()).is_some()))
    }
}

fn told(event: &OutsideEvent) -> Event {
    // JSON text has no line ends, so it is one line of data.
    Event::default().id(event.seq.to_string()).event(event.topic).data(event.body.to_string())
}
