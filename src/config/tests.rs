//! Configuration, tested on texts: what is refused, with which line, and what the environment changes.

mod calendars;
mod outgoing;
mod policy;
mod sending;

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use throughline_workflows::{ids::TenantId, time::Span};

use super::{keys, *};

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn read(text: &str) -> Result<Loaded, ConfigErrors> {
    Config::read(text, "config.toml", &Environment::new())
}

fn with(text: &str, variables: &[(&str, &str)]) -> Config {
    Config::read(text, "config.toml", &environment(variables)).unwrap().config
}

/// Each mistake as `LINE KEY: MESSAGE`, to be compared by beginnings and by words.
fn mistakes(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    Config::read(text, "config.toml", &environment(variables))
        .unwrap_err()
        .problems
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[track_caller]
fn check(text: &str, expected: &[(&str, &str)]) {
    let found = mistakes(text, &[]);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, (start, words)) in found.iter().zip(expected) {
        assert!(
            found.starts_with(start) && found.contains(words),
            "{found}\n  should begin {start:?} and say {words:?}"
        );
    }
}

#[test]
fn the_file_in_the_repository_says_what_is_built_in() {
    let loaded = read(include_str!("../../config.toml")).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(read("").unwrap().config, Config::default());
}

#[test]
fn every_setting_is_shown_in_the_file_in_the_repository() {
    let text = include_str!("../../config.toml");
    for key in keys::KEYS {
        let names = key.path.rsplit('.').find(|part| *part != "*").unwrap();
        let is = |line: &str, name: &str| {
            line.trim_start_matches("# ").starts_with(&format!("{name} = "))
                || line.contains(&format!(" {name} = "))
        };
        let shown = names.split('|').all(|name| text.lines().any(|line| is(line, name)));
        assert!(shown || key.path == "templates.*.*", "{} is not in config.toml", key.path);
    }
}

#[test]
fn every_listed_setting_is_one_that_the_structs_have() {
    for key in keys::KEYS {
        let path = key.path.replace("templates.*.*", "templates.en.acknowledgement").replace('*', "some");
        let choose = |last: bool| {
            let part = |part: &str| match last {
                true => part.rsplit('|').next().unwrap().to_owned(),
                false => part.split('|').next().unwrap().to_owned(),
            };
            path.split('.').map(part).collect::<Vec<_>>().join(".")
        };
        for path in [choose(false), choose(true)] {
            let found = mistakes(&format!("{path} = [[1.5]]"), &[]).join("\n");
            assert!(found.contains("cannot be a list; it must be"), "{path}: {found}");
        }
    }
}

#[test]
fn every_mistake_is_reported_with_its_line_and_what_is_allowed() {
    check(
        r#"
[server]
lisen = "127.0.0.1:1"
public_url = "care.example.com"
body_max = "big"
webhook_patience = "1h"

[storage]
engine = "rocks"
path = ""

[actors]
shards = 0
max_resident = "many"

[update]
interval = "12h"
"#,
        &[
            (
                "config.toml:3: server.lisen is not a setting",
                "did you mean listen? (allowed here: listen, public_url,",
            ),
            ("config.toml:4: server.public_url cannot be \"care.example.com\"", "a web address such as"),
            ("config.toml:5: server.body_max cannot be \"big\"", "64KiB to 1GiB"),
            ("config.toml:6: server.webhook_patience cannot be \"1h\"", "100ms to 10s"),
            ("config.toml:9: storage.engine cannot be \"rocks\"", "must be \"sled\" or \"fjall\""),
            ("config.toml:10: storage.path cannot be \"\"", "the path of a folder"),
            ("config.toml:13: actors.shards cannot be 0", "1 to 1024"),
            ("config.toml:14: actors.max_resident cannot be \"many\"", "at least 1"),
            (
                "config.toml:16: update is not a setting; did you mean updates?",
                "the sections are: server, storage, dedupe",
            ),
        ],
    );
}

