//! Who is responsible, and the call for a person. Giving a conversation to somebody does not move its status;
//! handing it off does.

use super::{Conversation, Event, Facts, Rejection, lifecycle::Move, moved, state::Handoff};
use crate::{
    ids::{AgentId, TeamId},
    text::{clip, non_empty},
    workflow::{Context, Decision},
};

/// The longest reason of a hand-off that is kept, in characters: a brief, not a report.
const REASON_MAX: usize = 2_000;

/// Gives the conversation to an agent, a team, or an agent within a team.
pub(super) fn assign(
    facts: &Facts,
    agent: Option<AgentId>,
    team: Option<TeamId>,
    cx: &Context<'_>,
) -> Result<Decision<Conversation>, Rejection> {
    if agent.is_none() && team.is_none() {
        return Err(Rejection::invalid("agent_id", "given, or else team_id"));
    }
    // An agent alone keeps the team; a team alone takes the conversation from whoever had it.
    let team = team.or(facts.assigned_team);
    if (facts.assigned_agent, facts.assigned_team) == (agent, team) {
        return Ok(Decision::nothing());
    }
    Ok(Decision::event(Event::Assigned { at: cx.now, agent, team }))
}

/// Takes the conversation from whoever has it.
pub(super) fn unassign(facts: &Facts, cx: &Context<'_>) -> Decision<Conversation> {
    match (facts.assigned_agent, facts.assigned_team) {
        (None, None) => Decision::nothing(),
        (Some(_), _) | (_, Some(_)) => Decision::event(Event::Unassigned { at: cx.now }),
    }
}

/// Calls for a person. What is escalated stays so: persons are at it already, and now they know.
pub(super) fn hand_off(
    facts: &Facts,
    reason: Option<&str>,
    cx: &Context<'_>,
) -> Result<Decision<Conversation>, Rejection> {
    let change = moved(facts, Move::HandOff, cx)?;
    let reason = reason.and_then(non_empty).map(|reason| clip(&reason, REASON_MAX));
    let asked_already = facts.handoff == Some(Handoff { reason: reason.clone() });
    if asked_already && change.is_none() && facts.snoozed_until.is_none() {
        return Ok(Decision::nothing());
    }
    let woken = facts.snoozed_until.map(|_| Event::Woken { at: cx.now });
    Ok(Decision::event(Event::HandedOff { at: cx.now, reason }).and_all(woken).and_all(change))
}
