//! An endpoint: a program or a mailbox outside that is told of events. Messages go out in a few lanes, which do not wait
//! for each other; each carries its event's `seq`.
//!
//! | command | state | events (and what else) |
//! |---|---|---|
//! | `Register` | none | `Registered` |
//! | | the same | nothing |
//! | | another, or removed | refused: exists |
//! | `Update` | differs | `Changed` |
//! | `Rotate` | another secret, a URL | `Rotated` |
//! | `Disable`, `Enable` | the other way round | `Disabled`, `Enabled` |
//! | `Remove` | any | `Removed` |
//! | `Notify` | active | `Notified` with the events that are newer than the last one told of and wanted, the first of them where there is no room for all; a message each |
//! | `Test` | active | `Tested`; a message |
//! | `RecordDelivery` | pending, or given up before and accepted now | `Delivered`, `DeliveryFailed` or `DeliveryDropped` |
//! | | gone | also `Disabled` |
//!
//! Every command but `Register` is refused as unknown before the endpoint is registered. After it was removed, what
//! is still under way changes nothing.

pub mod command;
pub mod event;
pub mod letter;
pub mod secret;
pub mod state;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};

pub use command::{Command, EndpointActivity, EndpointPatch, Notice, Report};
pub use event::{Event, Noticed};
pub use secret::{SecretText, SigningSecret};
pub use state::{Delivery, DeliveryStatus, Disabled, Facts, Settings, State, Target};

pub use crate::record::Rejection;
use crate::{
    text::{clip, non_empty},
    workflow::{ActivityError, Context, Deadlines, Decision, EventType, NoDeadline, Workflow},
};

/// The longest address, in bytes.
const TARGET_MAX: usize = 2_000;
/// The longest description, in characters.
const DESCRIPTION_MAX: usize = 500;
/// Messages that may be under way to one endpoint at once. One that does not answer must not take the place of what
/// customers are sent, nor turn everything that happens meanwhile into dead letters; one bad message must not hold up
/// all the others.
const LANES: u32 = 4;
/// What the id of a test begins with.
pub const TEST_PREFIX: &str = "test_";
/// The topic of a test: on no list, because nobody subscribes to it.
pub const TEST_TOPIC: &str = "endpoint.test";

/// The workflow of one endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint;

impl Workflow for Endpoint {
    const KIND: &'static str = "endpoint";
    const STATE_REVISION: u32 = 1;
    const DEADLINES_REVISION: u32 = 1;

    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;
    type Activity = EndpointActivity;
    type Deadline = NoDeadline;

    fn decide(state: &State, command: Command, cx: &Context<'_>) -> Result<Decision<Self>, Rejection> {
        let at = cx.now;
        let Some(facts) = state.facts() else { return absent(state, command, cx) };
        match command {
            Command::Register { endpoint_id, settings, secret, configured } => {
                let settings = checked(*settings)?;
                let secret = secret.filter(|_| matches!(settings.target, Target::Url(_)));
                let newest = facts.secrets.first().map(|secret| &secret.text);
                let same = (facts.id, &facts.settings, newest, facts.configured)
                    == (endpoint_id, &settings, secret.as_ref(), configured);
                if same { Ok(Decision::nothing()) } else { Err(Rejection::Exists { kind: Self::KIND }) }
            }
            Command::Update(patch) => {
                let settings = patched(&facts.settings, *patch)?;
                if settings == facts.settings {
                    return Ok(Decision::nothing());
                }
                Ok(Decision::event(Event::Changed { at, settings: Box::new(settings) }))
            }
            Command::Rotate { secret } => match &facts.settings.target {
                Target::Mail(_) => Err(Rejection::invalid("url", "the endpoint's: mail is not signed")),
                Target::Url(_) if facts.secrets.first().is_some_and(|newest| newest.text == secret) => {
                    Ok(Decision::nothing())
                }
                Target::Url(_) => Ok(Decision::event(Event::Rotated { at, secret })),
            },
            Command::Disable if facts.is_active() => {
                Ok(Decision::event(Event::Disabled { at, why: Disabled::Asked }))
            }
            Command::Enable if !facts.is_active() => Ok(Decision::event(Event::Enabled { at })),
            Command::Disable | Command::Enable => Ok(Decision::nothing()),
            Command::Remove => Ok(Decision::event(Event::Removed { at })),
            Command::Notify { notices } => Ok(notify(facts, notices, cx)),
            Command::Test { id } => test(facts, id, cx),
            Command::RecordDelivery { id, report } => Ok(record(facts, id, report, cx)),
        }
    }

