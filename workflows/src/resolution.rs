//! A long-running case: the machine behind an escalation that takes hours or days.
//!
//! It owns the facts of the case. What the customer hears is the conversation's to say, so every change of the facts
//! goes there as an activity, in order. Rows are read from the top.
//!
//! | command | state | events (and what else) |
//! |---|---|---|
//! | `Take(Open)` | none | `Opened` |
//! | | the same | nothing |
//! | `Take(Join)` | not known yet | `Joined`, `Reopened` where it was solved; tells the facts where they changed |
//! | `Take(Close)` | open | `Resolved`; tells the facts |
//! | `Take(Reopen)` | solved | `Reopened`; tells the facts |
//! | `Take(HandBack)` | open | `HandedBack`, once until it is asked for again |
//! | `SetStatus` | solved | refused: illegal |
//! | | to `resolved` | refused: resolving needs a cause and a fix |
//! | | another | `StatusChanged`, `NoteAdded` where there is a note; tells the facts |
//! | `AddNote` | any | `NoteAdded`, once an id |
//! | `Write` | open | `UpdateWritten`, once an id; gives the words to the conversation |
//! | `SetWindow` | open | `WindowSet`; tells the facts |
//! | `WindowPassed` | open, the window is past | `WindowPassed`; tells the facts, and the customer hears it |
//! | `Pause`, `Resume` | open | `Paused`, `Resumed` where it differs |
//! | `Resolve` | open | `Resolved`; tells the facts and the words for the customer |
//!
//! Whatever a person does but open the case is noted as `PersonActed`. Every command but `Take(Open)` is refused as
//! unknown before the case is open.

pub mod command;
pub mod event;
pub mod state;

#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr};

pub use command::Command;
pub use event::Event;
pub use state::{Facts, State, Stopwatch};

use crate::{
    activity::ResolutionActivity,
    conversation::{
        NewMessage,
        case::{CaseOrder, CaseReport, EscalationRequest, Window},
        escalation::check_window,
    },
    ids::{ConversationId, NoteId, ResolutionId},
    text::{clip, non_empty},
    time::{Span, Timestamp},
    words::{CaseStatus, WindowSource},
    workflow::{ActivityError, ByKind, Context, Deadlines, Decision, EventType, Workflow},
};

/// The longest text of a note or an update, in bytes.
const TEXT_MAX: usize = 16 * 1024;

/// The longest cause and description of a fix that are kept, in characters.
const FINDING_MAX: usize = 8_000;

/// The workflow of one case.
#[derive(Clone, Copy, Debug)]
pub struct Resolution;

/// The timers of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Deadline {
    /// The time by which it was expected to be solved has passed.
    Window,
}

/// Why a case refuses a command. Nothing is recorded then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is no such case.
    #[error("there is no such resolution")]
    Unknown,
    /// The id is in use already.
    #[error("this resolution exists already")]
    Exists,
    /// The status does not allow it.
    #[error("`{wanted}` is not possible while the case is `{from}`; possible: {}", legal.join(", "))]
    Illegal {
        /// The status it has.
        from: CaseStatus,
        /// What was asked for.
        wanted: &'static str,
        /// What could be asked for instead.
        legal: Vec<&'static str>,
    },
    /// A value that cannot be.
    #[error("{field} must be {allowed}")]
    Invalid {
        /// The path of the field as the outside names it.
        field: &'static str,
        /// What is allowed, to stand after "must be".
        allowed: String,
    },
}

impl Rejection {
    fn invalid(field: &'static str, allowed: impl Into<String>) -> Self {
        Self::Invalid { field, allowed: allowed.into() }
    }

    /// What a solved case refuses.
    fn solved(wanted: &'static str) -> Self {
        Self::Illegal { from: CaseStatus::Resolved, wanted, legal: vec!["notes"] }
    }
}

impl Workflow for Resolution {
    const KIND: &'static str = "resolution";
    const STATE_REVISION: u32 = 1;
    const DEADLINES_REVISION: u32 = 1;

    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;
    type Activity = ResolutionActivity;
    type Deadline = Deadline;

