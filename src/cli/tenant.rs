//! `throughline tenant`: who shares the server.

use std::net::SocketAddr;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use throughline_workflows::ids::TenantId;

use super::{
    page::{Page, list},
    remote::Remote,
    show::{Column, Rows, pretty},
};

const ROWS: Rows = Rows(&[
    Column::Plain("name"),
    Column::Plain("title"),
    Column::Plain("source"),
    Column::Time("added_at"),
    Column::Plain("policy_version"),
]);

const PATH: [&str; 3] = ["api", "v1", "tenants"];

/// Add and list tenants.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  throughline tenant add acme --title Acme")]
pub(super) struct Tenant {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Add a tenant; it works at once
    #[command(after_help = "Example:\n  throughline tenant add acme --title Acme")]
    Add {
        /// Its name in paths, tokens and keys: 1 to 63 of a-z, 0-9 and '-'
        name: TenantId,
        /// The name customers know it by; otherwise that of the tenant
        #[arg(long)]
        title: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// List them
    #[command(after_help = "Example:\n  throughline tenant list --json")]
    List {
        #[command(flatten)]
        page: Page,
        #[command(flatten)]
        remote: Remote,
    },
}

impl Tenant {
    pub(super) async fn run(
        &self,
        listen: impl FnOnce() -> anyhow::Result<SocketAddr>,
    ) -> anyhow::Result<String> {
        match &self.act {
            Act::Add { name, title, remote } => {
                let mut body = json!({ "name": name });
                if let Some(title) = title {
                    body["title"] = json!(title);
                }
                let answer = remote.client(listen)?.send(Method::POST, &PATH, &body).await?;
                Ok(if remote.json { pretty(&answer.body) } else { next_steps(name) })
            }
            Act::List { page, remote } => list(remote, page, listen, &PATH, Vec::new(), ROWS).await,
        }
    }
}

/// What there is to do with a new tenant.
fn next_steps(name: &TenantId) -> String {
    format!(
        "tenant {name} is there; its webhooks are under /t/{name}/api/webhooks\n\
         a token for it: throughline token create --role admin --tenant {name}"
    )
}
