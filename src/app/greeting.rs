//! What the server says on standard output once it is ready: where to look, with which token, and what to try.
//!
//! Each line that it prints can be pasted on the machine it runs on and works as it stands.

use std::net::SocketAddr;

use throughline_workflows::ids::TenantId;

use crate::{
    config::{Config, Transport, reachable},
    http::FirstAdmin,
};

/// The greeting of a server that listens on `address`.
pub(super) fn greeting(config: &Config, address: SocketAddr, admin: &FirstAdmin) -> String {
    let base = format!("http://{}", reachable(address));
    let folder = config.storage.path.display();
    format!(
        "Throughline is ready at {base}   (API: {base}/api/docs, data: {folder})\n\
         {}\n\
         Try it:\n\
         {}  curl {base}/api/v1/conversations -H \"authorization: Bearer $THROUGHLINE_TOKEN\"\n\n\
         {}",
        token(admin),
        first_message(config, address, &base),
        sending(config)
    )
}

/// Which channels send, and where the others write.
fn sending(config: &Config) -> String {
    let folder = config.storage.path.display();
    let mut sends: Vec<String> = Vec::new();
    let mut all = true;
    for tenant in config.tenant_ids().into_iter().filter_map(|id| config.tenant(&id)) {
        for door in tenant.channels.doors() {
            match door.transport {
                Transport::Provider => sends.push(door.channel.to_string()),
                Transport::File => all = false,
            }
        }
    }
    sends.sort();
    sends.dedup();
    match (sends.join(", "), all) {
        (sends, _) if sends.is_empty() => {
            format!("What would be sent to customers is written below {folder}/outbound.")
        }
        (sends, true) => format!("Customers are sent messages for real by {sends}."),
        (sends, false) => format!(
            "Customers are sent messages for real by {sends}; what else would be sent is written below {folder}/outbound."
        ),
    }
}

/// How the API opens; nothing where whoever reads this has a token from before.
fn token(admin: &FirstAdmin) -> String {
    match admin {
        FirstAdmin::Made(token) => {
            format!("\nThe first admin token, shown only now:\n  export THROUGHLINE_TOKEN={token}\n")
        }
        FirstAdmin::Chosen => "\nThe API opens with the token you chose:\n  \
                               export THROUGHLINE_TOKEN=\"$THROUGHLINE_ADMIN_TOKEN\"\n"
            .to_owned(),
        FirstAdmin::Earlier => String::new(),
    }
}

/// A line that sends a message by the first door of the default tenant that takes it unsigned, or else which door to
/// sign for.
fn first_message(config: &Config, address: SocketAddr, base: &str) -> String {
    let generic =
        config.tenant(&TenantId::default_tenant()).map(|tenant| tenant.channels.generic).unwrap_or_default();
    let from_here = reachable(address).ip().is_loopback() && config.server.public_url.is_loopback();
    let open = generic.iter().find(|(_, channel)| from_here && !channel.secret.is_set());
    if let Some((name, _)) = open {
        return format!(
            "  curl -X POST {base}/api/webhooks/generic/{name} -H 'content-type: application/json' \\\n    \
             -d '{{\"id\":\"hello-1\",\"from\":{{\"email\":\"ada@example.com\",\"name\":\"Ada\"}},\
             \"text\":\"My parcel has not come\"}}'\n"
        );
    }
    let signed = generic.iter().find(|(_, channel)| channel.secret.is_set());
    match signed.or_else(|| generic.iter().next()) {
        Some((name, channel)) if channel.secret.is_set() => format!(
            "  # a message: POST {base}/api/webhooks/generic/{name}, signed with channels.generic.{name}.secret\n"
        ),
        Some((name, _)) => format!(
            "  # a message: set channels.generic.{name}.secret, and sign with it what is posted to\n  \
             # {base}/api/webhooks/generic/{name}\n"
        ),
        None => "  # a message: by one of the webhooks that `throughline check` lists\n".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    fn greeted(settings: &str, address: &str, admin: &FirstAdmin) -> String {
        let config = Config::read(settings, "config.toml", &Environment::new()).unwrap().config;
        greeting(&config, address.parse().unwrap(), admin)
    }

    #[test]
    fn a_server_that_listens_everywhere_is_shown_where_this_machine_finds_it() {
        for (address, shown) in [
            ("0.0.0.0:8080", "http://127.0.0.1:8080"),
            ("[::]:8080", "http://[::1]:8080"),
            ("192.0.2.7:80", "http://192.0.2.7:80"),
        ] {
            let said = greeted("", address, &FirstAdmin::Earlier);
            assert!(said.starts_with(&format!("Throughline is ready at {shown} ")), "{said}");
        }
    }

    #[test]
    fn the_line_to_paste_uses_a_channel_that_takes_it() {
        let said = |settings: &str| greeted(settings, "127.0.0.1:8080", &FirstAdmin::Earlier);
        assert!(said("").contains("curl -X POST http://127.0.0.1:8080/api/webhooks/generic/web "));
        let two = "[channels.generic.shop]\nsecret = \"aHVudGVyMg==\"\n[channels.generic.parcels]";
        assert!(said(two).contains("curl -X POST http://127.0.0.1:8080/api/webhooks/generic/parcels "));
    }

    #[test]
    fn where_nothing_is_taken_unsigned_no_line_pretends_so() {
        let public = "[server]\npublic_url = \"https://care.example.com\"\n";
        let secret = "[channels.generic.shop]\nsecret = \"aHVudGVyMg==\"";
        for (settings, address, says) in [
            (secret, "127.0.0.1:80", "generic/shop, signed with channels.generic.shop.secret"),
            (public, "127.0.0.1:80", "set channels.generic.web.secret"),
            ("", "192.0.2.7:80", "set channels.generic.web.secret"),
            ("channels.generic = {}", "127.0.0.1:80", "`throughline check`"),
        ] {
            let said = greeted(settings, address, &FirstAdmin::Earlier);
            assert!(said.contains(says) && !said.contains("curl -X POST"), "{said}");
            assert!(said.contains("curl http"), "reading always works: {said}");
        }
    }

    #[test]
    fn nobody_sends_to_customers_without_being_told_so() {
        let said = |settings: &str| greeted(settings, "127.0.0.1:80", &FirstAdmin::Earlier);
        assert!(said("").ends_with("What would be sent to customers is written below data/outbound."));
        let shop = "[channels.generic.shop]\ntransport = \"provider\"\nurl = \"https://shop.example\"\n\
                    secret = \"aHVudGVyMg==\"";
        assert!(said(shop).contains("for real by generic:shop; what else"), "{}", said(shop));
    }

    #[test]
    fn the_token_of_the_second_line_is_there() {
        let said = |admin: &FirstAdmin| greeted("", "127.0.0.1:80", admin);
        let made = FirstAdmin::Made("tl_default_x".to_owned());
        assert!(said(&made).contains("export THROUGHLINE_TOKEN=tl_default_x\n"));
        assert!(
            said(&FirstAdmin::Chosen).contains("export THROUGHLINE_TOKEN=\"$THROUGHLINE_ADMIN_TOKEN\"\n")
        );
        assert!(!said(&FirstAdmin::Earlier).contains("export"));
    }
}
