//! Values of the command line that need a word of their own when they are refused.

use url::Url;
use uuid::Uuid;

use throughline_workflows::time::Timestamp;

/// An id, as the lists show it.
pub(super) fn id(text: &str) -> Result<Uuid, String> {
    text.parse().map_err(|_| {
        "an id looks like 019a9f3e-5c1d-7c3a-9d52-0f6f3f0b7c11; the lists show those there are".to_owned()
    })
}

/// A version of an entity.
pub(super) fn version(text: &str) -> Result<u64, String> {
    let parsed = text.parse().ok().filter(|version| *version > 0);
    parsed.ok_or_else(|| "a version is a number from 1; --history shows those there are".to_owned())
}

/// Two versions, the earlier first.
pub(super) fn versions(text: &str) -> Result<(u64, u64), String> {
    let parsed = text.split_once("..").and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    match parsed {
        Some((from, to)) if from < to => Ok((from, to)),
        _ => Err("two versions look like 3..5, the earlier first".to_owned()),
    }
}

/// A time with its zone.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "a time looks like 2026-11-22T00:00:00Z (RFC 3339)".to_owned())
}

/// The address of a server that these commands can speak to.
pub(super) fn server(text: &str) -> Result<Url, String> {
    let refusal = match Url::parse(text) {
        Ok(url) if url.scheme() == "http" && url.has_host() => return Ok(url),
        Ok(url) if url.scheme() == "https" => {
            "these commands speak plain http only; run them on the server's own machine, for example with \
             http://127.0.0.1:8080"
        }
        Ok(_) | Err(_) => "a server's address looks like http://127.0.0.1:8080",
    };
    Err(refusal.to_owned())
}