#[test]
fn a_channel_says_what_it_cannot_be() {
    check(
        r#"
[channels.sms]
transport = "pigeon"
from = "call us, maybe"
account_sid = "AC12"
auth_token = { variable = "X" }
[channels.email]
from = "Support <support@example.com>"
raw_secret = "not base64!"
[channels.generic.Web]
transport = "file"
[channels.whatsapp]
transport = "file"
"#,
        &[
            ("config.toml:3: channels.sms.transport cannot be \"pigeon\"", "\"file\" or \"provider\""),
            ("config.toml:4: channels.sms.from cannot be", "+15550100200"),
            ("config.toml:5: channels.sms.account_sid cannot be", "AC and 32"),
            ("config.toml:6: channels.sms.auth_token cannot be a table", "{ env = \"NAME\" }"),
            ("config.toml:8: channels.email.from cannot be", "support@example.com"),
            ("config.toml:9: channels.email.raw_secret has a value that cannot be used", "whsec_"),
            ("config.toml:10: channels.generic.Web cannot be a channel's name", "a-z"),
            ("config.toml:12: channels.whatsapp is not a setting", "allowed here: sms, email, generic"),
        ],
    );
}

#[test]
fn what_is_not_toml_is_told_with_the_other_mistakes() {
    let found =
        mistakes("[server]\nlisten = \n[storage]\nengine = \"rocks\"\ncache = 99999999999999999999\n", &[]);
    assert!(found[0].starts_with("config.toml:2: is not TOML"), "{found:#?}");
    assert!(found.iter().any(|line| line.starts_with("config.toml:4: storage.engine")), "{found:#?}");
    assert!(
        found.iter().any(|line| line.starts_with("config.toml:5: is not TOML: the number")),
        "{found:#?}"
    );
    assert_eq!(found.len(), 3, "{found:#?}");
}

#[test]
fn sections_times_tenants_and_templates_are_checked() {
    check(
        r#"
server = 3
[clock]
start = 2026-11-21T09:00:00Z
[templates.en]
acknowledgement = "Thank you, {name}."
farewell = "Bye"
[templates."e.n"]
acknowledgement = "Hi"
[tenants.Acme]
name = "Acme"
[tenants.beta]
nam = "Beta"
[tenants.beta.channels.sms]
from = "?"
[log]
filter = "throughline=loud"
"#,
        &[
            ("config.toml:2: server is a section, not 3", "listen, public_url"),
            ("config.toml:4: clock.start cannot be", "only where clock.mode = \"manual\""),
            (
                "config.toml:6: templates.en.acknowledgement is refused: ",
                "no variable {name}; allowed: {customer}",
            ),
            ("config.toml:7: templates.en.farewell is refused: there is no template", "acknowledgement"),
            ("config.toml:8: templates.e.n is refused: must be a language", "en or pt-BR"),
            ("config.toml:10: tenants.Acme a tenant is", "a-z"),
            ("config.toml:13: tenants.beta.nam is not a setting; did you mean name?", "name, conversation"),
            ("config.toml:15: tenants.beta.channels.sms.from cannot be", "+15550100200"),
            ("config.toml:17: log.filter cannot be", "a level"),
        ],
    );
}

#[test]
fn the_environment_goes_before_the_file() {
    let config = with(
        "[storage]\npath = \"here\"\n[actors]\nshards = 4\n",
        &[
            ("THROUGHLINE__STORAGE__PATH", "/srv/care"),
            ("throughline__actors__max_resident", "5_000"),
            ("THROUGHLINE__CONVERSATION__ACKNOWLEDGE", "false"),
            ("THROUGHLINE__CHANNELS__SMS__FROM", "+15550100999"),
            ("THROUGHLINE__CHANNELS__GENERIC__SHOP__SECRET", "whsec_c2VjcmV0LW9mLXRoZS1zaG9w"),
            ("THROUGHLINE__TENANTS__ACME", "{ name = \"Acme Care\" }"),
            ("THROUGHLINE__CLOCK__MODE", "\"manual\""),
            ("THROUGHLINE__CLOCK__START", "2026-11-21T09:00:00Z"),
            ("THROUGHLINE_ADMIN_TOKEN", "not a setting"),
            ("THROUGHLINE_SERVER", "not a setting"),
        ],
    );
    assert_eq!(config.storage.path, Path::new("/srv/care"));
    assert_eq!((config.actors.shards, config.actors.max_resident), (4, 5000));
    assert!(!config.conversation.acknowledge);
    assert_eq!(config.channels.sms.from, "+15550100999");
    assert!(config.channels.generic["shop"].secret.is_set());
    assert_eq!(config.clock.start.unwrap().to_string(), "2026-11-21T09:00:00.000Z");
    assert_eq!(config.tenant(&"acme".parse().unwrap()).unwrap().name, "Acme Care");
}

