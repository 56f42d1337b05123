//! What a channel needs in order to send through its provider.

use super::{check, read, with};
use crate::config::{Channels, Tls, Transport};

const COMPLETE: &str = r#"
[channels.sms]
transport = "provider"
account_sid = "AC00000000000000000000000000000001"
auth_token = "a-token"
rate = "1/s"
[channels.email]
transport = "provider"
smtp = { host = "smtp.example.com", port = 465, tls = "tls", username = "care", password = "secret" }
[channels.generic.shop]
transport = "provider"
url = "https://shop.example.com/messages"
secret = "c2VjcmV0"
"#;

#[test]
fn with_everything_that_is_needed_a_channel_sends() {
    let Channels { sms, email, generic } = with(COMPLETE, &[]).channels;
    assert_eq!((sms.transport, sms.rate.unwrap().to_string().as_str()), (Transport::Provider, "1/s"));
    assert_eq!((email.smtp.tls, email.smtp.port), (Tls::Tls, 465));
    assert_eq!(generic["shop"].transport, Transport::Provider);
}

#[test]
fn what_is_missing_for_sending_is_named() {
    check(
        r#"
[channels.sms]
transport = "provider"
[channels.email]
transport = "provider"
[channels.generic.shop]
transport = "provider"
[tenants.acme.channels.generic.own]
transport = "provider"
url = "https://shop.example.com"
"#,
        &[
            (
                "config.toml:3: channels.sms.transport cannot be \"provider\" without channels.sms.account_sid",
                "channels.sms.auth_token",
            ),
            (
                "config.toml:5: channels.email.transport cannot be \"provider\" without",
                "channels.email.smtp.host",
            ),
            (
                "config.toml:7: channels.generic.shop.transport cannot be \"provider\" without",
                "shop.url and channels.generic.shop.secret",
            ),
            (
                "config.toml:9: tenants.acme.channels.generic.own.transport cannot be \"provider\" without",
                "own.secret",
            ),
        ],
    );
}

#[test]
fn a_login_is_whole_and_never_goes_in_the_open() {
    let smtp = |smtp: &str| format!("[channels.email]\ntransport = \"provider\"\nsmtp = {{ {smtp} }}\n");
    check(
        &smtp(r#"host = "smtp.example.com", username = "care""#),
        &[("config.toml:2: channels.email.transport", "smtp.password")],
    );
    check(
        &smtp(r#"host = "smtp.example.com", password = "p""#),
        &[("config.toml:2: channels.email.transport", "smtp.username")],
    );
    check(
        &smtp(r#"host = "smtp.example.com", tls = "none", username = "care", password = "p""#),
        &[(
            "config.toml:3: channels.email.smtp.tls cannot be \"none\" while there is a password",
            "starttls",
        )],
    );
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        let here = format!(r#"host = "{host}", tls = "none", username = "care", password = "p""#);
        read(&smtp(&here)).unwrap();
    }
    read(&smtp(r#"host = "relay.example.com", tls = "none""#)).unwrap();
    check(
        &smtp(r#"host = "smtp example", port = 0, tls = "ssl""#),
        &[
            ("config.toml:3: channels.email.smtp.host cannot be", "the name of a mail server"),
            ("config.toml:3: channels.email.smtp.port cannot be 0", "1 to 65535"),
            ("config.toml:3: channels.email.smtp.tls cannot be \"ssl\"", "\"starttls\", \"tls\" or \"none\""),
        ],
    );
    check(
        "[channels.email]\nrate = \"fast\"\nsmtp = { ca_file = \"/no/such/file\" }\n",
        &[
            ("config.toml:2: channels.email.rate cannot be \"fast\"", "10/s"),
            ("config.toml:3: channels.email.smtp.ca_file names the file /no/such/file", "No such file"),
        ],
    );
}

#[test]
fn what_sends_but_may_not_be_meant_is_warned_of() {
    let warnings = read(COMPLETE).unwrap().warnings.join("\n");
    for warning in [
        "channels.sms sends, but server.public_url is http://127.0.0.1:8080",
        "channels.sms sends, but its from is the built-in example",
        "channels.email sends, but its from is the built-in example",
    ] {
        assert!(warnings.contains(warning), "{warning} in {warnings}");
    }
    let meant = format!("server.public_url = \"https://care.example.com\"\n{COMPLETE}")
        .replace("rate = \"1/s\"", "from = \"+15550100300\"")
        .replace("smtp = {", "from = \"care@example.com\"\nsmtp = {");
    assert_eq!(read(&meant).unwrap().warnings.iter().filter(|one| one.contains("sends")).count(), 0);
}
