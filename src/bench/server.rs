//! The real server as a process, on a folder of its own.

use std::{net::SocketAddr, path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, bail};
use serde_json::Value;
use throughline_actors::clock::Stopwatch;
use throughline_storage::store::Engine;
use tokio::process::{Child, Command};

use crate::child;

/// Between two looks at what the server has still to do.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Between two looks at whether it is ready: so precise is how long that took.
const READY_AGAIN: Duration = Duration::from_millis(1);

/// Longer than any start takes.
const PATIENCE: Duration = Duration::from_secs(600);

/// A running server. It is killed when this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    base: String,
    token: String,
    http: reqwest::Client,
    /// From starting the process until it said that it is ready.
    pub ready_after: Duration,
}

impl Server {
    /// Starts `program` on a folder with this storage engine and settings as they are built in, but that nobody is
    /// acknowledged; `token` opens everything.
    ///
    /// # Errors
    /// If it does not start; what it says of that goes to standard error.
    pub async fn start(program: &Path, folder: &Path, engine: Engine, token: &str) -> anyhow::Result<Self> {
        let watch = Stopwatch::start();
        let mut command = Command::new(program);
        command
            .arg("serve")
            .current_dir(folder)
            // Nothing of this machine's own settings may reach it.
            .env_clear()
            .env("THROUGHLINE_ADMIN_TOKEN", token)
            .env("THROUGHLINE__SERVER__LISTEN", "127.0.0.1:0")
            .env("THROUGHLINE__STORAGE__PATH", folder.join("data"))
            .env("THROUGHLINE__STORAGE__ENGINE", engine.name())
            .env("THROUGHLINE__CONVERSATION__ACKNOWLEDGE", "false")
            .env("THROUGHLINE__LOG__FILTER", "error")
            .stderr(Stdio::inherit());
        let (child, base) = child::start(&mut command, PATIENCE).await?;
        let Some(base) = base else { bail!("the server ended at its start") };
        let address = base.trim_start_matches("http://").parse().context("where it listens")?;
        let http = crate::tls::client().build().context("no client")?;
        let mut server =
            Self { child, address, base, token: token.to_owned(), http, ready_after: Duration::ZERO };
        while !server.is_ready().await {
            tokio::time::sleep(READY_AGAIN).await;
        }
        server.ready_after = watch.elapsed();
        Ok(server)
    }

    async fn is_ready(&self) -> bool {
        let asked = self.http.get(format!("{}/readyz", self.base)).send().await;
        asked.is_ok_and(|answer| answer.status().is_success())
    }

    /// What an operator is shown of the server.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn status(&self) -> anyhow::Result<Value> {
        self.get("/api/v1/system/status").await
    }

    /// What it answers at a path.
    ///
    /// # Errors
    /// If it does not answer, or not with JSON.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let asked = self.http.get(format!("{}{path}", self.base)).bearer_auth(&self.token).send().await;
        asked.with_context(|| format!("{path} is not answered"))?.json().await.context("no JSON")
    }

    /// Messages that are durable and not handled yet.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn backlog(&self) -> anyhow::Result<u64> {
        let status = self.status().await?;
        status.pointer("/commits/inbox_pending").and_then(Value::as_u64).context("no backlog is told")
    }

    /// Returns once every message has been handled and every list shows it.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn drained(&self) -> anyhow::Result<()> {
        loop {
            let status = self.status().await?;
            if status.pointer("/commits/inbox_pending") == Some(&Value::from(0))
                && status.get("projected_seq") == status.get("seq")
            {
                return Ok(());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// If the operating system does not tell.
    pub async fn ended(mut self) -> anyhow::Result<()> {
        self.child.wait().await.context("its end")?;
        Ok(())
    }

    /// Ends it as a power cut would, but for the disk.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("the server cannot be killed")
    }
}