    fn decide(state: &State, command: Command, cx: &Context<'_>) -> Result<Decision<Self>, Rejection> {
        let Some(facts) = state.facts() else { return open(command, cx) };
        let step = go_on(facts, command, cx)?;
        Ok(step.done(facts, cx))
    }

    fn evolve(state: &mut State, event: &Event) {
        state.evolve(event);
    }

    fn deadlines(state: &State) -> Deadlines<Deadline> {
        let mut due = Deadlines::new();
        if let Some(facts) = state.facts()
            && facts.is_open()
            && facts.missed.is_none()
            && let Some(window) = facts.window
        {
            // What is solved exactly by then is solved in time.
            due.arm(Deadline::Window, window.by + Span::from_millis(1));
        }
        due
    }

    fn rule(state: &State, deadline: Deadline) -> Option<String> {
        let window = state.facts()?.window?;
        match deadline {
            Deadline::Window => {
                let said = window.source.as_str();
                Some(format!("case: the window that a {said} promised ends {}", window.by))
            }
        }
    }

    fn deadline_passed(deadline: Deadline) -> Command {
        match deadline {
            Deadline::Window => Command::WindowPassed,
        }
    }

    fn activity_failed(_activity: &ResolutionActivity, _error: &ActivityError) -> Option<Command> {
        // A dead letter tells a person; the case can do nothing about it.
        None
    }

    fn event_type(event: &Event) -> EventType {
        event.event_type()
    }

    fn lane(activity: &ResolutionActivity) -> Option<String> {
        match activity {
            ResolutionActivity::TellConversation { .. } => Some("conversation".to_owned()),
        }
    }
}

/// What a command makes of a case that is not open.
fn open(command: Command, cx: &Context<'_>) -> Result<Decision<Resolution>, Rejection> {
    match command {
        Command::Take { resolution_id, conversation_id, order } => match order {
            CaseOrder::Open { request, severity, window, continuation } => {
                let EscalationRequest { case_id, issue_type, owning_team, summary, .. } = *request;
                Ok(Decision::event(Event::Opened {
                    at: cx.now,
                    id: resolution_id,
                    case_id,
                    conversation_id,
                    issue_type,
                    owning_team,
                    severity,
                    window,
                    continuation,
                    summary,
                }))
            }
            CaseOrder::Join { .. } | CaseOrder::Close | CaseOrder::Reopen | CaseOrder::HandBack => {
                Err(Rejection::Unknown)
            }
        },
        Command::SetStatus { .. }
        | Command::AddNote { .. }
        | Command::Write { .. }
        | Command::SetWindow { .. }
        | Command::WindowPassed
        | Command::Pause
        | Command::Resume
        | Command::Resolve { .. } => Err(Rejection::Unknown),
    }
}

/// What a turn decides, before its consequences.
#[derive(Default)]
struct Step {
    events: Vec<Event>,
    /// The words for the customer, beside the facts.
    report: Option<CaseReport>,
    /// Whether the words are the end of the case.
    solved: Option<Option<NewMessage>>,
    /// Whether whoever asks acted on the case, and did not only ask for it.
    acts: bool,
}

impl Step {
    fn event(event: Event) -> Self {
        Self { events: vec![event], acts: true, ..Self::default() }
    }

    /// Adds who acted, and tells the conversation what has changed.
    fn done(mut self, before: &Facts, cx: &Context<'_>) -> Decision<Resolution> {
        if self.acts && !self.events.is_empty() && cx.by.kind == ByKind::Person {
            self.events.push(Event::PersonActed { at: cx.now });
        }
        let mut after = State::of(before.clone());
        self.events.iter().for_each(|event| after.evolve(event));
        let conversation_id = before.conversation_id;
        let tell =
            |report| ResolutionActivity::TellConversation { conversation_id, report: Box::new(report) };
        let mut decision = Decision::nothing().and_all(self.events);
        let news = after.facts().map(Facts::report).filter(|news| *news != before.report());
        match (self.solved, news) {
            (Some(message), Some(facts)) => {
                decision = decision.activity(tell(CaseReport::Resolved { facts, message }))
            }
            (_, Some(facts)) => decision = decision.activity(tell(CaseReport::Facts(facts))),
            (_, None) => {}
        }
        match self.report {
            Some(report) => decision.activity(tell(report)),
            None => decision,
        }
    }
}

