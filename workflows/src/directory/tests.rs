//! Scenarios of the directory of tenants.

use super::*;
use crate::scenario::{Scenario, id};

fn add(request: u64, tenant: &str, title: Option<&str>) -> Command {
    Command::Add {
        operation_id: OperationId(id(request)),
        tenant: tenant.parse().unwrap(),
        title: title.map(str::to_owned),
    }
}

fn added() -> Event {
    Event::TenantAdded {
        at: crate::scenario::moment("09:00"),
        operation_id: OperationId(id(1)),
        tenant: "acme".parse().unwrap(),
        title: Some("Acme Care".to_owned()),
    }
}

#[test]
fn a_tenant_is_added_once() {
    Scenario::<Directory>::given([]).when(add(1, "acme", Some(" Acme Care "))).then([added()]);
    Scenario::<Directory>::given([added()]).when(add(1, "acme", Some("Acme Care"))).then([]);
    Scenario::<Directory>::given([added()])
        .when(add(2, "acme", None))
        .then_rejected(Rejection::Exists { kind: "tenant" });
}

#[test]
fn the_default_tenant_is_always_there() {
    Scenario::<Directory>::given([])
        .when(add(1, "default", None))
        .then_rejected(Rejection::Exists { kind: "tenant" });
}
