//! `throughline journal tail`: the newest events of a running server, and those that come.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
};

use clap::Args;
use serde_json::Value;

use super::super::{
    remote::{Client, Remote},
    show::plain,
};

/// How long the server waits for news before it says that there are none.
const WAIT: &str = "15s";

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  throughline journal tail --follow\n\n\
    With --json each event is one line of JSON, with its content. What is read so is noted in the audit.")]
pub(super) struct Tail {
    /// Events after this seq instead of the newest
    #[arg(long, value_name = "SEQ")]
    after: Option<u64>,

    /// How many of the newest events
    #[arg(long, short = 'n', default_value_t = 20, value_name = "COUNT", conflicts_with = "after")]
    newest: u64,

    /// Go on with those that come, until interrupted
    #[arg(long, short)]
    follow: bool,

    /// Of this tenant only
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,

    #[command(flatten)]
    remote: Remote,
}

impl Tail {
    /// Prints as it reads; nothing is left to be printed.
    pub(super) async fn run(
        self,
        listen: impl FnOnce() -> anyhow::Result<SocketAddr>,
    ) -> anyhow::Result<String> {
        let client = self.remote.client(listen)?;
        let mut after = match self.after {
            Some(after) => after,
            None => {
                let end = self.ask(&client, u64::MAX, false).await?;
                number(&end, "seq").saturating_sub(self.newest)
            }
        };
        let mut waits = false;
        loop {
            let answer = self.ask(&client, after, waits).await?;
            if !self.print(&answer)? {
                return Ok(String::new());
            }
            let reached = number(&answer, "reached");
            let nothing_new = reached <= after;
            after = after.max(reached);
            if !self.follow && (nothing_new || after >= number(&answer, "seq")) {
                return Ok(String::new());
            }
            waits = self.follow && nothing_new;
        }
    }

    async fn ask(&self, client: &Client, after: u64, waits: bool) -> anyhow::Result<Value> {
        let mut query = vec![("after", after.to_string())];
        query.extend(self.tenant.iter().map(|tenant| ("tenant", tenant.clone())));
        if waits {
            query.push(("wait", WAIT.to_owned()));
        }
        Ok(client.get(&["api", "v1", "system", "journal"], &query).await?.body)
    }

    /// Answers false once nobody reads any more.
    fn print(&self, answer: &Value) -> anyhow::Result<bool> {
        let list = |name| answer.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut out = io::stdout().lock();
        for item in list("items") {
            let line = if self.remote.json { item.to_string() } else { line(item) };
            match writeln!(out, "{line}").and_then(|()| out.flush()) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(false),
                written => written?,
            }
        }
        for unreadable in list("unreadable") {
            let _ = writeln!(io::stderr(), "throughline: cannot be read: {}", plain(unreadable));
        }
        Ok(true)
    }
}

/// One event in one line: where it stands, when, whose, what, and who made it happen.
fn line(item: &Value) -> String {
    let field = |name: &str| item.get(name).map(plain).unwrap_or_default();
    let within = |outer: &str, name: &str| {
        item.get(outer).and_then(|outer| outer.get(name)).map(plain).unwrap_or_default()
    };
    let by = match within("by", "name") {
        name if name.is_empty() => within("by", "kind"),
        name => format!("{} {name}", within("by", "kind")),
    };
    format!(
        "{:>8}  {}  {} {} {} v{}  {}  by {by}, {} {}",
        field("seq"),
        field("timestamp"),
        field("tenant"),
        field("kind"),
        field("id"),
        field("version"),
        field("type"),
        within("cause", "kind"),
        within("cause", "id"),
    )
}

fn number(answer: &Value, name: &str) -> u64 {
    answer.get(name).and_then(Value::as_u64).unwrap_or_default()
}
