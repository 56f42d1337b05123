//! `throughline check`: what was understood of the configuration.

use clap::Args;
use serde_json::json;

use crate::config::{ClockMode, Config, Door, Loaded};

use super::show::{pretty, table};

/// Say what was understood of the configuration, or every mistake in it.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  throughline check --config /etc/throughline.toml")]
pub(super) struct Check {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    /// The report. Mistakes never come this far: they stop the reading.
    pub(super) fn run(&self, loaded: &Loaded) -> String {
        if self.json { pretty(&as_json(loaded)) } else { as_text(loaded) }
    }
}

fn as_text(loaded: &Loaded) -> String {
    let config = &loaded.config;
    let file = loaded
        .file
        .as_ref()
        .map_or_else(|| "built-in settings".to_owned(), |file| file.display().to_string());
    let facts = [
        ("settings", file),
        ("listens on", config.server.listen.to_string()),
        ("known as", config.server.public_url.to_string()),
        ("data folder", folder(config)),
        ("clock", clock(config).to_owned()),
    ];
    let facts = facts.map(|(name, value)| vec![name.to_owned(), value]).to_vec();
    let doors = each_door(config, |tenant, door, url| {
        vec![
            tenant.to_owned(),
            door.channel.to_string(),
            door.transport.name().to_owned(),
            signatures(door),
            url,
        ]
    });
    let mut text = table(&[], facts);
    text.push_str("\n\n");
    text.push_str(&table(&["tenant", "channel", "transport", "signatures", "webhook"], doors));
    if !loaded.warnings.is_empty() {
        text.push('\n');
    }
    for warning in &loaded.warnings {
        text.push_str("\nwarning: ");
        text.push_str(warning);
    }
    text
}

fn as_json(loaded: &Loaded) -> serde_json::Value {
    let config = &loaded.config;
    let channels = each_door(config, |tenant, door, url| {
        json!({
            "tenant": tenant,
            "channel": door.channel.to_string(),
            "transport": door.transport.name(),
            "signatures_verified": door.secret.is_set(),
            "webhook_url": url,
        })
    });
    json!({
        "file": loaded.file,
        "listen": config.server.listen.to_string(),
        "public_url": config.server.public_url.as_str(),
        "storage_path": folder(config),
        "clock_mode": clock(config),
        "channels": channels,
        "warnings": loaded.warnings,
    })
}

fn each_door<T>(config: &Config, mut row: impl FnMut(&str, &Door<'_>, String) -> T) -> Vec<T> {
    let tenants = config.tenant_ids().into_iter().filter_map(|id| config.tenant(&id));
    let mut rows = Vec::new();
    for tenant in tenants {
        for door in tenant.channels.doors() {
            rows.push(row(tenant.id.as_str(), &door, door.url(&config.server.public_url, &tenant.id)));
        }
    }
    rows
}

fn signatures(door: &Door<'_>) -> String {
    if door.secret.is_set() {
        "verified".to_owned()
    } else {
        format!("not verified ({} is not set)", door.key)
    }
}

fn folder(config: &Config) -> String {
    std::path::absolute(&config.storage.path)
        .unwrap_or_else(|_| config.storage.path.clone())
        .display()
        .to_string()
}

fn clock(config: &Config) -> &'static str {
    match config.clock.mode {
        ClockMode::System => "system",
        ClockMode::Manual => "manual",
    }
}
