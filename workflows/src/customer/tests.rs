//! Scenarios of a customer's record: each row of its table, and what is refused.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::{
    conversation::standing::Standing,
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

fn said(channel: Channel, state: ConsentState, source: &str) -> BTreeMap<Channel, ConsentChange> {
    BTreeMap::from([(channel, ConsentChange { state, source: source.to_owned() })])
}

fn web(number: usize) -> (Channel, ConsentChange) {
    let change = ConsentChange { state: ConsentState::Denied, source: "api".to_owned() };
    (Channel::Generic(format!("web{number}")), change)
}

/// The patch as an order.
fn patched(patch: CustomerPatch) -> Command {
    Command::Update(Box::new(patch))
}

fn tell(standing: Standing) -> CustomerActivity {
    CustomerActivity::TellConversations { standing: Box::new(standing) }
}

/// How conversations treat a registered customer of whom nothing more is known.
fn usual() -> Standing {
    Standing { addresses: vec![mail()], ..Standing::default() }
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
        channel: Some(Some(Channel::Sms)),
        language: Some("de-AT".to_owned()),
        timezone: Some("Europe/Vienna".to_owned()),
        quiet_hours: Some(" 22:00-07:00 ".to_owned()),
        consent: said(Channel::Sms, ConsentState::Denied, " api "),
        sla_tier: Some(SlaTier::Standard),
    };
    let differs = CustomerPatch {
        name: None,
        company: Some("Engines".to_owned()),
        tags_add: vec!["vip".to_owned()],
        tags_remove: Vec::new(),
        sla_tier: None,
        quiet_hours: Some("22:00-07:00".to_owned()),
        consent: said(Channel::Sms, ConsentState::Denied, "api"),
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
        (CustomerPatch { timezone: text("Europe/Atlantis"), ..none() }, "preferences.timezone"),
        (CustomerPatch { quiet_hours: text("22-7"), ..none() }, "preferences.quiet_hours"),
        (CustomerPatch { consent: said(Channel::Sms, ConsentState::Denied, " "), ..none() }, "consent"),
        (CustomerPatch { consent: (0..51).map(web).collect(), ..none() }, "consent"),
    ];
    for (patch, expected) in wrong {
        let outcome = Scenario::<Customer>::given([registered()]).when(Command::Update(Box::new(patch)));
        let Some(Rejection::Invalid { field, .. }) = outcome.rejection() else { panic!("{expected}") };
        assert_eq!(*field, expected);
    }
}

#[test]
fn whatever_changes_how_a_customer_is_treated_is_told_to_their_conversations() {
    let none = CustomerPatch::default;
    let text = |text: &str| Some(text.to_owned());
    let denied = said(Channel::Sms, ConsentState::Denied, "stop keyword");
    let changes = [
        (
            CustomerPatch { sla_tier: Some(SlaTier::Premium), ..none() },
            Standing { tier: SlaTier::Premium, ..usual() },
        ),
        (
            CustomerPatch { timezone: text("Europe/Vienna"), ..none() },
            Standing { timezone: text("Europe/Vienna"), ..usual() },
        ),
        (
            CustomerPatch { quiet_hours: text("22:00-07:00"), ..none() },
            Standing { quiet_hours: Some("22:00-07:00".parse().unwrap()), ..usual() },
        ),
        (
            CustomerPatch { channel: Some(Some(Channel::Email)), ..none() },
            Standing { preferred: Some(Channel::Email), ..usual() },
        ),
        (
            CustomerPatch { consent: denied, ..none() },
            Standing { denied: BTreeSet::from([Channel::Sms]), ..usual() },
        ),
    ];
    for (patch, standing) in changes {
        Scenario::<Customer>::given([registered()]).when(patched(patch)).then_activities([tell(standing)]);
    }
    let both = Standing { addresses: vec![mail(), phone()], ..usual() };
    Scenario::<Customer>::given([registered()])
        .when(Command::AddIdentity { address: phone(), verified: false })
        .then_activities([tell(both.clone())]);
    Scenario::<Customer>::given([registered()])
        .when(Command::SeenAddresses { addresses: vec![phone(), mail()] })
        .then_activities([tell(both)]);
}

#[test]
fn conversations_are_not_told_what_is_none_of_their_business() {
    let patch = CustomerPatch {
        company: Some("Engines".to_owned()),
        tags_add: vec!["vip".to_owned()],
        consent: said(Channel::Email, ConsentState::Granted, "api"),
        ..CustomerPatch::default()
    };
    Scenario::<Customer>::given([registered()])
        .when(patched(patch.clone()))
        .then([change(patch)])
        .then_activities([]);
    Scenario::<Customer>::given([])
        .when(register(vec![mail()], CustomerPatch::default()))
        .then_activities([]);
}

#[test]
fn consent_is_kept_with_when_and_how_it_was_given_and_said_again_is_nothing() {
    let consent = |state, source| CustomerPatch {
        consent: said(Channel::Sms, state, source),
        ..CustomerPatch::default()
    };
    let denied = consent(ConsentState::Denied, "stop keyword");
    let outcome = Scenario::<Customer>::given([registered()]).at("10:00").when(patched(denied.clone()));
    let kept =
        Consent { state: ConsentState::Denied, at: moment("10:00"), source: "stop keyword".to_owned() };
    assert_eq!(outcome.state().facts().unwrap().consent, BTreeMap::from([(Channel::Sms, kept)]));

    let denied = Event::ProfileChanged { at: moment("10:00"), change: Box::new(denied) };
    Scenario::<Customer>::given([registered(), denied.clone()])
        .at("11:00")
        .when(patched(consent(ConsentState::Denied, "api")))
        .then_nothing();
    let granted = Scenario::<Customer>::given([registered(), denied])
        .at("12:00")
        .when(patched(consent(ConsentState::Granted, "start keyword")))
        .then_activities([tell(usual())]);
    let kept =
        Consent { state: ConsentState::Granted, at: moment("12:00"), source: "start keyword".to_owned() };
    assert_eq!(granted.state().facts().unwrap().consent[&Channel::Sms], kept);
}

#[test]
fn preferences_can_be_taken_away() {
    let known = CustomerPatch {
        channel: Some(Some(Channel::Sms)),
        quiet_hours: Some("22:00-07:00".to_owned()),
        ..CustomerPatch::default()
    };
    let gone =
        CustomerPatch { channel: Some(None), quiet_hours: Some(" ".to_owned()), ..CustomerPatch::default() };
    let outcome = Scenario::<Customer>::given([registered(), change(known)])
        .when(patched(gone))
        .then_activities([tell(usual())]);
    assert_eq!(outcome.state().facts().unwrap().preferences, Preferences::default());
}

#[test]
fn a_standing_that_has_been_overtaken_is_no_longer_told() {
    let premium = CustomerPatch { sla_tier: Some(SlaTier::Premium), ..CustomerPatch::default() };
    let outcome = Scenario::<Customer>::given([registered()]).when(patched(premium));
    let newest = Standing { tier: SlaTier::Premium, ..usual() };
    assert!(Customer::still_wanted(outcome.state(), &tell(newest.clone())));
    assert!(!Customer::still_wanted(outcome.state(), &tell(usual())));
    assert_eq!(Customer::lane(&tell(newest)), Customer::lane(&tell(usual())), "in the order of the changes");
}
