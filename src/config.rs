//! The configuration: `config.toml`, with the environment laid over it, read once and checked as a whole.
//!
//! Each section of the file has its struct here, and `Config::default()` is what the file in the repository says.
//! All mistakes are reported together, each with its line or variable and what is allowed. Nothing below the
//! command line looks at the environment: what it held is passed down as values.

mod channels;
mod check;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod keys;
mod overlay;
mod problem;
mod rate;
mod secret;
mod sections;
mod traces;
mod tree;
mod web_url;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use throughline_workflows::{
    calendar::{Calendar, CalendarSpec},
    ids::TenantId,
    policy::{
        Policy, Updates,
        settings::{ConversationSettings, CustomerSettings, EscalationSettings, Settings, SlaSettings},
    },
    policy_book::PolicyFile,
    time::Timestamp,
};

use self::tree::Node;

pub use self::{
    channels::{Channels, Door, Email, Generic, Sms, Smtp, Tls, Transport},
    problem::{ConfigErrors, Place, Problem},
    rate::{Rate, RateError},
    secret::{Secret, ensure_reply_token_key},
    sections::{
        Actors, Alarms, Clock, ClockMode, Dedupe, Inbox, Log, LogFormat, Schedule, Server, Storage,
        StorageEngine, Webhooks, reachable,
    },
    traces::{Ratio, Traces},
    web_url::{WebUrl, WebUrlError},
};

/// The variables of the environment, by name.
pub type Environment = BTreeMap<String, String>;

/// The machine's words: by language, then by the template's name.
pub type Templates = BTreeMap<String, BTreeMap<String, String>>;

/// Business calendars by name.
pub type Calendars = BTreeMap<String, CalendarSpec>;

/// The variables of this process; those that are not Unicode are left out.
pub fn process_environment() -> Environment {
    env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Everything that can be set, section by section.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The door.
    pub server: Server,
    /// The data folder.
    pub storage: Storage,
    /// How long a webhook is recognised as one already taken.
    pub dedupe: Dedupe,
    /// Messages accepted and not yet taken up.
    pub inbox: Inbox,
    /// The entities in memory.
    pub actors: Actors,
    /// Whose time it is.
    pub clock: Clock,
    /// What is written to standard error.
    pub log: Log,
    /// Where traces are sent.
    pub traces: Traces,
    /// What holds for conversations, where a tenant does not say otherwise.
    pub conversation: ConversationSettings,
    /// What holds for customers who stated nothing else, where a tenant does not say otherwise.
    pub customers: CustomerSettings,
    /// How long a waiting customer may hear nothing, where a tenant does not say otherwise.
    pub updates: Updates,
    /// What holds for cases, where a tenant does not say otherwise.
    pub escalation: EscalationSettings,
    /// What is promised, where a tenant does not say otherwise.
    pub sla: SlaSettings,
    /// The machine's words, where a tenant does not say otherwise.
    pub templates: Templates,
    /// Business calendars, where a tenant does not say otherwise.
    pub calendars: Calendars,
    /// Where messages come in and go out, where a tenant does not say otherwise.
    pub channels: Channels,
    /// What we post to others.
    pub webhooks: Webhooks,
    /// Who of ours is told by mail, where a tenant does not say otherwise.
    pub alarms: Alarms,
    /// What runs by itself, by name.
    pub schedules: BTreeMap<String, Schedule>,
    /// Tenants of their own. After loading, each holds the common tables with its own laid over them.
    pub tenants: BTreeMap<TenantId, Tenant>,
    /// Which keys of the tenants' policies were written, by the file or the environment.
    #[serde(skip)]
    written: Written,
}

/// The keys of policies that were written, with dots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Written {
    common: Vec<String>,
    tenants: BTreeMap<TenantId, Vec<String>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            server: Server::default(),
            storage: Storage::default(),
            dedupe: Dedupe::default(),
            inbox: Inbox::default(),
            actors: Actors::default(),
            clock: Clock::default(),
            log: Log::default(),
            traces: Traces::default(),
            conversation: ConversationSettings::default(),
            customers: CustomerSettings::default(),
            updates: Updates::default(),
            escalation: EscalationSettings::default(),
            sla: SlaSettings::default(),
            templates: Policy::default().templates,
            calendars: Calendars::new(),
            channels: Channels::default(),
            webhooks: Webhooks::default(),
            alarms: Alarms::default(),
            schedules: BTreeMap::new(),
            tenants: BTreeMap::new(),
            written: Written::default(),
        }
    }
}

