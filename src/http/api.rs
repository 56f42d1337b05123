//! The API, one file a noun.

mod agents;
mod attachments;
mod conversations;
mod customers;
mod dead_letters;
pub(super) mod shown;
mod system;
mod teams;
mod tokens;
mod webhooks;
mod work;
mod writing;

use std::sync::Arc;

use throughline_workflows::{ids::TenantId, views::View};
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

use super::{Edge, problem::Problem};

pub(super) fn routes() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::new()
        .merge(conversations::routes())
        .merge(attachments::routes())
        .merge(writing::routes())
        .merge(work::routes())
        .merge(customers::routes())
        .merge(agents::routes())
        .merge(teams::routes())
        .merge(tokens::routes())
        .merge(webhooks::routes())
        .merge(system::routes())
        .merge(dead_letters::routes())
}

/// The longest text that a request may give, in bytes: it must fit into one record with all that surrounds it.
const TEXT_MAX: usize = 16 * 1024;

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
