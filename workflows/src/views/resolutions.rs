//! Long-running cases: the list, and one of them in full.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{EventMeta, View, outside};
use crate::{
    resolution::{Event, Facts, Resolution, State},
    time::Timestamp,
    words::CaseStatus,
    workflow::Workflow,
};

/// The view of cases as a list, the youngest first.
#[derive(Clone, Copy, Debug)]
pub struct Resolutions;

/// What a list shows of one case: its state, which is small. [`ResolutionRow::to_json`] is its outside form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolutionRow {
    state: State,
    version: u64,
}

/// Which cases are wanted. What is none does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Stands there.
    pub status: Option<CaseStatus>,
    /// This team's.
    pub owning_team: Option<String>,
}

impl View for Resolutions {
    const NAME: &'static str = "resolutions";
    // Rows hold the workflow's state: another STATE_REVISION there is another revision here.
    const REVISION: u16 = 2;

    type Source = Resolution;
    type Row = ResolutionRow;

    fn fold(row: Option<ResolutionRow>, event: &Event, meta: &EventMeta<'_>) -> Option<ResolutionRow> {
        let mut state = row.map(|row| row.state).unwrap_or_default();
        Resolution::evolve(&mut state, event);
        state.facts().is_some().then_some(ResolutionRow { state, version: meta.version })
    }

    fn order(row: &ResolutionRow) -> u64 {
        row.facts().map_or(0, |facts| facts.created_at.as_millis())
    }
}

impl ResolutionRow {
    /// What is known of the case.
    pub fn facts(&self) -> Option<&Facts> {
        self.state.facts()
    }

    /// The case in its outside form at `now`: the names of the model, what is unknown absent.
    pub fn to_json(&self, now: Timestamp) -> Value {
        let Some(facts) = self.facts() else { return Value::Null };
        outside::compact(&json!({
            "id": facts.id,
            "case_id": facts.case_id,
            "conversation_id": facts.conversation_id,
            "issue_type": facts.issue_type,
            "owning_team": facts.owning_team,
            "severity": facts.severity,
            "status": facts.status,
            "expected_from": facts.window.and_then(|window| window.from),
            "expected_by": facts.window.map(|window| window.by),
            "window_source": facts.window.map(|window| window.source),
            "window_missed": facts.missed.is_some(),
            "continuation_channel": facts.continuation,
            "sla_clock": {
                "started_at": facts.clock.started_at,
                "paused_at": facts.clock.paused_at,
                "elapsed_seconds": facts.clock.elapsed(now).as_secs(),
            },
            "attended_at": facts.attended_at,
            "root_cause": facts.root_cause,
            "fix_description": facts.fix_description,
            "created_at": facts.created_at,
            "resolved_at": facts.resolved_at,
            "version": self.version,
        }))
    }
}

impl Filter {
    /// Whether the case is wanted.
    pub fn matches(&self, row: &ResolutionRow) -> bool {
        row.facts().is_some_and(|facts| {
            self.status.is_none_or(|status| facts.status == status)
                && self.owning_team.as_ref().is_none_or(|team| facts.owning_team == *team)
        })
    }
}

/// One case as it unfolds: apply every event, then show.
#[derive(Clone, Debug, Default)]
pub struct CaseFile {
    row: Option<ResolutionRow>,
    notes: Vec<Value>,
    updates: Vec<Value>,
    escalations: Vec<Value>,
}

impl CaseFile {
    /// Takes the next event of the case.
    pub fn apply(&mut self, event: &Event, meta: &EventMeta<'_>) {
        self.row = Resolutions::fold(self.row.take(), event, meta);
        match event {
            Event::NoteAdded { at, by, note_id, text } => {
                self.notes.push(outside::compact(&json!({
                    "id": note_id, "by": by, "text": text, "created_at": at,
                })));
            }
            Event::UpdateWritten { at, by, message_id, text } => {
                self.updates.push(outside::compact(&json!({
                    "message_id": message_id, "by": by, "text": text, "created_at": at,
                })));
            }
            Event::Opened { at, summary, .. } => {
                self.escalations
                    .push(outside::compact(&json!({ "at": at, "by": meta.by, "summary": summary })));
            }
            Event::Joined { at, request } => {
                self.escalations.push(outside::compact(&json!({
                    "at": at, "by": meta.by, "summary": request.summary, "issue_type": request.issue_type,
                    "severity": request.severity,
                })));
            }
            Event::StatusChanged { .. }
            | Event::WindowSet { .. }
            | Event::WindowPassed { .. }
            | Event::Paused { .. }
            | Event::Resumed { .. }
            | Event::Resolved { .. }
            | Event::Reopened { .. }
            | Event::HandedBack { .. }
            | Event::PersonActed { .. } => {}
        }
    }

    /// What a list shows of it; none before it is open.
    pub fn row(&self) -> Option<&ResolutionRow> {
        self.row.as_ref()
    }

    /// All of it at `now`; none before it is open.
    pub fn to_json(&self, now: Timestamp) -> Option<Value> {
        let mut case = self.row.as_ref()?.to_json(now);
        if let Value::Object(fields) = &mut case {
            fields.insert("internal_notes".to_owned(), json!(self.notes));
            fields.insert("customer_updates".to_owned(), json!(self.updates));
            fields.insert("escalations".to_owned(), json!(self.escalations));
        }
        Some(case)
    }
}
