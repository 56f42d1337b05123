//! The long-running case of a conversation: asking for one, hearing of it, and its end.
//!
//! The resolution is another entity. What the two tell each other goes through activities, so that every hand-over is
//! durable and takes effect once.

use super::{
    Conversation, Event, Facts, Rejection,
    case::{Case, CaseFacts, CaseOrder, CaseReport, EscalationRequest, Window},
    draft::Draft,
    event::{Purpose, WhyChannel},
    lifecycle::{Move, Status},
    moved, reach, replies, silence,
    speech::{self, Saying},
};
use crate::{
    activity::ConversationActivity,
    ids::ResolutionId,
    message::Channel,
    record::checked_name,
    text::{clip, non_empty},
    time::{Span, Timestamp},
    words::{CaseStatus, Outcome, WindowSource},
    workflow::{Claim, Context, Decision},
};

/// The unique key: the spoken name of a case leads to its conversation.
pub const CASE: &str = "case";

/// The longest summary of a case that is kept, in characters.
const SUMMARY_MAX: usize = 4_000;

/// The furthest that a window may lie ahead.
const WINDOW_MAX: Span = Span::from_hours(24 * 365);

impl Case {
    /// A case that was just asked for.
    pub(super) fn opened(
        at: Timestamp,
        request: &EscalationRequest,
        window: Option<Window>,
        continuation: Option<Channel>,
    ) -> Self {
        Self {
            resolution_id: request.resolution_id,
            case_id: request.case_id.clone(),
            escalated_at: at,
            continuation,
            joins: 0,
            facts: CaseFacts {
                version: 0,
                status: CaseStatus::Investigating,
                window,
                missed: None,
                attended_at: None,
                person_at: None,
                joins: 0,
            },
        }
    }
}

/// Asks for a case, or joins the open one.
pub(super) fn escalate(
    facts: &Facts,
    request: EscalationRequest,
    cx: &Context<'_>,
) -> Result<Decision<Conversation>, Rejection> {
    if facts.case.as_ref().is_some_and(|case| case.resolution_id == request.resolution_id) {
        return Ok(Decision::nothing());
    }
    let request = checked(request, cx)?;
    let mut draft = Draft::new(facts, cx);
    if facts.status == Status::Resolved {
        // Reopens first: two events.
        draft.record_any(moved(facts, Move::Reopen, cx)?);
    }
    if let Some(open) = draft.facts.open_case().cloned() {
        return join(draft, &open, request);
    }
    let change = moved(&draft.facts, Move::Escalate, cx)?;
    let severity = request.severity.unwrap_or_else(|| draft.facts.severity());
    let window = window(&request, severity, cx);
    let continuation = reach::continuation(&draft.facts);
    draft.record(Event::Escalated {
        at: cx.now,
        request: Box::new(request.clone()),
        window,
        continuation: continuation.clone(),
    });
    draft.record_any(change);
    let (resolution_id, case_id) = (request.resolution_id, request.case_id.clone());
    let order = CaseOrder::Open { request: Box::new(request), severity, window, continuation };
    draft.ask(ConversationActivity::TellCase { resolution_id, order });
    // The customer is where they last wrote; there they learn by which channel it goes on.
    let here = draft.facts.channel.clone();
    let channel = Some(here).filter(|here| reach::channels(&draft.facts).contains(here));
    if let Some(channel) = channel.or_else(|| reach::untried(&draft.facts)) {
        silence::supersede_updates(&mut draft);
        let (purpose, why) = (Purpose::Escalation, WhyChannel::LastUsed);
        speech::say(&mut draft, Saying { purpose, channel, why, replaces: None, urgent: false });
    }
    Ok(draft.done().claim(Claim::take(CASE, case_id.as_str())))
}

