//! The machine's words: a view of the tenant's settings, and a shorter way to change them.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use throughline_workflows::{policy::is_language, role::Action, template};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    super::{
        Edge,
        auth::Caller,
        change::{Change, Changed},
        extract::{Asked, At, Listed, Paging, PagingParams},
        problem::{Kind, Problem},
    },
    check_length,
    policy::{self, PolicyChanged, Whose},
};

pub(super) fn routes() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(put, take_away))
}

/// The words of one template in one language.
#[derive(Serialize, ToSchema)]
struct Template {
    /// The language, for example `en` or `pt-BR`.
    language: String,
    /// What it is for, for example `acknowledgement`.
    name: String,
    /// The words, with variables in braces.
    text: String,
    /// The variables that it may hold.
    variables: Vec<&'static str>,
    /// Who wrote it: `built_in`, `configuration` or `api`.
    source: &'static str,
}

/// Words.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TemplateWords)]
struct Words {
    /// With variables in braces; a brace that means itself is written twice.
    text: String,
}

/// No fields.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// The words in force, by language and name, each with the variables that it may hold.
#[utoipa::path(
    get, path = "/api/v1/templates", tag = "policy", params(Whose, PagingParams),
    responses((status = 200, body = Listed<Template>), Problem)
)]
async fn list(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    Asked(Whose { tenant }): Asked<Whose>,
    paging: Paging,
) -> Result<Json<Listed<Template>>, Problem> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Set {
        templates: BTreeMap<String, BTreeMap<String, String>>,
    }
    let tenant = caller.tenant_named(&edge, tenant.as_deref())?;
    let (state, owned) = policy::in_force(&edge, &tenant).await?;
    let set: Set = serde_json::from_str(state.settings()).map_err(Problem::unreadable)?;
    let edits: Set = serde_json::from_str(state.edits()).map_err(Problem::unreadable)?;
    let mut templates = Vec::new();
    for (language, words) in set.templates {
        for (name, text) in words {
            let edited = edits.templates.get(&language).is_some_and(|words| words.contains_key(&name));
            let source = if owned.contains(&format!("templates.{language}.{name}")) {
                "configuration"
            } else if edited {
                "api"
            } else {
                "built_in"
            };
            let variables = template::variables(&name).unwrap_or_default().to_vec();
            templates.push(Template { language: language.clone(), name, text, variables, source });
        }
    }
    Ok(Json(paging.cut(templates)))
}

/// Writes the words of one template in one language.
#[utoipa::path(
    put, path = "/api/v1/templates/{language}/{name}", tag = "policy", request_body = Words,
    params(("language" = String, Path), ("name" = String, Path), Whose, ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<PolicyChanged>), Problem)
)]
async fn put(
    State(edge): State<Arc<Edge>>,
    At((language, name)): At<(String, String)>,
    Asked(Whose { tenant }): Asked<Whose>,
    change: Change<Words>,
) -> Result<Changed<PolicyChanged>, Problem> {
    let text = change.body.text.clone();
    check_length("text", &text)?;
    write(&edge, tenant.as_deref(), &change, (language, name), json!(text)).await
}

/// Takes away what was written here, so that the configuration's or the built-in words hold again.
#[utoipa::path(
    delete, path = "/api/v1/templates/{language}/{name}", tag = "policy", request_body = Nothing,
    params(("language" = String, Path), ("name" = String, Path), Whose, ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<PolicyChanged>), Problem)
)]
async fn take_away(
    State(edge): State<Arc<Edge>>,
    At((language, name)): At<(String, String)>,
    Asked(Whose { tenant }): Asked<Whose>,
    change: Change<Nothing>,
) -> Result<Changed<PolicyChanged>, Problem> {
    write(&edge, tenant.as_deref(), &change, (language, name), Value::Null).await
}

async fn write<T>(
    edge: &Edge,
    tenant: Option<&str>,
    change: &Change<T>,
    (language, name): (String, String),
    text: Value,
) -> Result<Changed<PolicyChanged>, Problem> {
    change.caller.must(Action::EditPolicy)?;
    let tenant = change.caller.tenant_named(edge, tenant)?;
    if !is_language(&language) {
        let detail = format!("{language:?} is no language; one is written en or pt-BR.");
        return Err(Problem::with(Kind::NotFound, detail));
    }
    if template::variables(&name).is_none() {
        let names = template::names().join(", ");
        return Err(Problem::with(
            Kind::NotFound,
            format!("There is no template {name:?}; there are {names}."),
        ));
    }
    policy::apply(edge, &tenant, change, json!({ "templates": { language: { name: text } } })).await
}
