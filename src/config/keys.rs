//! The settings that exist, and in words what each may be.
//!
//! A key that is not listed here is refused by name; the words stand in every complaint about its value.

/// How a value given by an environment variable is to be read, and whether it may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A text: what looks like a number is a text all the same.
    Text,
    /// A secret: text, a reference or a list of them; never shown.
    Secret,
    /// Anything else.
    Plain,
}

/// One setting. A `*` in its path stands for a name of the operator's choice, `a|b` for one of these names.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) path: &'static str,
    pub(super) kind: Kind,
    pub(super) allowed: &'static str,
}

/// What a path leads to.
#[derive(Debug)]
pub(super) enum Found {
    Setting(&'static Key),
    Section,
    Nothing,
}

const fn plain(path: &'static str, allowed: &'static str) -> Key {
    Key { path, kind: Kind::Plain, allowed }
}

const fn text(path: &'static str, allowed: &'static str) -> Key {
    Key { path, kind: Kind::Text, allowed }
}

const fn secret(path: &'static str, allowed: &'static str) -> Key {
    Key { path, kind: Kind::Secret, allowed }
}

const TARGET: &str = "a duration of business time such as \"4h\", at most 365d";
const RANGES: &str = "a list of ranges such as [\"09:00-12:00\", \"22:00-06:00\"]";
const SIZE: &str = "a size such as \"64MiB\"";
const URL: &str = "a web address such as \"https://care.example.com\"";
const TRANSPORT: &str = "\"file\" or \"provider\"";
const RATE: &str = "a rate such as \"10/s\", \"60/min\" or \"1000/h\"";
const SECRET: &str = "a text, { env = \"NAME\" }, { file = \"PATH\" }, or a list of those, newest first";
const TOPICS: &str = "a list of topics: message.received, message.sent, message.delivery_changed, message.classified, conversation.created, conversation.updated, conversation.state_changed, conversation.assigned, conversation.escalated, conversation.merged, resolution.created, resolution.status_changed, resolution.completed, sla.warning, sla.breached, silence.nudged, customer.updated, customer.unreachable, automation.triggered, automation.executed, function_called, escalation_requested, error, operator.acted";
const CRON: &str = "five fields such as \"0 9 * * Mon-Fri\" (minute, hour, day of the month, month, day of the week by \
                    name), or six with the second in front";
const SIGNING: &str = "base64, with or without \"whsec_\" before it, as a text, { env = \"NAME\" }, \
                       { file = \"PATH\" }, or a list of those, newest first";

/// All settings, in the order of `config.toml`. Under `tenants.NAME` those of [`OF_A_TENANT`] stand again.
pub(super) const KEYS: &[Key] = &[
    text("server.listen", "an address and a port such as \"127.0.0.1:8080\""),
    text("server.public_url", URL),
    plain("server.body_max", "a size from 64KiB to 1GiB, such as \"32MiB\""),
    plain("server.webhook_patience", "a duration from 100ms to 10s, such as \"5s\""),
    text("storage.path", "the path of a folder"),
    text("storage.engine", "\"sled\" or \"fjall\""),
    plain("storage.cache", "a size of at least 1MiB, such as \"64MiB\""),
    plain("storage.min_free", SIZE),
    plain("dedupe.keep", "a duration from 1d to 7d, such as \"7d\""),
    plain("inbox.max_entries", "a number of at least 1000"),
    plain("actors.shards", "a number from 1 to 1024"),
    plain("actors.max_resident", "a number of at least 1"),
    plain("actors.idle_after", "a duration above zero, such as \"5m\""),
    text("clock.mode", "\"system\" or \"manual\""),
    plain("clock.start", "a time such as \"2026-11-21T09:30:00Z\", and only where clock.mode = \"manual\""),
    plain("clock.settle_timeout", "a duration above zero, such as \"60s\""),
    text("log.format", "\"text\" or \"json\""),
    text(
        "log.filter",
        "a level (error, warn, info, debug, trace) or directives such as \"info,throughline=debug\"",
    ),
    text("traces.endpoint", "the web address of a collector such as \"http://127.0.0.1:4318/v1/traces\""),
    text("traces.service_name", "a name such as \"throughline\""),
    plain("traces.ratio", "a part from 0 to 1, such as 0.1"),
    secret("traces.headers.*", SECRET),
    plain("conversation.reopen_window", "a duration such as \"7d\""),
    plain("conversation.acknowledge", "true or false"),
    text("customers.language", "a language such as \"en\" or \"pt-BR\""),
    text("customers.timezone", "the name of a time zone such as \"Europe/Berlin\""),
    plain("updates.interval", "a duration of at most 12h, such as \"6h\""),
    plain("updates.margin", "a duration from 2m to half of updates.interval, such as \"30m\""),
    plain("updates.nudge_before", "a duration between updates.margin and updates.interval, such as \"2h\""),
    plain("updates.alarm_after", "a number of at least 1"),
    plain(
        "escalation.windows.technical|billing|ops|compliance.P0|P1|P2|P3",
        "a duration above zero, such as \"24h\"",
    ),
    text("templates.*.*", "a text with only the variables of that template in braces"),
    text("calendars.*.timezone", "the name of a time zone such as \"Europe/Berlin\""),
    plain("calendars.*.hours.mon", RANGES),
    plain("calendars.*.hours.tue", RANGES),
    plain("calendars.*.hours.wed", RANGES),
    plain("calendars.*.hours.thu", RANGES),
    plain("calendars.*.hours.fri", RANGES),
    plain("calendars.*.hours.sat", RANGES),
    plain("calendars.*.hours.sun", RANGES),
    plain("calendars.*.holidays", "a list of dates such as [\"2026-12-25\"]"),
    text("sla.tiers.free|standard|premium|enterprise.calendar", "the name of a calendar"),
    plain(
        "sla.tiers.free|standard|premium|enterprise.pause_in",
        "a list of awaiting_customer, awaiting_agent, escalated and snoozed",
    ),
    text("sla.tiers.free|standard|premium|enterprise.on_reopen", "\"resume\" or \"restart\""),
    plain(
        "sla.tiers.free|standard|premium|enterprise.warn_at",
        "a part such as 0.75: more than 0 and less than 1",
    ),
    plain("sla.tiers.free|standard|premium|enterprise.warn_before", TARGET),
    plain(
        "sla.tiers.free|standard|premium|enterprise.reminders",
        "a list of durations such as [\"30m\", \"1h\"], each longer than the one before",
    ),
    plain(
        "sla.tiers.free|standard|premium|enterprise.default|P0|P1|P2|P3.\
         first_response|next_response|resolution|escalation_unattended",
        TARGET,
    ),
    text("channels.sms.transport", TRANSPORT),
    text("channels.sms.base_url", URL),
    text("channels.sms.account_sid", "an account's id: AC and 32 hexadecimal digits"),
    secret("channels.sms.auth_token", SECRET),
    text(
        "channels.sms.from",
        "a number such as \"+15550100200\", a short code, or a sender name of at most 11 letters",
    ),
    text("channels.sms.messaging_service_sid", "a messaging service's id: MG and 32 hexadecimal digits"),
    text("channels.sms.webhook_url", URL),
    text("channels.sms.status_webhook_url", URL),
    text("channels.sms.rate", RATE),
    text("channels.email.transport", TRANSPORT),
    text("channels.email.from", "an address such as \"support@example.com\""),
    secret("channels.email.reply_token_key", SECRET),
    secret("channels.email.raw_secret", SIGNING),
    text("channels.email.webhook_url", URL),
    text("channels.email.rate", RATE),
    text("channels.email.smtp.host", "the name of a mail server such as \"smtp.example.com\""),
    plain("channels.email.smtp.port", "a port from 1 to 65535"),
    text("channels.email.smtp.tls", "\"starttls\", \"tls\" or \"none\""),
    text("channels.email.smtp.username", "a text"),
    secret("channels.email.smtp.password", SECRET),
    text("channels.email.smtp.ca_file", "the path of a file of certificates (PEM)"),
    text("channels.generic.*.transport", TRANSPORT),
    secret("channels.generic.*.secret", SIGNING),
    text("channels.generic.*.url", URL),
    text("channels.generic.*.webhook_url", URL),
    text("channels.generic.*.rate", RATE),
    plain("webhooks.allow_private_networks", "true or false"),
    plain("alarms.mail_to", "a list of addresses such as [\"supervisor@example.com\"]"),
    plain("alarms.topics", TOPICS),
    text("schedules.*.cron", CRON),
    text("schedules.*.timezone", "the name of a time zone such as \"Europe/Berlin\""),
    text("schedules.*.tenant", "the name of a tenant that is configured"),
    text("schedules.*.report", "\"silence\", \"breaches\" or \"summary\", and no sweep beside it"),
    text("schedules.*.sweep", "\"blobs\" or \"claims\", and no report beside it"),
    text("tenants.*.name", "a text that customers may read, at most 100 characters"),
];

/// The sections that a tenant may write for itself.
pub(super) const OF_A_TENANT: &[&str] = &[
    "conversation",
    "templates",
    "calendars",
    "channels",
    "customers",
    "updates",
    "escalation",
    "sla",
    "alarms",
];

/// The sections that make a tenant's policy: what they say, the API may say too.
pub(super) const OF_A_POLICY: &[&str] =
    &["conversation", "templates", "calendars", "customers", "updates", "escalation", "sla"];

/// Whether a part of a setting's path stands for `name`.
fn stands_for(pattern: &str, name: &str) -> bool {
    pattern == "*" || pattern.split('|').any(|allowed| allowed == name)
}

/// What stands at `path`.
pub(super) fn find(path: &[String]) -> Found {
    let path = common(path);
    if path.is_empty() {
        return Found::Section;
    }
    let mut section = false;
    for key in KEYS {
        let pattern: Vec<&str> = key.path.split('.').collect();
        let fits = pattern.iter().zip(path).all(|(pattern, name)| stands_for(pattern, name));
        if fits && pattern.len() == path.len() {
            return Found::Setting(key);
        }
        section |= fits && pattern.len() > path.len();
    }
    if section { Found::Section } else { Found::Nothing }
}

/// A path as the complaints write it, with the number of the list's entry that is meant, from 0.
pub(super) fn written(path: &[String], entry: Option<usize>) -> String {
    let entry = entry.map(|entry| format!("[{entry}]")).unwrap_or_default();
    format!("{}{entry}", path.join("."))
}

/// The setting at `path` or above it, and how many keys lead there.
pub(super) fn setting_above(path: &[String]) -> Option<(&'static Key, usize)> {
    (1..=path.len()).rev().find_map(|depth| match find(path.get(..depth)?) {
        Found::Setting(key) => Some((key, depth)),
        Found::Section | Found::Nothing => None,
    })
}

/// The names that may stand in the section at `path`; empty where any name may.
pub(super) fn names_in(path: &[String]) -> Vec<&'static str> {
    let of_a_tenant = path.first().is_some_and(|first| first == "tenants") && path.len() == 2;
    let path = common(path);
    let mut names: Vec<&'static str> = Vec::new();
    if of_a_tenant {
        names.extend(std::iter::once("name").chain(OF_A_TENANT.iter().copied()));
    }
    for key in KEYS {
        let pattern: Vec<&'static str> = key.path.split('.').collect();
        let fits = pattern.iter().zip(path).all(|(pattern, name)| stands_for(pattern, name));
        let next = pattern.get(path.len()).filter(|next| fits && !of_a_tenant && **next != "*");
        for next in next.into_iter().flat_map(|next| next.split('|')) {
            if !names.contains(&next) {
                names.push(next);
            }
        }
    }
    names
}

/// Inside a tenant's own tables the common settings apply: the path without `tenants.NAME`.
fn common(path: &[String]) -> &[String] {
    match path {
        [first, _, section, ..] if first == "tenants" && OF_A_TENANT.contains(&section.as_str()) => {
            path.get(2..).unwrap_or_default()
        }
        _ => path,
    }
}
