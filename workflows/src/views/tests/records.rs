//! The lists of customers, agents, teams and credentials.

use std::collections::BTreeMap;

use serde_json::json;

use super::folded;
use crate::{
    agent::{self, AgentProfile, AgentStatus},
    credential::{self, CredentialKind},
    customer::{self, ConsentChange, ConsentState, CustomerPatch},
    ids::{AgentId, CustomerId, TeamId, TokenId},
    message::{Address, Channel},
    role::Role,
    scenario::{id, moment},
    team::{self, TeamProfile},
    views::{
        agents::{self, Agents},
        credentials::Credentials,
        customers::{self, Customers},
        teams::{self, Teams},
    },
};

#[test]
fn a_customer_is_shown_by_the_names_of_the_model() {
    let change = CustomerPatch {
        metadata: Some("{\"plan\":null}".to_owned()),
        tags_add: vec!["vip".to_owned()],
        language: Some("en".to_owned()),
        quiet_hours: Some("22:00-07:00".to_owned()),
        consent: BTreeMap::from([(
            Channel::Sms,
            ConsentChange { state: ConsentState::Denied, source: "stop keyword".to_owned() },
        )]),
        ..CustomerPatch::default()
    };
    let row = folded::<Customers>(&[
        customer::Event::Registered {
            at: moment("09:00"),
            id: CustomerId(id(2)),
            addresses: vec![
                Address::email("ada@example.com"),
                Address::phone("+15550123456"),
                Address::handle(&Channel::Generic("web".to_owned()), "ada"),
            ],
            name: Some("Ada".to_owned()),
            via: "generic:web".to_owned(),
            verified: false,
        },
        customer::Event::IdentityVerified { at: moment("09:30"), address: Address::phone("+15550123456") },
        customer::Event::ProfileChanged { at: moment("10:00"), change: Box::new(change) },
    ]);
    assert_eq!(
        row.to_json(),
        json!({
            "id": id(2),
            "identity": {
                "emails": [{ "address": "ada@example.com", "source": "generic:web" }],
                "phone_numbers": [{
                    "number": "+15550123456",
                    "verified_at": "2026-03-02T09:30:00.000Z",
                    "source": "generic:web",
                }],
                "social_ids": [{ "channel": "generic:web", "handle": "ada", "source": "generic:web" }],
            },
            "profile": { "name": "Ada", "metadata": { "plan": null } },
            "sla_tier": "standard",
            "tags": ["vip"],
            "preferences": { "language": "en", "quiet_hours": "22:00-07:00" },
            "consent": {
                "sms": { "state": "denied", "at": "2026-03-02T10:00:00.000Z", "source": "stop keyword" },
            },
            "created_at": "2026-03-02T09:00:00.000Z",
            "updated_at": "2026-03-02T10:00:00.000Z",
            "version": 3,
        })
    );
    for (q, wanted) in [("ADA", true), ("5550123", true), ("vip", true), ("grace", false)] {
        assert_eq!(customers::Filter { q: Some(q.to_owned()) }.matches(&row), wanted, "{q}");
    }
}

#[test]
fn an_agent_is_shown_by_the_names_of_the_model() {
    let joined = agent::Event::Created {
        at: moment("09:00"),
        id: AgentId(id(7)),
        profile: Box::new(AgentProfile::new("Grace")),
    };
    let profile = AgentProfile { team_ids: vec![TeamId(id(8))], ..AgentProfile::new("Grace") };
    let changed = agent::Event::Changed { at: moment("10:00"), profile: Box::new(profile) };
    let row = folded::<Agents>(&[joined, changed]);
    assert_eq!(
        row.to_json(),
        json!({
            "id": id(7),
            "name": "Grace",
            "role": "agent",
            "skills": [],
            "team_ids": [id(8)],
            "status": "offline",
            "capacity": 5,
            "active": true,
            "created_at": "2026-03-02T09:00:00.000Z",
            "updated_at": "2026-03-02T10:00:00.000Z",
            "version": 2,
        })
    );
    let none = agents::Filter::default;
    assert!(agents::Filter { team_id: Some(TeamId(id(8))), active: Some(true), ..none() }.matches(&row));
    assert!(!agents::Filter { status: Some(AgentStatus::Busy), ..none() }.matches(&row));
    assert!(!agents::Filter { q: Some("ada".to_owned()), ..none() }.matches(&row));
}

#[test]
fn a_team_is_shown_by_the_names_of_the_model() {
    let profile = TeamProfile {
        name: "infra".to_owned(),
        parent_id: None,
        members: vec![AgentId(id(7))],
        skills: vec!["networks".to_owned()],
    };
    let row = folded::<Teams>(&[team::Event::Created { at: moment("09:00"), id: TeamId(id(8)), profile }]);
    assert_eq!(
        row.to_json(),
        json!({
            "id": id(8),
            "name": "infra",
            "members": [id(7)],
            "skills": ["networks"],
            "created_at": "2026-03-02T09:00:00.000Z",
            "updated_at": "2026-03-02T09:00:00.000Z",
            "version": 1,
        })
    );
    assert!(teams::Filter { q: Some("NET".to_owned()) }.matches(&row));
    assert!(!teams::Filter { q: Some("billing".to_owned()) }.matches(&row));
}

#[test]
fn a_credential_is_shown_without_its_hash() {
    let credential = credential::Facts {
        id: TokenId(id(1)),
        role: Role::Admin,
        kind: CredentialKind::Operator,
        name: "first".to_owned(),
        agent_id: None,
        expires_at: None,
        secret_hash: "c0ffee".to_owned(),
    };
    let created = credential::Event::Created { at: moment("09:00"), credential: Box::new(credential) };
    let made = folded::<Credentials>(std::slice::from_ref(&created));
    assert!(made.valid_at(moment("10:00")).is_some());
    let row = folded::<Credentials>(&[created, credential::Event::Revoked { at: moment("10:00") }]);
    assert_eq!(row.valid_at(moment("10:00")), None);
    assert_eq!(
        row.to_json(),
        json!({
            "id": id(1),
            "role": "admin",
            "kind": "operator",
            "name": "first",
            "revoked_at": "2026-03-02T10:00:00.000Z",
            "created_at": "2026-03-02T09:00:00.000Z",
            "version": 2,
        })
    );
}
