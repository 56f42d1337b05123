//! A conversation with a customer: the machine that decides what a message, a person or a timer makes of it.
//!
//! It never ends: it changes its status and can always come back. Which moves there are stands in
//! [`lifecycle`], in one table; this file says what each command makes of a state. Rows are read from the top.
//!
//! | command | state | events (and what else) |
//! |---|---|---|
//! | `Receive` | none, with an opening | `Opened`, `MessageReceived`, `StateChanged(queued)`, and unless the message is automatic or cannot be answered `MessageQueued` + send; takes `current` |
//! | | none | refused: unknown |
//! | | taken already | nothing |
//! | | resolved longer than the window ago, no thread | refused: closed |
//! | | any, automatic message | `MessageReceived` |
//! | | any | `MessageReceived`, `Woken` if snoozed, `StateChanged(customer_wrote)` where that moves |
//! | `Begin` | none | `Opened`, `MessageQueued` + send, `StateChanged(replied)`; takes `current` |
//! | | the same message | nothing |
//! | | any | refused: exists |
//! | `Reply` | the same message | nothing |
//! | | resolved | refused: illegal |
//! | | any | `MessageQueued` + send, `StateChanged(replied)` where that moves |
//! | `RecordDelivery` | any | `DeliveryChanged` where it climbs (see [`delivery`]) |
//! | `Report` | any | `DeliveryChanged` where the message is known and it climbs |
//! | `AddNote` | any | `NoteAdded`, once an id |
//! | `Assign`, `Unassign` | any | `Assigned`, `Unassigned` where it differs |
//! | `HandOff` | resolved | refused: illegal |
//! | | any | `HandedOff`, `Woken` if snoozed, `StateChanged(hand_off)` where that moves |
//! | `Snooze` | resolved | refused: illegal |
//! | | any | `Snoozed`; a time in the past is refused |
//! | `Wake` | snoozed until now or before | `Woken` |
//! | `Tag` | any | `TagsChanged` where it differs |
//! | `Resolve` | resolved | nothing |
//! | | any | `OutcomeRecorded` where something is said, `StateChanged(resolve)` |
//! | `Reopen` | reopened | nothing |
//! | | resolved | `StateChanged(reopen)` |
//! | | any | refused: illegal |
//! | `SetPriority` | any | `PrioritySet` where it differs |
//!
//! Every command but `Receive` and `Begin` is refused as unknown before the conversation has begun.

pub mod case;
pub mod clocks;
pub mod command;
pub mod delivery;
pub mod escalation;
pub mod event;
pub mod lifecycle;
pub mod rejection;
pub mod report;
pub mod sends;
pub mod silence;
pub mod standing;
pub mod state;
pub mod threading;

mod assignment;
mod draft;
mod notes;
mod reach;
mod receiving;
mod replies;
mod rules;
mod settling;
mod snooze;
mod speech;
#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr};

pub use command::{Command, CustomerCard, Delivery, NewMessage, Opening};
pub use delivery::DeliveryStatus;
pub use event::{Event, Purpose, WhyChannel};
pub use lifecycle::{Move, Status};
pub use receiving::CURRENT;
pub use rejection::Rejection;
pub use report::{DeliveryReport, SENT, sent_key};
pub use state::{Facts, State};

use serde::Deserializer;

use self::draft::Draft;
use crate::{
    activity::ConversationActivity,
    ids::ConversationId,
    sla::{Clock, ClockKind},
    views::{EventMeta, timeline::event_json},
    workflow::{ActivityError, ByKind, Context, Deadlines, Decision, EventType, Workflow},
};

/// The workflow of one conversation.
#[derive(Clone, Copy, Debug)]
pub struct Conversation;

/// The timers of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Deadline {
    /// A snooze is over.
    Snooze,
    /// The person responsible is asked to write, before the machine does.
    Nudge,
    /// The machine writes to a waiting customer.
    Update,
    /// The next channel gets a message that this one did not take.
    Fallback,
    /// A waiting customer has heard nothing for too long.
    Silence,
    /// An unreachable customer is tried again.
    Retry,
    /// A send has been uncertain for long enough.
    Uncertain,
    /// The person responsible is reminded of an unanswered message.
    Reminder,
    /// A clock's warning, or the moment after its due time.
    Clock(ClockKind),
}

