//! The settings of policies in the configuration: what a tenant gets, which keys are the file's, every mistake at its line.

use throughline_workflows::{
    policy::{OnReopen, PauseIn, Policy, Warn},
    sla::ClockKind,
    words::{IssueType, Severity, SlaTier},
};

use super::*;

fn policy(config: &Config, tenant: &str) -> Policy {
    config.tenant(&tenant.parse().unwrap()).unwrap().policy
}

fn owned(config: &Config, tenant: &str) -> Vec<String> {
    config.policy_file(&tenant.parse().unwrap()).owned
}

#[test]
fn everything_that_a_policy_holds_can_be_written() {
    let config = with(
        r#"
[customers]
language = "de"
timezone = "Europe/Vienna"
[updates]
interval = "6h"
margin = "20m"
nudge_before = "1h"
alarm_after = 3
[escalation.windows]
technical = { P0 = "4h", P1 = "24h" }
[calendars.office]
timezone = "UTC"
hours = { mon = ["09:00-17:00"] }
[sla.tiers.premium]
calendar = "office"
pause_in = ["awaiting_customer", "snoozed"]
on_reopen = "restart"
warn_before = "30m"
reminders = ["10m"]
[sla.tiers.premium.default]
resolution = "8h"
[sla.tiers.premium.P0]
first_response = "15m"
"#,
        &[],
    );
    let policy = policy(&config, "default");
    assert_eq!((policy.language.as_str(), policy.timezone.as_str()), ("de", "Europe/Vienna"));
    assert_eq!((policy.updates.interval, policy.updates.alarm_after), (Span::from_hours(6), 3));
    assert_eq!(policy.window(IssueType::Technical, Severity::P1), Some(Span::from_hours(24)));
    assert_eq!(policy.window(IssueType::Billing, Severity::P1), None);
    let premium = policy.tier(SlaTier::Premium);
    assert_eq!(premium.pause_in, [PauseIn::AwaitingCustomer, PauseIn::Snoozed].into());
    assert_eq!((premium.on_reopen, premium.warn), (OnReopen::Restart, Warn::Before(Span::from_mins(30))));
    let span = |severity, clock| policy.targets(SlaTier::Premium, severity).of(clock).unwrap();
    assert_eq!(span(Severity::P0, ClockKind::FirstResponse), Span::from_mins(15));
    assert_eq!(span(Severity::P1, ClockKind::FirstResponse), Span::from_hours(2), "built in");
    assert_eq!(span(Severity::P0, ClockKind::Resolution), Span::from_hours(8), "the tier's own");
}

#[test]
fn what_the_file_in_the_repository_shows_of_a_policy_is_what_is_built_in() {
    let text = include_str!("../../../config.toml");
    let sections = ["[conversation]", "[customers]", "[updates]", "[templates.en]"];
    for section in sections {
        let from = text.find(section).unwrap_or_else(|| panic!("{section} is not there"));
        let lines = text[from..].lines().skip(1).take_while(|line| !line.is_empty());
        let setting = |line: &&str| line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
        let settings: Vec<&str> = lines.filter_map(|line| line.strip_prefix("# ")).filter(setting).collect();
        assert!(!settings.is_empty(), "{section} shows nothing");
        let written = with(&format!("{section}\n{}", settings.join("\n")), &[]);
        assert_eq!(policy(&written, "default"), Policy::default(), "{section}");
        assert_eq!(owned(&written, "default").len(), settings.len(), "{section}");
    }
    let from = text.find("# [sla.tiers.standard]").unwrap();
    let lines =
        text[from..].lines().take_while(|line| !line.is_empty()).filter_map(|line| line.strip_prefix("# "));
    let lines = lines
        .take_while(|line| !line.contains(".P0]"))
        .filter(|line| line.starts_with('[') || line.contains(" = "));
    let lines: Vec<&str> =
        lines.filter(|line| !line.starts_with("calendar =") && !line.starts_with("A warning")).collect();
    let written = with(&lines.join("\n"), &[]);
    assert_eq!(
        policy(&written, "default").tier(SlaTier::Standard),
        Policy::default().tier(SlaTier::Standard)
    );
}

#[test]
fn what_is_written_belongs_to_the_file_and_the_rest_to_the_api() {
    let config = with(
        r#"
[updates]
interval = "6h"
[tenants.acme]
name = "Acme Care"
[tenants.acme.sla.tiers.free.P0]
first_response = "1h"
"#,
        &[
            ("THROUGHLINE__CUSTOMERS__LANGUAGE", "de"),
            ("THROUGHLINE__SLA__TIERS__FREE__P1__RESOLUTION", "9h"),
        ],
    );
    let common = ["customers.language", "sla.tiers.free.P1.resolution", "updates.interval"];
    assert_eq!(owned(&config, "default"), common);
    let acme = [
        "customers.language",
        "name",
        "sla.tiers.free.P0.first_response",
        "sla.tiers.free.P1.resolution",
        "updates.interval",
    ];
    assert_eq!(owned(&config, "acme"), acme);
    assert_eq!(owned(&config, "a-tenant-that-was-added"), common);
    assert_eq!(owned(&with("", &[]), "default"), Vec::<String>::new(), "what is built in belongs to nobody");
}

