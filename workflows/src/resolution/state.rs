//! What a case must remember to decide. Notes and updates are in the events.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::event::Event;
use crate::{
    conversation::case::{CaseFacts, Window},
    ids::{CaseId, ConversationId, MessageId, NoteId, ResolutionId},
    message::Channel,
    time::{Span, Timestamp},
    words::{CaseStatus, IssueType, Severity},
};

/// How many of the newest ids are remembered; what is repeated is repeated at once.
const RECENT_MAX: usize = 16;

/// A case's state; nothing before it is open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State(Option<Box<Facts>>);

/// What is known of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Its id.
    pub id: ResolutionId,
    /// Its spoken name.
    pub case_id: CaseId,
    /// The conversation it is for.
    pub conversation_id: ConversationId,
    /// What it is about.
    pub issue_type: IssueType,
    /// Who works on it.
    pub owning_team: String,
    /// How urgent it is.
    pub severity: Severity,
    /// Where it stands.
    pub status: CaseStatus,
    /// Where it stood before it was solved.
    pub status_before: CaseStatus,
    /// When it is expected to be solved.
    pub window: Option<Window>,
    /// The end of the window, once it passed unmet.
    pub missed: Option<Timestamp>,
    /// The channel by which the customer hears of it.
    pub continuation: Option<Channel>,
    /// How long it has been worked on.
    pub clock: Stopwatch,
    /// What caused it.
    pub root_cause: Option<String>,
    /// What was done.
    pub fix_description: Option<String>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it was solved.
    pub resolved_at: Option<Timestamp>,
    /// When a person first did something on it.
    pub attended_at: Option<Timestamp>,
    /// When a person last did something on it.
    pub person_at: Option<Timestamp>,
    /// How much has happened: what a report to the conversation is numbered by.
    pub happened: u64,
    /// Whether its conversation was given back to the agents, and nobody has asked for the case again.
    pub handed_back: bool,
    /// The newest notes.
    pub recent_notes: VecDeque<NoteId>,
    /// The newest words to the customer.
    pub recent_updates: VecDeque<MessageId>,
    /// How many escalations have joined it.
    pub joins: u64,
    /// The newest escalations that joined it.
    pub recent_joins: VecDeque<ResolutionId>,
}

/// Time that passed, pauses left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopwatch {
    /// When it was started.
    pub started_at: Timestamp,
    /// Since when it runs; none while it stands still.
    pub running_since: Option<Timestamp>,
    /// Since when it is paused.
    pub paused_at: Option<Timestamp>,
    /// What had passed before it last began to run.
    pub before: Span,
}

impl Stopwatch {
    fn start(at: Timestamp) -> Self {
        Self { started_at: at, running_since: Some(at), paused_at: None, before: Span::ZERO }
    }

    /// What has passed by `at`.
    pub fn elapsed(&self, at: Timestamp) -> Span {
        let running = self.running_since.map_or(Span::ZERO, |since| at.since(since));
        Span::from_millis(self.before.as_millis() + running.as_millis())
    }

    fn stop(&mut self, at: Timestamp) {
        self.before = self.elapsed(at);
        self.running_since = None;
    }

    fn go_on(&mut self, at: Timestamp) {
        if self.running_since.is_none() {
            self.running_since = Some(at);
        }
        self.paused_at = None;
    }
}

impl State {
    pub(super) fn of(facts: Facts) -> Self {
        Self(Some(Box::new(facts)))
    }

    /// What is known; none before it is open.
    pub fn facts(&self) -> Option<&Facts> {
        self.0.as_deref()
    }

    /// Records one event.
    pub(super) fn evolve(&mut self, event: &Event) {
        if let Event::Opened {
            at,
            id,
            case_id,
            conversation_id,
            issue_type,
            owning_team,
            severity,
            window,
            continuation,
            ..
        } = event
        {
            self.0 = Some(Box::new(Facts {
                id: *id,
                case_id: case_id.clone(),
                conversation_id: *conversation_id,
                issue_type: *issue_type,
                owning_team: owning_team.clone(),
                severity: *severity,
                status: CaseStatus::Investigating,
                status_before: CaseStatus::Investigating,
                window: *window,
                missed: None,
                continuation: continuation.clone(),
                clock: Stopwatch::start(*at),
                root_cause: None,
                fix_description: None,
                created_at: *at,
                resolved_at: None,
                attended_at: None,
                person_at: None,
                happened: 1,
                handed_back: false,
                recent_notes: VecDeque::new(),
                recent_updates: VecDeque::new(),
                joins: 0,
                recent_joins: VecDeque::new(),
            }));
        } else if let Some(facts) = &mut self.0 {
            facts.evolve(event);
        }
    }
}

impl Facts {
    /// Whether somebody works on it.
    pub fn is_open(&self) -> bool {
        self.status != CaseStatus::Resolved
    }

    /// What the conversation must know of it.
    pub fn report(&self) -> CaseFacts {
        CaseFacts {
            version: self.happened,
            status: self.status,
            window: self.window.filter(|_| self.missed.is_none()),
            missed: self.missed,
            attended_at: self.attended_at,
            person_at: self.person_at,
            joins: self.joins,
        }
    }

    fn evolve(&mut self, event: &Event) {
        self.happened += 1;
        match event {
            // Handled by the state as a whole: a case opens once.
            Event::Opened { .. } => {}
            Event::Joined { request, .. } => {
                self.joins += 1;
                remember(&mut self.recent_joins, request.resolution_id);
                self.handed_back = false;
                self.severity = request.severity.unwrap_or(self.severity);
            }
            Event::StatusChanged { to, .. } => self.status = *to,
            Event::NoteAdded { note_id, .. } => remember(&mut self.recent_notes, *note_id),
            Event::UpdateWritten { message_id, .. } => remember(&mut self.recent_updates, *message_id),
            Event::WindowSet { window, .. } => {
                self.window = Some(*window);
                self.missed = None;
            }
            Event::WindowPassed { expected_by, .. } => self.missed = Some(*expected_by),
            Event::Paused { at } => {
                self.clock.stop(*at);
                self.clock.paused_at = Some(*at);
            }
            Event::Resumed { at } => self.clock.go_on(*at),
            Event::Resolved { at, root_cause, fix_description, .. } => {
                self.status_before = self.status;
                self.status = CaseStatus::Resolved;
                self.resolved_at = Some(*at);
                self.root_cause.clone_from(root_cause);
                self.fix_description.clone_from(fix_description);
                self.missed = None;
                self.clock.stop(*at);
                self.clock.paused_at = None;
            }
            Event::Reopened { at } => {
                // The last that a person said of it: a fix is out where there was one, else where it stood.
                let fixed = self.fix_description.is_some();
                self.status = if fixed { CaseStatus::Monitoring } else { self.status_before };
                self.resolved_at = None;
                self.handed_back = false;
                // What was expected then was expected of the first solution.
                self.window = None;
                self.missed = None;
                self.clock.go_on(*at);
            }
            Event::HandedBack { .. } => self.handed_back = true,
            Event::PersonActed { at } => {
                self.attended_at.get_or_insert(*at);
                self.person_at = Some(*at);
            }
        }
    }
}

fn remember<T>(recent: &mut VecDeque<T>, newest: T) {
    recent.push_back(newest);
    while recent.len() > RECENT_MAX {
        recent.pop_front();
    }
}