fn join(
    mut draft: Draft<'_>,
    open: &Case,
    request: EscalationRequest,
) -> Result<Decision<Conversation>, Rejection> {
    // The request keeps its own id, by which its repetition is known; the case is the open one.
    if draft.facts.recent_joins.contains(&request.resolution_id) {
        return Ok(Decision::nothing());
    }
    let change = moved(&draft.facts, Move::Escalate, draft.cx)?;
    draft.record(Event::EscalationJoined { at: draft.cx.now, request: Box::new(request.clone()) });
    draft.record_any(change);
    let order = CaseOrder::Join { request: Box::new(request) };
    draft.ask(ConversationActivity::TellCase { resolution_id: open.resolution_id, order });
    Ok(draft.done())
}

fn checked(request: EscalationRequest, cx: &Context<'_>) -> Result<EscalationRequest, Rejection> {
    let owning_team = checked_name("owning_team", &request.owning_team)
        .map_err(|_| Rejection::invalid("owning_team", "a team's name of 1 to 200 characters on one line"))?;
    if let Some(by) = request.expected_by {
        check_window(None, by, cx.now).map_err(|(field, allowed)| Rejection::invalid(field, allowed))?;
    }
    let summary = request.summary.as_deref().and_then(non_empty).map(|text| clip(&text, SUMMARY_MAX));
    Ok(EscalationRequest { owning_team, summary, ..request })
}

/// That a window lies ahead, in its right order: otherwise the field at fault and what is allowed there.
///
/// # Errors
/// The field and what is allowed, to stand after "must be".
pub(crate) fn check_window(
    from: Option<Timestamp>,
    by: Timestamp,
    now: Timestamp,
) -> Result<(), (&'static str, String)> {
    if by <= now {
        return Err(("expected_by", format!("later than now, {now}")));
    }
    if by > now + WINDOW_MAX {
        return Err(("expected_by", "within a year".to_owned()));
    }
    if from.is_some_and(|from| from > by) {
        return Err(("expected_from", format!("not later than expected_by, {by}")));
    }
    Ok(())
}

/// What was recorded: by the person who asks, or else by the policy.
fn window(request: &EscalationRequest, severity: crate::words::Severity, cx: &Context<'_>) -> Option<Window> {
    let by_person = request.expected_by.map(|by| Window { from: None, by, source: WindowSource::Person });
    by_person.or_else(|| {
        let span = cx.policy.window(request.issue_type, severity)?;
        Some(Window { from: None, by: cx.now + span, source: WindowSource::Policy })
    })
}

/// Gives the conversation back to the agents; the case stays as it is.
pub(super) fn hand_back(facts: &Facts, cx: &Context<'_>) -> Result<Decision<Conversation>, Rejection> {
    if facts.status == Status::AwaitingAgent && facts.case.is_some() {
        return Ok(Decision::nothing());
    }
    let mut draft = Draft::new(facts, cx);
    draft.record_any(moved(facts, Move::HandBack, cx)?);
    if let Some(resolution_id) = draft.facts.open_case().map(|case| case.resolution_id) {
        draft.ask(ConversationActivity::TellCase { resolution_id, order: CaseOrder::HandBack });
    }
    Ok(draft.done())
}

/// The conversation is resolved by a person: so is its case.
pub(super) fn close_case(draft: &mut Draft<'_>) {
    if let Some(resolution_id) = draft.facts.open_case().map(|case| case.resolution_id) {
        draft.ask(ConversationActivity::TellCase { resolution_id, order: CaseOrder::Close });
    }
}

/// The customer answered after everything was resolved: the last case comes back with the conversation.
pub(super) fn customer_answered(draft: &mut Draft<'_>) {
    let solved = draft.facts.case.as_ref().filter(|case| !case.facts.is_open());
    if let Some(resolution_id) = solved.map(|case| case.resolution_id) {
        draft.ask(ConversationActivity::TellCase { resolution_id, order: CaseOrder::Reopen });
    }
}

