//! Scenarios of a team's record.

use super::*;
use crate::scenario::{Scenario, id, moment};

fn infra() -> TeamProfile {
    TeamProfile { name: "infra".to_owned(), ..TeamProfile::default() }
}

fn create(profile: TeamProfile) -> Command {
    Command::Create { team_id: TeamId(id(1)), profile }
}

fn created(profile: TeamProfile) -> Event {
    Event::Created { at: moment("09:00"), id: TeamId(id(1)), profile }
}

#[test]
fn a_team_is_formed_once() {
    Scenario::<Team>::given([]).when(create(infra())).then([created(infra())]);
    Scenario::<Team>::given([created(infra())]).when(create(infra())).then_nothing();
    Scenario::<Team>::given([created(infra())])
        .when(create(TeamProfile { name: "ops".to_owned(), ..infra() }))
        .then_rejected(Rejection::Exists { kind: "team" });
}

#[test]
fn a_team_changes_its_place_and_can_leave_it() {
    let parent_id = Some(TeamId(id(2)));
    let within = TeamProfile { parent_id, ..infra() };
    Scenario::<Team>::given([created(infra())])
        .when(Command::Update(TeamPatch { parent_id, ..TeamPatch::default() }))
        .then([Event::Changed { at: moment("09:00"), profile: within.clone() }]);
    Scenario::<Team>::given([created(within)])
        .when(Command::Update(TeamPatch { clear_parent: true, ..TeamPatch::default() }))
        .then([Event::Changed { at: moment("09:00"), profile: infra() }]);
    Scenario::<Team>::given([created(infra())]).when(Command::Update(TeamPatch::default())).then_nothing();
    Scenario::<Team>::given([])
        .when(Command::Update(TeamPatch::default()))
        .then_rejected(Rejection::Unknown { kind: "team" });
}

#[test]
fn values_that_cannot_be_are_refused() {
    let wrong = [
        (TeamProfile::default(), "name"),
        (TeamProfile { parent_id: Some(TeamId(id(1))), ..infra() }, "parent_id"),
        (TeamProfile { skills: vec![String::new()], ..infra() }, "skills"),
    ];
    for (profile, expected) in wrong {
        let outcome = Scenario::<Team>::given([]).when(create(profile));
        let Some(Rejection::Invalid { field, .. }) = outcome.rejection() else { panic!("{expected}") };
        assert_eq!(*field, expected);
    }
}
