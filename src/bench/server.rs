//! The real server as a process, on a folder of its own.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use throughline_actors::clock::Stopwatch;
use throughline_storage::store::Engine;

/// The token of its administrator.
pub(crate) const TOKEN: &str = "an-admin-token-for-benchmarks";

/// Between two looks at what the server has still to do.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A running server.
pub(crate) struct Server {
    child: Child,
    pub(crate) base: String,
    pub(crate) address: SocketAddr,
    http: reqwest::Client,
    /// From starting the process until it said that it is ready.
    pub(crate) ready_after: Duration,
}

impl Server {
    pub(crate) async fn start(folder: &Path, engine: Engine) -> Self {
        let watch = Stopwatch::start();
        let mut child = Command::new(env!("CARGO_BIN_EXE_throughline"))
            .current_dir(folder)
            .env_clear()
            .env("THROUGHLINE_ADMIN_TOKEN", TOKEN)
            .env("THROUGHLINE__SERVER__LISTEN", "127.0.0.1:0")
            .env("THROUGHLINE__STORAGE__PATH", folder.join("data"))
            .env("THROUGHLINE__STORAGE__ENGINE", engine.name())
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
        let address = base.trim_start_matches("http://").parse().expect("an address");
        let http = throughline::tls::client().build().expect("a client");
        while !http
            .get(format!("{base}/readyz"))
            .send()
            .await
            .is_ok_and(|answer| answer.status().is_success())
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Self { child, base, address, http, ready_after: watch.elapsed() }
    }

    /// What an operator is shown of the server.
    pub(crate) async fn status(&self) -> Value {
        self.get("/api/v1/system/status").await
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let asked = self.http.get(format!("{}{path}", self.base)).bearer_auth(TOKEN).send().await;
        asked.expect("an answer").json().await.expect("JSON")
    }

    /// Messages that are durable and not handled yet.
    pub(crate) async fn backlog(&self) -> u64 {
        self.status().await["commits"]["inbox_pending"].as_u64().expect("a number")
    }

    /// Returns once every message has been handled and every list shows it.
    pub(crate) async fn drained(&self) {
        loop {
            let status = self.status().await;
            if status["commits"]["inbox_pending"] == 0 && status["projected_seq"] == status["seq"] {
                return;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Resident memory in MiB, as the operating system counts it.
    pub(crate) fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(f64::NAN) / 1024.0
    }

    /// What its threads have spent on all cores, as the operating system counts it.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        // After the name, which may hold anything: the 12th and 13th field are ticks of program and system.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Stops it as an operator would, and waits for its end.
    pub(crate) fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal sent");
        self.child.wait().expect("its end");
    }

    /// Ends it as a power cut would, but for the disk.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("a signal sent");
        self.child.wait().expect("its end");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill(); // It may have ended.
        let _ = self.child.wait();
    }
}