/// What the resolution has to say.
pub(super) fn hear(
    facts: &Facts,
    resolution_id: ResolutionId,
    report: CaseReport,
    cx: &Context<'_>,
) -> Result<Decision<Conversation>, Rejection> {
    let ours = facts.case.as_ref().is_some_and(|case| case.resolution_id == resolution_id);
    if !ours && !matches!(report, CaseReport::Update(_)) {
        // A case before the present one: it has nothing to say of this one.
        return Ok(Decision::nothing());
    }
    let mut draft = Draft::new(facts, cx);
    match report {
        CaseReport::Facts(news) => {
            learn(&mut draft, &news);
            silence::look(&mut draft);
        }
        CaseReport::Update(message) => {
            if facts.send_status(message.id).is_some() {
                return Ok(Decision::nothing());
            }
            replies::check_contents(&message)?;
            // A case that is open keeps its conversation; words on another one are an answer like any other.
            let change = moved(facts, Move::Replied, cx).ok().flatten();
            silence::supersede_updates(&mut draft);
            replies::write(&mut draft, message)?;
            draft.record_any(change);
        }
        CaseReport::Resolved { facts: news, message } => {
            if facts.case.as_ref().is_none_or(|case| case.facts.version >= news.version) {
                return Ok(Decision::nothing());
            }
            // Asked for again in the moment in which it was solved: the resolution has not heard of that yet.
            let joined = facts.case.as_ref().is_some_and(|case| case.joins > news.joins);
            let waits = asked_since_escalated(facts) || joined;
            silence::supersede_everything(&mut draft);
            // Said while the case is still open: it ends on the channel it went on by.
            tell_resolved(&mut draft, message)?;
            learn(&mut draft, &news);
            finish(&mut draft, waits);
        }
    }
    Ok(draft.done())
}

/// Takes the facts of the case, unless newer ones are known.
fn learn(draft: &mut Draft<'_>, news: &CaseFacts) {
    let newer = draft.facts.case.as_ref().is_some_and(|case| case.facts.version < news.version);
    if newer {
        draft.record(Event::CaseKnown { at: draft.cx.now, facts: *news });
    }
}

fn tell_resolved(draft: &mut Draft<'_>, message: Option<super::NewMessage>) -> Result<(), Rejection> {
    match message {
        Some(message) if draft.facts.send_status(message.id).is_some() => Ok(()),
        Some(message) => {
            // A channel that the customer does not have is no reason to keep a solved case open.
            let channel =
                message.channel.clone().filter(|channel| draft.facts.contacts.contains_key(channel));
            match replies::write(draft, super::NewMessage { channel, ..message }) {
                Err(Rejection::NoAddress { .. }) => Ok(()),
                written => written,
            }
        }
        None => {
            if let Some(channel) = reach::untried(&draft.facts) {
                let goes_on = draft.facts.open_case().and_then(|case| case.continuation.as_ref());
                let why =
                    if goes_on == Some(&channel) { WhyChannel::Continuation } else { WhyChannel::LastUsed };
                let purpose = Purpose::Resolved;
                speech::say(draft, Saying { purpose, channel, why, replaces: None, urgent: true });
            }
            Ok(())
        }
    }
}

/// Resolves the conversation with its case, unless the customer has asked something since.
fn finish(draft: &mut Draft<'_>, customer_waits: bool) {
    let at = draft.cx.now;
    let from = draft.facts.status;
    if from == Status::Resolved {
        return;
    }
    if customer_waits {
        // They asked something that the case did not answer: a person must.
        if from == Status::Escalated {
            let (to, by) = (Status::AwaitingAgent, Move::HandBack);
            draft.record(Event::StateChanged { at, from, to, by });
        }
        return;
    }
    draft.record(Event::OutcomeRecorded { at, outcome: Some(Outcome::Resolved), summary: None });
    draft.record(Event::StateChanged { at, from, to: Status::Resolved, by: Move::Resolve });
}

/// Whether the customer has written since the escalation, and no person has since then.
fn asked_since_escalated(facts: &Facts) -> bool {
    let escalated_at = facts.case.as_ref().map(|case| case.escalated_at);
    let settled = escalated_at.max(facts.last_written_at);
    facts.last_asked_at > settled
}
