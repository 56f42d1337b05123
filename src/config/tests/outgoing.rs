//! Alarms and schedules in the configuration, and every mistake at its line.

use throughline_workflows::{schedule::Work, topic::Topic};

use super::*;

#[test]
fn a_tenant_has_the_common_alarms_unless_it_writes_its_own() {
    let config = with(
        r#"
[alarms]
mail_to = ["grace@example.com"]
topics = ["sla.breached"]
[tenants.acme.alarms]
mail_to = ["sam@acme.example"]
"#,
        &[],
    );
    let of = |tenant: &str| config.tenant(&tenant.parse().unwrap()).unwrap().alarms;
    assert_eq!(of("default").mail_to, ["grace@example.com"]);
    assert_eq!(
        (of("acme").mail_to, of("acme").topics),
        (vec!["sam@acme.example".to_owned()], vec![Topic::SlaBreached])
    );
}

#[test]
fn a_topic_that_does_not_exist_and_an_address_that_is_none_are_told_at_their_lines() {
    check(
        "[alarms]\nmail_to = [\"grace\"]\ntopics = [\"gossip\"]\n",
        &[
            ("config.toml:2: alarms.mail_to[0]", "supervisor@example.com"),
            ("config.toml:3: alarms.topics[0]", "customer.unreachable"),
        ],
    );
    check("[alarms]\ntopics = []\n", &[("config.toml:2: alarms.topics", "leave alarms.mail_to empty")]);
    check("[webhooks]\nallow_private_networks = \"yes\"\n", &[("config.toml:2: webhooks", "true or false")]);
}

#[test]
fn a_schedule_is_read_as_it_is_written() {
    let config = with("[schedules.tidy]\ncron = \"30 4 * * Sun\"\nsweep = \"blobs\"\n", &[]);
    let tidy = &config.schedules["tidy"];
    assert_eq!((tidy.work(), tidy.timezone.as_str()), (Some(Work::SweepBlobs), "UTC"));
}

#[test]
fn what_is_wrong_with_a_schedule_is_told_at_its_line() {
    check(
        r#"[schedules.numbers]
cron = "0 9 * * 1-5"
report = "summary"
[schedules.nowhere]
cron = "0 9 * * *"
timezone = "Berlin"
report = "gossip"
[schedules.both]
cron = "0 9 * * *"
report = "summary"
sweep = "blobs"
[schedules.nothing]
cron = "0 9 * * *"
tenant = "nobody"
"#,
        &[
            ("config.toml:2: schedules.numbers.cron", "by name"),
            ("config.toml:6: schedules.nowhere.timezone", "Europe/Berlin"),
            ("config.toml:7: schedules.nowhere.report", "silence"),
            ("config.toml:10: schedules.both.report", "no sweep beside it"),
            ("config.toml:12: schedules.nothing", "neither a report nor a sweep"),
            ("config.toml:14: schedules.nothing.tenant", "configured"),
        ],
    );
}
