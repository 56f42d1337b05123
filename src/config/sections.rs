//! The sections of `config.toml` that hold for the whole server, one struct each.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use bytesize::ByteSize;
use serde::Deserialize;

use throughline_storage::store::Engine;
use throughline_workflows::{
    ids::TenantId,
    schedule::Work,
    time::{Span, Timestamp},
    topic::Topic,
};

use super::web_url::WebUrl;

/// `[server]`: the door.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Where the server listens.
    pub listen: SocketAddr,
    /// Under which address the outside world reaches it.
    pub public_url: WebUrl,
    /// The largest body that a request may carry.
    pub body_max: ByteSize,
    /// How long a webhook waits for room before it is answered 503.
    pub webhook_patience: Span,
}

impl Default for Server {
    #[expect(clippy::expect_used, reason = "the text is a constant that every test reads")]
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            public_url: "http://127.0.0.1:8080".parse().expect("the built-in address is a web address"),
            body_max: ByteSize::mib(32),
            webhook_patience: Span::from_secs(5),
        }
    }
}

/// Where this machine reaches a server that listens on `listen`: one that listens everywhere answers on the loopback
/// address too.
pub fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// `[storage]`: the data folder.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// The folder; a relative path starts at the working directory.
    pub path: PathBuf,
    /// What keeps the data in it.
    pub engine: StorageEngine,
    /// Memory for the engine's own cache.
    pub cache: ByteSize,
    /// Below this much free space new inbound messages are refused.
    pub min_free: ByteSize,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            path: PathBuf::from("data"),
            engine: StorageEngine::Sled,
            cache: ByteSize::mib(64),
            min_free: ByteSize::mib(512),
        }
    }
}

/// The storage engines that exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StorageEngine {
    /// The embedded ordered store `sled`.
    #[default]
    Sled,
    /// The embedded ordered store `fjall`.
    Fjall,
}

impl StorageEngine {
    /// What opens folders of it.
    pub fn engine(self) -> Engine {
        match self {
            Self::Sled => Engine::Sled,
            Self::Fjall => Engine::Fjall,
        }
    }
}

/// `[dedupe]`: how long a webhook is recognised as one already taken.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dedupe {
    /// At least this long. Nothing reads it: claims of inbound messages are kept for the running week and the one
    /// before it, which is at least the seven days that are allowed at most.
    pub keep: Span,
}

impl Default for Dedupe {
    fn default() -> Self {
        Self { keep: Span::from_hours(7 * 24) }
    }
}

/// `[inbox]`: messages accepted and not yet taken up.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Inbox {
    /// With this many waiting, the door answers 503.
    pub max_entries: u64,
}

impl Default for Inbox {
    fn default() -> Self {
        Self { max_entries: 1_000_000 }
    }
}

/// `[actors]`: the entities in memory.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Actors {
    /// Supervisors among which the entities are divided.
    pub shards: u16,
    /// How many entities stay in memory at once.
    pub max_resident: u32,
    /// After this long without a command an entity leaves memory.
    pub idle_after: Span,
}

impl Default for Actors {
    fn default() -> Self {
        Self { shards: 16, max_resident: 20_000, idle_after: Span::from_mins(5) }
    }
}

/// `[clock]`: whose time it is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Clock {
    /// The machine's clock, or one that is advanced by hand.
    pub mode: ClockMode,
    /// Where a manual clock begins; without it, at the time of the first start.
    pub start: Option<Timestamp>,
    /// How long an advance waits, in real time, for everything to be done.
    pub settle_timeout: Span,
}

impl Default for Clock {
    fn default() -> Self {
        Self { mode: ClockMode::System, start: None, settle_timeout: Span::from_secs(60) }
    }
}

/// The clocks that exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClockMode {
    /// Follows the machine's clock.
    #[default]
    System,
    /// Stands until an operator advances it.
    Manual,
}

/// `[log]`: what is written to standard error.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// For people or for programs.
    pub format: LogFormat,
    /// A level, or directives as `RUST_LOG` takes them.
    pub filter: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".to_owned() }
    }
}

/// The two ways to write a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One readable line an event.
    #[default]
    Text,
    /// One JSON object an event.
    Json,
}

/// `[webhooks]`: what we post to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhooks {
    /// Whether they may be posted to addresses that are not on the public internet.
    pub allow_private_networks: bool,
}

/// `[alarms]`: who of ours is told by mail, and of what.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Alarms {
    /// Their addresses.
    pub mail_to: Vec<String>,
    /// Of which events.
    pub topics: Vec<Topic>,
}

impl Default for Alarms {
    fn default() -> Self {
        Self {
            mail_to: Vec::new(),
            topics: vec![Topic::CustomerUnreachable, Topic::EscalationRequested, Topic::SlaBreached],
        }
    }
}

/// `[schedules.NAME]`: what runs by itself, and when.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// When, as a cron expression.
    pub cron: String,
    /// The time zone in which it is read.
    pub timezone: String,
    /// The tenant that a report is about.
    pub tenant: TenantId,
    /// The report, if it is one.
    pub report: Option<String>,
    /// The sweep, if it is one.
    pub sweep: Option<String>,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            cron: String::new(),
            timezone: "UTC".to_owned(),
            tenant: TenantId::default_tenant(),
            report: None,
            sweep: None,
        }
    }
}

impl Schedule {
    /// What is done; none where it is not exactly one known report or sweep.
    pub fn work(&self) -> Option<Work> {
        let name = match (&self.report, &self.sweep) {
            (Some(report), None) => format!("report.{report}"),
            (None, Some(sweep)) => format!("sweep.{sweep}"),
            (Some(_), Some(_)) | (None, None) => return None,
        };
        name.parse().ok()
    }
}
