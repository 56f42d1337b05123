//! What is wrong with settings that can be read: unknown keys, wrong types, impossible values.
//!
//! Each finding goes on a list and its key is taken out of the tree, so that one start shows them all.

mod calendars;
mod schedules;

use bytesize::ByteSize;
use reqwest::header::{HeaderName, HeaderValue};
use serde::de::DeserializeOwned;

use throughline_workflows::{message::is_generic_name, policy::settings::Settings, time::Span};

use super::{
    Config, Environment,
    channels::{Channels, Tls, Transport},
    keys::{self, Found, Kind},
    problem::{Place, Problem},
    sections::{Alarms, ClockMode},
    traces::Traces,
    tree::{Node, Value},
};

/// Refuses every key that does not exist, and every section that is none.
pub(super) fn unknown_keys(tree: &mut Node, problems: &mut Vec<Problem>) {
    let mut wrong = Vec::new();
    walk(tree, &mut Vec::new(), &mut wrong);
    for (path, problem) in wrong {
        tree.remove(&path);
        problems.push(problem);
    }
}

fn walk(node: &Node, path: &mut Vec<String>, wrong: &mut Vec<(Vec<String>, Problem)>) {
    let complaint = match (keys::find(path), &node.value) {
        (Found::Setting(_), _) => return,
        (Found::Section, Value::Table(table)) => {
            for (key, inner) in table {
                path.push(key.clone());
                walk(inner, path, wrong);
                path.pop();
            }
            return;
        }
        (Found::Section, _) => {
            let names = keys::names_in(path);
            let inside = if names.is_empty() { "names of your choice".to_owned() } else { names.join(", ") };
            format!("is a section, not {}; in it may stand: {inside}", shown(node))
        }
        (Found::Nothing, _) => unknown(path),
    };
    let problem = Problem { place: node.place.clone(), key: path.join("."), message: complaint };
    wrong.push((path.clone(), problem));
}

fn unknown(path: &[String]) -> String {
    let (name, section) = path.split_last().map_or(("", path), |(name, section)| (name.as_str(), section));
    let names = keys::names_in(section);
    let nearest = names
        .iter()
        .map(|known| (strsim::damerau_levenshtein(known, name), known))
        .filter(|(distance, known)| *distance <= known.len().max(name.len()).div_ceil(3))
        .min();
    let suggestion = nearest.map(|(_, known)| format!("; did you mean {known}?")).unwrap_or_default();
    let here = if section.is_empty() { "the sections are" } else { "allowed here" };
    format!("is not a setting{suggestion} ({here}: {})", names.join(", "))
}

/// The typed form of `tree`; what does not fit is told, taken out, and its default stands.
pub(super) fn typed<T: DeserializeOwned + Default>(tree: &mut Node, problems: &mut Vec<Problem>) -> T {
    loop {
        let error = match serde_path_to_error::deserialize(tree.to_toml()) {
            Ok(value) => return value,
            Err(error) => error,
        };
        let path: Vec<String> = error
            .path()
            .iter()
            .map_while(|segment| match segment {
                serde_path_to_error::Segment::Map { key } => Some(key.clone()),
                _ => None,
            })
            .collect();
        let entry = error.path().iter().nth(path.len()).and_then(|segment| match segment {
            serde_path_to_error::Segment::Seq { index } => Some(*index),
            _ => None,
        });
        let (path, entry, message) = match keys::setting_above(&path) {
            Some((key, depth)) => {
                let path = path.get(..depth).unwrap_or(&path).to_vec();
                let entry = entry.filter(|_| key.kind != Kind::Secret);
                let message = match (tree.get(&path), entry.and_then(|entry| tree.get(&path)?.entry(entry))) {
                    (_, Some(entry)) => {
                        format!("cannot be {}; it must be one of {}", shown(entry), key.allowed)
                    }
                    (Some(node), None) => refusal(key, node),
                    (None, None) => format!("must be {}", key.allowed),
                };
                (path, entry, message)
            }
            None => (path, None, error.inner().message().trim().to_owned()),
        };
        let removed = tree.remove(&path);
        let node = removed.as_ref().map(|node| entry.and_then(|entry| node.entry(entry)).unwrap_or(node));
        let place = node.map_or(Place::BuiltIn, |node| node.place.clone());
        problems.push(Problem { place, key: keys::written(&path, entry), message });
        if removed.is_none() {
            return T::default();
        }
    }
}

fn refusal(key: &keys::Key, node: &Node) -> String {
    match (key.kind, &node.value) {
        (Kind::Secret, Value::Plain(_)) => {
            format!("has a value that cannot be used; it must be {}", key.allowed)
        }
        _ => format!("cannot be {}; it must be {}", shown(node), key.allowed),
    }
}