/// `[tenants.NAME]`: the tables that a tenant may have of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tenant {
    /// The name customers know; without it, that of the tenant.
    pub name: Option<String>,
    /// What holds for its conversations.
    pub conversation: ConversationSettings,
    /// What holds for its customers who stated nothing else.
    pub customers: CustomerSettings,
    /// How long its waiting customers may hear nothing.
    pub updates: Updates,
    /// What holds for its cases.
    pub escalation: EscalationSettings,
    /// What it promises.
    pub sla: SlaSettings,
    /// The machine's words to its customers.
    pub templates: Templates,
    /// Its business calendars.
    pub calendars: Calendars,
    /// Where its messages come in and go out.
    pub channels: Channels,
    /// Who of its people is told by mail.
    pub alarms: Alarms,
}

/// One tenant as the rest of the program sees it: common settings and its own, merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantConfig {
    /// Which tenant.
    pub id: TenantId,
    /// The name customers know it by.
    pub name: String,
    /// Where its messages come in and go out.
    pub channels: Channels,
    /// Who of its people is told by mail.
    pub alarms: Alarms,
    /// What decisions look at, as far as the configuration says it.
    pub policy: Policy,
}

/// A configuration that can be started, and what is worth saying about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// The file they were read from; none means the built-in ones.
    pub file: Option<PathBuf>,
    /// What works but may not be meant, a sentence each.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads the file at `path`, lays the environment over it and checks everything.
    ///
    /// Without a path it is `config.toml` in the working directory, or else beside the program, or else the
    /// built-in settings.
    ///
    /// # Errors
    /// Every mistake at once, with its place and what is allowed.
    pub fn load(path: Option<&Path>, environment: &Environment) -> Result<Loaded, ConfigErrors> {
        let Some(file) = path.map(Path::to_owned).or_else(present_file) else {
            return Self::read("", "", environment);
        };
        let name = file.display().to_string();
        let text = fs::read(&file)
            .map_err(|error| error.to_string())
            .and_then(|bytes| String::from_utf8(bytes).map_err(|_| "the file is not UTF-8 text".to_owned()));
        match text {
            Ok(text) => {
                Self::read(&text, &name, environment).map(|loaded| Loaded { file: Some(file), ..loaded })
            }
            Err(message) => {
                let message = format!("cannot be read: {message}");
                Err(ConfigErrors::new(vec![Problem {
                    place: Place::File(name),
                    key: String::new(),
                    message,
                }]))
            }
        }
    }

    /// Reads `text`, whose mistakes are told under the name `file`, with the environment laid over it.
    ///
    /// # Errors
    /// Every mistake at once, with its place and what is allowed.
    pub fn read(text: &str, file: &str, environment: &Environment) -> Result<Loaded, ConfigErrors> {
        let (written, mut problems) = Node::parse(text, file);
        let unreadable: Vec<Place> = problems.iter().map(|problem| problem.place.clone()).collect();
        let mut tree = built_in(&written);
        tree.lay_over(written);
        overlay::lay(&mut tree, environment, &mut problems);
        check::unknown_keys(&mut tree, &mut problems);
        let mut config: Self = check::typed(&mut tree, &mut problems);
        config.written.common = written_keys(&tree);
        for (id, tenant) in &mut config.tenants {
            let mut whole = merged(&tree, id);
            *tenant = check::typed(&mut whole, &mut problems);
            config.written.tenants.insert(id.clone(), written_keys(&whole));
            let at = ["tenants", id.as_str()];
            check::fetch_secrets(&mut tenant.channels, &at, &tree, environment, &mut problems);
        }
        check::fetch_secrets(&mut config.channels, &[], &tree, environment, &mut problems);
        check::fetch_headers(&mut config.traces, &tree, environment, &mut problems);
        check::values(&config, &tree, &mut problems);
        // A line that could not be read may have left half a setting behind: only the first complaint is true.
        problems.retain(|problem| problem.key.is_empty() || !unreadable.contains(&problem.place));
        if problems.is_empty() {
            let warnings = config.warnings();
            Ok(Loaded { config, file: None, warnings })
        } else {
            Err(ConfigErrors::new(problems))
        }
    }

    /// The tenants there are: the default one first, then those with tables of their own.
    pub fn tenant_ids(&self) -> Vec<TenantId> {
        let default = TenantId::default_tenant();
        let others = self.tenants.keys().filter(|id| **id != default).cloned();
        std::iter::once(default.clone()).chain(others).collect()
    }

    /// The settings of one tenant; `None` if there is no such tenant.
    pub fn tenant(&self, id: &TenantId) -> Option<TenantConfig> {
        let own = self.tenants.get(id);
        if own.is_none() && *id != TenantId::default_tenant() {
            return None;
        }
        let name = self.name_of(id);
        let channels = own.map_or(&self.channels, |own| &own.channels).clone();
        let policy = self.settings(own, name.clone()).policy(1, Timestamp::default());
        let alarms = own.map_or(&self.alarms, |own| &own.alarms).clone();
        Some(TenantConfig { id: id.clone(), name, channels, alarms, policy })
    }

    /// The calendars that a tenant has, its own and the common ones; `None` if there is no such tenant.
    pub fn calendars(&self, tenant: &TenantId) -> Option<&Calendars> {
        match self.tenants.get(tenant) {
            Some(own) => Some(&own.calendars),
            None => (*tenant == TenantId::default_tenant()).then_some(&self.calendars),
        }
    }

    /// A calendar of a tenant; `None` if there is no such tenant, or it has no calendar of that name.
    pub fn calendar(&self, tenant: &TenantId, name: &str) -> Option<Calendar> {
        // A configuration with a calendar that has mistakes is never handed out.
        Calendar::new(self.calendars(tenant)?.get(name)?).ok()
    }

    /// What is said of the policy of every tenant, and which of its keys may not be changed elsewhere.
    pub fn policy_files(&self) -> BTreeMap<TenantId, PolicyFile> {
        self.tenant_ids().into_iter().map(|id| (id.clone(), self.policy_file(&id))).collect()
    }

    /// What is said of the policy of one tenant; of one that is not written here, the common settings.
    pub fn policy_file(&self, id: &TenantId) -> PolicyFile {
        let settings = self.settings(self.tenants.get(id), self.name_of(id));
        let owned = self.written.tenants.get(id).unwrap_or(&self.written.common).clone();
        PolicyFile { owned, ..PolicyFile::open(&settings) }
    }

    /// Takes in a tenant that was added while a server ran: it has the common settings. One that is written here keeps
    /// what is written.
    pub fn add_tenant(&mut self, id: &TenantId, title: Option<&str>) {
        if let Some(written) = self.tenants.get_mut(id) {
            written.name = written.name.take().or_else(|| title.map(str::to_owned));
            return;
        }
        if *id == TenantId::default_tenant() {
            return;
        }
        let tenant = Tenant {
            name: title.map(str::to_owned),
            conversation: self.conversation.clone(),
            customers: self.customers.clone(),
            updates: self.updates,
            escalation: self.escalation.clone(),
            sla: self.sla.clone(),
            templates: self.templates.clone(),
            calendars: self.calendars.clone(),
            channels: self.channels.clone().without_webhook_urls(),
            alarms: self.alarms.clone(),
        };
        self.tenants.insert(id.clone(), tenant);
    }

    /// The key that signs the reply tokens of `email`: the one set, or else the file `secrets/reply-token` in the
    /// data folder. A file that does not exist is made.
    ///
    /// # Errors
    /// The file cannot be made or read.
    pub fn reply_token_key(&self, email: &Email) -> io::Result<Secret> {
        if email.reply_token_key.is_absent() {
            return ensure_reply_token_key(&self.storage.path.join("secrets").join("reply-token"));
        }
        match email.reply_token_key.file() {
            Some(path) => ensure_reply_token_key(path),
            None => Ok(email.reply_token_key.clone()),
        }
    }

    /// The name of a tenant as customers know it.
    fn name_of(&self, id: &TenantId) -> String {
        match self.tenants.get(id).and_then(|own| own.name.as_deref()) {
            Some(name) => name.trim().to_owned(),
            None if *id == TenantId::default_tenant() => Policy::default().name,
            None => id.to_string(),
        }
    }

    /// The settings of a tenant with tables of its own, or the common ones.
    fn settings(&self, own: Option<&Tenant>, name: String) -> Settings {
        Settings {
            name,
            conversation: own.map_or(&self.conversation, |own| &own.conversation).clone(),
            customers: own.map_or(&self.customers, |own| &own.customers).clone(),
            updates: own.map_or(self.updates, |own| own.updates),
            escalation: own.map_or(&self.escalation, |own| &own.escalation).clone(),
            calendars: own.map_or(&self.calendars, |own| &own.calendars).clone(),
            sla: own.map_or(&self.sla, |own| &own.sla).clone(),
            templates: own.map_or(&self.templates, |own| &own.templates).clone(),
        }
    }

    fn warnings(&self) -> Vec<String> {
        let (listen, public_url) = (self.server.listen, &self.server.public_url);
        let mut warnings = Vec::new();
        if !listen.ip().is_loopback() && public_url.is_loopback() {
            warnings.push(format!(
                "server.listen is open to other machines, but server.public_url is {public_url}: providers cannot reach that"
            ));
        }
        let consequence = if public_url.is_loopback() {
            "unsigned webhooks are taken from this machine only"
        } else {
            "its webhooks are refused"
        };
        for id in self.tenant_ids() {
            let channels = self.tenants.get(&id).map_or(&self.channels, |own| &own.channels);
            let of =
                if id == TenantId::default_tenant() { String::new() } else { format!(" of tenant {id}") };
            for door in channels.doors().iter().filter(|door| !door.secret.is_set()) {
                let (channel, key) = (door.channel.path_name(), door.key);
                warnings.push(format!("channels.{channel}{of} has no {key}: {consequence}"));
            }
            if channels.sms.transport == Transport::Provider && !channels.sms_reports_arrive(public_url) {
                warnings.push(format!(
                    "channels.sms{of} sends, but server.public_url is {public_url}: the provider is not asked to report what becomes of a message"
                ));
            }
            for channel in channels.sending_as_the_example() {
                warnings.push(format!("channels.{channel}{of} sends, but its from is the built-in example"));
            }
        }
        if self.clock.mode == ClockMode::Manual {
            warnings.push("clock.mode is manual: time stands still until an operator advances it".to_owned());
        }
        warnings
    }
}