/// What a command makes of a case that was opened.
fn go_on(facts: &Facts, command: Command, cx: &Context<'_>) -> Result<Step, Rejection> {
    match command {
        Command::Take { resolution_id, conversation_id, order } => {
            take(facts, resolution_id, conversation_id, order, cx)
        }
        Command::SetStatus { status, note } => set_status(facts, status, note, cx),
        Command::AddNote { note_id, text } => add_note(facts, "text", note_id, &text, cx),
        Command::Write { message } => write(facts, message, cx),
        Command::SetWindow { from, by } => set_window(facts, from, by, cx),
        Command::WindowPassed => Ok(match facts.window {
            Some(window) if facts.is_open() && facts.missed.is_none() && window.by < cx.now => {
                Step::event(Event::WindowPassed { at: cx.now, expected_by: window.by })
            }
            Some(_) | None => Step::default(),
        }),
        Command::Pause if !facts.is_open() => Err(Rejection::solved("pause")),
        Command::Pause if facts.clock.paused_at.is_some() => Ok(Step::default()),
        Command::Pause => Ok(Step::event(Event::Paused { at: cx.now })),
        Command::Resume if !facts.is_open() => Err(Rejection::solved("resume")),
        Command::Resume if facts.clock.paused_at.is_none() => Ok(Step::default()),
        Command::Resume => Ok(Step::event(Event::Resumed { at: cx.now })),
        Command::Resolve { root_cause, fix_description, message } => {
            resolve(facts, &root_cause, &fix_description, message, cx)
        }
    }
}

fn take(
    facts: &Facts,
    resolution_id: ResolutionId,
    conversation_id: ConversationId,
    order: CaseOrder,
    cx: &Context<'_>,
) -> Result<Step, Rejection> {
    let at = cx.now;
    match order {
        CaseOrder::Open { .. } if (facts.id, facts.conversation_id) == (resolution_id, conversation_id) => {
            Ok(Step::default())
        }
        CaseOrder::Open { .. } => Err(Rejection::Exists),
        CaseOrder::Join { request } if facts.recent_joins.contains(&request.resolution_id) => {
            Ok(Step::default())
        }
        CaseOrder::Join { request } => {
            // Solved while somebody asked for it again: it is not.
            let reopened = (!facts.is_open()).then_some(Event::Reopened { at });
            let events = [Event::Joined { at, request }].into_iter().chain(reopened).collect();
            Ok(Step { events, ..Step::default() })
        }
        CaseOrder::Close if facts.is_open() => Ok(Step::event(Event::Resolved {
            at,
            root_cause: None,
            fix_description: None,
            with_conversation: true,
        })),
        CaseOrder::Reopen if !facts.is_open() => Ok(Step::event(Event::Reopened { at })),
        CaseOrder::HandBack if facts.is_open() && !facts.handed_back => {
            Ok(Step::event(Event::HandedBack { at }))
        }
        CaseOrder::Close | CaseOrder::Reopen | CaseOrder::HandBack => Ok(Step::default()),
    }
}