    fn evolve(state: &mut State, event: &Event) {
        state.evolve(event);
    }

    fn deadlines(_state: &State) -> Deadlines<NoDeadline> {
        // A secret's end needs no timer: whoever signs compares it with the time of signing.
        Deadlines::new()
    }

    fn deadline_passed(deadline: NoDeadline) -> Command {
        match deadline {}
    }

    fn activity_failed(activity: &EndpointActivity, error: &ActivityError) -> Option<Command> {
        let report = Report::Failed { error: error.clone() };
        Some(Command::RecordDelivery { id: activity.id().to_owned(), report })
    }

    fn event_type(event: &Event) -> EventType {
        event.event_type()
    }

    fn lane(activity: &EndpointActivity) -> Option<String> {
        let id = activity.id();
        // A test is asked for to see at once what becomes of it.
        if id.starts_with(TEST_PREFIX) {
            return None;
        }
        let number = id.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
        Some((number % LANES).to_string())
    }

    // No event of an endpoint has a topic: one that was told of its own deliveries would never come to rest.
}

/// What a command makes of an endpoint that is not there.
fn absent(state: &State, command: Command, cx: &Context<'_>) -> Result<Decision<Endpoint>, Rejection> {
    let kind = Endpoint::KIND;
    match command {
        Command::Register { .. } if state.is_removed() => Err(Rejection::Exists { kind }),
        Command::Register { endpoint_id, settings, secret, configured } => {
            let settings = Box::new(checked(*settings)?);
            let secret = secret.filter(|_| matches!(settings.target, Target::Url(_)));
            let event = Event::Registered { at: cx.now, id: endpoint_id, settings, secret, configured };
            Ok(Decision::event(event))
        }
        Command::Remove | Command::Notify { .. } | Command::RecordDelivery { .. } if state.is_removed() => {
            Ok(Decision::nothing())
        }
        Command::Update(_)
        | Command::Rotate { .. }
        | Command::Disable
        | Command::Enable
        | Command::Remove
        | Command::Notify { .. }
        | Command::Test { .. }
        | Command::RecordDelivery { .. } => Err(Rejection::Unknown { kind }),
    }
}

/// The settings as they are kept. Whether an address leads anywhere is for whoever calls it to find out.
fn checked(mut settings: Settings) -> Result<Settings, Rejection> {
    let (field, address, allowed) = match &settings.target {
        Target::Url(url) => ("url", url, "a web address, https://… or, on this machine, http://…"),
        Target::Mail(to) => ("mail_to", to, "a mail address such as supervisor@example.com"),
    };
    let fits = address.len() <= TARGET_MAX && !address.chars().any(|c| c.is_whitespace() || c.is_control());
    let right = match &settings.target {
        Target::Url(url) => url.starts_with("https://") || url.starts_with("http://"),
        Target::Mail(to) => {
            to.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
        }
    };
    if !fits || !right {
        return Err(Rejection::invalid(field, allowed));
    }
    settings.topics.sort_unstable();
    settings.topics.dedup();
    settings.description =
        settings.description.as_deref().and_then(non_empty).map(|text| clip(&text, DESCRIPTION_MAX));
    Ok(settings)
}

fn patched(settings: &Settings, patch: EndpointPatch) -> Result<Settings, Rejection> {
    let mut settings = settings.clone();
    if let Some(url) = patch.url {
        match &mut settings.target {
            Target::Url(old) => *old = url,
            Target::Mail(_) => {
                return Err(Rejection::invalid("url", "absent: this endpoint is a mail address"));
            }
        }
    }
    if let Some(topics) = patch.topics {
        settings.topics = topics;
    }
    if let Some(description) = patch.description {
        settings.description = Some(description);
    }
    checked(settings)
}