impl Workflow for Conversation {
    const KIND: &'static str = "conversation";
    const STATE_REVISION: u32 = 2;
    const DEADLINES_REVISION: u32 = 2;

    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;
    type Activity = ConversationActivity;
    type Deadline = Deadline;

    fn decide(state: &State, command: Command, cx: &Context<'_>) -> Result<Decision<Self>, Rejection> {
        let decision = match state.facts() {
            Some(facts) => match silence::broken(facts, cx.now) {
                Some(broken) => after(facts, broken, command, cx),
                None => go_on(facts, command, cx),
            },
            None => begin(command, cx),
        }?;
        Ok(follow(state, decision, cx))
    }

    fn evolve(state: &mut State, event: &Event) {
        state.evolve(event);
    }

    fn deadlines(state: &State) -> Deadlines<Deadline> {
        let mut due = Deadlines::new();
        let Some(facts) = state.facts() else { return due };
        let silence = silence::moments(facts);
        let mut arm = |deadline, at: Option<_>| {
            if let Some(at) = at {
                due.arm(deadline, at);
            }
        };
        arm(Deadline::Snooze, facts.snoozed_until);
        arm(Deadline::Nudge, silence.nudge);
        arm(Deadline::Update, silence.write);
        arm(Deadline::Fallback, silence.fallback);
        arm(Deadline::Silence, silence.broken);
        arm(Deadline::Retry, silence.retry);
        arm(Deadline::Uncertain, silence.uncertain);
        arm(Deadline::Reminder, facts.clocks.reminder.and_then(|reminder| reminder.due_at));
        for kind in ClockKind::ALL {
            arm(Deadline::Clock(*kind), facts.clocks.get(*kind).and_then(Clock::next_look));
        }
        due
    }

    fn rule(state: &State, deadline: Deadline) -> Option<String> {
        rules::rule(state.facts()?, deadline)
    }

    fn deadline_passed(deadline: Deadline) -> Command {
        match deadline {
            Deadline::Snooze => Command::Wake,
            Deadline::Nudge
            | Deadline::Update
            | Deadline::Fallback
            | Deadline::Silence
            | Deadline::Retry
            | Deadline::Uncertain
            | Deadline::Reminder
            | Deadline::Clock(_) => Command::Look,
        }
    }

    fn activity_failed(activity: &ConversationActivity, error: &ActivityError) -> Option<Command> {
        match activity {
            ConversationActivity::Send(message) => Some(Command::RecordDelivery {
                message_id: message.message_id,
                delivery: Delivery::Failed { error: error.clone() },
            }),
            ConversationActivity::Recall { message_id } => {
                Some(Command::RecallFailed { message_id: *message_id, error: error.clone() })
            }
            // A dead letter tells a person; the conversation can do nothing about it.
            ConversationActivity::TellCase { .. } => None,
        }
    }

    fn policy_changed() -> Option<Command> {
        Some(Command::AdoptPolicy)
    }

    fn still_wanted(state: &State, activity: &ConversationActivity) -> bool {
        let Some(facts) = state.facts() else { return true };
        match activity {
            ConversationActivity::Send(message) => facts
                .sends
                .get(message.message_id)
                .is_none_or(|send| !send.replaced && send.status != DeliveryStatus::Superseded),
            ConversationActivity::Recall { message_id } => {
                facts.sends.get(*message_id).is_none_or(|send| send.recalled_at.is_some())
            }
            ConversationActivity::TellCase { .. } => true,
        }
    }

    fn decode_event<'de, D: Deserializer<'de>>(
        name: &str,
        version: u16,
        deserializer: D,
    ) -> Result<Event, D::Error> {
        Event::decode(name, version, deserializer)
    }

    fn activity_uncertain(activity: &ConversationActivity, error: &ActivityError) -> Option<Command> {
        match activity {
            ConversationActivity::Send(message) => Some(Command::RecordDelivery {
                message_id: message.message_id,
                delivery: Delivery::Uncertain { error: error.clone() },
            }),
            // They stay within the engine, where nothing is uncertain.
            ConversationActivity::Recall { .. } | ConversationActivity::TellCase { .. } => None,
        }
    }

