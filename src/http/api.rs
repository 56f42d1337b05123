//! The API, one file a noun.

mod agents;
mod attachments;
mod audit;
mod conversations;
mod customers;
mod dead_letters;
mod history;
mod operate;
mod policy;
mod recovery;
mod resolutions;
pub(super) mod shown;
pub(super) mod silences;
mod sla;
pub(super) mod status;
mod system;
mod teams;
mod templates;
mod tenants;
mod tokens;
mod webhooks;
mod work;
mod writing;

use std::sync::Arc;

use serde::Serialize as _;
use throughline_workflows::{ids::TenantId, views::View, workflow::By};
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

use super::{Edge, problem::Problem};

pub(super) fn routes() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::new()
        .merge(conversations::routes())
        .merge(attachments::routes())
        .merge(writing::routes())
        .merge(work::routes())
        .merge(resolutions::routes())
        .merge(sla::routes())
        .merge(customers::routes())
        .merge(agents::routes())
        .merge(teams::routes())
        .merge(tokens::routes())
        .merge(webhooks::routes())
        .merge(system::routes())
        .merge(recovery::routes())
        .merge(status::routes())
        .merge(silences::routes())
        .merge(history::routes())
        .merge(operate::routes())
        .merge(dead_letters::routes())
        .merge(policy::routes())
        .merge(templates::routes())
        .merge(tenants::routes())
        .merge(audit::routes())
}

/// The longest text that a request may give, in bytes: it must fit into one record with all that surrounds it.
const TEXT_MAX: usize = 16 * 1024;

/// Serialises who did something without what is not known of them.
fn known_of<S: serde::Serializer>(by: &By, serializer: S) -> Result<S::Ok, S::Error> {
    let mut known = serde_json::to_value(by).map_err(serde::ser::Error::custom)?;
    if let serde_json::Value::Object(fields) = &mut known {
        fields.retain(|_, value| !value.is_null());
    }
    known.serialize(serializer)
}

/// That `text` fits into a record.
fn check_length(field: &str, text: &str) -> Result<(), Problem> {
    if text.len() <= TEXT_MAX {
        return Ok(());
    }
    Err(Problem::invalid(
        field,
        format!("{field} is {} bytes long; at most {TEXT_MAX} are taken.", text.len()),
    ))
}

/// One entity's row, folded from its journal, so that it shows every write at once.
async fn present<V: View>(edge: &Edge, tenant: &TenantId, id: Uuid) -> Result<Option<V::Row>, Problem> {
    let events = edge.engine.events::<V::Source>(tenant, id).await.map_err(Problem::unreadable)?;
    Ok(events.iter().fold(None, |row, recorded| V::fold(row, &recorded.event, &recorded.meta(id))))
}
