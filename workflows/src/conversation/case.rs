//! What a conversation knows of its long-running case, and what the two tell each other.
//!
//! The resolution owns the case; the conversation owns what the customer hears. So the resolution reports its facts
//! whenever they change, and the conversation makes the words. Reports carry the resolution's version: an older one
//! that comes late changes nothing.

use serde::{Deserialize, Serialize};

use super::command::NewMessage;
use crate::{
    ids::{CaseId, ResolutionId},
    message::Channel,
    time::Timestamp,
    words::{CaseStatus, IssueType, Severity, WindowSource},
};

/// A request for a long-running case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EscalationRequest {
    /// The resolution to open, where none is open.
    pub resolution_id: ResolutionId,
    /// Its spoken name.
    pub case_id: CaseId,
    /// What it is about.
    pub issue_type: IssueType,
    /// Who works on it.
    pub owning_team: String,
    /// How urgent; none for what the conversation has.
    pub severity: Option<Severity>,
    /// When it is expected to be solved, where the person who asks knows; none for what policy says.
    pub expected_by: Option<Timestamp>,
    /// The matter in a few sentences.
    pub summary: Option<String>,
}

/// When a case is expected to be solved, as a person or the policy recorded it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Not before this.
    pub from: Option<Timestamp>,
    /// By this.
    pub by: Timestamp,
    /// Who said so.
    pub source: WindowSource,
}

/// The case of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// The resolution.
    pub resolution_id: ResolutionId,
    /// Its spoken name.
    pub case_id: CaseId,
    /// When the conversation was escalated last.
    pub escalated_at: Timestamp,
    /// The channel by which the customer hears of it.
    pub continuation: Option<Channel>,
    /// How many escalations have joined it here.
    pub joins: u64,
    /// What the resolution said last.
    pub facts: CaseFacts,
}

/// The facts of a case that the customer's words are made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseFacts {
    /// The version of the resolution that says so.
    pub version: u64,
    /// Where it stands.
    pub status: CaseStatus,
    /// When it is expected to be solved, where that is recorded and not past.
    pub window: Option<Window>,
    /// The end of a window that passed unmet and has not been replaced.
    pub missed: Option<Timestamp>,
    /// When a person first did something on it.
    pub attended_at: Option<Timestamp>,
    /// When a person last did something on it.
    pub person_at: Option<Timestamp>,
    /// How many escalations that joined it the resolution knows of.
    pub joins: u64,
}

impl CaseFacts {
    /// Whether somebody works on it.
    pub fn is_open(&self) -> bool {
        self.status != CaseStatus::Resolved
    }
}

/// What a resolution tells its conversation. In records a report is its place in the list: variants are only
/// appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CaseReport {
    /// The facts as they are now.
    Facts(CaseFacts),
    /// A person's words to the customer.
    Update(NewMessage),
    /// It is solved.
    Resolved {
        /// The facts as they are now.
        facts: CaseFacts,
        /// A person's words to the customer; none for the engine's own.
        message: Option<NewMessage>,
    },
}

/// What a conversation tells the resolution of its case. In records an order is its place in the list: variants are
/// only appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CaseOrder {
    /// Begin the case.
    Open {
        /// What was asked for.
        request: Box<EscalationRequest>,
        /// How urgent it is.
        severity: Severity,
        /// When it is expected to be solved.
        window: Option<Window>,
        /// The channel by which the customer hears of it.
        continuation: Option<Channel>,
    },
    /// Somebody asked for a case again: this one.
    Join {
        /// What was asked for.
        request: Box<EscalationRequest>,
    },
    /// The conversation was resolved by a person.
    Close,
    /// The customer answered after it was solved.
    Reopen,
    /// The conversation was given back to the agents.
    HandBack,
}
