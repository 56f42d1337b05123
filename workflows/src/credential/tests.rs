//! Scenarios of a credential.

use super::*;
use crate::scenario::{Scenario, id, moment};

fn create(hash: &str) -> Command {
    Command::Create {
        token_id: TokenId(id(1)),
        role: Role::Agent,
        kind: CredentialKind::Token,
        name: "laptop".to_owned(),
        agent_id: None,
        expires_at: Some(moment("17:00")),
        secret_hash: hash.to_owned(),
    }
}

fn created() -> Event {
    let credential = Box::new(Facts {
        id: TokenId(id(1)),
        role: Role::Agent,
        kind: CredentialKind::Token,
        name: "laptop".to_owned(),
        agent_id: None,
        expires_at: Some(moment("17:00")),
        secret_hash: "h1".to_owned(),
    });
    Event::Created { at: moment("09:00"), credential }
}

#[test]
fn a_credential_is_found_by_its_hash() {
    Scenario::<Credential>::given([])
        .when(create("h1"))
        .then([created()])
        .then_claims([Claim::take("credential", "h1")]);
    Scenario::<Credential>::given([created()])
        .when(create("h2"))
        .then_rejected(Rejection::Exists { kind: "credential" });
}

#[test]
fn one_that_has_expired_already_is_refused() {
    let outcome = Scenario::<Credential>::given([]).at("17:00").when(create("h1"));
    let Some(Rejection::Invalid { field, .. }) = outcome.rejection() else { panic!() };
    assert_eq!(*field, "expires_at");
}

#[test]
fn it_opens_until_it_expires_or_is_revoked() {
    let outcome = Scenario::<Credential>::given([created()])
        .at("10:00")
        .when(Command::Revoke)
        .then([Event::Revoked { at: moment("10:00") }])
        .then_claims([]);
    assert_eq!(outcome.state().valid_at(moment("10:00")), None);
    let mut state = State::default();
    Credential::evolve(&mut state, &created());
    assert!(state.valid_at(moment("16:59")).is_some());
    assert_eq!(state.valid_at(moment("17:00")), None);
}

#[test]
fn what_was_never_made_cannot_be_revoked() {
    Scenario::<Credential>::given([])
        .when(Command::Revoke)
        .then_rejected(Rejection::Unknown { kind: "credential" });
}

#[test]
fn its_hash_is_stored_and_never_shown() {
    let mut state = State::default();
    Credential::evolve(&mut state, &created());
    let shown =
        [serde_json::to_value(created()), serde_json::to_value(create("h1")), serde_json::to_value(&state)];
    for shown in shown.map(|shown| shown.unwrap().to_string()) {
        assert!(shown.contains(r#""secret_hash":"hidden""#) && !shown.contains("h1"), "{shown}");
    }
    let stored = bincode::serialize(&created()).unwrap();
    assert_eq!(bincode::deserialize::<Event>(&stored).unwrap(), created());
    let stored = bincode::serialize(&create("h1")).unwrap();
    assert_eq!(bincode::deserialize::<Command>(&stored).unwrap(), create("h1"));
}
