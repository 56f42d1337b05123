//! Calendars in the configuration: what a tenant has, and every mistake at its line.

use throughline_workflows::{calendar::Interval, time::Timestamp};

use super::*;

fn acme() -> TenantId {
    "acme".parse().unwrap()
}

/// What a calendar has open on Monday the 8th of June 2026 (UTC).
fn monday(calendar: &Calendar) -> Vec<String> {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let shown = |window: Interval| format!("{} {}", window.from, window.span());
    calendar.windows(at("2026-06-08T00:00:00Z"), at("2026-06-09T00:00:00Z")).map(shown).collect()
}

#[test]
fn a_tenant_has_the_common_calendars_with_its_own_laid_over_them() {
    let config = with(
        r#"
[calendars.office]
timezone = "Europe/Berlin"
hours = { mon = ["09:00-12:00", "13:00-17:00"] }
holidays = [2026-12-25]
[tenants.acme.calendars.office]
timezone = "Asia/Tokyo"
[tenants.acme.calendars.night]
timezone = "UTC"
hours.mon = ["22:00-06:00"]
[tenants.beta]
"#,
        &[],
    );
    let default = TenantId::default_tenant();
    let office = config.calendar(&default, "office").unwrap();
    assert_eq!(monday(&office), ["2026-06-08T07:00:00.000Z 3h", "2026-06-08T11:00:00.000Z 4h"]);
    let tokyo = config.calendar(&acme(), "office").unwrap();
    assert_eq!(monday(&tokyo), ["2026-06-08T00:00:00.000Z 3h", "2026-06-08T04:00:00.000Z 4h"]);
    assert_eq!(config.calendars(&acme()).unwrap().keys().collect::<Vec<_>>(), ["night", "office"]);
    assert_eq!(config.calendar(&"beta".parse().unwrap(), "office"), Some(office));
    assert_eq!(config.calendar(&default, "night"), None);
    assert_eq!(config.calendars(&"gamma".parse().unwrap()), None);
}

#[test]
fn the_calendar_that_the_file_in_the_repository_shows_can_be_used() {
    let text = include_str!("../../../config.toml");
    let shown = text.lines().skip_while(|line| *line != "# [calendars.office]").take_while(|l| !l.is_empty());
    let setting = |line: &&str| line.starts_with('[') || line.contains(" = ");
    let lines: Vec<&str> = shown.filter_map(|line| line.strip_prefix("# ")).filter(setting).collect();
    let config = with(&lines.join("\n"), &[]);
    let office = config.calendar(&TenantId::default_tenant(), "office").unwrap();
    assert_eq!(monday(&office), ["2026-06-08T13:00:00.000Z 3h", "2026-06-08T17:00:00.000Z 4h"]);
}

#[test]
fn every_mistake_of_a_calendar_is_told_at_its_line() {
    check(
        r#"
[calendars.office]
timezone = "Europe/Berln"
holidays = ["2026-12-25", "25.12.2027"]
[calendars.office.hours]
mon = [
  "09:00-17:00",
  "nine to five",
  "16:00-18:00",
]
tues = ["09:00-17:00"]
[calendars.empty]
timezone = "UTC"
[calendars.nowhere]
hours.mon = ["09:00-17:00"]
[calendars.wrong]
timezone = 5
hours.fri = "09:00-17:00"
holidays = ["2026-12-25", 20261226]
[calendars.Big]
timezone = "UTC"
hours = { sat = ["00:00-24:00"] }
"#,
        &[
            ("config.toml:3: calendars.office.timezone is refused: \"Europe/Berln\" is not a time zone", ""),
            ("config.toml:4: calendars.office.holidays[1] is refused: \"25.12.2027\" is not a date", ""),
            ("config.toml:8: calendars.office.hours.mon[1] is refused: \"nine to five\"", "09:00-17:00"),
            ("config.toml:9: calendars.office.hours.mon[2] is refused: \"16:00-18:00\" overlaps", "mon[0]"),
            ("config.toml:11: calendars.office.hours.tues is not a setting; did you mean tue?", "mon, tue"),
            ("config.toml:12: calendars.empty.hours is refused: never opens", "mon = [\"09:00-17:00\"]"),
            ("config.toml:14: calendars.nowhere.timezone is refused: has to be given", "Europe/Berlin"),
            ("config.toml:17: calendars.wrong.timezone cannot be 5", "Europe/Berlin"),
            ("config.toml:18: calendars.wrong.hours.fri cannot be \"09:00-17:00\"", "a list of ranges"),
            ("config.toml:19: calendars.wrong.holidays[1] cannot be 20261226", "one of a list of dates"),
            ("config.toml:20: calendars.Big cannot be a calendar's name", "a-z"),
        ],
    );
}

#[test]
fn a_tenants_mistake_is_told_where_the_tenant_wrote_it_and_a_common_one_once() {
    check(
        r#"
[calendars.office]
timezone = "UTC"
hours = { mon = ["09:00-17:00"], tue = ["05:00-07:00"] }
[calendars.closed]
timezone = "UTC"
[tenants.acme.calendars.office.hours]
mon = ["22:00-06:00"]
[tenants.acme.calendars.closed]
timezone = "Nowhere"
[tenants.beta]
"#,
        &[
            ("config.toml:5: calendars.closed.hours is refused: never opens", ""),
            (
                "config.toml:7: tenants.acme.calendars.office.hours.tue[0] is refused: \"05:00-07:00\" overlaps",
                "\"22:00-06:00\" (hours.mon[0])",
            ),
            ("config.toml:10: tenants.acme.calendars.closed.timezone is refused: \"Nowhere\"", ""),
        ],
    );
}

#[test]
fn a_calendar_can_be_set_by_the_environment() {
    let config = with(
        "",
        &[
            ("THROUGHLINE__CALENDARS__OFFICE__TIMEZONE", "UTC"),
            ("THROUGHLINE__CALENDARS__OFFICE__HOURS__MON", "[\"09:00-17:00\"]"),
        ],
    );
    let office = config.calendar(&TenantId::default_tenant(), "office").unwrap();
    assert_eq!(monday(&office), ["2026-06-08T09:00:00.000Z 8h"]);
    let found = mistakes("", &[("THROUGHLINE__CALENDARS__OFFICE__TIMEZONE", "Mars")]).join("\n");
    assert!(found.contains("environment variable THROUGHLINE__CALENDARS__OFFICE__TIMEZONE"), "{found}");
}