fn set_status(
    facts: &Facts,
    status: CaseStatus,
    note: Option<(NoteId, String)>,
    cx: &Context<'_>,
) -> Result<Step, Rejection> {
    if !facts.is_open() {
        return Err(Rejection::solved("status"));
    }
    if status == CaseStatus::Resolved {
        let open: Vec<_> = CaseStatus::ALL
            .iter()
            .filter(|status| **status != CaseStatus::Resolved)
            .map(|s| s.as_str())
            .collect();
        let allowed =
            format!("one of {}; a case is resolved with its root cause and its fix", open.join(", "));
        return Err(Rejection::invalid("status", allowed));
    }
    let mut step = match note {
        Some((note_id, text)) => add_note(facts, "note", note_id, &text, cx)?,
        None => Step::default(),
    };
    if status != facts.status {
        step.acts = true;
        step.events.insert(0, Event::StatusChanged { at: cx.now, from: facts.status, to: status });
    }
    Ok(step)
}

fn add_note(
    facts: &Facts,
    field: &'static str,
    note_id: NoteId,
    text: &str,
    cx: &Context<'_>,
) -> Result<Step, Rejection> {
    if facts.recent_notes.contains(&note_id) {
        return Ok(Step::default());
    }
    let text = checked_text(field, text)?;
    Ok(Step::event(Event::NoteAdded { at: cx.now, by: cx.by.clone(), note_id, text }))
}

fn write(facts: &Facts, message: NewMessage, cx: &Context<'_>) -> Result<Step, Rejection> {
    if facts.recent_updates.contains(&message.id) {
        return Ok(Step::default());
    }
    if !facts.is_open() {
        return Err(Rejection::solved("updates"));
    }
    let text = checked_text("text", &message.text)?;
    let (at, by, message_id) = (cx.now, cx.by.clone(), message.id);
    let mut step = Step::event(Event::UpdateWritten { at, by, message_id, text: text.clone() });
    step.report = Some(CaseReport::Update(NewMessage { text, ..message }));
    Ok(step)
}

fn set_window(
    facts: &Facts,
    from: Option<Timestamp>,
    by: Timestamp,
    cx: &Context<'_>,
) -> Result<Step, Rejection> {
    let window = Window { from, by, source: WindowSource::Person };
    if facts.window == Some(window) {
        return Ok(Step::default());
    }
    if !facts.is_open() {
        return Err(Rejection::solved("window"));
    }
    check_window(from, by, cx.now).map_err(|(field, allowed)| Rejection::invalid(field, allowed))?;
    Ok(Step::event(Event::WindowSet { at: cx.now, window }))
}

fn resolve(
    facts: &Facts,
    root_cause: &str,
    fix_description: &str,
    message: Option<NewMessage>,
    cx: &Context<'_>,
) -> Result<Step, Rejection> {
    let finding = |field, text: &str| {
        non_empty(text)
            .map(|text| clip(&text, FINDING_MAX))
            .ok_or_else(|| Rejection::invalid(field, "a text that is not empty"))
    };
    let root_cause = Some(finding("root_cause", root_cause)?);
    let fix_description = Some(finding("fix_description", fix_description)?);
    if !facts.is_open() {
        let same = (&facts.root_cause, &facts.fix_description) == (&root_cause, &fix_description);
        return if same { Ok(Step::default()) } else { Err(Rejection::solved("resolve")) };
    }
    let message = match message {
        Some(message) => {
            let text = checked_text("customer_summary", &message.text)?;
            Some(NewMessage { text, ..message })
        }
        None => None,
    };
    let mut step =
        Step::event(Event::Resolved { at: cx.now, root_cause, fix_description, with_conversation: false });
    step.solved = Some(message);
    Ok(step)
}

fn checked_text(field: &'static str, text: &str) -> Result<String, Rejection> {
    let text = non_empty(text).ok_or_else(|| Rejection::invalid(field, "a text that is not empty"))?;
    if text.len() > TEXT_MAX {
        return Err(Rejection::invalid(field, format!("at most {TEXT_MAX} bytes long")));
    }
    Ok(text)
}

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Window => f.write_str("window"),
        }
    }
}

/// Why a text is not the name of a case's timer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a timer of a resolution: window")]
pub struct DeadlineError(String);

impl FromStr for Deadline {
    type Err = DeadlineError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "window" => Ok(Self::Window),
            _ => Err(DeadlineError(text.to_owned())),
        }
    }
}
