//! Scenarios of a customer's record: each row of its table, and what is refused.

use super::*;
use crate::{
    ids::CustomerId,
    message::Channel,
    scenario::{Scenario, id, moment, person},
    words::SlaTier,
};

fn mail() -> Address {
    Address::email("ada@example.com")
}

fn phone() -> Address {
    Address::phone("+15550123456")
}

fn register(addresses: Vec<Address>, profile: CustomerPatch) -> Command {
    Command::Register {
        customer_id: CustomerId(id(2)),
        addresses,
        name: Some(" Ada ".to_owned()),
        via: "sms".to_owned(),
        verified: false,
        profile: Box::new(profile),
    }
}

fn registered() -> Event {
    Event::Registered {
        at: moment("09:00"),
        id: CustomerId(id(2)),
        addresses: vec![mail()],
        name: Some("Ada".to_owned()),
        via: "sms".to_owned(),
        verified: false,
    }
}

fn change(change: CustomerPatch) -> Event {
    Event::ProfileChanged { at: moment("09:00"), change: Box::new(change) }
}

#[test]
fn a_customer_is_registered_and_owns_every_address() {
    let claims = [Claim::take("address", "email:ada@example.com")];
    Scenario::<Customer>::given([])
        .when(register(vec![mail(), mail()], CustomerPatch::default()))
        .then([registered()])
        .then_claims(claims);
}

#[test]
fn a_profile_may_come_along() {
    let premium = CustomerPatch { sla_tier: Some(SlaTier::Premium), ..CustomerPatch::default() };
    let outcome = Scenario::<Customer>::given([])
        .when(register(vec![mail()], premium.clone()))
        .then([registered(), change(premium)]);
    assert_eq!(outcome.state().facts().unwrap().sla_tier, SlaTier::Premium);
}

#[test]
fn a_customer_without_an_address_is_refused() {
    let rejection = Rejection::Invalid { field: "identity", allowed: "at least one address".to_owned() };
    Scenario::<Customer>::given([])
        .when(register(Vec::new(), CustomerPatch::default()))
        .then_rejected(rejection);
}

#[test]
fn registering_again_is_nothing_and_otherwise_refused() {
    let again = register(vec![mail()], CustomerPatch::default());
    Scenario::<Customer>::given([registered()]).when(again).then_nothing();
    let other = register(vec![phone()], CustomerPatch::default());
    let rejection = Rejection::Exists { kind: "customer" };
    Scenario::<Customer>::given([registered()]).when(other).then_rejected(rejection);
}

#[test]
fn what_is_not_registered_cannot_be_changed() {
    let commands = [
        Command::AddIdentity { address: mail(), verified: true },
        Command::SeenAddresses { addresses: vec![mail()] },
        Command::Update(Box::default()),
    ];
    for command in commands {
        let rejection = Rejection::Unknown { kind: "customer" };
        Scenario::<Customer>::given([]).when(command).then_rejected(rejection);
    }
}

#[test]
fn a_further_address_is_added_and_later_verified() {
    let added = Event::IdentityAdded {
        at: moment("09:00"),
        address: phone(),
        via: "api".to_owned(),
        verified: false,
    };
    Scenario::<Customer>::given([registered()])
        .by(person("Grace"))
        .when(Command::AddIdentity { address: phone(), verified: false })
        .then([added.clone()])
        .then_claims([Claim::take("address", "phone:+15550123456")]);
    let outcome = Scenario::<Customer>::given([registered(), added])
        .at("10:00")
        .when(Command::AddIdentity { address: phone(), verified: true })
        .then([Event::IdentityVerified { at: moment("10:00"), address: phone() }])
        .then_claims([]);
    let verified_at = outcome.state().facts().unwrap().identity(&phone()).unwrap().verified_at;
    assert_eq!(verified_at, Some(moment("10:00")));
    Scenario::<Customer>::given([registered()])
        .when(Command::AddIdentity { address: mail(), verified: false })
        .then_nothing();
}

#[test]
fn addresses_that_a_signed_sender_gives_are_vouched_for() {
    let added = Event::IdentityAdded {
        at: moment("09:00"),
        address: phone(),
        via: "engine".to_owned(),
        verified: true,
    };
    Scenario::<Customer>::given([registered()])
        .when(Command::SeenAddresses { addresses: vec![mail(), phone(), phone()] })
        .then([added])
        .then_claims([Claim::take("address", "phone:+15550123456")]);
    Scenario::<Customer>::given([registered()])
        .when(Command::SeenAddresses { addresses: vec![mail()] })
        .then_nothing();
}

#[test]
fn a_profile_changes_by_what_differs_only() {
    let patch = CustomerPatch {
        name: Some("Ada".to_owned()),
        company: Some(" Engines ".to_owned()),
        metadata: Some(r#"{"plan": "blue"}"#.to_owned()),
        tags_add: vec!["vip".to_owned(), "vip".to_owned()],
        tags_remove: vec!["gone".to_owned()],
        channel: Some(Channel::Sms),
        language: Some("de-AT".to_owned()),
        timezone: Some("Europe/Vienna".to_owned()),
        sla_tier: Some(SlaTier::Standard),
    };
    let differs = CustomerPatch {
        name: None,
        company: Some("Engines".to_owned()),
        tags_add: vec!["vip".to_owned()],
        tags_remove: Vec::new(),
        sla_tier: None,
        ..patch.clone()
    };
    Scenario::<Customer>::given([registered()])
        .when(Command::Update(Box::new(patch)))
        .then([change(differs)]);
}

#[test]
fn an_empty_text_takes_a_value_away() {
    let patch = CustomerPatch { name: Some(" ".to_owned()), ..CustomerPatch::default() };
    let outcome = Scenario::<Customer>::given([registered()]).when(Command::Update(Box::new(patch)));
    assert_eq!(outcome.state().facts().unwrap().name, None);
}

#[test]
fn values_that_cannot_be_are_refused() {
    let none = CustomerPatch::default;
    let text = |text: &str| Some(text.to_owned());
    let wrong = [
        (CustomerPatch { name: text("a\nb"), ..none() }, "profile.name"),
        (CustomerPatch { company: text(&"x".repeat(201)), ..none() }, "profile.company"),
        (CustomerPatch { metadata: text("[1]"), ..none() }, "profile.metadata"),
        (CustomerPatch { metadata: text("{"), ..none() }, "profile.metadata"),
        (CustomerPatch { tags_add: vec![" ".to_owned()], ..none() }, "tags.add"),
        (CustomerPatch { tags_add: (0..101).map(|n| n.to_string()).collect(), ..none() }, "tags.add"),
        (CustomerPatch { tags_remove: vec!["x".repeat(65)], ..none() }, "tags.remove"),
        (CustomerPatch { language: text("english"), ..none() }, "preferences.language"),
        (CustomerPatch { timezone: text("Europe Vienna"), ..none() }, "preferences.timezone"),
    ];
    for (patch, expected) in wrong {
        let outcome = Scenario::<Customer>::given([registered()]).when(Command::Update(Box::new(patch)));
        let Some(Rejection::Invalid { field, .. }) = outcome.rejection() else { panic!("{expected}") };
        assert_eq!(*field, expected);
    }
}
