//! Whom we trust on the way out: one provider of cryptography for every client of ours.

/// A client under construction, with the operating system's trust and one provider of cryptography.
///
/// Every client is made through this: without a provider none could be.
pub fn client() -> reqwest::ClientBuilder {
    // Only the first of all calls can succeed, and all ask for the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
}
