//! What can have happened to a case. The encoding is a file format: variants are only appended.

use serde::{Deserialize, Serialize};

use crate::{
    conversation::case::{EscalationRequest, Window},
    ids::{CaseId, ConversationId, MessageId, NoteId, ResolutionId},
    message::Channel,
    time::Timestamp,
    words::{CaseStatus, IssueType, Severity},
    workflow::{By, EventType},
};

/// A fact about one case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It was opened.
    Opened {
        /// When.
        at: Timestamp,
        /// Its id.
        id: ResolutionId,
        /// Its spoken name.
        case_id: CaseId,
        /// The conversation it is for.
        conversation_id: ConversationId,
        /// What it is about.
        issue_type: IssueType,
        /// Who works on it.
        owning_team: String,
        /// How urgent it is.
        severity: Severity,
        /// When it is expected to be solved, where that was recorded.
        window: Option<Window>,
        /// The channel by which the customer hears of it.
        continuation: Option<Channel>,
        /// The matter in a few sentences.
        summary: Option<String>,
    },
    /// Somebody asked for a case again, and it was this one.
    Joined {
        /// When.
        at: Timestamp,
        /// What was asked for.
        request: Box<EscalationRequest>,
    },
    /// It got further, or fell back.
    StatusChanged {
        /// When.
        at: Timestamp,
        /// From this status
        from: CaseStatus,
        /// to this one.
        to: CaseStatus,
    },
    /// An internal note was written.
    NoteAdded {
        /// When.
        at: Timestamp,
        /// Who wrote it.
        by: By,
        /// The note's id.
        note_id: NoteId,
        /// What it says.
        text: String,
    },
    /// A person wrote to the customer about it.
    UpdateWritten {
        /// When.
        at: Timestamp,
        /// Who wrote it.
        by: By,
        /// The message's id in the conversation.
        message_id: MessageId,
        /// What it says.
        text: String,
    },
    /// A person said when it is expected to be solved.
    WindowSet {
        /// When they said so.
        at: Timestamp,
        /// What they said.
        window: Window,
    },
    /// The expected time passed, and it is not solved.
    WindowPassed {
        /// When that was noticed.
        at: Timestamp,
        /// The time that passed.
        expected_by: Timestamp,
    },
    /// Its clock stands still.
    Paused {
        /// When.
        at: Timestamp,
    },
    /// Its clock goes on.
    Resumed {
        /// When.
        at: Timestamp,
    },
    /// It is solved.
    Resolved {
        /// When.
        at: Timestamp,
        /// What caused it, where it was found.
        root_cause: Option<String>,
        /// What was done.
        fix_description: Option<String>,
        /// Whether it ended with its conversation, rather than the other way round.
        with_conversation: bool,
    },
    /// The customer answered after it was solved.
    Reopened {
        /// When.
        at: Timestamp,
    },
    /// Its conversation was given back to the agents.
    HandedBack {
        /// When.
        at: Timestamp,
    },
    /// A person did something on it.
    PersonActed {
        /// When.
        at: Timestamp,
    },
}

impl Event {
    /// The name and the version of the shape, as stored beside the event.
    pub(super) fn event_type(&self) -> EventType {
        let name = match self {
            Self::Opened { .. } => "opened",
            Self::Joined { .. } => "joined",
            Self::StatusChanged { .. } => "status_changed",
            Self::NoteAdded { .. } => "note_added",
            Self::UpdateWritten { .. } => "update_written",
            Self::WindowSet { .. } => "window_set",
            Self::WindowPassed { .. } => "window_passed",
            Self::Paused { .. } => "paused",
            Self::Resumed { .. } => "resumed",
            Self::Resolved { .. } => "resolved",
            Self::Reopened { .. } => "reopened",
            Self::HandedBack { .. } => "handed_back",
            Self::PersonActed { .. } => "person_acted",
        };
        EventType { name, version: 1 }
    }

    /// The topic under which the outside hears of it; none for what is of no use there.
    pub fn topic(&self) -> Option<&'static str> {
        match self {
            Self::Opened { .. } => Some("resolution.created"),
            Self::Resolved { .. } => Some("resolution.completed"),
            Self::Joined { .. }
            | Self::StatusChanged { .. }
            | Self::NoteAdded { .. }
            | Self::UpdateWritten { .. }
            | Self::WindowSet { .. }
            | Self::WindowPassed { .. }
            | Self::Paused { .. }
            | Self::Resumed { .. }
            | Self::Reopened { .. }
            | Self::HandedBack { .. } => Some("resolution.status_changed"),
            Self::PersonActed { .. } => None,
        }
    }

    /// When it happened.
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Opened { at, .. }
            | Self::Joined { at, .. }
            | Self::StatusChanged { at, .. }
            | Self::NoteAdded { at, .. }
            | Self::UpdateWritten { at, .. }
            | Self::WindowSet { at, .. }
            | Self::WindowPassed { at, .. }
            | Self::Paused { at }
            | Self::Resumed { at }
            | Self::Resolved { at, .. }
            | Self::Reopened { at }
            | Self::HandedBack { at }
            | Self::PersonActed { at } => *at,
        }
    }
}
