//! `throughline check`: what was understood of the configuration.

use clap::Args;
use serde_json::json;

use throughline_workflows::{
    policy::Targets,
    time::{Span, Timestamp},
    words::{Severity, SlaTier},
};

use crate::config::{ClockMode, Config, Door, Loaded};

use super::show::{pretty, table};

/// Monday the 5th of October 2026 in UTC, in milliseconds since the epoch.
const WEEK_FROM_MS: u64 = 1_791_158_400_000;

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
    let calendars = each_calendar(config, |tenant, name, zone, hours| {
        vec![tenant.to_owned(), name.to_owned(), zone.to_owned(), hours.to_string()]
    });
    if !calendars.is_empty() {
        text.push_str("\n\n");
        text.push_str(&table(&["tenant", "calendar", "time zone", "open a week"], calendars));
    }
    text.push_str("\n\n");
    let tiers = each_promise(config, |promise| {
        let Targets { first_response, next_response, resolution, escalation_unattended } = promise.targets;
        let span = |span: Option<Span>| span.map_or_else(|| "-".to_owned(), |span| span.to_string());
        let spans = [first_response, next_response, resolution, escalation_unattended].map(span);
        let severities: Vec<_> = promise.severities.iter().map(|severity| severity.as_str()).collect();
        let calendar = promise.calendar.unwrap_or("around the clock");
        let named =
            [promise.tenant, promise.tier.as_str(), &severities.join(" "), calendar].map(str::to_owned);
        named.into_iter().chain(spans).collect()
    });
    let head = [
        "tenant",
        "tier",
        "severity",
        "calendar",
        "first response",
        "next response",
        "resolution",
        "unattended",
    ];
    text.push_str(&table(&head, tiers));
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
        "calendars": each_calendar(config, |tenant, name, zone, hours| {
            json!({ "tenant": tenant, "name": name, "timezone": zone, "open_a_week": hours })
        }),
        "tiers": each_promise(config, |promise| {
            json!({
                "tenant": promise.tenant,
                "tier": promise.tier,
                "severities": promise.severities,
                "calendar": promise.calendar,
                "targets": promise.targets,
            })
        }),
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

/// The calendars of every tenant, with the business time of a week without holidays or a change of the clocks.
fn each_calendar<T>(config: &Config, mut row: impl FnMut(&str, &str, &str, Span) -> T) -> Vec<T> {
    // A Monday whose week nothing disturbs in most places.
    let monday = Timestamp::from_millis(WEEK_FROM_MS);
    let mut rows = Vec::new();
    for tenant in config.tenant_ids().into_iter().filter_map(|id| config.tenant(&id)) {
        for (name, calendar) in &tenant.policy.calendars {
            let week = calendar.windows(monday, monday + Span::from_hours(7 * 24));
            let open = week.map(|window| window.span().as_millis()).sum();
            rows.push(row(tenant.id.as_str(), name, calendar.zone(), Span::from_millis(open)));
        }
    }
    rows
}

/// What a tier promises to some severities.
struct Promise<'c> {
    tenant: &'c str,
    tier: SlaTier,
    severities: Vec<Severity>,
    calendar: Option<&'c str>,
    targets: Targets,
}

/// The promises of every tenant, tier by tier, severities with the same targets together.
fn each_promise<T>(config: &Config, mut row: impl FnMut(Promise<'_>) -> T) -> Vec<T> {
    let mut rows = Vec::new();
    for tenant in config.tenant_ids().into_iter().filter_map(|id| config.tenant(&id)) {
        for tier in SlaTier::ALL {
            let targets = |severity: &Severity| tenant.policy.targets(*tier, *severity);
            for severities in Severity::ALL.chunk_by(|a, b| targets(a) == targets(b)) {
                rows.extend(severities.first().map(|first| {
                    row(Promise {
                        tenant: tenant.id.as_str(),
                        tier: *tier,
                        severities: severities.to_vec(),
                        calendar: tenant.policy.tier(*tier).calendar.as_deref(),
                        targets: targets(first),
                    })
                }));
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    const SETTINGS: &str = r#"
[calendars.office]
timezone = "Europe/Vienna"
hours = { mon = ["09:00-12:00", "13:00-17:00"], fri = ["22:00-06:00"] }
[sla.tiers.premium]
calendar = "office"
[sla.tiers.premium.P0]
first_response = "15m"
[tenants.acme]
"#;

    fn checked(json: bool) -> String {
        let loaded = Config::read(SETTINGS, "config.toml", &Environment::new()).unwrap();
        Check { json }.run(&loaded)
    }

    #[test]
    fn the_calendars_and_promises_that_were_understood_are_listed() {
        let text = checked(false);
        let line = |words: &[&str]| text.lines().find(|line| words.iter().all(|word| line.contains(word)));
        assert!(line(&["default", "office", "Europe/Vienna", "15h"]).is_some(), "{text}");
        assert!(line(&["acme", "premium", "P0 ", "office", "15m", "4h"]).is_some(), "{text}");
        assert!(line(&["default", "premium", "P1 P2 P3", "office", "2h"]).is_some(), "{text}");
        assert!(line(&["default", "free", "P0 P1 P2 P3", "around the clock", "2h"]).is_some(), "{text}");

        let json: serde_json::Value = serde_json::from_str(&checked(true)).unwrap();
        assert_eq!(json["calendars"][0]["open_a_week"], "15h", "{json}");
        let tiers = json["tiers"].as_array().unwrap();
        let premium = tiers.iter().find(|row| row["tier"] == "premium").unwrap();
        assert_eq!(
            (&premium["severities"], &premium["targets"]["first_response"]),
            (&json!(["P0"]), &json!("15m"))
        );
    }
}
