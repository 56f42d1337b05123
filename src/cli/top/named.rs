//! An entity by its name, and the commands that are typed about it.

use serde_json::Value;
use throughline_workflows::ids::TenantId;

use super::snapshot::text;

/// An entity that can be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Named {
    pub(in crate::cli) kind: String,
    pub(in crate::cli) id: String,
    pub(in crate::cli) tenant: Option<String>,
}

/// The entity whose kind and id stand in these fields.
pub(in crate::cli) fn named(row: &Value, kind: &str, id: &str) -> Option<Named> {
    let (kind, id) = (text(row, kind), text(row, id));
    (!kind.is_empty() && !id.is_empty()).then_some(Named { kind, id, tenant: tenant_of(row) })
}

/// Whose a row is, where it says so.
pub(in crate::cli) fn tenant_of(row: &Value) -> Option<String> {
    Some(text(row, "/tenant")).filter(|tenant| !tenant.is_empty())
}

impl Named {
    /// The command that shows it.
    pub(in crate::cli) fn inspect(&self, more: &str) -> String {
        format!("throughline inspect {} {}{}{more}", self.kind, self.id, self.of_tenant())
    }

    /// The command that lets it go on.
    pub(in crate::cli) fn resume(&self) -> String {
        format!("throughline actors resume {} {}{} --reason \"…\"", self.kind, self.id, self.of_tenant())
    }

    /// Operators belong to the first tenant: another one must be named.
    fn of_tenant(&self) -> String {
        let other =
            self.tenant.as_ref().filter(|tenant| tenant.as_str() != TenantId::default_tenant().as_str());
        other.map(|tenant| format!(" --tenant {tenant}")).unwrap_or_default()
    }
}
