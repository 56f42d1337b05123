//! An event as the outside sees it: a topic, who and what caused it, and the few details that are not shown
//! elsewhere. Message bodies and the text of notes are not among them.

use serde_json::{Value, json};

use super::outside;
use crate::{
    conversation::{Conversation, Event},
    ids::{ConversationId, MessageId},
    views::EventMeta,
    workflow::{By, Workflow},
};

/// The event in its outside form.
pub fn event_json(conversation_id: ConversationId, event: &Event, meta: &EventMeta<'_>) -> Value {
    outside::compact(&json!({
        "type": event.topic(),
        "conversation_id": conversation_id,
        "message_id": message_id(event),
        "by": author(event).unwrap_or(meta.by),
        "cause": meta.cause,
        "timestamp": event.at(),
        "details": details(event),
        "version": meta.version,
        "seq": meta.seq,
    }))
}

/// Who wrote what the event holds, where that is not simply who asked for it: the engine's acknowledgement is the
/// engine's, though a customer's message caused it.
fn author(event: &Event) -> Option<&By> {
    if let Event::MessageReceived { by, .. } | Event::MessageQueued { by, .. } | Event::NoteAdded { by, .. } =
        event
    {
        return Some(by);
    }
    None
}

fn message_id(event: &Event) -> Option<MessageId> {
    if let Event::MessageReceived { message, .. } = event {
        return Some(message.id);
    }
    if let Event::MessageQueued { message, .. } = event {
        return Some(message.message_id);
    }
    if let Event::DeliveryChanged { message_id, .. }
    | Event::Hurried { message_id, .. }
    | Event::Recalled { message_id, .. } = event
    {
        return Some(*message_id);
    }
    None
}

fn details(event: &Event) -> Value {
    let what = Conversation::event_type(event).name;
    match event {
        Event::Opened { channel, subject, follow_up_of, priority, .. } => json!({
            "channel": channel, "subject": subject, "follow_up_of": follow_up_of, "priority": priority,
        }),
        Event::CustomerKnown { customer, .. } => {
            json!({ "what": what, "customer": { "id": customer.id, "name": customer.name } })
        }
        Event::MessageReceived { message, .. } => {
            json!({ "channel": message.channel, "automatic": message.automatic })
        }
        Event::MessageQueued { message, why, purpose, replaces, promises, .. } => json!({
            "channel": message.channel, "status": "queued", "automatic": message.automatic,
            "why_this_channel": why, "purpose": purpose, "replaces": replaces, "next_update_at": promises,
        }),
        Event::DeliveryChanged { status, provider_message_id, error, .. } => json!({
            "status": status, "provider_message_id": provider_message_id,
            "error_code": error.as_ref().and_then(|error| error.code.as_ref()),
            "error": error.as_ref().map(|error| &error.message),
        }),
        Event::StateChanged { from, to, by, .. } => json!({ "from": from, "to": to, "move": by }),
        Event::NoteAdded { note_id, .. } => json!({ "what": what, "note_id": note_id }),
        Event::Assigned { agent, team, .. } => {
            json!({ "what": what, "assigned_agent_id": agent, "assigned_team_id": team })
        }
        Event::HandedOff { reason, .. } => json!({ "what": what, "reason": reason }),
        Event::Snoozed { until, .. } => json!({ "what": what, "snoozed_until": until }),
        Event::Unassigned { .. } | Event::Woken { .. } => json!({ "what": what }),
        Event::TagsChanged { added, removed, .. } => {
            json!({ "what": what, "added": added, "removed": removed })
        }
        Event::OutcomeRecorded { outcome, summary, .. } => {
            json!({ "what": what, "outcome": outcome, "summary": summary })
        }
        Event::PrioritySet { severity, .. } => json!({ "what": what, "priority": severity }),
        Event::StandingKnown { standing, .. } => json!({
            "what": what, "sla_tier": standing.tier, "timezone": standing.timezone,
            "quiet_hours": standing.quiet_hours, "preferred_channel": standing.preferred,
        }),
        Event::ClocksChanged { clocks, .. } => json!({
            "what": what, "policy_version": clocks.policy, "sla_tier": clocks.tier, "priority": clocks.severity,
            "due": clocks.next_due().map(|(clock, due_at)| json!({ "clock": clock, "due_at": due_at })),
        }),
        Event::SlaWarned { clock, due_at, .. } => json!({ "what": what, "clock": clock, "due_at": due_at }),
        Event::SlaBreached { clock, due_at, detected_at, reason, .. } => json!({
            "what": what, "clock": clock, "due_at": due_at, "detected_at": detected_at, "reason": reason,
        }),
        Event::SilenceBroken { since, due_at, detected_at, reason, .. } => json!({
            "what": what, "clock": "silence", "last_heard_at": since, "due_at": due_at,
            "detected_at": detected_at, "reason": reason,
        }),
        Event::Reminded { waiting_since, number, agent, .. } => json!({
            "what": what, "waiting_since": waiting_since, "number": number, "agent_id": agent,
        }),
        Event::Nudged { since, due_at, agent, .. } => json!({
            "what": what, "last_heard_at": since, "due_at": due_at, "agent_id": agent,
        }),
        Event::Hurried { fallback_at, .. } => json!({ "what": what, "fallback_at": fallback_at }),
        Event::Recalled { again, .. } => json!({ "what": what, "again": again }),
        Event::CustomerUnreachable { retry_at, .. } | Event::ReachRetried { retry_at, .. } => {
            json!({ "what": what, "retry_at": retry_at })
        }
        Event::SupervisorAlarmed { updates, .. } => json!({ "what": what, "updates": updates }),
        Event::PersonActed { .. } => json!({ "what": what }),
        Event::Escalated { request, window, continuation, .. } => json!({
            "what": what, "resolution_id": request.resolution_id, "case_id": request.case_id,
            "issue_type": request.issue_type, "owning_team": request.owning_team, "severity": request.severity,
            "summary": request.summary, "expected_by": window.map(|window| window.by),
            "window_source": window.map(|window| window.source), "continuation_channel": continuation,
        }),
        Event::EscalationJoined { request, .. } => json!({
            "what": what, "issue_type": request.issue_type, "owning_team": request.owning_team,
            "severity": request.severity, "summary": request.summary,
        }),
        Event::CaseKnown { facts, .. } => json!({
            "what": what, "status": facts.status, "expected_by": facts.window.map(|window| window.by),
            "window_missed": facts.missed,
        }),
    }
}
