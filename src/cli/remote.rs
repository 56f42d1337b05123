//! A running server, asked through its API.
//!
//! What time it is the server says: commands on a manual clock would be wrong by this machine's.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, anyhow};
use clap::Args;
use reqwest::{Method, RequestBuilder, StatusCode, header};
use serde_json::Value;
use url::Url;

use throughline_workflows::time::Timestamp;

use super::values;
use crate::config::reachable;

/// Longer than any answer takes; a retry of a dead letter is one turn.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longer than any backup takes; who reads it watches whether something comes.
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// Which server to ask, and how to answer.
#[derive(Debug, Args)]
pub(super) struct Remote {
    /// The server's address; otherwise the one that the configuration listens on
    #[arg(long, env = "THROUGHLINE_SERVER", value_name = "URL", value_parser = values::server)]
    server: Option<Url>,

    /// The token to show it
    #[arg(long, env = "THROUGHLINE_TOKEN", hide_env_values = true)]
    token: Option<String>,

    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// What the server answered with something other than JSON.
pub(super) enum Opened {
    /// It begins to send.
    Body(reqwest::Response),
    /// What is asked for contradicts what is there.
    Conflict(anyhow::Error),
}

/// What the server answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) body: Value,
    /// The server's time, where it told it.
    pub(super) now: Option<Timestamp>,
}

/// A server that can be asked.
#[derive(Clone, Debug)]
pub(super) struct Client {
    base: Url,
    token: Option<String>,
    http: reqwest::Client,
}

impl Remote {
    /// The server to ask; `listen` reads the configuration, only if no server was named.
    pub(super) fn client(
        &self,
        listen: impl FnOnce() -> anyhow::Result<SocketAddr>,
    ) -> anyhow::Result<Client> {
        let base = match &self.server {
            Some(server) => server.clone(),
            None => {
                Url::parse(&format!("http://{}", reachable(listen()?))).context("the listening address")?
            }
        };
        let http = crate::tls::client().timeout(PATIENCE).build().context("no client")?;
        let token = self.token.as_deref().map(str::trim).filter(|token| !token.is_empty());
        Ok(Client { base, token: token.map(str::to_owned), http })
    }
}

impl Client {
    /// Where the server is.
    pub(super) fn address(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }

    /// Reads what stands at the path made of `segments`.
    pub(super) async fn get(&self, segments: &[&str], query: &[(&str, String)]) -> anyhow::Result<Answer> {
        self.answer(self.request(Method::GET, segments)?.query(query)).await
    }

    /// Reads what stands at the path made of `segments`, however long it takes to come.
    pub(super) async fn open(&self, segments: &[&str], query: &[(&str, String)]) -> anyhow::Result<Opened> {
        let request = self.request(Method::GET, segments)?.query(query).timeout(WEEK);
        let asked = tokio::time::timeout(PATIENCE, request.send()).await;
        let response = match asked {
            Ok(response) => response.map_err(|error| self.unreachable(error))?,
            Err(_) => return Err(self.silent()),
        };
        let status = response.status();
        if status.is_success() {
            return Ok(Opened::Body(response));
        }
        let bytes = response.bytes().await.map_err(|error| self.unreachable(error))?;
        let refusal = self.refusal(status, &serde_json::from_slice(&bytes).unwrap_or(Value::Null));
        if status == StatusCode::CONFLICT { Ok(Opened::Conflict(refusal)) } else { Err(refusal) }
    }

    /// Changes something.
    pub(super) async fn send(
        &self,
        method: Method,
        segments: &[&str],
        body: &Value,
    ) -> anyhow::Result<Answer> {
        self.send_to(method, segments, &[], body).await
    }

    /// Changes something that the query says more of.
    pub(super) async fn send_to(
        &self,
        method: Method,
        segments: &[&str],
        query: &[(&str, String)],
        body: &Value,
    ) -> anyhow::Result<Answer> {
        self.answer(self.request(method, segments)?.query(query).json(body)).await
    }

    fn request(&self, method: Method, segments: &[&str]) -> anyhow::Result<RequestBuilder> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| anyhow!("{} can have no path", self.base))?
            .pop_if_empty()
            .extend(segments);
        let request = self.http.request(method, url).header(header::ACCEPT, "application/json");
        Ok(match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    }

    async fn answer(&self, request: RequestBuilder) -> anyhow::Result<Answer> {
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = response.status();
        let date =
            response.headers().get(header::DATE).and_then(|date| date.to_str().ok()).map(str::to_owned);
        let bytes = response.bytes().await.map_err(|error| self.unreachable(error))?;
        let body = if bytes.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&bytes) };
        if !status.is_success() {
            return Err(self.refusal(status, &body.unwrap_or(Value::Null)));
        }
        let body =
            body.with_context(|| format!("{} does not answer in JSON; is it Throughline?", self.base))?;
        let told = body.get("now").and_then(Value::as_str).and_then(|now| now.parse().ok());
        let now = told.or_else(|| {
            let date = chrono::DateTime::parse_from_rfc2822(&date?).ok()?;
            Some(Timestamp::from_chrono(date.to_utc()))
        });
        Ok(Answer { body, now })
    }

    fn unreachable(&self, error: reqwest::Error) -> anyhow::Error {
        let base = self.base.as_str().trim_end_matches('/');
        if error.is_connect() {
            anyhow!(
                "no server answers at {base}; start it with `throughline serve`, or name another with --server"
            )
        } else if error.is_timeout() {
            self.silent()
        } else {
            anyhow::Error::new(error.without_url()).context(format!("the server at {base} cannot be asked"))
        }
    }

    fn silent(&self) -> anyhow::Error {
        let base = self.base.as_str().trim_end_matches('/');
        anyhow!("the server at {base} did not answer within {} seconds", PATIENCE.as_secs())
    }

    /// A problem (RFC 9457) in one line.
    fn refusal(&self, status: StatusCode, body: &Value) -> anyhow::Error {
        let member = |name| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let title = member("title").map_or_else(|| format!("the server answered {status}"), str::to_owned);
        let mut text = match member("detail") {
            Some(detail) => format!("{}: {detail}", title.trim_end_matches('.')),
            None => title,
        };
        if status == StatusCode::UNAUTHORIZED && self.token.is_none() {
            text.push_str(" (give a token with --token or THROUGHLINE_TOKEN)");
        }
        anyhow!(text)
    }
}
