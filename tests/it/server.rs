//! The real server as a child process: started on a free loopback port, asked over HTTP, killed or stopped.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use serde_json::Value;

/// The admin token of every test server.
pub(crate) const TOKEN: &str = "an-admin-token-for-tests";

/// The address providers are told, whatever port the server listens on: it is part of what Twilio signs.
pub(crate) const PUBLIC_URL: &str = "http://127.0.0.1:8080";

/// How long anything that is bound to happen may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A server's folder and settings, which outlive its process.
pub(crate) struct Site {
    pub(crate) folder: tempfile::TempDir,
    environment: Vec<(String, String)>,
    config: Option<PathBuf>,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), environment: Vec::new(), config: None }
    }

    /// Sets a configuration key, for example `SERVER__BODY_MAX`.
    pub(crate) fn set(mut self, key: &str, value: impl Into<String>) -> Self {
        self.environment.push((format!("THROUGHLINE__{key}"), value.into()));
        self
    }

    /// Sets any variable of the environment.
    pub(crate) fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Writes a configuration file of the site's own.
    pub(crate) fn config(mut self, text: &str) -> Self {
        let path = self.folder.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        self.config = Some(path);
        self
    }

    /// The data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The program with the site's settings.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_throughline"));
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("THROUGHLINE_ADMIN_TOKEN", TOKEN)
            .env("THROUGHLINE__SERVER__LISTEN", "127.0.0.1:0")
            .env("THROUGHLINE__SERVER__PUBLIC_URL", PUBLIC_URL)
            .env("THROUGHLINE__STORAGE__PATH", self.data())
            .env("THROUGHLINE__STORAGE__MIN_FREE", "1MiB")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .args(arguments);
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        command
    }

    /// Starts the server and returns once it listens.
    pub(crate) fn start(&self) -> Server {
        self.start_with(|_| {})
    }

    /// Starts the server with a last word on its command.
    pub(crate) fn start_with(&self, change: impl FnOnce(&mut Command)) -> Server {
        throughline::tls::use_ring();
        let log = self.folder.path().join("server.log");
        let errors = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut command = self.command(&["serve"]);
        command.stdout(Stdio::piped()).stderr(errors);
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let base = loop {
            let Some(line) = lines.next() else {
                let status = child.wait().unwrap();
                panic!("the server ended with {status}: {}", tail(&log));
            };
            let line = line.unwrap();
            if let Some(at) = line.find("http://") {
                break line[at..].split_whitespace().next().unwrap().to_owned();
            }
        };
        // What else it says must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Server { child, base, client: throughline::tls::client().build().unwrap(), log }
    }
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    pub(crate) base: String,
    pub(crate) client: reqwest::Client,
    log: PathBuf,
}

impl Server {
    /// Kills it as a power switch would kill the process: nothing is said, nothing is finished.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn stop(mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap()
    }

    /// Waits until it has ended by itself.
    pub(crate) fn ended(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.client.get(format!("{}{path}", self.base)).bearer_auth(TOKEN)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.client.post(format!("{}{path}", self.base)).bearer_auth(TOKEN).json(body)).await
    }

    /// Asks again until `wanted` finds what it looks for.
    pub(crate) async fn until<T>(&self, path: &str, wanted: impl Fn(&Value) -> Option<T>) -> T {
        let mut last = Value::Null;
        let asking = async {
            loop {
                let answer = self.get(path).await;
                if let Some(found) = wanted(&answer.body) {
                    return found;
                }
                last = answer.body;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, asking).await {
            Ok(found) => found,
            Err(_) => panic!("{path} never showed what was expected; last: {last:#}"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill(); // It may have ended.
        let _ = self.child.wait();
    }
}

/// An answer of the server.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: Value,
}

impl Answer {
    /// Sends a request and reads its answer; a body that is not JSON becomes a JSON string.
    pub(crate) async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let content_type = response
            .headers()
            .get("content-type")
            .map(|value| value.to_str().unwrap().to_owned())
            .unwrap_or_default();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Self { status, content_type, body }
    }

    /// The answer, which must be a success.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{self:#?}");
        self.body
    }

    /// The problem, which must have this status.
    #[track_caller]
    pub(crate) fn problem(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:#?}");
        assert_eq!(self.content_type, "application/problem+json", "{self:#?}");
        self.body
    }
}

/// The end of a log.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(20).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
