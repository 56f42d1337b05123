//! The real server as a process: webhooks a second, how soon it is ready, and what it takes in memory.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use throughline_actors::clock::Stopwatch;

use crate::{
    disk, folder, inside,
    table::{Table, ms, quantile, rate, shown},
};

const TOKEN: &str = "an-admin-token-for-benchmarks";

/// How long each load lasts.
const LOAD: Duration = Duration::from_secs(5);

/// Conversations that the load is spread over.
const CONVERSATIONS: usize = 500;

/// Webhooks to existing conversations: how many are answered, and how many handled.
pub(crate) async fn webhooks() {
    let raw = disk::raw(1, 1_000);
    let table = Table::new(
        &format!(
            "Webhooks a second on generic/web, durable before the 2xx (raw fdatasync, one at a time: {})",
            shown(raw)
        ),
        &["clients", "answered", "p50", "p99", "handled"],
    );
    for clients in [1, 16, 64] {
        let folder = folder("webhook");
        let server = Server::start(folder.path());
        let client = throughline::tls::client().build().expect("a client");
        for chunk in (0..CONVERSATIONS).collect::<Vec<_>>().chunks(50) {
            let sent = chunk.iter().map(|sender| post(&client, &server.base, *sender, *sender));
            futures::future::join_all(sent).await;
        }
        server.drained(&client).await;
        let next = Arc::new(AtomicUsize::new(CONVERSATIONS));
        let watch = Stopwatch::start();
        let asking = (0..clients).map(|_| {
            let (client, base, next) = (client.clone(), server.base.clone(), next.clone());
            tokio::spawn(async move {
                let mut times = Vec::new();
                while watch.elapsed() < LOAD {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let one = Stopwatch::start();
                    post(&client, &base, number % CONVERSATIONS, number).await;
                    times.push(one.elapsed());
                }
                times
            })
        });
        let times = futures::future::join_all(asking.collect::<Vec<_>>()).await;
        let answered = watch.elapsed();
        server.drained(&client).await;
        let handled = watch.elapsed();
        let mut times: Vec<Duration> = times.into_iter().flat_map(|times| times.expect("a task")).collect();
        table.row(&[
            clients.to_string(),
            shown(rate(times.len(), answered)),
            ms(quantile(&mut times, 0.5)),
            ms(quantile(&mut times, 0.99)),
            shown(rate(times.len(), handled)),
        ]);
    }
}

/// From starting the process to a server that says it is ready, and its memory then.
pub(crate) async fn starts() {
    let table = Table::new("Starting the server", &["folder", "ready after", "resident memory"]);
    let empty = folder("empty");
    start_and_tell(&table, "empty", empty.path()).await;
    let full = folder("full");
    let data = full.path().join("data");
    std::fs::create_dir_all(&data).expect("a folder");
    let engine = inside::start(&data).await;
    inside::conversations(&engine, 100_000).await;
    engine.drain().await.expect("a clean end");
    drop(engine);
    start_and_tell(&table, "100,000 conversations, first start after loading", full.path()).await;
    start_and_tell(&table, "100,000 conversations, after a clean stop", full.path()).await;
}

async fn start_and_tell(table: &Table, name: &str, folder: &Path) {
    let watch = Stopwatch::start();
    let server = Server::start(folder);
    let ready = watch.elapsed();
    let client = throughline::tls::client().build().expect("a client");
    let answer = client.get(format!("{}/readyz", server.base)).send().await.expect("an answer");
    assert!(answer.status().is_success(), "ready: {:?}", answer.text().await);
    table.row(&[name.to_owned(), ms(ready), server.memory()]);
    server.stop();
}

async fn post(client: &reqwest::Client, base: &str, sender: usize, number: usize) {
    let body = json!({
        "id": format!("bench-{number}"),
        "from": { "email": format!("customer{sender}@example.com"), "name": "Ada" },
        "text": "Where is my parcel? It should have been here on Monday.",
    });
    let answer = client.post(format!("{base}/api/webhooks/generic/web")).json(&body).send().await;
    let answer = answer.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.status());
}

struct Server {
    child: Child,
    base: String,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_throughline"))
            .current_dir(folder)
            .env_clear()
            .env("THROUGHLINE_ADMIN_TOKEN", TOKEN)
            .env("THROUGHLINE__SERVER__LISTEN", "127.0.0.1:0")
            .env("THROUGHLINE__STORAGE__PATH", folder.join("data"))
            .env("THROUGHLINE__CONVERSATION__ACKNOWLEDGE", "false")
            .env("THROUGHLINE__LOG__FILTER", "error")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server's program");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let base = loop {
            let line = lines.next().expect("a server that starts").expect("text");
            if let Some(at) = line.find("http://") {
                break line[at..].split_whitespace().next().unwrap_or_default().to_owned();
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, base }
    }

    /// Returns once every message has been handled.
    async fn drained(&self, client: &reqwest::Client) {
        loop {
            let status = client.get(format!("{}/api/v1/system/status", self.base)).bearer_auth(TOKEN);
            let status: Value = status.send().await.expect("an answer").json().await.expect("JSON");
            if status["commits"]["inbox_pending"] == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Resident memory as the operating system counts it.
    fn memory(&self) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or("VmRSS: unknown");
        let kib: f64 = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(f64::NAN);
        format!("{:.1} MiB", kib / 1024.0)
    }

    fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal sent");
        self.child.wait().expect("its end");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill(); // It may have ended.
        let _ = self.child.wait();
    }
}
