//! What a case can be told to do. Every command is safe to receive twice.

use serde::{Deserialize, Serialize};

use crate::{
    conversation::{NewMessage, case::CaseOrder},
    ids::{ConversationId, NoteId, ResolutionId},
    time::Timestamp,
    words::CaseStatus,
};

/// An order to one case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Its conversation has something for it.
    Take {
        /// The case that is told; a new one cannot know its own id.
        resolution_id: ResolutionId,
        /// The conversation.
        conversation_id: ConversationId,
        /// What it has.
        order: CaseOrder,
    },
    /// How far it is.
    SetStatus {
        /// Where it stands now; `resolved` is reached by `Resolve` only.
        status: CaseStatus,
        /// A note to go with it.
        note: Option<(NoteId, String)>,
    },
    /// An internal note; the customer never sees it.
    AddNote {
        /// The note's id.
        note_id: NoteId,
        /// What it says.
        text: String,
    },
    /// A person writes to the customer about the case.
    Write {
        /// What to say.
        message: NewMessage,
    },
    /// When it is expected to be solved.
    SetWindow {
        /// Not before this.
        from: Option<Timestamp>,
        /// By this.
        by: Timestamp,
    },
    /// The expected time has passed: the timer's command.
    WindowPassed,
    /// Nothing can be done at present: its clock stands still.
    Pause,
    /// It goes on.
    Resume,
    /// It is solved.
    Resolve {
        /// What caused it.
        root_cause: String,
        /// What was done.
        fix_description: String,
        /// A person's words for the customer; none for the engine's own.
        message: Option<NewMessage>,
    },
}
