//! The one implementation of TLS that every client of this program uses: rustls with ring.

/// Makes ring the process's provider of cryptography. To be called before the first client is built; a second call
/// changes nothing.
pub fn use_ring() {
    let _ = rustls::crypto::ring::default_provider().install_default(); // It fails only where there is one already.
}