    fn event_type(event: &Event) -> EventType {
        event.event_type()
    }

    fn lane(activity: &ConversationActivity) -> Option<String> {
        match activity {
            ConversationActivity::Send(message) => Some(message.channel.to_string()),
            ConversationActivity::Recall { .. } => None,
            ConversationActivity::TellCase { .. } => Some("case".to_owned()),
        }
    }

    fn topic(event: &Event) -> Option<&'static str> {
        Some(event.topic())
    }

    fn outside(event: &Event, _topic: &'static str, meta: &EventMeta<'_>) -> serde_json::Value {
        event_json(ConversationId(meta.entity), event, meta)
    }
}

/// What a command makes of a conversation of which this has to be said first, since the command may make it good.
fn after(
    facts: &Facts,
    first: Event,
    command: Command,
    cx: &Context<'_>,
) -> Result<Decision<Conversation>, Rejection> {
    let mut facts = facts.clone();
    facts.evolve(&first);
    let mut decision = go_on(&facts, command, cx)?;
    decision.events.insert(0, first);
    Ok(decision)
}

/// What a command makes of a conversation that has begun.
fn go_on(facts: &Facts, command: Command, cx: &Context<'_>) -> Result<Decision<Conversation>, Rejection> {
    match command {
        Command::Receive { inbound, customer, .. } => receiving::receive(facts, inbound, customer, cx),
        Command::Begin { message, .. } => replies::begin_again(facts, &message),
        Command::Reply { message } => replies::reply(facts, message, cx),
        Command::RecordDelivery { message_id, delivery: report } => {
            Ok(delivery::record(facts, message_id, report, cx))
        }
        Command::Report { channel, provider_message_id, message_id, status, error, at } => {
            let change =
                delivery::Change { at, status, provider_message_id: Some(provider_message_id), error };
            Ok(delivery::report(facts, &channel, message_id, change, cx))
        }
        Command::AddNote { note_id, text } => notes::add(facts, note_id, &text, cx),
        Command::Assign { agent, team } => assignment::assign(facts, agent, team, cx),
        Command::Unassign => Ok(assignment::unassign(facts, cx)),
        Command::HandOff { reason } => assignment::hand_off(facts, reason.as_deref(), cx),
        Command::Snooze { until } => snooze::snooze(facts, until, cx),
        Command::Wake => Ok(snooze::wake(facts, cx)),
        Command::Tag { add, remove } => notes::tag(facts, &add, &remove, cx),
        Command::Resolve { outcome, summary } => settling::resolve(facts, outcome, summary, cx),
        Command::Reopen => settling::reopen(facts, cx),
        Command::SetPriority { severity } => Ok(settling::set_priority(facts, severity, cx)),
        Command::Look => Ok(drafted(facts, cx, silence::look)),
        Command::Resend { original, by } => {
            Ok(drafted(facts, cx, |draft| silence::resend(draft, *original, by)))
        }
        Command::RecallFailed { message_id, .. } => {
            Ok(drafted(facts, cx, |draft| silence::recall_failed(draft, message_id)))
        }
        Command::SendAgain { message_id } => silence::send_again(facts, message_id, cx),
        Command::KnowStanding { standing } => {
            let new = facts.standing != *standing;
            Ok(Decision::nothing().and_all(new.then_some(Event::StandingKnown { at: cx.now, standing })))
        }
        // Whatever the command: the policy in force is taken up in `follow`.
        Command::AdoptPolicy => Ok(Decision::nothing()),
        Command::Escalate { request } => escalation::escalate(facts, *request, cx),
        Command::HandBack => escalation::hand_back(facts, cx),
        Command::HearCase { resolution_id, report } => escalation::hear(facts, resolution_id, *report, cx),
    }
}

fn drafted<'c>(
    facts: &Facts,
    cx: &'c Context<'c>,
    draw: impl FnOnce(&mut Draft<'c>),
) -> Decision<Conversation> {
    let mut draft = Draft::new(facts, cx);
    draw(&mut draft);
    draft.done()
}