/// The value in short. Not to be asked of a secret.
fn shown(node: &Node) -> String {
    match &node.value {
        Value::Table(_) => "a table".to_owned(),
        Value::List(_) => "a list".to_owned(),
        Value::Plain(value) => {
            let text = value.to_string();
            match text.char_indices().nth(60) {
                Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
                None => text,
            }
        }
    }
}

/// Looks at values one by one and together, below one path of the configuration.
struct Checks<'a> {
    tree: &'a Node,
    /// `tenants.NAME`, or nothing.
    prefix: Vec<String>,
    problems: &'a mut Vec<Problem>,
}

impl Checks<'_> {
    /// Refuses the value at `path` unless it is `good`.
    fn need(&mut self, good: bool, path: &[&str]) {
        if good {
            return;
        }
        let whole = self.path(path);
        if let (Some(node), Some((key, _))) = (self.tree.get(&whole), keys::setting_above(&whole)) {
            self.refuse(path, refusal(key, node));
        }
    }

    fn refuse(&mut self, path: &[&str], message: String) {
        let whole = self.path(path);
        // A tenant inherits what it does not write; that is complained about once, where it stands.
        if let Some(node) = self.tree.get(&whole) {
            self.problems.push(Problem { place: node.place.clone(), key: whole.join("."), message });
        }
    }

    fn path(&self, path: &[&str]) -> Vec<String> {
        self.prefix.iter().cloned().chain(path.iter().map(|key| (*key).to_owned())).collect()
    }

    fn server_wide(&mut self, config: &Config) {
        let (kib, mib, gib) = (ByteSize::kib(64), ByteSize::mib(1), ByteSize::gib(1));
        let patience = config.server.webhook_patience;
        let keep = config.dedupe.keep;
        self.need(!config.server.public_url.has_tail(), &["server", "public_url"]);
        self.need((kib..=gib).contains(&config.server.body_max), &["server", "body_max"]);
        self.need(
            (Span::from_millis(100)..=Span::from_secs(10)).contains(&patience),
            &["server", "webhook_patience"],
        );
        self.need(!config.storage.path.as_os_str().is_empty(), &["storage", "path"]);
        self.need(config.storage.cache >= mib, &["storage", "cache"]);
        self.need((Span::from_hours(24)..=Span::from_hours(7 * 24)).contains(&keep), &["dedupe", "keep"]);
        self.need(config.inbox.max_entries >= 1000, &["inbox", "max_entries"]);
        self.need((1..=1024).contains(&config.actors.shards), &["actors", "shards"]);
        self.need(config.actors.max_resident >= 1, &["actors", "max_resident"]);
        self.need(config.actors.idle_after > Span::ZERO, &["actors", "idle_after"]);
        self.need(config.clock.settle_timeout > Span::ZERO, &["clock", "settle_timeout"]);
        let start_fits = config.clock.start.is_none() || config.clock.mode == ClockMode::Manual;
        self.need(start_fits, &["clock", "start"]);
        let filter = tracing_subscriber::EnvFilter::try_new(&config.log.filter);
        self.need(filter.is_ok() && !config.log.filter.trim().is_empty(), &["log", "filter"]);
        self.need(!config.traces.service_name.trim().is_empty(), &["traces", "service_name"]);
    }

    fn channels(&mut self, channels: &Channels) {
        let sid = |text: &str, start: &str| {
            let digits = text.strip_prefix(start).unwrap_or_default();
            digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        let sms = &channels.sms;
        self.need(
            sms.account_sid.as_deref().is_none_or(|id| sid(id, "AC")),
            &["channels", "sms", "account_sid"],
        );
        let service = sms.messaging_service_sid.as_deref();
        self.need(service.is_none_or(|id| sid(id, "MG")), &["channels", "sms", "messaging_service_sid"]);
        self.need(is_sms_sender(&sms.from), &["channels", "sms", "from"]);
        self.need(!sms.base_url.has_tail(), &["channels", "sms", "base_url"]);
        self.need(is_mail_address(&channels.email.from), &["channels", "email", "from"]);
        self.need(
            channels.email.raw_secret.values().all(is_signing_key),
            &["channels", "email", "raw_secret"],
        );
        for (name, generic) in &channels.generic {
            if !is_generic_name(name) {
                let message = "cannot be a channel's name: 1 to 63 of a-z, 0-9, '-' and '_'".to_owned();
                self.refuse(&["channels", "generic", name], message);
            }
            self.need(generic.secret.values().all(is_signing_key), &["channels", "generic", name, "secret"]);
        }
        self.sending(channels);
    }

    /// What a channel that sends through a provider cannot do without.
    fn sending(&mut self, channels: &Channels) {
        let Channels { sms, email, generic } = channels;
        if sms.transport == Transport::Provider {
            let missing =
                [("account_sid", sms.account_sid.is_some()), ("auth_token", sms.auth_token.is_set())];
            self.complete(&["channels", "sms"], &missing);
        }
        let smtp = &email.smtp;
        self.need(smtp.port != 0, &["channels", "email", "smtp", "port"]);
        self.need(
            smtp.host.as_deref().is_none_or(|host| url::Host::parse(host).is_ok()),
            &["channels", "email", "smtp", "host"],
        );
        let trusted = smtp.ca_file.as_ref().map(|file| (file, std::fs::metadata(file)));
        if let Some((file, Err(error))) = trusted {
            let message = format!("names the file {}: {error}", file.display());
            self.refuse(&["channels", "email", "smtp", "ca_file"], message);
        }
        if email.transport == Transport::Provider {
            let missing = [
                ("smtp.host", smtp.host.is_some()),
                ("smtp.password", smtp.username.is_none() || smtp.password.is_set()),
                ("smtp.username", smtp.username.is_some() || !smtp.password.is_set()),
            ];
            self.complete(&["channels", "email"], &missing);
            let exposed = smtp.tls == Tls::None && smtp.password.is_set() && !smtp.is_loopback();
            if exposed {
                let message =
                    "cannot be \"none\" while there is a password: anybody on the way could read it; \
                               it must be \"starttls\" or \"tls\", or the host this machine"
                        .to_owned();
                self.refuse(&["channels", "email", "smtp", "tls"], message);
            }
        }
        for (name, generic) in generic.iter().filter(|(_, one)| one.transport == Transport::Provider) {
            let missing = [("url", generic.url.is_some()), ("secret", generic.secret.is_set())];
            self.complete(&["channels", "generic", name], &missing);
        }
    }

    /// Refuses `transport = "provider"` where a key below `section` is not there.
    fn complete(&mut self, section: &[&str], keys: &[(&str, bool)]) {
        let missing: Vec<String> = keys
            .iter()
            .filter(|(_, there)| !there)
            .map(|(key, _)| format!("{}.{key}", section.join(".")))
            .collect();
        if missing.is_empty() {
            return;
        }
        let message = format!("cannot be \"provider\" without {}", missing.join(" and "));
        let path: Vec<&str> = section.iter().copied().chain(["transport"]).collect();
        self.refuse(&path, message);
    }

    fn alarms(&mut self, alarms: &Alarms) {
        for (at, to) in alarms.mail_to.iter().enumerate() {
            if !is_mail_address(to) {
                self.refuse_entry(&["alarms", "mail_to"], at);
            }
        }
        if alarms.topics.is_empty() {
            let message = "is empty; without alarms leave alarms.mail_to empty instead".to_owned();
            self.refuse(&["alarms", "topics"], message);
        }
    }

    /// Refuses one entry of the list at `path`.
    fn refuse_entry(&mut self, path: &[&str], at: usize) {
        let whole = self.path(path);
        let entry = self.tree.get(&whole).and_then(|node| node.entry(at));
        if let (Some(entry), Some((key, _))) = (entry, keys::setting_above(&whole)) {
            let message = format!("cannot be {}; it must be one of {}", shown(entry), key.allowed);
            let key = keys::written(&whole, Some(at));
            self.problems.push(Problem { place: entry.place.clone(), key, message });
        }
    }

    /// Checks a policy as a whole; `common` are the settings that it inherits. Calendars are looked at by themselves.
    fn policy(&mut self, settings: &Settings, common: Option<&Settings>) {
        let Some(node) = self.tree.get(&self.path(&[])) else {
            return;
        };
        let told = common.map(Settings::mistakes).unwrap_or_default();
        let mistakes = settings.mistakes().into_iter().filter(|it| !it.path.starts_with("calendars."));
        for error in mistakes {
            let message = format!("is refused: {}", error.what);
            if let Some(path) = node.find_dotted(&error.path) {
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                self.refuse(&path, message);
            } else if !told.contains(&error) {
                // It is not written here, and wrong only beside what is: there it is told.
                let mut above = error.path.as_str();
                let place = loop {
                    if let Some(path) = node.find_dotted(above) {
                        break node.get(&path).map_or(&node.place, |node| &node.place);
                    }
                    match above.rsplit_once('.') {
                        Some((shorter, _)) => above = shorter,
                        None => break &node.place,
                    }
                };
                let key = self.path(&[&error.path]).join(".");
                self.problems.push(Problem { place: place.clone(), key, message });
            }
        }
    }
}

