//! Nothing of one tenant is seen at another: neither in its lists nor by its ids, neither sent to its customers nor told
//! to its endpoint.

use std::collections::BTreeSet;

use futures::FutureExt as _;
use throughline_actors::engine::Engine;
use throughline_workflows::{
    conversation::Conversation,
    ids::TenantId,
    views::{View, customers::Customers, inbox::Inbox, resolutions::Resolutions, silence::Waiting},
};
use uuid::Uuid;

use crate::run::Simulation;

/// Looks at all tenants once everything has come to rest.
pub(crate) fn leaks(simulation: &Simulation, engine: &Engine) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let witness = &simulation.witness;
    for tenant in &simulation.world.script.tenants {
        let conversations = witness.conversations.iter().filter(|(_, told)| told.tenant == *tenant);
        let conversations: BTreeSet<Uuid> = conversations.map(|(id, _)| *id).collect();
        let cases = witness.cases.iter().filter(|(_, of)| *of == tenant).map(|(id, _)| *id).collect();
        let customers = witness.customers.iter().filter(|(of, _)| of == tenant).map(|(_, id)| *id).collect();
        let listed = rows::<Inbox>(engine, tenant)?.iter().map(|row| row.id.0).collect();
        differ(tenant, "conversations", &listed, &conversations, &mut found);
        let listed: BTreeSet<_> = rows::<Resolutions>(engine, tenant)?
            .iter()
            .filter_map(|row| row.facts().map(|facts| facts.id.0))
            .collect();
        differ(tenant, "cases", &listed, &cases, &mut found);
        let listed: BTreeSet<_> = rows::<Customers>(engine, tenant)?
            .iter()
            .filter_map(|row| row.state.facts().map(|facts| facts.id.0))
            .collect();
        differ(tenant, "customers", &listed, &customers, &mut found);
        let waiting = rows::<Waiting>(engine, tenant)?.len();
        if waiting > conversations.len() {
            found.push(format!(
                "at {tenant} {waiting} customers wait in {} conversations",
                conversations.len()
            ));
        }
        for id in witness.conversations.keys().filter(|id| !conversations.contains(*id)) {
            if engine.read_state::<Conversation>(tenant, *id)?.facts().is_some() {
                found.push(format!("conversation {id} can be read at {tenant}"));
            }
        }
    }
    let of = |id: &Uuid| witness.conversations.get(id).map(|told| &told.tenant);
    simulation.world.with_ledger(|ledger| {
        for sent in &ledger.accepted {
            if of(&sent.conversation.0) != Some(&sent.tenant)
                || simulation.world.script.customer(&sent.tenant, &sent.to).is_none()
                || sent.text.contains("Words of a person")
                    && !sent.text.contains(&format!("of {},", sent.tenant))
            {
                found.push(format!("not for a customer of {}: {sent:?}", sent.tenant));
            }
        }
        for (tenant, told) in &ledger.told_of {
            if told.parse().ok().as_ref().and_then(of) != Some(tenant) {
                found.push(format!("the endpoint of {tenant} was told of conversation {told}"));
            }
        }
    });
    Ok(found)
}

/// All rows of a tenant's list, which are read at once.
fn rows<V: View>(engine: &Engine, tenant: &TenantId) -> Result<Vec<V::Row>, String> {
    let page = engine.views().page::<V>(tenant, 0, usize::MAX, |_| true).now_or_never();
    Ok(page.ok_or("a list was not read at once")?.map_err(|error| error.to_string())?.items)
}

fn differ(
    tenant: &TenantId,
    what: &str,
    listed: &BTreeSet<Uuid>,
    recorded: &BTreeSet<Uuid>,
    found: &mut Vec<String>,
) {
    for id in listed.difference(recorded) {
        found.push(format!("the list of {what} of {tenant} shows {id}, which is not its own"));
    }
    for id in recorded.difference(listed) {
        found.push(format!("the list of {what} of {tenant} does not show {id}"));
    }
}