/// Draws the consequences of a turn that no command names: the clocks, and who must be told that the machine is alone
/// with the customer.
fn follow(state: &State, decision: Decision<Conversation>, cx: &Context<'_>) -> Decision<Conversation> {
    let mut draft = match Draft::continuing(state, decision, cx) {
        Ok(draft) => draft,
        Err(decision) => return decision,
    };
    let silence = &draft.facts.silence;
    // A broken silence is noticed by whoever comes next, and is nobody's act.
    let of_itself = |event: &Event| matches!(event, Event::SilenceBroken { .. });
    let person = cx.by.kind == ByKind::Person && !draft.events().iter().all(of_itself);
    if person && (silence.updates > 0 || silence.alarmed) {
        draft.record(Event::PersonActed { at: cx.now });
    }
    clocks::follow(state.facts(), person, &mut draft);
    // What this turn has made of it may be a silence that lasted too long: a late failure, a stricter policy.
    draft.record_any(silence::broken(&draft.facts, cx.now));
    let (silence, updates) = (&draft.facts.silence, draft.facts.clocks.updates);
    if silence.updates >= updates.alarm_after && !silence.alarmed {
        let updates = silence.updates;
        draft.record(Event::SupervisorAlarmed { at: cx.now, updates });
    }
    draft.done()
}

/// What a command makes of a conversation that has not begun.
fn begin(command: Command, cx: &Context<'_>) -> Result<Decision<Conversation>, Rejection> {
    match command {
        Command::Receive { conversation_id, inbound, customer, opening: Some(opening) } => {
            Ok(receiving::open(conversation_id, inbound, customer, opening, cx))
        }
        Command::Begin { conversation_id, customer, message, to, subject, priority, replaces, standing } => {
            let plan =
                replies::Beginning { conversation_id, customer, to, subject, priority, replaces, standing };
            replies::begin(plan, message, cx)
        }
        Command::Receive { opening: None, .. }
        | Command::Reply { .. }
        | Command::RecordDelivery { .. }
        | Command::Report { .. }
        | Command::AddNote { .. }
        | Command::Assign { .. }
        | Command::Unassign
        | Command::HandOff { .. }
        | Command::Snooze { .. }
        | Command::Wake
        | Command::Look
        | Command::Resend { .. }
        | Command::RecallFailed { .. }
        | Command::SendAgain { .. }
        | Command::KnowStanding { .. }
        | Command::AdoptPolicy
        | Command::Escalate { .. }
        | Command::HandBack
        | Command::HearCase { .. }
        | Command::Tag { .. }
        | Command::Resolve { .. }
        | Command::Reopen
        | Command::SetPriority { .. } => Err(Rejection::Unknown),
    }
}

/// The event of the move `wanted`: none where it keeps the status.
fn moved(facts: &Facts, wanted: Move, cx: &Context<'_>) -> Result<Option<Event>, Rejection> {
    let from = facts.status;
    let to = lifecycle::destination(from, wanted).ok_or_else(|| Rejection::illegal(from, wanted))?;
    Ok((to != from).then_some(Event::StateChanged { at: cx.now, from, to, by: wanted }))
}

impl Deadline {
    /// Every timer there is, with its name.
    fn named() -> impl Iterator<Item = (Self, &'static str)> {
        let clocks = [
            (Self::Clock(ClockKind::FirstResponse), "sla.first_response"),
            (Self::Clock(ClockKind::NextResponse), "sla.next_response"),
            (Self::Clock(ClockKind::Resolution), "sla.resolution"),
            (Self::Clock(ClockKind::EscalationUnattended), "sla.escalation_unattended"),
        ];
        [
            (Self::Snooze, "snooze"),
            (Self::Nudge, "nudge"),
            (Self::Update, "update"),
            (Self::Fallback, "fallback"),
            (Self::Silence, "silence"),
            (Self::Retry, "retry"),
            (Self::Uncertain, "uncertain"),
            (Self::Reminder, "reminder"),
        ]
        .into_iter()
        .chain(clocks)
    }
}

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::named().find(|(deadline, _)| deadline == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

/// Why a text is not the name of a conversation's timer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a timer of a conversation")]
pub struct DeadlineError(String);

impl FromStr for Deadline {
    type Err = DeadlineError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::named()
            .find(|(_, name)| *name == text)
            .map(|(deadline, _)| deadline)
            .ok_or_else(|| DeadlineError(text.to_owned()))
    }
}
