//! Whom we trust on the way out: one provider of cryptography for every client of ours.

/// Makes ring the process's provider of cryptography. To be called before the first client is built; a second call
/// changes nothing.
pub fn use_ring() {
    let _ = rustls::crypto::ring::default_provider().install_default(); // It fails only where there is one already.
}

/// A client under construction, with the operating system's trust.
///
/// Every client is made through this: without a provider of cryptography none could be.
pub fn client() -> reqwest::ClientBuilder {
    use_ring();
    reqwest::Client::builder()
}