#[test]
fn a_tenant_overrides_key_by_key_and_its_way_of_warning_replaces_the_common_one() {
    let config = with(
        r#"
[updates]
interval = "8h"
nudge_before = "1h"
[sla.tiers.free]
warn_at = 0.5
reminders = ["1h"]
[tenants.acme.updates]
interval = "6h"
[tenants.acme.sla.tiers.free]
warn_before = "10m"
"#,
        &[],
    );
    let acme = policy(&config, "acme");
    assert_eq!(
        (acme.updates.interval, acme.updates.nudge_before),
        (Span::from_hours(6), Span::from_hours(1))
    );
    assert_eq!(acme.tier(SlaTier::Free).warn, Warn::Before(Span::from_mins(10)));
    assert_eq!(acme.tier(SlaTier::Free).reminders, [Span::from_hours(1)]);
    assert!(matches!(policy(&config, "default").tier(SlaTier::Free).warn, Warn::At(_)));
}

#[test]
fn every_mistake_of_a_policy_is_told_at_its_line() {
    check(
        r#"
[customers]
language = "german"
timezone = "Vienna"
[updates]
interval = "13h"
margin = "fast"
alarm_after = 0
[escalation.windows]
technical = { P0 = "0s", P7 = "1h" }
billing = "4h"
[sla.tiers.premium]
calendar = "offce"
pause_in = ["lunch"]
warn_at = 2
[sla.tiers.gold]
calendar = "office"
[sla.tiers.free]
warn_at = 0.5
warn_before = "10m"
[sla.tiers.free.P0]
first_response = "0s"
"#,
        &[
            ("config.toml:3: customers.language is refused: must be a language", "pt-BR"),
            ("config.toml:4: customers.timezone is refused: must be a time zone", "Europe/Vienna"),
            ("config.toml:6: updates.interval is refused: must be at most 12h", "silence is failure"),
            ("config.toml:7: updates.margin cannot be \"fast\"", "30m"),
            ("config.toml:8: updates.alarm_after is refused", "at least 1"),
            ("config.toml:10: escalation.windows.technical.P0 is refused", "longer than nothing"),
            ("config.toml:10: escalation.windows.technical.P7 is not a setting", "P0, P1, P2, P3"),
            ("config.toml:11: escalation.windows.billing is a section, not \"4h\"", "P0"),
            ("config.toml:13: sla.tiers.premium.calendar is refused: must be a calendar", "none is set"),
            ("config.toml:14: sla.tiers.premium.pause_in[0] cannot be \"lunch\"", "awaiting_customer"),
            ("config.toml:15: sla.tiers.premium.warn_at cannot be 2", "0.75"),
            ("config.toml:16: sla.tiers.gold is not a setting", "free, standard, premium, enterprise"),
            ("config.toml:20: sla.tiers.free.warn_before is refused: must not stand beside warn_at", ""),
            ("config.toml:22: sla.tiers.free.P0.first_response is refused", "longer than nothing"),
        ],
    );
}

#[test]
fn what_is_wrong_only_beside_a_built_in_or_common_value_is_told_where_it_was_written() {
    check(
        r#"
[updates]
interval = "40m"
[tenants.acme.updates]
margin = "15m"
nudge_before = "30m"
[tenants.beta]
"#,
        &[
            (
                "config.toml:2: updates.margin is refused: must be 2m to half of updates.interval (20m)",
                "not 30m",
            ),
            ("config.toml:2: updates.nudge_before is refused", "less than updates.interval (40m)"),
        ],
    );
    check(
        "[tenants.acme.updates]\ninterval = \"1h\"\n",
        &[("config.toml:1: tenants.acme.updates.nudge_before is refused", "less than updates.interval (1h)")],
    );
}

#[test]
fn a_tenant_that_was_added_has_the_common_settings_and_keeps_its_title_when_the_file_takes_it_over() {
    let text = "[customers]\nlanguage = \"de\"\n[channels.sms]\nwebhook_url = \"https://care.example.com/sms\"\n[tenants.beta]\n";
    let mut config = with(text, &[]);
    for tenant in ["acme", "beta"] {
        config.add_tenant(&tenant.parse().unwrap(), Some("Their Care"));
        assert_eq!(config.tenant(&tenant.parse().unwrap()).unwrap().name, "Their Care");
        assert_eq!(policy(&config, tenant).language, "de");
    }
    let acme = config.tenant(&"acme".parse().unwrap()).unwrap();
    assert_eq!(acme.channels.sms.webhook_url, None, "that is the address of another tenant's door");
    assert_eq!(owned(&config, "acme"), ["customers.language"], "a title is not the file's");
}