/// Checks every value of `config`, whose typed values were read from `tree`.
pub(super) fn values(config: &Config, tree: &Node, problems: &mut Vec<Problem>) {
    let mut common = Checks { tree, prefix: Vec::new(), problems };
    common.server_wide(config);
    common.channels(&config.channels);
    let inherited = config.settings(None, Settings::default().name);
    common.policy(&inherited, None);
    common.calendars(&config.calendars, None);
    common.alarms(&config.alarms);
    common.schedules(config);
    for (id, tenant) in &config.tenants {
        let prefix = vec!["tenants".to_owned(), id.to_string()];
        let mut own = Checks { tree, prefix, problems };
        own.need(tenant.name.as_ref().is_none_or(|name| name.chars().count() <= 100), &["name"]);
        own.channels(&tenant.channels);
        own.policy(&config.settings(Some(tenant), config.name_of(id)), Some(&inherited));
        own.calendars(&tenant.calendars, Some(&config.calendars));
        own.alarms(&tenant.alarms);
    }
}

/// Fetches every secret of `channels`, whose section stands at `prefix` in `tree`.
///
/// The key of reply tokens may be a file that is still to be made.
pub(super) fn fetch_secrets(
    channels: &mut Channels,
    prefix: &[&str],
    tree: &Node,
    environment: &Environment,
    problems: &mut Vec<Problem>,
) {
    for (below, secret) in channels.secrets() {
        let made_at_start = below.last() == Some(&"reply_token_key");
        let to_be_made = secret.file().is_some_and(|path| matches!(path.try_exists(), Ok(false)));
        let outcome = match (made_at_start, to_be_made) {
            (true, true) => Ok(()),
            (true, false) => secret.resolve(environment).and_then(|()| {
                let missing = !secret.is_absent() && !secret.is_set();
                if missing { Err(format!("has no value ({secret})")) } else { Ok(()) }
            }),
            (false, _) => secret.resolve(environment),
        };
        let path = prefix.iter().chain(&["channels"]).chain(&below).map(|key| (*key).to_owned());
        let path: Vec<String> = path.collect();
        if let (Err(message), Some(node)) = (outcome, tree.get(&path)) {
            problems.push(Problem { place: node.place.clone(), key: path.join("."), message });
        }
    }
}

