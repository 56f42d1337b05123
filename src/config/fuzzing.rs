//! The doors for the fuzzer: the configuration file with the environment over it, and settings as the API takes them.

use throughline_workflows::{
    policy::settings::Settings,
    policy_book::{self, PolicyFile},
    time::Timestamp,
};

use super::{Config, Environment};

/// What separates the file from the variables of the environment, `NAME=VALUE` a line.
const ENVIRONMENT: &str = "\n--- environment\n";

/// A configuration file, and after a line `--- environment` the variables that are laid over it.
///
/// A secret may stand in a file of any name; files are not what is tried here.
pub(crate) fn file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (text, variables) = text.split_once(ENVIRONMENT).unwrap_or((text, ""));
    if text.contains("file") || text.contains("\\u") || text.contains("\\x") || variables.contains("file") {
        return;
    }
    let lines = variables.lines().filter_map(|line| line.split_once('='));
    let environment: Environment = lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let read = Config::read(text, "config.toml", &environment);
    let again = Config::read(text, "config.toml", &environment);
    match (read, again) {
        (Ok(read), Ok(again)) => {
            assert_eq!(read.config, again.config);
            for id in read.config.tenant_ids() {
                let tenant = read.config.tenant(&id).expect("a tenant that is named is there");
                assert_eq!(tenant.policy.check(), Ok(()), "what is started decides by a sound policy");
                let _ = tenant.channels.doors();
                is_sound(&read.config.policy_file(&id));
            }
        }
        (Err(read), Err(again)) => {
            assert_eq!(read.to_string(), again.to_string());
            assert!(!read.problems.is_empty(), "a refusal says why");
            assert!(read.problems.iter().all(|problem| !problem.message.is_empty()));
        }
        (Ok(_), Err(errors)) | (Err(errors), Ok(_)) => panic!("read differently a second time: {errors}"),
    }
}

/// What is shown of a tenant's settings is read as the same settings.
fn is_sound(file: &PolicyFile) {
    let policy = policy_book::policy_of(&file.settings, 1, Timestamp::from_millis(0));
    assert_eq!(policy.map(|policy| policy.check()), Ok(Ok(())), "{}", file.settings);
}

/// A tenant's settings as JSON, as the journal keeps them and the API takes them.
pub(crate) fn settings(bytes: &[u8]) {
    let Ok(settings) = serde_json::from_slice::<Settings>(bytes) else { return };
    let policy = settings.policy(1, Timestamp::from_millis(0));
    if settings.mistakes().is_empty() {
        assert_eq!(policy.check(), Ok(()), "settings without a mistake make a sound policy");
    }
    let shown = policy_book::shown(&settings);
    let again: Settings = serde_json::from_value(shown.clone()).expect("settings are read as they are shown");
    assert_eq!(policy_book::shown(&again), shown);
}