#[test]
fn channels_of_ones_own_are_those_the_file_names_and_the_built_in_one_where_it_names_none() {
    let names = |config: Config| config.channels.generic.into_keys().collect::<Vec<_>>().join(" ");
    let shop = ("THROUGHLINE__CHANNELS__GENERIC__SHOP__TRANSPORT", "file");
    assert_eq!(names(with("", &[])), "web");
    assert_eq!(names(with("", &[shop])), "shop web");
    assert_eq!(names(with("[channels.generic.desk]", &[])), "desk");
    assert_eq!(names(with("[channels.generic.desk]", &[shop])), "desk shop");
}

#[test]
fn a_variable_that_leads_nowhere_is_refused_by_its_name() {
    let found = mistakes(
        "",
        &[
            ("THROUGHLINE__STORAGE__PTH", "x"),
            ("THROUGHLINE__ACTORS__SHARDS", "none"),
            ("THROUGHLINE____PATH", "x"),
        ],
    );
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(
        found[0].starts_with("environment variable THROUGHLINE__ACTORS__SHARDS: actors.shards"),
        "{found:#?}"
    );
    assert!(found[1].contains("THROUGHLINE__STORAGE__PTH: storage.pth is not a setting; did you mean path?"));
    assert!(found[2].contains("THROUGHLINE____PATH: names no setting"), "{found:#?}");
}

#[test]
fn a_secret_is_taken_from_text_variable_file_or_a_list_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "from-file\n").unwrap();
    let text = format!(
        "[channels.sms]\nauth_token = [{{ env = \"NEW\" }}, {{ env = \"MISSING\" }}, {{ file = {file:?} }}, \"from-text\"]"
    );
    let config = with(&text, &[("NEW", "from-env")]);
    let values: Vec<&str> = config.channels.sms.auth_token.values().collect();
    assert_eq!(values, ["from-env", "from-file", "from-text"]);
    assert_eq!(config.channels.sms.auth_token.newest(), Some("from-env"));

    assert!(!with("", &[]).channels.sms.auth_token.is_set());
    assert!(with("", &[("TWILIO_AUTH_TOKEN", "t")]).channels.sms.auth_token.is_set());
    let by_reference = with("", &[("THROUGHLINE__CHANNELS__SMS__AUTH_TOKEN__FILE", file.to_str().unwrap())]);
    assert_eq!(by_reference.channels.sms.auth_token.newest(), Some("from-file"));
    // A token of digits only is a text all the same.
    let digits = with("", &[("THROUGHLINE__CHANNELS__SMS__AUTH_TOKEN", "0123")]);
    assert_eq!(digits.channels.sms.auth_token.newest(), Some("0123"));
}

#[test]
fn a_secret_file_that_is_missing_stops_the_start() {
    check(
        "[channels.sms]\nauth_token = { file = \"/nowhere/token\" }\n[channels.email]\nreply_token_key = { env = \"NO\" }",
        &[
            ("config.toml:2: channels.sms.auth_token names the file /nowhere/token", ""),
            ("config.toml:4: channels.email.reply_token_key has no value", "variable NO"),
        ],
    );
}

#[test]
fn a_secret_is_never_shown() {
    let text =
        "[channels.sms]\nauth_token = \"hunter2\"\n[channels.generic.web]\nsecret = [\"aHVudGVyMg==\"]";
    let config = with(text, &[]);
    assert!(config.channels.sms.auth_token.is_set());
    let shown =
        format!("{config:?} {config:#?} {} {:?}", config.channels.sms.auth_token, config.channels.doors());
    assert!(!shown.contains("hunter2") && !shown.contains("aHVudGVyMg"), "{shown}");
    let refused = mistakes(
        "[channels.generic.web]\nsecret = \"hunter2!\"\n[channels.sms]\nauth_token = [\"hunter2\", 3]",
        &[],
    );
    assert_eq!(refused.len(), 2, "{refused:#?}");
    assert!(!refused.join("\n").contains("hunter2"), "{refused:#?}");
}

