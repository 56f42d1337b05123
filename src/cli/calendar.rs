//! `throughline calendar`: how business time is counted, from the configuration alone.

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::json;

use throughline_workflows::{
    calendar::{self, Due},
    ids::TenantId,
    time::{Span, Timestamp},
};

use super::{
    show::{pretty, table},
    values,
};
use crate::config::Config;

/// Show how business time is counted.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  throughline calendar due office --from 2026-11-20T16:00:00-05:00 --spend 8h"
)]
pub(super) struct Calendar {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Say when business time that is spent from a moment on falls due, and what was counted
    #[command(
        after_help = "Example:\n  throughline calendar due office --from 2026-11-20T16:00:00-05:00 --spend 8h"
    )]
    Due {
        /// The calendar's name in the configuration, for example office
        name: String,

        /// From when it is counted (RFC 3339)
        #[arg(long, value_name = "TIME", value_parser = values::time)]
        from: Timestamp,

        /// How much business time is spent, for example 8h or 1h 30m
        #[arg(long, value_name = "DURATION")]
        spend: Span,

        /// Whose calendar it is; otherwise that of the default tenant
        #[arg(long)]
        tenant: Option<TenantId>,

        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Calendar {
    pub(super) fn run(&self, config: &Config) -> anyhow::Result<String> {
        let Act::Due { name, from, spend, tenant, json } = &self.act;
        let default = TenantId::default_tenant();
        let calendar = find(config, tenant.as_ref().unwrap_or(&default), name)?;
        let due = calendar.due(*from, *spend).with_context(|| format!("calendar {name}"))?;
        Ok(if *json { as_json(name, &calendar, *from, *spend, &due) } else { as_text(&calendar, &due) })
    }
}

fn find(config: &Config, tenant: &TenantId, name: &str) -> anyhow::Result<calendar::Calendar> {
    let Some(calendars) = config.calendars(tenant) else {
        let tenants: Vec<String> = config.tenant_ids().iter().map(ToString::to_string).collect();
        bail!("there is no tenant {tenant}; there are: {}", tenants.join(", "));
    };
    if let Some(calendar) = config.calendar(tenant, name) {
        return Ok(calendar);
    }
    if calendars.is_empty() {
        bail!(
            "there is no calendar {name:?}; the configuration has none, they are written as [calendars.NAME]"
        );
    }
    let names: Vec<&str> = calendars.keys().map(String::as_str).collect();
    bail!("there is no calendar {name:?}; there are: {}", names.join(", "));
}

fn as_json(name: &str, calendar: &calendar::Calendar, from: Timestamp, spend: Span, due: &Due) -> String {
    pretty(&json!({
        "calendar": name,
        "timezone": calendar.zone(),
        "from": from,
        "spend": spend,
        "due_at": due.at,
        "intervals": due.intervals,
    }))
}

fn as_text(calendar: &calendar::Calendar, due: &Due) -> String {
    let wall = |at| calendar.wall_time(at).format("%a %Y-%m-%d %H:%M:%S%.f %:z").to_string();
    let facts = vec![
        vec!["due".to_owned(), due.at.to_string()],
        vec![format!("in {}", calendar.zone()), wall(due.at)],
    ];
    let mut text = table(&[], facts);
    if !due.intervals.is_empty() {
        let rows = due
            .intervals
            .iter()
            .map(|interval| vec![wall(interval.from), wall(interval.to), interval.span().to_string()]);
        text.push_str("\n\n");
        text.push_str(&table(&["from", "to", "counted"], rows.collect()));
    }
    text
}

#[cfg(test)]
mod unit {
    use clap::Parser as _;
    use serde_json::Value;

    use super::super::{Cli, Command};
    use super::*;
    use crate::config::Environment;

    const CALENDARS: &str = r#"
[calendars.office]
timezone = "America/New_York"
hours = { fri = ["09:00-12:00", "13:00-17:00"], mon = ["09:00-17:00"] }
[calendars.night]
timezone = "America/New_York"
hours.sat = ["22:00-06:00"]
[tenants.acme.calendars.shop]
timezone = "UTC"
hours.mon = ["00:00-00:01"]
"#;

    /// What the command line `words` prints.
    fn said(text: &str, words: &[&str]) -> anyhow::Result<String> {
        let config = Config::read(text, "config.toml", &Environment::new()).unwrap().config;
        let words = ["throughline", "calendar", "due"].iter().chain(words);
        match Cli::try_parse_from(words)?.command {
            Some(Command::Calendar(calendar)) => calendar.run(&config),
            other => panic!("{other:?} is not the calendar"),
        }
    }

    #[test]
    fn the_due_moment_is_shown_in_both_times_with_what_was_counted() {
        let line = ["office", "--from", "2026-11-20T11:30:00-05:00", "--spend", "5h 30m"];
        let text = said(CALENDARS, &line).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert_eq!(
            lines,
            [
                "due                  2026-11-23T15:00:00.000Z",
                "in America/New_York  Mon 2026-11-23 10:00:00 -05:00",
                "",
                "FROM                            TO                              COUNTED",
                "Fri 2026-11-20 11:30:00 -05:00  Fri 2026-11-20 12:00:00 -05:00  30m",
                "Fri 2026-11-20 13:00:00 -05:00  Fri 2026-11-20 17:00:00 -05:00  4h",
                "Mon 2026-11-23 09:00:00 -05:00  Mon 2026-11-23 10:00:00 -05:00  1h",
            ]
        );
    }

    #[test]
    fn the_example_in_the_document_is_what_the_command_prints() {
        let document = include_str!("../../docs/calendars.md");
        let block = |begin: &str| {
            let (_, rest) = document.split_once(begin).unwrap();
            rest.split_once("```").unwrap().0
        };
        let console = block("```console\n$ throughline calendar due ");
        let (line, printed) = console.split_once('\n').unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let text = said(block("```toml\n"), &words).unwrap();
        let trimmed = |text: &str| text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
        assert_eq!(trimmed(&text), trimmed(printed));
    }

    #[test]
    fn a_change_of_the_clocks_shows_in_the_offsets() {
        let line = ["night", "--from", "2026-10-31T12:00:00Z", "--spend", "9h"];
        let text = said(CALENDARS, &line).unwrap();
        let row = "Sat 2026-10-31 22:00:00 -04:00  Sun 2026-11-01 06:00:00 -05:00  9h";
        assert!(text.contains(row), "{text}");
    }

    #[test]
    fn programs_get_the_moments_in_utc() {
        let line = ["office", "--from", "2026-11-23T09:00:00-05:00", "--spend", "8h", "--json"];
        let answer: Value = serde_json::from_str(&said(CALENDARS, &line).unwrap()).unwrap();
        let window = json!({ "from": "2026-11-23T14:00:00.000Z", "to": "2026-11-23T22:00:00.000Z" });
        assert_eq!(answer["due_at"], "2026-11-23T22:00:00.000Z");
        assert_eq!(answer["intervals"], json!([window]));
        assert_eq!((&answer["timezone"], &answer["spend"]), (&json!("America/New_York"), &json!("8h")));
    }

    #[test]
    fn a_wrong_name_is_told_with_those_there_are() {
        let refused = |text: &str, words: &[&str]| {
            let rest = ["--from", "2026-11-23T09:00:00Z", "--spend", "1h"];
            said(text, &[words, &rest].concat()).unwrap_err().to_string()
        };
        assert_eq!(
            refused(CALENDARS, &["offce"]),
            "there is no calendar \"offce\"; there are: night, office"
        );
        assert!(refused("", &["office"]).contains("[calendars.NAME]"));
        let unknown = refused(CALENDARS, &["office", "--tenant", "beta"]);
        assert_eq!(unknown, "there is no tenant beta; there are: default, acme");
    }

    #[test]
    fn what_never_falls_due_is_said() {
        let line = ["shop", "--tenant", "acme", "--from", "2026-11-23T09:00:00Z", "--spend", "30d"];
        let error = format!("{:#}", said(CALENDARS, &line).unwrap_err());
        assert!(
            error.starts_with("calendar shop: 30days of business time do not pass within ten"),
            "{error}"
        );
    }
}
