//! Long-running cases, clocks and silence.

#![expect(dead_code, reason = "read by the document, and by tests that hold answers against it")]

use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{By, Time, conversations::CustomerName, system::Paused};

/// How long a case has been worked on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct CaseClock {
    /// When it started.
    started_at: Time,
    /// Since when it is paused.
    paused_at: Option<Time>,
    /// What has passed, pauses left out.
    elapsed_seconds: u64,
}

/// A long-running case in a list.
#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::http) struct Resolution {
    /// The resolution.
    id: Uuid,
    /// Its spoken name.
    case_id: String,
    /// The conversation it is for.
    conversation_id: Uuid,
    /// `technical`, `billing`, `ops` or `compliance`.
    issue_type: String,
    /// The team that works on it.
    owning_team: String,
    /// How urgent it is, `P0` to `P3`.
    severity: String,
    /// `investigating`, `awaiting_fix`, `fix_in_progress`, `awaiting_deploy`, `monitoring` or `resolved`.
    status: String,
    /// It is not expected to be solved before.
    expected_from: Option<Time>,
    /// It is expected to be solved by then.
    expected_by: Option<Time>,
    /// Who said so: `policy` or `person`.
    window_source: Option<String>,
    /// Whether that time has passed unmet.
    window_missed: bool,
    /// The channel by which the customer hears of it.
    continuation_channel: Option<String>,
    /// How long it has been worked on.
    sla_clock: CaseClock,
    /// When a person first did something on it.
    attended_at: Option<Time>,
    /// What caused it.
    root_cause: Option<String>,
    /// What was done.
    fix_description: Option<String>,
    /// When it was opened.
    created_at: Time,
    /// When it was solved.
    resolved_at: Option<Time>,
    /// The version that is shown.
    version: u64,
}

/// An internal note on a case.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct CaseNote {
    /// Its id.
    id: Uuid,
    /// Who wrote it.
    by: By,
    /// What it says.
    text: String,
    /// When.
    created_at: Time,
}

/// A person's words to the customer about a case.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct CustomerUpdate {
    /// The message in the conversation.
    message_id: Uuid,
    /// Who wrote it.
    by: By,
    /// What it says.
    text: String,
    /// When.
    created_at: Time,
}

/// Somebody's request for the case.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct CaseRequest {
    /// When.
    at: Time,
    /// Who asked.
    by: By,
    /// The matter in a few sentences.
    summary: Option<String>,
    /// What it is about, where the request joined an open case.
    issue_type: Option<String>,
    /// How urgent, where the request joined an open case.
    severity: Option<String>,
}

/// All of a case.
#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::http) struct WholeResolution {
    /// What a list shows of it.
    #[serde(flatten)]
    row: Resolution,
    /// Notes that the customer never sees.
    internal_notes: Vec<CaseNote>,
    /// What persons wrote to the customer.
    customer_updates: Vec<CustomerUpdate>,
    /// Who asked for it, and for what.
    escalations: Vec<CaseRequest>,
}

/// A clock of the SLA.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct SlaClock {
    /// When it started.
    started_at: Time,
    /// When it is due; absent while it is paused.
    due_at: Option<Time>,
    /// When its warning came.
    warned_at: Option<Time>,
    /// When it was met.
    met_at: Option<Time>,
    /// The date of its breach.
    breached_at: Option<Time>,
    /// When the breach was noticed.
    detected_at: Option<Time>,
    /// Since when it is paused.
    paused_at: Option<Time>,
    /// How much business time it has.
    target_seconds: u64,
    /// What is left of it; negative once more was spent. Absent once it is met.
    remaining_seconds: Option<i64>,
}

/// The clocks of a conversation; those that never started are absent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Sla {
    /// Until a person's first answer.
    first_response: Option<SlaClock>,
    /// Until a person's answer to the oldest unanswered message.
    next_response: Option<SlaClock>,
    /// Until the end.
    resolution: Option<SlaClock>,
    /// Until the first act of a person on an escalated case.
    escalation_unattended: Option<SlaClock>,
}

/// What a customer has heard, and when they hear again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Silence {
    /// When a channel last took a message to them that did not fail.
    last_heard_at: Option<Time>,
    /// Since when they wait in silence.
    waiting_since: Option<Time>,
    /// By when they must hear again.
    next_update_due_at: Option<Time>,
    /// When the machine writes, if nobody does.
    next_update_at: Option<Time>,
    /// Whether a channel is left by which they can be reached.
    reachable: bool,
    /// When an unreachable customer is tried again.
    retry_at: Option<Time>,
    /// Updates by the machine since a person last did something.
    machine_updates: u32,
}

/// An interval of business time.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct CountedInterval {
    /// The first moment inside.
    from: Time,
    /// The first moment after it.
    to: Time,
}

/// A stretch in which a clock ran by one calendar.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ClockStretch {
    /// From when.
    from: Time,
    /// Until when; the due time for a clock that runs.
    to: Time,
    /// The calendar; absent for around the clock.
    calendar: Option<String>,
    /// The version of the policy that the calendar is from.
    policy_version: u64,
    /// How much of it counts.
    counted_seconds: u64,
    /// What counts of it.
    intervals: Vec<CountedInterval>,
}

/// A clock, explained.
#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::http) struct ExplainedClock {
    /// Which: `first_response`, `next_response`, `resolution` or `escalation_unattended`.
    clock: String,
    /// How it stands.
    #[serde(flatten)]
    standing: SlaClock,
    /// The stretches in which it ran.
    stretches: Vec<ClockStretch>,
}

/// The clocks of a conversation, explained.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ExplainedClocks {
    /// The conversation.
    conversation_id: Uuid,
    /// The engine's time.
    now: Time,
    /// The clocks.
    clocks: Vec<ExplainedClock>,
}

/// A promise that was not kept in time.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Breach {
    /// The conversation.
    conversation_id: Uuid,
    /// `first_response`, `next_response`, `resolution`, `escalation_unattended` or `silence`.
    clock: String,
    /// When it was due.
    due_at: Time,
    /// The date of the breach.
    breached_at: Time,
    /// When it was noticed.
    detected_at: Time,
    /// `late`, `late_failure`, `not_accepted` or `unreachable`.
    reason: String,
}

/// A customer who waits for us, or cannot be reached.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct WaitingCustomer {
    /// The conversation.
    conversation_id: Uuid,
    /// Its status.
    status: String,
    /// What it is about.
    subject: Option<String>,
    /// Who waits.
    customer: CustomerName,
    /// The channel they last used.
    channel: String,
    /// How urgent it is, `P0` to `P3`.
    priority: Option<String>,
    /// What their contract promises.
    sla_tier: String,
    /// The agent responsible.
    assigned_agent_id: Option<Uuid>,
    /// The team responsible.
    assigned_team_id: Option<Uuid>,
    /// The spoken name of the open case.
    case_id: Option<String>,
    /// When they last heard from us.
    last_heard_at: Option<Time>,
    /// Since when they wait in silence.
    waiting_since: Option<Time>,
    /// For how long that is.
    silent_seconds: Option<u64>,
    /// When the machine writes, if nobody does.
    next_update_at: Option<Time>,
    /// By when they must hear again.
    next_update_due_at: Option<Time>,
    /// Whether a channel is left by which they can be reached.
    reachable: bool,
    /// When an unreachable customer is tried again.
    retry_at: Option<Time>,
    /// Updates by the machine since a person last did something.
    machine_updates: u32,
    /// Since when an operator has it paused: nothing is sent until it is resumed.
    paused: Option<Paused>,
}