/// What is new and wanted becomes a message; told again, it changes nothing.
fn notify(facts: &Facts, notices: Vec<Notice>, cx: &Context<'_>) -> Decision<Endpoint> {
    let mut last = facts.notified_seq;
    let mut decision = Decision::nothing();
    let mut noticed = Vec::new();
    for notice in notices {
        if facts.is_active() && notice.seq > last && facts.settings.wants(notice.topic) {
            if noticed.len() == facts.room() {
                break; // Whoever tells finds by the last that was taken where to go on.
            }
            last = notice.seq;
            decision = decision.activity(message(facts, notice.id.clone(), &notice.body));
            noticed.push(Noticed { id: notice.id, seq: notice.seq, topic: notice.topic });
        }
    }
    if noticed.is_empty() {
        return Decision::nothing();
    }
    decision.and(Event::Notified { at: cx.now, notices: noticed })
}

fn test(facts: &Facts, id: String, cx: &Context<'_>) -> Result<Decision<Endpoint>, Rejection> {
    if facts.delivery(&id).is_some() {
        return Ok(Decision::nothing());
    }
    if !facts.is_active() {
        return Err(Rejection::invalid("active", "true before a test can be sent"));
    }
    let body = json!({ "type": TEST_TOPIC, "endpoint_id": facts.id, "timestamp": cx.now, "details": {} });
    let message = message(facts, id.clone(), &body.to_string());
    Ok(Decision::event(Event::Tested { at: cx.now, id }).activity(message))
}

/// An event as the endpoint is sent it: `{type, timestamp, data}`, or a mail.
fn message(facts: &Facts, id: String, body: &str) -> EndpointActivity {
    // Whoever told of the event wrote the text; should it be no JSON, it is sent as it is.
    let data: Value = serde_json::from_str(body).unwrap_or_else(|_| json!(body));
    match &facts.settings.target {
        Target::Url(_) => {
            let body = json!({ "type": data.get("type"), "timestamp": data.get("timestamp"), "data": data });
            EndpointActivity::Post { id, body: body.to_string() }
        }
        Target::Mail(_) => {
            let letter::Letter { subject, text, path } = letter::letter(&data);
            EndpointActivity::Mail { id, subject, text, path }
        }
    }
}

fn record(facts: &Facts, id: String, report: Report, cx: &Context<'_>) -> Decision<Endpoint> {
    let at = cx.now;
    let status = facts.delivery(&id).map(|delivery| delivery.status);
    let open = matches!(status, Some(DeliveryStatus::Pending));
    match report {
        Report::Accepted { attempts } => {
            // One that is no longer remembered still tells that the endpoint works again; and what was given up may
            // have been sent again by a person.
            let news = open
                || status == Some(DeliveryStatus::Failed)
                || (status.is_none() && facts.failing_since.is_some());
            if news { Decision::event(Event::Delivered { at, id, attempts }) } else { Decision::nothing() }
        }
        Report::Failed { error } => failed(facts, id, error, cx),
        Report::Gone { error } => {
            let decision = failed(facts, id, error, cx);
            if facts.is_active() {
                decision.and(Event::Disabled { at, why: Disabled::Gone })
            } else {
                decision
            }
        }
        Report::Dropped if open => Decision::event(Event::DeliveryDropped { at, id }),
        Report::Dropped => Decision::nothing(),
    }
}

fn failed(facts: &Facts, id: String, error: ActivityError, cx: &Context<'_>) -> Decision<Endpoint> {
    let news = match facts.delivery(&id) {
        Some(delivery) => delivery.status == DeliveryStatus::Pending,
        None => facts.failing_since.is_none(),
    };
    if news { Decision::event(Event::DeliveryFailed { at: cx.now, id, error }) } else { Decision::nothing() }
}
