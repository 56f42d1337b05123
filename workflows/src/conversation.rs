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

pub mod command;
pub mod delivery;
pub mod event;
pub mod lifecycle;
pub mod rejection;
pub mod report;
pub mod state;
pub mod threading;

mod assignment;
mod notes;
mod receiving;
mod replies;
mod settling;
mod snooze;
#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr};

pub use command::{Command, CustomerCard, Delivery, NewMessage, Opening};
pub use delivery::DeliveryStatus;
pub use event::{Event, WhyChannel};
pub use lifecycle::{Move, Status};
pub use receiving::CURRENT;
pub use rejection::Rejection;
pub use report::{DeliveryReport, SENT, sent_key};
pub use state::{Facts, State};

use crate::{
    activity::ConversationActivity,
    workflow::{ActivityError, Context, Deadlines, Decision, EventType, Workflow},
};

/// The workflow of one conversation.
#[derive(Clone, Copy, Debug)]
pub struct Conversation;

/// The timers of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Deadline {
    /// A snooze is over.
    Snooze,
}

impl Workflow for Conversation {
    const KIND: &'static str = "conversation";
    const STATE_REVISION: u32 = 2;
    const DEADLINES_REVISION: u32 = 1;

    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;
    type Activity = ConversationActivity;
    type Deadline = Deadline;

    fn decide(state: &State, command: Command, cx: &Context<'_>) -> Result<Decision<Self>, Rejection> {
        let Some(facts) = state.facts() else { return begin(command, cx) };
        match command {
            Command::Receive { inbound, customer, .. } => receiving::receive(facts, inbound, customer, cx),
            Command::Begin { message, .. } => replies::begin_again(facts, &message),
            Command::Reply { message } => replies::reply(facts, message, cx),
            Command::RecordDelivery { message_id, delivery: report } => {
                Ok(delivery::record(facts, message_id, report, cx))
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
            Command::Report { provider_message_id, message_id, status, error, at, .. } => {
                Ok(delivery::report(facts, &provider_message_id, message_id, status, error, at))
            }
        }
    }

    fn evolve(state: &mut State, event: &Event) {
        state.evolve(event);
    }

    fn deadlines(state: &State) -> Deadlines<Deadline> {
        let mut due = Deadlines::new();
        if let Some(until) = state.facts().and_then(|facts| facts.snoozed_until) {
            due.arm(Deadline::Snooze, until);
        }
        due
    }

    fn deadline_passed(deadline: Deadline) -> Command {
        match deadline {
            Deadline::Snooze => Command::Wake,
        }
    }

    fn activity_failed(activity: &ConversationActivity, error: &ActivityError) -> Option<Command> {
        match activity {
            ConversationActivity::Send(message) => Some(Command::RecordDelivery {
                message_id: message.message_id,
                delivery: Delivery::Failed { error: error.clone() },
            }),
        }
    }

    fn activity_uncertain(activity: &ConversationActivity, error: &ActivityError) -> Option<Command> {
        match activity {
            ConversationActivity::Send(message) => Some(Command::RecordDelivery {
                message_id: message.message_id,
                delivery: Delivery::Uncertain { error: error.clone() },
            }),
        }
    }

    fn event_type(event: &Event) -> EventType {
        event.event_type()
    }

    fn lane(activity: &ConversationActivity) -> Option<String> {
        match activity {
            ConversationActivity::Send(message) => Some(message.channel.to_string()),
        }
    }
}

/// What a command makes of a conversation that has not begun.
fn begin(command: Command, cx: &Context<'_>) -> Result<Decision<Conversation>, Rejection> {
    match command {
        Command::Receive { conversation_id, inbound, customer, opening: Some(opening) } => {
            Ok(receiving::open(conversation_id, inbound, customer, opening, cx))
        }
        Command::Begin { conversation_id, customer, message, to, subject, priority, replaces } => {
            let plan = replies::Beginning { conversation_id, customer, to, subject, priority, replaces };
            replies::begin(plan, message, cx)
        }
        Command::Receive { opening: None, .. }
        | Command::Reply { .. }
        | Command::RecordDelivery { .. }
        | Command::AddNote { .. }
        | Command::Assign { .. }
        | Command::Unassign
        | Command::HandOff { .. }
        | Command::Snooze { .. }
        | Command::Wake
        | Command::Tag { .. }
        | Command::Resolve { .. }
        | Command::Reopen
        | Command::SetPriority { .. }
        | Command::Report { .. } => Err(Rejection::Unknown),
    }
}

/// The event of the move `wanted`: none where it keeps the status.
fn moved(facts: &Facts, wanted: Move, cx: &Context<'_>) -> Result<Option<Event>, Rejection> {
    let from = facts.status;
    let to = lifecycle::destination(from, wanted).ok_or_else(|| Rejection::illegal(from, wanted))?;
    Ok((to != from).then_some(Event::StateChanged { at: cx.now, from, to, by: wanted }))
}

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Snooze => f.write_str("snooze"),
        }
    }
}

/// Why a text is not the name of a conversation's timer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a timer of a conversation: snooze")]
pub struct DeadlineError(String);

impl FromStr for Deadline {
    type Err = DeadlineError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "snooze" => Ok(Self::Snooze),
            _ => Err(DeadlineError(text.to_owned())),
        }
    }
}
