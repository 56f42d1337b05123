//! Scenarios of an agent's record.

use super::*;
use crate::scenario::{Scenario, id, moment};

fn create(profile: AgentProfile) -> Command {
    Command::Create { agent_id: AgentId(id(1)), profile: Box::new(profile) }
}

fn created() -> Event {
    let profile = Box::new(AgentProfile::new("Grace"));
    Event::Created { at: moment("09:00"), id: AgentId(id(1)), profile }
}

#[test]
fn an_agent_joins_with_the_ordinary_capacity() {
    assert_eq!(AgentProfile::new("Grace").capacity, 5);
    Scenario::<Agent>::given([]).when(create(AgentProfile::new(" Grace "))).then([created()]);
}

#[test]
fn the_same_agent_again_is_nothing_and_another_is_refused() {
    Scenario::<Agent>::given([created()]).when(create(AgentProfile::new("Grace"))).then_nothing();
    Scenario::<Agent>::given([created()])
        .when(create(AgentProfile::new("Ada")))
        .then_rejected(Rejection::Exists { kind: "agent" });
}

#[test]
fn a_change_holds_the_whole_profile() {
    let patch = AgentPatch {
        email: Some("grace@example.com".to_owned()),
        status: Some(AgentStatus::Available),
        ..AgentPatch::default()
    };
    let profile = Box::new(AgentProfile {
        email: Some("grace@example.com".to_owned()),
        status: AgentStatus::Available,
        ..AgentProfile::new("Grace")
    });
    Scenario::<Agent>::given([created()])
        .when(Command::Update(Box::new(patch)))
        .then([Event::Changed { at: moment("09:00"), profile }]);
    Scenario::<Agent>::given([created()]).when(Command::Update(Box::default())).then_nothing();
    Scenario::<Agent>::given([])
        .when(Command::Update(Box::default()))
        .then_rejected(Rejection::Unknown { kind: "agent" });
}

#[test]
fn values_that_cannot_be_are_refused() {
    let grace = || AgentProfile::new("Grace");
    let skill = |name: &str, level| vec![Skill { name: name.to_owned(), level }];
    let wrong = [
        (AgentProfile::new(" "), "name"),
        (AgentProfile { email: Some("grace".to_owned()), ..grace() }, "email"),
        (AgentProfile { skills: skill("", 3), ..grace() }, "skills.name"),
        (AgentProfile { skills: skill("sql", 6), ..grace() }, "skills.level"),
        (AgentProfile { capacity: 1_001, ..grace() }, "capacity"),
    ];
    for (profile, expected) in wrong {
        let outcome = Scenario::<Agent>::given([]).when(create(profile));
        let Some(Rejection::Invalid { field, .. }) = outcome.rejection() else { panic!("{expected}") };
        assert_eq!(*field, expected);
    }
}
