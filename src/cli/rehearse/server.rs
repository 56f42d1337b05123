//! The server of a rehearsal: this program as a child process on a folder and a clock of its own.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use sha1::Sha1;
use tokio::process::{Child, Command};
use url::form_urlencoded;

use throughline_workflows::time::Timestamp;

use super::provider::ACCOUNT;
use crate::child;

/// Longer than a start or any answer takes; an advance over hours is many turns.
const PATIENCE: Duration = Duration::from_secs(90);

/// The address that the text message provider was given, whatever port the server listens on.
const PUBLIC_URL: &str = "http://127.0.0.1:8080";

/// What a server is started with; it outlives the process.
#[derive(Debug)]
pub(super) struct Site {
    folder: PathBuf,
    provider: String,
    admin: String,
    auth_token: String,
}

/// A running server. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    base: String,
    http: reqwest::Client,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Value,
}

impl Site {
    /// A site in `folder` whose texts go to the provider at `provider`.
    pub(super) fn new(folder: &Path, provider: &str) -> Self {
        let secret = || format!("{:032x}", rand::random::<u128>());
        Self {
            folder: folder.to_owned(),
            provider: provider.to_owned(),
            admin: secret(),
            auth_token: secret(),
        }
    }

    /// The token that opens everything.
    pub(super) fn admin(&self) -> &str {
        &self.admin
    }

    /// Starts the server, its clock at `start` or, if that is later, where it stood.
    pub(super) async fn start(&self, start: Timestamp) -> anyhow::Result<Server> {
        let config = self.folder.join("config.toml");
        std::fs::write(&config, self.config(start)).with_context(|| config.display().to_string())?;
        let log = self.folder.join("server.log");
        let errors = std::fs::OpenOptions::new().create(true).append(true).open(&log);
        let errors = errors.with_context(|| log.display().to_string())?;
        let program = std::env::current_exe().context("where this program is")?;
        let mut command = Command::new(program);
        command
            .args(["serve".as_ref(), "--config".as_ref(), config.as_os_str()])
            .current_dir(&self.folder)
            // Nothing of this machine's own settings may reach it.
            .env_clear()
            .env("THROUGHLINE_ADMIN_TOKEN", &self.admin)
            .stderr(errors);
        let (child, base) = child::start(&mut command, PATIENCE).await?;
        let Some(base) = base else {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            bail!("the server ended at its start: {}", said.trim());
        };
        let http = crate::tls::client().timeout(PATIENCE).build().context("no client")?;
        Ok(Server { child, base, http })
    }

    fn config(&self, start: Timestamp) -> String {
        let text = |value: &str| Value::from(value).to_string();
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\npublic_url = {}\n\n[storage]\npath = {}\nmin_free = \"1MiB\"\n\n\
             [clock]\nmode = \"manual\"\nstart = {}\n\n[log]\nfilter = \"warn\"\n\n\
             [channels.sms]\ntransport = \"provider\"\nbase_url = {}\naccount_sid = {}\nauth_token = {}\n",
            text(PUBLIC_URL),
            text(&self.folder.join("data").to_string_lossy()),
            text(&start.to_string()),
            text(&self.provider),
            text(ACCOUNT),
            text(&self.auth_token),
        )
    }

    /// Posts a text message as the provider does, signed; returns once the server has taken it.
    pub(super) async fn text(
        &self,
        server: &Server,
        sid: &str,
        from: &str,
        text: &str,
    ) -> anyhow::Result<()> {
        let pairs = [
            ("AccountSid", ACCOUNT),
            ("Body", text),
            ("From", from),
            ("MessageSid", sid),
            ("NumMedia", "0"),
            ("NumSegments", "1"),
            ("SmsStatus", "received"),
            ("To", "+15550100200"),
        ];
        let path = "/api/webhooks/twilio/sms";
        let signature = sign(&self.auth_token, &format!("{PUBLIC_URL}{path}"), &pairs)?;
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let request = server
            .http
            .post(format!("{}{path}", server.base))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("x-twilio-signature", signature)
            .body(body);
        let answer = request.send().await.context("the webhook is not answered")?;
        ensure!(answer.status().is_success(), "the webhook answered {}", answer.status());
        Ok(())
    }
}

impl Server {
    /// Asks as the bearer of `token`.
    pub(super) async fn ask(
        &self,
        method: Method,
        token: &str,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Reply> {
        let request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(token);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let answer = request.send().await.with_context(|| format!("{path} is not answered"))?;
        let status = answer.status();
        let body = answer.bytes().await.with_context(|| format!("{path} is not answered"))?;
        Ok(Reply { status, body: serde_json::from_slice(&body).unwrap_or(Value::Null) })
    }

    /// Reads, and is answered.
    pub(super) async fn get(&self, token: &str, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::GET, token, path, None).await?.granted(path)
    }

    /// Changes something, and is answered.
    pub(super) async fn post(&self, token: &str, path: &str, body: Value) -> anyhow::Result<Value> {
        self.ask(Method::POST, token, path, Some(&body)).await?.granted(path)
    }

    /// Moves the clock by `seconds`; with none, waits until everything has come to rest.
    pub(super) async fn advance(&self, token: &str, seconds: u64) -> anyhow::Result<Timestamp> {
        let body = json!({ "by": format!("{seconds}s") });
        let answer = self.post(token, "/api/v1/system/clock/advance", body).await?;
        let now = answer.get("now").and_then(Value::as_str).and_then(|now| now.parse().ok());
        now.ok_or_else(|| anyhow!("the server does not say where its clock stands"))
    }

    /// Kills it as `kill -9` does: nothing is said, nothing is finished.
    pub(super) async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("the server cannot be killed")
    }
}

/// A form's signature as the provider makes it: over the address and the fields in the order of their names.
fn sign(token: &str, url: &str, pairs: &[(&str, &str)]) -> anyhow::Result<String> {
    let mut sorted = pairs.to_vec();
    sorted.sort_unstable();
    let mut mac = Hmac::<Sha1>::new_from_slice(token.as_bytes()).context("the token signs nothing")?;
    mac.update(url.as_bytes());
    for (name, value) in sorted {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    Ok(STANDARD.encode(mac.finalize().into_bytes()))
}

impl Reply {
    fn granted(self, path: &str) -> anyhow::Result<Value> {
        if self.status.is_success() {
            return Ok(self.body);
        }
        let said = ["title", "detail"].iter().filter_map(|name| self.body.get(*name)?.as_str());
        bail!("{path} answered {}: {}", self.status, said.collect::<Vec<_>>().join(" "))
    }
}
