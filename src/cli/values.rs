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