/// `config.toml` in the working directory or beside the program.
fn present_file() -> Option<PathBuf> {
    let here = PathBuf::from("config.toml");
    let beside = env::current_exe().ok().and_then(|program| Some(program.parent()?.join("config.toml")));
    std::iter::once(here).chain(beside).find(|file| file.is_file())
}

/// The tables with names of the operator's choice, as they are built in: what the file or the environment writes is
/// laid over them. The channels of one's own stand only while the file names none.
fn built_in(written: &Node) -> Node {
    let path = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<String>>();
    let mut tree = Node::empty();
    for (language, words) in Policy::default().templates {
        for (name, text) in words {
            tree.lay_over(Node::built_in(text).wrapped(&path(&["templates", &language, &name])));
        }
    }
    if written.get(&path(&["channels", "generic"])).is_none() {
        for name in Channels::default().generic.keys() {
            tree.lay_over(Node::empty().wrapped(&path(&["channels", "generic", name])));
        }
    }
    tree
}

/// A tenant's tables over the common ones.
fn merged(tree: &Node, id: &TenantId) -> Node {
    let mut whole = Node::empty();
    for section in keys::OF_A_TENANT {
        let path = [(*section).to_owned()];
        if let Some(common) = tree.get(&path) {
            let mut common = common.clone();
            // It is the address of the default tenant's door.
            common.remove_everywhere("webhook_url");
            if *section == "sla" {
                let own = tree.get(&["tenants".to_owned(), id.to_string(), "sla".to_owned()]);
                give_way(&mut common, own);
            }
            common.remove_everywhere("status_webhook_url");
            whole.lay_over(common.wrapped(&path));
        }
    }
    if let Some(own) = tree.get(&["tenants".to_owned(), id.to_string()]) {
        whole.lay_over(own.clone());
    }
    whole
}

/// A warning comes by one of two keys: the one that a tenant writes replaces the other one of the common settings.
fn give_way(common: &mut Node, own: Option<&Node>) {
    let Some(own) = own else { return };
    for tier in own.keys(&["tiers"]) {
        let written = own.keys(&["tiers", &tier]);
        for (writes, replaced) in [("warn_at", "warn_before"), ("warn_before", "warn_at")] {
            if written.iter().any(|key| key == writes) {
                common.remove(&["tiers", &tier, replaced].map(str::to_owned));
            }
        }
    }
}

/// The keys of a policy that were written in the tree, by the file or the environment.
fn written_keys(tree: &Node) -> Vec<String> {
    let of_a_policy = |path: &Vec<String>| {
        path.first().is_some_and(|first| first == "name" || keys::OF_A_POLICY.contains(&first.as_str()))
    };
    tree.written().into_iter().filter(of_a_policy).map(|path| path.join(".")).collect()
}
