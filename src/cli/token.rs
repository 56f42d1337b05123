//! `throughline token`: who may use the API.

use std::net::SocketAddr;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use throughline_workflows::{ids::TenantId, time::Span};

use super::{
    page::{Page, list},
    remote::{Client, Remote},
    show::{Column, Rows, pretty},
    values,
};

const ROWS: Rows = Rows(&[
    Column::Plain("id"),
    Column::Plain("name"),
    Column::Plain("role"),
    Column::Plain("tenant"),
    Column::Plain("kind"),
    Column::Time("created_at"),
    Column::Time("expires_at"),
    Column::Time("revoked_at"),
]);

const PATH: [&str; 3] = ["api", "v1", "tokens"];

/// Make, list and revoke tokens for the API.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  throughline token create --role agent --name \"Ada's laptop\"")]
pub(super) struct Token {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Make a token and print its secret, which is shown this once
    #[command(
        after_help = "Example:\n  throughline token create --role agent --tenant acme --name \"Ada's laptop\" --expires-in 90d"
    )]
    Create {
        /// What its bearer may do
        #[arg(long)]
        role: Role,
        /// Whose data it opens; otherwise the tenant of the token that asks
        #[arg(long)]
        tenant: Option<TenantId>,
        /// What to call it in lists
        #[arg(long)]
        name: Option<String>,
        /// The agent who bears it: what they write to customers then carries the agent's name
        #[arg(long, value_name = "ID", value_parser = values::id)]
        agent_id: Option<Uuid>,
        /// How long it is good for, for example 90d; otherwise until it is revoked
        #[arg(long, value_name = "DURATION")]
        expires_in: Option<Span>,
        #[command(flatten)]
        remote: Remote,
    },
    /// List them, without their secrets
    #[command(after_help = "Example:\n  throughline token list --json")]
    List {
        #[command(flatten)]
        page: Page,
        #[command(flatten)]
        remote: Remote,
    },
    /// Take one away at once
    #[command(after_help = "Example:\n  throughline token revoke 019a9f3e-5c1d-7c3a-9d52-0f6f3f0b7c11")]
    Revoke {
        /// Its id
        #[arg(value_parser = values::id)]
        id: Uuid,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Role {
    Admin,
    Supervisor,
    Agent,
    Engineer,
    Api,
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Supervisor => "supervisor",
            Self::Agent => "agent",
            Self::Engineer => "engineer",
            Self::Api => "api",
        }
    }
}

impl Token {
    pub(super) async fn run(
        &self,
        listen: impl FnOnce() -> anyhow::Result<SocketAddr>,
    ) -> anyhow::Result<String> {
        match &self.act {
            Act::Create { role, tenant, name, agent_id, expires_in, remote } => {
                let client = remote.client(listen)?;
                let mut body = json!({ "role": role.name() });
                if let Some(tenant) = tenant {
                    body["tenant"] = json!(tenant);
                }
                if let Some(name) = name {
                    body["name"] = json!(name);
                }
                if let Some(agent) = agent_id {
                    body["agent_id"] = json!(agent);
                }
                if let Some(span) = expires_in {
                    body["expires_at"] = expiry(&client, *span).await?;
                }
                let answer = client.send(Method::POST, &PATH, &body).await?;
                Ok(if remote.json { pretty(&answer.body) } else { secret_of(&answer.body) })
            }
            Act::List { page, remote } => list(remote, page, listen, &PATH, Vec::new(), ROWS).await,
            Act::Revoke { id, remote } => {
                let [api, version, tokens] = PATH;
                let id = id.to_string();
                let path = [api, version, tokens, &id];
                let answer = remote.client(listen)?.send(Method::DELETE, &path, &json!({})).await?;
                Ok(if remote.json { pretty(&answer.body) } else { format!("{id} is revoked") })
            }
        }
    }
}

/// The end of a token's life, by the server's clock.
async fn expiry(client: &Client, span: Span) -> anyhow::Result<Value> {
    let now = client.get(&["healthz"], &[]).await?.now.context("the server does not say what time it is")?;
    Ok(json!(now + span))
}

/// The secret on a line of its own, so that it can be copied or piped, below what it belongs to.
fn secret_of(body: &Value) -> String {
    let member = |names: &[&str]| names.iter().find_map(|name| body.get(*name)?.as_str()).map(str::to_owned);
    match (member(&["id"]), member(&["secret", "token"])) {
        (Some(id), Some(secret)) => format!("token {id}, shown this once:\n{secret}"),
        (None, Some(secret)) => secret,
        (_, None) => pretty(body),
    }
}