/// Fetches every header of `traces`: each has a value, and one that a header can hold.
pub(super) fn fetch_headers(
    traces: &mut Traces,
    tree: &Node,
    environment: &Environment,
    problems: &mut Vec<Problem>,
) {
    for (name, secret) in &mut traces.headers {
        let outcome = secret.resolve(environment).and_then(|()| match secret.newest() {
            None => Err(format!("has no value ({secret})")),
            Some(value) if HeaderValue::from_str(value).is_err() => {
                Err("has a value that no header can hold".to_owned())
            }
            Some(_) if HeaderName::from_bytes(name.as_bytes()).is_err() => {
                Err("is not the name of a header".to_owned())
            }
            Some(_) => Ok(()),
        });
        let path = ["traces", "headers", name].map(str::to_owned);
        if let (Err(message), Some(node)) = (outcome, tree.get(&path)) {
            problems.push(Problem { place: node.place.clone(), key: path.join("."), message });
        }
    }
}

fn is_sms_sender(text: &str) -> bool {
    let number = text.strip_prefix('+').unwrap_or(text);
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let allowed = |c: char| c.is_ascii_alphanumeric() || " &-_+".contains(c);
    let name =
        !text.starts_with('+') && text.chars().any(|c| c.is_ascii_alphabetic()) && text.chars().all(allowed);
    (digits && (3..=15).contains(&number.len())) || (name && text.len() <= 11)
}

/// Whether mail can come from `text`: a plain address. The display name is the engine's to write.
fn is_mail_address(text: &str) -> bool {
    let strange = |c: char| c.is_whitespace() || c.is_control() || "<>()[],;:\"\\".contains(c);
    match text.rsplit_once('@') {
        Some((local, domain)) => {
            let labels = domain.split('.').all(|label| !label.is_empty());
            !local.is_empty()
                && !local.contains('@')
                && !text.contains(strange)
                && labels
                && text.len() <= 254
        }
        None => false,
    }
}

fn is_signing_key(text: &str) -> bool {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.decode(text.strip_prefix("whsec_").unwrap_or(text)).is_ok_and(|key| !key.is_empty())
}
