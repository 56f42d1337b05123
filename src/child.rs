//! This program as a server of its own, for a rehearsal or a benchmark.

use std::{process::Stdio, time::Duration};

use anyhow::{Context as _, anyhow};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

/// Starts a server, killed when it is dropped, and waits until it says under which address it listens; none where it
/// ended before.
///
/// # Errors
/// If it cannot be started, or takes longer than `patience`.
pub(crate) async fn start(
    command: &mut Command,
    patience: Duration,
) -> anyhow::Result<(Child, Option<String>)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("the server cannot be started")?;
    let out = child.stdout.take().ok_or_else(|| anyhow!("the server has no output"))?;
    let mut lines = BufReader::new(out).lines();
    let ready = async {
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some(address) = line.split_whitespace().find(|word| word.starts_with("http://")) {
                return Some(address.to_owned());
            }
        }
        None
    };
    let base = tokio::time::timeout(patience, ready).await.context("the server does not start")?;
    // What else it says must not fill the pipe.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok((child, base))
}