#[test]
fn the_key_of_reply_tokens_is_made_once_and_for_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        storage: Storage { path: folder.path().join("data"), ..Storage::default() },
        ..Config::default()
    };
    let first = config.reply_token_key(&config.channels.email).unwrap();
    let file = folder.path().join("data/secrets/reply-token");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(first.newest().unwrap().len(), 64);
    assert_eq!(config.reply_token_key(&config.channels.email).unwrap(), first);

    let elsewhere = folder.path().join("key");
    let text = format!("[channels.email]\nreply_token_key = {{ file = {elsewhere:?} }}");
    let config = with(&text, &[]);
    let made = config.reply_token_key(&config.channels.email).unwrap();
    assert_eq!(made.newest(), Some(fs::read_to_string(&elsewhere).unwrap().trim()));
}

#[test]
fn a_tenant_has_the_common_settings_with_its_own_laid_over_them() {
    let config = with(
        r#"
[conversation]
reopen_window = "3d"
[channels.sms]
auth_token = { env = "COMMON" }
webhook_url = "https://care.example.com/twilio"
[tenants.acme]
name = "Acme Care"
[tenants.acme.channels.sms]
from = "+15550100300"
[tenants.acme.conversation]
acknowledge = false
[tenants.acme.templates.de]
acknowledgement = "Danke, {customer}."
[tenants.beta]
"#,
        &[("COMMON", "common-token")],
    );
    let acme = config.tenant(&"acme".parse().unwrap()).unwrap();
    assert_eq!((acme.name.as_str(), acme.policy.name.as_str()), ("Acme Care", "Acme Care"));
    assert_eq!(acme.channels.sms.from, "+15550100300");
    assert_eq!(acme.channels.sms.auth_token.newest(), Some("common-token"));
    let urls = |channels: &Channels, id: &TenantId| channels.doors()[0].url(&config.server.public_url, id);
    assert_eq!(urls(&config.channels, &TenantId::default_tenant()), "https://care.example.com/twilio");
    assert_eq!(urls(&acme.channels, &acme.id), "http://127.0.0.1:8080/t/acme/api/webhooks/twilio/sms");
    assert_eq!(acme.policy.reopen_window, Span::from_hours(72));
    assert!(!acme.policy.acknowledge && config.conversation.acknowledge);
    assert_eq!(acme.policy.templates.keys().collect::<Vec<_>>(), ["de", "en"]);
    assert_eq!(config.tenant(&"beta".parse().unwrap()).unwrap().name, "beta");
    assert!(config.tenant(&"gamma".parse().unwrap()).is_none());
    let ids: Vec<String> = config.policy_files().keys().map(TenantId::to_string).collect();
    assert_eq!(ids, ["acme", "beta", "default"]);
}

#[test]
fn a_mistake_in_a_common_table_is_not_repeated_for_each_tenant() {
    check(
        "[channels.sms]\nfrom = \"?\"\n[tenants.acme]\n[tenants.beta]\n",
        &[("config.toml:2: channels.sms.from", "")],
    );
}

#[test]
fn unsigned_doors_are_warned_of() {
    let warnings = read("[server]\nlisten = \"0.0.0.0:80\"\n[tenants.acme]").unwrap().warnings;
    assert!(warnings.iter().any(|line| line.contains("providers cannot reach")), "{warnings:#?}");
    assert!(warnings.iter().any(|line| line.starts_with("channels.sms has no auth_token: unsigned")));
    assert!(
        warnings.iter().any(|line| line.starts_with("channels.generic.web of tenant acme has no secret"))
    );
    let public = read("[server]\npublic_url = \"https://care.example.com\"").unwrap().warnings;
    assert!(public.iter().any(|line| line == "channels.sms has no auth_token: its webhooks are refused"));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Config::load(Some(Path::new("/nowhere/config.toml")), &Environment::new()).unwrap_err();
    assert!(error.to_string().contains("/nowhere/config.toml: cannot be read"), "{error}");
}
